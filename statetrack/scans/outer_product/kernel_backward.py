"""Triton kernels of the gradient of the outer-product recurrence.

With Z_t the adjoint of the state S_t, ``Z_t = q_t do_t^T + diag(a_{t+1}) Z_{t+1}``:
``dq_t = S_t do_t``, ``dk_t = Z_t v_t``, ``dv_t = Z_t^T k_t`` and, per channel,
``da_t = sum_v Z_t S_{t-1}``. The forward pass left the states before every chunk, a sweep from the
end leaves the adjoints after every chunk, and then all chunks are differentiated at once. Inside a
chunk, ``a_t da_t`` is what it is at the start of the chunk less ``sum (q dq - k dk)`` over the
tokens before t, with the very operands that the products took, so that what cancels does so to the
last bits. Where a decay is too small to divide by it, products leave the range or a number is not
finite, the chunk is done again token by token, without division.

Legend as in `kernel`. A program owns a block of value columns; the gradients of q, k and the decays
are sums over these blocks, one partial result each.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, NONE, place
from statetrack.scans.outer_product.kernel import (
    SIZES,
    dot,
    flip,
    has_nonfinite,
    load_decays,
    load_tile,
    running_products,
    split,
    store_tile,
)
from statetrack.scans.outer_product.kernel_sweep import sweep_adjoints
from statetrack.scans.outer_product.kernel_walk import walk_backward

SWEEP = tl.constexpr(0)
VALUES = tl.constexpr(1)


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "v0", "v1",
        "v2", "v_step", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step",
    ]
)  # fmt: skip
def chunk_backward(
    q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer, adjoints_pointer,
    dq_pointer, dk_pointer, dv_pointer, da_pointer, again_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PARTS: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr, SMALL: tl.constexpr,
    PASS: tl.constexpr,
):  # fmt: skip
    """Gradients of one chunk, dense [blocks, B, T, ...], and whether it must be done again.

    PASS 0 makes all of them, 1 that of the values, 2 the others: two kernels where the code of one
    is larger than the memory for instructions.
    """
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    num_chunks = tl.cdiv(length, CHUNK)
    chunk = tl.program_id(0)
    number = chunk // NUM_BLOCKS % num_chunks
    sequence = chunk // NUM_BLOCKS // num_chunks
    block = chunk % NUM_BLOCKS
    b0, b1, b2 = place(sequence, n1, n2)
    q_offset = b0 * q0 + b1 * q1 + b2 * q2
    k_offset = b0 * k0 + b1 * k1 + b2 * k2
    v_offset = b0 * v0 + b1 * v1 + b2 * v2
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    do_offset = b0 * do0 + b1 * do1 + b2 * do2
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        v_step = v_step // 8 * 8
        a_step = a_step // 8 * 8 if DECAY == CHANNEL else a_step
        do_step = do_step // 8 * 8
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        a_offset = tl.multiple_of(a_offset, 8) if DECAY == CHANNEL else a_offset
        do_offset = tl.multiple_of(do_offset, 8)
    at = tl.full([], 0, tl.int64) + number * CHUNK
    left = length - number * CHUNK
    q_pointer += q_offset + at * q_step
    k_pointer += k_offset + at * k_step
    v_pointer += v_offset + at * v_step
    a_pointer += a_offset + at * a_step
    do_pointer += do_offset + at * do_step
    partial = (block.to(tl.int64) * sequences + sequence) * length + at
    tile = (sequence.to(tl.int64) * num_chunks + number) * (K * V)
    rows = tl.arange(0, CHUNK)
    key = tl.arange(0, BLOCK_K)
    column = block * BLOCK_V + tl.arange(0, BLOCK_V)
    causal = rows[:, None] >= rows[None, :]
    # With three parts a number, tiles are loaded and split again where they are needed: registers
    # are what limits how many chunks a multiprocessor works on.
    AGAIN: tl.constexpr = PARTS > 1
    q = load_tile(q_pointer, q_step, rows, key, left, K, 0.0)
    k = load_tile(k_pointer, k_step, rows, key, left, K, 0.0)
    adjoint = load_tile(adjoints_pointer + tile, V, key, column, K, V, 0.0)
    if DECAY != NONE:
        a = load_decays(a_pointer, a_step, rows, key, left, K, DECAY, STATE)
        products, total = running_products(a, rows, SMALL, DECAY)
        k = k.to(STATE) * (1.0 / products)
        adjoint = adjoint.to(STATE) * total
    k_parts = split(k, OPERAND, PARTS)
    if PASS != 2:
        if DECAY != NONE:
            q = q.to(STATE) * products
        q_parts = split(q, OPERAND, PARTS)
        weights = tl.where(causal, dot(q_parts, flip(k_parts), STATE, PRECISION), 0.0)
        weights_parts = split(weights, OPERAND, PARTS)
        do = load_tile(do_pointer, do_step, rows, column, left, V, 0.0)
        dv = dot(flip(weights_parts), split(do, OPERAND, PARTS), STATE, PRECISION)
        dv += dot(k_parts, split(adjoint, OPERAND, PARTS), STATE, PRECISION)
        dv_at = dv_pointer + (sequence.to(tl.int64) * length + at) * V
        store_tile(dv_at, V, rows, column, left, V, dv)
        if AGAIN and PASS == 0:
            q = load_tile(q_pointer, q_step, rows, key, left, K, 0.0)
            k = load_tile(k_pointer, k_step, rows, key, left, K, 0.0)
            if DECAY != NONE:
                q = q.to(STATE) * products
                k = k.to(STATE) * (1.0 / products)
            k_parts = split(k, OPERAND, PARTS)
    elif DECAY != NONE:
        q = q.to(STATE) * products
    if PASS != 1:
        do = load_tile(do_pointer, do_step, rows, column, left, V, 0.0)
        do_parts = split(do, OPERAND, PARTS)
        v = load_tile(v_pointer, v_step, rows, column, left, V, 0.0)
        v_parts = split(v, OPERAND, PARTS)
        dk = dot(v_parts, flip(split(adjoint, OPERAND, PARTS)), STATE, PRECISION)
        values = tl.where(causal, dot(do_parts, flip(v_parts), STATE, PRECISION), 0.0)
        values_parts = split(values, OPERAND, PARTS)
        dq = dot(values_parts, k_parts, STATE, PRECISION)
        if AGAIN:
            q = load_tile(q_pointer, q_step, rows, key, left, K, 0.0)
            if DECAY != NONE:
                q = q.to(STATE) * products
        q_parts = split(q, OPERAND, PARTS)
        dk += dot(flip(values_parts), q_parts, STATE, PRECISION)
        if DECAY == NONE:
            store_tile(dk_pointer + partial * K, K, rows, key, left, K, dk)
        else:
            # Rounded as in the products, so that what cancels below does so to the last bits.
            passed = dk * (k if PARTS > 1 else k_parts[0].to(STATE))
            inverse = 1.0 / products
            store_tile(dk_pointer + partial * K, K, rows, key, left, K, dk * inverse)
        state = load_tile(states_pointer + tile, V, key, column, K, V, 0.0)
        if AGAIN:
            do = load_tile(do_pointer, do_step, rows, column, left, V, 0.0)
            do_parts = split(do, OPERAND, PARTS)
        from_state = dot(do_parts, flip(split(state, OPERAND, PARTS)), STATE, PRECISION)
        dq += from_state
        again = has_nonfinite(dq + dk)
        if DECAY != NONE:
            q = q if PARTS > 1 else q_parts[0].to(STATE)
            adjoint = load_tile(adjoints_pointer + tile, V, key, column, K, V, 0.0).to(STATE)
            at_start = tl.sum(state.to(STATE) * adjoint * total, 1) + tl.sum(q * from_state, 0)
            passed = q * dq - passed
            dq = dq * products
            # `a_t da_t` is what it is at the start less what the tokens before t pass.
            a = load_decays(a_pointer, a_step, rows, key, left, K, DECAY, STATE)
            a = tl.where(tl.abs(a) < SMALL, 1.0, a)
            if DECAY == HEAD:
                passed = tl.sum(passed, 1)
                da = (tl.sum(at_start, 0) - (tl.cumsum(passed, 0) - passed)) / a
                da = da.to(da_pointer.dtype.element_ty)
                tl.store(da_pointer + partial + rows, da, mask=rows < left)
            else:
                da = (at_start[None, :] - (tl.cumsum(passed, 0) - passed)) / a
                store_tile(da_pointer + partial * K, K, rows, key, left, K, da)
        store_tile(dq_pointer + partial * K, K, rows, key, left, K, dq)
        tl.store(again_pointer + chunk, again.to(tl.int32))


@triton.jit(
    do_not_specialize=[
        *SIZES, "stage", "sequences", "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step",
        "v0", "v1", "v2", "v_step", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step",
        "z0", "z1", "z2", "z_step",
    ]
)  # fmt: skip
def around_chunks(
    q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer, adjoints_pointer,
    dq_pointer, dk_pointer, dv_pointer, da_pointer, again_pointer, final_pointer, initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64, stage: tl.int32,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PARTS: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr, SMALL: tl.constexpr,
    SEPARATE: tl.constexpr,
):  # fmt: skip
    """What comes before and after `chunk_backward`, chosen when launched: one kernel to compile.

    The sweep, then with SEPARATE the gradients of the values, at last the chunks token by token.
    """
    if stage == SWEEP:
        sweep_adjoints(
            q_pointer, a_pointer, do_pointer, final_pointer, adjoints_pointer, initial_pointer,
            n1, n2, length, q0, q1, q2, q_step, a0, a1, a2, a_step, do0, do1, do2, do_step,
            z0, z1, z2, z_step, K, V, BLOCK_K, BLOCK_V, CHUNK, DECAY, STATE, OPERAND, PARTS,
            PRECISION, ALIGNED,
        )  # fmt: skip
    elif stage == VALUES:
        if SEPARATE:
            chunk_backward(
                q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer,
                adjoints_pointer, dq_pointer, dk_pointer, dv_pointer, da_pointer, again_pointer,
                n1, n2, length, sequences, q0, q1, q2, q_step, k0, k1, k2, k_step,
                v0, v1, v2, v_step, a0, a1, a2, a_step, do0, do1, do2, do_step,
                K, V, BLOCK_K, BLOCK_V, CHUNK, DECAY, STATE, OPERAND, PARTS, PRECISION, ALIGNED,
                SMALL, 1,
            )  # fmt: skip
    else:
        walk_backward(
            q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer,
            adjoints_pointer, dq_pointer, dk_pointer, dv_pointer, da_pointer, again_pointer,
            n1, n2, length, sequences, q0, q1, q2, q_step, k0, k1, k2, k_step,
            v0, v1, v2, v_step, a0, a1, a2, a_step, do0, do1, do2, do_step,
            K, V, BLOCK_K, BLOCK_V, CHUNK, DECAY, STATE,
        )  # fmt: skip
