"""The linear map that writes what is wanted: what it was, its weights in packs, its roundings."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from automata.errors import InputError
from statetrack.layers import bias_add, linear
from statetrack.models import build_model, list_models
from statetrack.models.modules import Projection
from tests.layer_cases import DEVICE, Draw, kernels, linear_inputs, with_gradients

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter


def of_a_pack(draw: Draw, runs: int, rows: int, size: int, outputs: int) -> tuple[Tensor, Tensor]:
    """The weight of every run is a piece of one float32 row, as in a pack of models."""
    x, weight = linear_inputs(draw, draw.normal(runs, rows, size), outputs, (runs,))
    flat = torch.cat([weight.new_zeros(runs, 3), weight.flatten(1), weight.new_zeros(runs, 5)], 1)
    return x, flat[:, 3:-5].unflatten(1, weight.shape[1:])


def relative(found: Tensor, true: Tensor) -> float:
    return float((found.double() - true).norm() / true.norm())


def as_kernels(dtype: torch.dtype | None):
    return lambda x, weight: linear(x, weight, dtype=dtype, backend="triton")


def as_before(module: Projection, x: Tensor) -> Tensor:
    y = functional.linear(x, module.weight)
    is_mixed = module.widens and torch.is_autocast_enabled(x.device.type)
    dtype = torch.promote_types(y.dtype, torch.float32) if is_mixed else y.dtype
    return y.to(dtype) if module.bias is None else bias_add(y, module.bias, dtype=dtype)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("widens", [False, True])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("of_x", [torch.float32, torch.bfloat16, torch.float64])
def test_a_projection_is_what_it_was_bit_for_bit(bias, widens, autocast, of_x):
    torch.manual_seed(0)
    module = Projection(16, 24, bias, widens=widens)
    if of_x == torch.float64 or autocast is None:
        module = module.to(of_x)
    x = torch.randn(2, 3, 16, dtype=of_x)
    leaves = [x.requires_grad_(), *module.parameters()]
    found = []
    for run in (module, lambda one: as_before(module, one)):
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            y = run(x)
        found.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_projection_that_is_used_twice_is_what_it_was_bit_for_bit():
    """Autocast casts the weight once; its gradients meet in bfloat16."""
    torch.manual_seed(1)
    module = Projection(16, 24, bias=False)
    one, other = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    found = []
    for run in (module, lambda x: as_before(module, x)):
        with torch.autocast("cpu", torch.bfloat16):
            y = run(one) * run(other)
        found += torch.autograd.grad(y.square().sum(), module.weight)
    assert torch.equal(*found)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_pack_of_projections_is_what_it_was_bit_for_bit(autocast):
    draw = Draw(0, device=torch.device("cpu"))
    module = Projection(6, 7, bias=False)
    x, weight = of_a_pack(draw, 3, 8, 6, 7)

    def run(x: Tensor, weight: Tensor, forward) -> Tensor:
        def one(x: Tensor, weight: Tensor) -> Tensor:
            if forward is None:
                return torch.func.functional_call(module, {"weight": weight}, (x,))
            return functional.linear(x, weight).float()

        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return torch.func.vmap(one)(x, weight)

    found, before = (
        with_gradients(lambda *given, f=forward: run(*given, f), (x, weight))
        for forward in (None, functional.linear)
    )
    assert all(torch.equal(one, other) for one, other in zip(found, before, strict=True))


def test_one_model_and_a_pack_are_what_torch_computes():
    draw = Draw(0, torch.float64)
    x, weight = linear_inputs(draw, draw.normal(3, 2, 4, 5), 7, (3,))

    def by_torch(x: Tensor, weight: Tensor) -> Tensor:
        return torch.stack([functional.linear(*one) for one in zip(x, weight, strict=True)])

    true = with_gradients(by_torch, (x, weight))
    for backend in ("reference", "triton"):
        run = lambda *given, b=backend: linear(*given, backend=b)  # noqa: E731
        torch.testing.assert_close(with_gradients(run, (x, weight)), true)
        torch.testing.assert_close(run(x[1], weight[1]), true[0][1])
        torch.testing.assert_close(run(x[1, 1, 1], weight[1]), true[0][1, 1, 1])


@pytest.mark.parametrize("written", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("runs", [(), (1,), (3,)])
def test_products_of_bfloat16_are_rounded_at_most_once(written, runs):
    draw = Draw(1, torch.bfloat16)
    x, weight = linear_inputs(draw, draw.normal(*runs, 40, 32), 24, runs)
    y, grad_x, grad_weight = with_gradients(as_kernels(written), (x, weight))
    assert (y.dtype, grad_x.dtype, grad_weight.dtype) == (written, torch.bfloat16, torch.float32)
    narrow = weight.bfloat16().double()
    exact = x.double() @ narrow.mT
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    cotangent = cotangent.to(DEVICE, written).bfloat16().double()
    rounding = 2.0**-8
    assert relative(y, exact) < (rounding if written == torch.bfloat16 else 1e-5)
    assert relative(grad_x, cotangent @ narrow) < rounding
    assert relative(grad_weight, cotangent.mT @ x.double()) < 1e-5


def test_a_weight_of_one_run_is_that_of_no_pack():
    x, weight = linear_inputs(Draw(2), Draw(3).normal(4, 3, 6), 7, ())
    alone = with_gradients(kernels("linear"), (x, weight))
    in_front = with_gradients(kernels("linear"), (x[None], weight[None]))
    mapped = with_gradients(torch.func.vmap(kernels("linear")), (x[None], weight[None]))
    for one, *others in zip(alone, in_front, mapped, strict=True):
        assert all(torch.equal(one, other[0]) for other in others)


def test_weights_where_they_lie_in_a_pack():
    inputs = of_a_pack(Draw(3), 3, 5, 6, 7)
    assert not inputs[1].is_contiguous()
    strided = with_gradients(kernels("linear"), inputs)
    copied = with_gradients(kernels("linear"), [one.contiguous() for one in inputs])
    mapped = with_gradients(torch.func.vmap(kernels("linear")), inputs)
    for one, *others in zip(strided, copied, mapped, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_are_views(dtype):
    """Heads merged again, a part of wider rows, columns, and one row repeated."""
    draw = Draw(4, dtype)
    heads = draw.normal(3, 4, 2, 5, 6)
    merged = heads.transpose(2, 3).flatten(-2)
    in_place = draw.normal(3, 4, 5, 2, 6).transpose(2, 3).transpose(2, 3).flatten(-2)
    views = {
        "merged": merged,
        "in place": in_place,
        "turned": draw.normal(3, 5, 4, 12).transpose(1, 2),
        "part": draw.normal(3, 4, 5, 20)[..., 4:16],
        "columns": draw.normal(3, 12, 4, 5).movedim(1, -1),
        "repeated": draw.normal(3, 1, 1, 12).expand(3, 4, 5, 12),
    }
    weight = draw.normal(3, 7, 12, wide=True)
    for name, x in views.items():
        found = with_gradients(as_kernels(torch.float32), (x, weight))
        copied = with_gradients(as_kernels(torch.float32), (x.contiguous(), weight))
        assert all(torch.equal(one, other) for one, other in zip(found, copied, strict=True)), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_that_are_views(dtype):
    draw = Draw(5, dtype)
    x, weight = linear_inputs(draw, draw.normal(3, 4, 5, 6), 8, (3,))
    heads = draw.normal(3, 4, 2, 5, 4).float()

    def gradients(grad: Tensor) -> tuple[Tensor, ...]:
        leaves = [one.detach().requires_grad_() for one in (x, weight)]
        y = linear(*leaves, dtype=torch.float32, backend="triton")
        return torch.autograd.grad(y, leaves, grad)

    whole = heads.transpose(2, 3).flatten(-2)
    turned = torch.stack([whole, whole], -1)[..., 0]
    for one, other in zip(gradients(whole), gradients(turned), strict=True):
        assert torch.equal(one, other)
    ones = torch.ones((), device=DEVICE).expand(3, 4, 5, 8)
    for one, other in zip(gradients(ones), gradients(ones.contiguous()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("runs", [(), (2,)])
def test_rows_mapped_over_a_shared_weight(runs):
    """More rows of the same weight: nothing is repeated."""
    draw = Draw(4)
    x, weight = linear_inputs(draw, draw.normal(*runs, 4, 3, 6), 7, runs)
    axis = len(runs)
    mapped = torch.func.vmap(kernels("linear"), (axis, None), axis)
    found, true = (with_gradients(run, (x, weight)) for run in (mapped, kernels("linear")))
    assert all(torch.equal(one, other) for one, other in zip(found, true, strict=True))


def test_weights_mapped_over_shared_rows():
    draw = Draw(5)
    x, weight = linear_inputs(draw, draw.normal(4, 6), 7, ())
    weights = torch.stack([weight, -weight])
    found = with_gradients(torch.func.vmap(kernels("linear"), (None, 0)), (x, weights))
    true = with_gradients(lambda x, w: torch.stack([x @ one.mT for one in w]), (x, weights))
    for one, other in zip(found, true, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_many_cotangents_at_once():
    """The backward pass is mapped with its weight shared."""
    draw = Draw(5)
    inputs = linear_inputs(draw, draw.normal(4, 3, 6), 7, ())
    cotangents = draw.normal(2, 4, 3, 7)

    def gradients(backend: str) -> tuple[Tensor, ...]:
        leaves = [one.detach().requires_grad_() for one in inputs]
        y = linear(*leaves, backend=backend)
        return torch.autograd.grad(y, leaves, cotangents, is_grads_batched=True)

    for one, other in zip(gradients("triton"), gradients("reference"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "triton"])
@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6)])
def test_no_rows(backend, shape):
    x, weight = linear_inputs(Draw(6), torch.zeros(shape, device=DEVICE), 7, ())
    inputs = (x, weight)
    y, *gradients = with_gradients(lambda *given: linear(*given, backend=backend), inputs)
    assert y.shape == (*shape[:-1], 7)
    assert [one.shape for one in gradients] == [one.shape for one in inputs]
    assert not any(one.any() for one in gradients)


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_types(backend):
    real = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    weight = torch.ones(7, 6, device=DEVICE)
    for of_x in real:
        x = torch.ones(2, 6, device=DEVICE, dtype=of_x)
        for autocast in (False, True):
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
                y = linear(x, weight, backend=backend)
                is_cast = autocast and of_x != torch.float64
                assert y.dtype == (torch.bfloat16 if is_cast else of_x)
                assert torch.equal(y, torch.full_like(y, 6))
                for written in real:
                    y = linear(x, weight, dtype=written, backend=backend)
                    assert y.dtype == written
                    assert torch.equal(y, torch.full_like(y, 6))
    for of_weight in real:
        run = lambda *given: linear(*given, dtype=torch.float32, backend=backend)  # noqa: E731
        _, *gradients = with_gradients(run, (x.bfloat16(), weight.to(of_weight)))
        assert [one.dtype for one in gradients] == [torch.bfloat16, of_weight]


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        ((2, 5), (7, 6)),
        ((2, 6), (6,)),
        ((6,), (3, 7, 6)),
        ((2, 6), (3, 7, 6)),
        ((2, 6), (0, 6)),
        ((2, 0), (7, 0)),
        ((), (7, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_named(x, weight):
    with pytest.raises(InputError) as caught:
        linear(torch.ones(x), torch.ones(weight))
    assert f"x {x} and weight {weight}, expected [..., D] and [O, D]" in str(caught.value)


def test_types_and_devices_that_do_not_fit_are_named():
    x, weight = torch.ones(2, 6), torch.ones(7, 6)
    with pytest.raises(InputError, match=r"x is torch\.int64, expected one of float32"):
        linear(x.long(), weight)
    with pytest.raises(InputError, match=r"weight is torch\.complex64"):
        linear(x, weight.cfloat())
    with pytest.raises(InputError, match=r"dtype is torch\.int64, expected one of .*float32"):
        linear(x, weight, dtype=torch.int64)
    with pytest.raises(InputError, match="different devices"):
        linear(x, weight.to("meta"))
    with pytest.raises(InputError, match="backend"):
        linear(x, weight, backend="trition")


@pytest.mark.parametrize("name", list_models())
def test_no_linear_map_without_bias_is_left_to_torch(name):
    """Those of a pack would each be cast to bfloat16 and back by kernels of their own."""
    model = build_model(name, 3, 4)
    left = [
        path
        for path, module in model.named_modules()
        if type(module) is torch.nn.Linear and module.bias is None
    ]
    assert not left


@pytest.mark.gpu
@pytest.mark.parametrize("written", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "outputs"), [(16, 3), (33, 65), (128, 1024), (1024, 128)])
@pytest.mark.parametrize(("runs", "rows"), [(1, 200), (3, 1), (2, 200), (5, 8192), (32, 256)])
def test_bfloat16_is_as_exact_as_product_and_cast(written, size, outputs, runs, rows):
    inputs = of_a_pack(Draw(rows, torch.bfloat16), runs, rows, size, outputs)
    exact = with_gradients(linear, [one.double() for one in inputs])

    def run(backend: str) -> list[Tensor]:
        return with_gradients(lambda *given: linear(*given, dtype=written, backend=backend), inputs)

    found, before = run("auto"), run("reference")
    for number, (one, two, true) in enumerate(zip(found, before, exact, strict=True)):
        assert one.dtype == two.dtype
        assert relative(one, true) <= 1.1 * relative(two, true) + 1e-6, number
    x, weight = inputs
    if written == torch.float32:
        assert relative(found[0], x.double() @ weight.bfloat16().double().mT) < 1e-5
    cotangent = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(0))
    cotangent = cotangent.to(DEVICE, written).bfloat16().double()
    assert relative(found[2], cotangent.mT @ x.double()) < 1e-5
    for _ in range(5):
        again = run("auto")
        assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
