"""Triton kernel of the gradients inside the chunks of the Householder recurrence, all at once.

From the states before and the adjoints Z after every chunk and all u and du, with
M_ij = du_i . u_j and y_i what factor i read,

    dq_t = S_t do_t,        dk_i = Z_i u_i - beta_i S_{i-1} du_i,
    dw_i = v_i . du_i,      dbeta_i = -y_i . du_i,

products of tiles all. The gradient of a decay is the product of the state before it and the adjoint
after it, pair by pair of what wrote the one and what reads the other. No decay is divided by.

Legend as in `kernel_chunked`. A program owns one chunk of one sequence.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import HEAD, place
from statetrack.scans.householder.kernel_chunked import dot
from statetrack.scans.householder.kernel_chunked_decays import at_end, decay_products
from statetrack.scans.outer_product.kernel import SIZES, has_nonfinite, load_tile, store_tile


@triton.jit
def dot_rounded(x, y, STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr):
    """Matrix product of operands rounded to `OPERAND`: for what is not carried on."""
    SUM: tl.constexpr = tl.float32 if OPERAND != tl.float64 else tl.float64
    product = tl.dot(x.to(OPERAND), y.to(OPERAND), input_precision=PRECISION, out_dtype=SUM)
    return product.to(STATE)


@triton.jit
def add_factors(
    k_pointer, u_pointer, k_factor, state, key, column, count, K: tl.constexpr, V: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """The state after the first `count` factors of a token."""
    for r in range(count):
        k = tl.load(k_pointer + r * k_factor + key, mask=key < K, other=0.0).to(STATE)
        u = tl.load(u_pointer + r * V + column, mask=column < V, other=0.0).to(STATE)
        state += u[:, None] * k[None, :]
    return state


@triton.jit
def add_to(pointer, value, mask, FIRST: tl.constexpr):
    """Store, or add to what an earlier block of columns has stored."""
    if not FIRST:
        value += tl.load(pointer, mask=mask, other=0.0).to(value.dtype)
    tl.store(pointer, value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def chunk_exactly(
    q_pointer, k_pointer, v_pointer, b_pointer, a_pointer, states_pointer, adjoints_pointer,
    u_pointer, du_pointer, do_pointer, dq_pointer, dk_pointer, db_pointer, dw_pointer, da_pointer,
    q_step, k_step, k_factor, v_step, v_factor, b_step, b_factor, a_step, do_step, left, key,
    column, K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr, FIRST: tl.constexpr,
):  # fmt: skip
    """Gradients of a chunk one factor after the other, for one block of value columns."""
    in_key = key < K
    in_column = column < V
    in_state = in_column[:, None] & in_key[None, :]
    state_at = column[:, None] * K + key[None, :]
    one = tl.full([], 1, tl.int32) > 0
    adjoint = tl.load(adjoints_pointer + K * V + state_at, mask=in_state, other=0.0).to(STATE)
    for back in range(left):
        t = left - 1 - back
        previous = tl.load(states_pointer + state_at, mask=in_state, other=0.0).to(STATE)
        for s in range(t):
            if DECAY == HEAD:
                previous = previous * tl.load(a_pointer + s * a_step).to(STATE)
            previous = add_factors(
                k_pointer + s * k_step, u_pointer + s * (R * V), k_factor, previous, key, column,
                R, K, V, STATE,
            )  # fmt: skip
        decayed = previous
        if DECAY == HEAD:
            decay = tl.load(a_pointer + t * a_step).to(STATE)
            decayed = previous * decay
        k_at = k_pointer + t * k_step
        u_at = u_pointer + t * (R * V)
        q = tl.load(q_pointer + t * q_step + key, mask=in_key, other=0.0).to(STATE)
        do = tl.load(do_pointer + t * do_step + column, mask=in_column, other=0.0).to(STATE)
        state = add_factors(k_at, u_at, k_factor, decayed, key, column, R, K, V, STATE)
        add_to(dq_pointer + t * K + key, tl.sum(state * do[:, None], 0), in_key, FIRST)
        adjoint += do[:, None] * q[None, :]
        for back_factor in range(R):
            r = R - 1 - back_factor
            row = t * R + r
            state = add_factors(k_at, u_at, k_factor, decayed, key, column, r, K, V, STATE)
            k = tl.load(k_at + r * k_factor + key, mask=in_key, other=0.0).to(STATE)
            u = tl.load(u_at + r * V + column, mask=in_column, other=0.0).to(STATE)
            du = tl.load(du_pointer + row * V + column, mask=in_column, other=0.0).to(STATE)
            v_at = v_pointer + t * v_step + r * v_factor
            v = tl.load(v_at + column, mask=in_column, other=0.0).to(STATE)
            beta = tl.load(b_pointer + t * b_step + r * b_factor).to(STATE)
            dk = tl.sum(adjoint * u[:, None], 0) - beta * tl.sum(state * du[:, None], 0)
            add_to(dk_pointer + row * K + key, dk, in_key, FIRST)
            db = -tl.sum(tl.sum(state * k[None, :], 1) * du, 0)
            add_to(db_pointer + row, db, one, FIRST)
            add_to(dw_pointer + row, tl.sum(v * du, 0), one, FIRST)
            adjoint -= (beta * du)[:, None] * k[None, :]
        if DECAY == HEAD:
            add_to(da_pointer + t, tl.sum(tl.sum(adjoint * previous, 1), 0), one, FIRST)
            adjoint = adjoint * decay


@triton.jit(
    do_not_specialize=[
        *SIZES, "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor", "v0", "v1",
        "v2", "v_step", "v_factor", "b0", "b1", "b2", "b_step", "b_factor", "a0", "a1", "a2",
        "a_step", "do0", "do1", "do2", "do_step",
    ]
)  # fmt: skip
def chunk_gradients(
    q_pointer, k_pointer, v_pointer, b_pointer, a_pointer, states_pointer, adjoints_pointer,
    u_pointer, du_pointer, do_pointer, dq_pointer, dk_pointer, db_pointer, dw_pointer, da_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64, v_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64, b_factor: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr, CHUNK: tl.constexpr, ROWS_Q: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Gradients of queries, keys, strengths and decays of one chunk, dense [B, T, ...]."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    TOKENS: tl.constexpr = CHUNK // R
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        k_factor = k_factor // 8 * 8
        v_step = v_step // 8 * 8
        v_factor = v_factor // 8 * 8
        do_step = do_step // 8 * 8
    program = tl.program_id(0)
    num_chunks = tl.cdiv(length, TOKENS)
    sequence = (program // num_chunks).to(tl.int64)
    number = program % num_chunks
    at = tl.full([], 0, tl.int64) + number * TOKENS
    s0, s1, s2 = place(program // num_chunks, n1, n2)
    q_offset = s0 * q0 + s1 * q1 + s2 * q2 + at * q_step
    k_offset = s0 * k0 + s1 * k1 + s2 * k2 + at * k_step
    v_offset = s0 * v0 + s1 * v1 + s2 * v2 + at * v_step
    do_offset = s0 * do0 + s1 * do1 + s2 * do2 + at * do_step
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        do_offset = tl.multiple_of(do_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    do_pointer += do_offset
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2 + at * b_step
    a_pointer += s0 * a0 + s1 * a1 + s2 * a2 + at * a_step
    first = sequence * length + at
    dq_pointer += first * K
    dk_pointer += first * (R * K)
    db_pointer += first * R
    dw_pointer += first * R
    da_pointer += first
    u_pointer += first * (R * V)
    du_pointer += first * (R * V)
    states_pointer += (sequence * (num_chunks + 1) + number) * (K * V)
    adjoints_pointer += (sequence * (num_chunks + 1) + number) * (K * V)
    rows = tl.arange(0, CHUNK)
    tokens = tl.arange(0, ROWS_Q)
    i = rows[:, None]
    j = rows[None, :]
    key = tl.arange(0, BLOCK_K)
    left = tl.minimum(length - number * TOKENS, TOKENS)
    here = rows < left * R
    token = (rows // R).to(tl.int64)
    factor = (rows % R).to(tl.int64)
    k_rows = (token * k_step + factor * k_factor)[:, None] + key[None, :]
    k = tl.load(k_pointer + k_rows, mask=here[:, None] & (key[None, :] < K), other=0.0)
    k = k.to(OPERAND)
    q = load_tile(q_pointer, q_step, tokens, key, left, K, 0.0).to(OPERAND)
    beta = tl.load(b_pointer + token * b_step + factor * b_factor, mask=here, other=0.0).to(STATE)
    values = tl.zeros([CHUNK, ROWS_Q], STATE)
    pairs = tl.zeros([CHUNK, CHUNK], STATE)
    dq = tl.zeros([ROWS_Q, BLOCK_K], STATE)
    dk = tl.zeros([CHUNK, BLOCK_K], STATE)
    erased = tl.zeros([CHUNK, BLOCK_K], STATE)
    dw = tl.zeros([CHUNK], STATE)
    carried = tl.zeros([BLOCK_K], STATE)
    for block in tl.static_range(NUM_BLOCKS):
        column = block * BLOCK_V + tl.arange(0, BLOCK_V)
        u = load_tile(u_pointer, V, rows, column, left * R, V, 0.0).to(OPERAND)
        do = load_tile(do_pointer, do_step, tokens, column, left, V, 0.0).to(OPERAND)
        du = load_tile(du_pointer, V, rows, column, left * R, V, 0.0).to(OPERAND)
        state = load_tile(states_pointer, K, column, key, V, K, 0.0).to(OPERAND)
        adjoint = load_tile(adjoints_pointer + K * V, K, column, key, V, K, 0.0).to(OPERAND)
        v_rows = (token * v_step + factor * v_factor)[:, None] + column[None, :]
        v = tl.load(v_pointer + v_rows, mask=here[:, None] & (column[None, :] < V), other=0.0)
        values += dot_rounded(u, tl.trans(do), STATE, OPERAND, PRECISION)
        pairs += dot_rounded(du, tl.trans(u), STATE, OPERAND, PRECISION)
        dw += tl.sum(v.to(STATE) * du.to(STATE), 1)
        dq += dot_rounded(do, state, STATE, OPERAND, PRECISION)
        erased += dot_rounded(du, state, STATE, OPERAND, PRECISION)
        dk += dot_rounded(u, adjoint, STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            carried += tl.sum(state.to(STATE) * adjoint.to(STATE), 0)
    tl.store(dw_pointer + rows, dw.to(dw_pointer.dtype.element_ty), mask=here)
    values = tl.where(i // R <= tokens[None, :], values, 0.0)
    pairs = tl.where(j < i, pairs, 0.0)
    if DECAY == HEAD:
        between, exclusive, reading, before, before_exclusive, before_reading = decay_products(
            a_pointer, a_step, rows, tokens, left, R, CHUNK, STATE
        )
        after = at_end(between, rows, TOKENS * R - 1)
        reads = dot(k, tl.trans(q), STATE, OPERAND, PRECISION)
        overlap = dot(k, tl.trans(k), STATE, OPERAND, PRECISION) * beta[:, None]
        overlap = tl.trans(pairs * overlap)
        later = dot_rounded(values * reads, tl.trans(reading), STATE, OPERAND, PRECISION)
        later -= dot_rounded(overlap, tl.trans(between), STATE, OPERAND, PRECISION)
        to_adjoint = tl.sum(dk * k.to(STATE), 1)
        da = tl.sum(exclusive * (later + after[None, :] * to_adjoint[:, None]), 0)
        from_state = -beta * tl.sum(erased * k.to(STATE), 1)
        from_reads = tl.sum(dq * q.to(STATE), 1)
        seen = tl.sum(between * from_state[None, :], 1)
        seen += tl.sum(reading * from_reads[None, :], 1)
        da += before_exclusive * (seen + after * tl.sum(carried, 0))
        tl.store(
            da_pointer + token, da.to(da_pointer.dtype.element_ty), mask=here & (rows % R == 0)
        )
        values = values * reading
        pairs = pairs * tl.trans(between)
        dq = dq * before_reading[:, None]
        dk = dk * after[:, None]
        erased = erased * before[:, None]
    dq += dot_rounded(tl.trans(values), k, STATE, OPERAND, PRECISION)
    store_tile(dq_pointer, K, tokens, key, left, K, dq)
    erased += dot_rounded(pairs, k, STATE, OPERAND, PRECISION)
    db = -tl.sum(erased * k.to(STATE), 1)
    tl.store(db_pointer + rows, db.to(db_pointer.dtype.element_ty), mask=here)
    dk += dot_rounded(values, q, STATE, OPERAND, PRECISION)
    dk -= dot_rounded(tl.trans(pairs * beta[:, None]), k, STATE, OPERAND, PRECISION)
    dk -= erased * beta[:, None]
    store_tile(dk_pointer, K, rows, key, left * R, K, dk)
    if has_nonfinite(dk) or has_nonfinite(dq):
        tl.debug_barrier()
        for block in tl.static_range(NUM_BLOCKS):
            column = block * BLOCK_V + tl.arange(0, BLOCK_V)
            chunk_exactly(
                q_pointer, k_pointer, v_pointer, b_pointer, a_pointer, states_pointer,
                adjoints_pointer, u_pointer, du_pointer, do_pointer, dq_pointer, dk_pointer,
                db_pointer, dw_pointer, da_pointer, q_step, k_step, k_factor, v_step, v_factor,
                b_step, b_factor, a_step, do_step, left, key, column, K, V, R, DECAY, STATE,
                block == 0,
            )  # fmt: skip
            tl.debug_barrier()
