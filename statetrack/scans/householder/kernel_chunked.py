"""Triton kernel of the Householder recurrence in chunks of factors, the state in registers.

One program owns a block of value columns of one sequence and walks along time in chunks of `CHUNK`
factors. Every factor i adds ``k_i u_i^T`` to the state, and the u of a chunk solve one triangular
system (Yang et al. 2024, arXiv 2406.06484); with G_ij the decays after factor j up to factor i,

    u_i = w_i v_i - beta_i S_0^T (G_i0 k_i) - beta_i sum_{j < i} G_ij (k_i . k_j) u_j.

`kernel_chunked_solve` has inverted the systems of all chunks before. State, updates and outputs are
held transposed: an accumulator is then the left operand of the next product without leaving its
registers.

Bfloat16 inputs are exact operands. What is computed from them (state, system, updates) is split
into a leading and a trailing bfloat16 number, so that a chain of reflections does not lose what
the rounding of its parts would lose.

Legend: C factors of a chunk, Q its tokens (rounded up), K key channels, V value columns.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import HEAD, place
from statetrack.scans.householder.kernel_chunked_decays import at_end, decay_products
from statetrack.scans.outer_product.kernel import SIZES, has_nonfinite, load_tile, store_tile


@triton.jit
def split(x):
    """Leading and trailing bfloat16 part of float32 numbers."""
    # Rounded in whole numbers: conversions to bfloat16 and back are slow one by one.
    bits = (x.to(tl.int32, bitcast=True) + 0x8000) & -65536
    leading = bits.to(tl.float32, bitcast=True)
    return leading.to(tl.bfloat16), (x - leading).to(tl.bfloat16)


@triton.jit
def add_dot(total, x, y, OPERAND: tl.constexpr, PRECISION: tl.constexpr):
    """`total` plus a product; with `OPERAND` bfloat16, operands of other types are split in two."""
    if OPERAND == tl.bfloat16:
        if x.dtype == tl.bfloat16:
            if y.dtype == tl.bfloat16:
                total = tl.dot(x, y, total)
            else:
                y_leading, y_trailing = split(y)
                total = tl.dot(x, y_trailing, total)
                total = tl.dot(x, y_leading, total)
        elif y.dtype == tl.bfloat16:
            x_leading, x_trailing = split(x)
            total = tl.dot(x_trailing, y, total)
            total = tl.dot(x_leading, y, total)
        else:
            x_leading, x_trailing = split(x)
            y_leading, y_trailing = split(y)
            total = tl.dot(x_trailing, y_leading, total)
            total = tl.dot(x_leading, y_trailing, total)
            total = tl.dot(x_leading, y_leading, total)
    else:
        SUM: tl.constexpr = tl.float32 if OPERAND != tl.float64 else tl.float64
        product = tl.dot(x.to(OPERAND), y.to(OPERAND), input_precision=PRECISION, out_dtype=SUM)
        total += product.to(total.dtype)
    return total


@triton.jit
def dot(x, y, STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr):
    """A product as in `add_dot`."""
    return add_dot(tl.zeros([x.shape[0], y.shape[1]], STATE), x, y, OPERAND, PRECISION)


@triton.jit
def load_strengths(
    pointer, step, offsets, rows, start, length, R: tl.constexpr, TOKENS: tl.constexpr
):
    """Strengths [C] of the chunk that starts at a token, zero where there is none."""
    left = tl.maximum(tl.minimum(length - start, TOKENS), 0)
    at = tl.full([], 0, tl.int64) + start
    return tl.load(pointer + at * step + offsets, mask=rows < left * R, other=0.0)


@triton.jit
def walk_exactly(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, o_pointer, final_pointer,
    states_pointer, u_pointer, q_step, k_step, k_factor, v_step, v_factor, b_step, b_factor,
    w_step, w_factor, a_step, o_step, state, length, key, column, K: tl.constexpr, V: tl.constexpr,
    R: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """One factor after the other: none sees a later one, not even times zero."""
    in_key = key < K
    in_column = column < V
    for t in range(length):
        if SAVE:
            if t % TOKENS == 0:
                store_tile(states_pointer, K, column, key, V, K, state)
                states_pointer += K * V
        if DECAY == HEAD:
            state = state * tl.load(a_pointer).to(STATE)
        for r in range(R):
            k = tl.load(k_pointer + r * k_factor + key, mask=in_key, other=0.0).to(STATE)
            v = tl.load(v_pointer + r * v_factor + column, mask=in_column, other=0.0).to(STATE)
            beta = tl.load(b_pointer + r * b_factor).to(STATE)
            write = tl.load(w_pointer + r * w_factor).to(STATE)
            u = write * v - beta * tl.sum(state * k[None, :], 1)
            if SAVE:
                tl.store(u_pointer + column, u.to(u_pointer.dtype.element_ty), mask=in_column)
                u_pointer += V
            state += u[:, None] * k[None, :]
        q = tl.load(q_pointer + key, mask=in_key, other=0.0).to(STATE)
        o = tl.sum(state * q[None, :], 1)
        tl.store(o_pointer + column, o.to(o_pointer.dtype.element_ty), mask=in_column)
        q_pointer += q_step
        k_pointer += k_step
        v_pointer += v_step
        b_pointer += b_step
        w_pointer += w_step
        a_pointer += a_step
        o_pointer += o_step
    if SAVE:
        store_tile(states_pointer, K, column, key, V, K, state)
    final_at = final_pointer + key[None, :] * V + column[:, None]
    tl.store(
        final_at, state.to(final_pointer.dtype.element_ty),
        mask=in_key[None, :] & in_column[:, None],
    )  # fmt: skip


@triton.jit(
    do_not_specialize=[
        *SIZES, "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor", "v0", "v1",
        "v2", "v_step", "v_factor", "b0", "b1", "b2", "b_step", "b_factor", "w0", "w1", "w2",
        "w_step", "w_factor", "a0", "a1", "a2", "a_step", "i0", "i1", "i2", "i_step", "o0", "o1",
        "o2", "o_step",
    ]
)  # fmt: skip
def scan_forward(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, initial_pointer,
    inverse_pointer, o_pointer, final_pointer, u_pointer, states_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64, v_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64, b_factor: tl.int64,
    w0: tl.int64, w1: tl.int64, w2: tl.int64, w_step: tl.int64, w_factor: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    o0: tl.int64, o1: tl.int64, o2: tl.int64, o_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr, CHUNK: tl.constexpr, ROWS_Q: tl.constexpr, DECAY: tl.constexpr,
    SAVE: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr,
    ALIGNED: tl.constexpr,
):  # fmt: skip
    """Outputs and final state; with SAVE also all updates u and the states before all chunks."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    TOKENS: tl.constexpr = CHUNK // R
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        k_factor = k_factor // 8 * 8
        v_step = v_step // 8 * 8
        v_factor = v_factor // 8 * 8
        o_step = o_step // 8 * 8
    program = tl.program_id(0)
    sequence = program // NUM_BLOCKS
    s0, s1, s2 = place(sequence, n1, n2)
    q_offset = s0 * q0 + s1 * q1 + s2 * q2
    k_offset = s0 * k0 + s1 * k1 + s2 * k2
    v_offset = s0 * v0 + s1 * v1 + s2 * v2
    o_offset = s0 * o0 + s1 * o1 + s2 * o2
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        o_offset = tl.multiple_of(o_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    o_pointer += o_offset
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    w_pointer += s0 * w0 + s1 * w1 + s2 * w2
    a_pointer += s0 * a0 + s1 * a1 + s2 * a2
    u_pointer += sequence.to(tl.int64) * length * (R * V)
    states_pointer += sequence.to(tl.int64) * (tl.cdiv(length, TOKENS) + 1) * (K * V)
    final_pointer += sequence.to(tl.int64) * (K * V)
    inverse_pointer += sequence.to(tl.int64) * tl.cdiv(length, TOKENS) * (CHUNK * CHUNK)
    rows = tl.arange(0, CHUNK)
    tokens = tl.arange(0, ROWS_Q)
    key = tl.arange(0, BLOCK_K)
    column = (program % NUM_BLOCKS) * BLOCK_V + tl.arange(0, BLOCK_V)
    k_rows = (rows // R).to(tl.int64) * k_step + (rows % R).to(tl.int64) * k_factor
    v_rows = (rows // R).to(tl.int64) * v_step + (rows % R).to(tl.int64) * v_factor
    b_rows = (rows // R).to(tl.int64) * b_step + (rows % R).to(tl.int64) * b_factor
    w_rows = (rows // R).to(tl.int64) * w_step + (rows % R).to(tl.int64) * w_factor
    in_state = (column[:, None] < V) & (key[None, :] < K)
    initial_pointer += s0 * i0 + s1 * i1 + s2 * i2
    initial_at = initial_pointer + key[None, :].to(tl.int64) * i_step + column[:, None]
    state = tl.load(initial_at, mask=in_state, other=0.0).to(STATE)
    number = tl.full([], 0, tl.int64)
    # A chunk ahead by hand: the compiler does that for operands of products only.
    beta = load_strengths(b_pointer, b_step, b_rows, rows, 0, length, R, TOKENS)
    write = load_strengths(w_pointer, w_step, w_rows, rows, 0, length, R, TOKENS)
    for start in range(0, length, TOKENS):
        at = tl.full([], 0, tl.int64) + start
        left = tl.minimum(length - start, TOKENS)
        here = rows < left * R
        k = tl.load(
            k_pointer + at * k_step + k_rows[:, None] + key[None, :],
            mask=here[:, None] & (key[None, :] < K), other=0.0,
        ).to(OPERAND)  # fmt: skip
        v = tl.load(
            v_pointer + at * v_step + v_rows[:, None] + column[None, :],
            mask=here[:, None] & (column[None, :] < V), other=0.0,
        ).to(OPERAND)  # fmt: skip
        end = start + TOKENS
        next_beta = load_strengths(b_pointer, b_step, b_rows, rows, end, length, R, TOKENS)
        next_write = load_strengths(w_pointer, w_step, w_rows, rows, end, length, R, TOKENS)
        q = load_tile(q_pointer + at * q_step, q_step, tokens, key, left, K, 0.0).to(OPERAND)
        keys = tl.trans(k)
        j = rows[:, None]
        weights = dot(k, tl.trans(q), STATE, OPERAND, PRECISION)
        weights = tl.where(j // R <= tokens[None, :], weights, 0.0)
        if DECAY == HEAD:
            between, _e, reading, before, _b, before_reading = decay_products(
                a_pointer + at * a_step, a_step, rows, tokens, left, R, CHUNK, STATE
            )
            weights = weights * reading
        if SAVE:
            store_tile(states_pointer + number * (K * V), K, column, key, V, K, state)
        inverse = tl.load(inverse_pointer + number * (CHUNK * CHUNK) + j * CHUNK + rows[None, :])
        number += 1
        u = dot(state, keys, STATE, OPERAND, PRECISION)
        o = dot(state, tl.trans(q), STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            u = u * before[None, :]
            o = o * before_reading[None, :]
        erase = inverse * -beta.to(STATE)[None, :]
        insert = inverse * write.to(STATE)[None, :]
        inserted = dot(tl.trans(v), tl.trans(insert), STATE, OPERAND, PRECISION)
        u = add_dot(inserted, u, tl.trans(erase), OPERAND, PRECISION)
        if SAVE:
            tl.store(
                u_pointer + (at * R + rows[None, :]) * V + column[:, None],
                u.to(u_pointer.dtype.element_ty),
                mask=here[None, :] & (column[:, None] < V),
            )  # fmt: skip
        o = add_dot(o, u, weights.to(OPERAND), OPERAND, PRECISION)
        tl.store(
            o_pointer + at * o_step + tokens[None, :].to(tl.int64) * o_step + column[:, None],
            o.to(o_pointer.dtype.element_ty),
            mask=(tokens[None, :] < left) & (column[:, None] < V),
        )  # fmt: skip
        if DECAY == HEAD:
            u = u * at_end(between, rows, TOKENS * R - 1)[None, :]
            state = state * tl.sum(tl.where(rows == TOKENS * R - 1, before, 0.0), 0)
        state += dot(u, k, STATE, OPERAND, PRECISION)
        beta = next_beta
        write = next_write
    if SAVE:
        store_tile(states_pointer + number * (K * V), K, column, key, V, K, state)
    final_at = final_pointer + key[None, :] * V + column[:, None]
    tl.store(final_at, state.to(final_pointer.dtype.element_ty), mask=in_state)
    if has_nonfinite(state):
        tl.debug_barrier()
        initial = tl.load(initial_at, mask=in_state, other=0.0).to(STATE)
        walk_exactly(
            q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, o_pointer,
            final_pointer, states_pointer, u_pointer, q_step, k_step, k_factor, v_step, v_factor,
            b_step, b_factor, w_step, w_factor, a_step, o_step, initial, length, key, column, K, V,
            R, TOKENS, DECAY, SAVE, STATE,
        )  # fmt: skip
