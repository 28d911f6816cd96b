"""The row of nonlinear scans: B networks with W words each, D units; the variant is the cell."""

import math

import torch
from torch import Generator

from statetrack.benchmark.cases import Case
from statetrack.benchmark.draws import Inputs, Work, normal, signs
from statetrack.scans.nonlinear import CELLS

SATURATED = 128.0


def draw(case: Case, generator: Generator, positive: bool) -> Inputs:
    """Draw inputs with weights so small that errors do not grow over time."""
    cell, size = CELLS[case.variant], case["D"]
    gates = len(cell.gates)
    inputs = {
        "x": normal((case["B"], case["W"], case["T"], gates, size), generator),
        "recurrent": normal((case["B"], gates, size, size), generator) / (2 * math.sqrt(size)),
        "bias": normal((case["B"], gates, size), generator),
    }
    if "normaliser" in cell.state:
        # Of a state that tokens made, the normaliser is positive.
        initial = normal(initial_shape(case), generator)
        initial[..., cell.state.index("normaliser"), :] = (
            1 + initial[..., cell.state.index("cell"), :].abs()
        )
        inputs["initial"] = initial
    return inputs


def draw_exact(case: Case, generator: Generator) -> Inputs:
    """Draw a tanh network whose units are 1 or -1 and swap places and signs."""
    batch, size = case["B"], case["D"]
    order = torch.rand((batch, size), generator=generator, device=generator.device).argsort(-1)
    weights = torch.nn.functional.one_hot(order, size) * signs((batch, 1, size), generator)
    initial = signs(initial_shape(case), generator)
    shape = (batch, case["W"], case["T"], 1, size)
    return {
        "x": torch.zeros(shape, device=generator.device),
        "recurrent": SATURATED * weights.unsqueeze(1),
        "initial": initial,
    }


def initial_shape(case: Case) -> tuple[int, ...]:
    """Shape of the initial states."""
    return (case["B"], case["W"], len(CELLS[case.variant].state), case["D"])


def work(case: Case) -> Work:
    """What must move: gates and weights in, hidden states out; then these again, and gradients."""
    tokens, size = case["B"] * case["W"] * case["T"], case["D"]
    gates = len(CELLS[case.variant].gates)
    inputs = tokens * gates * size + case["B"] * gates * size * (size + 1)
    outputs = tokens * size
    operations = 2 * tokens * gates * size**2
    return Work(inputs + outputs, 3 * inputs + 2 * outputs, operations, 3 * operations)
