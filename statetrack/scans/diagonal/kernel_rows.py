"""Rows of the diagonal recurrence: many of them are one access to memory.

Triton compares every access with every other one, so thirty of them compile many times as long as
one of thirty rows. A thread holds all rows of its channel: taking a block apart and putting one
together only names registers, and the machine code is that of single rows. Rows of pairs stay
single: there are few, and Triton 3.6 would make threads exchange the pairs of a block.

Legend: D channels of the program, R rows. Complex numbers are pairs of a real and an imaginary
part; the imaginary part of a real number is zero.
"""

import triton
import triton.language as tl


@triton.jit
def load(pointer, channel, mask, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Real and imaginary part of one row [D]."""
    return load_rows(pointer, 0, channel, mask, 1, STATE, COMPLEX)[0]


@triton.jit
def store(pointer, channel, re, im, mask, COMPLEX: tl.constexpr):
    """Write one row [D] in the type of the pointer."""
    store_rows(pointer, 0, channel, ((re, im),), mask, 1, COMPLEX)


@triton.jit
def load_block(pointer, step, channel, mask, last_mask, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Rows `step` apart in the type of the pointer: a block [R, D], or R rows of pairs [D, 2]."""
    if COMPLEX:
        at = pointer + 2 * channel[:, None] + tl.arange(0, 2)[None, :]
        rows = ()
        for i in tl.static_range(ROWS):
            present = last_mask if i == ROWS - 1 else mask
            rows = rows + (tl.load(at + i * step, mask=present[:, None], other=0.0),)
        return rows
    else:
        row = tl.arange(0, ROWS)[:, None]
        present = tl.where(row < ROWS - 1, mask[None, :], last_mask[None, :])
        return tl.load(pointer + row * step + channel[None, :], mask=present, other=0.0)


@triton.jit
def rows_of(block, ROWS: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Real and imaginary parts of the rows of a block."""
    rows = ()
    if COMPLEX:
        for i in tl.static_range(ROWS):
            rows = rows + (tl.split(block[i].to(STATE)),)
    else:
        real_rows = take_apart(tl.trans(block.to(STATE)), ROWS)
        zero = tl.zeros([block.shape[1]], STATE)
        for i in tl.static_range(ROWS):
            rows = rows + ((real_rows[i], zero),)
    return rows


@triton.jit
def load_rows(
    pointer, step, channel, mask, ROWS: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr
):
    """Real and imaginary parts of `ROWS` rows, `step` apart."""
    block = load_block(pointer, step, channel, mask, mask, ROWS, COMPLEX)
    return rows_of(block, ROWS, STATE, COMPLEX)


@triton.jit
def store_rows(pointer, step, channel, rows, mask, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Write `ROWS` rows, `step` apart, in the type of the pointer."""
    if COMPLEX:
        at = pointer + 2 * channel[:, None] + tl.arange(0, 2)[None, :]
        for i in tl.static_range(ROWS):
            pairs = tl.join(rows[i][0], rows[i][1]).to(pointer.dtype.element_ty)
            tl.store(at + i * step, pairs, mask=mask[:, None])
    else:
        block = tl.trans(put_together(rows, 0, ROWS)).to(pointer.dtype.element_ty)
        at = pointer + tl.arange(0, ROWS)[:, None] * step + channel[None, :]
        tl.store(at, block, mask=tl.broadcast_to(mask[None, :], block.shape))


@triton.jit
def take_apart(columns, ROWS: tl.constexpr):
    """Rows [D] of columns [D, R], a power of two of them."""
    D: tl.constexpr = columns.shape[0]
    if ROWS == 1:
        return (tl.reshape(columns, [D]),)
    else:
        HALF: tl.constexpr = ROWS // 2
        halves = tl.permute(tl.reshape(columns, [D, 2, HALF]), (0, 2, 1))
        first, second = tl.split(halves)
        return take_apart(first, HALF) + take_apart(second, HALF)


@triton.jit
def put_together(rows, START: tl.constexpr, ROWS: tl.constexpr):
    """Columns [D, R] of the real parts of rows `START` to before `START + ROWS`."""
    if ROWS == 1:
        return rows[START][0][:, None]
    else:
        HALF: tl.constexpr = ROWS // 2
        first = put_together(rows, START, HALF)
        second = put_together(rows, START + HALF, HALF)
        halves = tl.permute(tl.join(first, second), (0, 2, 1))
        return tl.reshape(halves, [first.shape[0], ROWS])
