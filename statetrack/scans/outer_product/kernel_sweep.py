"""Adjoints of the outer-product recurrence at the ends of all chunks, swept from the last one.

Legend as in `kernel`.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, NONE, place
from statetrack.scans.outer_product.kernel import (
    AT_ONCE,
    LOOK,
    dot,
    flip,
    has_nonfinite,
    load_decay,
    load_decays,
    load_row,
    load_tile,
    running_products,
    split,
    store_tile,
)


@triton.jit
def walk_adjoint(
    q_pointer, a_pointer, do_pointer, q_step, a_step, do_step, adjoint, length, key, column,
    K: tl.constexpr, V: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The adjoint before `length` tokens, one after the other from the end."""
    for done in range(0, length, AT_ONCE):
        q, do, a = (), (), ()
        for u in tl.static_range(AT_ONCE):
            t = tl.full([], 0, tl.int64) + (length - 1 - done - u)
            here = tl.where(t >= 0, length, t)
            q = q + (load_row(q_pointer, t, q_step, key, K, here, 0.0, STATE),)
            do = do + (load_row(do_pointer, t, do_step, column, V, here, 0.0, STATE),)
            if DECAY != NONE:
                a = a + (load_decay(a_pointer, t, a_step, key, K, here, DECAY, STATE),)
        for u in tl.static_range(AT_ONCE):
            adjoint += q[u][:, None] * do[u][None, :]
            if DECAY != NONE:
                adjoint = adjoint * a[u]
    return adjoint


@triton.jit
def sweep_adjoints(
    q_pointer, a_pointer, do_pointer, final_pointer, adjoints_pointer, initial_pointer,
    n1, n2, length, q0, q1, q2, q_step, a0, a1, a2, a_step, do0, do1, do2, do_step,
    z0, z1, z2, z_step,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PARTS: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Adjoints after every chunk, and before the first."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    program = tl.program_id(0)
    sequence = (program // NUM_BLOCKS).to(tl.int64)
    b0, b1, b2 = place(program // NUM_BLOCKS, n1, n2)
    q_offset = b0 * q0 + b1 * q1 + b2 * q2
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    do_offset = b0 * do0 + b1 * do1 + b2 * do2
    if ALIGNED:
        q_step = q_step // 8 * 8
        a_step = a_step // 8 * 8 if DECAY == CHANNEL else a_step
        do_step = do_step // 8 * 8
        q_offset = tl.multiple_of(q_offset, 8)
        a_offset = tl.multiple_of(a_offset, 8) if DECAY == CHANNEL else a_offset
        do_offset = tl.multiple_of(do_offset, 8)
    q_pointer += q_offset
    a_pointer += a_offset
    do_pointer += do_offset
    rows = tl.arange(0, CHUNK)
    key = tl.arange(0, BLOCK_K)
    column = (program % NUM_BLOCKS) * BLOCK_V + tl.arange(0, BLOCK_V)
    final_pointer += b0 * z0 + b1 * z1 + b2 * z2
    adjoint = load_tile(final_pointer, z_step, key, column, K, V, 0.0).to(STATE)
    num_chunks = tl.cdiv(length, CHUNK)
    adjoints_pointer += sequence * num_chunks * (K * V)
    start = 0
    size = LOOK
    initial_pointer += sequence * (K * V)
    while start < num_chunks:
        store_tile(initial_pointer, V, key, column, K, V, adjoint)
        stop = tl.minimum(start + size, num_chunks)
        for back in range(start, stop):
            number = num_chunks - 1 - back
            left = length - number * CHUNK
            at = tl.full([], 0, tl.int64) + number * CHUNK
            adjoints_at = adjoints_pointer + at // CHUNK * (K * V)
            store_tile(adjoints_at, V, key, column, K, V, adjoint)
            q = load_tile(q_pointer + at * q_step, q_step, rows, key, left, K, 0.0)
            do = load_tile(do_pointer + at * do_step, do_step, rows, column, left, V, 0.0)
            if DECAY != NONE:
                a_at = a_pointer + at * a_step
                a = load_decays(a_at, a_step, rows, key, left, K, DECAY, STATE)
                products, total = running_products(a, rows, 0.0, DECAY)
                q = q.to(STATE) * products
                adjoint = adjoint * total
            q_parts = flip(split(q, OPERAND, PARTS))
            adjoint += dot(q_parts, split(do, OPERAND, PARTS), STATE, PRECISION)
        if has_nonfinite(adjoint):
            tl.debug_barrier()
            adjoint = load_tile(initial_pointer, V, key, column, K, V, 0.0).to(STATE)
            size = 1
            if stop == start + 1:
                number = num_chunks - 1 - start
                at = tl.full([], 0, tl.int64) + number * CHUNK
                adjoint = walk_adjoint(
                    q_pointer + at * q_step, a_pointer + at * a_step, do_pointer + at * do_step,
                    q_step, a_step, do_step, adjoint, tl.minimum(length - number * CHUNK, CHUNK),
                    key, column, K, V, DECAY, STATE,
                )  # fmt: skip
                start = stop
            tl.debug_barrier()
        else:
            start = stop
            size = tl.minimum(2 * size, LOOK)
    store_tile(initial_pointer, V, key, column, K, V, adjoint)
