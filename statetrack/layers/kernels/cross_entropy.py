"""Triton kernels of the mean cross-entropy over supervised positions.

The logits [runs, N, C] of a position that is not supervised are not even read. `forward` keeps the
logarithm of the sum of exponentials of every position and leaves partial sums [runs, parts];
`finish` puts them together; `backward` writes ``(softmax - one-hot) weight grad``.
"""

import triton
import triton.language as tl

from statetrack.layers.kernels.rows import read, write

SIZES = ["count", "num_parts", "tiles"]


@triton.jit(do_not_specialize=SIZES)
def forward(
    logits_pointer,
    targets_pointer,
    mask_pointer,
    log_sum_pointer,
    partial_pointer,
    supervised_pointer,
    count: tl.int32,
    num_parts: tl.int32,
    tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Sum of the losses and number of supervised positions of one part of a run."""
    run = (tl.program_id(0) // num_parts).to(tl.int64)
    part = tl.program_id(0) % num_parts
    column = tl.arange(0, COLUMNS)
    losses = tl.zeros([ROWS], STATE)
    supervised = tl.zeros([ROWS], tl.int32)
    for tile in range(tiles):
        place = (part * tiles + tile) * ROWS + tl.arange(0, ROWS)
        row = run * count + place
        counts = tl.load(mask_pointer + row, mask=place < count, other=0) != 0
        mask = counts[:, None] & (column < SIZE)[None, :]
        at = row[:, None] * SIZE + column[None, :]
        x = tl.load(logits_pointer + at, mask=mask, other=float("-inf")).to(STATE)
        x = tl.where(counts[:, None], x, 0.0)
        largest = tl.max(x, 1)
        log_sum = largest + tl.log(tl.sum(tl.exp(x - largest[:, None]), 1))
        target = tl.load(targets_pointer + row, mask=counts, other=0)
        picked = tl.sum(tl.where(column[None, :] == target[:, None], x, 0.0), 1)
        picked = tl.where((target >= 0) & (target < SIZE), picked, float("nan"))
        losses += tl.where(counts, log_sum - picked, 0.0)
        supervised += counts.to(tl.int32)
        tl.store(log_sum_pointer + row, log_sum, mask=place < count)
    tl.store(partial_pointer + tl.program_id(0), tl.sum(losses, 0))
    tl.store(supervised_pointer + tl.program_id(0), tl.sum(supervised, 0))


@triton.jit(do_not_specialize=["num_parts"])
def finish(
    partial_pointer,
    supervised_pointer,
    loss_pointer,
    weight_pointer,
    num_parts: tl.int32,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """Mean loss of a run and the weight of one position."""
    run = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, BLOCK)
    mask = part < num_parts
    loss = tl.sum(read(partial_pointer, run * num_parts + part, mask, STATE), 0)
    count = tl.sum(read(supervised_pointer, run * num_parts + part, mask, tl.int64), 0)
    weight = 1.0 / tl.maximum(count, 1).to(STATE)
    tl.store(loss_pointer + run, loss * weight)
    tl.store(weight_pointer + run, weight)


@triton.jit(do_not_specialize=["count", "num_tiles"])
def backward(
    logits_pointer,
    targets_pointer,
    mask_pointer,
    log_sum_pointer,
    weight_pointer,
    grad_pointer,
    grad_logits_pointer,
    count: tl.int32,
    num_tiles: tl.int32,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Gradient of the logits; zeros where nothing is supervised."""
    run = (tl.program_id(0) // num_tiles).to(tl.int64)
    place = tl.program_id(0) % num_tiles * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    row = run * count + place
    counts = tl.load(mask_pointer + row, mask=place < count, other=0) != 0
    inside = (place < count)[:, None] & (column < SIZE)[None, :]
    mask = counts[:, None] & inside
    at = row[:, None] * SIZE + column[None, :]
    x = read(logits_pointer, at, mask, STATE)
    log_sum = read(log_sum_pointer, row, counts, STATE)
    target = tl.load(targets_pointer + row, mask=counts, other=0)
    factor = tl.load(weight_pointer + run).to(STATE) * tl.load(grad_pointer + run).to(STATE)
    hot = tl.where(column[None, :] == target[:, None], 1.0, 0.0).to(STATE)
    grad = (tl.exp(x - log_sum[:, None]) - hot) * factor
    write(grad_logits_pointer, at, tl.where(mask, grad, 0.0), inside)
