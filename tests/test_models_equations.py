"""Mixers against plain loops of their published equations, and the bounds they declare."""

import pytest
import torch
from torch import nn

from statetrack.models import block_diagonal as _block_diagonal
from statetrack.models import build_model
from statetrack.models import dense as _dense
from statetrack.models import gated_householder as _gated_householder
from statetrack.models import gru as _gru
from statetrack.models import kda as _kda
from statetrack.models import m2rnn as _m2rnn
from statetrack.models import rnn as _rnn
from statetrack.models import rwkv7 as _rwkv7
from statetrack.models import slstm as _slstm
from statetrack.models.permutation_diagonal import one_hot_columns

FAMILIES = (
    *(_block_diagonal, _dense, _gated_householder, _gru, _kda, _m2rnn, _rnn, _rwkv7, _slstm),
)
GATED = {"num_heads": 2, "head_size": 4}


def make(name, parameters, seed=0):
    torch.manual_seed(seed)
    return build_model(name, 6, 5, width=16, **parameters).double()


def mixer_of(name, **parameters):
    return make(name, parameters).blocks[0].mixer


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


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
    plain = make("householder", GATED)
    gated = make("gated_householder", {**GATED, "decay_range": "[-1,1]", "decay_bias": 30.0})
    with torch.no_grad():
        gated.blocks[0].mixer.decay.projection.weight.zero_()
    gated.load_state_dict(plain.state_dict(), strict=False)
    tokens = torch.arange(24).view(2, 12) % 6
    torch.testing.assert_close(gated(tokens)[0], plain(tokens)[0])


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


@pytest.mark.parametrize(
    ("name", "parameters", "decays"),
    [
        ("gated_householder", {}, lambda m, x: m.decays(x)),
        ("gated_householder", {"decay_range": "[0,1]"}, lambda m, x: m.decays(x)),
        ("kda", {}, lambda m, x: m.decays(x)),
        ("rwkv7", {}, lambda m, x: m._transition(x, x, x)[0]),
        ("gla", {}, lambda m, x: m._decays(x)),
        ("hgrn2", {"lower_bound": 0.99}, lambda m, x: m._forget(x)),
        ("retnet", {"num_heads": 12}, lambda m, x: m._decays(x)),
    ],
)
def test_decays_near_one_survive_bfloat16(name, parameters, decays):
    """What a token forgets keeps its size, though bfloat16 has no number between 0.996 and 1."""
    mixer = mixer_of(name, **{**GATED, **parameters}).bfloat16()
    x = numbers(3, 40, 16).bfloat16()
    found = decays(mixer, x)
    exact = decays(mixer.double(), x.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(1 - found.double(), 1 - exact, rtol=0.05, atol=1e-6)


@pytest.mark.parametrize("name", ["retnet", "transformer"])
def test_positions_beyond_256_survive_bfloat16(name):
    mixer = mixer_of(name, num_heads=2, head_size=8).bfloat16()
    x = numbers(1, 600, 16).bfloat16()
    found, _ = mixer(x, mixer.initial_state(1))
    exact, _ = mixer.double()(x.double(), mixer.double().initial_state(1))
    late = found[:, 300:].double() - exact[:, 300:]
    assert found.dtype == torch.bfloat16
    assert late.norm() <= 0.03 * exact[:, 300:].norm()


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


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("is_complex", [True, False])
def test_permutation_diagonal_is_its_equation(heads, is_complex):
    size = 5
    mixer = mixer_of(
        "permutation_diagonal",
        num_heads=heads,
        head_size=size,
        dictionary_size=3,
        complex_diagonal=is_complex,
        eigenvalue_range="[0,1]" if is_complex else "[-1,1]",
    )

    def join(flat):
        flat = flat.view(heads, -1)
        return torch.complex(flat[:, :size], flat[:, size:]) if is_complex else flat

    x, h = numbers(7, 16, seed=3), join(mixer.start)
    rows = []
    for token in x:
        selected = mixer.dictionary.select(token).view(heads, 3).softmax(dim=-1)
        size_of = torch.sigmoid(4 * mixer.to_magnitude(token)).view(heads, size)
        b = join(mixer.to_input(token))
        after, read = torch.empty_like(h), []
        for g in range(heads):
            m = sum(selected[g, k] * mixer.dictionary.matrices[g, k] for k in range(3))
            p = torch.zeros(size, size, dtype=h.dtype)
            for j in range(size):
                p[max(range(size), key=lambda i, j=j, m=m: m[i, j].item()), j] = 1
            if is_complex:
                phase = 2 * torch.pi * torch.sigmoid(mixer.to_phase(token)).view(heads, size)[g]
                d = size_of[g] * torch.exp(1j * phase)
            else:
                d = 2 * size_of[g] - 1
            after[g] = p @ torch.diag(d) @ h[g] + b[g]
            seen = torch.cat([after[g].real, after[g].imag]) if is_complex else after[g]
            read.append(seen / torch.sqrt(seen.square().mean() + 1e-6))
        h = after
        rows.append(mixer.output(torch.cat(read)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


def test_one_hot_columns_pass_the_gradient_of_the_softmax():
    m, weight = numbers(3, 5, 5).requires_grad_(), numbers(3, 5, 5, seed=1)
    hard = one_hot_columns(m)
    assert hard.unique().tolist() == [0, 1]
    assert torch.equal(hard.argmax(-2), m.argmax(-2)) and (hard.sum(-2) == 1).all()
    (found,) = torch.autograd.grad((hard * weight).sum(), m)
    (expected,) = torch.autograd.grad((m.softmax(dim=-2) * weight).sum(), m)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("is_complex", [True, False])
def test_permutation_diagonal_moves_every_state_once_and_never_expands(is_complex):
    text = "[0,1]" if is_complex else "[-1,1]"
    mixer = mixer_of(
        "permutation_diagonal",
        head_size=5,
        complex_diagonal=is_complex,
        eigenvalue_range=text,
    )
    columns = mixer.transitions(30 * numbers(1, 50, 16))  # row form: its rows are the columns
    assert ((columns != 0).sum(-1) <= 1).all()
    assert columns.abs().max() <= 1 + 1e-12
    assert torch.linalg.eigvals(columns).abs().max() <= 1 + 1e-6
    assert columns.is_complex() == is_complex


@pytest.mark.parametrize(("name", "cell"), [("rnn", nn.RNN), ("gru", nn.GRU)])
def test_torch_cells_are_torch_layers(name, cell):
    mixer = mixer_of(name)
    layer = cell(16, 16).double()
    layer.load_state_dict(mixer.cell.state_dict())
    x, start = numbers(2, 7, 16, seed=3), numbers(2, 16, seed=4)
    expected, end = layer(x.transpose(0, 1), start.unsqueeze(0))
    found, (final,) = mixer(x, (start,))
    torch.testing.assert_close(found, expected.transpose(0, 1))
    torch.testing.assert_close(final, end[0])
    w, u = mixer.cell.weight_ih_l0, mixer.cell.weight_hh_l0
    b, c = mixer.cell.bias_ih_l0, mixer.cell.bias_hh_l0
    first = x[:, 0] @ w.T + b, start @ u.T + c
    if name == "rnn":
        step = torch.tanh(first[0] + first[1])
    else:
        (xr, xz, xn), (hr, hz, hn) = first[0].chunk(3, -1), first[1].chunk(3, -1)
        new = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
        keep = torch.sigmoid(xz + hz)
        step = (1 - keep) * new + keep * start
    torch.testing.assert_close(found[:, 0], step)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
def test_slstm_is_its_equation_without_the_stabiliser(forget_gate):
    heads, size = 2, 8
    mixer = mixer_of("slstm", num_heads=heads, forget_gate=forget_gate)
    x = numbers(7, 16, seed=3)
    h = c = n = torch.zeros(heads, size, dtype=x.dtype)
    rows = []
    for token in x:
        raw = mixer.to_gates(token).view(heads, 4, size).clone()
        for g in range(heads):
            for gate in range(4):
                raw[g, gate] += h[g] @ mixer.recurrent[g, :, gate]
        z, i, f, o = raw.unbind(1)
        forget = torch.sigmoid(f) if forget_gate == "sigmoid" else torch.exp(f)
        c = forget * c + torch.exp(i) * torch.tanh(z)
        n = forget * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        rows.append((h / torch.sqrt(h.square().mean(-1, keepdim=True) + 1e-6)).flatten())
    found, (end, cell, normaliser, stabiliser) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)
    torch.testing.assert_close((cell * stabiliser.exp())[0], c)
    torch.testing.assert_close((normaliser * stabiliser.exp())[0], n)


@pytest.mark.parametrize("value", [-1000.0, 1000.0])
def test_slstm_gates_of_any_size_stay_finite(value):
    mixer = mixer_of("slstm", num_heads=2, forget_gate="exponential")
    with torch.no_grad():
        mixer.to_gates.bias.view(2, 4, 8)[:, 1:3] = value
    found, state = mixer(numbers(1, 20, 16), mixer.initial_state(1))
    assert found.isfinite().all() and all(one.isfinite().all() for one in state)
    assert found.abs().max() > 0.1


@pytest.mark.parametrize("gate", [False, True])
def test_m2rnn_is_its_equation(gate):
    heads, size = 2, 4
    mixer = mixer_of("m2rnn", **GATED, output_gate=gate)
    with torch.no_grad():
        mixer.recurrent += numbers(heads, size, size, seed=1) / 4
        mixer.skip += numbers(heads, 1, size, seed=2)
    x = numbers(7, 16, seed=3)
    h = numbers(heads, size, size, seed=4)
    start = h.clone()
    rows = []
    for token in x:
        q = mixer.to_query(token).view(heads, size) / size**0.5
        k = mixer.to_key(token).view(heads, size)
        v = mixer.to_value(token).view(heads, size)
        step = torch.log1p(torch.exp(mixer.forget_gate.projection(token)))
        forget = torch.exp(-torch.exp(mixer.forget_gate.log_rate.view(heads)) * step)
        read = []
        after = torch.empty_like(h)
        for n in range(heads):
            new = torch.tanh(h[n] @ mixer.recurrent[n] + torch.outer(k[n], v[n]))
            after[n] = forget[n] * h[n] + (1 - forget[n]) * new
            o = after[n].T @ q[n] + mixer.skip[n, 0] * v[n]
            read.append(o / torch.sqrt(o.square().mean() + 1e-6))
        h, o = after, torch.cat(read)
        if gate:
            raw = mixer.to_gate(token)
            o = o * raw * torch.sigmoid(raw)
        rows.append(mixer.output(o))
    found, (end,) = mixer(x.unsqueeze(0), (start.unsqueeze(0),))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


def test_one_row_of_m2rnn_without_forgetting_is_an_elman_network():
    """Against torch's own cell: the key 1, the values its inputs."""
    mixer = mixer_of("m2rnn", num_heads=1, head_size=4)
    cell = nn.RNN(16, 4, bias=False, batch_first=True).double()
    x = numbers(1, 9, 16, seed=5)
    with torch.no_grad():
        mixer.recurrent[0] = cell.weight_hh_l0.T
        mixer.to_value.weight.copy_(cell.weight_ih_l0)
        mixer.to_key.weight.zero_()
        mixer.to_key.weight[0, 0] = 1
        x[..., 0] = 1
        mixer.forget_gate.log_rate.fill_(50.0)
    _, (end,) = mixer(x, mixer.initial_state(1))
    torch.testing.assert_close(end[0, 0, 0], cell(x)[1][0, 0])
    assert not end[0, 0, 1:].any()
