"""Triton kernels of the adjoint of the diagonal recurrence; legend and formulas in `kernel`."""

import triton
import triton.language as tl

from statetrack.scans.diagonal.kernel import SIZES, after_chunks, multiply_add, place
from statetrack.scans.diagonal.kernel_rows import (
    load,
    load_block,
    load_rows,
    rows_of,
    store,
    store_rows,
)
from statetrack.scans.masks import where_also


@triton.jit
def conjugate(a):
    """Complex conjugate of a pair."""
    return a[0], -a[1]


@triton.jit
def retreat(
    future,
    product,
    initial,
    a_pointer,
    h_pointer,
    g_pointer,
    da_pointer,
    dx_pointer,
    a_step,
    h_step,
    g_step,
    da_step,
    dx_step,
    is_first,
    channel,
    mask,
    UNROLL: tl.constexpr,
    STATE: tl.constexpr,
    COMPLEX: tl.constexpr,
    WRITE: tl.constexpr,
    PRODUCT: tl.constexpr,
):
    """Take `UNROLL` steps back from the row before the pointers."""
    gradients = load_rows(g_pointer, -g_step, channel, mask, UNROLL, STATE, COMPLEX)
    transitions = load_rows(a_pointer, -a_step, channel, mask, UNROLL, STATE, COMPLEX)
    if WRITE:
        oldest = where_also(mask, is_first == 0)
        block = load_block(h_pointer - h_step, -h_step, channel, mask, oldest, UNROLL, COMPLEX)
        previous = rows_of(block, UNROLL, STATE, COMPLEX)
    zero = (tl.zeros_like(future[0]), tl.zeros_like(future[1]))
    d_transitions = ()
    d_inputs = ()
    for i in tl.static_range(UNROLL):
        z = (gradients[i][0] + future[0], gradients[i][1] + future[1])
        if WRITE:
            before = previous[i]
            if i == UNROLL - 1:
                re = tl.where(is_first, initial[0], before[0])
                im = tl.where(is_first, initial[1], before[1])
                before = (re, im)
            d_transitions = d_transitions + (multiply_add(conjugate(before), z, zero, COMPLEX),)
            d_inputs = d_inputs + (z,)
        future = multiply_add(conjugate(transitions[i]), z, zero, COMPLEX)
        if PRODUCT:
            product = multiply_add(conjugate(transitions[i]), product, zero, COMPLEX)
    if WRITE:
        store_rows(dx_pointer, -dx_step, channel, d_inputs, mask, UNROLL, COMPLEX)
        store_rows(da_pointer, -da_step, channel, d_transitions, mask, UNROLL, COMPLEX)
    return future, product


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
    future = (zero, zero)
    product = (zero + 1, zero)
    for _ in range(steps // UNROLL):
        future, product = retreat(
            future, product, future, a_pointer, a_pointer, g_pointer, a_pointer, a_pointer,
            a_step, a_step, g_step, a_step, a_step, False, channel, mask,
            UNROLL, STATE, COMPLEX, False, True,
        )  # fmt: skip
        a_pointer -= UNROLL * a_step
        g_pointer -= UNROLL * g_step
    for _ in range(steps % UNROLL):
        future, product = retreat(
            future, product, future, a_pointer, a_pointer, g_pointer, a_pointer, a_pointer,
            a_step, a_step, g_step, a_step, a_step, False, channel, mask,
            1, STATE, COMPLEX, False, True,
        )  # fmt: skip
        a_pointer -= a_step
        g_pointer -= g_step
    row = (batch * num_chunks + num_chunks - 1 - chunk) * channels * WIDTH
    store(products_pointer + row, channel, product[0], product[1], mask, COMPLEX)
    store(ends_pointer + row, channel, future[0], future[1], mask, COMPLEX)


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
    future = load(g_final_pointer, channel, mask, STATE, COMPLEX)
    chunk_step = channels * WIDTH
    row = batch * num_chunks * chunk_step
    future = after_chunks(
        future, products_pointer + row, ends_pointer + row, num_chunks - 1 - chunk, chunk_step,
        channel, mask, STATE, COMPLEX,
    )  # fmt: skip
    for done in range(0, steps // UNROLL * UNROLL, UNROLL):
        future, _none = retreat(
            future, future, initial, a_pointer, states_pointer, g_pointer, da_pointer, dx_pointer,
            a_step, h_step, g_step, da_step, dx_step, last + 1 == done + UNROLL, channel, mask,
            UNROLL, STATE, COMPLEX, True, False,
        )  # fmt: skip
        a_pointer -= UNROLL * a_step
        states_pointer -= UNROLL * h_step
        g_pointer -= UNROLL * g_step
        da_pointer -= UNROLL * da_step
        dx_pointer -= UNROLL * dx_step
    for done in range(steps // UNROLL * UNROLL, steps):
        future, _none = retreat(
            future, future, initial, a_pointer, states_pointer, g_pointer, da_pointer, dx_pointer,
            a_step, h_step, g_step, da_step, dx_step, last == done, channel, mask,
            1, STATE, COMPLEX, True, False,
        )  # fmt: skip
        a_pointer -= a_step
        states_pointer -= h_step
        g_pointer -= g_step
        da_pointer -= da_step
        dx_pointer -= dx_step
    if chunk == 0:
        store(
            d_initial_pointer + batch * channels * WIDTH,
            channel, future[0], future[1], mask, COMPLEX,
        )  # fmt: skip
