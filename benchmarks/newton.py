"""Newton's method over time beside the loop: steps, error, time.

Run ``python benchmarks/newton.py``; ``--tokens``, ``--units``, ``--words`` and ``--scales`` set the
sizes and how large the recurrent weights are, ``--device`` where. Inputs, weights and biases are
normal numbers, weights times the scale; for dense heads also over the root of their size.
``--out FILE`` writes the rows as JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from automata.errors import InputError
from statetrack.provenance import provenance
from statetrack.scans import newton_scan, nonlinear_scan
from statetrack.scans.nonlinear import CELLS

KINDS = (
    ("rnn", "diagonal"), ("gru", "diagonal"), ("lstm", "diagonal"), ("rnn", "dense"),
    ("gru", "dense"), ("lstm", "dense"),
)  # fmt: skip
DENSE_UNITS = 4


def milliseconds(run: Callable[[], object], device: torch.device) -> float:
    """The lesser of two calls."""
    times = []
    for _ in range(2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def row(cell: str, structure: str, scale: float, given: argparse.Namespace) -> dict[str, Any]:
    """What one size gives, float32, the error against the loop in float64."""
    device = torch.device(given.device)
    generator = torch.Generator().manual_seed(0)
    gates = len(CELLS[cell].gates)
    diagonal = structure == "diagonal"
    size = given.units if diagonal else DENSE_UNITS

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    x, bias = draw(given.words, given.tokens, gates, size), draw(gates, size)
    weights = draw(gates, size) * scale if diagonal else draw(gates, size, size) * scale / size**0.5
    dense = torch.diag_embed(weights) if diagonal else weights
    sizes = {
        "cell": cell,
        "structure": structure,
        "units": size,
        "scale": scale,
        "words": given.words,
        "tokens": given.tokens,
    }
    try:
        found = newton_scan(x, weights, bias, cell=cell, structure=structure)
    except InputError as error:
        return {**sizes, "refused": str(error)}
    exact = nonlinear_scan(x.double(), dense.double(), bias.double(), cell=cell)[0]
    loop = nonlinear_scan(x, dense, bias, cell=cell)[0]
    with torch.no_grad():
        by_newton = milliseconds(
            lambda: newton_scan(x, weights, bias, cell=cell, structure=structure), device
        )
        by_loop = milliseconds(lambda: nonlinear_scan(x, dense, bias, cell=cell), device)
    return {
        **sizes,
        "iterations": found.iterations,
        "residuals": found.residuals,
        "error": float((found.hidden - exact).abs().max()),
        "loop_error": float((loop - exact).abs().max()),
        "difference": float((found.hidden - loop).abs().max()),
        "newton_ms": by_newton,
        "loop_ms": by_loop,
    }


def line(one: dict[str, Any]) -> str:
    """A row as text."""
    start = f"{one['cell']} {one['structure']} {one['units']} units, weights {one['scale']}"
    if "refused" in one:
        return f"{start}: {one['refused']}"
    return (
        f"{start}: {one['iterations']} steps, residual {one['residuals'][-1]:.0e}, error "
        f"{one['error']:.1e} (loop {one['loop_error']:.1e}), difference {one['difference']:.1e}, "
        f"{one['newton_ms']:.1f} ms (loop {one['loop_ms']:.1f} ms)"
    )


def main() -> None:
    """Print one line a cell and scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--words", type=int, default=1)
    parser.add_argument("--scales", nargs="+", type=float, default=[0.5, 1.0, 2.0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for cell, structure in KINDS:
        for scale in given.scales:
            rows.append(row(cell, structure, scale, given))
            print(line(rows[-1]), flush=True)
            if given.out is not None:
                content = {"rows": rows, "provenance": provenance(given.device)}
                given.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
