"""Kernels of the matrix recurrence for larger matrices: the state is a tile, products are `tl.dot`.

One program walks along one chunk of one sequence with the state in registers; the matrices ahead
are on their way to shared memory. Chunks as in `kernel_rows`.

Legend: C chunks, M rows a state, N columns, S sequences, T time.
"""

import triton
import triton.language as tl

from statetrack.scans.matrix.kernel_tiles_parts import (
    begin,
    identity,
    load_state,
    load_tile,
    load_tile_if,
    over_rows,
    rounded,
    store_state,
    store_tile,
    times,
    times_transposed,
)

SIZES = ["n1", "n2", "length", "chunk_size", "num_chunks"]
A_STRIDES = ["a0", "a1", "a2", "at"]
B_STRIDES = ["b0", "b1", "b2", "bt"]
OUTPUT_STRIDES = ["o0", "o1", "o2", "ot"]
OTHER_STRIDES = ["h0", "h1", "h2", "w0", "w1", "w2", "f0", "f1", "f2"]
GRADIENT_STRIDES = ["g0", "g1", "g2", "gt", "da0", "da1", "da2", "dat", "db0", "db1", "db2", "dbt"]


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES])
def reduce_tiles(
    a, b, products, ends,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Products [S, C, N, N] of all chunks but the last, and what they reach from zero."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    at, bt = rounded(at, ALIGNED), rounded(bt, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + start.to(tl.int64) * at
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED) + start.to(tl.int64) * bt
    product = identity(NP, NP, STATE)
    end = tl.zeros([NP, MP] if TRANSPOSED else [MP, NP], STATE)
    for _ in tl.range(0, chunk_size, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        product = times(product, matrix, PRECISION, STATE, TRANSPOSED)
        if HAS_B:
            end = times(end, matrix, PRECISION, STATE, TRANSPOSED)
            end += load_state(b, M, N, MP, NP, STATE, TRANSPOSED)
        a += at
        b += bt
    slot = sequence.to(tl.int64) * num_chunks + chunk
    store_state(products + slot * N * N, product, N, N, TRANSPOSED)
    if HAS_B:
        store_state(ends + slot * M * N, end, M, N, TRANSPOSED)


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES[:6]])
def scan_tiles(
    a, b, initial, readout, products, ends, outputs, final,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt, h0, h1, h2, w0, w1, w2, o0, o1, o2, ot,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    C: tl.constexpr, CP: tl.constexpr,
):  # fmt: skip
    """Outputs [..., T, M, N], or [..., T, M, C] with a readout (C > 0), and final [S, M, N]."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, bt, ot = rounded(at, ALIGNED), rounded(bt, ALIGNED), rounded(ot, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + start.to(tl.int64) * at
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED) + start.to(tl.int64) * bt
    outputs = begin(outputs, sequence, n1, n2, o0, o1, o2, ALIGNED) + start.to(tl.int64) * ot
    initial = begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED)
    state = load_state(initial, M, N, MP, NP, STATE, TRANSPOSED)
    if C > 0:
        readout = begin(readout, sequence, n1, n2, w0, w1, w2, ALIGNED)
        weight = load_tile(readout, N, C, NP, CP, STATE)
    slot = sequence.to(tl.int64) * num_chunks
    for before in tl.range(0, chunk, num_stages=2):
        here = slot + before
        product = load_tile(products + here * N * N, N, N, NP, NP, STATE)
        state = times(state, product, PRECISION, STATE, TRANSPOSED)
        if HAS_B:
            state += load_state(ends + here * M * N, M, N, MP, NP, STATE, TRANSPOSED)
    for _ in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        state = times(state, matrix, PRECISION, STATE, TRANSPOSED)
        if HAS_B:
            state += load_state(b, M, N, MP, NP, STATE, TRANSPOSED)
        if C > 0:
            read = times(state, weight, PRECISION, STATE, TRANSPOSED)
            store_state(outputs, read, M, C, TRANSPOSED)
        else:
            store_state(outputs, state, M, N, TRANSPOSED)
        a += at
        b += bt
        outputs += ot
    if stop == length:
        store_state(final + sequence.to(tl.int64) * M * N, state, M, N, TRANSPOSED)


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES])
def reduce_tiles_backward(
    a, b, products, ends,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Transposed products of all chunks but the first, and what they reach from zero."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1) + 1
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, bt = rounded(at, ALIGNED), rounded(bt, ALIGNED)
    last = (stop - 1).to(tl.int64)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + last * at
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED) + last * bt
    product = identity(NP, NP, STATE)
    end = tl.zeros([NP, MP] if TRANSPOSED else [MP, NP], STATE)
    for _ in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        product = times_transposed(product, matrix, PRECISION, STATE, TRANSPOSED)
        end += load_state(b, M, N, MP, NP, STATE, TRANSPOSED)
        end = times_transposed(end, matrix, PRECISION, STATE, TRANSPOSED)
        a -= at
        b -= bt
    slot = sequence.to(tl.int64) * num_chunks + chunk
    # As `times_transposed` wants it: the product of the transitions, not its transpose.
    store_state(products + slot * N * N, product, N, N, not TRANSPOSED)
    store_state(ends + slot * M * N, end, M, N, TRANSPOSED)


@triton.jit(
    do_not_specialize=[*SIZES, *A_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES[:3],
                       *OTHER_STRIDES[6:], *GRADIENT_STRIDES]
)  # fmt: skip
def scan_tiles_backward(
    a, initial, states, grad_states, grad_final, products, ends, grad_a, grad_b, grad_initial,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, h0, h1, h2, o0, o1, o2, ot, g0, g1, g2, gt, f0, f1, f2,
    da0, da1, da2, dat, db0, db1, db2, dbt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Gradients [..., T, N, N], [..., T, M, N] and, without strides, [S, M, N]."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, ot, gt = rounded(at, ALIGNED), rounded(ot, ALIGNED), rounded(gt, ALIGNED)
    last = (stop - 1).to(tl.int64)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + last * at
    states = begin(states, sequence, n1, n2, o0, o1, o2, ALIGNED) + (last - 1) * ot
    grad_states = begin(grad_states, sequence, n1, n2, g0, g1, g2, ALIGNED) + last * gt
    initial = begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED)
    wide = sequence.to(tl.int64)
    dat, dbt = rounded(dat, ALIGNED), rounded(dbt, ALIGNED)
    grad_a = begin(grad_a, sequence, n1, n2, da0, da1, da2, ALIGNED) + last * dat
    grad_b = begin(grad_b, sequence, n1, n2, db0, db1, db2, ALIGNED) + last * dbt
    grad_final = begin(grad_final, sequence, n1, n2, f0, f1, f2, ALIGNED)
    carry = load_state(grad_final, M, N, MP, NP, STATE, TRANSPOSED)
    slot = wide * num_chunks + num_chunks - 1
    for after in tl.range(0, num_chunks - 1 - chunk, num_stages=2):
        here = slot - after
        product = load_tile(products + here * N * N, N, N, NP, NP, STATE)
        carry = times_transposed(carry, product, PRECISION, STATE, TRANSPOSED)
        carry += load_state(ends + here * M * N, M, N, MP, NP, STATE, TRANSPOSED)
    adjoint = carry
    for step in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        adjoint = carry + load_state(grad_states, M, N, MP, NP, STATE, TRANSPOSED)
        if HAS_B:
            store_state(grad_b, adjoint, M, N, TRANSPOSED)
        before = load_tile_if(states, stop - 1 - step > 0, M, N, MP, NP, STATE)
        of_matrix = over_rows(before, adjoint, PRECISION, STATE, TRANSPOSED)
        store_tile(grad_a, of_matrix, N, N)
        carry = times_transposed(adjoint, matrix, PRECISION, STATE, TRANSPOSED)
        a -= at
        states -= ot
        grad_states -= gt
        grad_a -= dat
        grad_b -= dbt
    if start == 0:
        before = load_tile(initial, M, N, MP, NP, STATE)
        of_matrix = over_rows(before, adjoint, PRECISION, STATE, TRANSPOSED)
        store_tile(grad_a + dat, of_matrix, N, N)
        store_state(grad_initial + wide * M * N, carry, M, N, TRANSPOSED)
