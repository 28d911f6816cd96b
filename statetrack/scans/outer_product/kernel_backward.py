"""Triton kernels of the gradient of the outer-product recurrence, chunk by chunk from the end.

With Z_t the adjoint of the state S_t, ``Z_t = q_t do_t^T + diag(a_{t+1}) Z_{t+1}``:
``dq_t = S_t do_t``, ``dk_t = Z_t v_t``, ``dv_t = Z_t^T k_t`` and, per channel,
``da_t = sum_v Z_t S_{t-1}``. The states before every chunk come from the forward pass and Z is
carried in registers; inside a chunk everything is a product of tiles again. The gradient of the
decays runs products of decays backwards, level by level of a binary tree over the chunk, so that it
needs no division (the usual ``a_t da_t = sum (q dq - k dk)`` does).

With IN_TURN (no decay or one per head) every gradient is finished and stored before the next one
begins, which needs fewer registers: faster with 16-bit operands. Float64 products are laid out
otherwise in that order and cost three times as many instructions.

Legend as in `kernel`. A program owns a block of value columns; the gradients of q, k and the decays
are sums over these blocks, one partial result each.
"""

import triton
import triton.language as tl

from statetrack.scans.outer_product.kernel import (
    CHANNEL,
    HEAD,
    NONE,
    SIZES,
    dot,
    has_nonfinite,
    is_level,
    load_tile,
    pair_products,
    pick_row,
    place,
    store_tile,
    swap_blocks,
)


@triton.jit
def steps_exactly(
    k_pointer, v_pointer, a_pointer, k_step, v_step, a_step, state, first, end, key, column,
    K: tl.constexpr, V: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state after the tokens from `first` to before `end`; the last key and value."""
    k = tl.zeros([state.shape[0]], STATE)
    v = tl.zeros([state.shape[1]], STATE)
    for s in range(first, end):
        k = tl.load(k_pointer + s * k_step + key, mask=key < K, other=0.0).to(STATE)
        v = tl.load(v_pointer + s * v_step + column, mask=column < V, other=0.0).to(STATE)
        if DECAY == HEAD:
            state = state * tl.load(a_pointer + s * a_step).to(STATE)
        if DECAY == CHANNEL:
            a = tl.load(a_pointer + s * a_step + key, mask=key < K, other=1.0).to(STATE)
            state = state * a[:, None]
        state += k[:, None] * v[None, :]
    return state, k, v


@triton.jit
def walk_back_exactly(
    q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer, dq_pointer, dk_pointer,
    dv_pointer, da_pointer, q_step, k_step, v_step, a_step, do_step, dq_step, dk_step, dv_step,
    da_step, adjoint, length, key, column, K: tl.constexpr, V: tl.constexpr, CHUNK: tl.constexpr,
    DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Gradients one token after the other, states recomputed from the start of their chunk."""
    in_key = key < K
    in_column = column < V
    for back in range(length):
        t = tl.full([], 0, tl.int64) + (length - 1 - back)
        start = t // CHUNK * CHUNK
        state = load_tile(states_pointer + t // CHUNK * (K * V), V, key, column, K, V, 0.0).to(
            STATE
        )
        q = tl.load(q_pointer + t * q_step + key, mask=in_key, other=0.0).to(STATE)
        do = tl.load(do_pointer + t * do_step + column, mask=in_column, other=0.0).to(STATE)
        adjoint += q[:, None] * do[None, :]
        before, _k, _v = steps_exactly(
            k_pointer, v_pointer, a_pointer, k_step, v_step, a_step, state, start, t, key, column,
            K, V, DECAY, STATE,
        )  # fmt: skip
        state, k, v = steps_exactly(
            k_pointer, v_pointer, a_pointer, k_step, v_step, a_step, before, t, t + 1, key, column,
            K, V, DECAY, STATE,
        )  # fmt: skip
        dq = tl.sum(state * do[None, :], 1)
        dk = tl.sum(adjoint * v[None, :], 1)
        dv = tl.sum(adjoint * k[:, None], 0)
        tl.store(dq_pointer + t * dq_step + key, dq.to(dq_pointer.dtype.element_ty), mask=in_key)
        tl.store(dk_pointer + t * dk_step + key, dk.to(dk_pointer.dtype.element_ty), mask=in_key)
        tl.store(
            dv_pointer + t * dv_step + column, dv.to(dv_pointer.dtype.element_ty), mask=in_column
        )
        if DECAY == HEAD:
            da = tl.sum(tl.sum(adjoint * before, 1), 0)
            tl.store(da_pointer + t * da_step, da.to(da_pointer.dtype.element_ty))
            adjoint = adjoint * tl.load(a_pointer + t * a_step).to(STATE)
        if DECAY == CHANNEL:
            da = tl.sum(adjoint * before, 1)
            tl.store(
                da_pointer + t * da_step + key, da.to(da_pointer.dtype.element_ty), mask=in_key
            )
            a = tl.load(a_pointer + t * a_step + key, mask=in_key, other=1.0).to(STATE)
            adjoint = adjoint * a[:, None]


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "v0", "v1",
        "v2", "v_step", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step", "z0", "z1",
        "z2", "z_step", "dv0", "dv1", "dv2", "dv_step",
    ]
)  # fmt: skip
def scan_backward(
    q_pointer, k_pointer, v_pointer, a_pointer, states_pointer, do_pointer, final_pointer,
    dq_pointer, dk_pointer, dv_pointer, da_pointer, initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, LEVELS: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
    OPERAND: tl.constexpr, PRECISION: tl.constexpr, IN_TURN: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Gradients of one sequence; those of q, k, v and decays are dense [blocks, B, T, ...]."""
    WIDE: tl.constexpr = OPERAND if OPERAND != tl.bfloat16 else tl.float32
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        v_step = v_step // 8 * 8
        a_step = a_step // 8 * 8 if DECAY == CHANNEL else a_step
        do_step = do_step // 8 * 8
    program = tl.program_id(0)
    sequence = (program // NUM_BLOCKS).to(tl.int64)
    block = program % NUM_BLOCKS
    b0, b1, b2 = place(program // NUM_BLOCKS, n1, n2)
    q_offset = b0 * q0 + b1 * q1 + b2 * q2
    k_offset = b0 * k0 + b1 * k1 + b2 * k2
    v_offset = b0 * v0 + b1 * v1 + b2 * v2
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    do_offset = b0 * do0 + b1 * do1 + b2 * do2
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        a_offset = tl.multiple_of(a_offset, 8) if DECAY == CHANNEL else a_offset
        do_offset = tl.multiple_of(do_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    a_pointer += a_offset
    do_pointer += do_offset
    partial = (block.to(tl.int64) * sequences + sequence) * length
    dq_pointer += partial * K
    dk_pointer += partial * K
    dv_pointer += sequence * length * V
    da_pointer += partial * K if DECAY == CHANNEL else partial
    rows = tl.arange(0, CHUNK)
    i = rows[:, None]
    j = rows[None, :]
    key = tl.arange(0, BLOCK_K)
    column = block * BLOCK_V + tl.arange(0, BLOCK_V)
    final_pointer += b0 * z0 + b1 * z1 + b2 * z2
    adjoint = load_tile(final_pointer, z_step, key, column, K, V, 0.0).to(STATE)
    num_chunks = tl.cdiv(length, CHUNK)
    states_pointer += sequence * (num_chunks + 1) * (K * V)
    for back in range(num_chunks):
        number = num_chunks - 1 - back
        at = tl.full([], 0, tl.int64) + number * CHUNK
        left = length - number * CHUNK
        q = load_tile(q_pointer + at * q_step, q_step, rows, key, left, K, 0.0).to(OPERAND)
        k = load_tile(k_pointer + at * k_step, k_step, rows, key, left, K, 0.0).to(OPERAND)
        v = load_tile(v_pointer + at * v_step, v_step, rows, column, left, V, 0.0).to(OPERAND)
        do = load_tile(do_pointer + at * do_step, do_step, rows, column, left, V, 0.0).to(OPERAND)
        states_at = states_pointer + number.to(tl.int64) * (K * V)
        if not IN_TURN:
            state = load_tile(states_at, V, key, column, K, V, 0.0).to(STATE)
        values = dot(do, tl.trans(v), STATE, OPERAND, PRECISION)
        if not IN_TURN:
            dq = dot(do, tl.trans(state), STATE, OPERAND, PRECISION)
            dk = dot(v, tl.trans(adjoint), STATE, OPERAND, PRECISION)
            dv = dot(k, adjoint, STATE, OPERAND, PRECISION)
        if DECAY == NONE:
            weights = tl.where(i >= j, dot(q, tl.trans(k), STATE, OPERAND, PRECISION), 0.0)
            values = tl.where(i >= j, values, 0.0)
            if IN_TURN:
                dv = dot(k, adjoint, STATE, OPERAND, PRECISION)
                dv += dot(tl.trans(weights), do, STATE, OPERAND, PRECISION)
                store_tile(dv_pointer + at * V, V, rows, column, left, V, dv)
                dk = dot(v, tl.trans(adjoint), STATE, OPERAND, PRECISION)
                dk += dot(tl.trans(values), q, STATE, OPERAND, PRECISION)
                store_tile(dk_pointer + at * K, K, rows, key, left, K, dk)
                state = load_tile(states_at, V, key, column, K, V, 0.0).to(STATE)
                dq = dot(do, tl.trans(state), STATE, OPERAND, PRECISION)
                dq += dot(values, k, STATE, OPERAND, PRECISION)
                store_tile(dq_pointer + at * K, K, rows, key, left, K, dq)
            else:
                dq += dot(values, k, STATE, OPERAND, PRECISION)
                dk += dot(tl.trans(values), q, STATE, OPERAND, PRECISION)
            adjoint += dot(tl.trans(q), do, STATE, OPERAND, PRECISION)
        elif DECAY == HEAD:
            inclusive, exclusive, before, before_exclusive = pair_products(
                a_pointer + at * a_step, a_step, rows, left, STATE
            )
            after = tl.sum(tl.where(i == CHUNK - 1, inclusive, 0.0), 0)
            total = tl.sum(tl.where(rows == CHUNK - 1, before, 0.0), 0)
            q_state = q.to(STATE)
            k_state = k.to(STATE)
            weights = dot(q, tl.trans(k), STATE, OPERAND, PRECISION)
            d_pairs = tl.where(i >= j, weights * values, 0.0)
            weights = tl.where(i >= j, weights * inclusive, 0.0)
            values = tl.where(i >= j, values * inclusive, 0.0)
            # Seen from token t: the pairs j < t <= i, the state before the chunk with i >= t, j < t
            # with the adjoint after the chunk, and that state with that adjoint.
            later = dot(tl.trans(inclusive), d_pairs, STATE, WIDE, PRECISION)
            if IN_TURN:
                da = tl.sum(exclusive * later, 1)
                dv = dot(k, adjoint, STATE, OPERAND, PRECISION) * after[:, None]
                dv += dot(tl.trans(weights), do, STATE, OPERAND, PRECISION)
                store_tile(dv_pointer + at * V, V, rows, column, left, V, dv)
                dk = dot(v, tl.trans(adjoint), STATE, OPERAND, PRECISION)
                to_adjoint = tl.sum(dk * k_state, 1)
                da += after * tl.sum(exclusive * to_adjoint[None, :], 1)
                dk = dk * after[:, None] + dot(tl.trans(values), q, STATE, OPERAND, PRECISION)
                store_tile(dk_pointer + at * K, K, rows, key, left, K, dk)
                state = load_tile(states_at, V, key, column, K, V, 0.0).to(STATE)
                da += before_exclusive * after * tl.sum(tl.sum(state * adjoint, 1), 0)
                dq = dot(do, tl.trans(state), STATE, OPERAND, PRECISION)
                from_state = tl.sum(dq * q_state, 1)
                da += before_exclusive * tl.sum(inclusive * from_state[:, None], 0)
                dq = dq * before[:, None] + dot(values, k, STATE, OPERAND, PRECISION)
                store_tile(dq_pointer + at * K, K, rows, key, left, K, dq)
            else:
                from_state = tl.sum(dq * q_state, 1)
                to_adjoint = tl.sum(dk * k_state, 1)
                da = tl.sum(exclusive * later, 1)
                da += before_exclusive * tl.sum(inclusive * from_state[:, None], 0)
                da += after * tl.sum(exclusive * to_adjoint[None, :], 1)
                da += before_exclusive * after * tl.sum(tl.sum(state * adjoint, 1), 0)
            da_at = da_pointer + at + rows
            tl.store(da_at, da.to(da_pointer.dtype.element_ty), mask=rows < left)
            if not IN_TURN:
                dq = dq * before[:, None] + dot(values, k, STATE, OPERAND, PRECISION)
                dk = dk * after[:, None] + dot(tl.trans(values), q, STATE, OPERAND, PRECISION)
                dv = dv * after[:, None]
            adjoint = adjoint * total + dot(
                tl.trans(q_state * before[:, None]), do, STATE, OPERAND, PRECISION
            )
        else:
            a_at = a_pointer + at * a_step
            product = load_tile(a_at, a_step, rows, key, left, K, 1.0).to(STATE)
            q_state = q.to(STATE)
            k_state = k.to(STATE)
            prefix = product
            suffix = tl.full([CHUNK, BLOCK_K], 1.0, STATE)
            weights = tl.where(i == j, tl.sum(q_state * k_state, 1)[:, None], 0.0)
            # Upwards: products of twice as many tokens; kept for the way down.
            prefixes = ()
            suffixes = ()
            products = ()
            for level in tl.static_range(LEVELS):
                prefixes = prefixes + (prefix,)
                suffixes = suffixes + (suffix,)
                products = products + (product,)
                part = dot(q_state * prefix, tl.trans(k_state * suffix), STATE, OPERAND, PRECISION)
                weights = tl.where(is_level(rows, 1 << level), part, weights)
                sibling = swap_blocks(product, rows, 1 << level)
                second = (rows[:, None] // (1 << level)) % 2 == 1
                prefix = tl.where(second, prefix * sibling, prefix)
                suffix = tl.where(second, suffix, suffix * sibling)
                product = product * sibling
            total = pick_row(product, rows, 0)
            d_prefix = q_state * dq
            d_suffix = k_state * dk
            d_product = tl.where(i == 0, tl.sum(state * adjoint, 1)[None, :], 0.0)
            dq = dq * prefix
            dk = dk * suffix
            dv = dot(k_state * suffix, adjoint, STATE, OPERAND, PRECISION)
            adjoint = adjoint * total[:, None] + dot(
                tl.trans(q_state * prefix), do, STATE, OPERAND, PRECISION
            )
            diagonal = tl.sum(tl.where(i == j, values, 0.0), 1)[:, None]
            dq += diagonal * k_state
            dk += diagonal * q_state
            for level in tl.static_range(LEVELS - 1, -1, -1):
                second = (rows[:, None] // (1 << level)) % 2 == 1
                sibling = swap_blocks(products[level], rows, 1 << level)
                d_sibling = tl.where(second, d_prefix * prefixes[level], d_suffix * suffixes[level])
                d_prefix = tl.where(second, d_prefix * sibling, d_prefix)
                d_suffix = tl.where(second, d_suffix, d_suffix * sibling)
                d_product = d_product * sibling + swap_blocks(
                    d_sibling + d_product * products[level], rows, 1 << level
                )
                part = tl.where(is_level(rows, 1 << level), values, 0.0)
                to_query = dot(part, k_state * suffixes[level], STATE, OPERAND, PRECISION)
                to_key = dot(tl.trans(part), q_state * prefixes[level], STATE, OPERAND, PRECISION)
                dq += to_query * prefixes[level]
                dk += to_key * suffixes[level]
                d_prefix += to_query * q_state
                d_suffix += to_key * k_state
            store_tile(da_pointer + at * K, K, rows, key, left, K, d_prefix + d_product)
        if not IN_TURN:
            dv += dot(tl.trans(weights), do, STATE, OPERAND, PRECISION)
            store_tile(dq_pointer + at * K, K, rows, key, left, K, dq)
            store_tile(dk_pointer + at * K, K, rows, key, left, K, dk)
            store_tile(dv_pointer + at * V, V, rows, column, left, V, dv)
    initial_pointer += sequence * (K * V)
    store_tile(initial_pointer, V, key, column, K, V, adjoint)
    after_last = states_pointer + num_chunks.to(tl.int64) * (K * V)
    state = load_tile(after_last, V, key, column, K, V, 0.0).to(STATE)
    if has_nonfinite(adjoint) or has_nonfinite(state):
        tl.debug_barrier()
        final = load_tile(final_pointer, z_step, key, column, K, V, 0.0).to(STATE)
        walk_back_exactly(
            q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer, dq_pointer,
            dk_pointer, dv_pointer, da_pointer, q_step, k_step, v_step, a_step, do_step, K, K, V,
            K if DECAY == CHANNEL else 1, final, length, key, column, K, V, CHUNK, DECAY, STATE,
        )  # fmt: skip
