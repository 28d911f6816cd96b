"""Triton kernels of ``low + span sigmoid(steepness x)``, with coefficients of every group."""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, write


@triton.jit
def place_of(size, tiles, BLOCK: tl.constexpr):
    """Group of this program, its numbers, and which of them exist."""
    group = tl.program_id(0) // tiles
    place = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return group, group.to(tl.int64) * size + place, place < size


@triton.jit(do_not_specialize=["size", "tiles"])
def forward(
    coefficients_pointer,
    x_pointer,
    y_pointer,
    size: tl.int64,
    tiles: tl.int32,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """The stretched sigmoid."""
    group, at, mask = place_of(size, tiles, BLOCK)
    steepness = tl.load(coefficients_pointer + 3 * group).to(STATE)
    low = tl.load(coefficients_pointer + 3 * group + 1).to(STATE)
    span = tl.load(coefficients_pointer + 3 * group + 2).to(STATE)
    share = 1.0 / (1.0 + tl.exp(-steepness * read(x_pointer, at, mask, STATE)))
    write(y_pointer, at, low + span * share, mask)


@triton.jit(do_not_specialize=["size", "tiles"])
def backward(
    coefficients_pointer,
    x_pointer,
    grad_pointer,
    grad_x_pointer,
    size: tl.int64,
    tiles: tl.int32,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradient of x."""
    group, at, mask = place_of(size, tiles, BLOCK)
    steepness = tl.load(coefficients_pointer + 3 * group).to(STATE)
    span = tl.load(coefficients_pointer + 3 * group + 2).to(STATE)
    share = 1.0 / (1.0 + tl.exp(-steepness * read(x_pointer, at, mask, STATE)))
    grad = read(grad_pointer, at, mask, STATE)
    write(grad_x_pointer, at, grad * span * steepness * share * (1.0 - share), mask)
