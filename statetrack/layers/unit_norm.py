"""Rows divided by their length."""

from typing import Any

import torch
from torch import Tensor

from statetrack.layers.backends import require_real, statistics_dtype, takes_kernels
from statetrack.layers.rows import MemoryOrder, Tiles, empty_rows, kernel_type, map_leading
from statetrack.scans.kernels import num_items
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

SHORTEST = 1e-12
# A row is held in the registers of one program.
LONGEST_ROW = 8192


def unit_norm(x: Tensor, *, dtype: torch.dtype | None = None, backend: str = "auto") -> Tensor:
    """Divide every row by its Euclidean length.

    Parameters
    ----------
    x : Tensor, [..., D]
        Real floating point.
    dtype : torch.dtype, optional
        Type of the output; by default that of `x`, and float32 under autocast: the keys of a
        reflection have to be of length one to more digits than bfloat16 has.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU for D up to 8,192, and torch elsewhere.

    Returns
    -------
    Tensor, [..., D]
        ``x / max(|x|, 1e-12)``, computed in float32 (float64 for float64).

    Raises
    ------
    InputError
        A type or backend that does not fit.

    Notes
    -----
    Cost of the kernels: one reading and one writing; the backward pass reads `x` and the gradient
    and writes one gradient. Nothing but `x` is kept.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import unit_norm
    >>> unit_norm(torch.tensor([[0.0, 4.0]])).tolist()
    [[0.0, 1.0]]
    """
    require_real("unit_norm", x=x)
    if dtype is None:
        is_mixed = torch.is_autocast_enabled(x.device.type)
        dtype = torch.promote_types(x.dtype, torch.float32) if is_mixed else x.dtype
    if takes_kernels("unit_norm", backend, x.device, x.shape[-1] <= LONGEST_ROW):
        y: Tensor = unit_norm_triton(x, dtype)
        return y
    return unit_norm_reference(x, dtype)


def unit_norm_reference(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Same contract as `unit_norm`, in plain torch."""
    wide = x.to(statistics_dtype(x.dtype))
    return torch.nn.functional.normalize(wide, dim=-1, eps=SHORTEST).to(dtype)


def _run(x: Tensor, dtype: torch.dtype) -> Tensor:
    from statetrack.layers.kernels.unit_norm import forward

    return _launch(forward, [x], dtype)


def _run_backward(x: Tensor, grad: Tensor) -> Tensor:
    from statetrack.layers.kernels.unit_norm import backward

    return _launch(backward, [x, grad], x.dtype)


def _launch(kernel: Any, tensors: list[Tensor], dtype: torch.dtype) -> Tensor:
    """Rows of the type `dtype` from rows of all tensors, laid as the first of them."""
    x = tensors[0]
    order = MemoryOrder(x)
    out = order.empty(dtype)
    if x.numel() > 0:
        rows, size = num_items(x.shape[:-1]), x.shape[-1]
        tiles = Tiles(1, rows, size)
        with Launches(x) as launch:
            launch(
                kernel, (tiles.count,), *(order.lay(one).contiguous() for one in tensors), out,
                rows, SHORTEST=SHORTEST, SIZE=size, COLUMNS=tiles.columns, ROWS=tiles.rows,
                STATE=kernel_type(x.dtype), num_warps=tiles.warps,
            )  # fmt: skip
    return order.back(out)


def _allocate_gradient(x: Tensor, grad: Tensor) -> Tensor:
    return empty_rows(x, x.dtype)


def _save(ctx: Any, inputs: tuple[Tensor, torch.dtype], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    return unit_norm_backward_triton(x, grad), None


unit_norm_triton = register_operator(
    "unit_norm(Tensor x, ScalarType dtype) -> Tensor",
    _run,
    empty_rows,
    vmap_rule=map_leading("unit_norm"),
)
unit_norm_backward_triton = register_operator(
    "unit_norm_backward(Tensor x, Tensor grad) -> Tensor",
    _run_backward,
    _allocate_gradient,
    vmap_rule=map_leading("unit_norm_backward"),
)
register_gradient(
    unit_norm_triton, unit_norm_backward_triton, _differentiate, _save, instead="reference"
)
