"""Triton kernels of a bias behind a linear map.

A program of the backward pass walks over the tiles of its part of a group: it copies the gradient
in the type of the rows and leaves one partial sum of the bias's gradient.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, rows_of, weight_of, write

SIZES = ["count", "outer", "inner_groups", "inner", "num_parts", "tiles"]
STEPS = ["outer_step", "inner_step"]


@triton.jit(do_not_specialize=[*SIZES, *STEPS])
def forward(
    u_pointer,
    bias_pointer,
    y_pointer,
    count: tl.int32,
    outer: tl.int32,
    inner_groups: tl.int32,
    inner: tl.int32,
    outer_step: tl.int64,
    inner_step: tl.int64,
    num_parts: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """U + bias."""
    group = tl.program_id(0) // num_parts
    place = tl.program_id(0) % num_parts * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (place < count)[:, None] & (column < SIZE)[None, :]
    row = rows_of(group, place, outer, inner_groups, inner)
    at = row[:, None] * SIZE + column[None, :]
    at_bias = weight_of(group, inner_groups, outer_step, inner_step) + column
    bias = read(bias_pointer, at_bias, column < SIZE, STATE)
    write(y_pointer, at, read(u_pointer, at, mask, STATE) + bias[None, :], mask)


@triton.jit(do_not_specialize=SIZES)
def backward(
    grad_pointer,
    grad_u_pointer,
    partial_pointer,
    count: tl.int32,
    outer: tl.int32,
    inner_groups: tl.int32,
    inner: tl.int32,
    num_parts: tl.int32,
    tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """The gradient of u, and that of the bias: [groups, parts, D]."""
    group = tl.program_id(0) // num_parts
    part = tl.program_id(0) % num_parts
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    of_bias = tl.zeros([ROWS, COLUMNS], STATE)
    for tile in range(tiles):
        place = (part * tiles + tile) * ROWS + tl.arange(0, ROWS)
        mask = (place < count)[:, None] & (column < SIZE)[None, :]
        row = rows_of(group, place, outer, inner_groups, inner)
        at = row[:, None] * SIZE + column[None, :]
        grad = read(grad_pointer, at, mask, STATE)
        of_bias += grad
        write(grad_u_pointer, at, grad, mask)
    at_partial = tl.program_id(0).to(tl.int64) * SIZE + column
    tl.store(partial_pointer + at_partial, tl.sum(of_bias, 0), mask=column < SIZE)
