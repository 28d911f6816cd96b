"""Kernels of the matrix recurrence as single float64 tensor-core instructions: no exchange.

The instruction ``m8n8k4`` multiplies an 8 x 4 by a 4 x 8 matrix; thread 4 i + q of a warp gives
(i, q) of the left operand and (q, i) of the right one, and gets (i, 2 q) and (i, 2 q + 1) of the
product. Columns may be called in any order, so here thread 4 i + q owns the neighbouring columns
``2 TILES q + c``, c < 2 TILES, of row i of a state. Then what a thread gets is what it gives to the
next product, and a step is a chain of N / 4 instructions with no exchange between threads. Products
of float32 numbers are exact in float64.

A program walks along one sequence; the next `UNROLL` steps are on their way to registers meanwhile,
`DISTANCE` more to the L2 cache. The gradient of the transitions, ``dA_t = H_{t-1}^T Z_t``, does sum
over rows, so that the adjoint ``Z_t = G_t + Z_{t+1} A_{t+1}^T`` is exchanged once for it, off that
chain.

Legend: L threads of a program, M rows a state, N columns, NP = 8 TILES columns padded.
"""

import triton
import triton.language as tl

from statetrack.scans.masks import where_also
from statetrack.scans.matrix.kernel_fragments_parts import (
    fetch,
    load_before,
    load_rows,
    load_run,
    load_transitions,
    load_transposed,
    multiply,
    part,
    store_outer,
    store_rows,
    store_run,
    zeros,
)
from statetrack.scans.matrix.kernel_tiles_parts import begin, rounded

SIZES = ["n1", "n2", "length"]
A_STRIDES = ["a0", "a1", "a2", "at"]
B_STRIDES = ["b0", "b1", "b2", "bt"]
OUTPUT_STRIDES = ["o0", "o1", "o2", "ot"]
OTHER_STRIDES = ["h0", "h1", "h2", "f0", "f1", "f2"]
GRADIENT_STRIDES = ["g0", "g1", "g2", "gt", "da0", "da1", "da2", "dat", "db0", "db1", "db2", "dbt"]


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES, *OTHER_STRIDES[:3], *OUTPUT_STRIDES])
def scan_fragments(
    a, b, initial, states, final, n1, n2, length,
    a0, a1, a2, at, b0, b1, b2, bt, h0, h1, h2, o0, o1, o2, ot,
    N: tl.constexpr, M: tl.constexpr, TILES: tl.constexpr, THREADS: tl.constexpr,
    UNROLL: tl.constexpr, DISTANCE: tl.constexpr, STATE: tl.constexpr, ALIGNED: tl.constexpr,
    HAS_B: tl.constexpr, ASSEMBLY: tl.constexpr, CONSTRAINTS: tl.constexpr,
):  # fmt: skip
    """States [..., T, M, N] and the final state [S, M, N]; a warp for every eight rows."""
    WIDTH: tl.constexpr = 2 * TILES
    SQUARE: tl.constexpr = N == 8 * TILES
    INSIDE: tl.constexpr = SQUARE and M == THREADS // 4
    sequence = tl.program_id(0)
    thread = tl.arange(0, THREADS)
    row = thread // 4
    i = thread % 32 // 4
    q = thread % 4
    first = WIDTH * q
    everyone = thread >= 0
    at, bt, ot = rounded(at, ALIGNED), rounded(bt, ALIGNED), rounded(ot, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED)
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED)
    states = begin(states, sequence, n1, n2, o0, o1, o2, ALIGNED)
    initial = begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED)
    final += sequence.to(tl.int64) * M * N
    given = load_run(initial, row, first, everyone, M, N, WIDTH, INSIDE)
    state = part(given, 0, WIDTH, tl.float64)
    ahead = ()
    for u in tl.static_range(UNROLL):
        inside = where_also(everyone, u < length)
        ahead = ahead + load_transitions(a + u * at, i, q, inside, N, TILES, SQUARE)
        if HAS_B:
            ahead = ahead + load_run(b + u * bt, row, first, inside, M, N, WIDTH, INSIDE)
    EACH: tl.constexpr = WIDTH * TILES + (WIDTH if HAS_B else 0)
    a_begin = a
    b_begin = b
    fetch(a_begin, at, 0, length - 1, thread, N * N, DISTANCE, ASSEMBLY)
    if HAS_B:
        fetch(b_begin, bt, 0, length - 1, thread, M * N, DISTANCE, ASSEMBLY)
    for start in range(0, length, UNROLL):
        a += UNROLL * at
        b += UNROLL * bt
        far = start + DISTANCE
        fetch(a_begin, at, far, length - 1, thread, N * N, UNROLL, ASSEMBLY)
        if HAS_B:
            fetch(b_begin, bt, far, length - 1, thread, M * N, UNROLL, ASSEMBLY)
        coming = ()
        for u in tl.static_range(UNROLL):
            inside = where_also(everyone, start + UNROLL + u < length)
            coming = coming + load_transitions(a + u * at, i, q, inside, N, TILES, SQUARE)
            if HAS_B:
                coming = coming + load_run(b + u * bt, row, first, inside, M, N, WIDTH, INSIDE)
        for u in tl.static_range(UNROLL):
            matrix = part(ahead, u * EACH, WIDTH * TILES, STATE)
            if HAS_B:
                sums = part(ahead, u * EACH + WIDTH * TILES, WIDTH, tl.float64)
            else:
                sums = zeros(thread, WIDTH)
            state = multiply(state, matrix, sums, WIDTH, TILES, ASSEMBLY, CONSTRAINTS)
            inside = where_also(everyone, start + u < length)
            last = where_also(everyone, start + u == length - 1)
            store_run(states + u * ot, row, first, state, inside, M, N, WIDTH, INSIDE)
            store_run(final, row, first, state, last, M, N, WIDTH, INSIDE)
        states += UNROLL * ot
        ahead = coming


@triton.jit(
    do_not_specialize=[*SIZES, *A_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES, *GRADIENT_STRIDES]
)
def scan_fragments_backward(
    a, initial, states, grad_states, grad_final, grad_a, grad_b, grad_initial, n1, n2, length,
    a0, a1, a2, at, h0, h1, h2, o0, o1, o2, ot, g0, g1, g2, gt, f0, f1, f2,
    da0, da1, da2, dat, db0, db1, db2, dbt,
    N: tl.constexpr, M: tl.constexpr, TILES: tl.constexpr, ROW_TILES: tl.constexpr,
    UNROLL: tl.constexpr, DISTANCE: tl.constexpr, STATE: tl.constexpr, ALIGNED: tl.constexpr,
    HAS_B: tl.constexpr, ASSEMBLY: tl.constexpr, CONSTRAINTS: tl.constexpr,
    OUTER_ASSEMBLY: tl.constexpr, OUTER_CONSTRAINTS: tl.constexpr,
):  # fmt: skip
    """Gradients [..., T, N, N], [..., T, M, N] and, without strides, [S, M, N]; one warp each.

    Steps are taken in groups of UNROLL that begin at multiples of it: the first group may reach
    beyond the end, where the adjoint is zero; the gradient of the final state joins that of the
    last state.
    """
    WIDTH: tl.constexpr = 2 * TILES
    SQUARE: tl.constexpr = N == 8 * TILES
    INSIDE: tl.constexpr = SQUARE and M == 8 * ROW_TILES
    OWN: tl.constexpr = ROW_TILES * WIDTH
    AT_BEFORE: tl.constexpr = WIDTH * TILES
    AT_GRADIENT: tl.constexpr = AT_BEFORE + 2 * ROW_TILES * TILES
    EACH: tl.constexpr = AT_GRADIENT + OWN
    sequence = tl.program_id(0)
    thread = tl.arange(0, 32)
    i = thread // 4
    q = thread % 4
    everyone = thread >= 0
    at, ot, gt = rounded(at, ALIGNED), rounded(ot, ALIGNED), rounded(gt, ALIGNED)
    dat, dbt = rounded(dat, ALIGNED), rounded(dbt, ALIGNED)
    groups = (length + UNROLL - 1) // UNROLL
    top = groups.to(tl.int64) * UNROLL - 1
    a_begin = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED)
    states_begin = begin(states, sequence, n1, n2, o0, o1, o2, ALIGNED)
    gradient_begin = begin(grad_states, sequence, n1, n2, g0, g1, g2, ALIGNED)
    a = a_begin + top * at
    states = states_begin + (top - 1) * ot
    grad_states = gradient_begin + top * gt
    grad_a = begin(grad_a, sequence, n1, n2, da0, da1, da2, ALIGNED) + top * dat
    grad_b = begin(grad_b, sequence, n1, n2, db0, db1, db2, ALIGNED) + top * dbt
    initial = begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED)
    grad_final = begin(grad_final, sequence, n1, n2, f0, f1, f2, ALIGNED)
    at_end = load_rows(grad_final, i, q, everyone, N, M, TILES, ROW_TILES, INSIDE)
    t = groups * UNROLL - 1
    far = t - DISTANCE + 1
    fetch(a_begin, at, far, length - 1, thread, N * N, DISTANCE, ASSEMBLY)
    fetch(states_begin, ot, far, length - 1, thread, M * N, DISTANCE, ASSEMBLY)
    fetch(gradient_begin, gt, far, length - 1, thread, M * N, DISTANCE, ASSEMBLY)
    ahead = ()
    for u in tl.static_range(UNROLL):
        inside = where_also(everyone, t - u < length)
        before = where_also(inside, t - u > 0)
        ahead = ahead + load_transposed(a - u * at, i, q, inside, N, TILES, SQUARE)
        ahead = ahead + load_before(states - u * ot, i, q, before, N, M, TILES, ROW_TILES, INSIDE)
        ahead = ahead + load_rows(
            grad_states - u * gt, i, q, inside, N, M, TILES, ROW_TILES, INSIDE
        )
    carry = zeros(thread, OWN)
    adjoint = carry
    for _ in range(groups):
        a -= UNROLL * at
        states -= UNROLL * ot
        grad_states -= UNROLL * gt
        far = t - DISTANCE - UNROLL + 1
        fetch(a_begin, at, far, length - 1, thread, N * N, UNROLL, ASSEMBLY)
        fetch(states_begin, ot, far, length - 1, thread, M * N, UNROLL, ASSEMBLY)
        fetch(gradient_begin, gt, far, length - 1, thread, M * N, UNROLL, ASSEMBLY)
        coming = ()
        for u in tl.static_range(UNROLL):
            inside = where_also(everyone, t - UNROLL - u >= 0)
            before = where_also(everyone, t - UNROLL - u > 0)
            coming = coming + load_transposed(a - u * at, i, q, inside, N, TILES, SQUARE)
            coming = coming + load_before(
                states - u * ot, i, q, before, N, M, TILES, ROW_TILES, INSIDE
            )
            coming = coming + load_rows(
                grad_states - u * gt, i, q, inside, N, M, TILES, ROW_TILES, INSIDE
            )
        for u in tl.static_range(UNROLL):
            inside = where_also(everyone, t - u < length)
            is_last = t - u == length - 1
            adjoint = ()
            for c in tl.static_range(OWN):
                gradient = ahead[u * EACH + AT_GRADIENT + c].to(STATE)
                gradient += tl.where(is_last, at_end[c].to(STATE), 0.0)
                adjoint = adjoint + (carry[c] + gradient.to(tl.float64),)
            if HAS_B:
                store_rows(grad_b - u * dbt, i, q, adjoint, inside, N, M, TILES, ROW_TILES, INSIDE)
            of_step = part(ahead, u * EACH + AT_BEFORE, 2 * ROW_TILES * TILES, STATE)
            store_outer(
                grad_a - u * dat, of_step, adjoint, i, q, where_also(inside, t - u > 0),
                N, TILES, ROW_TILES, STATE, SQUARE, OUTER_ASSEMBLY, OUTER_CONSTRAINTS,
            )  # fmt: skip
            matrix = part(ahead, u * EACH, AT_BEFORE, STATE)
            carry = ()
            for tile in tl.static_range(ROW_TILES):
                rows = part(adjoint, tile * WIDTH, WIDTH, tl.float64)
                carry = carry + multiply(
                    rows, matrix, zeros(thread, WIDTH), WIDTH, TILES, ASSEMBLY, CONSTRAINTS
                )
        t -= UNROLL
        grad_a -= UNROLL * dat
        grad_b -= UNROLL * dbt
        ahead = coming
    given = load_before(initial, i, q, everyone, N, M, TILES, ROW_TILES, INSIDE)
    before = part(given, 0, 2 * ROW_TILES * TILES, STATE)
    store_outer(
        grad_a + dat, before, adjoint, i, q, everyone,
        N, TILES, ROW_TILES, STATE, SQUARE, OUTER_ASSEMBLY, OUTER_CONSTRAINTS,
    )  # fmt: skip
    grad_initial += sequence.to(tl.int64) * M * N
    store_rows(grad_initial, i, q, carry, everyone, N, M, TILES, ROW_TILES, INSIDE)
