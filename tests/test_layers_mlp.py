"""The fused MLP: what it was as four layers, its weights in packs, its numbers in bfloat16."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from automata.errors import InputError
from statetrack.layers import bias_add, bias_gelu, mlp
from statetrack.layers.mlp import mlp_unfused
from statetrack.models.modules import MLP
from tests.layer_cases import DEVICE, Draw, kernels, mlp_inputs, with_gradients

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter


def of_a_pack(draw: Draw, runs: int, rows: int, size: int, hidden: int) -> tuple[Tensor, ...]:
    """Weights are pieces of one float32 row a run, as in a pack of models."""
    x, *weights = mlp_inputs(draw, draw.normal(runs, rows, size), hidden, (runs,))
    flat = torch.cat([one.flatten(1) for one in weights], dim=1)
    pieces = flat.split([one[0].numel() for one in weights], dim=1)
    return x, *(one.unflatten(1, like.shape[1:]) for one, like in zip(pieces, weights, strict=True))


def relative(found: Tensor, true: Tensor) -> float:
    return float((found.double() - true).norm() / true.norm())


@pytest.mark.parametrize("autocast", [False, True])
def test_the_module_is_what_it_was_bit_for_bit(autocast):
    def before(module: MLP, x: Tensor) -> Tensor:
        u = bias_gelu(functional.linear(x, module.up.weight), module.up.bias)
        return bias_add(functional.linear(u, module.down.weight), module.down.bias)

    torch.manual_seed(0)
    module = MLP(16, 64)
    x = torch.randn(2, 3, 16, dtype=torch.bfloat16 if autocast else torch.float32)
    leaves = [x.requires_grad_(), *module.parameters()]
    found = []
    for run in (module, lambda one: before(module, one)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = run(x)
        assert y.dtype == x.dtype
        found.append([y, *torch.autograd.grad(y.float().square().sum(), leaves)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_one_model_and_a_pack_are_what_torch_computes():
    x, *weights = mlp_inputs(
        Draw(0, torch.float64), Draw(1, torch.float64).normal(3, 2, 5), 7, (3,)
    )

    def by_torch(x: Tensor, *weights: Tensor) -> Tensor:
        runs = []
        for one, up, up_bias, down, down_bias in zip(x, *weights, strict=True):
            h = functional.gelu(functional.linear(one, up, up_bias))
            runs.append(functional.linear(h, down, down_bias))
        return torch.stack(runs)

    found, true = with_gradients(mlp, (x, *weights)), with_gradients(by_torch, (x, *weights))
    for one, other in zip(found, true, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(
        mlp, [one[0].requires_grad_() for one in (x, *weights)], fast_mode=True
    )
    alone = mlp(x[1], *(one[1] for one in weights))
    torch.testing.assert_close(alone, found[0][1])


def test_the_normal_distribution_of_the_kernels():
    """GELU and its derivative of single numbers, also far out."""
    x = torch.cat([torch.linspace(-9, 9, 3001), torch.tensor([-1e4, -50.0, -0.0, 50.0, 1e4])])
    x = x.to(DEVICE).unsqueeze(1).requires_grad_()
    one, zero = torch.ones(1, 1, device=DEVICE), torch.zeros(1, device=DEVICE)
    y = mlp(x, one, zero, one, zero, backend="triton")
    (slope,) = torch.autograd.grad(y.sum(), x)
    wide = x.detach().double().requires_grad_()
    true = functional.gelu(wide)
    (true_slope,) = torch.autograd.grad(true.sum(), wide)
    assert (slope.double() - true_slope).abs().max() < 2e-6
    torch.testing.assert_close(y.detach().double(), true.detach(), rtol=1e-6, atol=2e-6)


def test_weights_where_they_lie_in_a_pack():
    inputs = of_a_pack(Draw(3), 3, 5, 6, 7)
    assert not inputs[1].is_contiguous()
    strided = with_gradients(kernels("mlp"), inputs)
    copied = with_gradients(kernels("mlp"), [one.contiguous() for one in inputs])
    mapped = with_gradients(torch.func.vmap(kernels("mlp")), inputs)
    for one, *others in zip(strided, copied, mapped, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("runs", [(), (2,)])
def test_rows_mapped_over_shared_weights(runs):
    """More rows of the same weights: nothing is repeated."""
    draw = Draw(4)
    x, *weights = mlp_inputs(draw, draw.normal(*runs, 4, 3, 6), 7, runs)
    axis = len(runs)

    def mapped(x: Tensor, *weights: Tensor) -> Tensor:
        map_rows = torch.func.vmap(kernels("mlp"), (axis, *(None,) * 4), axis)
        return map_rows(x, *weights)

    found, true = (with_gradients(run, (x, *weights)) for run in (mapped, kernels("mlp")))
    assert all(torch.equal(one, other) for one, other in zip(found, true, strict=True))


def test_many_cotangents_at_once():
    """The backward pass is mapped with its weights shared."""
    draw = Draw(5)
    inputs = mlp_inputs(draw, draw.normal(4, 3, 6), 7, ())
    cotangents = draw.normal(2, 4, 3, 6)

    def gradients(backend: str) -> tuple[Tensor, ...]:
        leaves = [one.detach().requires_grad_() for one in inputs]
        y = mlp(*leaves, backend=backend)
        return torch.autograd.grad(y, leaves, cotangents, is_grads_batched=True)

    for one, other in zip(gradients("triton"), gradients("reference"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_no_rows_and_types():
    x, *weights = mlp_inputs(Draw(6), torch.zeros(0, 3, 6, device=DEVICE), 7, ())
    for backend in ("reference", "triton"):
        run = lambda *given, b=backend: mlp(*given, backend=b)  # noqa: E731
        y, *gradients = with_gradients(run, (x, *weights))
        assert y.shape == x.shape
        assert [one.shape for one in gradients] == [one.shape for one in (x, *weights)]
        assert not any(one.any() for one in gradients)
        for dtype in (torch.float32, torch.float64):
            with torch.autocast(DEVICE.type, torch.bfloat16):
                y = run(torch.ones(2, 6, device=DEVICE, dtype=dtype), *weights)
            assert y.dtype == (torch.bfloat16 if dtype == torch.float32 else dtype)
        narrow = [one.bfloat16() for one in weights]
        assert (
            with_gradients(run, (torch.ones(2, 6, device=DEVICE).bfloat16(), *narrow))[2].dtype
            == torch.bfloat16
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": (2, 5)}, r"x \(2, 5\), .*expected \[..., D\]"),
        ({"up_bias": (5,)}, r"up_bias \(5,\)"),
        ({"down_weight": (7, 6)}, r"down_weight \(7, 6\)"),
        ({"down_bias": (1,)}, r"down_bias \(1,\)"),
        ({"up_weight": (7,)}, r"up_weight \(7,\)"),
        ({"up_weight": (0, 6), "up_bias": (0,), "down_weight": (6, 0)}, "H at least 1"),
        ({"up_weight": (3, 7, 6)}, "same leading axes"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, message):
    shapes = {"x": (2, 6), "up_weight": (7, 6), "up_bias": (7,), "down_weight": (6, 7)}
    shapes = {**shapes, "down_bias": (6,), **change}
    with pytest.raises(InputError, match=message):
        mlp(**{name: torch.ones(shape) for name, shape in shapes.items()})


def test_rows_too_wide_for_the_kernels_are_named():
    x, *weights = mlp_inputs(Draw(8), Draw(8).normal(2, 257), 7, ())
    with pytest.raises(InputError, match="D = 257, the kernels take 1 to 256"):
        mlp(x, *weights, backend="triton")


def test_types_that_do_not_fit_are_named():
    weights = nn.Linear(6, 7), nn.Linear(7, 6)
    given = [one for linear in weights for one in linear.parameters()]
    with pytest.raises(InputError, match=r"x is torch\.int64"):
        mlp(torch.ones(2, 6, dtype=torch.int64), *given)
    with pytest.raises(InputError, match="backend"):
        mlp(torch.ones(2, 6), *given, backend="trition")


@pytest.mark.gpu
@pytest.mark.parametrize(("size", "hidden"), [(16, 64), (64, 256), (96, 384), (128, 512)])
@pytest.mark.parametrize(("runs", "rows"), [(3, 1), (2, 200), (5, 8192), (32, 256)])
def test_bfloat16_is_as_exact_as_four_layers(size, hidden, runs, rows):
    inputs = of_a_pack(Draw(rows, torch.bfloat16), runs, rows, size, hidden)
    exact = with_gradients(lambda *given: mlp(*given, backend="reference"),
                           [one.double() for one in inputs])  # fmt: skip
    fused = with_gradients(mlp, inputs)
    before = with_gradients(lambda *given: mlp_unfused(*given, backend="auto"), inputs)
    for number, (one, four, true) in enumerate(zip(fused, before, exact, strict=True)):
        assert one.dtype == four.dtype
        assert relative(one, true) <= 1.1 * relative(four, true) + 1e-6, number
    for _ in range(5):
        again = with_gradients(mlp, inputs)
        assert all(torch.equal(one, other) for one, other in zip(fused, again, strict=True))
