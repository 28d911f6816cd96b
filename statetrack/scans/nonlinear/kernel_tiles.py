"""Tiles of rows and units: where they lie, and loading and storing several of them.

A tensor core leaves a product of 16 rows in pairs of neighbouring columns: thread 4 i + q of a warp
has columns 2 q and 2 q + 1 of rows i and i + 8, of the eight columns of that warp. Tiles of shape
[pairs, 2] list them in this order, so that what is done between two products, loading and storing
included, needs no exchange between threads. Legend: E = 8 U pairs of 16 rows and U units.
"""

import triton
import triton.language as tl

SIZES = ["n1", "n2", "batch", "length"]
INPUT_STRIDES = ["x0", "x1", "x2", "x_row", "x_step", "x_gate"]


@triton.jit
def network_and_row(BATCH_BLOCK: tl.constexpr, batch):
    """Which network a program computes, and which rows of its batch."""
    blocks = tl.cdiv(batch, BATCH_BLOCK)
    network = tl.program_id(0) // blocks
    return network, tl.program_id(0) % blocks * BATCH_BLOCK + tl.arange(0, BATCH_BLOCK)


@triton.jit
def pairs_of(batch, UNITS: tl.constexpr):
    """Network, rows [E, 1] of its batch and units [E, 2] that a program computes."""
    blocks = tl.cdiv(batch, 16)
    network = tl.program_id(0) // blocks
    pair = tl.arange(0, 8 * UNITS)
    row = pair // (4 * UNITS) * 8 + pair // 4 % 8
    unit = pair // 32 % (UNITS // 8) * 8 + pair % 4 * 2
    row = tl.program_id(0) % blocks * 16 + row
    return network, row[:, None], unit[:, None] + tl.arange(0, 2)[None, :]


@triton.jit
def in_pairs(tile, UNITS: tl.constexpr):
    """Rows and units [16, U] as pairs [E, 2]."""
    tile = tl.permute(tl.reshape(tile, [2, 8, UNITS // 8, 4, 2]), (0, 2, 1, 3, 4))
    return tl.reshape(tile, [8 * UNITS, 2])


@triton.jit
def in_rows(tile, UNITS: tl.constexpr):
    """Pairs [E, 2] as rows and units [16, U]."""
    tile = tl.permute(tl.reshape(tile, [2, UNITS // 8, 8, 4, 2]), (0, 2, 1, 3, 4))
    return tl.reshape(tile, [16, UNITS])


@triton.jit
def in_bands(tiles, UNITS: tl.constexpr):
    """Pairs [E, 2] of three or four gates as [U / 8, 16, 32]: what a warp owns, for all rows.

    The order of the 32, four gates times eight units, is that in which a thread passes its own
    numbers to a tensor core.
    """
    last = tl.zeros_like(tiles[0]) if len(tiles) == 3 else tiles[3]
    joined = tl.join(tl.join(tiles[0], tiles[1]), tl.join(tiles[2], last))
    joined = tl.permute(tl.reshape(joined, [2, UNITS // 8, 8, 4, 2, 2, 2]), (1, 0, 2, 6, 3, 5, 4))
    return tl.reshape(joined, [UNITS // 8, 16, 32])


@triton.jit
def load_bands(
    pointer, gate_step, row_step, SIZE: tl.constexpr, UNITS: tl.constexpr, GATES: tl.constexpr,
    STATE: tl.constexpr,
):  # fmt: skip
    """Transposed weights [U / 8, 32, U] in the order of `in_bands`, zeros for a gate that pads."""
    k = tl.arange(0, 32)[None, :, None]
    gate = k // 16 * 2 + k // 2 % 2
    column = tl.arange(0, UNITS // 8)[:, None, None] * 8 + k // 4 % 4 * 2 + k % 2
    row = tl.arange(0, UNITS)[None, None, :]
    offsets = gate * gate_step + row * row_step + column
    inside = (gate < GATES) & (row < SIZE) & (column < SIZE)
    return tl.load(pointer + offsets, mask=inside, other=0).to(STATE)


@triton.jit
def sum_bands(tile):
    """Sum over the first axis, in a tree: [U / 8, 16, U] to [16, U]."""
    total = tl.permute(tile, (1, 2, 0))
    for _ in tl.static_range(4):
        if total.shape[2] > 1:
            halves = tl.reshape(total, [16, total.shape[1], total.shape[2] // 2, 2])
            one, other = tl.split(halves)
            total = one + other
    return tl.reshape(total, [16, total.shape[1]])


@triton.jit
def even(step, EVEN: tl.constexpr):
    """`step`, known to the compiler as a multiple of two where that is promised."""
    return step // 2 * 2 if EVEN else step


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
