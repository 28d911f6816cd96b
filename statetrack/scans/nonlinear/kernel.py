"""Triton kernel of nonlinear recurrences, token after token, with weights and state on chip.

A program owns 16 rows of one network. Its recurrent weights are read once, before the first token;
the compiler keeps them in registers and shared memory. Products go through tensor cores, which
multiply as exactly as float32 does in `ieee` (`products`), and leave all gates of a unit in the
thread that makes the next state of it. Legend: T tokens, G gates, S parts of the state, P tensors
kept, D units, U units with padding.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import place
from statetrack.scans.nonlinear.kernel_cells import advance
from statetrack.scans.nonlinear.kernel_tiles import (
    INPUT_STRIDES,
    SIZES,
    even,
    in_pairs,
    in_rows,
    load_square,
    load_tiles,
    pairs_of,
    store_tiles,
)
from statetrack.scans.products import dot, split


@triton.jit
def step(
    x, weights, biases, state, UNITS: tl.constexpr, GATES: tl.constexpr, CELL: tl.constexpr,
    OPERAND: tl.constexpr, OPERANDS: tl.constexpr, PRECISION: tl.constexpr, STATE: tl.constexpr,
    QUICK: tl.constexpr,
):  # fmt: skip
    """The state after a token, and what is kept of it, all in pairs."""
    hidden = split(in_rows(state[0], UNITS), OPERAND, OPERANDS)
    u = ()
    for gate in tl.static_range(GATES):
        total = dot(hidden, weights[gate], STATE, PRECISION) + biases[gate][None, :]
        u = u + (in_pairs(total, UNITS),)
    return advance(x, u, state, CELL, QUICK)


@triton.jit(do_not_specialize=[*SIZES, *INPUT_STRIDES, "r0", "r1", "r2", "r_gate", "r_row"])
def scan_forward(
    x_pointer, r_pointer, bias_pointer, initial_pointer, out_pointer, final_pointer,
    states_pointer, kept_pointer,
    n1: tl.int32, n2: tl.int32, batch: tl.int32, length: tl.int32,
    x0: tl.int64, x1: tl.int64, x2: tl.int64, x_row: tl.int64, x_step: tl.int64, x_gate: tl.int64,
    r0: tl.int64, r1: tl.int64, r2: tl.int64, r_gate: tl.int64, r_row: tl.int64,
    D: tl.constexpr, UNITS: tl.constexpr, GATES: tl.constexpr, PARTS: tl.constexpr,
    KEPT: tl.constexpr, CELL: tl.constexpr, SAVE: tl.constexpr, OPERAND: tl.constexpr,
    OPERANDS: tl.constexpr, PRECISION: tl.constexpr, STATE: tl.constexpr, QUICK: tl.constexpr,
    EVEN: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Hidden states [N, B, T, D] and the final state [N, B, S, D].

    With SAVE also the states before every token [N, B, T, S, D], and what is kept of every step
    [N, B, T, P, D].
    """
    network, row, column = pairs_of(batch, UNITS)
    inside = (row < batch) & (column < D)
    unit = tl.arange(0, UNITS)
    s0, s1, s2 = place(network, n1, n2)
    r_pointer += s0 * r0 + s1 * r1 + s2 * r2
    bias_pointer += network.to(tl.int64) * (GATES * D)
    weights = ()
    biases = ()
    for gate in tl.static_range(GATES):
        square = load_square(r_pointer + gate * r_gate, unit, unit, r_row, 1, D, STATE)
        weights = weights + (split(square, OPERAND, OPERANDS),)
        bias = tl.load(bias_pointer + gate * D + unit, mask=unit < D, other=0)
        biases = biases + (bias.to(STATE),)
    x_pointer += s0 * even(x0, EVEN) + s1 * even(x1, EVEN) + s2 * even(x2, EVEN)
    x_step = even(x_step, EVEN)
    x_gate = even(x_gate, EVEN)
    x_offsets = row.to(tl.int64) * even(x_row, EVEN) + column
    sequence = network.to(tl.int64) * batch + row
    ends = sequence * (PARTS * D) + column
    outputs = sequence * length * D + column
    before = sequence * length * (PARTS * D) + column
    steps = sequence * length * (KEPT * D) + column
    state = load_tiles(initial_pointer, ends, inside, D, PARTS, STATE)
    # The first token stands before the loop: weights that are used there stay in registers.
    x = load_tiles(x_pointer, x_offsets, inside, x_gate, GATES, STATE)
    after, kept = step(x, weights, biases, state, UNITS, GATES, CELL, OPERAND, OPERANDS, PRECISION,
                       STATE, QUICK)  # fmt: skip
    tl.store(out_pointer + outputs, after[0], mask=inside)
    if SAVE:
        store_tiles(states_pointer, before, inside, D, state, PARTS)
        store_tiles(kept_pointer, steps, inside, D, kept, KEPT)
    state = after
    for _ in tl.range(1, length, num_stages=STAGES):
        x_pointer += x_step
        out_pointer += D
        states_pointer += PARTS * D
        kept_pointer += KEPT * D
        x = load_tiles(x_pointer, x_offsets, inside, x_gate, GATES, STATE)
        after, kept = step(x, weights, biases, state, UNITS, GATES, CELL, OPERAND, OPERANDS,
                           PRECISION, STATE, QUICK)  # fmt: skip
        tl.store(out_pointer + outputs, after[0], mask=inside)
        if SAVE:
            store_tiles(states_pointer, before, inside, D, state, PARTS)
            store_tiles(kept_pointer, steps, inside, D, kept, KEPT)
        state = after
    store_tiles(final_pointer, ends, inside, D, state, PARTS)
