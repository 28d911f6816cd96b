"""What tests of the benchmark share: a case, roofs, and peers made up for a test."""

import torch

from statetrack.benchmark.cases import case
from statetrack.benchmark.peers import Contestant, Prepared
from statetrack.benchmark.roofs import Roofs
from statetrack.benchmark.scan_rows import SCANS

CPU = torch.device("cpu")
ROOFS = Roofs(4e12, 0.004, {"fp32": 50e12, "tf32": 360e12, "bf16": 800e12})
TINY = case("diagonal", "B3 D4 T8")


def scans_of(cases):
    return [one for one in cases if one.scan in SCANS]


def scan_by_loop(a, x):
    state, states = torch.zeros_like(x[..., 0]), []
    for t in range(x.shape[-1]):
        state = a[..., t] * state + x[..., t]
        states.append(state)
    return torch.stack(states, -1)


def planted(name, call, **more):
    return {
        name: Contestant(name, ("diagonal",), lambda case, inputs: Prepared(call, inputs), **more)
    }
