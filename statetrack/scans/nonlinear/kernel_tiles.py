"""Tiles of rows and units: where they lie, and loading and storing several of them."""

import triton
import triton.language as tl


@triton.jit
def network_and_row(BATCH_BLOCK: tl.constexpr, batch):
    """Which network a program computes, and which rows of its batch."""
    blocks = tl.cdiv(batch, BATCH_BLOCK)
    network = tl.program_id(0) // blocks
    return network, tl.program_id(0) % blocks * BATCH_BLOCK + tl.arange(0, BATCH_BLOCK)


@triton.jit
def load_tiles(pointer, offsets, inside, step, NUM: tl.constexpr, STATE: tl.constexpr):
    """Load `NUM` tiles, `step` numbers apart."""
    tiles = ()
    for place in tl.static_range(NUM):
        tiles = tiles + (tl.load(pointer + offsets + place * step, mask=inside, other=0).to(STATE),)
    return tiles


@triton.jit
def store_tiles(pointer, offsets, inside, step, tiles, NUM: tl.constexpr):
    """Store `NUM` tiles, `step` numbers apart."""
    for place in tl.static_range(NUM):
        tl.store(pointer + offsets + place * step, tiles[place], mask=inside)


@triton.jit
def load_square(
    pointer, row, column, row_step, column_step, SIZE: tl.constexpr, STATE: tl.constexpr
):
    """Load a tile of recurrent weights."""
    offsets = row[:, None] * row_step + column[None, :] * column_step
    inside = (row[:, None] < SIZE) & (column[None, :] < SIZE)
    return tl.load(pointer + offsets, mask=inside, other=0).to(STATE)


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr, STATE: tl.constexpr):
    """Add ``left @ right`` to `total`, rounded as asked for."""
    return tl.dot(left, right, total, input_precision=PRECISION, out_dtype=STATE)
