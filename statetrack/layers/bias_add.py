"""A bias behind a linear map, in one pass that also widens or narrows."""

from typing import Any

import torch
from torch import Tensor

from statetrack.layers.backends import require_real, statistics_dtype, takes_kernels
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

COLUMNS = 512


def bias_add(
    u: Tensor, bias: Tensor, *, dtype: torch.dtype | None = None, backend: str = "auto"
) -> Tensor:
    """Add a bias to rows.

    Parameters
    ----------
    u : Tensor, [..., D]
        Real floating point; what a linear map without its bias gives.
    bias : Tensor, [..., D]
        Broadcasts against `u`.
    dtype : torch.dtype, optional
        Type of the output; that of `u` by default.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU and torch elsewhere.

    Returns
    -------
    Tensor, [..., D]
        ``u + bias``, computed in float32 (float64 for float64).

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Cost of the kernels: one reading and one writing; the backward pass reads the gradient once for
    both results, and copies it only where `dtype` differs from that of `u`.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import bias_add
    >>> bias_add(torch.ones(1, 2), torch.tensor([1.0, -1.0])).tolist()
    [[2.0, 0.0]]
    """
    require_real("bias_add", u=u, bias=bias)
    require_broadcast("bias_add", "bias", bias, u)
    written = u.dtype if dtype is None else dtype
    if takes_kernels("bias_add", backend, u.device):
        y: Tensor = bias_add_triton(u, bias, written)
        return y
    return bias_add_reference(u, bias, written)


def bias_add_reference(u: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Same contract as `bias_add`, in plain torch."""
    return (u.to(statistics_dtype(u.dtype)) + bias).to(dtype)


def _run(u: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    from statetrack.layers.kernels.bias_add import forward

    if u.numel() == 0:
        return _allocate(u, bias, dtype)
    groups = RowGroups(u, bias)
    tiles = Tiles(groups.count, groups.rows, groups.size, COLUMNS)
    y = groups.order.empty(dtype)
    with Launches(u) as launch:
        launch(
            forward, (groups.count * tiles.count, tiles.column_blocks),
            groups.laid(u), groups.weight, y, *groups.sizes, *groups.weight_steps, tiles.count,
            **_options(groups, tiles, u.dtype),
        )  # fmt: skip
    return groups.order.back(y)


def _run_backward(grad: Tensor, bias: Tensor, u_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    from statetrack.layers.kernels.bias_add import backward

    if grad.numel() == 0:
        grad_u, grad_bias = _allocate_gradients(grad, bias, u_dtype)
        return grad_u, grad_bias.zero_()
    groups = RowGroups(grad, bias)
    tiles = Tiles(groups.count, groups.rows, groups.size, COLUMNS)
    parts, tiles_a_part = tiles.parts(grad.device)
    dtype = statistics_dtype(grad.dtype)
    partial = torch.empty((groups.count, parts, groups.size), dtype=dtype, device=grad.device)
    grad_u = groups.order.empty(u_dtype)
    with Launches(grad) as launch:
        launch(
            backward, (groups.count * parts, tiles.column_blocks),
            groups.laid(grad), grad_u, partial, *groups.sizes, parts, tiles_a_part,
            **_options(groups, tiles, grad.dtype),
        )  # fmt: skip
    return groups.order.back(grad_u), groups.like_weight(sum_of_parts(partial, bias.dtype))


def _allocate(u: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    return empty_rows(u, dtype)


def _allocate_gradients(grad: Tensor, bias: Tensor, u_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return empty_rows(grad, u_dtype), torch.empty(bias.shape, dtype=bias.dtype, device=bias.device)


def _options(groups: RowGroups, tiles: Tiles, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "SIZE": groups.size,
        "COLUMNS": tiles.columns,
        "ROWS": tiles.rows,
        "STATE": kernel_type(dtype),
        "num_warps": tiles.warps,
    }


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, torch.dtype], output: Tensor) -> None:
    u, bias, _ = inputs
    ctx.u_dtype = u.dtype
    ctx.save_for_backward(bias)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    (bias,) = ctx.saved_tensors
    return (*bias_add_backward_triton(grad, bias, ctx.u_dtype), None)


bias_add_triton = register_operator(
    "bias_add(Tensor u, Tensor bias, ScalarType dtype) -> Tensor",
    _run,
    _allocate,
    vmap_rule=map_rows("bias_add", 1),
)
bias_add_backward_triton = register_operator(
    "bias_add_backward(Tensor grad, Tensor bias, ScalarType u_dtype) -> (Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    vmap_rule=map_rows("bias_add_backward", 1, True),
)
register_gradient(
    bias_add_triton, bias_add_backward_triton, _differentiate, _save, instead="reference"
)
