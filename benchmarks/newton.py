"""Newton's method over time beside the loop: steps, error, time.

Run ``python benchmarks/newton.py``; ``--tokens``, ``--units``, ``--words`` and ``--scales`` set the
sizes and how large the recurrent weights are, ``--device`` where. Inputs, weights and biases are
normal numbers, weights times the scale; for dense heads also over the root of their size.
"""

import argparse
import time
from collections.abc import Callable

import torch

from automata.errors import InputError
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
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def line(cell: str, structure: str, scale: float, given: argparse.Namespace) -> str:
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
    start = f"{cell} {structure} {size} units, weights {scale}"
    try:
        found = newton_scan(x, weights, bias, cell=cell, structure=structure)
    except InputError as error:
        return f"{start}: {error}"
    exact = nonlinear_scan(x.double(), dense.double(), bias.double(), cell=cell)[0]
    loop = nonlinear_scan(x, dense, bias, cell=cell)[0]
    with torch.no_grad():
        by_newton = milliseconds(
            lambda: newton_scan(x, weights, bias, cell=cell, structure=structure), device
        )
        by_loop = milliseconds(lambda: nonlinear_scan(x, dense, bias, cell=cell), device)
    return (
        f"{start}: {found.iterations} steps, residual {found.residuals[-1]:.0e}, error "
        f"{float((found.hidden - exact).abs().max()):.1e} (loop "
        f"{float((loop - exact).abs().max()):.1e}), {by_newton:.0f} ms (loop {by_loop:.0f} ms)"
    )


def main() -> None:
    """Print one line a cell and scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--words", type=int, default=1)
    parser.add_argument("--scales", nargs="+", type=float, default=[0.5, 1.0, 2.0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    for cell, structure in KINDS:
        for scale in given.scales:
            print(line(cell, structure, scale, given), flush=True)


if __name__ == "__main__":
    main()
