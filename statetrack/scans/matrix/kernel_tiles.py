"""Kernels of the matrix recurrence for larger matrices: the state is a tile, products are `tl.dot`.

One program walks along one chunk of one sequence with the state in registers; the matrices ahead
are on their way to shared memory. Chunks as in `kernel_rows`. The left operand of a float32 product
is read along the axis that is summed and the right one across it, so both should lie row after row:
the backward pass holds the transposed adjoint ``Z^T`` and computes ``A Z^T`` and ``Z^T H``.

Legend: C chunks, M rows a state, N columns, S sequences, T time.
"""

import triton
import triton.language as tl

from statetrack.scans.matrix.kernel_tiles_parts import (
    begin,
    identity,
    load_tile,
    load_tile_if,
    load_transposed,
    multiply,
    rounded,
    store_tile,
    store_transposed,
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
):  # fmt: skip
    """Products [S, C, N, N] of all chunks but the last, and what they reach from zero."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    at, bt = rounded(at, ALIGNED), rounded(bt, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + start.to(tl.int64) * at
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED) + start.to(tl.int64) * bt
    product = identity(NP, NP, STATE)
    end = tl.zeros([MP, NP], STATE)
    for _ in tl.range(0, chunk_size, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        product = multiply(product, matrix, PRECISION, STATE)
        if HAS_B:
            end = multiply(end, matrix, PRECISION, STATE) + load_tile(b, M, N, MP, NP, STATE)
        a += at
        b += bt
    slot = sequence.to(tl.int64) * num_chunks + chunk
    store_tile(products + slot * N * N, product, N, N)
    if HAS_B:
        store_tile(ends + slot * M * N, end, M, N)


@triton.jit(
    do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES, *OUTPUT_STRIDES, *OTHER_STRIDES[:6]]
)
def scan_tiles(
    a, b, initial, readout, products, ends, outputs, final,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt, h0, h1, h2, w0, w1, w2, o0, o1, o2, ot,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
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
    state = load_tile(begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED), M, N, MP, NP, STATE)
    if C > 0:
        weight = load_tile(begin(readout, sequence, n1, n2, w0, w1, w2, ALIGNED), N, C, NP, CP, STATE)
    slot = sequence.to(tl.int64) * num_chunks
    for before in tl.range(slot, slot + chunk, num_stages=2):
        product = load_tile(products + before * N * N, N, N, NP, NP, STATE)
        state = multiply(state, product, PRECISION, STATE)
        if HAS_B:
            state += load_tile(ends + before * M * N, M, N, MP, NP, STATE)
    for _ in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        state = multiply(state, matrix, PRECISION, STATE)
        if HAS_B:
            state += load_tile(b, M, N, MP, NP, STATE)
        if C > 0:
            store_tile(outputs, multiply(state, weight, PRECISION, STATE), M, C)
        else:
            store_tile(outputs, state, M, N)
        a += at
        b += bt
        outputs += ot
    if stop == length:
        store_tile(final + sequence.to(tl.int64) * M * N, state, M, N)


@triton.jit(do_not_specialize=[*SIZES, *A_STRIDES, *B_STRIDES])
def reduce_tiles_backward(
    a, b, products, ends,
    n1, n2, length, chunk_size, num_chunks,
    a0, a1, a2, at, b0, b1, b2, bt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """Of all chunks but the first: products, and the transposed adjoint reached from zero."""
    sequence = tl.program_id(0)
    chunk = tl.program_id(1) + 1
    start = chunk * chunk_size
    stop = tl.minimum(start + chunk_size, length)
    at, bt = rounded(at, ALIGNED), rounded(bt, ALIGNED)
    last = (stop - 1).to(tl.int64)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + last * at
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED) + last * bt
    product = identity(NP, NP, STATE)
    end = tl.zeros([NP, MP], STATE)
    for _ in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        product = multiply(matrix, product, PRECISION, STATE)
        end += load_transposed(b, M, N, MP, NP, STATE)
        end = multiply(matrix, end, PRECISION, STATE)
        a -= at
        b -= bt
    slot = sequence.to(tl.int64) * num_chunks + chunk
    store_tile(products + slot * N * N, product, N, N)
    store_tile(ends + slot * M * N, end, N, M)


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
    carry = load_transposed(grad_final, M, N, MP, NP, STATE)
    slot = wide * num_chunks + num_chunks - 1
    for after in tl.range(0, num_chunks - 1 - chunk, num_stages=2):
        product = load_tile(products + (slot - after) * N * N, N, N, NP, NP, STATE)
        end = load_tile(ends + (slot - after) * M * N, N, M, NP, MP, STATE)
        carry = multiply(product, carry, PRECISION, STATE) + end
    adjoint = carry
    for step in tl.range(0, stop - start, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        before = load_tile_if(states, stop - 1 - step > 0, M, N, MP, NP, STATE)
        adjoint = carry + load_transposed(grad_states, M, N, MP, NP, STATE)
        if HAS_B:
            store_transposed(grad_b, adjoint, M, N)
        carry = multiply(matrix, adjoint, PRECISION, STATE)
        if step < stop:  # Always; two products in one basic block make the compiler spill.
            store_transposed(grad_a, multiply(adjoint, before, PRECISION, STATE), N, N)
        a -= at
        states -= ot
        grad_states -= gt
        grad_a -= dat
        grad_b -= dbt
    if start == 0:
        before = load_tile(initial, M, N, MP, NP, STATE)
        store_transposed(grad_a + dat, multiply(adjoint, before, PRECISION, STATE), N, N)
        store_transposed(grad_initial + wide * M * N, carry, M, N)
