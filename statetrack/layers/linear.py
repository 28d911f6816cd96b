"""A linear map whose product is written at once in the type that is wanted."""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import (
    output_dtype,
    require_real,
    require_real_type,
    statistics_dtype,
    takes_kernels,
)
from statetrack.layers.rows import lead, map_leading
from statetrack.scans.kernels import num_items, with_unit_stride
from statetrack.scans.operators import register_gradient, register_operator


def linear(
    x: Tensor, weight: Tensor, *, dtype: torch.dtype | None = None, backend: str = "auto"
) -> Tensor:
    """A linear map without a bias, ``x W^T``, row by row.

    Parameters
    ----------
    x : Tensor, [..., any axes, D]
        Real floating point.
    weight : Tensor, [..., O, D]
        The leading axes are those of a pack; `x` begins with them.
    dtype : torch.dtype, optional
        Type of the output; by default that of autocast where it is on, else that of `x`.
    backend : {"auto", "reference", "triton"}
        "auto" takes the operator on a GPU where a float32 weight meets bfloat16 (the type of `x` or
        of autocast), else a linear map of torch and a cast of its output. "triton" takes the
        operator, as in other layers, though its products are those of torch.

    Returns
    -------
    Tensor, [..., any axes, O]

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Products are of numbers in the type of autocast, summed in float32 (float64 for float64). The
    operator writes sums in float32 without rounding them before, and so the gradient of the weight;
    a gradient of the output is rounded to the type of the products once. Cost for N rows: 2 N D O
    operations forward and 4 N D O backward, and one cast of the weight, which is kept.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import linear
    >>> linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, -1.0]])).tolist()
    [[3.0, -2.0]]
    """
    require_real("linear", x=x, weight=weight)
    _require_shapes(x, weight)
    x = x.to(output_dtype(x))
    written = x.dtype if dtype is None else dtype
    require_real_type("linear", "dtype", written)
    fits = x.dtype == torch.bfloat16 and weight.dtype == torch.float32
    if takes_kernels("linear", backend, x.device, fits):
        y: Tensor = linear_triton(x, weight, written)[0]
        return y
    return linear_reference(x, weight).to(written)


def linear_reference(x: Tensor, weight: Tensor) -> Tensor:
    """Same contract as `linear` in the type of `x`, in plain torch."""
    # Autocast casts a weight once for all its uses, whose gradients are then summed in its type.
    is_cast = torch.is_autocast_enabled(x.device.type)
    if not is_cast or torch.float64 in (x.dtype, weight.dtype):
        weight = weight.to(x.dtype)
    if weight.dim() == 2:
        return torch.nn.functional.linear(x, weight)
    leading = weight.dim() - 2
    y = _rows(x, leading) @ _rows(weight, leading).mT
    return y.reshape(*x.shape[:-1], weight.shape[-2])


def product(one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """Products of matrices, [P, rows, K] and [P, K, columns] of one type, written in any type.

    Sums are in float32, float64 for float64, and rounded once.
    """
    if dtype == one.dtype:
        return _multiply(one, other)
    wide = statistics_dtype(one.dtype)
    if one.dtype == wide:
        return _multiply(one, other).to(dtype)
    if one.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return _multiply(one.to(wide), other.to(wide)).to(dtype)
    return _multiply(one, other, out_dtype=wide).to(dtype)


def _multiply(one: Tensor, other: Tensor, **options: Any) -> Tensor:
    if len(one) == 1:
        return torch.mm(one[0], other[0], **options).unsqueeze(0)
    return torch.bmm(one, other, **options)


def _rows(tensor: Tensor, leading: int) -> Tensor:
    """[..., any axes, D] as [P, rows, D], a view where the order in memory allows it."""
    runs, rows = num_items(tensor.shape[:leading]), num_items(tensor.shape[leading:-1])
    return with_unit_stride(tensor.reshape(runs, rows, tensor.shape[-1]))


def _require_shapes(x: Tensor, weight: Tensor) -> None:
    leading = weight.dim() - 2
    fits = (
        leading >= 0
        and min(weight.shape[-2:]) > 0
        and x.dim() > leading
        and x.shape[:leading] == weight.shape[:leading]
        and x.shape[-1] == weight.shape[-1]
    )
    if not fits:
        raise InputError(
            f"linear: x {tuple(x.shape)} and weight {tuple(weight.shape)}, expected [..., D] and "
            "[O, D] with D and O at least 1, both behind the same leading axes"
        )


def _run(x: Tensor, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Output, and the weight in the type of x."""
    # An output of an operator may be no view of an input: always a copy.
    cast = weight.to(x.dtype, memory_format=torch.contiguous_format, copy=True)
    if x.numel() == 0:
        return _allocate(x, weight, dtype)[0], cast
    leading = weight.dim() - 2
    y = product(_rows(x, leading), _rows(cast, leading).mT, dtype)
    return y.view(*x.shape[:-1], weight.shape[-2]), cast


def _run_backward(
    x: Tensor, grad: Tensor, weight: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Gradients of x, in its type, and of the weight, in `dtype`."""
    if x.numel() == 0:
        grad_x, grad_weight = _allocate_gradients(x, grad, weight, dtype)
        return grad_x, grad_weight.zero_()
    if grad.dtype != x.dtype:
        grad = grad.to(x.dtype, memory_format=torch.contiguous_format)
    x_rows, grad_rows, matrices = (_rows(one, weight.dim() - 2) for one in (x, grad, weight))
    of_x = product(grad_rows, matrices, x.dtype)
    of_weight = product(grad_rows.mT, x_rows, dtype)
    return of_x.view(x.shape), of_weight.view(weight.shape)


def _allocate(x: Tensor, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    y = torch.empty((*x.shape[:-1], weight.shape[-2]), dtype=dtype, device=x.device)
    return y, torch.empty(weight.shape, dtype=x.dtype, device=x.device)


def _allocate_gradients(
    x: Tensor, grad: Tensor, weight: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return grad_x, torch.empty(weight.shape, dtype=dtype, device=x.device)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, _ = inputs
    ctx.dtype = weight.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, output[1])


def _differentiate(ctx: Any, grad: Tensor | None, _cast: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 3
    x, weight = ctx.saved_tensors
    return (*linear_backward_triton(x, grad, weight, ctx.dtype), None)


def _map(
    info: Any, in_dims: tuple[int | None, ...], x: Tensor, weight: Tensor, dtype: torch.dtype
) -> Any:
    """Rule of `torch.func.vmap`: runs of a pack, or more rows where the weight is shared."""
    of_x, of_weight, _ = in_dims
    if of_x is not None and of_weight is None:
        place = weight.dim() - 2
        return linear_triton(x.movedim(of_x, place), weight, dtype), (place, None)
    size = info.batch_size
    return linear_triton(lead(x, of_x, size), lead(weight, of_weight, size), dtype), (0, 0)


linear_triton = register_operator(
    "linear(Tensor x, Tensor weight, ScalarType dtype) -> (Tensor, Tensor)",
    _run,
    _allocate,
    vmap_rule=_map,
)
linear_backward_triton = register_operator(
    "linear_backward(Tensor x, Tensor grad, Tensor weight, ScalarType dtype) -> (Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    vmap_rule=map_leading("linear_backward"),
)
register_gradient(linear_triton, linear_backward_triton, _differentiate, _save, instead="reference")
