"""Gated, low-rank, block-diagonal, dense, permuted and nonlinear models against their equations."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from statetrack.models import block_diagonal as _block_diagonal
from statetrack.models import build_model
from statetrack.models import dense as _dense
from statetrack.models import gated_householder as _gated_householder
from statetrack.models import kda as _kda
from statetrack.models import rwkv7 as _rwkv7

FAMILIES = (_block_diagonal, _dense, _gated_householder, _kda, _rwkv7)
TOKENS, CLASSES = 6, 5
GATED = {"num_heads": 2, "head_size": 4}
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
]
NONLINEAR = []
UNMAPPED = ("rnn", "gru")  # torch's fused cells have no rule for vmap
STATE_FIRST = {"GatedHouseholderMixer", "KDAMixer", "RWKV7Mixer"}


def name_of(variant):
    return "-".join([variant[0], *map(str, variant[1].values())])


def make(variant, seed=0):
    name, parameters = variant
    torch.manual_seed(seed)
    return build_model(name, TOKENS, CLASSES, width=16, **parameters).double()


@pytest.fixture(params=LINEAR + NONLINEAR, ids=name_of)
def variant(request):
    return request.param


def words(batch=3, length=12, seed=0):
    return torch.randint(0, TOKENS, (batch, length), generator=torch.Generator().manual_seed(seed))


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def mixer_of(name, **parameters):
    return make((name, parameters)).blocks[0].mixer


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


@pytest.mark.parametrize("name", ["gated_householder", "kda"])
@pytest.mark.parametrize("factors", [1, 3])
@pytest.mark.parametrize("decay_range", [None, "[-1,1]"])
@pytest.mark.parametrize("gate", [False, True])
def test_gated_delta_rule_is_its_equation(name, factors, decay_range, gate):
    heads, size = 2, 4
    mixer = mixer_of(name, **GATED, num_factors=factors, decay_range=decay_range, output_gate=gate)
    x, s = numbers(7, 16, seed=3), mixer.start.clone()
    rows = []
    for token in x:
        q = mixer.to_query(token).view(heads, size)
        k = mixer.to_key(token).view(heads, factors, size)
        k = k / k.norm(dim=-1, keepdim=True)
        v = mixer.to_value(token).view(heads, factors, size)
        beta = 2 * torch.sigmoid(4 * mixer.to_beta(token)).view(heads, factors)
        raw = mixer.decay.projection(token).view(heads, -1)
        if decay_range is None:
            step = torch.log1p(torch.exp(raw))
            decay = torch.exp(-torch.exp(mixer.decay.log_rate.view(heads, 1)) * step)
        else:
            decay = 2 * torch.sigmoid(4 * raw) - 1
        read = []
        after = torch.empty_like(s)
        for h in range(heads):
            state = torch.diag(decay[h].expand(size)) @ s[h]
            for r in range(factors):
                erase = torch.eye(size, dtype=x.dtype) - beta[h, r] * torch.outer(k[h, r], k[h, r])
                state = erase @ state + beta[h, r] * torch.outer(k[h, r], v[h, r])
            after[h] = state
            o = state.T @ q[h]
            read.append(o / torch.sqrt(o.square().mean() + 1e-6))
        s, o = after, torch.cat(read)
        if gate:
            raw = mixer.to_gate(token)
            o = o * (torch.sigmoid(raw) if name == "kda" else raw * torch.sigmoid(raw))
        rows.append(mixer.output(o))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], s)


@pytest.mark.parametrize("name", ["gated_householder", "kda"])
@pytest.mark.parametrize("decay_range", [None, "[-1,1]", "[-0.5,0.5]"])
def test_gated_transitions_never_expand_and_obey_their_decays(name, decay_range):
    mixer = mixer_of(name, **GATED, num_factors=2, decay_range=decay_range)
    x = 30 * numbers(1, 50, 16)
    assert torch.linalg.matrix_norm(mixer.transitions(x), ord=2).max() <= 1 + 1e-12
    lo, hi = (0, 1) if decay_range is None else map(float, decay_range[1:-1].split(","))
    assert mixer.decay(x).min() >= lo and mixer.decay(x).max() <= hi


def test_gates_of_a_householder_model_change_no_number_of_the_plain_one():
    plain = make(("householder", GATED))
    gated = make(("gated_householder", {**GATED, "decay_range": "[-1,1]", "decay_bias": 30.0}))
    with torch.no_grad():
        gated.blocks[0].mixer.decay.projection.weight.zero_()
    gated.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(gated(words())[0], plain(words())[0])


@pytest.mark.parametrize("eigenvalue_range", [None, "[-1,1]"])
@pytest.mark.parametrize("more", [False, True])
def test_rwkv7_is_its_equation(eigenvalue_range, more):
    heads, size = 2, 4
    mixer = mixer_of(
        "rwkv7", **GATED, eigenvalue_range=eigenvalue_range, token_shift=more, output_gate=more
    )
    with torch.no_grad():
        mixer.replacement_mix.normal_()
        mixer.removal_scale.normal_()
    x, before = numbers(7, 16, seed=3), torch.zeros(16, dtype=torch.float64)
    s = mixer.start.mT.clone()  # the paper's orientation: rows for values
    rows = []
    for token in x:
        mixes = mixer.shift if more else torch.zeros(6, 16, dtype=x.dtype)
        x_r, x_k, x_v, x_w, x_a, x_g = (token + (before - token) * mix for mix in mixes)
        r, k, v = mixer.to_receptance(x_r), mixer.to_key(x_k), mixer.to_value(x_v)
        raw = mixer.to_decay.up(torch.tanh(mixer.to_decay.down(x_w)))
        w = torch.exp(-0.6065306597126334 * torch.sigmoid(raw))
        a = torch.sigmoid(4 * mixer.to_rate.up(mixer.to_rate.down(x_a)))
        a = a if eigenvalue_range is None else 2 * a
        kappa = (k * mixer.removal_scale.flatten()).view(heads, size)
        kappa = kappa / kappa.norm(dim=-1, keepdim=True)
        k = k * (1 + mixer.replacement_mix.flatten() * (a - 1))
        r, k, v, w, a = (one.view(heads, size) for one in (r, k, v, w, a))
        read, after = [], torch.empty_like(s)
        for h in range(heads):
            removed = a[h] * kappa[h] if eigenvalue_range is None else w[h] * a[h] * kappa[h]
            after[h] = s[h] @ (torch.diag(w[h]) - torch.outer(kappa[h], removed))
            after[h] = after[h] + torch.outer(v[h], k[h])
            p = after[h] @ r[h]
            p = p / torch.sqrt(p.square().mean() + 1e-6)
            read.append(p + (r[h] * mixer.bonus[h, 0] * k[h]).sum() * v[h])
        s, before, o = after, token, torch.cat(read)
        if more:
            o = o * mixer.to_gate.up(torch.sigmoid(mixer.to_gate.down(x_g)))
        rows.append(mixer.output(o))
    found, (end, *_) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0].mT, s)


@pytest.mark.parametrize("text", [None, "[0,1]", "[-1,1]", "[-0.5,1]"])
def test_rwkv7_eigenvalues_are_real_and_in_their_range(text):
    mixer = mixer_of("rwkv7", **GATED, eigenvalue_range=text)
    spectrum = torch.linalg.eigvals(mixer.transitions(30 * numbers(1, 50, 16)))
    lo = -0.4548 if text is None else float(text[1:-1].split(",")[0])
    assert spectrum.imag.abs().max() < 1e-6
    assert spectrum.real.min() >= lo - 1e-9 and spectrum.real.max() <= 1 + 1e-9


@pytest.mark.parametrize("block_norm", ["columns", "none"])
def test_block_diagonal_is_its_equation(block_norm):
    blocks, size, p = 3, 4, 1.2
    mixer = mixer_of("block_diagonal", num_blocks=blocks, block_size=size, block_norm=block_norm)
    x, h = numbers(7, 16, seed=3), mixer.start.clone()
    rows = []
    for token in x:
        a = mixer.to_blocks(token).view(blocks, size, size)
        v = mixer.to_value(token).view(blocks, size)
        after = torch.empty_like(h)
        for g in range(blocks):
            block = a[g]
            if block_norm == "columns":
                columns = [column - column.mean() for column in block.T]
                largest = max((c.abs() ** p).sum() ** (1 / p) for c in columns)
                block = torch.stack(columns, dim=1) / largest
            after[g] = block @ h[g] + v[g]
        h, flat = after, after.flatten()
        rows.append(mixer.output(flat / torch.sqrt(flat.square().mean() + 1e-6)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


@pytest.mark.parametrize("p", [1.1, 1.2, 2.0])
def test_columns_of_blocks_have_mean_0_and_norm_at_most_1(p):
    mixer = mixer_of("block_diagonal", num_blocks=2, block_size=4, norm_order=p)
    columns = mixer.transitions(30 * numbers(1, 50, 16))  # row form: its rows are the columns
    norms = torch.linalg.vector_norm(columns, ord=p, dim=-1)
    torch.testing.assert_close(norms.amax(-1), torch.ones_like(norms.amax(-1)))
    assert columns.mean(-1).abs().max() < 1e-12


@pytest.mark.parametrize("heads", [1, 2])
def test_dense_is_its_equation(heads):
    size, p = 5, 1.2
    mixer = mixer_of("dense", num_heads=heads, head_size=size, dictionary_size=3)
    x, h = numbers(7, 16, seed=3), mixer.start.clone()
    rows = []
    for token in x:
        selected = mixer.dictionary.select(token).view(heads, 3)
        b = mixer.to_input(token).view(heads, size)
        after, read = torch.empty_like(h), []
        for g in range(heads):
            weights = torch.exp(selected[g]) / torch.exp(selected[g]).sum()
            a = sum(weights[k] * mixer.dictionary.matrices[g, k] for k in range(3))
            a = torch.stack([c / (c.abs() ** p).sum() ** (1 / p) for c in a.T], dim=1)
            after[g] = a @ h[g] + b[g]
            read.append(after[g] / torch.sqrt(after[g].square().mean() + 1e-6))
        h = after
        rows.append(mixer.output(torch.cat(read)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


@pytest.mark.parametrize("p", [1.1, 1.2, 2.0])
def test_columns_of_dense_matrices_have_norm_1(p):
    mixer = mixer_of("dense", head_size=5, norm_order=p)
    columns = mixer.transitions(30 * numbers(1, 50, 16))
    norms = torch.linalg.vector_norm(columns, ord=p, dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
