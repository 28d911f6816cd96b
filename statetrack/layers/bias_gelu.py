"""A bias and the exact GELU behind it."""

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


def bias_gelu(u: Tensor, bias: Tensor, *, backend: str = "auto") -> Tensor:
    """GELU of ``u + bias``, by the error function as `torch.nn.functional.gelu` by default.

    Parameters
    ----------
    u : Tensor, [..., D]
        Real floating point; what a linear map without its bias gives.
    bias : Tensor, [..., D]
        Broadcasts against `u`.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU and torch elsewhere.

    Returns
    -------
    Tensor, [..., D]
        In the type of `u`, computed in float32 (float64 for float64).

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Cost of the kernels: one reading and one writing; the backward pass reads `u` and the gradient
    and writes one gradient. Nothing but `u` and `bias` is kept.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import bias_gelu
    >>> u = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)
    >>> bias_gelu(u, torch.zeros(3)).round(decimals=4).tolist()
    [[-0.1587, 0.0, 0.8413]]
    """
    require_real("bias_gelu", u=u, bias=bias)
    require_broadcast("bias_gelu", "bias", bias, u)
    if takes_kernels("bias_gelu", backend, u.device):
        return bias_gelu_triton(u, bias)
    return bias_gelu_reference(u, bias)


def bias_gelu_reference(u: Tensor, bias: Tensor) -> Tensor:
    """Same contract as `bias_gelu`, in plain torch."""
    wide = u.to(statistics_dtype(u.dtype))
    return torch.nn.functional.gelu(wide + bias).to(u.dtype)


def _run(u: Tensor, bias: Tensor) -> Tensor:
    from statetrack.layers.kernels.bias_gelu import forward

    if u.numel() == 0:
        return _allocate(u, bias)
    groups = RowGroups(u, bias)
    tiles = Tiles(groups.count, groups.rows, groups.size, COLUMNS)
    y = groups.order.empty(u.dtype)
    with Launches(u) as launch:
        launch(
            forward, (groups.count * tiles.count, tiles.column_blocks),
            groups.laid(u), groups.weight, y, *groups.sizes, *groups.weight_steps, tiles.count,
            **_options(groups, tiles, u.dtype),
        )  # fmt: skip
    return groups.order.back(y)


def _run_backward(u: Tensor, grad: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    from statetrack.layers.kernels.bias_gelu import backward

    if u.numel() == 0:
        grad_u, grad_bias = _allocate_gradients(u, grad, bias)
        return grad_u, grad_bias.zero_()
    groups = RowGroups(u, bias)
    tiles = Tiles(groups.count, groups.rows, groups.size, COLUMNS)
    parts, tiles_a_part = tiles.parts(u.device)
    dtype = statistics_dtype(u.dtype)
    partial = torch.empty((groups.count, parts, groups.size), dtype=dtype, device=u.device)
    grad_u = groups.order.empty(u.dtype)
    with Launches(u) as launch:
        launch(
            backward, (groups.count * parts, tiles.column_blocks),
            groups.laid(u), groups.weight, groups.laid(grad), grad_u, partial,
            *groups.sizes, *groups.weight_steps, parts, tiles_a_part,
            **_options(groups, tiles, u.dtype),
        )  # fmt: skip
    return groups.order.back(grad_u), groups.like_weight(sum_of_parts(partial, bias.dtype))


def _allocate(u: Tensor, bias: Tensor) -> Tensor:
    return empty_rows(u, u.dtype)


def _allocate_gradients(u: Tensor, grad: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return _allocate(u, bias), torch.empty(bias.shape, dtype=bias.dtype, device=bias.device)


def _options(groups: RowGroups, tiles: Tiles, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "SIZE": groups.size,
        "COLUMNS": tiles.columns,
        "ROWS": tiles.rows,
        "STATE": kernel_type(dtype),
        "num_warps": tiles.warps,
    }


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    u, bias = ctx.saved_tensors
    gradients: tuple[Tensor, Tensor] = bias_gelu_backward_triton(u, grad, bias)
    return gradients


bias_gelu_triton = register_operator(
    "bias_gelu(Tensor u, Tensor bias) -> Tensor",
    _run,
    _allocate,
    vmap_rule=map_rows("bias_gelu", 1),
)
bias_gelu_backward_triton = register_operator(
    "bias_gelu_backward(Tensor u, Tensor grad, Tensor bias) -> (Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    vmap_rule=map_rows("bias_gelu_backward", 2, True),
)
register_gradient(
    bias_gelu_triton, bias_gelu_backward_triton, _differentiate, _save, instead="reference"
)
