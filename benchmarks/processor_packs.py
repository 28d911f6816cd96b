"""Time the runs of the CPU preset in packs and one at a time, on a processor.

Run ``python benchmarks/processor_packs.py --output FOLDER``: the 24 runs of
``experiments/eigenvalue_ranges.py`` with fewer steps, each way through `run_grid` in a folder of
its own, in turns. "One at a time" is one process with all cores for one run after the other; packs
have a process a core. Seconds by the clock: of training, summed over the runs, and in all, with
processes, measurement and records.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from experiments.eigenvalue_ranges import grid as preset
from statetrack.provenance import provenance
from statetrack.training import Grid, LocalLauncher, RunConfig, run_grid


def shortened(steps: int) -> Grid:
    """The runs of the CPU preset with so many steps, and little measurement."""
    runs = []
    for run in preset("cpu").runs:
        tree = run.model_dump(mode="json")
        tree["training"] |= {"steps": steps, "select_every": max(1, steps // 2)}
        tree["evaluation"] |= {"num_words": 64, "read_transitions": False}
        runs.append(RunConfig.model_validate(tree))
    return Grid("processor_packs", tuple(runs))


def seconds(grid: Grid, launcher: LocalLauncher) -> dict[str, float]:
    """Of all training and in all."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = run_grid(grid, folder, launcher=launcher)
        whole = time.perf_counter() - started
    if len(results.finished) != len(grid.runs):
        raise SystemExit(f"{len(grid.runs) - len(results.finished)} runs failed; nothing is timed")
    return {"training": float(results.finished.seconds.sum()), "in_all": whole}


def main() -> None:
    """Read the command line, time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    grid, cores = shortened(options.steps), os.cpu_count() or 1
    ways = {
        "one at a time": lambda: LocalLauncher(num_workers=1, device="cpu", pack_size=1),
        "packs": lambda: LocalLauncher(num_workers=cores, device="cpu"),
    }
    rows = []
    for place in range(options.rounds):
        for name, launcher in ways.items():
            found = seconds(grid, launcher())
            rows.append({"way": name, "round": place, **found})
            print(f"{name:14} training {found['training']:7.1f} s, in all {found['in_all']:7.1f} s")
    least = {name: min(row["in_all"] for row in rows if row["way"] == name) for name in ways}
    print(f"packs are {least['one at a time'] / least['packs']:.2f} times faster in all")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        report = {"steps": options.steps, "rows": rows, "provenance": provenance("cpu")}
        (options.output / "processor_packs.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
