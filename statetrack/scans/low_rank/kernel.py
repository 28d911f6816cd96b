"""Triton kernel of the low-rank recurrence, token after token, with the state in registers.

Columns of the state do not see each other, so a program of one warp owns `COLS` of them. Tiles and
their layout are those of `statetrack.scans.householder.kernel_sequential`.

Legend: T tokens, P rank, K key channels, V value columns.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, place
from statetrack.scans.householder.kernel_sequential import (
    STAGES,
    add_outer,
    aligned,
    decayed,
    load_columns,
    load_rows,
    read,
    store_columns,
    tile_places,
    wide,
)

SIZES = ["n1", "n2", "length"]
STRIDES = ["q0", "q1", "q2", "q_step", "l0", "l1", "l2", "l_step", "l_rank"]
STRIDES += ["r0", "r1", "r2", "r_step", "r_rank", "k0", "k1", "k2", "k_step"]
STRIDES += ["v0", "v1", "v2", "v_step", "a0", "a1", "a2", "a_step"]


@triton.jit(do_not_specialize=[*SIZES, *STRIDES, "i0", "i1", "i2", "i_step"])
def scan_forward(
    q_pointer, l_pointer, r_pointer, k_pointer, v_pointer, a_pointer, initial_pointer, o_pointer,
    final_pointer, x_pointer, states_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    l0: tl.int64, l1: tl.int64, l2: tl.int64, l_step: tl.int64, l_rank: tl.int64,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r_step: tl.int64, r_rank: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    RANK: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr, CHUNK: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Outputs [B, T, V] and final state [B, V, K].

    With SAVE also what every token read, ``x = S^T right`` [B, T, P, V], and with CHUNK > 0 the
    states before every `CHUNK` tokens, [B, C, V, K].
    """
    BLOCKS: tl.constexpr = (V + COLS - 1) // COLS
    program = tl.program_id(0) // BLOCKS
    column = tl.program_id(0) % BLOCKS * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(program, n1, n2)
    sequence = program.to(tl.int64)
    q_pointer += aligned(s0 * q0 + s1 * q1 + s2 * q2, ALIGNED)
    l_pointer += aligned(s0 * l0 + s1 * l1 + s2 * l2, ALIGNED)
    r_pointer += aligned(s0 * r0 + s1 * r1 + s2 * r2, ALIGNED)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    v_pointer += aligned(s0 * v0 + s1 * v1 + s2 * v2, ALIGNED)
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    q_step = aligned(q_step, ALIGNED)
    l_step = aligned(l_step, ALIGNED)
    l_rank = aligned(l_rank, ALIGNED)
    r_step = aligned(r_step, ALIGNED)
    r_rank = aligned(r_rank, ALIGNED)
    k_step = aligned(k_step, ALIGNED)
    v_step = aligned(v_step, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    o_pointer += sequence * length * V
    x_pointer += sequence * length * (RANK * V)
    states_pointer += sequence * (tl.cdiv(length, CHUNK) if CHUNK > 0 else 0) * (K * V)
    offsets, inside = tile_places(column, aligned(i_step, ALIGNED), K, V, ROWS, PARTS)
    initial_pointer += aligned(s0 * i0 + s1 * i1 + s2 * i2, ALIGNED)
    state = tl.load(initial_pointer + offsets, mask=inside, other=0.0).to(STATE)
    offsets, inside = tile_places(column, K, K, V, ROWS, PARTS)
    for t in tl.range(0, length, num_stages=STAGES):
        if CHUNK > 0:
            if t % CHUNK == 0:
                at = states_pointer + wide(t // CHUNK) * (K * V)
                tl.store(at + offsets, state, mask=inside)
        reads = ()
        for p in tl.static_range(RANK):
            right = load_rows(r_pointer + p * r_rank, K, ROWS, PARTS).to(STATE)
            x = read(state, right)
            reads = reads + (x,)
            if SAVE:
                store_columns(x_pointer + (wide(t) * RANK + p) * V, column, x, V)
        state = decayed(state, a_pointer, K, ROWS, PARTS, DECAY, STATE)
        for p in tl.static_range(RANK):
            left = load_rows(l_pointer + p * l_rank, K, ROWS, PARTS).to(STATE)
            state = add_outer(state, left, -reads[p])
        key = load_rows(k_pointer, K, ROWS, PARTS).to(STATE)
        state = add_outer(state, key, load_columns(v_pointer, column, V, COLS).to(STATE))
        query = load_rows(q_pointer, K, ROWS, PARTS).to(STATE)
        store_columns(o_pointer + wide(t) * V, column, read(state, query), V)
        q_pointer += q_step
        l_pointer += l_step
        r_pointer += r_step
        k_pointer += k_step
        v_pointer += v_step
        a_pointer += a_step
    tl.store(final_pointer + sequence * (K * V) + offsets, state, mask=inside)
