"""Pieces of the kernels for small matrices: a thread owns whole rows of a state.

The rows of ``H_t = H_{t-1} A_t`` do not see each other. A program is one warp; `LANES` neighbouring
threads share a sequence, and thread m of them owns the rows m, m + LANES, ... of its state. All of
them read the same matrix, so a row times a matrix takes N * N multiply-adds and no exchange.

A row is a tuple of NP tensors with one number a thread, a state a tuple of rows, a matrix one flat
tuple. NP is N or the next power of two.

Legend: L threads of a program, M rows a state, N columns.
"""

import triton
import triton.language as tl


@triton.jit
def load_row(pointer, mask, N: tl.constexpr, NP: tl.constexpr, STATE: tl.constexpr):
    """Tuple of NP numbers from `pointer` [L]; zero beyond N and where `mask` is false."""
    if NP == 1:
        row = (tl.load(pointer, mask=mask, other=0.0).to(STATE),)
    elif NP == 2:
        row = tl.split(_load_columns(pointer, mask, 0, N, 2).to(STATE))
    else:
        row = ()
        for first in tl.static_range(0, NP, 4):
            quad = _load_columns(pointer, mask, first, N, 4).to(STATE)
            even, odd = tl.split(tl.reshape(quad, [quad.shape[0], 2, 2]))
            x0, x2 = tl.split(even)
            x1, x3 = tl.split(odd)
            row = row + (x0, x1, x2, x3)
    return row


@triton.jit
def _load_columns(pointer, mask, first, N: tl.constexpr, WIDTH: tl.constexpr):
    column = first + tl.arange(0, WIDTH)
    if first + WIDTH <= N:
        values = tl.load(pointer[:, None] + column[None, :], mask=mask[:, None], other=0.0)
    else:
        values = tl.load(
            pointer[:, None] + column[None, :],
            mask=mask[:, None] & (column < N)[None, :],
            other=0.0,
        )
    return values


@triton.jit
def store_row(pointer, row, mask, N: tl.constexpr, NP: tl.constexpr):
    """Write the first N numbers of a row to `pointer` [L], in the type of the pointer."""
    TYPE: tl.constexpr = pointer.dtype.element_ty
    if NP == 1:
        tl.store(pointer, row[0].to(TYPE), mask=mask)
    else:
        WIDTH: tl.constexpr = min(NP, 4)
        column = tl.arange(0, WIDTH)[None, :]
        for first in tl.static_range(0, NP, WIDTH):
            values = tl.broadcast_to(row[first][:, None], [row[first].shape[0], WIDTH])
            for j in tl.static_range(1, WIDTH):
                values = tl.where(column == j, row[first + j][:, None], values)
            _store_columns(pointer, values.to(TYPE), mask, first, N, WIDTH)


@triton.jit
def _store_columns(pointer, values, mask, first, N: tl.constexpr, WIDTH: tl.constexpr):
    column = first + tl.arange(0, WIDTH)
    if first + WIDTH <= N:
        tl.store(pointer[:, None] + column[None, :], values, mask=mask[:, None])
    else:
        tl.store(
            pointer[:, None] + column[None, :],
            values,
            mask=mask[:, None] & (column < N)[None, :],
        )


@triton.jit
def load_matrix(pointer, mask, N: tl.constexpr, NP: tl.constexpr, STATE: tl.constexpr):
    """The N rows of the matrix at `pointer` [L], one after the other in one tuple."""
    matrix = ()
    for k in tl.static_range(N):
        matrix = matrix + load_row(pointer + k * N, mask, N, NP, STATE)
    return matrix


@triton.jit
def times(row, matrix, N: tl.constexpr, NP: tl.constexpr):
    """Row times matrix."""
    product = ()
    for j in tl.static_range(NP):
        total = row[0] * matrix[j]
        for k in tl.static_range(1, N):
            total += row[k] * matrix[k * NP + j]
        product = product + (total,)
    return product


@triton.jit
def times_transposed(row, matrix, N: tl.constexpr, NP: tl.constexpr):
    """Row times the transpose of matrix."""
    product = ()
    for j in tl.static_range(NP):
        if j < N:
            total = row[0] * matrix[j * NP]
            for k in tl.static_range(1, N):
                total += row[k] * matrix[j * NP + k]
        else:
            total = tl.zeros_like(row[0])
        product = product + (total,)
    return product


@triton.jit
def place(num_sequences, n1, n2, LANES: tl.constexpr):
    """Of every thread: sequence, its three leading indices, first row, whether it exists."""
    thread = tl.arange(0, 32)
    sequence = tl.program_id(0) * (32 // LANES) + thread // LANES
    exists = sequence < num_sequences
    sequence = tl.minimum(sequence, num_sequences - 1)
    i0 = (sequence // n2 // n1).to(tl.int64)
    i1 = (sequence // n2 % n1).to(tl.int64)
    i2 = (sequence % n2).to(tl.int64)
    return sequence.to(tl.int64), (i0, i1, i2), thread % LANES, exists


@triton.jit
def rounded(stride, ALIGNED: tl.constexpr):
    """The same stride; known to be a multiple of four where the host says so."""
    if ALIGNED:
        stride = stride // 4 * 4
    return stride


@triton.jit
def begin(pointer, index, strides, ALIGNED: tl.constexpr):
    """Pointer [L] to the first element of every thread's sequence."""
    for axis in tl.static_range(3):
        pointer += index[axis] * rounded(strides[axis], ALIGNED)
    return pointer


@triton.jit
def load_state(
    pointer, first, mask, M: tl.constexpr, N: tl.constexpr, NP: tl.constexpr,
    LANES: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The rows that a thread owns of the state [M, N] at `pointer` [L]."""
    state = ()
    for row in tl.static_range(0, M, LANES):
        inside = mask & (first + row < M) if row + LANES > M else mask
        state = state + (load_row(pointer + (first + row) * N, inside, N, NP, STATE),)
    return state


@triton.jit
def store_state(
    pointer, first, state, mask, M: tl.constexpr, N: tl.constexpr, NP: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """Write the rows that a thread owns."""
    for slot in tl.static_range((M + LANES - 1) // LANES):
        row = first + slot * LANES
        inside = mask & (row < M) if slot * LANES + LANES > M else mask
        store_row(pointer + row * N, state[slot], inside, N, NP)


@triton.jit
def advance(
    state, matrix, N: tl.constexpr, NP: tl.constexpr, ROWS: tl.constexpr, TRANSPOSED: tl.constexpr
):
    """Every row times the matrix or its transpose."""
    product = ()
    for slot in tl.static_range(ROWS):
        if TRANSPOSED:
            product = product + (times_transposed(state[slot], matrix, N, NP),)
        else:
            product = product + (times(state[slot], matrix, N, NP),)
    return product


@triton.jit
def plus(left, right, NP: tl.constexpr, ROWS: tl.constexpr):
    """Sum of two states."""
    total = ()
    for slot in tl.static_range(ROWS):
        row = ()
        for j in tl.static_range(NP):
            row = row + (left[slot][j] + right[slot][j],)
        total = total + (row,)
    return total


@triton.jit
def choose(condition, left, right, NP: tl.constexpr, ROWS: tl.constexpr):
    """The left state where the condition holds, else the right one."""
    chosen = ()
    for slot in tl.static_range(ROWS):
        row = ()
        for j in tl.static_range(NP):
            row = row + (tl.where(condition, left[slot][j], right[slot][j]),)
        chosen = chosen + (row,)
    return chosen


@triton.jit
def multiple_of_identity(
    factor, first, NP: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STATE: tl.constexpr
):
    """The rows that a thread owns of factor times the identity; of zero with factor 0."""
    state = ()
    for slot in tl.static_range(ROWS):
        row = ()
        for j in tl.static_range(NP):
            row = row + (tl.where(first + slot * LANES == j, factor, 0.0).to(STATE),)
        state = state + (row,)
    return state
