"""Triton kernel of the outer-product recurrence: inputs read once, the state in registers.

One program owns a block of value columns of one sequence and walks along time in chunks of `CHUNK`
tokens: what a chunk's tokens give each other is a masked product of its queries and keys, what came
before is read from the state. With decays, queries are multiplied and keys divided by the running
products of the chunk (gated linear attention, Yang et al. 2023, arXiv 2312.06635, equation 5): of
the decays themselves, signs and all, not of their logarithms. A chunk whose running products leave
the range of `TINY` to its inverse (zeros do), or whose numbers are not finite, goes token by token
without division.

Legend: C tokens of a chunk, K key channels, V value columns, D decays of a token (1 or K).
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, NONE, place
from statetrack.scans.masks import where_also
from statetrack.scans.products import dot, flip, split

SIZES = ["n1", "n2", "length"]
TINY = tl.constexpr(2.0**-80)
AT_ONCE = tl.constexpr(4)
LOOK = tl.constexpr(8)


@triton.jit
def load_tile(pointer, step, rows, cols, rows_left, COLS: tl.constexpr, other):
    """Rows [C, cols] of a tensor, `other` where there is none."""
    mask = (rows[:, None] < rows_left) & (cols[None, :] < COLS)
    return tl.load(
        pointer + rows[:, None].to(tl.int64) * step + cols[None, :], mask=mask, other=other
    )


@triton.jit
def store_tile(pointer, step, rows, cols, rows_left, COLS: tl.constexpr, value):
    """Write rows [C, cols] in the type of the pointer."""
    mask = (rows[:, None] < rows_left) & (cols[None, :] < COLS)
    tl.store(
        pointer + rows[:, None].to(tl.int64) * step + cols[None, :],
        value.to(pointer.dtype.element_ty),
        mask=mask,
    )


@triton.jit
def load_decays(
    pointer, step, rows, key, rows_left, K: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr
):
    """Decays of a chunk, [C] per head or [C, K] per channel, 1 after its last token."""
    if DECAY == CHANNEL:
        a = load_tile(pointer, step, rows, key, rows_left, K, 1.0)
    else:
        a = tl.load(pointer + rows.to(tl.int64) * step, mask=rows < rows_left, other=1.0)
    return a.to(STATE)


@triton.jit
def has_nonfinite(tile):
    """Whether any element is not finite."""
    return tl.max(tl.max(tl.where(tl.abs(tile) < float("inf"), 0, 1), 1), 0) > 0


@triton.jit
def running_products(a, rows, SMALL: tl.constexpr, DECAY: tl.constexpr):
    """Products of the decays up to every token [C, D], and of the chunk [D, 1] or a scalar.

    NaN where a product or a decay cannot be divided by: what comes of it is then not finite.
    """
    products = tl.cumprod(a, 0)
    size = tl.abs(products)
    in_range = (size > TINY) & (size < 1.0 / TINY) & (tl.abs(a) >= SMALL)
    products = tl.where(in_range, products, float("nan"))
    if DECAY == CHANNEL:
        last = rows[:, None] == rows.shape[0] - 1
        total = tl.sum(tl.where(last, products, 0.0), 0)[:, None]
    else:
        total = tl.sum(tl.where(rows == rows.shape[0] - 1, products, 0.0), 0)
        products = products[:, None]
    return products, total


@triton.jit
def load_row(pointer, t, step, index, SIZE: tl.constexpr, end, other, STATE: tl.constexpr):
    """Row t [SIZE] of a tensor, `other` from row `end` on."""
    mask = where_also(index < SIZE, t < end)
    return tl.load(pointer + t * step + index, mask=mask, other=other).to(STATE)


@triton.jit
def load_decay(
    pointer, t, step, key, K: tl.constexpr, end, DECAY: tl.constexpr, STATE: tl.constexpr
):
    """Decay of token t, [1, 1] or [K, 1], 1 from token `end` on."""
    if DECAY == CHANNEL:
        a = load_row(pointer, t, step, key, K, end, 1.0, STATE)
    else:
        a = load_row(pointer, t, step, tl.arange(0, 1), 1, end, 1.0, STATE)
    return a[:, None]


@triton.jit
def walk_states(
    k_pointer, v_pointer, a_pointer, k_step, v_step, a_step, state, first, end, key, column,
    K: tl.constexpr, V: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state after the tokens from `first` to before `end`, token by token."""
    for start in range(first, end, AT_ONCE):
        k, v, a = (), (), ()
        for u in tl.static_range(AT_ONCE):
            t = tl.full([], 0, tl.int64) + (start + u)
            k = k + (load_row(k_pointer, t, k_step, key, K, end, 0.0, STATE),)
            v = v + (load_row(v_pointer, t, v_step, column, V, end, 0.0, STATE),)
            if DECAY != NONE:
                a = a + (load_decay(a_pointer, t, a_step, key, K, end, DECAY, STATE),)
        for u in tl.static_range(AT_ONCE):
            if DECAY != NONE:
                state = state * a[u]
            state += k[u][:, None] * v[u][None, :]
    return state


@triton.jit
def walk_forward(
    q_pointer, k_pointer, v_pointer, a_pointer, o_pointer, q_step, k_step, v_step, a_step, o_step,
    state, length, key, column, K: tl.constexpr, V: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Outputs and last state token by token: none sees a later one, not even times zero."""
    for start in range(0, length, AT_ONCE):
        q, k, v, a = (), (), (), ()
        for u in tl.static_range(AT_ONCE):
            t = tl.full([], 0, tl.int64) + (start + u)
            q = q + (load_row(q_pointer, t, q_step, key, K, length, 0.0, STATE),)
            k = k + (load_row(k_pointer, t, k_step, key, K, length, 0.0, STATE),)
            v = v + (load_row(v_pointer, t, v_step, column, V, length, 0.0, STATE),)
            if DECAY != NONE:
                a = a + (load_decay(a_pointer, t, a_step, key, K, length, DECAY, STATE),)
        for u in tl.static_range(AT_ONCE):
            t = tl.full([], 0, tl.int64) + (start + u)
            if DECAY != NONE:
                state = state * a[u]
            state += k[u][:, None] * v[u][None, :]
            o = tl.sum(state * q[u][:, None], 0).to(o_pointer.dtype.element_ty)
            tl.store(o_pointer + t * o_step + column, o, mask=where_also(column < V, t < length))
    return state


@triton.jit(
    do_not_specialize=[
        *SIZES, "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "v0", "v1", "v2", "v_step",
        "a0", "a1", "a2", "a_step", "i0", "i1", "i2", "i_step", "o0", "o1", "o2", "o_step",
    ]
)  # fmt: skip
def scan_forward(
    q_pointer, k_pointer, v_pointer, a_pointer, initial_pointer, o_pointer, final_pointer,
    states_pointer, n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    o0: tl.int64, o1: tl.int64, o2: tl.int64, o_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr, STATE: tl.constexpr,
    OPERAND: tl.constexpr, PARTS: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Outputs and final state; with SAVE also the states before every chunk."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    program = tl.program_id(0)
    sequence = program // NUM_BLOCKS
    b0, b1, b2 = place(sequence, n1, n2)
    q_offset = b0 * q0 + b1 * q1 + b2 * q2
    k_offset = b0 * k0 + b1 * k1 + b2 * k2
    v_offset = b0 * v0 + b1 * v1 + b2 * v2
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    o_offset = b0 * o0 + b1 * o1 + b2 * o2
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        v_step = v_step // 8 * 8
        a_step = a_step // 8 * 8 if DECAY == CHANNEL else a_step
        o_step = o_step // 8 * 8
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        a_offset = tl.multiple_of(a_offset, 8) if DECAY == CHANNEL else a_offset
        o_offset = tl.multiple_of(o_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    a_pointer += a_offset
    o_pointer += o_offset
    rows = tl.arange(0, CHUNK)
    key = tl.arange(0, BLOCK_K)
    column = (program % NUM_BLOCKS) * BLOCK_V + tl.arange(0, BLOCK_V)
    causal = rows[:, None] >= rows[None, :]
    initial_pointer += b0 * i0 + b1 * i1 + b2 * i2
    state = load_tile(initial_pointer, i_step, key, column, K, V, 0.0).to(STATE)
    if SAVE:
        states_pointer += sequence.to(tl.int64) * (tl.cdiv(length, CHUNK) * (K * V))
    num_chunks = tl.cdiv(length, CHUNK)
    start = 0
    size = LOOK
    final_pointer += sequence.to(tl.int64) * (K * V)
    while start < num_chunks:
        store_tile(final_pointer, V, key, column, K, V, state)
        stop = tl.minimum(start + size, num_chunks)
        for number in range(start, stop):
            at = tl.full([], 0, tl.int64) + number * CHUNK
            left = length - number * CHUNK
            if SAVE:
                states_at = states_pointer + at // CHUNK * (K * V)
                store_tile(states_at, V, key, column, K, V, state)
            q = load_tile(q_pointer + at * q_step, q_step, rows, key, left, K, 0.0)
            k = load_tile(k_pointer + at * k_step, k_step, rows, key, left, K, 0.0)
            if DECAY != NONE:
                a_at = a_pointer + at * a_step
                a = load_decays(a_at, a_step, rows, key, left, K, DECAY, STATE)
                products, total = running_products(a, rows, 0.0, DECAY)
                q = q.to(STATE) * products
                k = k.to(STATE) / products
            q_parts = split(q, OPERAND, PARTS)
            k_parts = split(k, OPERAND, PARTS)
            weights = tl.where(causal, dot(q_parts, flip(k_parts), STATE, PRECISION), 0.0)
            o = dot(q_parts, split(state, OPERAND, PARTS), STATE, PRECISION)
            v = load_tile(v_pointer + at * v_step, v_step, rows, column, left, V, 0.0)
            v_parts = split(v, OPERAND, PARTS)
            o += dot(split(weights, OPERAND, PARTS), v_parts, STATE, PRECISION)
            store_tile(o_pointer + at * o_step, o_step, rows, column, left, V, o)
            state += dot(flip(k_parts), v_parts, STATE, PRECISION)
            if DECAY != NONE:
                state = state * total
        if has_nonfinite(state):
            # Chunk by chunk from where it was finite, and the one that is to blame by its tokens.
            tl.debug_barrier()
            state = load_tile(final_pointer, V, key, column, K, V, 0.0).to(STATE)
            size = 1
            if stop == start + 1:
                at = tl.full([], 0, tl.int64) + start * CHUNK
                state = walk_forward(
                    q_pointer + at * q_step, k_pointer + at * k_step, v_pointer + at * v_step,
                    a_pointer + at * a_step, o_pointer + at * o_step, q_step, k_step, v_step,
                    a_step, o_step, state, tl.minimum(length - start * CHUNK, CHUNK), key, column,
                    K, V, DECAY, STATE, 1 if PARTS > 1 else AT_ONCE,
                )  # fmt: skip
                start = stop
            tl.debug_barrier()
        else:
            start = stop
            size = tl.minimum(2 * size, LOOK)
    store_tile(final_pointer, V, key, column, K, V, state)
