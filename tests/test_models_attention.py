"""Attention and gated linear attention: every mixer against its published recurrence."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from automata.errors import InputError
from statetrack.models import aaren as _aaren
from statetrack.models import build_model
from statetrack.models import ffn as _ffn
from statetrack.models import gla as _gla
from statetrack.models import hgrn2 as _hgrn2
from statetrack.models import linear_attention as _linear_attention
from statetrack.models import mlstm as _mlstm
from statetrack.models import mru_attention as _mru_attention
from statetrack.models import retnet as _retnet
from statetrack.models import transformer as _transformer
from statetrack.scans import diagonal_scan
from tests.attention_cases import HEADS, LOOPS, SIZE, WIDTH, ends, inputs
from tests.model_cases import CLASSES, TOKENS, make, name_of, words

FAMILIES = (
    *(_aaren, _ffn, _gla, _hgrn2, _linear_attention, _mlstm, _mru_attention, _retnet),
    _transformer,
)
VARIANTS = [
    ("linear_attention", {"num_layers": 2}),
    ("retnet", {"rotary": True, "num_layers": 2}),
    ("retnet", {"rotary": False}),
    ("gla", {"eigenvalue_range": "[0,1]"}),
    ("gla", {"eigenvalue_range": "[-1,1]", "gate_temperature": 1.0, "num_layers": 2}),
    ("hgrn2", {"eigenvalue_range": "[0,1]", "lower_bound": 0.25}),
    ("hgrn2", {"eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("mlstm", {"forget_gate": "sigmoid", "num_layers": 2}),
    ("mlstm", {"forget_gate": "exponential"}),
    ("aaren", {"num_layers": 2}),
    ("transformer", {"position": "none"}),
    ("transformer", {"position": "sinusoidal"}),
    ("transformer", {"position": "learned", "max_length": 31}),
    ("transformer", {"position": "rotary", "num_layers": 2}),
    ("transformer", {"position": "alibi"}),
    ("mru_attention", {"input_method": "exponential", "num_layers": 2}),
    ("mru_attention", {"input_method": "cayley"}),
    ("ffn", {}),
]


@pytest.fixture(params=VARIANTS, ids=name_of)
def model(request):
    return make(request.param)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_every_family_here_is_tested_here():
    assert {f.__name__.rsplit(".", 1)[-1] for f in FAMILIES} == {name for name, _ in VARIANTS}


@torch.no_grad()
def test_a_mixer_is_its_published_recurrence(model):
    mixer = model.blocks[0].mixer
    loop = LOOPS[type(mixer).__name__]
    x_TD = inputs(length=20)
    y_BTD, _ = mixer(x_TD.unsqueeze(0), mixer.initial_state(1))
    close(y_BTD[0], torch.stack(list(loop(mixer, x_TD))))


@torch.no_grad()
def test_one_step_at_a_time_is_the_whole_word(model):
    tokens = words(length=31)
    whole, final = model(tokens)
    state = model.initial_state(3)
    steps = []
    for t in range(tokens.shape[1]):
        logits, state = model.step(tokens[:, t], state)
        steps.append(logits)
    close(torch.stack(steps, dim=1), whole)
    first, middle = model(tokens[:, :13])
    second, cut = model(tokens[:, 13:], middle)
    close(torch.cat([first, second], dim=1), whole)
    for states in (state, cut):
        for one, other in zip(states, final, strict=True):
            for left, right in zip(one, other, strict=True):
                close(left, right)


@torch.no_grad()
def test_an_empty_word_changes_nothing(model):
    for _, state in (model(words()), (None, model.initial_state(3))):
        logits, after = model(words(length=0), state)
        assert logits.shape == (3, 0, CLASSES)
        for one, other in zip(state, after, strict=True):
            for left, right in zip(one, other, strict=True):
                assert torch.equal(left, right)


@torch.no_grad()
def test_no_token_changes_what_came_before(model):
    tokens = words()
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % TOKENS
    logits, other = model(tokens)[0], model(changed)[0]
    assert torch.equal(other[:, :7], logits[:, :7])
    assert not torch.allclose(other[:, 7], logits[:, 7])
    after = not torch.allclose(other[:, 8:], logits[:, 8:])
    assert after == (type(model.blocks[0].mixer).__name__ != "FFNMixer")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_parameter_gets_a_gradient(model, dtype):
    model = model.to(dtype)
    logits, _ = model(words(batch=16))
    assert logits.dtype == dtype
    targets = torch.randint(0, CLASSES, (16, 12), generator=torch.Generator().manual_seed(1))
    cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_state_size_counts_the_state_before_the_first_token(model):
    state = model.initial_state(1)
    assert model.state_size == sum(t.numel() for layer in state for t in layer)
    if type(model.blocks[0].mixer).__name__ not in ("TransformerMixer", "MRUAttentionMixer"):
        _, after = model(words(batch=1))
        assert model.state_size == sum(t.numel() for layer in after for t in layer)


def unscaled(mixer, state):
    """The parts [H, K, ...] of a state that the transitions act on, without stabiliser."""
    name = type(mixer).__name__
    if name == "MLSTMMixer":
        memory, normaliser, stabiliser = (part[0] for part in state)
        scale = stabiliser.exp()
        return memory * scale[:, None, None], (normaliser * scale[:, None]).unsqueeze(-1)
    if name == "AarenMixer":
        maximum, numerator, denominator = (part[0] for part in state)
        return (
            (numerator * maximum.exp()[:, None])[:, None],
            (denominator * maximum.exp())[:, None, None],
        )
    if name == "LinearAttentionMixer":
        return state[0][0], state[1][0].unsqueeze(-1)
    if name == "MRUAttentionMixer":
        return (state[0][0].mT,)
    return (state[0][0],)


@torch.no_grad()
def test_transitions_carry_differences_of_states(model):
    mixer, block = model.blocks[0].mixer, model.blocks[0]
    tokens = words(batch=1)
    found = model.transitions(tokens)
    if type(mixer).__name__ in ("FFNMixer", "TransformerMixer"):
        assert all(one is None for one in found)
        return
    x = block.mixer_norm(model.embedding(tokens))
    product = torch.eye(found[0].shape[-1], dtype=torch.float64)
    for matrices in found[0][0]:
        product = product @ matrices
    _, start = mixer(x, mixer.initial_state(1))
    generator = torch.Generator().manual_seed(2)
    moved = tuple(
        one + torch.rand(one.shape, dtype=one.dtype, generator=generator) for one in start
    )
    ends = [unscaled(mixer, mixer(x, begin)[1]) for begin in (start, moved)]
    begins = [unscaled(mixer, begin) for begin in (start, moved)]
    for before, other_before, after, other_after in zip(*begins, *ends, strict=True):
        close(other_after - after, product.mT @ (other_before - before), 1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_three_models_at_a_time_are_three_alone(model, dtype):
    models = []
    for seed in range(3):
        one = copy.deepcopy(model).to(dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        models.append(one)
    tokens = words(batch=6).unflatten(0, (3, 2))
    parameters, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")

    def loss(parameters, buffers, tokens):
        logits, state = functional_call(skeleton, (parameters, buffers), (tokens,))
        more, _ = functional_call(skeleton, (parameters, buffers), (tokens, state))
        return logits.square().mean() + more.mean(), (logits, more)

    gradients, (logits, more) = vmap(torch.func.grad(loss, has_aux=True))(
        parameters, buffers, tokens
    )
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for number, one in enumerate(models):
        alone, state = one(tokens[number])
        alone_more, _ = one(tokens[number], state)
        close(logits[number], alone, tolerance)
        close(more[number], alone_more, tolerance)
        (alone.square().mean() + alone_more.mean()).backward()
        for name, parameter in one.named_parameters():
            close(gradients[name][number], parameter.grad, tolerance)


@pytest.mark.parametrize("name", ["mlstm", "aaren"])
@pytest.mark.parametrize("size", [-400.0, 400.0])
def test_gates_and_scores_far_outside_the_exponential_stay_finite(name, size):
    torch.manual_seed(0)
    model = build_model(name, TOKENS, CLASSES, width=WIDTH)
    mixer = model.blocks[0].mixer
    with torch.no_grad():
        if name == "mlstm":
            mixer.to_input_gate.bias.fill_(size)
        else:
            mixer.query.mul_(size)
    whole, _ = model(words(length=70))
    whole.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    first, state = model(words(length=70)[:, :20])
    second, _ = model(words(length=70)[:, 20:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_aaren_is_torchs_attention_and_a_diagonal_scan(scale):
    """One query for all tokens: causal attention, and decays of sums divided by their largest."""
    torch.manual_seed(0)
    mixer = build_model("aaren", TOKENS, CLASSES, width=WIDTH, num_heads=2).blocks[0].mixer.double()
    mixer.query.mul_(scale)
    x = inputs(65)[None]
    k, v = (
        layer(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (mixer.to_key, mixer.to_value)
    )
    q = mixer.query.unsqueeze(1).expand_as(k[0]).unsqueeze(0)
    attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    found, _ = mixer(x, mixer.initial_state(1))
    close(found, mixer.output(attended.transpose(1, 2).flatten(2)), 1e-9)

    scores = (q * k).sum(-1, keepdim=True) / k.shape[-1] ** 0.5
    largest = scores.cummax(dim=-2).values
    before = torch.cat([largest[..., :1, :], largest[..., :-1, :]], dim=-2)
    weight = (scores - largest).exp()
    sums, _ = diagonal_scan(
        (before - largest).exp().expand(*v.shape[:-1], v.shape[-1] + 1),
        torch.cat([weight * v, weight], dim=-1),
    )
    close(sums[..., :-1] / sums[..., -1:], attended, 1e-9)


@torch.no_grad()
@pytest.mark.parametrize("length", [4000])
def test_mlstm_stabilisers_of_long_words_lose_nothing(length):
    """Stabilisers are cumulative sums in parallel; float32 steps agree with them all the same."""
    torch.manual_seed(0)
    mixer = build_model("mlstm", TOKENS, CLASSES, width=WIDTH).blocks[0].mixer
    mixer.to_forget_gate.bias.fill_(-3.0)
    x = inputs(length)[None].float()
    whole, _ = mixer(x, mixer.initial_state(1))
    exact, _ = mixer.double()(x.double(), mixer.initial_state(1))
    assert (whole.double() - exact).abs().max() < 1e-3


@torch.no_grad()
@pytest.mark.parametrize(("name", "layer"), [("gla", "to_decay"), ("hgrn2", "to_forget")])
@pytest.mark.parametrize("text", ["[0,1]", "[-1,1]", "[-0.5,0.25]"])
def test_gates_stay_in_their_range(name, layer, text):
    torch.manual_seed(0)
    model = build_model(name, TOKENS, CLASSES, eigenvalue_range=text).double()
    for parameter in getattr(model.blocks[0].mixer, layer).parameters():
        parameter.mul_(30)
    (found,) = model.transitions(words())
    spectrum = found.diagonal(dim1=-2, dim2=-1)
    low, high = ends(model.blocks[0].mixer)
    assert spectrum.min() >= low and spectrum.max() <= high
    assert spectrum.min() < low + 1e-2 and spectrum.max() > high - 1e-2


@torch.no_grad()
def test_a_retnet_rotation_has_complex_eigenvalues_of_its_decay():
    model = build_model("retnet", TOKENS, CLASSES).double()
    spectrum = torch.linalg.eigvals(model.transitions(words())[0][0, 0])
    for h in range(HEADS):
        close(spectrum[h].abs(), torch.full((SIZE,), 1 - 2 ** (-5 - h), dtype=torch.float64))
        angles = torch.tensor([10000 ** (-2 * i / SIZE) for i in range(4)], dtype=torch.float64)
        close(spectrum[h].angle().abs().sort().values, angles.repeat_interleave(2).sort().values)


@torch.no_grad()
def test_scores_of_mru_attention_forget_what_came_before_both_tokens():
    torch.manual_seed(0)
    mixer = build_model("mru_attention", TOKENS, CLASSES, width=WIDTH).double().blocks[0].mixer
    x = inputs(12)[None]
    rotation, keys, values = mixer.initial_state(1)
    turned_before = mixer(inputs(5)[None], (rotation, keys, values))[1][0]
    close(mixer(x, (turned_before, keys, values))[0], mixer(x, (rotation, keys, values))[0])


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'rotary'"):
        build_model("transformer", 2, 2, position="rotari")
    with pytest.raises(InputError, match="did you mean 'cayley'"):
        build_model("mru_attention", 2, 2, input_method="caley")
    with pytest.raises(InputError, match="did you mean 'sigmoid'"):
        build_model("mlstm", 2, 2, forget_gate="sigmoidal")
    for name in ("transformer", "retnet"):
        with pytest.raises(InputError, match="even number"):
            build_model(name, 2, 2, head_size=3)
    with pytest.raises(InputError, match="lower_bound"):
        build_model("hgrn2", 2, 2, lower_bound=1.0)
    with pytest.raises(InputError, match="gate_temperature"):
        build_model("gla", 2, 2, gate_temperature=0.0)
    for name in ("gla", "hgrn2"):
        with pytest.raises(InputError, match="range"):
            build_model(name, 2, 2, eigenvalue_range="[0,2]")
    model = build_model("transformer", 2, 2, position="learned", max_length=4)
    _, state = model(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"word of 5 tokens: .* max_length = 4"):
        model.step(torch.zeros(1, dtype=torch.int64), state)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__.rsplit(".", 1)[-1])
def test_labels_and_mixers_are_there(family):
    name = family.__name__.rsplit(".", 1)[-1]
    model = build_model(name, TOKENS, CLASSES)
    assert isinstance(model, nn.Module)
    assert [c.label for c in vars(family).values() if hasattr(c, "label")]
