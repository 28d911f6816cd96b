"""Triton kernel of the gradient of queries and keys in the Householder recurrence.

``dq = S do`` with the state after a token and ``dk = Z u - beta S du`` with the state before a
factor (see `kernel_sequential_backward`, which leaves u, du and Z u). Once u is known the state
follows from sums alone, S <- diag(a) S + k u^T, so no step waits for a reduction.

Legend as in `kernel_sequential`, but here the rows of a tile are values and its columns keys: a
program owns `COLS` key channels, which do not see each other.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, place
from statetrack.scans.householder.kernel_sequential import (
    SIZES,
    STAGES,
    add_outer,
    aligned,
    load_columns,
    load_rows,
    read,
    store_columns,
    tile_places,
    wide,
)


@triton.jit
def load_rows_factor(
    k_pointer, b_pointer, place_V, place_K, u_pointer, du_pointer, read_pointer, block_step,
    column, K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
    PARTS: tl.constexpr, BLOCKS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Key, beta, u, du and Z u of one factor."""
    key = load_columns(k_pointer, column, K, COLS).to(STATE)
    beta = tl.load(b_pointer).to(STATE)
    u = load_rows(u_pointer + place_V, V, ROWS, PARTS)
    du = load_rows(du_pointer + place_V, V, ROWS, PARTS)
    sums = load_columns(read_pointer + place_K, column, K, COLS)
    for block in tl.static_range(1, BLOCKS):
        sums += load_columns(read_pointer + block * block_step + place_K, column, K, COLS)
    return key, beta, u, du, sums


@triton.jit
def rows_factor(state, factor, dk_pointer, column, K: tl.constexpr):
    """The state after one factor, whose gradient of the key is written."""
    key, beta, u, du, sums = factor
    store_columns(dk_pointer, column, sums - beta * read(state, du), K)
    return add_outer(state, u, key)


@triton.jit
def rows_token(
    state, t, k_pointer, b_pointer, a_pointer, do_pointer, u_pointer, du_pointer, read_pointer,
    dq_pointer, dk_pointer, num_factors, block_step, k_factor, dq_step, dk_step, dk_factor, column,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    BLOCKS: tl.constexpr, FACTORS: tl.constexpr, TOGETHER: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """The state after token t; the gradients of its query and keys are written."""
    if DECAY == HEAD:
        state = state * tl.load(a_pointer).to(STATE)
    if DECAY == CHANNEL:
        state = state * load_columns(a_pointer, column, K, COLS).to(STATE)[None, :, None]
    do = load_rows(do_pointer, V, ROWS, PARTS).to(STATE)
    if FACTORS > 0:
        for first in tl.static_range(0, FACTORS, TOGETHER):
            factors = ()
            for r in tl.static_range(first, first + TOGETHER):
                i = t * FACTORS + r
                factors = factors + (
                    load_rows_factor(
                        k_pointer + r * k_factor, b_pointer + r, i * V,
                        t * dk_step + r * dk_factor, u_pointer, du_pointer, read_pointer,
                        block_step, column, K, V, ROWS, COLS, PARTS, BLOCKS, STATE,
                    ),
                )  # fmt: skip
            for j in tl.static_range(TOGETHER):
                at = dk_pointer + t * dk_step + (first + j) * dk_factor
                state = rows_factor(state, factors[j], at, column, K)
    else:
        for r in tl.range(0, num_factors, num_stages=STAGES):
            i = t * num_factors + r
            place_K = t * dk_step + r * dk_factor
            factor = load_rows_factor(
                k_pointer + r * k_factor, b_pointer + r, i * V, place_K, u_pointer, du_pointer,
                read_pointer, block_step, column, K, V, ROWS, COLS, PARTS, BLOCKS, STATE,
            )  # fmt: skip
            state = rows_factor(state, factor, dk_pointer + place_K, column, K)
    store_columns(dq_pointer + t * dq_step, column, read(state, do), K)
    return state


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", "k0", "k1", "k2", "k_step", "k_factor", "b0", "b1", "b2", "b_step",
        "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step", "i0", "i1", "i2",
        "i_step", "dq0", "dq1", "dq2", "dq_step", "dk0", "dk1", "dk2", "dk_step", "dk_factor",
    ]
)  # fmt: skip
def rows_backward(
    k_pointer, b_pointer, a_pointer, initial_pointer, do_pointer, u_pointer, du_pointer,
    read_pointer, dq_pointer, dk_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, num_factors: tl.int32, sequences: tl.int32,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    dq0: tl.int64, dq1: tl.int64, dq2: tl.int64, dq_step: tl.int64,
    dk0: tl.int64, dk1: tl.int64, dk2: tl.int64, dk_step: tl.int64, dk_factor: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    BLOCKS: tl.constexpr, FACTORS: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, AHEAD: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """Gradients of the queries [B, T, K] and keys [B, T, R, K] for a block of key channels.

    `BLOCKS` counts the partial sums of Z u, each of which lies as the gradient of the keys.
    """
    KEY_BLOCKS: tl.constexpr = (K + COLS - 1) // COLS
    program = tl.program_id(0) // KEY_BLOCKS
    column = tl.program_id(0) % KEY_BLOCKS * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(program, n1, n2)
    sequence = program.to(tl.int64)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    do_pointer += aligned(s0 * do0 + s1 * do1 + s2 * do2, ALIGNED)
    u_pointer += sequence * length * num_factors * V
    du_pointer += sequence * length * num_factors * V
    of_key = aligned(s0 * dk0 + s1 * dk1 + s2 * dk2, ALIGNED)
    read_pointer += of_key
    dk_pointer += of_key
    dq_pointer += aligned(s0 * dq0 + s1 * dq1 + s2 * dq2, ALIGNED)
    block_step = sequences.to(tl.int64) * length * num_factors * K
    k_step = aligned(k_step, ALIGNED)
    k_factor = aligned(k_factor, ALIGNED)
    do_step = aligned(do_step, ALIGNED)
    dq_step = aligned(dq_step, ALIGNED)
    dk_step = aligned(dk_step, ALIGNED)
    dk_factor = aligned(dk_factor, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    offsets, inside = tile_places(column, aligned(i_step, ALIGNED), V, K, ROWS, PARTS)
    initial_pointer += aligned(s0 * i0 + s1 * i1 + s2 * i2, ALIGNED)
    state = tl.load(initial_pointer + offsets, mask=inside, other=0.0).to(STATE)
    whole = length // TOKENS * TOKENS
    for start in tl.range(0, whole, TOKENS, num_stages=AHEAD):
        for i in tl.static_range(TOKENS):
            state = rows_token(
                state, wide(start + i), k_pointer, b_pointer, a_pointer, do_pointer, u_pointer,
                du_pointer, read_pointer, dq_pointer, dk_pointer, num_factors, block_step,
                k_factor, dq_step, dk_step, dk_factor, column, K, V, ROWS, COLS, PARTS, BLOCKS,
                FACTORS, TOGETHER, DECAY, STATE,
            )  # fmt: skip
            k_pointer += k_step
            b_pointer += b_step
            a_pointer += a_step
            do_pointer += do_step
    for t in range(whole, length):
        state = rows_token(
            state, wide(t), k_pointer, b_pointer, a_pointer, do_pointer, u_pointer, du_pointer,
            read_pointer, dq_pointer, dk_pointer, num_factors, block_step, k_factor, dq_step,
            dk_step, dk_factor, column, K, V, ROWS, COLS, PARTS, BLOCKS, FACTORS, TOGETHER, DECAY,
            STATE,
        )  # fmt: skip
        k_pointer += k_step
        b_pointer += b_step
        a_pointer += a_step
        do_pointer += do_step
