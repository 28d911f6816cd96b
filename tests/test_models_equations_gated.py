"""Gated heads against plain loops of their published equations, and the bounds they declare."""

import pytest
import torch

from tests.model_cases import GATED, make, mixer_of, numbers


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
