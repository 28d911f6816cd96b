"""Rows of the diagonal recurrence: many of them are one access to memory.

Triton compares every access with every other one, so thirty of them compile many times as long as
one of thirty rows. A thread holds all rows of its channel: taking a block apart and putting one
together only names registers, and the machine code is that of single rows.

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
def load_block(pointer, step, channel, mask, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Rows `step` apart, [R, D] numbers or [R, D, 2] parts in their type; `mask` is [R or 1, D]."""
    at = pointer + tl.arange(0, ROWS)[:, None] * step
    present = tl.broadcast_to(mask, [ROWS, channel.shape[0]])
    if COMPLEX:
        at = at[:, :, None] + (2 * channel[:, None] + tl.arange(0, 2)[None, :])[None, :, :]
        return tl.load(at, mask=present[:, :, None], other=0.0)
    else:
        return tl.load(at + channel[None, :], mask=present, other=0.0)


@triton.jit
def rows_of(block, ROWS: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Real and imaginary parts of the rows of a block."""
    rows = ()
    if COMPLEX:
        re, im = tl.split(block.to(STATE))
        real_rows = take_apart(tl.trans(re), ROWS)
        imaginary_rows = take_apart(tl.trans(im), ROWS)
        for i in tl.static_range(ROWS):
            rows = rows + ((real_rows[i], imaginary_rows[i]),)
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
    block = load_block(pointer, step, channel, mask[None, :], ROWS, COMPLEX)
    return rows_of(block, ROWS, STATE, COMPLEX)


@triton.jit
def store_rows(pointer, step, channel, rows, mask, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Write `ROWS` rows, `step` apart, in the type of the pointer."""
    at = pointer + tl.arange(0, ROWS)[:, None] * step
    present = tl.broadcast_to(mask[None, :], [ROWS, channel.shape[0]])
    block = tl.trans(put_together(rows, 0, 0, ROWS))
    if COMPLEX:
        at = at[:, :, None] + (2 * channel[:, None] + tl.arange(0, 2)[None, :])[None, :, :]
        pairs = tl.join(block, tl.trans(put_together(rows, 1, 0, ROWS)))
        tl.store(at, pairs.to(pointer.dtype.element_ty), mask=present[:, :, None])
    else:
        tl.store(at + channel[None, :], block.to(pointer.dtype.element_ty), mask=present)


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
def put_together(rows, PART: tl.constexpr, START: tl.constexpr, ROWS: tl.constexpr):
    """Columns [D, R] of rows `START` to before `START + ROWS`, their real or imaginary part."""
    if ROWS == 1:
        return rows[START][PART][:, None]
    else:
        HALF: tl.constexpr = ROWS // 2
        first = put_together(rows, PART, START, HALF)
        second = put_together(rows, PART, START + HALF, HALF)
        halves = tl.permute(tl.join(first, second), (0, 2, 1))
        return tl.reshape(halves, [first.shape[0], ROWS])
