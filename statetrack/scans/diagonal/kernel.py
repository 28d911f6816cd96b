"""Triton kernels of the diagonal recurrence: inputs read once, states in registers.

One program owns `BLOCK` channels of one sequence and walks along time. Rows are loaded `UNROLL` at
a time before the first is used, so that enough bytes are in flight. With few sequences time is cut
into chunks: `reduce` leaves the product of the transitions and the end state of every chunk, and
`scan` puts together what comes before its own chunk.

Legend: B sequences (three folded axes), C chunks, D channels, T time. Complex numbers are pairs.
The adjoint recurrence is ``z_t = g_t + conj(a_{t+1}) z_{t+1}``, ``dx_t = z_t``,
``da_t = z_t conj(h_{t-1})`` (Martin and Cundy 2018, arXiv 1709.04057, section 2).
"""

import triton
import triton.language as tl

from statetrack.scans.diagonal.kernel_rows import (
    load,
    load_block,
    multiply_add,
    recur,
    store,
    store_block,
)
from statetrack.scans.masks import where_also

CHUNKS_AHEAD = tl.constexpr(4)
SIZES = ["n1", "n2", "channels", "length", "chunk_size", "num_chunks"]


@triton.jit
def place(n1, n2, num_chunks, num_blocks):
    """Channel block, chunk and folded batch indices of this program."""
    program = tl.program_id(0)
    block = program % num_blocks
    chunk = (program // num_blocks) % num_chunks
    batch = program // num_blocks // num_chunks
    b2 = (batch % n2).to(tl.int64)
    b1 = (batch // n2 % n1).to(tl.int64)
    b0 = (batch // n2 // n1).to(tl.int64)
    return block, chunk, batch.to(tl.int64), b0, b1, b2


@triton.jit
def add_chunks(
    h,
    products_pointer,
    ends_pointer,
    step,
    channel,
    mask,
    COUNT: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """State after `COUNT` chunks; an overflowed product times a zero state is zero."""
    products, ends = (), ()
    for i in tl.static_range(COUNT):
        products = products + (load(products_pointer + i * step, channel, mask, STATE, COMPLEX),)
        ends = ends + (load(ends_pointer + i * step, channel, mask, STATE, COMPLEX),)
    for i in tl.static_range(COUNT):
        new = multiply_add(products[i], h, ends[i], COMPLEX)
        is_zero = (h[0] == 0) & (h[1] == 0)
        re = tl.where(is_zero, ends[i][0], new[0])
        im = tl.where(is_zero, ends[i][1], new[1])
        h = (re, im)
    return h


@triton.jit
def after_chunks(
    h,
    products_pointer,
    ends_pointer,
    count,
    step,
    channel,
    mask,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """State after the first `count` chunks."""
    for _ in range(count // CHUNKS_AHEAD):
        h = add_chunks(
            h, products_pointer, ends_pointer, step, channel, mask, CHUNKS_AHEAD, STATE, COMPLEX
        )
        products_pointer += CHUNKS_AHEAD * step
        ends_pointer += CHUNKS_AHEAD * step
    for _ in range(count % CHUNKS_AHEAD):
        h = add_chunks(h, products_pointer, ends_pointer, step, channel, mask, 1, STATE, COMPLEX)
        products_pointer += step
        ends_pointer += step
    return h


@triton.jit(do_not_specialize=[*SIZES, "a0", "a1", "a2", "a_step", "x0", "x1", "x2", "x_step"])
def reduce_forward(
    a_pointer,
    x_pointer,
    products_pointer,
    ends_pointer,
    n1: tl.int32,
    n2: tl.int32,
    channels: tl.int32,
    length: tl.int32,
    chunk_size: tl.int32,
    num_chunks: tl.int32,
    a0: tl.int64,
    a1: tl.int64,
    a2: tl.int64,
    a_step: tl.int64,
    x0: tl.int64,
    x1: tl.int64,
    x2: tl.int64,
    x_step: tl.int64,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """Product of the transitions and end state from zero of every chunk: [B, C, D]."""
    WIDTH: tl.constexpr = 2 if COMPLEX else 1
    block, chunk, batch, b0, b1, b2 = place(n1, n2, num_chunks, tl.cdiv(channels, BLOCK))
    channel = block * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    start = chunk.to(tl.int64) * chunk_size
    steps = tl.minimum(chunk_size, length - chunk * chunk_size)
    a_pointer += (b0 * a0 + b1 * a1 + b2 * a2 + start * a_step) * WIDTH
    x_pointer += (b0 * x0 + b1 * x1 + b2 * x2 + start * x_step) * WIDTH
    a_step *= WIDTH
    x_step *= WIDTH
    zero = tl.zeros([BLOCK], STATE)
    h = (zero, zero)
    product = (zero + 1, zero)
    for _ in range(steps // UNROLL):
        a = load_block(a_pointer, a_step, channel, mask, mask, 0, 0.0, UNROLL, COMPLEX)
        x = load_block(x_pointer, x_step, channel, mask, mask, 0, 0.0, UNROLL, COMPLEX)
        h, product, _states = recur(h, product, a, x, UNROLL, STATE, COMPLEX, False)
        a_pointer += UNROLL * a_step
        x_pointer += UNROLL * x_step
    for _ in range(steps % UNROLL):
        a = load_block(a_pointer, a_step, channel, mask, mask, 0, 0.0, 1, COMPLEX)
        x = load_block(x_pointer, x_step, channel, mask, mask, 0, 0.0, 1, COMPLEX)
        h, product, _states = recur(h, product, a, x, 1, STATE, COMPLEX, False)
        a_pointer += a_step
        x_pointer += x_step
    row = (batch * num_chunks + chunk) * channels * WIDTH
    store(products_pointer + row, channel, product[0], product[1], mask, COMPLEX)
    store(ends_pointer + row, channel, h[0], h[1], mask, COMPLEX)


@triton.jit(
    do_not_specialize=[
        *SIZES, "a0", "a1", "a2", "a_step", "x0", "x1", "x2", "x_step", "i0", "i1", "i2",
        "h0", "h1", "h2", "h_step",
    ]
)  # fmt: skip
def scan_forward(
    a_pointer,
    x_pointer,
    initial_pointer,
    products_pointer,
    ends_pointer,
    states_pointer,
    final_pointer,
    n1: tl.int32,
    n2: tl.int32,
    channels: tl.int32,
    length: tl.int32,
    chunk_size: tl.int32,
    num_chunks: tl.int32,
    a0: tl.int64,
    a1: tl.int64,
    a2: tl.int64,
    a_step: tl.int64,
    x0: tl.int64,
    x1: tl.int64,
    x2: tl.int64,
    x_step: tl.int64,
    i0: tl.int64,
    i1: tl.int64,
    i2: tl.int64,
    h0: tl.int64,
    h1: tl.int64,
    h2: tl.int64,
    h_step: tl.int64,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """States of one chunk; the last chunk writes the final state [B, D]."""
    WIDTH: tl.constexpr = 2 if COMPLEX else 1
    block, chunk, batch, b0, b1, b2 = place(n1, n2, num_chunks, tl.cdiv(channels, BLOCK))
    channel = block * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    start = chunk.to(tl.int64) * chunk_size
    steps = tl.minimum(chunk_size, length - chunk * chunk_size)
    a_pointer += (b0 * a0 + b1 * a1 + b2 * a2 + start * a_step) * WIDTH
    x_pointer += (b0 * x0 + b1 * x1 + b2 * x2 + start * x_step) * WIDTH
    states_pointer += (b0 * h0 + b1 * h1 + b2 * h2 + start * h_step) * WIDTH
    initial_pointer += (b0 * i0 + b1 * i1 + b2 * i2) * WIDTH
    a_step *= WIDTH
    x_step *= WIDTH
    h_step *= WIDTH
    h = load(initial_pointer, channel, mask, STATE, COMPLEX)
    chunk_step = channels * WIDTH
    row = batch * num_chunks * chunk_step
    h = after_chunks(
        h, products_pointer + row, ends_pointer + row, chunk, chunk_step, channel, mask,
        STATE, COMPLEX,
    )  # fmt: skip
    full = steps // UNROLL
    present = where_also(mask, full > 0)
    a = load_block(a_pointer, a_step, channel, present, present, 0, 0.0, UNROLL, COMPLEX)
    x = load_block(x_pointer, x_step, channel, present, present, 0, 0.0, UNROLL, COMPLEX)
    for block_of_rows in range(full):
        a_pointer += UNROLL * a_step
        x_pointer += UNROLL * x_step
        present = where_also(mask, block_of_rows + 1 < full)
        next_a = load_block(a_pointer, a_step, channel, present, present, 0, 0.0, UNROLL, COMPLEX)
        next_x = load_block(x_pointer, x_step, channel, present, present, 0, 0.0, UNROLL, COMPLEX)
        h, _product, states = recur(h, h, a, x, UNROLL, STATE, COMPLEX, False)
        store_block(states_pointer, h_step, channel, states, mask, UNROLL, COMPLEX)
        states_pointer += UNROLL * h_step
        a = next_a
        x = next_x
    for _ in range(steps % UNROLL):
        one_a = load_block(a_pointer, a_step, channel, mask, mask, 0, 0.0, 1, COMPLEX)
        one_x = load_block(x_pointer, x_step, channel, mask, mask, 0, 0.0, 1, COMPLEX)
        h, _product, states = recur(h, h, one_a, one_x, 1, STATE, COMPLEX, False)
        store_block(states_pointer, h_step, channel, states, mask, 1, COMPLEX)
        a_pointer += a_step
        x_pointer += x_step
        states_pointer += h_step
    if chunk == num_chunks - 1:
        store(final_pointer + batch * channels * WIDTH, channel, h[0], h[1], mask, COMPLEX)
