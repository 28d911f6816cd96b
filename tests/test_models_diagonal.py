"""Models with diagonal transitions: against their published equations, and what they promise."""

import math

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import gelu, logsigmoid, silu, softplus

from automata.errors import InputError
from statetrack.models import (
    EigenvalueRange,
    build_model,
    lru,
    model_config,
    rg_lru,
    s4d,
)
from statetrack.models.ranges import UnitCircle, UnitDisc, complex_range

TOKENS, CLASSES, WIDTH = 6, 5, 12
VARIANTS = [
    ("aussm", {}),
    ("complex_diagonal", {"eigenvalue_range": "disc"}),
    ("complex_diagonal", {"eigenvalue_range": "circle"}),
    ("hgrn", {"eigenvalue_range": "[0,1]", "num_layers": 2}),
    ("hgrn", {"eigenvalue_range": "[-1,1]"}),
    ("lru", {}),
    ("mamba", {"eigenvalue_range": "[0,1]"}),
    ("mamba", {"eigenvalue_range": "[-1,1]"}),
    ("mamba3", {"eigenvalue_range": "[0,1]"}),
    ("mamba3", {"eigenvalue_range": "[-0.5,1]"}),
    ("rg_lru", {"eigenvalue_range": "[0,1]"}),
    ("rg_lru", {"eigenvalue_range": "[-1,1]"}),
    ("s4d", {"initialization": "legs"}),
    ("s4d", {"initialization": "linear", "num_layers": 2}),
]
each_variant = pytest.mark.parametrize(
    ("name", "parameters"),
    VARIANTS,
    ids=["-".join([n, *map(str, p.values())]) for n, p in VARIANTS],
)


def build(name, parameters, seed=0):
    torch.manual_seed(seed)
    return build_model(name, TOKENS, CLASSES, width=WIDTH, **parameters).double()


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def words(batch=3, length=13):
    return torch.randint(0, TOKENS, (batch, length), generator=torch.Generator().manual_seed(0))


def affine(linear, x):
    return x @ linear.weight.T + (0.0 if linear.bias is None else linear.bias)


def pairs(numbers):
    half = numbers.shape[-1] // 2
    return numbers[..., :half] + 1j * numbers[..., half:]


def rms_norm(norm, x):
    return norm.scale * x / torch.sqrt((x**2).mean() + 1e-6)


def ends_of(parameters):
    range_ = EigenvalueRange.parse(parameters["eigenvalue_range"])
    return range_.lo, range_.hi - range_.lo


def loop_complex_diagonal(m, xs, parameters):
    h, outputs = pairs(m.start), []
    for x in xs:
        raw = affine(m.to_eigenvalue, x)
        if parameters["eigenvalue_range"] == "disc":
            a = torch.exp(1j * math.pi * raw[1::2]) / (1 + torch.exp(-4 * raw[0::2]))
        else:
            a = torch.exp(1j * math.pi * raw)
        h = a * h + pairs(affine(m.to_input, x))
        outputs.append(m.output.weight @ rms_norm(m.norm, torch.cat([h.real, h.imag])))
    return outputs, h


def loop_lru(m, xs, parameters):
    """Orvieto et al. 2023, section 3."""
    eigenvalue = torch.exp(-torch.exp(m.log_rate) + 1j * torch.exp(m.log_angle))
    half = m.to_input.weight.shape[0] // 2
    b = m.to_input.weight[:half] + 1j * m.to_input.weight[half:]
    c = m.output.weight[:, :half] - 1j * m.output.weight[:, half:]
    h, outputs = pairs(m.start), []
    for x in xs:
        h = eigenvalue * h + torch.exp(m.log_gamma) * (b @ x.to(b.dtype))
        outputs.append((c @ h).real + m.skip * x)
    return outputs, h


def loop_s4d(m, xs, parameters):
    """Gu et al. 2022: zero-order hold of ``h' = A h + B x`` with B = 1, one of each pair."""
    a = -torch.exp(m.log_rate) + 1j * m.frequency
    step = torch.exp(m.log_step)[:, None]
    a_bar, b_bar = torch.exp(step * a), (torch.exp(step * a) - 1) / a
    h, outputs = pairs(m.start), []
    for x in xs:
        h = a_bar * h + b_bar * x[:, None]
        y = 2 * (pairs(m.read) * h).real.sum(1) + m.skip * x
        outputs.append(affine(m.output, gelu(y)))
    return outputs, h


def loop_mamba(m, xs, parameters):
    """Gu and Dao 2023, algorithm 2; Grazzi et al. 2024 for the range."""
    lo, span = ends_of(parameters)
    rank, size = m.to_step.weight.shape[1], m.log_rate.shape[1]
    h, outputs = m.start, []
    for x in xs:
        u = silu(affine(m.to_input, x))
        selection = m.to_selection.weight @ u
        step = softplus(affine(m.to_step, selection[:rank]))[:, None]
        b, c = selection[rank : rank + size], selection[rank + size :]
        a = lo + span * torch.exp(step * -torch.exp(m.log_rate))
        h = a * h + step * b[None, :] * u[:, None]
        y = h @ c + m.skip * u
        outputs.append(m.output.weight @ (y * silu(affine(m.to_gate, x))))
    return outputs, h


def loop_aussm(m, xs, parameters):
    """Karuvally et al. 2025, published code: rotation by A(u), no step in the angle."""
    channels, size = m.start.shape[0], m.start.shape[1] // 2
    h, outputs = pairs(m.start), []
    for x in xs:
        u = affine(m.to_input, x)
        step = softplus(affine(m.to_step, m.to_step_rank.weight @ u))[:, None]
        angle = affine(m.to_angle, u).reshape(channels, size)
        h = torch.exp(1j * angle) * h + step * pairs(m.write)[None, :] * silu(u)[:, None]
        y = (h @ pairs(m.read)).real + m.skip * silu(u)
        outputs.append(m.output.weight @ (y * silu(affine(m.to_gate, x))))
    return outputs, h


def loop_mamba3(m, xs, parameters):
    """Real 2 x 2 rotations of pairs, written out: pair (p, q) and not one complex number."""
    lo, span = ends_of(parameters)
    heads, n, size = m.heads, m.pairs, m.size
    start = m.start.reshape(heads, n, 2 * size)
    h = torch.stack([start[..., :size], start[..., size:]])  # [2, heads, pairs, size]
    before = torch.zeros_like(h)
    outputs = []
    for x in xs:
        u = affine(m.to_input, x).reshape(heads, size)
        step = softplus(affine(m.to_step, x))
        decay = lo + span * torch.exp(-step * softplus(affine(m.to_rate, x)))
        share = torch.sigmoid(affine(m.to_trapezoid, x))
        angle = step[:, None] * math.pi * torch.tanh(affine(m.to_frequency, x))
        b = rms_norm(m.write_norm, affine(m.to_write, x)) + m.write_bias
        c = rms_norm(m.read_norm, affine(m.to_read, x)) + m.read_bias
        write = torch.stack([part[:, :, None] * u[:, None, :] for part in (b[:, :n], b[:, n:])])
        cos, sin = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
        moved = []
        for old in (h, before):
            turned = torch.stack([cos * old[0] - sin * old[1], sin * old[0] + cos * old[1]])
            moved.append(decay[None, :, None, None] * turned)
        past, now = ((1 - share) * step)[:, None, None], (share * step)[:, None, None]
        h, before = moved[0] + past * moved[1] + now * write, write
        y = (c[:, :n, None] * h[0] + c[:, n:, None] * h[1]).sum(1) + m.skip * u
        outputs.append(m.output.weight @ (y.reshape(-1) * silu(affine(m.to_gate, x))))
    return outputs, (h[0] + 1j * h[1]).reshape(heads * n, size)


def loop_rg_lru(m, xs, parameters):
    """De et al. 2024, equations 1 to 4, c = 8."""
    lo, span = ends_of(parameters)
    h, outputs = m.start, []
    for x in xs:
        u = affine(m.to_value, x)
        r = torch.sigmoid(affine(m.to_recurrence_gate, u))
        i = torch.sigmoid(affine(m.to_input_gate, u))
        a = lo + span * torch.sigmoid(m.raw_decay) ** (8 * r)
        h = a * h + torch.sqrt(1 - a**2) * (i * u)
        outputs.append(affine(m.output, gelu(affine(m.to_gate, x)) * h))
    return outputs, h


def loop_hgrn(m, xs, parameters):
    """Qin et al. 2023, section 3.2."""
    lo, span = ends_of(parameters)
    bound = torch.sigmoid(m.raw_bound)
    h, outputs = m.start, []
    for x in xs:
        f = bound + (1 - bound) * torch.sigmoid(affine(m.to_forget, x))
        h = (lo + span * f) * h + (1 - f) * silu(affine(m.to_value, x))
        gate = torch.sigmoid(affine(m.to_gate, x))
        outputs.append(m.output.weight @ rms_norm(m.norm, gate * h))
    return outputs, h


@each_variant
def test_mixer_is_the_published_recurrence(name, parameters):
    for block in build(name, parameters).blocks:
        xs = random(2, 9, WIDTH)
        found, state = block.mixer(xs, block.mixer.initial_state(2))
        for word in range(2):
            outputs, end = globals()[f"loop_{name}"](block.mixer, xs[word], parameters)
            torch.testing.assert_close(found[word], torch.stack(outputs))
            torch.testing.assert_close(state[0][word], end)


@each_variant
def test_steps_are_the_whole_word(name, parameters):
    model = build(name, parameters)
    whole, final = model(words())
    state, steps = model.initial_state(3), []
    for token in words().unbind(1):
        logits, state = model.step(token, state)
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, dim=1), whole)
    torch.testing.assert_close(state, final)
    logits, after = model(words(length=0), final)
    assert logits.shape == (3, 0, CLASSES)
    torch.testing.assert_close(after, final, rtol=0, atol=0)


@each_variant
def test_no_token_changes_what_came_before(name, parameters):
    model, tokens = build(name, parameters), words()
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % TOKENS
    torch.testing.assert_close(model(changed)[0][:, :7], model(tokens)[0][:, :7])
    assert not torch.allclose(model(changed)[0][:, 8:], model(tokens)[0][:, 8:])


@each_variant
def test_float32_is_near_float64(name, parameters):
    model = build(name, parameters)
    exact, _ = model(words())
    logits, state = model.float()(words())
    assert {t.dtype for layer in state for t in layer} <= {torch.float32, torch.complex64}
    torch.testing.assert_close(logits.double(), exact, rtol=1e-3, atol=1e-4)


@each_variant
def test_every_parameter_gets_a_gradient(name, parameters):
    model = build(name, parameters)
    model(words(batch=8))[0].square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@each_variant
def test_transitions_carry_a_difference_of_states(name, parameters):
    mixer = build(name, parameters).blocks[0].mixer
    x = random(1, 11, WIDTH)
    start, *rest = mixer.initial_state(1)
    change = random(*start.shape, seed=1).to(start.dtype) * (2 - 1j if start.is_complex() else 1)
    ends = [mixer(x, (initial, *rest))[1][0] for initial in (start, start + change)]
    product_N = mixer.transitions(x)[0, :, :, 0, 0].prod(dim=0)
    if name == "mamba3":
        product_N = product_N[:, None].expand(start.shape[1:])
    torch.testing.assert_close(ends[1] - ends[0], product_N.view(start.shape) * change)


@each_variant
def test_stacked_models_are_the_models_alone(name, parameters):
    models = [build(name, parameters, seed) for seed in range(3)]
    stacked, buffers = stack_module_state(models)

    def call(weights, buffers, tokens):
        return functional_call(models[0], (weights, buffers), (tokens,))[0]

    together = vmap(call, in_dims=(0, 0, None))(stacked, buffers, words())
    together.square().mean(dim=(1, 2, 3)).sum().backward()
    for rank, model in enumerate(models):
        alone = model(words())[0]
        torch.testing.assert_close(together[rank], alone)
        alone.square().mean().backward()
        for key, parameter in model.named_parameters():
            torch.testing.assert_close(stacked[key].grad[rank], parameter.grad)


SCALED = {
    "aussm": ["to_angle.weight"],
    "complex_diagonal": ["to_eigenvalue.weight"],
    "hgrn": ["to_forget.weight"],
    "mamba": ["to_step.weight"],
    "mamba3": ["to_step.weight", "to_frequency.weight"],
    "rg_lru": ["to_recurrence_gate.weight"],
    "s4d": ["frequency"],
}
SPREAD = {"hgrn": "raw_bound", "lru": "log_rate", "rg_lru": "raw_decay", "s4d": "log_rate"}


def push_to_the_ends(name, mixer):
    """Make the raw numbers of the eigenvalues large."""
    with torch.no_grad():
        for key in SCALED.get(name, []):
            mixer.get_parameter(key).mul_(1000)
        if name in SPREAD:
            parameter = mixer.get_parameter(SPREAD[name])
            parameter.copy_(torch.linspace(-40, 8, parameter.numel()).view_as(parameter))


def modulus_of(name, parameters):
    """Ends of the moduli of complex eigenvalues."""
    if name == "mamba3":
        lo, span = ends_of(parameters)
        return max(0.0, lo), max(-lo, lo + span)
    on_circle = name == "aussm" or parameters.get("eigenvalue_range") == "circle"
    return (1.0, 1.0) if on_circle else (0.0, 1.0)


@each_variant
def test_spectra_stay_in_their_range_and_approach_its_ends(name, parameters):
    mixer = build(name, parameters).blocks[0].mixer
    x = random(1, 1000, WIDTH)
    usual = mixer.transitions(x).detach()
    push_to_the_ends(name, mixer)
    pushed = mixer.transitions(x).detach()
    if usual.is_complex():
        assert pushed.angle().min() < -3 and pushed.angle().max() > 3
        usual, pushed = usual.abs(), pushed.abs()
        lo, hi = modulus_of(name, parameters)
    else:
        lo, span = ends_of(parameters)
        hi = lo + span
    for found in (usual, pushed):
        assert found.min() >= lo - 1e-15 and found.max() <= hi + 1e-15
    assert pushed.max() > hi - 1e-3
    if parameters.get("eigenvalue_range") != "[-0.5,1]":  # the modulus 0 lies inside this range
        assert pushed.min() < lo + 1e-3


def test_decays_of_mamba3_reach_both_ends_of_a_signed_range():
    mixer = build("mamba3", {"eigenvalue_range": "[-0.5,1]"}).blocks[0].mixer
    with torch.no_grad():
        mixer.to_step.weight.mul_(1000)
        mixer.to_frequency.weight.zero_()
        found = mixer.transitions(random(1, 1000, WIDTH))
    assert found.imag.abs().max() < 1e-15
    assert found.real.min() == pytest.approx(-0.5) and found.real.max() == pytest.approx(1)


def test_legs_frequencies_are_the_eigenvalues_of_the_normal_part_of_hippo():
    """S4D, section 4: HiPPO-LegS plus a rank one term is normal with real parts -1/2."""
    size = 6
    n = torch.arange(2 * size, dtype=torch.float64)
    root = torch.sqrt(2 * n + 1)
    hippo = -torch.tril(root[:, None] * root, -1) - torch.diag(n + 1)
    low_rank = torch.sqrt(n + 0.5)
    spectrum = torch.linalg.eigvals(hippo + low_rank[:, None] * low_rank)
    torch.testing.assert_close(spectrum.real, torch.full_like(n, -0.5))
    expected = spectrum.imag[spectrum.imag > 0].sort().values
    torch.testing.assert_close(s4d.frequencies_of_legs(size).double(), expected, rtol=1e-6, atol=0)


def test_initial_eigenvalues_are_as_published():
    mixer = lru.LRUMixer(model_config("lru", {"min_modulus": 0.4, "max_modulus": 0.9}))
    a = mixer.transitions(torch.zeros(1, 1, 64)).detach()
    assert a.abs().min() >= 0.4 and a.abs().max() <= 0.9
    torch.testing.assert_close(mixer.log_gamma.exp(), torch.sqrt(1 - a.abs().flatten() ** 2))
    decay = torch.exp(8 * logsigmoid(rg_lru.RGLRUMixer(model_config("rg_lru", {})).raw_decay))
    assert decay.min() >= 0.8999 and decay.max() <= 0.9991
    blocks = build("hgrn", {"num_layers": 3}).blocks
    bounds = [block.mixer.raw_bound.sigmoid().mean() for block in blocks]
    assert bounds == sorted(bounds)


def test_complex_ranges_map_raw_numbers():
    raw = 5 * random(1000, 2)
    disc, circle = UnitDisc().eigenvalue(raw), UnitCircle().eigenvalue(raw[:, :1])
    assert disc.abs().min() < 1e-3 and 1 - 1e-3 < disc.abs().max() <= 1
    torch.testing.assert_close(circle.abs(), torch.ones(1000, dtype=torch.float64))
    assert complex_range("disc", 2.0) == UnitDisc(2.0)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("complex_diagonal", {"eigenvalue_range": "disk"}, "did you mean 'disc'"),
        ("complex_diagonal", {"range_steepness": 0.0}, "steepness 0"),
        ("lru", {"max_modulus": 1.0}, "max_modulus < 1"),
        ("lru", {"max_phase": 7.0}, "max_phase = 7"),
        ("mamba", {"eigenvalue_range": "[0,2]"}, "expected -1 <= lo < hi <= 1"),
        ("s4d", {"initialization": "leg"}, "did you mean 'legs'"),
        ("s4d", {"min_step": 0.0}, "0 < min <= max"),
    ],
)
def test_bad_parameters_are_named(name, parameters, message):
    with pytest.raises(InputError, match=message):
        model_config(name, parameters)
