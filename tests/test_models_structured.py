"""Gated, low-rank, block-diagonal, dense, permuted and nonlinear models against their equations."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from automata.errors import InputError
from statetrack.models import model_config
from statetrack.models.config import model_label
from tests.model_cases import CLASSES, GATED, TOKENS, make, name_of, numbers, words

LINEAR = [
    ("gated_householder", {**GATED}),
    ("gated_householder", {**GATED, "num_factors": 3, "output_gate": True}),
    ("gated_householder", {**GATED, "num_factors": 2, "decay_range": "[-1,1]", "num_layers": 2}),
    ("kda", {**GATED}),
    ("kda", {**GATED, "decay_range": "[-1,1]", "output_gate": True, "num_layers": 2}),
    ("rwkv7", {**GATED}),
    ("rwkv7", {**GATED, "eigenvalue_range": "[-1,1]", "output_gate": True, "num_layers": 2}),
    ("rwkv7", {**GATED, "token_shift": True, "output_gate": True}),
    ("block_diagonal", {"num_blocks": 2, "block_size": 4, "num_layers": 2}),
    ("block_diagonal", {"num_blocks": 3, "block_size": 2, "block_norm": "none"}),
    ("dense", {"head_size": 6}),
    ("dense", {"head_size": 4, "num_heads": 2, "norm_order": 1.4, "num_layers": 2}),
    ("permutation_diagonal", {"head_size": 6, "num_layers": 2}),
    (
        "permutation_diagonal",
        {"head_size": 4, "num_heads": 2, "complex_diagonal": False, "eigenvalue_range": "[-1,1]"},
    ),
]
NONLINEAR = [
    ("rnn", {"num_layers": 2}),
    ("gru", {"num_layers": 2}),
    ("slstm", {"num_heads": 2, "num_layers": 2}),
    ("slstm", {"num_heads": 4, "forget_gate": "exponential"}),
]
UNMAPPED = ("rnn", "gru")  # torch's fused cells have no rule for vmap
STATE_FIRST = {"GatedHouseholderMixer", "KDAMixer", "RWKV7Mixer"}


@pytest.fixture(params=LINEAR + NONLINEAR, ids=name_of)
def variant(request):
    return request.param


def test_stepwise_is_parallel_and_states_carry_over_cuts(variant):
    model, tokens = make(variant), words()
    whole, final = model(tokens)
    state, steps = model.initial_state(3), []
    for t in range(tokens.shape[1]):
        logits, state = model.step(tokens[:, t], state)
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, dim=1), whole)
    torch.testing.assert_close(state, final)
    empty, after = model(words(length=0), state)
    assert empty.shape == (3, 0, CLASSES)
    torch.testing.assert_close(after, state, rtol=0, atol=0)


def test_float32_gives_nearly_the_same(variant):
    model, tokens = make(variant), words()
    whole, _ = model(tokens)
    single, state = copy.deepcopy(model).float()(tokens)
    assert single.dtype == torch.float32
    assert {t.dtype for layer in state for t in layer} <= {torch.float32, torch.complex64}
    torch.testing.assert_close(single.double(), whole, rtol=1e-3, atol=1e-3)


def test_no_token_changes_what_came_before(variant):
    model, tokens = make(variant), words()
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % TOKENS
    logits, other = model(tokens)[0], model(changed)[0]
    torch.testing.assert_close(other[:, :7], logits[:, :7])
    assert not torch.allclose(other[:, 7], logits[:, 7])


def loss_of(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_every_parameter_gets_a_gradient(variant):
    model, tokens = make(variant), words(batch=16)
    loss_of(model(tokens)[0], words(batch=16, seed=1) % CLASSES).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_three_models_under_vmap_are_three_models(variant):
    if variant[0] in UNMAPPED:
        pytest.skip("torch's fused cells have no rule for vmap")
    models = [make(variant, seed) for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    base, tokens, targets = models[0], words(), words(seed=1) % CLASSES

    def logits_of(p, b):
        return functional_call(base, (p, b), (tokens,))[0]

    def gradient(p, b):
        return grad(lambda p: loss_of(logits_of(p, b), targets))(p)

    found = vmap(logits_of)(parameters, buffers)
    torch.testing.assert_close(found, torch.stack([model(tokens)[0] for model in models]))
    gradients = vmap(gradient)(parameters, buffers)
    for index, model in enumerate(models):
        loss_of(model(tokens)[0], targets).backward()
        for key, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[key][index], parameter.grad)


@pytest.mark.parametrize("variant", LINEAR, ids=name_of)
def test_transitions_carry_differences_of_states(variant):
    model, tokens = make(variant), words(batch=1)
    mixer = model.blocks[0].mixer
    x = model.blocks[0].mixer_norm(model.embedding(tokens))
    matrices = model.transitions(tokens)[0][0]
    product = torch.eye(matrices.shape[-1], dtype=matrices.dtype).expand_as(matrices[0])
    for t in range(tokens.shape[1]):
        product = product @ matrices[t]
    start, *rest = mixer.initial_state(1)
    before = numbers(*start.shape, seed=2, dtype=start.dtype)
    ends = [mixer(x, (initial, *rest))[1][0] for initial in (start, start + before)]
    if type(mixer).__name__ in STATE_FIRST:
        expected = product.mT @ before
    else:
        expected = (before.unsqueeze(-2) @ product).squeeze(-2)
    torch.testing.assert_close(ends[1] - ends[0], expected)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("gated_householder", {"decay_range": "[1,0]"}, "range"),
        ("rwkv7", {"eigenvalue_range": "[-2,1]"}, "range"),
        ("block_diagonal", {"block_norm": "column"}, "did you mean 'columns'"),
        ("block_diagonal", {"norm_order": 1.0}, "expected a finite number > 1"),
        ("block_diagonal", {"block_size": 1}, "expected >= 2"),
        ("dense", {"dictionary_size": 0}, "whole number >= 1"),
        ("slstm", {"num_heads": 3}, "does not divide"),
        ("slstm", {"forget_gate": "sigmoit"}, "did you mean 'sigmoid'"),
    ],
)
def test_bad_parameters_are_named(name, parameters, message):
    with pytest.raises(InputError, match=message):
        model_config(name, parameters)


def test_labels_tell_variants_of_a_family_apart():
    configured = [(name, model_config(name, chosen)) for name, chosen in LINEAR + NONLINEAR]
    labels = {model_label(name, one) for name, one in configured}
    assert len(labels) == len(configured) - 1  # a token shift has no label of its own
    assert labels >= {
        "gated Householder n_h=3 [-1,1]",
        "KDA [-1,1] decay [-1,1]",
        "RWKV-7",
        "RWKV-7 [-1,1]",
    }
    assert labels >= {"PD-SSM N=6", "PD-SSM N=4 real [-1,1]", "RNN tanh", "GRU", "sLSTM"}
