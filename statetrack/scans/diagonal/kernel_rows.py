"""Rows of the diagonal recurrence: many of them are one access to memory and one scan.

Triton compares every access with every other one, and every operation that it sees costs it time,
so a block of rows is loaded at once, goes through `tl.associative_scan` at once and is stored at
once. A thread holds all rows of its channel: the machine code is that of one row after the other,
without the products of transitions, which nobody asks for. Rows of pairs stay single: there are
few, and Triton 3.6 would make threads exchange the pairs of a block.

Legend: D channels of the program, R rows. Complex numbers are pairs of a real and an imaginary
part; the imaginary part of a real number is zero. A block of rows is a tensor [R, D], or R tensors
of pairs.
"""

import triton
import triton.language as tl


@triton.jit
def multiply_add(a, h, x, COMPLEX: tl.constexpr):
    """Form a h + x of (real, imaginary) pairs."""
    if COMPLEX:
        re = a[0] * h[0] + (x[0] - a[1] * h[1])
        im = a[0] * h[1] + (x[1] + a[1] * h[0])
    else:
        re = a[0] * h[0] + x[0]
        im = h[1]
    return re, im


@triton.jit
def conjugate(a):
    """Complex conjugate of a pair."""
    return a[0], -a[1]


@triton.jit
def load(pointer, channel, mask, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Real and imaginary part of one row [D]."""
    if COMPLEX:
        at = pointer + 2 * channel[:, None] + tl.arange(0, 2)[None, :]
        return tl.split(tl.load(at, mask=mask[:, None], other=0.0).to(STATE))
    else:
        row = tl.load(pointer + channel, mask=mask, other=0.0).to(STATE)
        return row, tl.zeros_like(row)


@triton.jit
def store(pointer, channel, re, im, mask, COMPLEX: tl.constexpr):
    """Write one row [D] in the type of the pointer."""
    if COMPLEX:
        at = pointer + 2 * channel[:, None] + tl.arange(0, 2)[None, :]
        tl.store(at, tl.join(re, im).to(pointer.dtype.element_ty), mask=mask[:, None])
    else:
        tl.store(pointer + channel, re.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def load_block(
    pointer, step, channel, mask, edge_mask, EDGE: tl.constexpr, OTHER: tl.constexpr,
    ROWS: tl.constexpr, COMPLEX: tl.constexpr,
):  # fmt: skip
    """Rows `step` apart in the type of the pointer, `OTHER` where masked; row `EDGE` has a mask."""
    if COMPLEX:
        part = tl.arange(0, 2)[None, :]
        other = tl.where(part == 0, OTHER, 0.0).to(pointer.dtype.element_ty)
        at = pointer + 2 * channel[:, None] + part
        rows = ()
        for i in tl.static_range(ROWS):
            present = edge_mask if i == EDGE else mask
            rows = rows + (tl.load(at + i * step, mask=present[:, None], other=other),)
        return rows
    else:
        row = tl.arange(0, ROWS)[:, None]
        present = tl.where(row == EDGE, edge_mask[None, :], mask[None, :])
        return tl.load(pointer + row * step + channel[None, :], mask=present, other=OTHER)


@triton.jit
def store_block(pointer, step, channel, block, mask, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Write rows `step` apart in the type of the pointer; pairs are (real, imaginary)."""
    if COMPLEX:
        for i in tl.static_range(ROWS):
            store(pointer + i * step, channel, block[i][0], block[i][1], mask, COMPLEX)
    else:
        at = pointer + tl.arange(0, ROWS)[:, None] * step + channel[None, :]
        present = tl.broadcast_to(mask[None, :], block.shape)
        tl.store(at, block.to(pointer.dtype.element_ty), mask=present)


@triton.jit
def compose(a, x, next_a, next_x):
    """Two steps of the recurrence as one."""
    return a * next_a, next_a * x + next_x


@triton.jit
def last_row(block):
    """Last row [D] of a block of real numbers."""
    row = tl.arange(0, block.shape[0])[:, None]
    return tl.sum(tl.where(row == block.shape[0] - 1, block, 0.0), 0)


@triton.jit
def recur(
    h, product, transitions, inputs, ROWS: tl.constexpr, STATE: tl.constexpr,
    COMPLEX: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Take `ROWS` steps ``h = a h + x``, or with ADJOINT ``h = conj(a) h + x``.

    Returns the last state, `product` times the transitions, and a block of all states.
    """
    if COMPLEX:
        zero = (tl.zeros_like(h[0]), tl.zeros_like(h[1]))
        states = ()
        for i in tl.static_range(ROWS):
            a = tl.split(transitions[i].to(STATE))
            if ADJOINT:
                a = conjugate(a)
            h = multiply_add(a, h, tl.split(inputs[i].to(STATE)), COMPLEX)
            product = multiply_add(a, product, zero, COMPLEX)
            states = states + (h,)
        return h, product, states
    else:
        a = transitions.to(STATE)
        x = inputs.to(STATE)
        first = tl.arange(0, ROWS)[:, None] == 0
        states = tl.where(first, a * h[0][None, :] + x, x)
        if ROWS > 1:
            a, states = tl.associative_scan((a, states), 0, compose)
        return (last_row(states), h[1]), (product[0] * last_row(a), product[1]), states


@triton.jit
def times_conjugate(states, before, ROWS: tl.constexpr, COMPLEX: tl.constexpr):
    """Rows of `states` times the conjugates of those of `before`, blocks that `recur` returns."""
    if COMPLEX:
        products = ()
        for i in tl.static_range(ROWS):
            zero = (tl.zeros_like(states[i][0]), tl.zeros_like(states[i][1]))
            products = products + (multiply_add(conjugate(before[i]), states[i], zero, COMPLEX),)
        return products
    else:
        return states * before


@triton.jit
def with_last_row(
    block, row, condition, ROWS: tl.constexpr, STATE: tl.constexpr, COMPLEX: tl.constexpr
):
    """A loaded block in the form that `recur` returns, its last row replaced if `condition`."""
    if COMPLEX:
        rows = ()
        for i in tl.static_range(ROWS):
            pair = tl.split(block[i].to(STATE))
            if i == ROWS - 1:
                re = tl.where(condition, row[0], pair[0])
                im = tl.where(condition, row[1], pair[1])
                pair = (re, im)
            rows = rows + (pair,)
        return rows
    else:
        is_last = (tl.arange(0, ROWS)[:, None] == ROWS - 1) & condition
        return tl.where(is_last, row[0][None, :], block.to(STATE))
