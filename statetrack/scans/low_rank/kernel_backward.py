"""Triton kernels of the gradient of the low-rank recurrence, token after token.

With Z the adjoint of the state after a token (``q do^T`` included) and x = S^T right what the token
read, ``dv = Z^T k``, ``dk = Z v``, ``dx = - Z^T left``, ``dleft = - Z x``, ``da = sum_v Z S`` with
S before the token, and ``Z <- diag(a) Z + right dx^T``: that is `scan_backward`, from the last
token on. ``dright = S dx`` with S before and ``dq = S do`` with S after a token follow from S
alone, which takes sums only once x is known: `rows_backward`, forward in time with a block of key
channels. The decays need Z and S of the same token, so states are built again from those that were
kept every `CHUNK` tokens; nothing is divided by a decay.

Legend as in `kernel`. What is summed over values comes out as one partial result per block.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, NONE, place
from statetrack.scans.householder.kernel_sequential import (
    STAGES,
    add_outer,
    aligned,
    decayed,
    load_columns,
    load_rows,
    read,
    store_columns,
    store_rows,
    tile_places,
    wide,
)
from statetrack.scans.low_rank.kernel import SIZES, STRIDES


@triton.jit
def state_before(
    t, states_pointer, offsets, inside, l_pointer, k_pointer, v_pointer, a_pointer, x_pointer,
    l_step, l_rank, k_step, v_step, a_step, column, K: tl.constexpr, V: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr, RANK: tl.constexpr,
    DECAY: tl.constexpr, CHUNK: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state before token t, from the one that was kept at the start of its chunk."""
    at = states_pointer + wide(t // CHUNK) * (K * V)
    state = tl.load(at + offsets, mask=inside, other=0.0)
    for number in tl.range(t // CHUNK * CHUNK, t, num_stages=STAGES):
        s = wide(number)
        state = decayed(state, a_pointer + s * a_step, K, ROWS, PARTS, DECAY, STATE)
        for p in tl.static_range(RANK):
            left = load_rows(l_pointer + s * l_step + p * l_rank, K, ROWS, PARTS).to(STATE)
            x = load_columns(x_pointer + (s * RANK + p) * V, column, V, COLS)
            state = add_outer(state, left, -x)
        key = load_rows(k_pointer + s * k_step, K, ROWS, PARTS).to(STATE)
        value = load_columns(v_pointer + s * v_step, column, V, COLS).to(STATE)
        state = add_outer(state, key, value)
    return state


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", *STRIDES, "do0", "do1", "do2", "do_step", "z0", "z1", "z2", "z_step",
    ]
)  # fmt: skip
def scan_backward(
    q_pointer, l_pointer, r_pointer, k_pointer, v_pointer, a_pointer, x_pointer, states_pointer,
    do_pointer, final_pointer, dx_pointer, dv_pointer, dl_pointer, dk_pointer, da_pointer,
    initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    l0: tl.int64, l1: tl.int64, l2: tl.int64, l_step: tl.int64, l_rank: tl.int64,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r_step: tl.int64, r_rank: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    RANK: tl.constexpr, DECAY: tl.constexpr, CHUNK: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr,
):  # fmt: skip
    """Adjoints of a block of value columns, from the last token to the first.

    Writes dx [B, T, P, V], dv [B, T, V], the gradient of the initial state [B, V, K], and per block
    those of left [blocks, B, T, P, K], keys and decays.
    """
    BLOCKS: tl.constexpr = (V + COLS - 1) // COLS
    program = tl.program_id(0) // BLOCKS
    block = tl.program_id(0) % BLOCKS
    column = block * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(program, n1, n2)
    sequence = program.to(tl.int64)
    partial = (block.to(tl.int64) * sequences + sequence) * length
    q_pointer += aligned(s0 * q0 + s1 * q1 + s2 * q2, ALIGNED)
    l_pointer += aligned(s0 * l0 + s1 * l1 + s2 * l2, ALIGNED)
    r_pointer += aligned(s0 * r0 + s1 * r1 + s2 * r2, ALIGNED)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    v_pointer += aligned(s0 * v0 + s1 * v1 + s2 * v2, ALIGNED)
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    do_pointer += aligned(s0 * do0 + s1 * do1 + s2 * do2, ALIGNED)
    q_step = aligned(q_step, ALIGNED)
    l_step = aligned(l_step, ALIGNED)
    l_rank = aligned(l_rank, ALIGNED)
    r_step = aligned(r_step, ALIGNED)
    r_rank = aligned(r_rank, ALIGNED)
    k_step = aligned(k_step, ALIGNED)
    v_step = aligned(v_step, ALIGNED)
    do_step = aligned(do_step, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    x_pointer += sequence * length * (RANK * V)
    dx_pointer += sequence * length * (RANK * V)
    dv_pointer += sequence * length * V
    dl_pointer += partial * (RANK * K)
    dk_pointer += partial * K
    da_pointer += partial * (K if DECAY == CHANNEL else 1)
    states_pointer += sequence * (tl.cdiv(length, CHUNK) if CHUNK > 0 else 0) * (K * V)
    offsets, inside = tile_places(column, aligned(z_step, ALIGNED), K, V, ROWS, PARTS)
    final_pointer += aligned(s0 * z0 + s1 * z1 + s2 * z2, ALIGNED)
    adjoint = tl.load(final_pointer + offsets, mask=inside, other=0.0).to(STATE)
    offsets, inside = tile_places(column, K, K, V, ROWS, PARTS)
    for back in tl.range(0, length, num_stages=STAGES):
        t = wide(length - 1 - back)
        query = load_rows(q_pointer + t * q_step, K, ROWS, PARTS).to(STATE)
        do = load_columns(do_pointer + t * do_step, column, V, COLS).to(STATE)
        adjoint = add_outer(adjoint, query, do)
        key = load_rows(k_pointer + t * k_step, K, ROWS, PARTS).to(STATE)
        value = load_columns(v_pointer + t * v_step, column, V, COLS).to(STATE)
        store_columns(dv_pointer + t * V, column, read(adjoint, key), V)
        dk = tl.sum(adjoint * value[None, :, None], 1)
        store_rows(dk_pointer + t * K, dk, K, ROWS, PARTS)
        grads = ()
        for p in tl.static_range(RANK):
            i = t * RANK + p
            left = load_rows(l_pointer + t * l_step + p * l_rank, K, ROWS, PARTS).to(STATE)
            x = load_columns(x_pointer + i * V, column, V, COLS)
            dx = -read(adjoint, left)
            grads = grads + (dx,)
            store_columns(dx_pointer + i * V, column, dx, V)
            dl = -tl.sum(adjoint * x[None, :, None], 1)
            store_rows(dl_pointer + i * K, dl, K, ROWS, PARTS)
        if DECAY != NONE:
            before = state_before(
                length - 1 - back, states_pointer, offsets, inside, l_pointer, k_pointer,
                v_pointer, a_pointer, x_pointer, l_step, l_rank, k_step, v_step, a_step, column, K,
                V, ROWS, COLS, PARTS, RANK, DECAY, CHUNK, STATE,
            )  # fmt: skip
            if DECAY == HEAD:
                tl.store(da_pointer + t, tl.sum(tl.sum(tl.sum(adjoint * before, 2), 0), 0))
            else:
                da = tl.sum(adjoint * before, 1)
                store_rows(da_pointer + t * K, da, K, ROWS, PARTS)
        adjoint = decayed(adjoint, a_pointer + t * a_step, K, ROWS, PARTS, DECAY, STATE)
        for p in tl.static_range(RANK):
            right = load_rows(r_pointer + t * r_step + p * r_rank, K, ROWS, PARTS).to(STATE)
            adjoint = add_outer(adjoint, right, grads[p])
    tl.store(initial_pointer + sequence * (K * V) + offsets, adjoint, mask=inside)


@triton.jit(
    do_not_specialize=[
        *SIZES, "l0", "l1", "l2", "l_step", "l_rank", "k0", "k1", "k2", "k_step", "v0", "v1", "v2",
        "v_step", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step", "i0", "i1", "i2",
        "i_step",
    ]
)  # fmt: skip
def rows_backward(
    l_pointer, k_pointer, v_pointer, a_pointer, initial_pointer, do_pointer, x_pointer, dx_pointer,
    dq_pointer, dr_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    l0: tl.int64, l1: tl.int64, l2: tl.int64, l_step: tl.int64, l_rank: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    RANK: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Gradients of the queries [B, T, K] and of right [B, T, P, K] for a block of key channels.

    Here the rows of the tile are values and its columns keys.
    """
    BLOCKS: tl.constexpr = (K + COLS - 1) // COLS
    program = tl.program_id(0) // BLOCKS
    column = tl.program_id(0) % BLOCKS * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(program, n1, n2)
    sequence = program.to(tl.int64)
    l_pointer += aligned(s0 * l0 + s1 * l1 + s2 * l2, ALIGNED)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    v_pointer += aligned(s0 * v0 + s1 * v1 + s2 * v2, ALIGNED)
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    do_pointer += aligned(s0 * do0 + s1 * do1 + s2 * do2, ALIGNED)
    l_step = aligned(l_step, ALIGNED)
    l_rank = aligned(l_rank, ALIGNED)
    k_step = aligned(k_step, ALIGNED)
    v_step = aligned(v_step, ALIGNED)
    do_step = aligned(do_step, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    x_pointer += sequence * length * (RANK * V)
    dx_pointer += sequence * length * (RANK * V)
    dq_pointer += sequence * length * K
    dr_pointer += sequence * length * (RANK * K)
    offsets, inside = tile_places(column, aligned(i_step, ALIGNED), V, K, ROWS, PARTS)
    initial_pointer += aligned(s0 * i0 + s1 * i1 + s2 * i2, ALIGNED)
    state = tl.load(initial_pointer + offsets, mask=inside, other=0.0).to(STATE)
    for number in tl.range(0, length, num_stages=STAGES):
        t = wide(number)
        for p in tl.static_range(RANK):
            i = t * RANK + p
            dx = load_rows(dx_pointer + i * V, V, ROWS, PARTS)
            store_columns(dr_pointer + i * K, column, read(state, dx), K)
        if DECAY == HEAD:
            state = state * tl.load(a_pointer + t * a_step).to(STATE)
        if DECAY == CHANNEL:
            factors = load_columns(a_pointer + t * a_step, column, K, COLS).to(STATE)
            state = state * factors[None, :, None]
        for p in tl.static_range(RANK):
            x = load_rows(x_pointer + (t * RANK + p) * V, V, ROWS, PARTS)
            left = load_columns(l_pointer + t * l_step + p * l_rank, column, K, COLS).to(STATE)
            state = add_outer(state, -x, left)
        value = load_rows(v_pointer + t * v_step, V, ROWS, PARTS).to(STATE)
        key = load_columns(k_pointer + t * k_step, column, K, COLS).to(STATE)
        state = add_outer(state, value, key)
        do = load_rows(do_pointer + t * do_step, V, ROWS, PARTS).to(STATE)
        store_columns(dq_pointer + t * K, column, read(state, do), K)
