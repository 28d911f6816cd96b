"""Triton kernels of the gradient of nonlinear recurrences.

`scan_backward` walks from the last token to the first with the transposed recurrent weights on
chip: from what the forward pass kept it computes the gradient of what the token brought to every
gate, and from that, through the weights, the gradient of the hidden state before. The gradient of
the weights is a sum over rows and tokens and needs no order: `weights_backward` takes it in one
matrix product, in parts that are added up in a fixed order.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import place
from statetrack.scans.nonlinear.kernel_cells import GRU, NEW, RESET, step_back
from statetrack.scans.nonlinear.kernel_tiles import (
    SIZES,
    even,
    in_bands,
    in_pairs,
    in_rows,
    load_bands,
    load_square,
    load_tiles,
    pairs_of,
    store_tiles,
    sum_bands,
)
from statetrack.scans.products import dot, split

STRIDES = ["r0", "r1", "r2", "r_gate", "r_row", "g0", "g1", "g2", "g_row", "g_step"]


@triton.jit
def adjoint(
    d_out, kept, before, grads, weights, UNITS: tl.constexpr, GATES: tl.constexpr,
    CELL: tl.constexpr, OPERAND: tl.constexpr, OPERANDS: tl.constexpr, PRECISION: tl.constexpr,
    STATE: tl.constexpr, QUICK: tl.constexpr,
):  # fmt: skip
    """Gradients of what a token brought to every gate, and of the state before, all in pairs."""
    d_x, d_before = step_back(kept, before, (grads[0] + d_out,) + grads[1:], CELL, QUICK)
    d_u = d_x
    if CELL == GRU:
        d_u = (d_x[0], d_x[1], d_x[2] * kept[RESET])
    if GATES == 1:
        left = split(in_rows(d_u[0], UNITS), OPERAND, OPERANDS)
        total = dot(left, weights, STATE, PRECISION)
    else:
        left = split(in_bands(d_u, UNITS), OPERAND, OPERANDS)
        total = sum_bands(dot(left, weights, STATE, PRECISION))
    d_hidden = d_before[0] + in_pairs(total, UNITS)
    return d_x, (d_hidden,) + d_before[1:]


@triton.jit(do_not_specialize=[*SIZES, *STRIDES])
def scan_backward(
    r_pointer, states_pointer, kept_pointer, d_out_pointer, d_final_pointer, d_x_pointer,
    d_initial_pointer,
    n1: tl.int32, n2: tl.int32, batch: tl.int32, length: tl.int32,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r_gate: tl.int64, r_row: tl.int64,
    g0: tl.int64, g1: tl.int64, g2: tl.int64, g_row: tl.int64, g_step: tl.int64,
    D: tl.constexpr, UNITS: tl.constexpr, GATES: tl.constexpr, PARTS: tl.constexpr,
    KEPT: tl.constexpr, CELL: tl.constexpr, OPERAND: tl.constexpr, OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr, STATE: tl.constexpr, QUICK: tl.constexpr, EVEN: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of x [N, B, T, G, D] and of the initial state [N, B, S, D]."""
    network, row, column = pairs_of(batch, UNITS)
    inside = (row < batch) & (column < D)
    s0, s1, s2 = place(network, n1, n2)
    r_pointer += s0 * r0 + s1 * r1 + s2 * r2
    if GATES == 1:
        unit = tl.arange(0, UNITS)
        weights = load_square(r_pointer, unit, unit, 1, r_row, D, STATE)
    else:
        weights = load_bands(r_pointer, r_gate, r_row, D, UNITS, GATES, STATE)
    weights = split(weights, OPERAND, OPERANDS)
    sequence = network.to(tl.int64) * batch + row
    ends = sequence * (PARTS * D) + column
    before_offsets = sequence * length * (PARTS * D) + column
    kept_offsets = sequence * length * (KEPT * D) + column
    x_offsets = sequence * length * (GATES * D) + column
    last = (length - 1).to(tl.int64)
    g_step = even(g_step, EVEN)
    d_out_pointer += s0 * even(g0, EVEN) + s1 * even(g1, EVEN) + s2 * even(g2, EVEN)
    d_out_pointer += last * g_step
    d_out_offsets = row.to(tl.int64) * even(g_row, EVEN) + column
    states_pointer += last * (PARTS * D)
    kept_pointer += last * (KEPT * D)
    d_x_pointer += last * (GATES * D)
    grads = load_tiles(d_final_pointer, ends, inside, D, PARTS, STATE)
    # The last token stands before the loop: weights that are used there stay in registers.
    d_out = tl.load(d_out_pointer + d_out_offsets, mask=inside, other=0).to(STATE)
    kept = load_tiles(kept_pointer, kept_offsets, inside, D, KEPT, STATE)
    before = load_tiles(states_pointer, before_offsets, inside, D, PARTS, STATE)
    d_x, grads = adjoint(
        d_out, kept, before, grads, weights, UNITS, GATES, CELL, OPERAND, OPERANDS, PRECISION,
        STATE, QUICK,
    )  # fmt: skip
    store_tiles(d_x_pointer, x_offsets, inside, D, d_x, GATES)
    for _ in tl.range(1, length, num_stages=STAGES):
        d_out_pointer -= g_step
        states_pointer -= PARTS * D
        kept_pointer -= KEPT * D
        d_x_pointer -= GATES * D
        d_out = tl.load(d_out_pointer + d_out_offsets, mask=inside, other=0).to(STATE)
        kept = load_tiles(kept_pointer, kept_offsets, inside, D, KEPT, STATE)
        before = load_tiles(states_pointer, before_offsets, inside, D, PARTS, STATE)
        d_x, grads = adjoint(
            d_out, kept, before, grads, weights, UNITS, GATES, CELL, OPERAND, OPERANDS, PRECISION,
            STATE, QUICK,
        )  # fmt: skip
        store_tiles(d_x_pointer, x_offsets, inside, D, d_x, GATES)
    store_tiles(d_initial_pointer, ends, inside, D, grads, PARTS)


@triton.jit(do_not_specialize=["num_rows", "part_rows", "num_parts", "num_networks"])
def weights_backward(
    states_pointer, kept_pointer, d_x_pointer, d_r_pointer, d_bias_pointer,
    num_rows: tl.int64, part_rows: tl.int64, num_parts: tl.int32, num_networks: tl.int32,
    D: tl.constexpr, TILE: tl.constexpr, GATES: tl.constexpr, PARTS: tl.constexpr,
    KEPT: tl.constexpr, CELL: tl.constexpr, ROWS: tl.constexpr, OPERAND: tl.constexpr,
    OPERANDS: tl.constexpr, PRECISION: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Parts of the gradients of weights, [parts, N, G, D, D], and of biases, [parts, N, G, D].

    A row is a token of a sequence; each part sums over `part_rows` of them.
    """
    TILES: tl.constexpr = (D + TILE - 1) // TILE
    program = tl.program_id(0)
    column_tile = program % TILES
    row_tile = program // TILES % TILES
    gate = program // (TILES * TILES) % GATES
    part = program // (TILES * TILES * GATES) % num_parts
    network = program // (TILES * TILES * GATES) // num_parts
    unit = row_tile * TILE + tl.arange(0, TILE)
    column = column_tile * TILE + tl.arange(0, TILE)
    start = part.to(tl.int64) * part_rows
    stop = tl.minimum(start + part_rows, num_rows)
    states_pointer += network.to(tl.int64) * num_rows * (PARTS * D)
    kept_pointer += network.to(tl.int64) * num_rows * (KEPT * D)
    d_x_pointer += network.to(tl.int64) * num_rows * (GATES * D)
    total = tl.zeros([TILE, TILE], STATE)
    bias = tl.zeros([TILE], STATE)
    for first in tl.range(0, part_rows, ROWS):
        row = start + first + tl.arange(0, ROWS)
        there = row < stop
        hidden = tl.load(
            states_pointer + row[None, :] * (PARTS * D) + unit[:, None],
            mask=there[None, :] & (unit[:, None] < D), other=0,
        )  # fmt: skip
        inside = there[:, None] & (column[None, :] < D)
        d_u = tl.load(
            d_x_pointer + row[:, None] * (GATES * D) + gate * D + column[None, :],
            mask=inside, other=0,
        )  # fmt: skip
        if CELL == GRU:
            reset = tl.load(
                kept_pointer + row[:, None] * (KEPT * D) + RESET * D + column[None, :],
                mask=inside, other=0,
            )  # fmt: skip
            d_u = tl.where(gate == NEW, d_u * reset, d_u)
        left = split(hidden.to(STATE), OPERAND, OPERANDS)
        total += dot(left, split(d_u.to(STATE), OPERAND, OPERANDS), STATE, PRECISION)
        bias += tl.sum(d_u, 0)
    base = (part.to(tl.int64) * num_networks + network) * GATES + gate
    offsets = unit[:, None] * D + column[None, :]
    inside = (unit[:, None] < D) & (column[None, :] < D)
    tl.store(d_r_pointer + base * (D * D) + offsets, total, mask=inside)
    own = (column < D) & (row_tile == 0)
    tl.store(d_bias_pointer + base * D + column, bias, mask=own)
