"""Gradients of chunks of the outer-product recurrence token by token, without division.

Legend as in `kernel`.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, NONE, place
from statetrack.scans.outer_product.kernel import load_decay, load_tile, walk_states


@triton.jit
def walk_backward(
    q_pointer, k_pointer, v_pointer, a_pointer, do_pointer, states_pointer, adjoints_pointer,
    dq_pointer, dk_pointer, dv_pointer, da_pointer, again_pointer,
    n1, n2, length, sequences, q0, q1, q2, q_step, k0, k1, k2, k_step, v0, v1, v2, v_step,
    a0, a1, a2, a_step, do0, do1, do2, do_step,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Gradients of the chunks that must be done again, token by token.

    States are not kept: they are computed again from the start of every stretch of `STRETCH`
    tokens, and those starts from the start of the chunk.
    """
    STRETCH: tl.constexpr = 8
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    num_chunks = tl.cdiv(length, CHUNK)
    chunk = tl.program_id(0)
    if tl.load(again_pointer + chunk) != 0:
        number = chunk // NUM_BLOCKS % num_chunks
        sequence = chunk // NUM_BLOCKS // num_chunks
        block = chunk % NUM_BLOCKS
        b0, b1, b2 = place(sequence, n1, n2)
        at = tl.full([], 0, tl.int64) + number * CHUNK
        tokens = tl.minimum(length - number * CHUNK, CHUNK)
        key = tl.arange(0, BLOCK_K)
        column = block * BLOCK_V + tl.arange(0, BLOCK_V)
        in_key = key < K
        in_column = column < V
        q_pointer += b0 * q0 + b1 * q1 + b2 * q2 + at * q_step
        k_pointer += b0 * k0 + b1 * k1 + b2 * k2 + at * k_step
        v_pointer += b0 * v0 + b1 * v1 + b2 * v2 + at * v_step
        a_pointer += b0 * a0 + b1 * a1 + b2 * a2 + at * a_step
        do_pointer += b0 * do0 + b1 * do1 + b2 * do2 + at * do_step
        partial = (block.to(tl.int64) * sequences + sequence) * length + at
        dq_pointer += partial * K
        dk_pointer += partial * K
        dv_pointer += (sequence.to(tl.int64) * length + at) * V
        da_pointer += partial * K if DECAY == CHANNEL else partial
        tile = (sequence.to(tl.int64) * num_chunks + number) * (K * V)
        adjoint = load_tile(adjoints_pointer + tile, V, key, column, K, V, 0.0).to(STATE)
        stretches = tl.cdiv(tokens, STRETCH)
        for past in range(stretches):
            start = (stretches - 1 - past) * STRETCH
            first = load_tile(states_pointer + tile, V, key, column, K, V, 0.0).to(STATE)
            end = tl.minimum(start + STRETCH, tokens)
            # The first round leads from the start of the chunk to that of the stretch: one place
            # where states are walked through is half the code.
            for back in range(end - start + 1):
                is_first = back == 0
                last = tl.where(is_first, start, end - back)
                before = walk_states(
                    k_pointer, v_pointer, a_pointer, k_step, v_step, a_step, first,
                    tl.where(is_first, 0, start), last, key, column, K, V, DECAY, STATE,
                )  # fmt: skip
                if is_first:
                    first = before
                else:
                    t = tl.full([], 0, tl.int64) + last
                    k = tl.load(k_pointer + t * k_step + key, mask=in_key, other=0.0).to(STATE)
                    v = tl.load(v_pointer + t * v_step + column, mask=in_column, other=0.0).to(
                        STATE
                    )
                    state = before
                    if DECAY != NONE:
                        a = load_decay(a_pointer, t, a_step, key, K, tokens, DECAY, STATE)
                        state = state * a
                    state += k[:, None] * v[None, :]
                    q = tl.load(q_pointer + t * q_step + key, mask=in_key, other=0.0).to(STATE)
                    do = tl.load(do_pointer + t * do_step + column, mask=in_column, other=0.0).to(
                        STATE
                    )
                    adjoint += q[:, None] * do[None, :]
                    dq = tl.sum(state * do[None, :], 1)
                    dk = tl.sum(adjoint * v[None, :], 1)
                    dv = tl.sum(adjoint * k[:, None], 0)
                    tl.store(
                        dq_pointer + t * K + key, dq.to(dq_pointer.dtype.element_ty), mask=in_key
                    )
                    tl.store(
                        dk_pointer + t * K + key, dk.to(dk_pointer.dtype.element_ty), mask=in_key
                    )
                    tl.store(
                        dv_pointer + t * V + column,
                        dv.to(dv_pointer.dtype.element_ty),
                        mask=in_column,
                    )
                    if DECAY == HEAD:
                        da = tl.sum(tl.sum(adjoint * before, 1), 0)
                        tl.store(da_pointer + t, da.to(da_pointer.dtype.element_ty))
                    if DECAY == CHANNEL:
                        da = tl.sum(adjoint * before, 1)
                        da = da.to(da_pointer.dtype.element_ty)
                        tl.store(da_pointer + t * K + key, da, mask=in_key)
                    if DECAY != NONE:
                        adjoint = adjoint * a
