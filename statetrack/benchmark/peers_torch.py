"""Cells of torch.nn as contestants: one call a network, which on a GPU is a call of cuDNN."""

import torch
from torch import Tensor

from statetrack.benchmark.cases import Case
from statetrack.benchmark.contestants import Contestant, Prepared, only
from statetrack.benchmark.scan_rows import Inputs
from statetrack.models.torch_cells import CLASSES


def _one_after_another(case: Case, inputs: Inputs) -> Prepared:
    """Prepare a module a network, with the identity for input weights.

    A cell of torch multiplies its inputs first, so that what it takes for the same function is one
    product of B W T rows by G D columns more than ours.
    """
    size = case["D"]
    gates = inputs["x"].shape[-2]
    modules = [
        CLASSES[case.variant](gates * size, size, batch_first=True, device=inputs["x"].device)
        for _ in range(case["B"])
    ]
    with torch.no_grad():
        for module in modules:
            weight_ih, _, bias_ih, _ = module.parameters()
            weight_ih.copy_(torch.eye(gates * size))
            bias_ih.zero_()

    def call(x: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
        hidden = []
        for module, *of_network in zip(modules, x, recurrent, bias, strict=True):
            words, weight, biases = of_network
            parameters = {"weight_hh_l0": weight, "bias_hh_l0": biases}
            hidden.append(torch.func.functional_call(module, parameters, (words,))[0])
        return torch.stack(hidden)

    leaves = {
        "x": inputs["x"].flatten(-2),
        "recurrent": inputs["recurrent"].mT.flatten(1, 2).contiguous(),
        "bias": inputs["bias"].flatten(1),
    }

    def gradient(name: str, one: Tensor, leaf: Tensor) -> Tensor:
        if name == "recurrent":
            return one.unflatten(1, (gates, size)).mT
        return one.unflatten(-1, (gates, size))

    return Prepared(call, leaves, gradient=gradient)


CELLS_OF_TORCH = Contestant(
    "torch.nn one by one",
    ("nonlinear",),
    _one_after_another,
    only(
        "cells of torch: rnn, gru, lstm, in float32",
        lambda case: case.variant in CLASSES,
        lambda case: case.dtype == "float32" and case.precision == "ieee",
    ),
)
