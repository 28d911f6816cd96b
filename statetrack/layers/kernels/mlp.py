"""Triton kernels of two linear maps with the exact GELU between: what is between stays on chip.

A program owns one tile of the rows of one run and walks over the hidden units in chunks:
``h = gelu(x U^T + u)`` of a chunk is an operand of the second product, ``y = h V^T + v``, at once.
Backward, with ``p = x U^T + u`` computed again and ``dh = dy V``: ``dp = dh gelu'(p)`` and
``dx = dp U``; h and dp are written for the gradients of the weights, ``dp^T x`` and ``dy^T h``,
which are products over all rows of a run.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.bias_gelu import DENSITY_AT_ZERO, distribution
from statetrack.layers.kernels.rows import read, write

# The tail of the normal distribution, Phi(-a) = 2^(T0 + T1 a + ... + T5 a^5) for a >= 0: Phi(-a)
# and a Phi(-a) are off by at most 6.8e-7, the least that a polynomial of this degree can reach.
T0 = tl.constexpr(-1.0000019)
T1 = tl.constexpr(-1.151052)
T2 = tl.constexpr(-0.45941408)
T3 = tl.constexpr(-0.052343237)
T4 = tl.constexpr(0.0072823764)
T5 = tl.constexpr(-0.00050025927)
# The density is 2^(BITS z^2 + BITS_AT_ZERO).
BITS = tl.constexpr(-0.7213475204444817)
BITS_AT_ZERO = tl.constexpr(-1.325748064736159)


@triton.jit
def gelu(z, STATE: tl.constexpr):
    """GELU, and its derivative."""
    if STATE == tl.float64:
        share = distribution(z)
        return z * share, share + z * (DENSITY_AT_ZERO * tl.exp(-0.5 * z * z))
    else:
        a = tl.abs(z)
        tail = tl.exp2(((((a * T5 + T4) * a + T3) * a + T2) * a + T1) * a + T0)
        share = tl.where(z >= 0.0, 1.0 - tail, tail)
        density = tl.exp2(z * z * BITS + BITS_AT_ZERO)
        return tl.maximum(z, 0.0) - a * tail, share + z * density


@triton.jit
def multiply(x, y, STATE: tl.constexpr):
    """Matrix product."""
    return tl.dot(x, y, input_precision="ieee", out_dtype=STATE)


@triton.jit(
    do_not_specialize=["up_stride", "down_stride", "num_blocks"],
    do_not_specialize_on_alignment=["up_pointer", "down_pointer"],
)
def pack(
    up_pointer,
    down_pointer,
    weights_pointer,
    up_stride: tl.int64,
    down_stride: tl.int64,
    num_blocks: tl.int32,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Both weights of every run in the type of the products: [runs, 2, H D]."""
    run = (tl.program_id(0) // num_blocks).to(tl.int64)
    place = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)
    mask = place < COUNT
    up = tl.load(up_pointer + run * up_stride + place, mask=mask)
    down = tl.load(down_pointer + run * down_stride + place, mask=mask)
    write(weights_pointer + run * (2 * COUNT), place, up, mask)
    write(weights_pointer + run * (2 * COUNT) + COUNT, place, down, mask)


@triton.jit
def load_tile(pointer, row, column, count, SIZE: tl.constexpr):
    """Rows of length SIZE; zeros outside."""
    mask = (row < count)[:, None] & (column < SIZE)[None, :]
    return tl.load(pointer + (row[:, None] * SIZE + column[None, :]), mask=mask, other=0.0)


@triton.jit
def store_tile(pointer, row, column, values, count, SIZE: tl.constexpr):
    """Rows of length SIZE, in the type of the pointer."""
    mask = (row < count)[:, None] & (column < SIZE)[None, :]
    write(pointer, row[:, None] * SIZE + column[None, :], values, mask)


@triton.jit(
    do_not_specialize=["up_stride", "down_stride", "count", "num_tiles"],
    do_not_specialize_on_alignment=["up_bias_pointer", "down_bias_pointer"],
)
def forward(
    x_pointer,
    weights_pointer,
    up_bias_pointer,
    down_bias_pointer,
    y_pointer,
    up_stride: tl.int64,
    down_stride: tl.int64,
    count: tl.int32,
    num_tiles: tl.int32,
    SIZE: tl.constexpr,
    HIDDEN: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """One tile of rows."""
    run = (tl.program_id(0) // num_tiles).to(tl.int64)
    first = tl.program_id(0) % num_tiles * ROWS
    tile = (run * count + first) * SIZE
    row, column, unit = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, CHUNK)
    up_pointer = weights_pointer + run * (2 * HIDDEN * SIZE)
    down_pointer = up_pointer + HIDDEN * SIZE
    x = load_tile(x_pointer + tile, row, column, count - first, SIZE)
    y = tl.zeros([ROWS, COLUMNS], STATE)
    for start in range(0, HIDDEN, CHUNK):
        up = load_tile(up_pointer + start * SIZE, unit, column, HIDDEN - start, SIZE)
        down = load_tile(down_pointer, column, start + unit, SIZE, HIDDEN)
        at_bias = run * up_stride + start + unit
        up_bias = read(up_bias_pointer, at_bias, start + unit < HIDDEN, STATE)
        h, _ = gelu(multiply(x, tl.trans(up), STATE) + up_bias[None, :], STATE)
        h = h.to(x.dtype)
        y = tl.dot(h, tl.trans(down), y, input_precision="ieee", out_dtype=STATE)
    down_bias = read(down_bias_pointer, run * down_stride + column, column < SIZE, STATE)
    store_tile(y_pointer + tile, row, column, y + down_bias[None, :], count - first, SIZE)


@triton.jit(
    do_not_specialize=["up_stride", "count", "num_tiles"],
    do_not_specialize_on_alignment=["up_bias_pointer"],
)
def backward(
    x_pointer,
    grad_pointer,
    weights_pointer,
    up_bias_pointer,
    grad_x_pointer,
    hidden_pointer,
    grad_hidden_pointer,
    partial_pointer,
    up_stride: tl.int64,
    count: tl.int32,
    num_tiles: tl.int32,
    SIZE: tl.constexpr,
    HIDDEN: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradient of x, hidden units with their gradients, and sums of a tile for both biases."""
    run = (tl.program_id(0) // num_tiles).to(tl.int64)
    first = tl.program_id(0) % num_tiles * ROWS
    tile = run * count + first
    row, column, unit = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, CHUNK)
    up_pointer = weights_pointer + run * (2 * HIDDEN * SIZE)
    down_pointer = up_pointer + HIDDEN * SIZE
    hidden_pointer += tile * HIDDEN
    grad_hidden_pointer += tile * HIDDEN
    partial_pointer += tl.program_id(0).to(tl.int64) * (HIDDEN + SIZE)
    x = load_tile(x_pointer + tile * SIZE, row, column, count - first, SIZE)
    grad = load_tile(grad_pointer + tile * SIZE, row, column, count - first, SIZE)
    of_down_bias = tl.sum(grad.to(STATE), 0)
    tl.store(partial_pointer + HIDDEN + column, of_down_bias, mask=column < SIZE)
    grad_x = tl.zeros([ROWS, COLUMNS], STATE)
    for start in range(0, HIDDEN, CHUNK):
        up = load_tile(up_pointer + start * SIZE, unit, column, HIDDEN - start, SIZE)
        down = load_tile(down_pointer, column, start + unit, SIZE, HIDDEN)
        at_bias = run * up_stride + start + unit
        up_bias = read(up_bias_pointer, at_bias, start + unit < HIDDEN, STATE)
        h, slope = gelu(multiply(x, tl.trans(up), STATE) + up_bias[None, :], STATE)
        store_tile(hidden_pointer, row, start + unit, h, count - first, HIDDEN)
        slope *= multiply(grad, down, STATE)
        of_up_bias = tl.sum(slope, 0)
        tl.store(partial_pointer + start + unit, of_up_bias, mask=start + unit < HIDDEN)
        slope = slope.to(x.dtype)
        store_tile(grad_hidden_pointer, row, start + unit, slope, count - first, HIDDEN)
        grad_x = tl.dot(slope, up, grad_x, input_precision="ieee", out_dtype=STATE)
    store_tile(grad_x_pointer + tile * SIZE, row, column, grad_x, count - first, SIZE)
