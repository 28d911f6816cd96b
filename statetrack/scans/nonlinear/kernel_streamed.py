"""Triton kernels of nonlinear recurrences whose weights do not fit on a multiprocessor.

A program owns `BATCH_BLOCK` rows of one network. At every token it reads the recurrent weights tile
after tile, from the cache that all multiprocessors share; the state lies in memory as two copies,
before and after the token, which the nearest cache holds. The arithmetic and what is kept are those
of `kernel` and `kernel_backward`.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import place
from statetrack.scans.nonlinear.kernel_cells import GRU, NEW, RESET, advance, step_back
from statetrack.scans.nonlinear.kernel_tiles import (
    INPUT_STRIDES,
    SIZES,
    load_square,
    load_tiles,
    network_and_row,
    store_tiles,
)
from statetrack.scans.products import dot, split


@triton.jit(do_not_specialize=[*SIZES, "num_sequences", *INPUT_STRIDES])
def scan_forward(
    x_pointer, r_pointer, bias_pointer, work_pointer, out_pointer, states_pointer, kept_pointer,
    n1: tl.int32, n2: tl.int32, batch: tl.int32, length: tl.int32, num_sequences: tl.int32,
    x0: tl.int64, x1: tl.int64, x2: tl.int64, x_row: tl.int64, x_step: tl.int64, x_gate: tl.int64,
    D: tl.constexpr, TILE: tl.constexpr, COLUMNS: tl.constexpr, GATES: tl.constexpr,
    PARTS: tl.constexpr, KEPT: tl.constexpr, CELL: tl.constexpr, BATCH_BLOCK: tl.constexpr,
    SAVE: tl.constexpr, OPERAND: tl.constexpr, OPERANDS: tl.constexpr, PRECISION: tl.constexpr,
    STATE: tl.constexpr, QUICK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """As `kernel.scan_forward`; `work` [2, N, B, S, D] holds the state, the initial one first."""
    network, row = network_and_row(BATCH_BLOCK, batch)
    valid = row[:, None] < batch
    s0, s1, s2 = place(network, n1, n2)
    r_pointer += network.to(tl.int64) * (GATES * D * D)
    bias_pointer += network.to(tl.int64) * (GATES * D)
    x_pointer += s0 * x0 + s1 * x1 + s2 * x2
    sequence = (network.to(tl.int64) * batch + row)[:, None]
    other = num_sequences.to(tl.int64) * (PARTS * D)
    for t in tl.range(0, length):
        old = work_pointer + (t % 2) * other
        new = work_pointer + (1 - t % 2) * other
        for first in tl.range(0, D, COLUMNS):
            unit = first + tl.arange(0, COLUMNS)
            inside = valid & (unit[None, :] < D)
            u = ()
            for gate in tl.static_range(GATES):
                bias = tl.load(bias_pointer + gate * D + unit, mask=unit < D, other=0).to(STATE)
                u = u + (tl.zeros([BATCH_BLOCK, COLUMNS], STATE) + bias[None, :],)
            for start in tl.range(0, D, TILE, num_stages=STAGES):
                source = start + tl.arange(0, TILE)
                hidden = tl.load(
                    old + sequence * (PARTS * D) + source[None, :],
                    mask=valid & (source[None, :] < D), other=0,
                )  # fmt: skip
                hidden = split(hidden, OPERAND, OPERANDS)
                sums = ()
                for gate in tl.static_range(GATES):
                    square = load_square(r_pointer + gate * D * D, source, unit, D, 1, D, STATE)
                    weights = split(square, OPERAND, OPERANDS)
                    sums = sums + (u[gate] + dot(hidden, weights, STATE, PRECISION),)
                u = sums
            x_offsets = row[:, None].to(tl.int64) * x_row + unit[None, :]
            x = load_tiles(x_pointer, x_offsets, inside, x_gate, GATES, STATE)
            ends = sequence * (PARTS * D) + unit[None, :]
            state = load_tiles(old, ends, inside, D, PARTS, STATE)
            after, kept = advance(x, u, state, CELL, QUICK)
            store_tiles(new, ends, inside, D, after, PARTS)
            token = sequence * length + t
            tl.store(out_pointer + token * D + unit[None, :], after[0], mask=inside)
            if SAVE:
                before = token * (PARTS * D) + unit[None, :]
                store_tiles(states_pointer, before, inside, D, state, PARTS)
                steps = token * (KEPT * D) + unit[None, :]
                store_tiles(kept_pointer, steps, inside, D, kept, KEPT)
        tl.debug_barrier()  # all units of the new state are there
        x_pointer += x_step


@triton.jit(do_not_specialize=[*SIZES, "g0", "g1", "g2", "g_row", "g_step"])
def scan_backward(
    r_pointer, states_pointer, kept_pointer, d_out_pointer, work_pointer, d_x_pointer,
    n1: tl.int32, n2: tl.int32, batch: tl.int32, length: tl.int32,
    g0: tl.int64, g1: tl.int64, g2: tl.int64, g_row: tl.int64, g_step: tl.int64,
    D: tl.constexpr, TILE: tl.constexpr, COLUMNS: tl.constexpr, GATES: tl.constexpr,
    PARTS: tl.constexpr, KEPT: tl.constexpr, CELL: tl.constexpr, BATCH_BLOCK: tl.constexpr,
    OPERAND: tl.constexpr, OPERANDS: tl.constexpr, PRECISION: tl.constexpr, STATE: tl.constexpr,
    QUICK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """As `kernel_backward.scan_backward`; `work` [N, B, S, D] holds the gradient of the state.

    It starts as that of the final state and ends as that of the initial one.
    """
    network, row = network_and_row(BATCH_BLOCK, batch)
    valid = row[:, None] < batch
    s0, s1, s2 = place(network, n1, n2)
    r_pointer += network.to(tl.int64) * (GATES * D * D)
    d_out_pointer += s0 * g0 + s1 * g1 + s2 * g2 + (length - 1).to(tl.int64) * g_step
    sequence = (network.to(tl.int64) * batch + row)[:, None]
    for back in tl.range(0, length):
        token = sequence * length + (length - 1 - back)
        for first in tl.range(0, D, TILE):
            unit = first + tl.arange(0, TILE)
            inside = valid & (unit[None, :] < D)
            d_out_offsets = row[:, None].to(tl.int64) * g_row + unit[None, :]
            d_out = tl.load(d_out_pointer + d_out_offsets, mask=inside, other=0).to(STATE)
            kept_offsets = token * (KEPT * D) + unit[None, :]
            kept = load_tiles(kept_pointer, kept_offsets, inside, D, KEPT, STATE)
            before_offsets = token * (PARTS * D) + unit[None, :]
            before = load_tiles(states_pointer, before_offsets, inside, D, PARTS, STATE)
            ends = sequence * (PARTS * D) + unit[None, :]
            grads = load_tiles(work_pointer, ends, inside, D, PARTS, STATE)
            grads = (grads[0] + d_out,) + grads[1:]
            d_x, d_before = step_back(kept, before, grads, CELL, QUICK)
            x_offsets = token * (GATES * D) + unit[None, :]
            store_tiles(d_x_pointer, x_offsets, inside, D, d_x, GATES)
            store_tiles(work_pointer, ends, inside, D, d_before, PARTS)
        tl.debug_barrier()  # all units of the gradient of x are there
        for first in tl.range(0, D, COLUMNS):
            unit = first + tl.arange(0, COLUMNS)
            inside = valid & (unit[None, :] < D)
            ends = sequence * (PARTS * D) + unit[None, :]
            d_hidden = tl.load(work_pointer + ends, mask=inside, other=0)
            for start in tl.range(0, D, TILE, num_stages=STAGES):
                source = start + tl.arange(0, TILE)
                here = valid & (source[None, :] < D)
                for gate in tl.static_range(GATES):
                    d_u = tl.load(
                        d_x_pointer + token * (GATES * D) + gate * D + source[None, :],
                        mask=here, other=0,
                    )  # fmt: skip
                    if CELL == GRU and gate == NEW:
                        d_u = d_u * tl.load(
                            kept_pointer + token * (KEPT * D) + RESET * D + source[None, :],
                            mask=here, other=0,
                        )  # fmt: skip
                    square = load_square(r_pointer + gate * D * D, source, unit, 1, D, D, STATE)
                    weights = split(square, OPERAND, OPERANDS)
                    left = split(d_u.to(STATE), OPERAND, OPERANDS)
                    d_hidden += dot(left, weights, STATE, PRECISION)
            tl.store(work_pointer + ends, d_hidden, mask=inside)
        tl.debug_barrier()
        d_out_pointer -= g_step
