"""Root-mean-square normalisation, alone and behind a residual sum."""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import (
    output_dtype,
    require_real,
    statistics_dtype,
    takes_kernels,
)
from statetrack.layers.rows import (
    RowGroups,
    Tiles,
    empty_rows,
    kernel_type,
    map_rows,
    require_broadcast,
    sum_of_parts,
)
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

EPS = 1e-6
# A row is held in the registers of one program.
LONGEST_ROW = 8192


def rms_norm(
    x: Tensor, scale: Tensor, *, dtype: torch.dtype | None = None, backend: str = "auto"
) -> Tensor:
    """Divide every row by its root mean square, then scale per channel.

    Parameters
    ----------
    x : Tensor, [..., D]
        Real floating point.
    scale : Tensor, [..., D]
        Broadcasts against `x`: [D], or with leading axes such as [H, 1, D] for x [B, H, T, D].
    dtype : torch.dtype, optional
        Type of the output; by default that of autocast where it is on, so that a linear map that
        follows has nothing to cast, else that of `x`.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU for D up to 8,192, and torch elsewhere.

    Returns
    -------
    Tensor, [..., D]
        ``x (mean of x^2 + 1e-6)^(-1/2) scale``, computed in float32 (float64 for float64).

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Cost of the kernels: one reading and one writing of the rows; the backward pass reads `x` and
    the gradient and writes one gradient. Nothing but `x` and `scale` is kept.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import rms_norm
    >>> x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    >>> rms_norm(x, torch.ones(2)).round(decimals=4).tolist()
    [[0.8485, 1.1314]]
    """
    require_real("rms_norm", x=x, scale=scale)
    require_broadcast("rms_norm", "scale", scale, x)
    written = output_dtype(x) if dtype is None else dtype
    if takes_kernels("rms_norm", backend, x.device, x.shape[-1] <= LONGEST_ROW):
        return rms_norm_triton(x, scale, written)
    return rms_norm_reference(x, scale, written)


def add_rms_norm(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    *,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Add to a residual stream, and normalise the sum.

    Parameters
    ----------
    x, y : Tensor, [..., D]
        The residual stream and what is added to it; `y` may be of a narrower type.
    scale : Tensor, [..., D]
        As in `rms_norm`.
    dtype : torch.dtype, optional
        Type of the normalised output, as in `rms_norm`.
    backend : {"auto", "reference", "triton"}
        As in `rms_norm`.

    Returns
    -------
    total : Tensor, [..., D]
        ``x + y``, in the type of `x`.
    normalised : Tensor, [..., D]
        ``rms_norm(total, scale)``.

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Cost of the kernels: two readings and two writings of the rows; the backward pass reads the
    total and both gradients and writes one gradient, or two where `x` and `y` differ in type.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import add_rms_norm
    >>> total, normalised = add_rms_norm(torch.ones(1, 2), torch.ones(1, 2), torch.ones(2))
    >>> total.tolist(), normalised.round(decimals=4).tolist()
    ([[2.0, 2.0]], [[1.0, 1.0]])
    """
    require_real("add_rms_norm", x=x, y=y, scale=scale)
    require_broadcast("add_rms_norm", "scale", scale, x)
    if x.shape != y.shape:
        raise InputError(f"add_rms_norm: x {tuple(x.shape)} and y {tuple(y.shape)} differ in shape")
    written = output_dtype(x) if dtype is None else dtype
    if takes_kernels("add_rms_norm", backend, x.device, x.shape[-1] <= LONGEST_ROW):
        return add_rms_norm_triton(x, y, scale, written)
    return add_rms_norm_reference(x, y, scale, written)


def rms_norm_reference(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Same contract as `rms_norm`, in plain torch."""
    wide = x.to(statistics_dtype(x.dtype))
    inverse = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + EPS)
    return (wide * inverse * scale).to(dtype)


def add_rms_norm_reference(
    x: Tensor, y: Tensor, scale: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Same contract as `add_rms_norm`, in plain torch."""
    total = (x + y).to(x.dtype)
    return total, rms_norm_reference(total, scale, dtype)


def _run(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    return _run_forward(x, None, scale, dtype)[1]


def _run_sum(x: Tensor, y: Tensor, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return _run_forward(x, y, scale, dtype)


def _run_forward(
    x: Tensor, y: Tensor | None, scale: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The sum, which is `x` where there is no `y`, and what is normalised."""
    from statetrack.layers.kernels.rms_norm import forward

    if x.numel() == 0:
        return _allocate_sum(x, x, scale, dtype)
    groups = RowGroups(x, scale)
    tiles = Tiles(groups.count, groups.rows, groups.size)
    rows, normal = groups.laid(x), groups.order.empty(dtype)
    total = rows if y is None else groups.order.empty(x.dtype)
    with Launches(x) as launch:
        launch(
            forward, (groups.count * tiles.count,),
            rows, rows if y is None else groups.laid(y), groups.weight, total, normal,
            *groups.sizes, *groups.weight_steps, tiles.count,
            **_options(groups, tiles, x.dtype), ADD=y is not None,
        )  # fmt: skip
    return groups.order.back(total), groups.order.back(normal)


def _run_backward(x: Tensor, grad_normal: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    grad_x, _, grad_scale = _run_backward_of(x, None, grad_normal, scale, x.dtype)
    return grad_x, grad_scale


def _run_sum_backward(
    total: Tensor, grad_total: Tensor, grad_normal: Tensor, scale: Tensor, y_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """`grad_total` has no columns where the sum itself has no gradient."""
    of_total = grad_total if grad_total.shape == total.shape else None
    return _run_backward_of(total, of_total, grad_normal, scale, y_dtype)


def _run_backward_of(
    x: Tensor, grad_total: Tensor | None, grad_normal: Tensor, scale: Tensor, y_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    from statetrack.layers.kernels.rms_norm import backward

    grad_y = _allocate_second(x, y_dtype)
    if x.numel() == 0:
        grad_x, grad_scale = _allocate_gradients(x, grad_normal, scale)
        return grad_x, grad_y, grad_scale.zero_()
    groups = RowGroups(x, scale)
    tiles = Tiles(groups.count, groups.rows, groups.size)
    parts, tiles_a_part = tiles.parts(x.device)
    dtype = statistics_dtype(x.dtype)
    partial = torch.empty((groups.count, parts, groups.size), dtype=dtype, device=x.device)
    rows, grad_x = groups.laid(x), groups.order.empty(x.dtype)
    with Launches(x) as launch:
        launch(
            backward, (groups.count * parts,), rows, groups.weight,
            rows if grad_total is None else groups.laid(grad_total), groups.laid(grad_normal),
            grad_x, groups.order.lay(grad_y), partial,
            *groups.sizes, *groups.weight_steps, parts, tiles_a_part,
            **_options(groups, tiles, x.dtype),
            ADD=grad_total is not None, SECOND=y_dtype != x.dtype,
        )  # fmt: skip
    grad_scale = groups.like_weight(sum_of_parts(partial, scale.dtype))
    return groups.order.back(grad_x), grad_y, grad_scale


def _allocate(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    return empty_rows(x, dtype)


def _allocate_sum(x: Tensor, y: Tensor, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return _allocate(x, scale, x.dtype), _allocate(x, scale, dtype)


def _allocate_gradients(x: Tensor, grad_normal: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    grad_scale = torch.empty(scale.shape, dtype=scale.dtype, device=scale.device)
    return _allocate(x, scale, x.dtype), grad_scale


def _allocate_sum_gradients(
    total: Tensor, grad_total: Tensor, grad_normal: Tensor, scale: Tensor, y_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x, grad_scale = _allocate_gradients(total, grad_normal, scale)
    return grad_x, _allocate_second(total, y_dtype), grad_scale


def _allocate_second(total: Tensor, y_dtype: torch.dtype) -> Tensor:
    """The gradient of y, without columns where it is that of x."""
    return empty_rows(total[..., :0] if y_dtype == total.dtype else total, y_dtype)


def _options(groups: RowGroups, tiles: Tiles, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "EPS": EPS,
        "SIZE": groups.size,
        "COLUMNS": tiles.columns,
        "ROWS": tiles.rows,
        "STATE": kernel_type(dtype),
        "num_warps": tiles.warps,
    }


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, torch.dtype], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _differentiate(ctx: Any, grad_normal: Tensor) -> tuple[Tensor, Tensor, None]:
    x, scale = ctx.saved_tensors
    return (*rms_norm_backward_triton(x, grad_normal, scale), None)


def _save_sum(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, y, scale, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.y_dtype = y.dtype
    ctx.save_for_backward(output[0], scale)


def _differentiate_sum(
    ctx: Any, grad_total: Tensor | None, grad_normal: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    total, scale = ctx.saved_tensors
    if grad_normal is None:
        of_y = None if grad_total is None else grad_total.to(ctx.y_dtype)
        return grad_total, of_y, None, None
    if grad_total is None:
        grad_total = grad_normal.new_empty((*total.shape[:-1], 0), dtype=total.dtype)
    grad_x, grad_y, grad_scale = add_rms_norm_backward_triton(
        total, grad_total, grad_normal, scale, ctx.y_dtype
    )
    return grad_x, grad_x if ctx.y_dtype == total.dtype else grad_y, grad_scale, None


rms_norm_triton = register_operator(
    "rms_norm(Tensor x, Tensor scale, ScalarType dtype) -> Tensor",
    _run,
    _allocate,
    vmap_rule=map_rows("rms_norm", 1),
)
rms_norm_backward_triton = register_operator(
    "rms_norm_backward(Tensor x, Tensor grad_normal, Tensor scale) -> (Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    vmap_rule=map_rows("rms_norm_backward", 2, True),
)
add_rms_norm_triton = register_operator(
    "add_rms_norm(Tensor x, Tensor y, Tensor scale, ScalarType dtype) -> (Tensor, Tensor)",
    _run_sum,
    _allocate_sum,
    vmap_rule=map_rows("add_rms_norm", 2),
)
add_rms_norm_backward_triton = register_operator(
    "add_rms_norm_backward(Tensor total, Tensor grad_total, Tensor grad_normal, Tensor scale, "
    "ScalarType y_dtype) -> (Tensor, Tensor, Tensor)",
    _run_sum_backward,
    _allocate_sum_gradients,
    vmap_rule=map_rows("add_rms_norm_backward", 3, True),
)
register_gradient(
    rms_norm_triton, rms_norm_backward_triton, _differentiate, _save, instead="reference"
)
register_gradient(
    add_rms_norm_triton,
    add_rms_norm_backward_triton,
    _differentiate_sum,
    _save_sum,
    instead="reference",
)
