"""Triton kernel of nonlinear recurrences, token after token, with weights and state on chip.

A program owns `BATCH_BLOCK` rows of one network. Its recurrent weights are read once, before the
first token; the compiler keeps them in shared memory. Legend: T tokens, G gates, S parts of the
state, P tensors kept, D units.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import place
from statetrack.scans.nonlinear.kernel_cells import advance
from statetrack.scans.nonlinear.kernel_tiles import (
    load_square,
    load_tiles,
    network_and_row,
    product,
    store_tiles,
)

SIZES = ["n1", "n2", "batch", "length"]
STRIDES = ["x0", "x1", "x2", "x_row", "x_step", "x_gate"]


@triton.jit(do_not_specialize=[*SIZES, *STRIDES, "r0", "r1", "r2", "r_gate", "r_row"])
def scan_forward(
    x_pointer, r_pointer, bias_pointer, initial_pointer, out_pointer, final_pointer,
    states_pointer, kept_pointer,
    n1: tl.int32, n2: tl.int32, batch: tl.int32, length: tl.int32,
    x0: tl.int64, x1: tl.int64, x2: tl.int64, x_row: tl.int64, x_step: tl.int64, x_gate: tl.int64,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r_gate: tl.int64, r_row: tl.int64,
    D: tl.constexpr, UNITS: tl.constexpr, GATES: tl.constexpr, PARTS: tl.constexpr,
    KEPT: tl.constexpr, CELL: tl.constexpr, BATCH_BLOCK: tl.constexpr, SAVE: tl.constexpr,
    PRECISION: tl.constexpr, STATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Hidden states [N, B, T, D] and the final state [N, B, S, D].

    With SAVE also the states before every token [N, B, T, S, D], and what is kept of every step
    [N, B, T, P, D].
    """
    network, row = network_and_row(BATCH_BLOCK, batch)
    unit = tl.arange(0, UNITS)
    inside = (row[:, None] < batch) & (unit[None, :] < D)
    s0, s1, s2 = place(network, n1, n2)
    r_pointer += s0 * r0 + s1 * r1 + s2 * r2
    bias_pointer += network.to(tl.int64) * (GATES * D)
    weights = ()
    biases = ()
    for gate in tl.static_range(GATES):
        weights = weights + (
            load_square(r_pointer + gate * r_gate, unit, unit, r_row, 1, D, STATE),
        )
        bias = tl.load(bias_pointer + gate * D + unit, mask=unit < D, other=0)
        biases = biases + (bias.to(STATE),)
    x_pointer += s0 * x0 + s1 * x1 + s2 * x2
    x_offsets = row[:, None].to(tl.int64) * x_row + unit[None, :]
    sequence = (network.to(tl.int64) * batch + row)[:, None]
    ends = sequence * (PARTS * D) + unit[None, :]
    outputs = sequence * length * D + unit[None, :]
    before = sequence * length * (PARTS * D) + unit[None, :]
    steps = sequence * length * (KEPT * D) + unit[None, :]
    state = load_tiles(initial_pointer, ends, inside, D, PARTS, STATE)
    for _ in tl.range(0, length, num_stages=STAGES):
        x = load_tiles(x_pointer, x_offsets, inside, x_gate, GATES, STATE)
        u = ()
        for gate in tl.static_range(GATES):
            start = tl.zeros([BATCH_BLOCK, UNITS], STATE) + biases[gate][None, :]
            u = u + (product(state[0], weights[gate], start, PRECISION, STATE),)
        after, kept = advance(x, u, state, CELL)
        tl.store(out_pointer + outputs, after[0], mask=inside)
        if SAVE:
            store_tiles(states_pointer, before, inside, D, state, PARTS)
            store_tiles(kept_pointer, steps, inside, D, kept, KEPT)
        state = after
        x_pointer += x_step
        out_pointer += D
        states_pointer += PARTS * D
        kept_pointer += KEPT * D
    store_tiles(final_pointer, ends, inside, D, state, PARTS)
