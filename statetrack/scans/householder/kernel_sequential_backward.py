"""Triton kernels of the gradient of the Householder recurrence, token after token.

With Z the adjoint of the state, u = w v - beta y what a factor adds and y = S^T k what it reads,
``du = Z^T k``, ``dv = w du``, ``dw = v . du``, ``dbeta = - y . du`` and ``Z <- Z - beta k du^T``,
after ``Z <- Z + q do^T`` at the end of a token and before ``Z <- diag(a) Z`` at its start. That is
`scan_backward`, from the last token on; y comes from the forward pass. Then

    dk = Z u - beta S du,   dq = S do,   da = sum_v Z S,

with S before the factor, after the token and before the token; `kernel_sequential_rows` adds what
takes S alone. The decays need Z and S of the same token, so `scan_backward` builds the states of a
few tokens again, from those that were kept every `CHUNK` tokens; nothing is divided by a decay.

Legend as in `kernel_sequential`. A program of `scan_backward` owns `COLS` value columns; what is
summed over values comes out as one partial result per block of columns.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import CHANNEL, HEAD, NONE, place
from statetrack.scans.householder.kernel_sequential import (
    SIZES,
    STAGES,
    add_outer,
    aligned,
    decayed,
    load_columns,
    load_factor,
    load_rows,
    read,
    store_columns,
    store_rows,
    tile_places,
    wide,
)


@triton.jit
def replay_factor(
    state, k_pointer, v_pointer, b_pointer, w_pointer, y_pointer, column, K: tl.constexpr,
    V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """The state after one factor from what it read."""
    key = load_rows(k_pointer, K, ROWS, PARTS).to(STATE)
    value = load_columns(v_pointer, column, V, COLS).to(STATE)
    y = load_columns(y_pointer, column, V, COLS)
    beta = tl.load(b_pointer).to(STATE)
    write = tl.load(w_pointer).to(STATE)
    return add_outer(state, key, write * value - beta * y)


@triton.jit
def replay_token(
    state, t, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, y_pointer, num_factors,
    k_step, k_factor, v_step, v_factor, b_step, w_step, a_step, column,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    FACTORS: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state after token t from what its factors read."""
    state = decayed(state, a_pointer + t * a_step, K, ROWS, PARTS, DECAY, STATE)
    k_pointer += t * k_step
    v_pointer += t * v_step
    b_pointer += t * b_step
    w_pointer += t * w_step
    y_pointer += t * num_factors * V
    if FACTORS > 0:
        for r in tl.static_range(FACTORS):
            state = replay_factor(
                state, k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r,
                w_pointer + r, y_pointer + r * V, column, K, V, ROWS, COLS, PARTS, STATE,
            )  # fmt: skip
    else:
        for r in tl.range(0, num_factors, num_stages=STAGES):
            state = replay_factor(
                state, k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r,
                w_pointer + r, y_pointer + r * V, column, K, V, ROWS, COLS, PARTS, STATE,
            )  # fmt: skip
    return state


@triton.jit
def kept_state(
    t, states_pointer, offsets, inside, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer,
    y_pointer, num_factors, k_step, k_factor, v_step, v_factor, b_step, w_step, a_step, column,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    FACTORS: tl.constexpr, DECAY: tl.constexpr, CHUNK: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state before token t, from the one that was kept at the start of its chunk."""
    at = states_pointer + wide(t // CHUNK) * (K * V)
    state = tl.load(at + offsets, mask=inside, other=0.0)
    for s in tl.range(t // CHUNK * CHUNK, t, num_stages=STAGES):
        state = replay_token(
            state, wide(s), k_pointer, v_pointer, b_pointer, w_pointer, a_pointer,
            y_pointer, num_factors, k_step, k_factor, v_step, v_factor, b_step, w_step,
            a_step, column, K, V, ROWS, COLS, PARTS, FACTORS, DECAY, STATE,
        )  # fmt: skip
    return state


@triton.jit
def factor_backward(
    adjoint, factor, y, place_V, place_1, u_pointer, du_pointer, dv_pointer, read_pointer,
    db_pointer, dw_pointer, column, K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """The adjoint before one factor; everything that follows from the one after it is written."""
    key, value, beta, write = factor
    u = write * value - beta * y
    du = read(adjoint, key)
    store_rows(read_pointer, tl.sum(adjoint * u[None, :, None], 1), K, ROWS, PARTS)
    store_columns(u_pointer + place_V, column, u, V)
    store_columns(du_pointer + place_V, column, du, V)
    store_columns(dv_pointer, column, write * du, V)
    tl.store(db_pointer + place_1, -tl.sum(y * du, 0))
    tl.store(dw_pointer + place_1, tl.sum(value * du, 0))
    return add_outer(adjoint, key * -beta, du)


@triton.jit
def token_backward(
    adjoint, before, t, q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer,
    do_pointer, y_pointer, u_pointer, du_pointer, dv_pointer, read_pointer, db_pointer,
    dw_pointer, da_pointer, num_factors, k_factor, v_factor, dk_step, dk_factor, dv_step, dv_factor,
    column, K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
    PARTS: tl.constexpr, FACTORS: tl.constexpr, TOGETHER: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """The adjoint before token t, whose inputs the pointers are at.

    `before` is the state before the token, where there are decays.
    """
    query = load_rows(q_pointer, K, ROWS, PARTS).to(STATE)
    do = load_columns(do_pointer, column, V, COLS).to(STATE)
    adjoint = add_outer(adjoint, query, do)
    read_pointer += t * dk_step
    dv_pointer += t * dv_step
    if FACTORS > 0:
        for back in tl.static_range(0, FACTORS, TOGETHER):
            factors = ()
            reads = ()
            for r in tl.static_range(FACTORS - 1 - back, FACTORS - 1 - back - TOGETHER, -1):
                factors = factors + (
                    load_factor(
                        k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r,
                        w_pointer + r, column, K, V, ROWS, COLS, PARTS, STATE,
                    ),
                )  # fmt: skip
                at = y_pointer + (t * FACTORS + r) * V
                reads = reads + (load_columns(at, column, V, COLS),)
            for j in tl.static_range(TOGETHER):
                r = FACTORS - 1 - back - j
                i = t * FACTORS + r
                adjoint = factor_backward(
                    adjoint, factors[j], reads[j], i * V, i, u_pointer, du_pointer,
                    dv_pointer + r * dv_factor, read_pointer + r * dk_factor, db_pointer,
                    dw_pointer, column, K, V, ROWS, PARTS,
                )  # fmt: skip
    else:
        for back in tl.range(0, num_factors, num_stages=STAGES):
            r = num_factors - 1 - back
            i = t * num_factors + r
            factor = load_factor(
                k_pointer + r * k_factor, v_pointer + r * v_factor, b_pointer + r, w_pointer + r,
                column, K, V, ROWS, COLS, PARTS, STATE,
            )  # fmt: skip
            y = load_columns(y_pointer + i * V, column, V, COLS)
            adjoint = factor_backward(
                adjoint, factor, y, i * V, i, u_pointer, du_pointer, dv_pointer + r * dv_factor,
                read_pointer + r * dk_factor, db_pointer, dw_pointer, column, K, V, ROWS, PARTS,
            )  # fmt: skip
    if DECAY == HEAD:
        tl.store(da_pointer + t, tl.sum(tl.sum(tl.sum(adjoint * before, 2), 0), 0))
    if DECAY == CHANNEL:
        store_rows(da_pointer + t * K, tl.sum(adjoint * before, 1), K, ROWS, PARTS)
    return decayed(adjoint, a_pointer, K, ROWS, PARTS, DECAY, STATE)


@triton.jit(
    do_not_specialize=[
        *SIZES, "sequences", "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor",
        "v0", "v1", "v2", "v_step", "v_factor", "b0", "b1", "b2", "b_step", "w0", "w1",
        "w2", "w_step", "a0", "a1", "a2", "a_step", "do0", "do1", "do2", "do_step",
        "z0", "z1", "z2", "z_step", "dk0", "dk1", "dk2", "dk_step", "dk_factor", "dv0", "dv1",
        "dv2", "dv_step", "dv_factor",
    ]
)  # fmt: skip
def scan_backward(
    q_pointer, k_pointer, v_pointer, b_pointer, w_pointer, a_pointer, y_pointer, states_pointer,
    do_pointer, final_pointer, u_pointer, du_pointer, dv_pointer, read_pointer, db_pointer,
    dw_pointer, da_pointer, initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32, num_factors: tl.int32, sequences: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64, v_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64,
    w0: tl.int64, w1: tl.int64, w2: tl.int64, w_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64,
    dk0: tl.int64, dk1: tl.int64, dk2: tl.int64, dk_step: tl.int64, dk_factor: tl.int64,
    dv0: tl.int64, dv1: tl.int64, dv2: tl.int64, dv_step: tl.int64, dv_factor: tl.int64,
    K: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, PARTS: tl.constexpr,
    FACTORS: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr, CHUNK: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, AHEAD: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """Adjoints of a block of value columns, from the last token to the first.

    Writes u and du [B, T, R, V], dv, the gradient of the initial state [B, V, K], and per block of
    columns the sums Z u, which lie as the gradient of the keys does, and the gradients of beta,
    write and decay.
    """
    BLOCKS: tl.constexpr = (V + COLS - 1) // COLS
    program = tl.program_id(0) // BLOCKS
    block = tl.program_id(0) % BLOCKS
    column = block * COLS + tl.arange(0, COLS)
    s0, s1, s2 = place(program, n1, n2)
    sequence = program.to(tl.int64)
    partial = block.to(tl.int64) * sequences + sequence
    q_pointer += aligned(s0 * q0 + s1 * q1 + s2 * q2, ALIGNED)
    k_pointer += aligned(s0 * k0 + s1 * k1 + s2 * k2, ALIGNED)
    v_pointer += aligned(s0 * v0 + s1 * v1 + s2 * v2, ALIGNED)
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    w_pointer += s0 * w0 + s1 * w1 + s2 * w2
    a_pointer += aligned(s0 * a0 + s1 * a1 + s2 * a2, ALIGNED and DECAY == CHANNEL)
    do_pointer += aligned(s0 * do0 + s1 * do1 + s2 * do2, ALIGNED)
    y_pointer += sequence * length * num_factors * V
    u_pointer += sequence * length * num_factors * V
    du_pointer += sequence * length * num_factors * V
    dv_pointer += aligned(s0 * dv0 + s1 * dv1 + s2 * dv2, ALIGNED)
    read_pointer += block.to(tl.int64) * sequences * length * num_factors * K
    read_pointer += aligned(s0 * dk0 + s1 * dk1 + s2 * dk2, ALIGNED)
    db_pointer += partial * length * num_factors
    dw_pointer += partial * length * num_factors
    da_pointer += partial * length * (K if DECAY == CHANNEL else 1)
    states_pointer += sequence * (tl.cdiv(length, CHUNK) if CHUNK > 0 else 0) * (K * V)
    q_step = aligned(q_step, ALIGNED)
    k_step = aligned(k_step, ALIGNED)
    k_factor = aligned(k_factor, ALIGNED)
    v_step = aligned(v_step, ALIGNED)
    v_factor = aligned(v_factor, ALIGNED)
    do_step = aligned(do_step, ALIGNED)
    dk_step = aligned(dk_step, ALIGNED)
    dk_factor = aligned(dk_factor, ALIGNED)
    dv_step = aligned(dv_step, ALIGNED)
    dv_factor = aligned(dv_factor, ALIGNED)
    a_step = aligned(a_step, ALIGNED and DECAY == CHANNEL)
    offsets, inside = tile_places(column, aligned(z_step, ALIGNED), K, V, ROWS, PARTS)
    final_pointer += aligned(s0 * z0 + s1 * z1 + s2 * z2, ALIGNED)
    adjoint = tl.load(final_pointer + offsets, mask=inside, other=0.0).to(STATE)
    offsets, inside = tile_places(column, K, K, V, ROWS, PARTS)
    last = length.to(tl.int64) - 1
    q_at = q_pointer + last * q_step
    k_at = k_pointer + last * k_step
    v_at = v_pointer + last * v_step
    b_at = b_pointer + last * b_step
    w_at = w_pointer + last * w_step
    a_at = a_pointer + last * a_step
    do_at = do_pointer + last * do_step
    whole = length // TOKENS * TOKENS
    for back in range(length - whole):
        t = length - 1 - back
        before = None
        if DECAY != NONE:
            before = kept_state(
                t, states_pointer, offsets, inside, k_pointer, v_pointer, b_pointer, w_pointer,
                a_pointer, y_pointer, num_factors, k_step, k_factor, v_step, v_factor, b_step,
                w_step, a_step, column, K, V, ROWS, COLS, PARTS, FACTORS, DECAY, CHUNK,
                STATE,
            )  # fmt: skip
        adjoint = token_backward(
            adjoint, before, wide(t), q_at, k_at, v_at, b_at, w_at, a_at, do_at, y_pointer,
            u_pointer, du_pointer, dv_pointer, read_pointer, db_pointer, dw_pointer, da_pointer,
            num_factors, k_factor, v_factor, dk_step, dk_factor, dv_step, dv_factor, column, K, V,
            ROWS, COLS, PARTS, FACTORS, TOGETHER, DECAY, STATE,
        )  # fmt: skip
        q_at -= q_step
        k_at -= k_step
        v_at -= v_step
        b_at -= b_step
        w_at -= w_step
        a_at -= a_step
        do_at -= do_step
    for back in tl.range(0, whole // TOKENS, num_stages=AHEAD):
        start = whole - TOKENS - back * TOKENS
        befores = ()
        if DECAY != NONE:
            before = kept_state(
                start, states_pointer, offsets, inside, k_pointer, v_pointer, b_pointer, w_pointer,
                a_pointer, y_pointer, num_factors, k_step, k_factor, v_step, v_factor, b_step,
                w_step, a_step, column, K, V, ROWS, COLS, PARTS, FACTORS, DECAY, CHUNK,
                STATE,
            )  # fmt: skip
            befores = (before,)
            for i in tl.static_range(TOKENS - 1):
                befores = befores + (
                    replay_token(
                        befores[i], wide(start + i), k_pointer, v_pointer, b_pointer, w_pointer,
                        a_pointer, y_pointer, num_factors, k_step, k_factor, v_step, v_factor,
                        b_step, w_step, a_step, column, K, V, ROWS, COLS, PARTS, FACTORS, DECAY,
                        STATE,
                    ),
                )  # fmt: skip
        for i in tl.static_range(TOKENS - 1, -1, -1):
            adjoint = token_backward(
                adjoint, befores[i] if DECAY != NONE else None, wide(start + i), q_at, k_at, v_at,
                b_at, w_at, a_at, do_at, y_pointer, u_pointer, du_pointer, dv_pointer,
                read_pointer, db_pointer, dw_pointer, da_pointer, num_factors, k_factor, v_factor,
                dk_step, dk_factor, dv_step, dv_factor, column, K, V, ROWS, COLS, PARTS, FACTORS,
                TOGETHER, DECAY, STATE,
            )  # fmt: skip
            q_at -= q_step
            k_at -= k_step
            v_at -= v_step
            b_at -= b_step
            w_at -= w_step
            a_at -= a_step
            do_at -= do_step
    tl.store(initial_pointer + sequence * (K * V) + offsets, adjoint, mask=inside)
