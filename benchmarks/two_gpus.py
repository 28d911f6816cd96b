"""Time one grid on one GPU and on several of the same machine, through the local launcher.

Run ``python -m benchmarks.two_gpus --output FOLDER``. The grid is packs of DeltaProduct models on
S3, all of one shape and with the same number of steps, chosen after a first grid on one GPU (which
fills Triton's cache) so that one GPU takes about ``--seconds``. Every measurement is a process of
its own that sees so many GPUs, with a fresh store, in turns: one, two, two, one, ...; the packs are
the same, and so must be the table, bit for bit.

Seconds by the clock. "start" is from the call of `run_grid` to the first step that is reported:
the worker process, its imports, the first pack's models and captured step. "work" is from there to
the last record in the store, measuring the models included; "whole" is the call. "waits" is how
long the worker that ended first had nothing to do, and is part of "work".

``--device cpu`` times worker processes of one thread instead, to try the script without a GPU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from automata.errors import InputError
from statetrack.provenance import provenance
from statetrack.training import Grid, LocalLauncher, RunConfig, load_results, run_grid
from statetrack.training.packs import partition
from statetrack.training.progress import GridProgress, Progress
from statetrack.training.records import RunRecord

RUNS = [
    *["task=s3", "model=householder", "model.num_factors=2", "model.num_heads=4"],
    *["model.width=64", "model.head_size=16", "training.length=128", "training.batch_size=256"],
    *["training.projections=tensorfloat32", "evaluation.num_words=1024"],
    "evaluation.read_transitions=false",
]
SMALL = ["training.length=16", "training.batch_size=16", "evaluation.num_words=64"]
ROUND = 50
TIMES = ("seconds", "solved_seconds")
TARGET = 1.9


@dataclass(frozen=True)
class Measured:
    """Seconds of one call of `run_grid`.

    Attributes
    ----------
    workers : int
    start, work, whole : float
        See the module.
    waits : float
        From the end of the last pack but `workers - 1` to the end of the last.
    ends : list of float
        When the packs had all their records, from the call on, in order.
    process : float
        From the start of the process that called to the end of the call, imports included.
    """

    workers: int
    start: float
    work: float
    whole: float
    waits: float
    ends: list[float]
    process: float


class Watch(GridProgress):
    """Notes when the first step was reported and when each record was safe."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.first: float | None = None
        self.recorded: dict[str, float] = {}

    def advanced(self, progress: Progress) -> None:
        """Note the first."""
        if self.first is None:
            self.first = time.time()
        super().advanced(progress)

    def finished(self, record: RunRecord) -> None:
        """Note each."""
        self.recorded[record.run_id] = time.time()


def grid_of(steps: Sequence[int], pack_size: int, device: str) -> Grid:
    """One pack for each number of steps."""
    pairs = [*RUNS, f"training.select_every={ROUND}", *(SMALL if device == "cpu" else [])]
    runs = [
        RunConfig.from_pairs(
            [*pairs, f"training.steps={count}", f"seed={place * pack_size + seed}"]
        )
        for place, count in enumerate(steps)
        for seed in range(pack_size)
    ]
    return Grid("two_gpus", tuple(runs))


def measure_here(folder: Path, workers: int, device: str, grid: Grid, pack_size: int) -> Measured:
    """Run the grid in this process; it was begun at the time in ``BEGUN``."""
    devices = [f"cuda:{number}" for number in range(workers)] if device == "cuda" else ["cpu"]
    launcher = LocalLauncher(workers, devices, pack_size)
    watch = Watch()
    called = time.time()
    results = run_grid(grid, folder, launcher=launcher, progress=watch)
    ended = time.time()
    if len(results.finished) != len(grid) or watch.first is None:
        raise InputError(f"{len(grid) - len(results.finished)} runs failed: nothing is timed")
    ends = sorted(
        max(watch.recorded[run.run_id] for run in pack) - called
        for pack in partition(grid, pack_size)
    )
    return Measured(
        workers=workers,
        start=watch.first - called,
        work=ends[-1] - (watch.first - called),
        whole=ended - called,
        waits=ends[-1] - ends[-workers],
        ends=ends,
        process=ended - float(os.environ["BEGUN"]),
    )


def measure(
    folder: Path, workers: int, device: str, steps: Sequence[int], pack_size: int
) -> Measured:
    """Run the grid in a process of its own that sees `workers` GPUs."""
    environment = os.environ | {"BEGUN": str(time.time())}
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        own = visible if visible != [""] else [str(number) for number in range(workers)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(own[:workers])
    else:
        environment["OMP_THREAD_LIMIT"] = "1"
    given = json.dumps([str(folder), workers, device, list(steps), pack_size])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.two_gpus", "--measure", given],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the grid on {workers} x {device} failed: nothing is timed")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def choose_steps(
    folder: Path, device: str, seconds: float, packs: int, pack_size: int
) -> tuple[int, Measured]:
    """Steps with which one device takes `seconds` for all packs, from three packs on one.

    The first compiles what is not compiled yet; the second and the third differ in steps alone.
    """
    few, many = 2 * ROUND, 6 * ROUND
    found = measure(folder, 1, device, [few, few, many], pack_size)
    first, second, third = found.ends
    of_step = (third - second - (second - first)) / (many - few)
    fixed = (second - first) - few * of_step
    steps = (seconds / packs - fixed) / max(of_step, 1e-6)
    return max(1, round(steps / ROUND)) * ROUND, found


def same_tables(folders: Sequence[Path]) -> bool:
    """Whether all results are equal, but for the times; prints the first difference."""
    first, *others = [load_results(folder) for folder in folders]
    expected = {"runs": first.runs.drop(columns=list(TIMES)), **first.tables}
    for other in others:
        found = {"runs": other.runs.drop(columns=list(TIMES)), **other.tables}
        for name, table in expected.items():
            ordered = [
                frame.sort_values("run_id", kind="stable", ignore_index=True)
                for frame in (found[name], table)
            ]
            try:
                pd.testing.assert_frame_equal(*ordered, check_exact=True)
            except AssertionError as error:
                print(f"table {name}: {error}")
                return False
    return True


def speed_ups(measured: Sequence[Measured]) -> dict[str, float]:
    """Median seconds of one worker over those of the most, by part of the call."""
    most = max(one.workers for one in measured)

    def median(part: str, workers: int) -> float:
        return statistics.median(getattr(one, part) for one in measured if one.workers == workers)

    return {part: median(part, 1) / median(part, most) for part in ("work", "whole", "process")}


def main() -> None:
    """Read the command line, time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--packs", type=int, default=8)
    parser.add_argument("--pack-size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=56.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        folder, workers, device, steps, pack_size = json.loads(options.measure)
        grid = grid_of(steps, pack_size, device)
        print(json.dumps(asdict(measure_here(Path(folder), workers, device, grid, pack_size))))
        return
    with tempfile.TemporaryDirectory() as place:
        report(options, Path(place))


def report(options: argparse.Namespace, place: Path) -> None:
    """Measure in turns; the report is written again after every measurement."""
    device, size = options.device, options.pack_size
    steps, first = choose_steps(place / "first", device, options.seconds, options.packs, size)
    content: dict[str, Any] = {
        "packs": options.packs,
        "pack_size": size,
        "steps": steps,
        "first_grid": asdict(first),
        "provenance": provenance("cuda:0" if device == "cuda" else "cpu"),
    }
    print(f"first grid, 3 packs: started in {first.start:.1f} s, whole {first.whole:.1f} s")
    print(f"{options.packs} packs of {size} runs, {steps} steps each")
    print(f"{'workers':>7} {'start':>7} {'work':>7} {'waits':>7} {'whole':>7} {'process':>8}")
    measured: list[Measured] = []
    folders = []
    for number in range(options.repeats):
        for workers in (1, options.devices) if number % 2 == 0 else (options.devices, 1):
            folders.append(place / f"{number}-{workers}")
            one = measure(folders[-1], workers, device, [steps] * options.packs, size)
            measured.append(one)
            print(
                f"{workers:7} {one.start:7.2f} {one.work:7.2f} {one.waits:7.2f} {one.whole:7.2f} "
                f"{one.process:8.2f}",
                flush=True,
            )
            content["measured"] = [asdict(one) for one in measured]
            if len({one.workers for one in measured}) > 1:
                content["speed_up"] = speed_ups(measured)
            keep(content, options.output)
    content["same_tables"] = same_tables(folders)
    keep(content, options.output)
    found = content["speed_up"]
    print(
        f"{options.devices} x {device} against one: {found['work']:.3f} times faster from the "
        f"first step on, {found['whole']:.3f} the whole call, {found['process']:.3f} with the "
        f"start of Python (aim: {TARGET})"
    )
    print(f"tables equal bit for bit: {content['same_tables']}")


def keep(content: dict[str, Any], output: Path | None) -> None:
    """Write the report."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "two_gpus.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
