"""Triton kernels of the adjoint of the diagonal recurrence; legend and formulas in `kernel`."""

import triton
import triton.language as tl

from statetrack.scans.diagonal.kernel import SIZES, after_chunks, place
from statetrack.scans.diagonal.kernel_rows import (
    conjugate,
    load,
    load_block,
    multiply_add,
    recur,
    store,
    store_block,
    times_conjugate,
    with_last_row,
)
from statetrack.scans.masks import where_also


@triton.jit
def retreat(
    z, product, a_pointer, g_pointer, a_step, g_step, is_newest, channel, mask,
    UNROLL: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr,
):  # fmt: skip
    """Take `UNROLL` steps back from the row of the pointers.

    A step ``z_t = g_t + conj(a_{t+1}) z_{t+1}`` takes the transition of the row after it; with
    `is_newest` the first takes 1, for what comes from behind the chunk is multiplied already.
    """
    later = where_also(mask, is_newest == 0)
    a = load_block(a_pointer + a_step, -a_step, channel, mask, later, 0, 1.0, UNROLL, COMPLEX)
    g = load_block(g_pointer, -g_step, channel, mask, mask, 0, 0.0, UNROLL, COMPLEX)
    return recur(z, product, a, g, UNROLL, STATE, COMPLEX, True)


@triton.jit
def write_gradients(
    adjoints, initial, h_pointer, da_pointer, dx_pointer, h_step, da_step, dx_step, is_first,
    channel, mask, UNROLL: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr,
):  # fmt: skip
    """Gradients of `UNROLL` rows back from that of the pointers, given their adjoints."""
    oldest = where_also(mask, is_first == 0)
    loaded = load_block(
        h_pointer - h_step, -h_step, channel, mask, oldest, UNROLL - 1, 0.0, UNROLL, COMPLEX
    )
    previous = with_last_row(loaded, initial, is_first, UNROLL, STATE, COMPLEX)
    d_transitions = times_conjugate(adjoints, previous, UNROLL, COMPLEX)
    store_block(dx_pointer, -dx_step, channel, adjoints, mask, UNROLL, COMPLEX)
    store_block(da_pointer, -da_step, channel, d_transitions, mask, UNROLL, COMPLEX)


@triton.jit
def times_transition(z, a_pointer, channel, mask, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Adjoint or product before the step of one row."""
    zero = (tl.zeros_like(z[0]), tl.zeros_like(z[1]))
    a = load(a_pointer, channel, mask, STATE, COMPLEX)
    return multiply_add(conjugate(a), z, zero, COMPLEX)


@triton.jit(do_not_specialize=[*SIZES, "a0", "a1", "a2", "a_step", "g0", "g1", "g2", "g_step"])
def reduce_backward(
    a_pointer,
    g_pointer,
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
    g0: tl.int64,
    g1: tl.int64,
    g2: tl.int64,
    g_step: tl.int64,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """Product and adjoint at the start of every chunk, from zero after it, last chunk first."""
    WIDTH: tl.constexpr = 2 if COMPLEX else 1
    block, chunk, batch, b0, b1, b2 = place(n1, n2, num_chunks, tl.cdiv(channels, BLOCK))
    channel = block * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    steps = tl.minimum(chunk_size, length - chunk * chunk_size)
    last = chunk.to(tl.int64) * chunk_size + steps - 1
    a_pointer += (b0 * a0 + b1 * a1 + b2 * a2 + last * a_step) * WIDTH
    g_pointer += (b0 * g0 + b1 * g1 + b2 * g2 + last * g_step) * WIDTH
    a_step *= WIDTH
    g_step *= WIDTH
    zero = tl.zeros([BLOCK], STATE)
    z = (zero, zero)
    product = (zero + 1, zero)
    full = steps // UNROLL * UNROLL
    for done in range(0, full, UNROLL):
        z, product, _adjoints = retreat(
            z, product, a_pointer, g_pointer, a_step, g_step, done == 0, channel, mask,
            UNROLL, STATE, COMPLEX,
        )  # fmt: skip
        a_pointer -= UNROLL * a_step
        g_pointer -= UNROLL * g_step
    for done in range(full, steps):
        z, product, _adjoints = retreat(
            z, product, a_pointer, g_pointer, a_step, g_step, done == 0, channel, mask,
            1, STATE, COMPLEX,
        )  # fmt: skip
        a_pointer -= a_step
        g_pointer -= g_step
    product = times_transition(product, a_pointer + a_step, channel, mask, STATE, COMPLEX)
    end = times_transition(z, a_pointer + a_step, channel, mask, STATE, COMPLEX)
    row = (batch * num_chunks + num_chunks - 1 - chunk) * channels * WIDTH
    store(products_pointer + row, channel, product[0], product[1], mask, COMPLEX)
    store(ends_pointer + row, channel, end[0], end[1], mask, COMPLEX)


@triton.jit(
    do_not_specialize=[
        *SIZES, "a0", "a1", "a2", "a_step", "i0", "i1", "i2", "h0", "h1", "h2", "h_step",
        "g0", "g1", "g2", "g_step", "f0", "f1", "f2", "da0", "da1", "da2", "da_step",
        "dx0", "dx1", "dx2", "dx_step",
    ]
)  # fmt: skip
def scan_backward(
    a_pointer,
    initial_pointer,
    states_pointer,
    g_pointer,
    g_final_pointer,
    products_pointer,
    ends_pointer,
    da_pointer,
    dx_pointer,
    d_initial_pointer,
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
    i0: tl.int64,
    i1: tl.int64,
    i2: tl.int64,
    h0: tl.int64,
    h1: tl.int64,
    h2: tl.int64,
    h_step: tl.int64,
    g0: tl.int64,
    g1: tl.int64,
    g2: tl.int64,
    g_step: tl.int64,
    f0: tl.int64,
    f1: tl.int64,
    f2: tl.int64,
    da0: tl.int64,
    da1: tl.int64,
    da2: tl.int64,
    da_step: tl.int64,
    dx0: tl.int64,
    dx1: tl.int64,
    dx2: tl.int64,
    dx_step: tl.int64,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
):
    """Gradients of one chunk; the first chunk writes the gradient of the initial state [B, D]."""
    WIDTH: tl.constexpr = 2 if COMPLEX else 1
    block, chunk, batch, b0, b1, b2 = place(n1, n2, num_chunks, tl.cdiv(channels, BLOCK))
    channel = block * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    steps = tl.minimum(chunk_size, length - chunk * chunk_size)
    last = chunk.to(tl.int64) * chunk_size + steps - 1
    a_pointer += (b0 * a0 + b1 * a1 + b2 * a2 + last * a_step) * WIDTH
    states_pointer += (b0 * h0 + b1 * h1 + b2 * h2 + last * h_step) * WIDTH
    g_pointer += (b0 * g0 + b1 * g1 + b2 * g2 + last * g_step) * WIDTH
    da_pointer += (b0 * da0 + b1 * da1 + b2 * da2 + last * da_step) * WIDTH
    dx_pointer += (b0 * dx0 + b1 * dx1 + b2 * dx2 + last * dx_step) * WIDTH
    initial_pointer += (b0 * i0 + b1 * i1 + b2 * i2) * WIDTH
    g_final_pointer += (b0 * f0 + b1 * f1 + b2 * f2) * WIDTH
    a_step *= WIDTH
    h_step *= WIDTH
    g_step *= WIDTH
    da_step *= WIDTH
    dx_step *= WIDTH
    initial = load(initial_pointer, channel, mask, STATE, COMPLEX)
    z = load(g_final_pointer, channel, mask, STATE, COMPLEX)
    chunk_step = channels * WIDTH
    row = batch * num_chunks * chunk_step
    z = after_chunks(
        z, products_pointer + row, ends_pointer + row, num_chunks - 1 - chunk, chunk_step, channel,
        mask, STATE, COMPLEX,
    )  # fmt: skip
    full = steps // UNROLL * UNROLL
    for done in range(0, full, UNROLL):
        z, _product, adjoints = retreat(
            z, z, a_pointer, g_pointer, a_step, g_step, done == 0, channel, mask,
            UNROLL, STATE, COMPLEX,
        )  # fmt: skip
        write_gradients(
            adjoints, initial, states_pointer, da_pointer, dx_pointer, h_step, da_step, dx_step,
            last + 1 == done + UNROLL, channel, mask, UNROLL, STATE, COMPLEX,
        )  # fmt: skip
        a_pointer -= UNROLL * a_step
        states_pointer -= UNROLL * h_step
        g_pointer -= UNROLL * g_step
        da_pointer -= UNROLL * da_step
        dx_pointer -= UNROLL * dx_step
    for done in range(full, steps):
        z, _product, adjoints = retreat(
            z, z, a_pointer, g_pointer, a_step, g_step, done == 0, channel, mask,
            1, STATE, COMPLEX,
        )  # fmt: skip
        write_gradients(
            adjoints, initial, states_pointer, da_pointer, dx_pointer, h_step, da_step, dx_step,
            last == done, channel, mask, 1, STATE, COMPLEX,
        )  # fmt: skip
        a_pointer -= a_step
        states_pointer -= h_step
        g_pointer -= g_step
        da_pointer -= da_step
        dx_pointer -= dx_step
    if chunk == 0:
        z = times_transition(z, a_pointer + a_step, channel, mask, STATE, COMPLEX)
        store(d_initial_pointer + batch * channels * WIDTH, channel, z[0], z[1], mask, COMPLEX)
