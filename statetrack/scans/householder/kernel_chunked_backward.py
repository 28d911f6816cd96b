"""Triton kernel of the gradient of the Householder recurrence, chunk by chunk from the end.

With Z_i the adjoint of the state after factor i, y_i what the factor read and M_ij = du_i . u_j,
``du_i = Z_i^T k_i``, ``dv_i = w_i du_i``, ``dw_i = v_i . du_i``, ``dbeta_i = -y_i . du_i``,
``dk_i = Z_i u_i - beta_i S_{i-1} du_i`` and ``Z_{i-1} = Z_i - beta_i k_i du_i^T``. The du of a chunk
solve the transposed system of the forward pass; everything else is products of tiles, with the
states before all chunks and the updates u from the forward pass. No decay is divided by.

Legend as in `kernel_chunked`. A program owns a block of value columns; all gradients but those of v
and of the initial state are sums over these blocks, one partial result each.
"""

import triton
import triton.language as tl

from statetrack.scans.householder.kernel_chunked import (
    at_end,
    decay_products,
    dot,
    load_strengths,
)
from statetrack.scans.outer_product.kernel import HEAD, SIZES, has_nonfinite, load_tile, place


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
def walk_back_exactly(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, states_pointer, u_pointer,
    do_pointer, dq_pointer, dk_pointer, dv_pointer, db_pointer, dw_pointer, da_pointer,
    initial_pointer, q_step, k_step, k_factor, v_step, v_factor, b_step, b_factor, w_step,
    w_factor, a_step, do_step, adjoint, length, key, column, K: tl.constexpr, V: tl.constexpr,
    R: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Gradients one factor after the other, states recomputed from the start of their chunk."""
    in_key = key < K
    in_column = column < V
    in_state = in_column[:, None] & in_key[None, :]
    state_at = column[:, None] * K + key[None, :]
    for back in range(length):
        t = tl.full([], 0, tl.int64) + (length - 1 - back)
        chunk = t // TOKENS
        previous = tl.load(
            states_pointer + chunk * (K * V) + state_at, mask=in_state, other=0.0
        ).to(STATE)
        for s in range(chunk * TOKENS, t):
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
        dq = tl.sum(state * do[:, None], 0)
        tl.store(dq_pointer + t * K + key, dq.to(dq_pointer.dtype.element_ty), mask=in_key)
        adjoint += do[:, None] * q[None, :]
        for back_factor in range(R):
            r = R - 1 - back_factor
            state = add_factors(k_at, u_at, k_factor, decayed, key, column, r, K, V, STATE)
            k = tl.load(k_at + r * k_factor + key, mask=in_key, other=0.0).to(STATE)
            u = tl.load(u_at + r * V + column, mask=in_column, other=0.0).to(STATE)
            v_at = v_pointer + t * v_step + r * v_factor
            v = tl.load(v_at + column, mask=in_column, other=0.0).to(STATE)
            beta = tl.load(b_pointer + t * b_step + r * b_factor).to(STATE)
            write = tl.load(w_pointer + t * w_step + r * w_factor).to(STATE)
            du = tl.sum(adjoint * k[None, :], 1)
            dk = tl.sum(adjoint * u[:, None], 0) - beta * tl.sum(state * du[:, None], 0)
            db = -tl.sum(tl.sum(state * k[None, :], 1) * du, 0)
            dw = tl.sum(v * du, 0)
            row = t * R + r
            tl.store(dk_pointer + row * K + key, dk.to(dk_pointer.dtype.element_ty), mask=in_key)
            dv_at = dv_pointer + row * V + column
            tl.store(dv_at, (write * du).to(dv_pointer.dtype.element_ty), mask=in_column)
            tl.store(db_pointer + row, db.to(db_pointer.dtype.element_ty))
            tl.store(dw_pointer + row, dw.to(dw_pointer.dtype.element_ty))
            adjoint -= (beta * du)[:, None] * k[None, :]
        if DECAY == HEAD:
            da = tl.sum(tl.sum(adjoint * previous, 1), 0)
            tl.store(da_pointer + t, da.to(da_pointer.dtype.element_ty))
            adjoint = adjoint * decay
    initial_at = initial_pointer + key[None, :] * V + column[:, None]
    tl.store(initial_at, adjoint.to(initial_pointer.dtype.element_ty), mask=in_state)


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor",
        "v0", "v1", "v2", "v_step", "v_factor", "b0", "b1", "b2", "b_step", "b_factor", "w0", "w1",
        "w2", "w_step", "w_factor", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step",
        "z0", "z1", "z2", "z_step",
    ]
)  # fmt: skip
def scan_backward(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, inverse_pointer,
    states_pointer, u_pointer, do_pointer, final_pointer, dq_pointer, dk_pointer, dv_pointer, db_pointer, dw_pointer,
    da_pointer, initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64, v_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64, b_factor: tl.int64,
    w0: tl.int64, w1: tl.int64, w2: tl.int64, w_step: tl.int64, w_factor: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr, CHUNK: tl.constexpr, ROWS_Q: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr,
    ALIGNED: tl.constexpr,
):  # fmt: skip
    """Gradients of one sequence; all but the last are dense [blocks, B, T, ...]."""
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
    sequence = (program // NUM_BLOCKS).to(tl.int64)
    block = program % NUM_BLOCKS
    s0, s1, s2 = place(program // NUM_BLOCKS, n1, n2)
    q_offset = s0 * q0 + s1 * q1 + s2 * q2
    k_offset = s0 * k0 + s1 * k1 + s2 * k2
    v_offset = s0 * v0 + s1 * v1 + s2 * v2
    do_offset = s0 * do0 + s1 * do1 + s2 * do2
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        do_offset = tl.multiple_of(do_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    do_pointer += do_offset
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    w_pointer += s0 * w0 + s1 * w1 + s2 * w2
    a_pointer += s0 * a0 + s1 * a1 + s2 * a2
    partial = (block.to(tl.int64) * sequences + sequence) * length
    dq_pointer += partial * K
    dk_pointer += partial * (R * K)
    db_pointer += partial * R
    dw_pointer += partial * R
    da_pointer += partial
    dv_pointer += sequence * length * (R * V)
    u_pointer += sequence * length * (R * V)
    initial_pointer += sequence * (K * V)
    inverse_pointer += sequence * tl.cdiv(length, TOKENS) * (CHUNK * CHUNK)
    rows = tl.arange(0, CHUNK)
    tokens = tl.arange(0, ROWS_Q)
    j = rows[:, None]
    i = rows[None, :]
    key = tl.arange(0, BLOCK_K)
    column = block * BLOCK_V + tl.arange(0, BLOCK_V)
    in_key = key[None, :] < K
    in_column = column[:, None] < V
    k_rows = (rows // R).to(tl.int64) * k_step + (rows % R).to(tl.int64) * k_factor
    v_rows = (rows // R).to(tl.int64) * v_step + (rows % R).to(tl.int64) * v_factor
    b_rows = (rows // R).to(tl.int64) * b_step + (rows % R).to(tl.int64) * b_factor
    w_rows = (rows // R).to(tl.int64) * w_step + (rows % R).to(tl.int64) * w_factor
    final_pointer += s0 * z0 + s1 * z1 + s2 * z2
    final_at = final_pointer + key[None, :].to(tl.int64) * z_step + column[:, None]
    adjoint = tl.load(final_at, mask=in_column & in_key, other=0.0).to(STATE)
    num_chunks = tl.cdiv(length, TOKENS)
    states_pointer += sequence * (num_chunks + 1) * (K * V)
    start = (num_chunks - 1) * TOKENS
    next_beta = load_strengths(b_pointer, b_step, b_rows, rows, start, length, R, TOKENS)
    next_write = load_strengths(w_pointer, w_step, w_rows, rows, start, length, R, TOKENS)
    for back in range(num_chunks):
        number = num_chunks - 1 - back
        at = tl.full([], 0, tl.int64) + number * TOKENS
        left = tl.minimum(length - number * TOKENS, TOKENS)
        here = rows < left * R
        q = load_tile(q_pointer + at * q_step, q_step, tokens, key, left, K, 0.0).to(OPERAND)
        do = load_tile(do_pointer + at * do_step, do_step, tokens, column, left, V, 0.0).to(OPERAND)
        k = tl.load(
            k_pointer + at * k_step + k_rows[:, None] + key[None, :],
            mask=here[:, None] & in_key, other=0.0,
        ).to(OPERAND)  # fmt: skip
        u = load_tile(u_pointer + at * (R * V), V, rows, column, left * R, V, 0.0).to(OPERAND)
        beta = next_beta.to(STATE)
        write = next_write.to(STATE)
        start = tl.maximum(number - 1, 0) * TOKENS
        next_beta = load_strengths(b_pointer, b_step, b_rows, rows, start, length, R, TOKENS)
        next_write = load_strengths(w_pointer, w_step, w_rows, rows, start, length, R, TOKENS)
        keys = tl.trans(k)
        outputs = tl.trans(do)
        reads = dot(k, tl.trans(q), STATE, OPERAND, PRECISION)
        reads = tl.where(j // R <= tokens[None, :], reads, 0.0)
        weights = reads
        if DECAY == HEAD:
            between, exclusive, reading, before, before_exclusive, before_reading = decay_products(
                a_pointer + at * a_step, a_step, rows, tokens, left, R, CHUNK, STATE
            )
            after = at_end(between, rows, TOKENS * R - 1)
            weights = reads * reading
        inverse_at = inverse_pointer + number.to(tl.int64) * (CHUNK * CHUNK)
        inverse = tl.load(inverse_at + j * CHUNK + i)
        du = dot(adjoint, keys, STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            du = du * after[None, :]
        du += dot(outputs, tl.trans(weights.to(OPERAND)), STATE, OPERAND, PRECISION)
        du = dot(du, inverse, STATE, OPERAND, PRECISION)
        v = tl.load(
            v_pointer + at * v_step + v_rows[None, :] + column[:, None],
            mask=here[None, :] & in_column, other=0.0,
        ).to(STATE)  # fmt: skip
        row = at * R + rows
        dw = tl.sum(v * du, 0)
        tl.store(dw_pointer + row, dw.to(dw_pointer.dtype.element_ty), mask=here)
        tl.store(
            dv_pointer + row[None, :] * V + column[:, None],
            (du * write[None, :]).to(dv_pointer.dtype.element_ty), mask=here[None, :] & in_column,
        )  # fmt: skip

        pairs = dot_rounded(u, du, STATE, OPERAND, PRECISION)
        values = dot_rounded(u, outputs, STATE, OPERAND, PRECISION)
        pairs = tl.where(j < i, pairs, 0.0)
        values = tl.where(j // R <= tokens[None, :], values, 0.0)
        dk = dot_rounded(tl.trans(adjoint), tl.trans(u), STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            overlap = dot(k, keys, STATE, OPERAND, PRECISION) * beta[None, :]
            later = dot_rounded(values * reads, tl.trans(reading), STATE, OPERAND, PRECISION)
            later -= dot_rounded(pairs * overlap, tl.trans(between), STATE, OPERAND, PRECISION)
            da = tl.sum(exclusive * later, 0)
            to_adjoint = tl.sum(dk * keys.to(STATE), 0)
            da += after * tl.sum(exclusive * to_adjoint[:, None], 0)
            dk = dk * after[None, :]
            pairs = pairs * between
            values = values * reading
        dk += dot_rounded(tl.trans(q), tl.trans(values), STATE, OPERAND, PRECISION)
        scaled = tl.trans(pairs * beta[None, :])
        dk -= dot_rounded(keys, scaled, STATE, OPERAND, PRECISION)
        states_at = states_pointer + number.to(tl.int64) * (K * V)
        state = load_tile(states_at, K, column, key, V, K, 0.0).to(OPERAND)
        erased = dot_rounded(tl.trans(state), du, STATE, OPERAND, PRECISION)
        dq = dot_rounded(tl.trans(state), outputs, STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            from_state = -beta * tl.sum(erased * keys.to(STATE), 0)
            from_reads = tl.sum(dq * tl.trans(q).to(STATE), 0)
            seen = tl.sum(between * from_state[None, :], 1)
            seen += tl.sum(reading * from_reads[None, :], 1)
            seen += after * tl.sum(tl.sum(state.to(STATE) * adjoint, 1), 0)
            da += before_exclusive * seen
            tl.store(
                da_pointer + at + rows // R, da.to(da_pointer.dtype.element_ty),
                mask=here & (rows % R == 0),
            )  # fmt: skip
            erased = erased * before[None, :]
            dq = dq * before_reading[None, :]
        erased += dot_rounded(keys, pairs, STATE, OPERAND, PRECISION)
        db = -tl.sum(erased * keys.to(STATE), 0)
        tl.store(db_pointer + row, db.to(db_pointer.dtype.element_ty), mask=here)
        dk -= erased * beta[None, :]
        tl.store(
            dk_pointer + row[None, :] * K + key[:, None], dk.to(dk_pointer.dtype.element_ty),
            mask=here[None, :] & (key[:, None] < K),
        )  # fmt: skip
        dq += dot_rounded(keys, values, STATE, OPERAND, PRECISION)
        tl.store(
            dq_pointer + (at + tokens[None, :]) * K + key[:, None],
            dq.to(dq_pointer.dtype.element_ty),
            mask=(tokens[None, :] < left) & (key[:, None] < K),
        )  # fmt: skip

        du = du * beta[None, :]
        read = outputs.to(STATE)
        if DECAY == HEAD:
            du = du * before[None, :]
            read = read * before_reading[None, :]
            adjoint = adjoint * tl.sum(tl.where(rows == TOKENS * R - 1, before, 0.0), 0)
            adjoint += dot(read, q, STATE, OPERAND, PRECISION)
        else:
            adjoint += dot(outputs, q, STATE, OPERAND, PRECISION)
        adjoint -= dot(du, k, STATE, OPERAND, PRECISION)
    initial_at = initial_pointer + key[None, :] * V + column[:, None]
    tl.store(
        initial_at, adjoint.to(initial_pointer.dtype.element_ty), mask=in_column & in_key
    )
    after_last = states_pointer + num_chunks.to(tl.int64) * (K * V)
    state = load_tile(after_last, K, column, key, V, K, 0.0).to(STATE)
    if has_nonfinite(adjoint) or has_nonfinite(state):
        tl.debug_barrier()
        final = tl.load(final_at, mask=in_column & in_key, other=0.0).to(STATE)
        walk_back_exactly(
            q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, states_pointer,
            u_pointer, do_pointer, dq_pointer, dk_pointer, dv_pointer, db_pointer, dw_pointer,
            da_pointer, initial_pointer, q_step, k_step, k_factor, v_step, v_factor, b_step,
            b_factor, w_step, w_factor, a_step, do_step, final, length, key, column, K, V, R,
            TOKENS, DECAY, STATE,
        )  # fmt: skip
