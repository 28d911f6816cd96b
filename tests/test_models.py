"""What every model promises, over the whole registry."""

import dataclasses

import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.models import (
    EigenvalueRange,
    build_model,
    check_model,
    config,
    list_models,
    model_entry,
    register_model,
)
from statetrack.models.backbone import Letters
from statetrack.models.checks import CHECKS
from statetrack.models.mru_matrices import INPUT_METHODS
from tests.model_cases import CLASSES, TOKENS, VARIANTS, make, name_of, words


@pytest.fixture(params=VARIANTS, ids=name_of)
def model(request):
    return make(request.param)


def test_every_registered_model_is_tested_here():
    assert set(list_models()) == {name for name, _ in VARIANTS}


@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_every_model_keeps_every_promise(variant):
    name, parameters = variant
    passed = check_model(name, width=16, **parameters)
    assert len(passed) == len(CHECKS)


def test_an_empty_word_changes_nothing(model):
    _, state = model(words())
    logits, after = model(words(length=0), state)
    assert logits.shape == (3, 0, CLASSES)
    for one, other in zip(state, after, strict=True):
        for left, right in zip(one, other, strict=True):
            assert torch.equal(left, right)


FIRST_FAMILIES = [one for one in VARIANTS if one[0] in ("diagonal", "householder", "mru", "lstm")]


@pytest.mark.parametrize("model", FIRST_FAMILIES, ids=name_of, indirect=True)
def test_transitions_are_what_the_state_does(model):
    """Differences of states of one layer are carried by the product of its row matrices.

    The tests of the other families show it for theirs, whose states have other shapes.
    """
    tokens = words(batch=1)
    found = model.transitions(tokens)
    mixer, block = model.blocks[0].mixer, model.blocks[0]
    _, x, *_ = block.mixer_input(Letters(tokens, model.embedding.weight), block.initial_state(1))
    if found[0] is None:
        assert type(mixer).__name__ == "LSTMMixer"
        return
    matrices = found[0][0]
    product = torch.eye(matrices.shape[-1], dtype=matrices.dtype).expand_as(matrices[0])
    for t in range(tokens.shape[1]):
        product = product @ matrices[t]
    start = mixer.initial_state(1)[0]
    moved = start + torch.randn(
        start.shape, dtype=start.dtype, generator=torch.Generator().manual_seed(2)
    )
    scale = mixer.initial_state(1)[1:]
    ends = [mixer(x, (initial, *scale))[1] for initial in (start, moved)]
    if scale:
        ends = [(torch.ldexp(e[0], e[1][..., None, None]),) for e in ends]
    change = (ends[1][0] - ends[0][0])[0]
    before = (moved - start)[0]
    if type(mixer).__name__ == "HouseholderMixer":
        expected = product.transpose(-1, -2) @ before
    elif type(mixer).__name__ == "DiagonalMixer":
        expected = product[:, 0, 0] * before
    else:
        expected = before @ product
    torch.testing.assert_close(change, expected)


@pytest.mark.parametrize("text", ["[0,1]", "[-1,1]", "[-0.5,0.25]"])
def test_eigenvalues_stay_in_their_range_and_reach_its_ends(text):
    range_ = EigenvalueRange.parse(text)
    raw = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    for values in (range_.eigenvalue(raw), 1 - range_.beta(raw)):
        assert values.min() >= range_.lo
        assert values.max() <= range_.hi
        assert values.min() < range_.lo + 1e-3
        assert values.max() > range_.hi - 1e-3
    middle = (range_.lo + range_.hi) / 2 + 0.1
    back = range_.eigenvalue(torch.tensor(range_.raw_of_eigenvalue(middle), dtype=torch.float64))
    assert back.item() == pytest.approx(middle)


@pytest.mark.parametrize(("name", "text"), [("diagonal", "[0,1]"), ("diagonal", "[-0.5,0.5]")])
def test_diagonal_spectra_obey_the_range(name, text):
    torch.manual_seed(1)
    model = build_model(name, TOKENS, CLASSES, eigenvalue_range=text)
    with torch.no_grad():
        model.blocks[0].mixer.to_eigenvalue.weight.mul_(30)
        (found,) = model.transitions(words())
    range_ = EigenvalueRange.parse(text)
    assert found.min() >= range_.lo and found.max() <= range_.hi


@pytest.mark.parametrize("factors", [1, 2, 4])
def test_factors_with_beta_in_0_1_have_no_unit_eigenvalue_but_one(factors):
    """Products of positive contractions: an eigenvalue of modulus 1 is 1 (Grazzi et al. 2024)."""
    torch.manual_seed(factors)
    model = build_model(
        "householder", 50, 2, num_factors=factors, eigenvalue_range="[0,1]"
    ).double()
    with torch.no_grad():
        model.blocks[0].mixer.to_beta.weight.mul_(30)
        (found,) = model.transitions(torch.arange(50).unsqueeze(0))
    spectrum = torch.linalg.eigvals(found)
    on_circle = (spectrum.abs() - 1).abs() < 1e-9
    assert on_circle.any()
    assert (spectrum[on_circle] - 1).abs().max() < 1e-6


@pytest.mark.parametrize("name", INPUT_METHODS)
def test_mru_input_methods_keep_their_promise(name):
    method = INPUT_METHODS[name]
    numbers = torch.randn(50, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    identity = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(method.matrix(torch.zeros_like(numbers)), identity.expand(50, 5, 5))
    matrices = method.matrix(numbers)
    is_orthogonal = torch.allclose(matrices @ matrices.mT, identity)
    assert is_orthogonal == method.orthogonal
    determinants = torch.linalg.det(matrices)
    if method.determinant is None:
        assert determinants.abs().std() > 0.1
    else:
        torch.testing.assert_close(determinants.abs(), torch.ones_like(determinants))
        assert bool((determinants > 0).all()) == (method.determinant == 1)


def test_ldu_reaches_matrices_with_positive_leading_minors_alone():
    numbers = torch.randn(
        200, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    matrices = INPUT_METHODS["ldu"].matrix(numbers)
    for size in range(1, 5):
        assert (torch.linalg.det(matrices[:, :size, :size]) > 0).all()


def test_a_step_of_newton_and_schulz_goes_towards_orthogonal_matrices():
    numbers = 0.3 * torch.randn(
        200, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    spread = {
        name: torch.linalg.cond(INPUT_METHODS[name].matrix(numbers)).median()
        for name in ("ldu", "newton_schulz")
    }
    assert spread["newton_schulz"] < 0.8 * spread["ldu"]


@pytest.mark.parametrize(
    ("name", "preset"),
    [(name, preset) for name, entry in list_models().items() for preset in entry.presets],
)
def test_published_configurations_are_built_by_name(name, preset):
    entry = list_models()[name]
    assert entry.presets[preset].source
    parameters = dict(entry.presets[preset].parameters)
    with torch.device("meta"):
        model = build_model(name, TOKENS, CLASSES, preset=preset)
        smaller = build_model(name, TOKENS, CLASSES, preset=preset, width=8)
    assert model.embedding.weight.shape[1] == parameters.get("width", 64)
    assert smaller.embedding.weight.shape[1] == 8
    with pytest.raises(InputError, match=f"did you mean '{preset}'"):
        build_model(name, TOKENS, CLASSES, preset=preset + "x")


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'diagonal'"):
        build_model("diagnal", 2, 2)
    with pytest.raises(InputError, match="did you mean 'num_heads'"):
        build_model("householder", 2, 2, num_head=3)
    with pytest.raises(InputError, match="whole number >= 1"):
        build_model("diagonal", 2, 2, width=0)
    with pytest.raises(InputError, match="num_tokens = 0"):
        build_model("diagonal", 0, 2)
    with pytest.raises(InputError, match="did you mean 'cayley'"):
        build_model("mru", 2, 2, input_method="caley")
    with pytest.raises(InputError, match="int64"):
        build_model("lstm", 2, 2)(torch.zeros(2, 3))
    for text in ("[1,0]", "[-2,1]", "0,1", "[0,1", "[a,b]", "[0,1]x", "[0,1e5]", "(0,1)"):
        with pytest.raises(InputError, match="range"):
            EigenvalueRange.parse(text)


def test_a_model_from_outside(monkeypatch):
    monkeypatch.setattr(config, "_REGISTRY", dict(config._REGISTRY))  # put back afterwards

    @dataclasses.dataclass(frozen=True)
    class CounterConfig:
        width: int = 4

    class Counter(nn.Module):
        def __init__(self, config, num_tokens, num_classes):
            super().__init__()
            self.embedding = nn.Embedding(num_tokens, num_classes)

        def forward(self, tokens, state=None):
            return self.embedding(tokens).cumsum(dim=1), state

    register_model("test_counter", CounterConfig, Counter, summary="counts")
    assert model_entry("test_counter").summary == "counts"
    logits, _ = build_model("test_counter", 2, 3)(words(batch=2, length=4) % 2)
    assert logits.shape == (2, 4, 3)
    with pytest.raises(InputError, match="registered already"):
        register_model("test_counter", CounterConfig, Counter)
    with pytest.raises(InputError, match="dataclass"):
        register_model("test_other", dict, Counter)
