"""Pieces of the kernels for larger matrices: one program owns the state of one sequence as a tile.

A state may be held transposed. A float32 product reads its left operand along the axis that is
summed and the right one across it: fast where both lie row after row in shared memory, many-fold
bank conflicts where the right one does not. Which form is faster was measured (see `launch`).

Legend: M rows a state, N columns; MP, NP the same rounded up to tile sizes.
"""

import triton
import triton.language as tl

from statetrack.scans.masks import where_also


@triton.jit
def rounded(stride, ALIGNED: tl.constexpr):
    """The same stride; known to be a multiple of four where the host says so."""
    if ALIGNED:
        stride = stride // 4 * 4
    return stride


@triton.jit
def begin(pointer, sequence, n1, n2, s0, s1, s2, ALIGNED: tl.constexpr):
    """Pointer to the first element of a sequence."""
    i0 = (sequence // n2 // n1).to(tl.int64)
    i1 = (sequence // n2 % n1).to(tl.int64)
    i2 = (sequence % n2).to(tl.int64)
    return pointer + rounded(i0 * s0 + i1 * s1 + i2 * s2, ALIGNED)


@triton.jit
def load_tile(
    pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, RP: tl.constexpr, CP: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """The dense matrix [ROWS, COLUMNS] at `pointer` as a tile [RP, CP], zeros outside."""
    row = tl.arange(0, RP)[:, None]
    column = tl.arange(0, CP)[None, :]
    here = pointer + row * COLUMNS + column
    if ROWS == RP and COLUMNS == CP:
        tile = tl.load(here)
    else:
        tile = tl.load(here, mask=(row < ROWS) & (column < COLUMNS), other=0.0)
    return tile.to(STATE)


@triton.jit
def load_tile_if(
    pointer, condition, ROWS: tl.constexpr, COLUMNS: tl.constexpr, RP: tl.constexpr,
    CP: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """`load_tile`, or zeros where the condition fails."""
    row = tl.arange(0, RP)[:, None]
    column = tl.arange(0, CP)[None, :]
    inside = where_also((row < ROWS) & (column < COLUMNS), condition)
    return tl.load(pointer + row * COLUMNS + column, mask=inside, other=0.0).to(STATE)


@triton.jit
def store_tile(pointer, tile, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write the matrix [ROWS, COLUMNS] inside a tile, in the type of the pointer."""
    RP: tl.constexpr = tile.shape[0]
    CP: tl.constexpr = tile.shape[1]
    row = tl.arange(0, RP)[:, None]
    column = tl.arange(0, CP)[None, :]
    here = pointer + row * COLUMNS + column
    values = tile.to(pointer.dtype.element_ty)
    if ROWS == RP and COLUMNS == CP:
        tl.store(here, values)
    else:
        tl.store(here, values, mask=(row < ROWS) & (column < COLUMNS))


@triton.jit
def load_state(
    pointer, M: tl.constexpr, N: tl.constexpr, MP: tl.constexpr, NP: tl.constexpr,
    STATE: tl.constexpr, TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """The state [M, N] at `pointer` as it is held."""
    tile = load_tile(pointer, M, N, MP, NP, STATE)
    if TRANSPOSED:
        tile = tl.trans(tile)
    return tile


@triton.jit
def store_state(pointer, state, M: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr):
    """Write a held state as [M, N]."""
    if TRANSPOSED:
        state = tl.trans(state)
    store_tile(pointer, state, M, N)


@triton.jit
def times(state, matrix, PRECISION: tl.constexpr, STATE: tl.constexpr, TRANSPOSED: tl.constexpr):
    """Held state times matrix."""
    if TRANSPOSED:
        product = multiply(tl.trans(matrix), state, PRECISION, STATE)
    else:
        product = multiply(state, matrix, PRECISION, STATE)
    return product


@triton.jit
def times_transposed(
    state, matrix, PRECISION: tl.constexpr, STATE: tl.constexpr, TRANSPOSED: tl.constexpr
):
    """Held state times the transpose of matrix."""
    if TRANSPOSED:
        product = multiply(matrix, state, PRECISION, STATE)
    else:
        product = multiply(state, tl.trans(matrix), PRECISION, STATE)
    return product


@triton.jit
def over_rows(
    before, adjoint, PRECISION: tl.constexpr, STATE: tl.constexpr, TRANSPOSED: tl.constexpr
):
    """``H^T Z`` of a tile [M, N] as it lies in memory and a held adjoint."""
    if TRANSPOSED:
        product = tl.trans(multiply(adjoint, before, PRECISION, STATE))
    else:
        product = multiply(tl.trans(before), adjoint, PRECISION, STATE)
    return product


@triton.jit
def identity(ROWS: tl.constexpr, COLUMNS: tl.constexpr, STATE: tl.constexpr):
    """Identity tile."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    return tl.where(row == column, 1.0, 0.0).to(STATE)


@triton.jit
def to_tf32(tile):
    """The nearest numbers that tf32 holds; tensor cores cut off, which shrinks a long product."""
    bits = tile.to(tl.int32, bitcast=True)
    nearest = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
    return tl.where(tl.abs(tile) < float("inf"), nearest, tile)


@triton.jit
def multiply(left, right, PRECISION: tl.constexpr, STATE: tl.constexpr):
    """Matrix product in the type of the state."""
    if PRECISION == "tf32":
        left = to_tf32(left)
        right = to_tf32(right)
    return tl.dot(left, right, input_precision=PRECISION, out_dtype=STATE)
