"""Triton kernels of root-mean-square normalisation, alone and behind a residual sum.

A program of the forward pass owns one tile of rows. A program of the backward pass walks over the
tiles of its part of a group and leaves one partial sum of the gradient of the scale; the root mean
square of a row is computed again, its numbers being read anyway. With ``n = x r s`` and
``r = (mean x^2 + eps)^(-1/2)``: ``dx = r s g - x r^3 mean(x s g)`` and ``ds`` sums ``g x r``.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, rows_of, weight_of, write

SIZES = ["count", "outer", "inner_groups", "inner", "num_parts", "tiles"]
STEPS = ["outer_step", "inner_step"]


@triton.jit
def inverse_root(x, eps, SIZE: tl.constexpr):
    """One over the root mean square of every row."""
    return 1.0 / tl.sqrt(tl.sum(x * x, 1) / SIZE + eps)


@triton.jit(do_not_specialize=[*SIZES, *STEPS])
def forward(
    x_pointer,
    y_pointer,
    scale_pointer,
    total_pointer,
    normal_pointer,
    count: tl.int32,
    outer: tl.int32,
    inner_groups: tl.int32,
    inner: tl.int32,
    outer_step: tl.int64,
    inner_step: tl.int64,
    num_parts: tl.int32,
    EPS: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    ADD: tl.constexpr,
    STATE: tl.constexpr,
):
    """Normalise x, or x + y, which is written as well."""
    group = tl.program_id(0) // num_parts
    place = tl.program_id(0) % num_parts * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    mask = (place < count)[:, None] & (column < SIZE)[None, :]
    row = rows_of(group, place, outer, inner_groups, inner)
    at = row[:, None] * SIZE + column[None, :]
    x = read(x_pointer, at, mask, STATE)
    if ADD:
        total = (x + read(y_pointer, at, mask, STATE)).to(total_pointer.dtype.element_ty)
        tl.store(total_pointer + at, total, mask=mask)
        x = total.to(STATE)
    at_scale = weight_of(group, inner_groups, outer_step, inner_step) + column
    scale = read(scale_pointer, at_scale, column < SIZE, STATE)
    write(normal_pointer, at, x * inverse_root(x, EPS, SIZE)[:, None] * scale[None, :], mask)


@triton.jit(do_not_specialize=[*SIZES, *STEPS])
def backward(
    x_pointer,
    scale_pointer,
    grad_total_pointer,
    grad_normal_pointer,
    grad_x_pointer,
    grad_y_pointer,
    partial_pointer,
    count: tl.int32,
    outer: tl.int32,
    inner_groups: tl.int32,
    inner: tl.int32,
    outer_step: tl.int64,
    inner_step: tl.int64,
    num_parts: tl.int32,
    tiles: tl.int32,
    EPS: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    ADD: tl.constexpr,
    SECOND: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradients of x, of y where it has a type of its own, and of the scale: [groups, parts, D]."""
    group = tl.program_id(0) // num_parts
    part = tl.program_id(0) % num_parts
    column = tl.arange(0, COLUMNS)
    at_scale = weight_of(group, inner_groups, outer_step, inner_step) + column
    scale = read(scale_pointer, at_scale, column < SIZE, STATE)[None, :]
    of_scale = tl.zeros([ROWS, COLUMNS], STATE)
    for tile in range(tiles):
        place = (part * tiles + tile) * ROWS + tl.arange(0, ROWS)
        mask = (place < count)[:, None] & (column < SIZE)[None, :]
        row = rows_of(group, place, outer, inner_groups, inner)
        at = row[:, None] * SIZE + column[None, :]
        x = read(x_pointer, at, mask, STATE)
        grad = read(grad_normal_pointer, at, mask, STATE)
        inverse = inverse_root(x, EPS, SIZE)[:, None]
        x = x * inverse
        of_scale += grad * x
        grad = grad * scale
        mean = tl.sum(grad * x, 1) / SIZE
        grad = (grad - x * mean[:, None]) * inverse
        if ADD:
            grad += read(grad_total_pointer, at, mask, STATE)
        write(grad_x_pointer, at, grad, mask)
        if SECOND:
            write(grad_y_pointer, at, grad, mask)
    at_partial = tl.program_id(0).to(tl.int64) * SIZE + column
    tl.store(partial_pointer + at_partial, tl.sum(of_scale, 0), mask=column < SIZE)
