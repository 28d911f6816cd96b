"""A process that runs a small grid through a launcher, for tests that kill it and its workers.

LAUNCHER is ``local``, ``ray``, or ``ray@ADDRESS`` for a cluster that runs.

Called as ``python -m tests.grid_launcher_process FOLDER LAUNCHER NUM_RUNS PACK_SIZE STEPS``; one
thread a worker, two workers, so that the same plan gives the same bits through every launcher.
"""

import sys
from dataclasses import replace
from pathlib import Path

from tests.grid_processes import ACKNOWLEDGED, append, small_grid

SOURCE = Path(__file__).with_name("grid_processes_worker.py")


def grid_of(num_runs, steps):
    return replace(small_grid(num_runs, steps), source=SOURCE)


def make_launcher(name, pack_size):
    from statetrack.training import LocalLauncher

    if name == "local":
        return LocalLauncher(2, "cpu", pack_size)
    from statetrack.training.launchers.ray import RayLauncher

    address = name.partition("@")[2] or None
    return RayLauncher(2, address, "cpu", pack_size)


def main(folder, name, num_runs, pack_size, steps):
    from statetrack.training import run_grid
    from statetrack.training.progress import GridProgress

    class Acknowledging(GridProgress):
        def finished(self, record):
            super().finished(record)
            append(folder / ACKNOWLEDGED, f"0 {record.run_id} {record.status}")

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "output.txt", "a") as output:
        run_grid(
            grid_of(num_runs, steps),
            folder / "results",
            launcher=make_launcher(name, pack_size),
            progress=Acknowledging(output),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
