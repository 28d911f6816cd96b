"""Triton kernels of rows divided by their length; a program owns one tile of rows.

With ``y = x / n`` and ``n = |x|``: ``dx = (g - y (y . g)) / n``; rows shorter than the least length
are divided by that, a constant.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, write


@triton.jit(do_not_specialize=["count"])
def forward(
    x_pointer,
    y_pointer,
    count: tl.int64,
    SHORTEST: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Rows of length one."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    mask = (row < count)[:, None] & (column < SIZE)[None, :]
    at = row[:, None] * SIZE + column[None, :]
    x = read(x_pointer, at, mask, STATE)
    length = tl.maximum(tl.sqrt(tl.sum(x * x, 1)), SHORTEST)
    write(y_pointer, at, x / length[:, None], mask)


@triton.jit(do_not_specialize=["count"])
def backward(
    x_pointer,
    grad_pointer,
    grad_x_pointer,
    count: tl.int64,
    SHORTEST: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradient of x."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    mask = (row < count)[:, None] & (column < SIZE)[None, :]
    at = row[:, None] * SIZE + column[None, :]
    x = read(x_pointer, at, mask, STATE)
    grad = read(grad_pointer, at, mask, STATE)
    length = tl.sqrt(tl.sum(x * x, 1))
    y = x / tl.maximum(length, SHORTEST)[:, None]
    along = tl.where(length > SHORTEST, tl.sum(y * grad, 1), 0.0)
    grad = (grad - y * along[:, None]) / tl.maximum(length, SHORTEST)[:, None]
    write(grad_x_pointer, at, grad, mask)
