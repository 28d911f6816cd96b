"""The nonlinear scan against torch.nn's cells, its loop, finite differences."""

import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.scans import nonlinear_scan
from statetrack.scans.nonlinear import CELLS, launch
from statetrack.scans.nonlinear.launch import Plan

OF_TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
TOLERANCES = {torch.float64: (1e-10, 1e-12), torch.float32: (1e-5, 1e-6)}


def inputs(cell, batch=3, length=5, size=4, networks=(2,), dtype=torch.float64, seed=0):
    kind = CELLS[cell]
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*networks, *shape, dtype=torch.float64, generator=generator).to(dtype)

    gates, parts = len(kind.gates), len(kind.state)
    initial = draw(batch, parts, size)
    if "normaliser" in kind.state:
        initial[..., 2, :] = 1 + initial[..., 1, :].abs()
    return {
        "x": draw(batch, length, gates, size),
        "recurrent": draw(gates, size, size) / size**0.5,
        "bias": draw(gates, size),
        "initial": initial,
    }


def results(tensors, cell, backend):
    leaves = {name: one.detach().requires_grad_() for name, one in tensors.items()}
    hidden, final = nonlinear_scan(**leaves, cell=cell, backend=backend)
    (hidden.sin().sum() + final.square().sum()).backward()
    return [hidden, final, *(one.grad for one in leaves.values())]


def assert_close(found, expected, dtype=torch.float64):
    relative, absolute = TOLERANCES[dtype]
    for one, other in zip(found, expected, strict=True):
        scale = float(other.detach().abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(
            one.cpu(), other.cpu().to(one.dtype), rtol=relative, atol=absolute * (1 + scale)
        )


@pytest.mark.parametrize("backend", ["parallel", "reference", "triton"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cell", OF_TORCH)
def test_values_and_every_gradient_are_those_of_torch(cell, dtype, backend, kernel_device):
    """Both biases, the input weights and the initial state included."""
    device = kernel_device if backend == "triton" else torch.device("cpu")
    torch.manual_seed(0)
    width, size, batch, length = 3, 5, 2, 4
    module = OF_TORCH[cell](width, size, batch_first=True).to(dtype)
    words = torch.randn(batch, length, width, dtype=dtype, requires_grad=True)
    start = torch.randn(len(CELLS[cell].state), 1, batch, size, dtype=dtype, requires_grad=True)
    hidden, final = module(words, tuple(start) if cell == "lstm" else start[0])
    final = torch.stack(final) if cell == "lstm" else final.unsqueeze(0)
    leaves = [words, start, *module.parameters()]
    loss = hidden.sin().sum() + final.square().sum()
    expected = [hidden, final, *torch.autograd.grad(loss, leaves)]

    gates = len(CELLS[cell].gates)
    copies = [one.detach().to(device).requires_grad_() for one in leaves]
    words, start, weight_ih, weight_hh, bias_ih, bias_hh = copies
    ours, ours_final = nonlinear_scan(
        nn.functional.linear(words, weight_ih, bias_ih).unflatten(-1, (gates, size)),
        weight_hh.unflatten(0, (gates, size)).mT,
        bias_hh.unflatten(0, (gates, size)),
        start.squeeze(1).movedim(0, -2),
        cell=cell,
        backend=backend,
    )
    ours_final = ours_final.movedim(-2, 0).unsqueeze(1)
    loss = ours.sin().sum() + ours_final.square().sum()
    assert_close([ours, ours_final, *torch.autograd.grad(loss, copies)], expected, dtype)


@pytest.mark.parametrize("length", [0, 1, 2, 33])
@pytest.mark.parametrize("cell", CELLS)
def test_parallel_is_the_loop(cell, length):
    tensors = inputs(cell, length=length)
    if length == 0:
        hidden, final = nonlinear_scan(**tensors, cell=cell)
        assert hidden.shape == (2, 3, 0, 4)
        assert torch.equal(final, tensors["initial"])
    else:
        assert_close(results(tensors, cell, "parallel"), results(tensors, cell, "reference"))


@pytest.mark.parametrize("backend", ["reference", "parallel"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_finite_differences(cell, backend):
    tensors = inputs(cell, batch=2, length=2, size=2, networks=())
    leaves = [one.requires_grad_() for one in tensors.values()]

    def run(*given):
        named = dict(zip(tensors, given, strict=True))
        return nonlinear_scan(**named, cell=cell, backend=backend)

    assert torch.autograd.gradcheck(run, leaves)
    if backend == "parallel":
        assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("cell", ["slstm", "slstm_exponential"])
def test_the_stabiliser_cancels(cell):
    """Plain sums, which overflow for larger gates, give the same numbers."""
    tensors = inputs(cell, batch=2, length=12, size=3, networks=())
    tensors["initial"] = torch.zeros_like(tensors["initial"])
    hidden = torch.zeros(2, 3, dtype=torch.float64)
    total, normaliser = torch.zeros_like(hidden), torch.zeros_like(hidden)
    found, _ = nonlinear_scan(**tensors, cell=cell)
    for t in range(12):
        seen = torch.einsum("bd,gde->bge", hidden, tensors["recurrent"]) + tensors["bias"]
        z, i, f, o = (tensors["x"][:, t] + seen).unbind(-2)
        keep = torch.exp(f) if cell == "slstm_exponential" else torch.sigmoid(f)
        total = keep * total + torch.exp(i) * torch.tanh(z)
        normaliser = keep * normaliser + torch.exp(i)
        hidden = torch.sigmoid(o) * total / normaliser
        torch.testing.assert_close(found[:, t], hidden)
    large = {**tensors, "x": tensors["x"] * 1000}
    assert torch.isfinite(nonlinear_scan(**large, cell=cell)[0]).all()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_kernels_are_the_loop_over_blocks_of_rows_and_tiles(
    kernel_device, monkeypatch, cell, streamed
):
    """More rows than a block, more units than a tile, parts of the gradient of weights."""
    if streamed:
        monkeypatch.setattr(launch, "WEIGHT_BYTES", 0)
        monkeypatch.setattr(launch, "STREAMED_TILE", 16)
        monkeypatch.setattr(launch, "STREAMED_COLUMNS", {False: 16, True: 32})
    monkeypatch.setattr(launch, "GRADIENT_TILE", 16)
    monkeypatch.setattr(launch, "FEWEST_ROWS", 16)
    monkeypatch.setattr(launch, "PROGRAMS_PER_MULTIPROCESSOR", 16)
    tensors = inputs(cell, batch=17, length=2, size=17, networks=())
    on_device = {name: one.to(kernel_device) for name, one in tensors.items()}
    assert_close(results(on_device, cell, "triton"), results(tensors, cell, "reference"))


def test_large_and_small_gates_do_not_overflow_in_the_kernel(kernel_device):
    for cell in ("lstm", "slstm", "slstm_exponential"):
        tensors = inputs(cell, batch=2, length=2, size=3, networks=(), dtype=torch.float32)
        tensors["x"] = tensors["x"] * 300
        tensors["initial"][:, 2:] = 0
        found = results({k: v.to(kernel_device) for k, v in tensors.items()}, cell, "triton")
        wide = results({k: v.double() for k, v in tensors.items()}, cell, "reference")
        for one, other in zip(found[:2], wide[:2], strict=True):
            torch.testing.assert_close(one.cpu().double(), other, rtol=1e-4, atol=1e-5)
        assert all(torch.isfinite(one).all() for one in found)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("backend", ["parallel", "triton"])
def test_shapes_broadcast_and_weights_are_shared(kernel_device, backend):
    """One network for words of several networks, one initial state for all words."""
    tensors = inputs("gru", networks=(2,), length=2)
    shared = {
        "x": tensors["x"],
        "recurrent": tensors["recurrent"][0],
        "initial": tensors["initial"][0, 0],
    }
    on_device = {
        name: one.to(kernel_device if backend == "triton" else "cpu")
        for name, one in shared.items()
    }
    found = results(on_device, "gru", backend)
    for place in range(2):
        alone, _ = nonlinear_scan(
            tensors["x"][place], shared["recurrent"], initial=shared["initial"], cell="gru"
        )
        torch.testing.assert_close(found[0][place].cpu(), alone)
    assert [tuple(one.shape) for one in found[3:]] == [(3, 4, 4), (1, 4)]


def test_what_fits_on_chip():
    """64 units of an LSTM stay, 128 pass by; 128 of a tanh RNN stay, but not in parts."""
    sizes = [("lstm", 64, True), ("lstm", 128, False), ("rnn", 128, True), ("gru", 128, False)]
    for cell, size, fits in sizes:
        assert Plan(CELLS[cell], size, torch.float32, "ieee").fits is fits, (cell, size)
    assert Plan(CELLS["lstm"], 64, torch.float32, "ieee", on_gpu=True).fits
    assert not Plan(CELLS["rnn"], 128, torch.float32, "ieee", on_gpu=True).fits


def test_bad_input_is_named(kernel_device):
    tensors = inputs("lstm")
    x, recurrent = tensors["x"], tensors["recurrent"]
    with pytest.raises(InputError, match=r"cell 'lstn'.*lstm"):
        nonlinear_scan(**tensors, cell="lstn")
    with pytest.raises(InputError, match=r"x has shape .* G = 3 gates of 'gru': r, z, n"):
        nonlinear_scan(**tensors, cell="gru")
    with pytest.raises(InputError, match=r"recurrent has shape .* \[\.\.\., 4, 4, 4\]"):
        nonlinear_scan(x, recurrent[..., :3])
    with pytest.raises(InputError, match="bias has shape"):
        nonlinear_scan(x, recurrent, tensors["bias"][..., :1, :])
    with pytest.raises(InputError, match=r"initial has shape .* for hidden, cell"):
        nonlinear_scan(x, recurrent, initial=tensors["initial"][..., :1, :])
    with pytest.raises(InputError, match="leading axes do not broadcast"):
        nonlinear_scan(x, recurrent[:1].expand(3, -1, -1, -1))
    with pytest.raises(InputError, match="expected one of"):
        nonlinear_scan(x.long(), recurrent)
    with pytest.raises(InputError, match="precision 'tf32'"):
        nonlinear_scan(x.cpu(), recurrent, precision="tf32", backend="parallel")
    wide = torch.zeros(1, 1, 1, 257, device=kernel_device)
    with pytest.raises(InputError, match="D = 257, the kernel takes D up to 256"):
        nonlinear_scan(
            wide, torch.zeros(1, 257, 257, device=kernel_device), cell="rnn", backend="triton"
        )
