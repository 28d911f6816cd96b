"""Time packs of LSTMs, GRUs and tanh RNNs beside cuDNN, one network after another.

Run ``python benchmarks/cells.py`` on a GPU; ``--cells``, ``--networks``, ``--units``, ``--words``
and ``--tokens`` set the sizes, ``--out FILE`` writes the rows as JSON. A network is one layer with
its input weights, as `torch.nn.LSTM`, and a step is a forward and a backward pass. Outputs and
gradients of the pack are held to those of torch in float64 before anything is timed. tf32 is off.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from statetrack.benchmark.checks import relative_error
from statetrack.benchmark.timing import time_calls
from statetrack.models.torch_cells import CLASSES
from statetrack.provenance import provenance
from statetrack.scans import nonlinear_scan
from statetrack.scans.nonlinear import CELLS

SECONDS = 0.5
BOUND = 1e-5


def pack(cell: str, x: Tensor, weights: list[Tensor]) -> Tensor:
    """Hidden states [P, B, T, D] of P networks, by one scan."""
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    gates = (len(CELLS[cell].gates), weight_hh.shape[-1])
    brought, bias = x.flatten(1, 2) @ weight_ih.mT, bias_hh + bias_ih
    if cell == "gru":  # its reset gate multiplies one of the biases
        brought, bias = brought + bias_ih.unsqueeze(1), bias_hh
    return nonlinear_scan(
        brought.unflatten(1, x.shape[1:3]).unflatten(-1, gates),
        weight_hh.unflatten(1, gates).mT,
        bias.unflatten(1, gates),
        cell=cell,
    )[0]


def one_by_one(modules: list[nn.RNNBase], x: Tensor) -> Tensor:
    """The same by torch's modules, one call each."""
    return torch.stack([module(words)[0] for module, words in zip(modules, x, strict=True)])


def row(cell: str, networks: int, words: int, tokens: int, units: int) -> dict[str, Any]:
    """Check and time one size."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    modules = [CLASSES[cell](units, units, batch_first=True).to(device) for _ in range(networks)]
    x = torch.randn(networks, words, tokens, units, device=device)
    weights = [
        torch.stack([one.detach() for one in of_all]).requires_grad_()
        for of_all in zip(*(module.parameters() for module in modules), strict=True)
    ]
    cotangent = torch.randn_like(x)

    found = pack(cell, x, weights)
    gradients = torch.autograd.grad(found, weights, cotangent)
    some = sorted({0, networks - 1})
    exact_leaves = [one[some].detach().double().requires_grad_() for one in weights]
    exact = []
    for place, words_of_one in enumerate(x[some].double()):
        module = CLASSES[cell](units, units, batch_first=True).to(device).double()
        names = [name for name, _ in module.named_parameters()]
        own = dict(zip(names, (one[place] for one in exact_leaves), strict=True))
        exact.append(torch.func.functional_call(module, own, (words_of_one,))[0])
    wanted = torch.autograd.grad(torch.stack(exact), exact_leaves, cotangent[some].double())
    errors = {"hidden": relative_error(found[some], torch.stack(exact).detach())}
    for (name, _), gradient, right in zip(
        modules[0].named_parameters(), gradients, wanted, strict=True
    ):
        errors[name] = relative_error(gradient[some], right)
    if not max(errors.values()) <= BOUND:
        off = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        raise SystemExit(f"{cell}: off by {off}; at most {BOUND:.1e} is allowed")

    parameters = [one for module in modules for one in module.parameters()]
    ours = time_calls(
        [lambda: torch.autograd.grad(pack(cell, x, weights), weights, cotangent)], device, SECONDS
    )
    torchs = time_calls(
        [lambda: torch.autograd.grad(one_by_one(modules, x), parameters, cotangent)],
        device,
        SECONDS,
    )
    return {
        "device": device.type,
        "cell": cell,
        "networks": networks,
        "words": words,
        "tokens": tokens,
        "units": units,
        "ours_ms": ours.median,
        "torch_ms": torchs.median,
        "times": torchs.median / ours.median,
        "error": max(errors.values()),
    }


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", default=["lstm"], choices=list(CLASSES))
    parser.add_argument("--networks", nargs="+", type=int, default=[32, 1])
    parser.add_argument("--units", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows = []
    for cell in given.cells:
        for units in given.units:
            for networks in given.networks:
                rows.append(row(cell, networks, given.words, given.tokens, units))
                one = rows[-1]
                print(
                    f"{cell} {networks} x {units} units: ours {one['ours_ms']:.2f} ms, torch one "
                    f"by one {one['torch_ms']:.2f} ms ({one['times']:.2f} times), error "
                    f"{one['error']:.1e}",
                    flush=True,
                )
                if given.out is not None:
                    content = {"rows": rows, "provenance": provenance(one["device"])}
                    given.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
