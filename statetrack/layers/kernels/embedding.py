"""Triton kernels of an embedding: rows of a table by letter, and their gradients summed by letter.

The gradient is a product with a one-hot matrix for few letters (exact products, a float32 number
being three bfloat16 on tensor cores; partial sums in a fixed order), and a sum over each letter's
own positions, sorted before, for many.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read
from statetrack.scans.products import split


@triton.jit(do_not_specialize=["count", "num_letters", "num_tiles"])
def forward(
    tokens_pointer,
    weight_pointer,
    out_pointer,
    count: tl.int32,
    num_letters: tl.int32,
    num_tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """One tile of rows; NaN for a token that is no letter."""
    run = (tl.program_id(0) // num_tiles).to(tl.int64)
    place = tl.program_id(0) % num_tiles * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    row = run * count + place
    token = tl.load(tokens_pointer + row, mask=place < count, other=0)
    is_letter = (token >= 0) & (token < num_letters)
    inside = (place < count)[:, None] & (column < SIZE)[None, :]
    at = (run * num_letters + token)[:, None] * SIZE + column[None, :]
    values = tl.load(weight_pointer + at, mask=inside & is_letter[:, None], other=float("nan"))
    tl.store(out_pointer + row[:, None] * SIZE + column[None, :], values, mask=inside)


@triton.jit(do_not_specialize=["count", "num_letters", "num_parts", "tiles"])
def backward_products(
    tokens_pointer,
    grad_pointer,
    partial_pointer,
    count: tl.int32,
    num_letters: tl.int32,
    num_parts: tl.int32,
    tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    LETTERS: tl.constexpr,
    STATE: tl.constexpr,
    OPERAND: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Sums of a block of letters over one part of a run: [runs, parts, A, D]."""
    run = (tl.program_id(0) // num_parts).to(tl.int64)
    part = tl.program_id(0) % num_parts
    letter = tl.program_id(1) * LETTERS + tl.arange(0, LETTERS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros([LETTERS, COLUMNS], STATE)
    for tile in range(tiles):
        place = (part * tiles + tile) * ROWS + tl.arange(0, ROWS)
        row = run * count + place
        token = tl.load(tokens_pointer + row, mask=place < count, other=-1)
        hot = tl.where(letter[:, None] == token[None, :], 1.0, 0.0).to(OPERAND)
        mask = (place < count)[:, None] & (column < SIZE)[None, :]
        grad = read(grad_pointer, row[:, None] * SIZE + column[None, :], mask, STATE)
        parts = split(grad, OPERAND, PARTS)
        product = tl.dot(hot, parts[PARTS - 1], input_precision="ieee", out_dtype=STATE)
        for i in tl.static_range(PARTS - 2, -1, -1):
            product = tl.dot(hot, parts[i], product, input_precision="ieee", out_dtype=STATE)
        sums += product
    at = (tl.program_id(0).to(tl.int64) * num_letters + letter)[:, None] * SIZE + column[None, :]
    mask = (letter < num_letters)[:, None] & (column < SIZE)[None, :]
    tl.store(partial_pointer + at, sums, mask=mask)


@triton.jit
def backward_sorted(
    order_pointer,
    offsets_pointer,
    grad_pointer,
    out_pointer,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Sum over the positions of one letter of one run."""
    letter = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    first = tl.load(offsets_pointer + letter)
    last = tl.load(offsets_pointer + letter + 1)
    sums = tl.zeros([ROWS, COLUMNS], STATE)
    for start in range(first, last, ROWS):
        place = start + tl.arange(0, ROWS)
        row = tl.load(order_pointer + place, mask=place < last, other=0)
        mask = (place < last)[:, None] & (column < SIZE)[None, :]
        sums += read(grad_pointer, row[:, None] * SIZE + column[None, :], mask, STATE)
    at = letter * SIZE + column
    total = tl.sum(sums, 0).to(out_pointer.dtype.element_ty)
    tl.store(out_pointer + at, total, mask=column < SIZE)
