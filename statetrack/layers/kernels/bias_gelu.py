"""Triton kernels of a bias and the exact GELU behind it.

``y = z Phi(z)`` with ``z = u + bias`` and the normal distribution function
``Phi(z) = (1 + erf(z / sqrt 2)) / 2``; ``dz = g (Phi(z) + z phi(z))``. A program of the backward
pass walks over the tiles of its part of a group and leaves one partial sum of the bias's gradient.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, rows_of, weight_of, write

SIZES = ["count", "outer", "inner_groups", "inner", "num_parts", "tiles"]
STEPS = ["outer_step", "inner_step"]
HALF_ROOT = tl.constexpr(0.7071067811865476)
DENSITY_AT_ZERO = tl.constexpr(0.3989422804014327)


@triton.jit
def distribution(z):
    """Normal distribution function."""
    return 0.5 + 0.5 * tl.erf(z * HALF_ROOT)


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
    """GELU of u + bias."""
    group = tl.program_id(0) // num_parts
    place = tl.program_id(0) % num_parts * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (place < count)[:, None] & (column < SIZE)[None, :]
    row = rows_of(group, place, outer, inner_groups, inner)
    at = row[:, None] * SIZE + column[None, :]
    at_bias = weight_of(group, inner_groups, outer_step, inner_step) + column
    bias = read(bias_pointer, at_bias, column < SIZE, STATE)
    z = read(u_pointer, at, mask, STATE) + bias[None, :]
    write(y_pointer, at, z * distribution(z), mask)


@triton.jit(do_not_specialize=[*SIZES, *STEPS])
def backward(
    u_pointer,
    bias_pointer,
    grad_pointer,
    grad_u_pointer,
    partial_pointer,
    count: tl.int32,
    outer: tl.int32,
    inner_groups: tl.int32,
    inner: tl.int32,
    outer_step: tl.int64,
    inner_step: tl.int64,
    num_parts: tl.int32,
    tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradients of u and of the bias: [groups, parts, D]."""
    group = tl.program_id(0) // num_parts
    part = tl.program_id(0) % num_parts
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    at_bias = weight_of(group, inner_groups, outer_step, inner_step) + column
    bias = read(bias_pointer, at_bias, column < SIZE, STATE)[None, :]
    of_bias = tl.zeros([ROWS, COLUMNS], STATE)
    for tile in range(tiles):
        place = (part * tiles + tile) * ROWS + tl.arange(0, ROWS)
        mask = (place < count)[:, None] & (column < SIZE)[None, :]
        row = rows_of(group, place, outer, inner_groups, inner)
        at = row[:, None] * SIZE + column[None, :]
        z = read(u_pointer, at, mask, STATE) + bias
        grad = read(grad_pointer, at, mask, STATE)
        grad = grad * (distribution(z) + z * (DENSITY_AT_ZERO * tl.exp(-0.5 * z * z)))
        of_bias += tl.where(mask, grad, 0.0)
        write(grad_u_pointer, at, grad, mask)
    at_partial = tl.program_id(0).to(tl.int64) * SIZE + column
    tl.store(partial_pointer + at_partial, tl.sum(of_bias, 0), mask=column < SIZE)
