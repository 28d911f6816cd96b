"""Kernels of the matrix recurrence for small matrices: threads own rows (see `kernel_rows_parts`).

Time is cut into chunks that fill the GPU. `reduce` leaves, of every chunk, the product of its
transitions and the state that it reaches from zero; `scan` puts together what comes before its own
chunk and walks through it. The backward pass is the same recurrence from the end with transposed
transitions: ``Z_t = G_t + Z_{t+1} A_{t+1}^T``, ``dA_t = H_{t-1}^T Z_t``, ``dB_t = Z_t``.

Legend: C chunks, L threads of a program, M rows a state, N columns, S sequences, T time.
"""

import triton
import triton.language as tl

from statetrack.scans.masks import where_also
from statetrack.scans.matrix.kernel_rows_parts import (
    advance,
    begin,
    choose,
    load_matrix,
    load_state,
    multiple_of_identity,
    place,
    plus,
    rounded,
    store_row,
    store_state,
)

SIZES = ["n1", "n2", "num_sequences", "length", "chunk_size", "num_chunks"]
A_STRIDES = ["a0", "a1", "a2", "at"]
B_STRIDES = ["b0", "b1", "b2", "bt"]
OUTPUT_STRIDES = ["o0", "o1", "o2", "ot"]
OTHER_STRIDES = ["h0", "h1", "h2", "f0", "f1", "f2"]
GRADIENT_STRIDES = ["g0", "g1", "g2", "gt", "da0", "da1", "da2", "dat", "db0", "db1", "db2", "dbt"]


@triton.jit
def _reduce(
    a, b, products, ends,
    n1, n2, num_sequences, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr, UNROLL: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, HAS_B: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Products [S, C, N, N] (transposed when REVERSE) and ends [S, C, M, N] of the chunks."""
    N_ROWS: tl.constexpr = (N + LANES - 1) // LANES
    M_ROWS: tl.constexpr = (M + LANES - 1) // LANES
    chunk = tl.program_id(1)
    if REVERSE:
        chunk += 1
    sequence, index, first, exists = place(num_sequences, n1, n2, LANES)
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, bt = rounded(at, ALIGNED), rounded(bt, ALIGNED)
    at_first = (stop - 1).to(tl.int64) if REVERSE else start.to(tl.int64)
    a = begin(a, index, (a0, a1, a2), ALIGNED) + at_first * at
    b = begin(b, index, (b0, b1, b2), ALIGNED) + at_first * bt
    if REVERSE:
        at, bt = -at, -bt
    product = multiple_of_identity(1.0, first, NP, N_ROWS, LANES, STATE)
    end = multiple_of_identity(0.0, first, NP, M_ROWS, LANES, STATE)
    for done in range(0, stop - start, UNROLL):
        matrices = ()
        inputs = ()
        for u in tl.static_range(UNROLL):
            inside = where_also(exists, done + u < stop - start)
            matrices = matrices + (load_matrix(a + u * at, inside, N, NP, STATE),)
            if HAS_B:
                inputs = inputs + (load_state(b + u * bt, first, inside, M, N, NP, LANES, STATE),)
        for u in tl.static_range(UNROLL):
            inside = done + u < stop - start
            after = advance(product, matrices[u], N, NP, N_ROWS, REVERSE)
            product = choose(inside, after, product, NP, N_ROWS)
            if HAS_B:
                if REVERSE:
                    end = plus(end, inputs[u], NP, M_ROWS)
                after = advance(end, matrices[u], N, NP, M_ROWS, REVERSE)
                if not REVERSE:
                    after = plus(after, inputs[u], NP, M_ROWS)
                end = choose(inside, after, end, NP, M_ROWS)
        a += UNROLL * at
        b += UNROLL * bt
    slot = sequence * num_chunks + chunk
    store_state(products + slot * N * N, first, product, exists, N, N, NP, LANES)
    if HAS_B:
        store_state(ends + slot * M * N, first, end, exists, M, N, NP, LANES)


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES])
def reduce_rows(
    a, b, products, ends,
    n1, n2, num_sequences, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr, UNROLL: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """What every chunk but the last does to a state."""
    _reduce(
        a, b, products, ends, n1, n2, num_sequences, length, chunk_size, num_chunks,
        a0, a1, a2, at, b0, b1, b2, bt,
        N, M, NP, LANES, UNROLL, STATE, ALIGNED, HAS_B, False,
    )  # fmt: skip


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES])
def reduce_rows_backward(
    a, b, products, ends,
    n1, n2, num_sequences, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr, UNROLL: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """What every chunk but the first does to an adjoint state."""
    _reduce(
        a, b, products, ends, n1, n2, num_sequences, length, chunk_size, num_chunks,
        a0, a1, a2, at, b0, b1, b2, bt,
        N, M, NP, LANES, UNROLL, STATE, ALIGNED, HAS_B, True,
    )  # fmt: skip


@triton.jit
def _carry(
    state, products, ends, sequence, first, exists, chunk, num_chunks,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr,
    STATE: tl.constexpr, HAS_B: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """The state at the border of this chunk, from the chunks that come before it."""
    M_ROWS: tl.constexpr = (M + LANES - 1) // LANES
    AHEAD: tl.constexpr = max(1, 32 // (NP * NP))
    steps = num_chunks - 1 - chunk if REVERSE else chunk
    slot = sequence * num_chunks
    step = 1
    if REVERSE:
        slot += num_chunks - 1
        step = -1
    for done in range(0, steps, AHEAD):
        matrices = ()
        inputs = ()
        for u in tl.static_range(AHEAD):
            inside = where_also(exists, done + u < steps)
            here = slot + (done + u) * step
            matrices = matrices + (load_matrix(products + here * N * N, inside, N, NP, STATE),)
            if HAS_B:
                inputs = inputs + (
                    load_state(ends + here * M * N, first, inside, M, N, NP, LANES, STATE),
                )
        for u in tl.static_range(AHEAD):
            after = advance(state, matrices[u], N, NP, M_ROWS, False)
            if HAS_B:
                after = plus(after, inputs[u], NP, M_ROWS)
            state = choose(done + u < steps, after, state, NP, M_ROWS)
    return state


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES[:3]])
def scan_rows(
    a, b, initial, products, ends, states, final,
    n1, n2, num_sequences, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt, h0, h1, h2, o0, o1, o2, ot,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr, UNROLL: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """States [..., T, M, N] and the final state [S, M, N]."""
    M_ROWS: tl.constexpr = (M + LANES - 1) // LANES
    chunk = tl.program_id(1)
    sequence, index, first, exists = place(num_sequences, n1, n2, LANES)
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, bt, ot = rounded(at, ALIGNED), rounded(bt, ALIGNED), rounded(ot, ALIGNED)
    a = begin(a, index, (a0, a1, a2), ALIGNED) + start.to(tl.int64) * at
    b = begin(b, index, (b0, b1, b2), ALIGNED) + start.to(tl.int64) * bt
    states = begin(states, index, (o0, o1, o2), ALIGNED) + start.to(tl.int64) * ot
    initial = begin(initial, index, (h0, h1, h2), ALIGNED)
    state = load_state(initial, first, exists, M, N, NP, LANES, STATE)
    state = _carry(
        state, products, ends, sequence, first, exists, chunk, num_chunks,
        N, M, NP, LANES, STATE, HAS_B, False,
    )  # fmt: skip
    for done in range(0, stop - start, UNROLL):
        matrices = ()
        inputs = ()
        for u in tl.static_range(UNROLL):
            inside = where_also(exists, done + u < stop - start)
            matrices = matrices + (load_matrix(a + u * at, inside, N, NP, STATE),)
            if HAS_B:
                inputs = inputs + (load_state(b + u * bt, first, inside, M, N, NP, LANES, STATE),)
        for u in tl.static_range(UNROLL):
            inside = done + u < stop - start
            after = advance(state, matrices[u], N, NP, M_ROWS, False)
            if HAS_B:
                after = plus(after, inputs[u], NP, M_ROWS)
            state = choose(inside, after, state, NP, M_ROWS)
            store_state(states + u * ot, first, state, where_also(exists, inside), M, N, NP, LANES)
        a += UNROLL * at
        b += UNROLL * bt
        states += UNROLL * ot
    last = where_also(exists, stop == length)
    store_state(final + sequence * M * N, first, state, last, M, N, NP, LANES)


@triton.jit
def _load_column(pointer, column, mask, M: tl.constexpr, N: tl.constexpr, STATE: tl.constexpr):
    """Column `column` [L] of the state at `pointer` [L], as a tuple of M."""
    inside = mask & (column < N)
    entries = ()
    for row in tl.static_range(M):
        entry = tl.load(pointer + row * N + column, mask=inside, other=0.0)
        entries = entries + (entry.to(STATE),)
    return entries


@triton.jit(
    do_not_specialize=[*SIZES, *A_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES, *GRADIENT_STRIDES]
)
def scan_rows_backward(
    a, initial, states, grad_states, grad_final, products, ends, grad_a, grad_b, grad_initial,
    n1, n2, num_sequences, length, chunk_size, num_chunks,
    a0, a1, a2, at, h0, h1, h2, o0, o1, o2, ot, g0, g1, g2, gt, f0, f1, f2,
    da0, da1, da2, dat, db0, db1, db2, dbt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, LANES: tl.constexpr, UNROLL: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """Gradients [..., T, N, N], [..., T, M, N] and, without strides, [S, M, N]."""
    M_ROWS: tl.constexpr = (M + LANES - 1) // LANES
    N_ROWS: tl.constexpr = (N + LANES - 1) // LANES
    chunk = tl.program_id(1)
    sequence, index, first, exists = place(num_sequences, n1, n2, LANES)
    lane = tl.arange(0, 32) // LANES * LANES
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, ot, gt = rounded(at, ALIGNED), rounded(ot, ALIGNED), rounded(gt, ALIGNED)
    at_last = (stop - 1).to(tl.int64)
    a = begin(a, index, (a0, a1, a2), ALIGNED) + at_last * at
    states = begin(states, index, (o0, o1, o2), ALIGNED) + (at_last - 1) * ot
    grad_states = begin(grad_states, index, (g0, g1, g2), ALIGNED) + at_last * gt
    initial = begin(initial, index, (h0, h1, h2), ALIGNED)
    grad_final = begin(grad_final, index, (f0, f1, f2), ALIGNED)
    dat, dbt = rounded(dat, ALIGNED), rounded(dbt, ALIGNED)
    grad_a = begin(grad_a, index, (da0, da1, da2), ALIGNED) + at_last * dat
    grad_b = begin(grad_b, index, (db0, db1, db2), ALIGNED) + at_last * dbt
    carry = load_state(grad_final, first, exists, M, N, NP, LANES, STATE)
    carry = _carry(
        carry, products, ends, sequence, first, exists, chunk, num_chunks,
        N, M, NP, LANES, STATE, True, True,
    )  # fmt: skip
    for done in range(0, stop - start, UNROLL):
        matrices = ()
        gradients = ()
        columns = ()
        for u in tl.static_range(UNROLL):
            inside = where_also(exists, done + u < stop - start)
            matrices = matrices + (load_matrix(a - u * at, inside, N, NP, STATE),)
            gradients = gradients + (
                load_state(grad_states - u * gt, first, inside, M, N, NP, LANES, STATE),
            )
            of_step = ()
            for slot in tl.static_range(N_ROWS):
                before = where_also(inside, stop - 1 - done - u > 0)
                column = _load_column(states - u * ot, first + slot * LANES, before, M, N, STATE)
                of_step = of_step + (column,)
            columns = columns + (of_step,)
        for u in tl.static_range(UNROLL):
            t = stop - 1 - done - u
            inside = where_also(exists, t >= start)
            adjoint = plus(carry, gradients[u], NP, M_ROWS)
            if HAS_B:
                store_state(grad_b - u * dbt, first, adjoint, inside, M, N, NP, LANES)
            rows = ()
            for slot in tl.static_range(M):
                row = ()
                for j in tl.static_range(NP):
                    of_owner = tl.gather(adjoint[slot // LANES][j], lane + slot % LANES, 0)
                    row = row + (of_owner,)
                rows = rows + (row,)
            for slot in tl.static_range(N_ROWS):
                i = first + slot * LANES
                column = columns[u][slot]
                if t == 0:
                    column = _load_column(initial, i, exists, M, N, STATE)
                total = ()
                for j in tl.static_range(NP):
                    entry = column[0] * rows[0][j]
                    for row in tl.static_range(1, M):
                        entry += column[row] * rows[row][j]
                    total = total + (entry,)
                store_row(grad_a - u * dat + i * N, total, inside & (i < N), N, NP)
            after = advance(adjoint, matrices[u], N, NP, M_ROWS, True)
            carry = choose(t >= start, after, carry, NP, M_ROWS)
        a -= UNROLL * at
        states -= UNROLL * ot
        grad_states -= UNROLL * gt
        grad_a -= UNROLL * dat
        grad_b -= UNROLL * dbt
    to_initial = where_also(exists, start == 0)
    store_state(grad_initial + sequence * M * N, first, carry, to_initial, M, N, NP, LANES)
