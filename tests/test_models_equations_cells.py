"""Nonlinear cells against plain loops of their equations, and the layers of torch."""

import pytest
import torch
from torch import nn

from tests.model_cases import GATED, mixer_of, numbers


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
