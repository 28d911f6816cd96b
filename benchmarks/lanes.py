"""Time the scans on a processor: sequences in lanes beside the parallel form, forward and backward.

Run ``python benchmarks/lanes.py --output FOLDER``. One thread; time of the processor, not of the
clock, for a call forward and one backward, the least of several, in turns. ``--runs`` are sizes of
a pack: sequences are runs times words times heads.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from statetrack.provenance import provenance
from statetrack.scans import diagonal_scan, householder_scan, matrix_scan

ROUNDS = 7
WORDS, HEADS = 64, 4
BACKENDS = ("lanes", "parallel")


@dataclass(frozen=True)
class Row:
    """A scan at one size.

    Parameters
    ----------
    name : str
    scan : callable
        Takes the inputs and a backend; gives outputs.
    shapes : sequence of tuple of int
        Of the inputs of one run, after the axis of words.
    """

    name: str
    scan: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]


def rows(length: int) -> Iterator[Row]:
    """The scans of small models, as `build_model` makes them by default, and larger states."""
    yield Row(
        "diagonal, 64 channels",
        lambda a, x, backend: diagonal_scan(a.tanh(), x, backend=backend)[0],
        ((length, 64), (length, 64)),
    )
    for size in (4, 8):
        yield Row(
            f"matrix {size} x {size}, scale apart",
            lambda a, backend: matrix_scan(a, rescale=True, backend=backend)[0].values,
            ((HEADS, length, size, size),),
        )
    for keys, factors in ((8, 1), (8, 2), (8, 4), (16, 1), (16, 2), (32, 1)):
        yield Row(
            f"Householder {keys} x {keys}, {factors} a token",
            lambda q, k, v, beta, backend: householder_scan(
                q, torch.nn.functional.normalize(k, dim=-1), v, 2 * beta.sigmoid(), backend=backend
            )[0],
            (
                (HEADS, length, keys),
                (HEADS, length, factors, keys),
                (HEADS, length, factors, keys),
                (HEADS, length, factors),
            ),
        )


def seconds(row: Row, runs: int) -> dict[str, float]:
    """Least processor time of a call forward and backward, for each backend."""
    inputs = [torch.randn(runs * WORDS, *shape, requires_grad=True) for shape in row.shapes]
    with torch.no_grad():
        weight = torch.randn_like(row.scan(*inputs, backend=BACKENDS[0]))
    least = dict.fromkeys(BACKENDS, float("inf"))
    for _ in range(ROUNDS):
        for backend in BACKENDS:
            start = time.process_time()
            torch.autograd.grad(row.scan(*inputs, backend=backend), inputs, weight)
            least[backend] = min(least[backend], time.process_time() - start)
    return least


def main() -> None:
    """Read the command line, time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 3, 12])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    print(f"{'scan':34}{'runs':>5}" + "".join(f"{name + ', ms a run':>22}" for name in BACKENDS))
    for row in rows(options.length):
        for runs in options.runs:
            by_backend = {name: 1e3 * s / runs for name, s in seconds(row, runs).items()}
            found.append({"scan": row.name, "runs": runs, "milliseconds_a_run": by_backend})
            times = "".join(f"{by_backend[name]:>22.2f}" for name in BACKENDS)
            print(f"{row.name:34}{runs:>5}{times}", flush=True)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        report = {"length": options.length, "rows": found, "provenance": provenance("cpu")}
        (options.output / "lanes.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
