"""Two linear maps with the exact GELU between, in one pass that keeps what is between on chip."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import output_dtype, require_real, statistics_dtype, takes_kernels
from statetrack.layers.bias_add import bias_add
from statetrack.layers.bias_gelu import bias_gelu
from statetrack.layers.linear import linear_reference, product
from statetrack.layers.rows import (
    LEAST_COLUMNS,
    kernel_type,
    lead,
    map_leading,
    power_of_two,
    sum_of_parts,
)
from statetrack.scans.kernels import num_items, with_unit_stride
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

LARGEST_SIZE = 128
LARGEST_TILE = 256
PACKED = 2048


class Blocks(NamedTuple):
    """What a program works on: rows, hidden units at once, warps, and stages of the loop."""

    rows: int
    chunk: int
    warps: int
    stages: int


def mlp(
    x: Tensor,
    up_weight: Tensor,
    up_bias: Tensor,
    down_weight: Tensor,
    down_bias: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Two linear maps with a GELU between, ``gelu(x U^T + u) V^T + v``, row by row.

    Parameters
    ----------
    x : Tensor, [..., any axes, D]
        Real floating point.
    up_weight : Tensor, [..., H, D]
        The leading axes are those of a pack; all weights have them and `x` begins with them.
    up_bias : Tensor, [..., H]
    down_weight : Tensor, [..., D, H]
    down_bias : Tensor, [..., D]
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU for bfloat16 (the type of `x` or of autocast), D a
        multiple of 16 up to 128 and H a multiple of 64; else linear maps of torch between
        `bias_gelu` and `bias_add`.

    Returns
    -------
    Tensor, [..., any axes, D]
        In the type of autocast where it is on, else that of `x`.

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Products are of numbers in the type of the output, summed in float32 (float64 for float64), as
    are bias and GELU; the kernels' normal distribution function is off by at most 7e-7. They read
    `x` and write the output, 4 N D H operations for N rows, and keep the weights in the type of the
    output. The backward pass computes the hidden units again, writes them and their gradients,
    from which products of torch make the gradients of the weights: 10 N D H operations. Sums are
    taken in a fixed order.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import mlp
    >>> up, down = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])
    >>> mlp(torch.tensor([[0.0], [1.0]]), up, torch.zeros(2), down, torch.ones(1)).tolist()
    [[1.0], [1.6826894283294678]]
    """
    weights = (up_weight, up_bias, down_weight, down_bias)
    require_real(
        "mlp", x=x, up_weight=up_weight, up_bias=up_bias, down_weight=down_weight,
        down_bias=down_bias,
    )  # fmt: skip
    _require_shapes(x, *weights)
    x = x.to(output_dtype(x))
    if takes_kernels("mlp", backend, x.device, _fits(x, up_weight)):
        if x.shape[-1] > LARGEST_TILE:
            raise InputError(
                f"mlp: D = {x.shape[-1]}, the kernels take 1 to {LARGEST_TILE}; use "
                "backend='reference'"
            )
        y: Tensor = mlp_triton(x, *weights)[0]
        return y
    return mlp_unfused(x, *weights, backend=backend)


def mlp_unfused(
    x: Tensor,
    up_weight: Tensor,
    up_bias: Tensor,
    down_weight: Tensor,
    down_bias: Tensor,
    backend: str = "reference",
) -> Tensor:
    """Same contract as `mlp`, in linear maps of torch and layers of this package."""
    leading = up_bias.dim() - 1
    ones = (1,) * (x.dim() - 1 - leading)

    def along(bias: Tensor) -> Tensor:
        return bias.reshape(*bias.shape[:leading], *ones, bias.shape[-1])

    u = linear_reference(x, up_weight)
    y = linear_reference(bias_gelu(u, along(up_bias), backend=backend), down_weight)
    return bias_add(y, along(down_bias), backend=backend)


def _require_shapes(
    x: Tensor, up_weight: Tensor, up_bias: Tensor, down_weight: Tensor, down_bias: Tensor
) -> None:
    *leading, hidden, size = up_weight.shape if up_weight.dim() > 1 else (0, 0)
    fits = (
        min(hidden, size) > 0
        and up_bias.shape == (*leading, hidden)
        and down_weight.shape == (*leading, size, hidden)
        and down_bias.shape == (*leading, size)
        and x.dim() > len(leading)
        and x.shape[: len(leading)] == tuple(leading)
        and x.shape[-1] == size
    )
    if not fits:
        raise InputError(
            f"mlp: x {tuple(x.shape)}, up_weight {tuple(up_weight.shape)}, up_bias "
            f"{tuple(up_bias.shape)}, down_weight {tuple(down_weight.shape)} and down_bias "
            f"{tuple(down_bias.shape)}, expected [..., D], [H, D], [H], [D, H] and [D] with D and "
            "H at least 1, all behind the same leading axes"
        )


def _fits(x: Tensor, up_weight: Tensor) -> bool:
    """Whether "auto" may take the kernels."""
    hidden, size = up_weight.shape[-2:]
    return (
        x.dtype == torch.bfloat16 and size % 16 == 0 and size <= LARGEST_SIZE and hidden % 64 == 0
    )


def blocks_of(x: Tensor) -> Blocks:
    """Blocks of both passes; those for 16-bit types took least for both together on an H200."""
    return Blocks(16, 16, 4, 1) if x.element_size() > 2 else Blocks(64, 64, 4, 2)


def run_forward(
    x: Tensor,
    up_weight: Tensor,
    up_bias: Tensor,
    down_weight: Tensor,
    down_bias: Tensor,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor]:
    """Output, and both weights in the type of x, [..., 2, H D]."""
    from statetrack.layers.kernels.mlp import forward, pack

    y, weights = _allocate(x, up_weight)
    if x.numel() == 0:
        return y, weights.zero_()
    hidden, size = up_weight.shape[-2:]
    runs = num_items(up_weight.shape[:-2])
    rows = x.numel() // (runs * size)
    up, up_stride = _run_by_run(up_weight, runs)
    down, down_stride = _run_by_run(down_weight, runs)
    blocks = blocks_of(x) if blocks is None else blocks
    tiles = -(-rows // blocks.rows)
    parts = -(-hidden * size // PACKED)
    with Launches(x) as launch:
        launch(
            pack, (runs * parts,), up, down, weights, up_stride, down_stride, parts,
            COUNT=hidden * size, BLOCK=PACKED, num_warps=8,
        )  # fmt: skip
        up, up_stride = _run_by_run(up_bias, runs)
        down, down_stride = _run_by_run(down_bias, runs)
        launch(
            forward, (runs * tiles,), x.contiguous(), weights, up, down, y,
            up_stride, down_stride, rows, tiles, **_options(x, hidden, blocks),
        )  # fmt: skip
    return y, weights


def run_backward(
    x: Tensor, grad: Tensor, weights: Tensor, up_bias: Tensor, blocks: Blocks | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, of both weights, and of both biases, [..., H + D]."""
    from statetrack.layers.kernels.mlp import backward

    grad_x, *of_weights = _allocate_gradients(x, grad, weights, up_bias)
    if x.numel() == 0:
        of_up, of_down, of_biases = (one.zero_() for one in of_weights)
        return grad_x, of_up, of_down, of_biases
    hidden, size = up_bias.shape[-1], x.shape[-1]
    runs = num_items(up_bias.shape[:-1])
    rows = x.numel() // (runs * size)
    x, grad = x.reshape(runs, rows, size).contiguous(), grad.reshape(runs, rows, size).contiguous()
    bias, bias_stride = _run_by_run(up_bias, runs)
    units, grad_units = (x.new_empty(runs, rows, hidden) for _ in range(2))
    blocks = blocks_of(x) if blocks is None else blocks
    tiles = -(-rows // blocks.rows)
    dtype = statistics_dtype(x.dtype)
    partial = torch.empty((runs, tiles, hidden + size), dtype=dtype, device=x.device)
    with Launches(x) as launch:
        launch(
            backward, (runs * tiles,), x, grad, weights.contiguous(), bias,
            grad_x, units, grad_units, partial, bias_stride, rows, tiles,
            **_options(x, hidden, blocks),
        )  # fmt: skip
    found = (
        product(grad_units.mT, x, dtype),
        product(grad.mT, units, dtype),
        sum_of_parts(partial, dtype),
    )
    of_up, of_down, of_biases = (
        one.view(like.shape) for one, like in zip(found, of_weights, strict=True)
    )
    return grad_x, of_up, of_down, of_biases


def _run_by_run(tensor: Tensor, runs: int) -> tuple[Tensor, int]:
    """A weight as [runs, numbers], and how far its runs lie apart."""
    rows = with_unit_stride(tensor.reshape(runs, tensor.numel() // runs))
    return rows, rows.stride(0)


def _options(x: Tensor, hidden: int, blocks: Blocks) -> dict[str, Any]:
    least = LEAST_COLUMNS if x.element_size() == 2 else 16
    size = x.shape[-1]
    return {
        "SIZE": size,
        "HIDDEN": hidden,
        "COLUMNS": max(least, power_of_two(size)),
        "CHUNK": blocks.chunk,
        "ROWS": blocks.rows,
        "STATE": kernel_type(x.dtype),
        "num_warps": blocks.warps,
        "num_stages": blocks.stages,
    }


def _allocate(x: Tensor, up_weight: Tensor, *_others: Tensor) -> tuple[Tensor, Tensor]:
    *leading, hidden, size = up_weight.shape
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return y, torch.empty((*leading, 2, hidden * size), dtype=x.dtype, device=x.device)


def _allocate_gradients(
    x: Tensor, grad: Tensor, weights: Tensor, up_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *leading, hidden = up_bias.shape
    size = x.shape[-1]

    def of(*shape: int) -> Tensor:
        dtype = statistics_dtype(x.dtype)
        return torch.empty((*leading, *shape), dtype=dtype, device=x.device)

    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return grad_x, of(hidden, size), of(size, hidden), of(hidden + size)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    x, *weights = inputs
    ctx.dtypes = [one.dtype for one in weights]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, output[1], weights[1])


def _differentiate(ctx: Any, grad: Tensor | None, *_others: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 5
    x, weights, up_bias = ctx.saved_tensors
    grad_x, up, down, biases = mlp_backward_triton(x, grad, weights, up_bias)
    up_bias, down_bias = biases.split([up_bias.shape[-1], x.shape[-1]], dim=-1)
    found = (up, up_bias, down, down_bias)
    return grad_x, *(one.to(dtype) for one, dtype in zip(found, ctx.dtypes, strict=True))


def _map(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *weights: Tensor) -> Any:
    """Rule of `torch.func.vmap`: runs of a pack, or more rows where the weights are shared."""
    if in_dims[0] is not None and all(dim is None for dim in in_dims[1:]):
        place = weights[1].dim() - 1
        return mlp_triton(x.movedim(in_dims[0], place), *weights), (place, None)
    mapped = zip((x, *weights), in_dims, strict=True)
    return mlp_triton(*(lead(one, dim, info.batch_size) for one, dim in mapped)), (0, 0)


mlp_triton = register_operator(
    "mlp(Tensor x, Tensor up_weight, Tensor up_bias, Tensor down_weight, Tensor down_bias) "
    "-> (Tensor, Tensor)",
    run_forward,
    _allocate,
    vmap_rule=_map,
)
mlp_backward_triton = register_operator(
    "mlp_backward(Tensor x, Tensor grad, Tensor weights, Tensor up_bias) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    run_backward,
    _allocate_gradients,
    vmap_rule=map_leading("mlp_backward"),
)
register_gradient(mlp_triton, mlp_backward_triton, _differentiate, _save, instead="reference")
