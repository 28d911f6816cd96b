"""Triton kernel of the Householder recurrence, token after token, with the state in registers.

Columns of the state do not see each other, so a program of one warp owns `COLS` of them and walks
along time. Its tile is [ROWS, COLS, PARTS], row r of part p being key channel ``ROWS p + r``: with
`ROWS` = 16 and states stored keys innermost, Triton puts four neighbouring rows of all parts on a
lane and each row on four lanes. A read of the state then sums in registers first and takes two
exchanges. Few sequences wait for memory, so their vectors come through shared memory, several
tokens ahead (`AHEAD`); many hide each other's waiting and are bound by instructions, so theirs are
loaded to registers, those of a token together: a load that follows a store would wait alone.

Legend: T tokens, R factors of a token, K key channels, V value columns.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, place

SIZES = ["n1", "n2", "length", "num_factors"]
STRIDES = ["q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor"]
STRIDES += ["v0", "v1", "v2", "v_step", "v_factor", "b0", "b1", "b2", "b_step"]
STRIDES += ["w0", "w1", "w2", "w_step", "a0", "a1", "a2", "a_step"]
STAGES = tl.constexpr(3)


@triton.jit
def wide(number):
    """A loop variable in 64 bits; in the interpreter it is a plain whole number."""
    return tl.full([], 0, tl.int64) + number


@triton.jit
def aligned(number, ALIGNED: tl.constexpr):
    """A stride or offset, known to the compiler as a multiple of 4 where it is one."""
    return tl.multiple_of(number // 4 * 4, 4) if ALIGNED else number


@triton.jit
def load_rows(pointer, SIZE: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr):
    """Load a vector along the rows of the state, [ROWS, PARTS]."""
    index = tl.arange(0, ROWS)[:, None] + ROWS * tl.arange(0, PARTS)[None, :]
    if SIZE == ROWS * PARTS:
        values = tl.load(pointer + index)
    else:
        values = tl.load(pointer + index, mask=index < SIZE, other=0.0)
    return values


@triton.jit
def store_rows(pointer, values, SIZE: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr):
    """Write a vector along the rows of the state."""
    index = tl.arange(0, ROWS)[:, None] + ROWS * tl.arange(0, PARTS)[None, :]
    tl.store(pointer + index, values.to(pointer.dtype.element_ty), mask=index < SIZE)


@triton.jit
def load_columns(pointer, column, SIZE: tl.constexpr, COLS: tl.constexpr):
    """Load a vector along the columns of the state, [COLS]."""
    if SIZE % COLS == 0:
        values = tl.load(pointer + column)
    else:
        values = tl.load(pointer + column, mask=column < SIZE, other=0.0)
    return values


@triton.jit
def store_columns(pointer, column, values, SIZE: tl.constexpr):
    """Write a vector along the columns of the state."""
    tl.store(pointer + column, values.to(pointer.dtype.element_ty), mask=column < SIZE)


@triton.jit
def tile_places(
    column, step, NUM_ROWS: tl.constexpr, NUM_COLS: tl.constexpr, ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """Offsets of a tile stored rows innermost, and which of them exist."""
    row = tl.arange(0, ROWS)[:, None, None] + ROWS * tl.arange(0, PARTS)[None, None, :]
    column = column[None, :, None]
    return row + column * step, (row < NUM_ROWS) & (column < NUM_COLS)


@triton.jit
def read(state, vector):
    """S^T k for a vector along the rows: what a lane holds is summed first, by one chain."""
    LANES: tl.constexpr = state.shape[0] // 4
    COLS: tl.constexpr = state.shape[1]
    PARTS: tl.constexpr = state.shape[2]
    products = tl.reshape(state * vector[:, None, :], [LANES, 4, COLS, PARTS])
    products = tl.reshape(tl.permute(products, [0, 2, 3, 1]), [LANES, COLS, 4 * PARTS])
    return tl.sum(tl.sum(products, 2), 0)


@triton.jit
def add_outer(state, vector, columns):
    """S + k u^T."""
    return state + vector[:, None, :] * columns[None, :, None]


@triton.jit
def decayed(
    state, a_pointer, K: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
    DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """diag(a) S with the decays of one token."""
    if DECAY == HEAD:
        state = state * tl.load(a_pointer).to(STATE)
    if DECAY == CHANNEL:
        state = state * load_rows(a_pointer, K, ROWS, PARTS).to(STATE)[:, None, :]
    return state


@triton.jit
def load_factor(
    k_pointer, v_pointer, b_pointer, w_pointer, column, K: tl.constexpr, V: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Key, value, beta and write of one factor."""
    key = load_rows(k_pointer, K, ROWS, PARTS).to(STATE)
    value = load_columns(v_pointer, column, V, COLS).to(STATE)
    return key, value, tl.load(b_pointer).to(STATE), tl.load(w_pointer).to(STATE)


@triton.jit
def apply_factor(state, factor, y_pointer, column, V: tl.constexpr, SAVE: tl.constexpr):
    """S + k (w v - beta S^T k)^T; with SAVE what was read is written."""
    key, value, beta, write = factor
    y = read(state, key)
    if SAVE:
        store_columns(y_pointer, column, y, V)
    return add_outer(state, key, write * value - beta * y)


@triton.jit
def forward_token(
    state, t, q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, o_pointer,
    y_pointer, num_factors, k_factor, v_factor, o_step, column, K: tl.constexpr, V: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr, FACTORS: tl.constexpr,
    TOGETHER: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state after token t, whose inputs the pointers are at and whose output is written."""
    state = decayed(state, a_pointer, K, ROWS, PARTS, DECAY, STATE)
    y_pointer += t * num_factors * V
    if FACTORS > 0:
        for first in tl.static_range(0, FACTORS, TOGETHER):
            factors = ()
            for r in tl.static_range(first, first + TOGETHER):
                factors = factors + (
                    load_factor(
                        k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r,
                        w_pointer + r, column, K, V, ROWS, COLS, PARTS, STATE,
                    ),
                )  # fmt: skip
            if first + TOGETHER == FACTORS:
                query = load_rows(q_pointer, K, ROWS, PARTS).to(STATE)
            for i in tl.static_range(TOGETHER):
                at = y_pointer + (first + i) * V
                state = apply_factor(state, factors[i], at, column, V, SAVE)
    else:
        for r in tl.range(0, num_factors, num_stages=STAGES):
            factor = load_factor(
                k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r, w_pointer + r,
                column, K, V, ROWS, COLS, PARTS, STATE,
            )  # fmt: skip
            state = apply_factor(state, factor, y_pointer + r * V, column, V, SAVE)
        query = load_rows(q_pointer, K, ROWS, PARTS).to(STATE)
    store_columns(o_pointer + t * o_step, column, read(state, query), V)
    return state


@triton.jit(
    do_not_specialize=[*SIZES, *STRIDES, "o0", "o1", "o2", "o_step", "i0", "i1", "i2", "i_step"]
)
def scan_forward(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, initial_pointer, o_pointer,
    final_pointer, y_pointer, states_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, num_factors: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64, v_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64,
    w0: tl.int64, w1: tl.int64, w2: tl.int64, w_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    o0: tl.int64, o1: tl.int64, o2: tl.int64, o_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    FACTORS: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr,
    CHUNK: tl.constexpr, STATE: tl.constexpr, ALIGNED: tl.constexpr, AHEAD: tl.constexpr,
    TOGETHER: tl.constexpr,
):  # fmt: skip
    """Outputs [B, T, V] and final state [B, V, K].

    With SAVE also what every factor read, [B, T, R, V], and with CHUNK > 0 the states before every
    `CHUNK` tokens, [B, C, V, K]. `FACTORS` is R, or 0 where R is too large to be unrolled; `TOKENS`
    tokens are taken at once, and loaded `AHEAD` - 1 iterations before,
    `TOGETHER` factors before the first of them is used.
    """
    BLOCKS: tl.constexpr = (V + COLS - 1) // COLS
    sequence = tl.program_id(0) // BLOCKS
    column = tl.program_id(0) % BLOCKS * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(sequence, n1, n2)
    sequence = sequence.to(tl.int64)
    q_pointer += aligned(s0 * q0 + s1 * q1 + s2 * q2, ALIGNED)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    v_pointer += aligned(s0 * v0 + s1 * v1 + s2 * v2, ALIGNED)
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    w_pointer += s0 * w0 + s1 * w1 + s2 * w2
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    o_pointer += aligned(s0 * o0 + s1 * o1 + s2 * o2, ALIGNED)
    y_pointer += sequence * length * num_factors * V
    states_pointer += sequence * (tl.cdiv(length, CHUNK) if CHUNK > 0 else 0) * (K * V)
    q_step = aligned(q_step, ALIGNED)
    k_step = aligned(k_step, ALIGNED)
    k_factor = aligned(k_factor, ALIGNED)
    v_step = aligned(v_step, ALIGNED)
    v_factor = aligned(v_factor, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    o_step = aligned(o_step, ALIGNED)
    offsets, inside = tile_places(column, aligned(i_step, ALIGNED), K, V, ROWS, PARTS)
    initial_pointer += aligned(s0 * i0 + s1 * i1 + s2 * i2, ALIGNED)
    state = tl.load(initial_pointer + offsets, mask=inside, other=0.0).to(STATE)
    offsets, inside = tile_places(column, K, K, V, ROWS, PARTS)
    whole = length // TOKENS * TOKENS
    for start in tl.range(0, whole, TOKENS, num_stages=AHEAD):
        if CHUNK > 0:
            if start % CHUNK == 0:
                at = states_pointer + wide(start // CHUNK) * (K * V)
                tl.store(at + offsets, state, mask=inside)
        for i in tl.static_range(TOKENS):
            state = forward_token(
                state, wide(start + i), q_pointer, k_pointer, v_pointer, b_pointer, w_pointer,
                a_pointer, o_pointer, y_pointer, num_factors, k_factor, v_factor, o_step, column, K,
                V, ROWS, COLS, PARTS, FACTORS, TOGETHER, DECAY, SAVE, STATE,
            )  # fmt: skip
            q_pointer += q_step
            k_pointer += k_step
            v_pointer += v_step
            b_pointer += b_step
            w_pointer += w_step
            a_pointer += a_step
    for t in range(whole, length):
        if CHUNK > 0:
            if t % CHUNK == 0:
                at = states_pointer + wide(t // CHUNK) * (K * V)
                tl.store(at + offsets, state, mask=inside)
        state = forward_token(
            state, wide(t), q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer,
            o_pointer, y_pointer, num_factors, k_factor, v_factor, o_step, column, K, V, ROWS, COLS,
            PARTS, FACTORS, TOGETHER, DECAY, SAVE, STATE,
        )  # fmt: skip
        q_pointer += q_step
        k_pointer += k_step
        v_pointer += v_step
        b_pointer += b_step
        w_pointer += w_step
        a_pointer += a_step
    tl.store(final_pointer + sequence * (K * V) + offsets, state, mask=inside)
