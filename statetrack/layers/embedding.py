"""Rows of a table by letter, with a gradient that is the same bits every time."""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import (
    require_one_device,
    require_real,
    require_real_type,
    statistics_dtype,
    takes_kernels,
)
from statetrack.layers.rows import (
    LEAST_COLUMNS,
    Tiles,
    kernel_type,
    map_leading,
    parts_of_tiles,
    power_of_two,
    sum_of_parts,
)
from statetrack.scans.kernels import num_items
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

COLUMNS = 512
# Above both, positions are sorted by letter instead of taking the one-hot product.
MOST_LETTERS = 256
MOST_OPERATIONS = 2e9
PRODUCT_ROWS = 64
PRODUCT_COLUMNS = 64
PRODUCT_LETTERS = 128
SORTED_ROWS = 16


def embedding(
    tokens: Tensor,
    weight: Tensor,
    *,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Tensor:
    """Take ``weight[token]`` for every token.

    Parameters
    ----------
    tokens : Tensor of int64, [..., any axes]
        Letters 0 to A - 1.
    weight : Tensor, [..., A, D]
        Real floating point; tables of a pack have leading axes, which `tokens` begin with as well.
    dtype : torch.dtype, optional
        Type of the rows; that of `weight` by default. Gradients are summed in float32, in float64
        where `dtype` or `weight` is.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU and torch elsewhere.

    Returns
    -------
    Tensor, [..., any axes, D]

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.
    IndexError, RuntimeError
        A token that is no letter, by torch. The kernels, which cannot raise, give NaN for it and
        leave it out of gradients.

    Notes
    -----
    Cost of the kernels: every row read and written once. The backward pass reads the gradient once
    for every 128 letters and sums it by exact products with one-hot rows, 2 N A D operations for N
    tokens; with more than 256 letters and 2e9 operations, it sorts the tokens by letter and sums
    the rows of each.
    Both orders of summation are fixed. In the product a gradient that is not finite reaches all
    letters of its run.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import embedding
    >>> embedding(torch.tensor([1, 0, 1]), torch.tensor([[0.0, 1.0], [2.0, 3.0]])).tolist()
    [[2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]
    """
    require_real("embedding", weight=weight)
    require_one_device("embedding", tokens=tokens, weight=weight)
    if tokens.dtype != torch.int64:
        raise InputError(f"embedding: tokens are {tokens.dtype}, expected int64")
    leading = weight.shape[:-2]
    if weight.dim() < 2 or tokens.shape[: len(leading)] != leading:
        raise InputError(
            f"embedding: weight {tuple(weight.shape)} must be [..., A, D], and tokens "
            f"{tuple(tokens.shape)} must begin with its leading axes"
        )
    written = weight.dtype if dtype is None else dtype
    require_real_type("embedding", "dtype", written)
    if takes_kernels("embedding", backend, weight.device):
        flat = tokens.reshape(*leading, num_items(tokens.shape[len(leading) :]))
        out: Tensor = embedding_triton(flat, weight, written)
        return out.reshape(*tokens.shape, weight.shape[-1])
    return embedding_reference(tokens, weight, written)


def embedding_reference(tokens: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Same contract as `embedding`, in plain torch."""
    if weight.dim() == 2:
        return torch.nn.functional.embedding(tokens, weight).to(dtype)
    leading = weight.shape[:-2]
    flat = tokens.reshape(*leading, num_items(tokens.shape[len(leading) :]), 1)
    rows = weight.gather(-2, flat.expand(*flat.shape[:-1], weight.shape[-1]))
    return rows.reshape(*tokens.shape, weight.shape[-1]).to(dtype)


def _run(tokens: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    from statetrack.layers.kernels.embedding import forward

    out = _allocate(tokens, weight, dtype)
    if out.numel() == 0:
        return out
    *leading, letters, size = weight.shape
    runs, count = num_items(leading), tokens.shape[-1]
    tiles = Tiles(runs, count, size, COLUMNS)
    with Launches(weight) as launch:
        launch(
            forward, (runs * tiles.count, tiles.column_blocks),
            tokens.contiguous(), weight.contiguous(), out, count, letters, tiles.count,
            SIZE=size, COLUMNS=tiles.columns, ROWS=tiles.rows, num_warps=tiles.warps,
        )  # fmt: skip
    return out


def _run_backward(tokens: Tensor, grad: Tensor, num_letters: int, dtype: torch.dtype) -> Tensor:
    tokens, grad = tokens.contiguous(), grad.contiguous()
    grad_weight = _allocate_gradient(tokens, grad, num_letters, dtype)
    if grad.numel() == 0 or num_letters == 0:
        return grad_weight.zero_()
    if num_letters > MOST_LETTERS and 2 * grad.numel() * num_letters > MOST_OPERATIONS:
        return _sum_sorted(tokens, grad, grad_weight)
    return _sum_products(tokens, grad, grad_weight)


def _sum_products(tokens: Tensor, grad: Tensor, grad_weight: Tensor) -> Tensor:
    from statetrack.layers.kernels.embedding import backward_products

    *leading, letters, size = grad_weight.shape
    runs, count = num_items(leading), tokens.shape[-1]
    block = min(PRODUCT_LETTERS, max(16, power_of_two(letters)))
    operands = _operands(grad, grad_weight.dtype)
    least = 16 if operands["OPERAND"].primitive_bitwidth > 16 else LEAST_COLUMNS
    columns = min(PRODUCT_COLUMNS, max(least, power_of_two(size)))
    blocks = (-(-letters // block), -(-size // columns))
    tiles = -(-count // PRODUCT_ROWS)
    parts, tiles_a_part = parts_of_tiles(tiles, runs * num_items(blocks), grad.device)
    state = _summed(grad, grad_weight)
    partial = torch.empty((runs, parts, letters, size), dtype=state, device=grad.device)
    with Launches(grad) as launch:
        launch(
            backward_products, (runs * parts, *blocks), tokens, grad, partial,
            count, letters, parts, tiles_a_part,
            SIZE=size, COLUMNS=columns, ROWS=PRODUCT_ROWS, LETTERS=block,
            STATE=kernel_type(state), **operands, num_warps=4,
        )  # fmt: skip
    return sum_of_parts(partial.flatten(2), grad_weight.dtype).reshape(grad_weight.shape)


def _operands(grad: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    """Type of the factors of a product, and how many of them make up a number."""
    import triton.language as tl

    if torch.float64 in (grad.dtype, dtype):
        return {"OPERAND": tl.float64, "PARTS": 1}
    if grad.dtype == torch.float32 and grad.device.type == "cuda":
        return {"OPERAND": tl.bfloat16, "PARTS": 3}
    kinds = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    return {"OPERAND": kinds.get(grad.dtype, tl.float32), "PARTS": 1}


def _summed(grad: Tensor, grad_weight: Tensor) -> torch.dtype:
    """Type of the sums."""
    return statistics_dtype(torch.promote_types(grad.dtype, grad_weight.dtype))


def _sum_sorted(tokens: Tensor, grad: Tensor, grad_weight: Tensor) -> Tensor:
    from statetrack.layers.kernels.embedding import backward_sorted

    *leading, letters, size = grad_weight.shape
    runs = num_items(leading)
    order, offsets = _positions_by_letter(tokens.reshape(runs, tokens.shape[-1]), letters)
    columns = min(COLUMNS, power_of_two(size))
    with Launches(grad) as launch:
        launch(
            backward_sorted, (runs * letters, -(-size // columns)),
            order, offsets, grad, grad_weight,
            SIZE=size, COLUMNS=columns, ROWS=SORTED_ROWS,
            STATE=kernel_type(_summed(grad, grad_weight)), num_warps=4,
        )  # fmt: skip
    return grad_weight


def _positions_by_letter(tokens: Tensor, letters: int) -> tuple[Tensor, Tensor]:
    """Positions in the order of their letters, run after run, and where each letter begins."""
    runs = tokens.shape[0]
    first = letters * torch.arange(runs, device=tokens.device).unsqueeze(-1)
    is_letter = (tokens >= 0) & (tokens < letters)
    keys = torch.where(is_letter, first + tokens, runs * letters).flatten()
    ordered, order = torch.sort(keys, stable=True)
    every = torch.arange(runs * letters + 1, device=tokens.device)
    return order, torch.searchsorted(ordered, every)


def _allocate(tokens: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty((*tokens.shape, weight.shape[-1]), dtype=dtype, device=weight.device)


def _allocate_gradient(
    tokens: Tensor, grad: Tensor, num_letters: int, dtype: torch.dtype
) -> Tensor:
    shape = (*tokens.shape[:-1], num_letters, grad.shape[-1])
    return torch.empty(shape, dtype=dtype, device=grad.device)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, torch.dtype], output: Tensor) -> None:
    tokens, weight, _ = inputs
    ctx.num_letters, ctx.dtype = weight.shape[-2], weight.dtype
    ctx.save_for_backward(tokens)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    (tokens,) = ctx.saved_tensors
    return None, embedding_backward_triton(tokens, grad, ctx.num_letters, ctx.dtype), None


embedding_triton = register_operator(
    "embedding(Tensor tokens, Tensor weight, ScalarType dtype) -> Tensor",
    _run,
    _allocate,
    vmap_rule=map_leading("embedding"),
)
embedding_backward_triton = register_operator(
    "embedding_backward(Tensor tokens, Tensor grad, SymInt num_letters, ScalarType dtype) -> "
    "Tensor",
    _run_backward,
    _allocate_gradient,
    vmap_rule=map_leading("embedding_backward"),
)
register_gradient(
    embedding_triton, embedding_backward_triton, _differentiate, _save, instead="reference"
)
