"""How much memory and time the runs of a grid take, measured by a few steps of each shape.

The measurements run in a process of their own, so that neither a model that kills its process nor
a GPU's context touches the one that collects results.
"""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from statetrack.source_files import import_file
from statetrack.training.config import RunConfig
from statetrack.training.launchers.worker import prepare_worker
from statetrack.training.pack_members import last_stage
from statetrack.training.pack_training import PackTraining
from statetrack.training.packs import pack_key
from statetrack.training.peak_bytes import PeakBytes

SHARE_OF_MEMORY = 0.8
"""Of what is free, how much the packs under way may take."""
SIZES = (2, 4)
"""Runs of the packs that are measured. A pack of one is not mapped and lies on another line."""
SECONDS = 20.0
"""For all shapes together: those whose turn does not come are not measured."""


@dataclass(frozen=True)
class ShapeCost:
    """What a pack of one shape takes on a device, as a line through two sizes.

    Attributes
    ----------
    bytes_fixed, bytes_per_run : float
        At the longest words of the training and the look at the selection words.
    seconds_fixed, seconds_per_run : float
        Of one step at the longest words; the look is counted in.
    """

    bytes_fixed: float
    bytes_per_run: float
    seconds_fixed: float
    seconds_per_run: float

    def largest_pack(self, free_bytes: float, num_workers: int = 1) -> int:
        """Most runs of a pack so that all workers together stay within their share of the memory.

        Examples
        --------
        >>> ShapeCost(100e6, 10e6, 0.0, 0.0).largest_pack(free_bytes=1e9, num_workers=2)
        30
        """
        room = SHARE_OF_MEMORY * free_bytes / num_workers - self.bytes_fixed
        return max(1, int(room / self.bytes_per_run)) if self.bytes_per_run > 0 else 2**31

    def seconds_of_step(self, size: int) -> float:
        """One step of a pack of so many runs."""
        return self.seconds_fixed + self.seconds_per_run * size


@dataclass(frozen=True)
class Calibration:
    """What was measured on a device.

    Attributes
    ----------
    device : str
    free_bytes : int
        Memory of the device that was free before.
    costs : dict of str to ShapeCost
        By `pack_key`; shapes that could not be measured, or whose turn did not come, are not there.
    """

    device: str
    free_bytes: int
    costs: Mapping[str, ShapeCost]

    def seconds_of(self, pack: Sequence[RunConfig]) -> float | None:
        """Estimated training time of a pack, all its steps at the longest words; None if unknown.

        Measuring the trained models is not counted.
        """
        cost = self.costs.get(pack_key(pack[0]))
        if cost is None:
            return None
        return cost.seconds_of_step(len(pack)) * max(run.training.steps for run in pack)


def calibrate(
    runs: Sequence[RunConfig],
    device: str,
    *,
    num_workers: int = 1,
    source: Path | None = None,
    seconds: float = SECONDS,
) -> Calibration:
    """Measure one run of each shape, that with the most tokens a step, in packs of two and of four.

    Parameters
    ----------
    runs : sequence of RunConfig
    device : str
    num_workers : int
        Processes that will share the processors.
    source : Path, optional
        File that registers tasks and models.
    seconds : float
        After which no other shape is begun.
    """
    shapes: dict[str, RunConfig] = {}
    for run in sorted(runs, key=_tokens_of_step, reverse=True):
        shapes.setdefault(pack_key(run), run)
    texts = [run.model_dump_json() for run in shapes.values()]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_measure_all,
        args=(theirs, texts, device, num_workers, source, seconds),
        daemon=True,
    )
    process.start()
    theirs.close()
    free, costs, keys = 0, {}, list(shapes)
    try:
        free = json.loads(ours.recv_bytes())
        while True:
            number, cost = json.loads(ours.recv_bytes())
            costs[keys[number]] = ShapeCost(**cost)
    except (EOFError, OSError):
        process.join()
    finally:
        process.kill()
        ours.close()
    return Calibration(device, free, costs)


def _tokens_of_step(run: RunConfig) -> float:
    try:
        stage = last_stage(run.training)
    except Exception:  # noqa: BLE001 - what a run raises is recorded when it is run
        return math.inf
    return stage.most_words * stage.length


def _measure_all(
    connection: Connection,
    texts: Sequence[str],
    device: str,
    num_workers: int,
    source: Path | None,
    seconds: float,
) -> None:
    """Body of the process: says the free memory, then the cost of every shape."""
    prepare_worker(device, num_workers)
    if source is not None:
        import_file(source)
    connection.send_bytes(json.dumps(free_bytes(device)).encode())
    started = time.perf_counter()
    for number, text in enumerate(texts):
        if time.perf_counter() - started > seconds:
            return
        try:
            cost = measure_shape(RunConfig.from_tree(json.loads(text)), device)
        except Exception:  # noqa: BLE001 - what a run raises is recorded when it is run
            continue
        connection.send_bytes(json.dumps([number, asdict(cost)]).encode())


def measure_shape(run: RunConfig, device: str) -> ShapeCost:
    """Measure one shape.

    Parameters
    ----------
    run : RunConfig
        Any run of the shape; only its seed is changed.
    device : str
    """
    small, large = SIZES
    tree = run.model_dump(mode="json")
    packs = [[RunConfig.from_tree(tree | {"seed": seed}) for seed in range(n)] for n in SIZES]
    needed = [_peak_bytes(pack, device) for pack in packs]
    taken = [_seconds_of_step(pack, device) for pack in packs]
    rises = [(high - low) / (large - small) for low, high in (needed, taken)]
    return ShapeCost(
        bytes_fixed=max(0.0, needed[0] - small * rises[0]),
        bytes_per_run=rises[0] if rises[0] > 0 else needed[1] / large,
        seconds_fixed=max(0.0, taken[0] - small * rises[1]),
        seconds_per_run=rises[1] if rises[1] > 0 else taken[1] / large,
    )


def _peak_bytes(pack: Sequence[RunConfig], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        PackTraining(pack, device=device).probe(1)
        return torch.cuda.max_memory_allocated(device) - before
    with PeakBytes() as counted:
        PackTraining(pack, device=device).probe(1)
    return counted.peak


def _seconds_of_step(pack: Sequence[RunConfig], device: str) -> float:
    """Of a step, with its share of the look; the first steps, which compile, are left out."""
    training = PackTraining(pack, device=device)
    training.probe(1)
    steps = 2
    while True:
        of_steps, of_look = training.probe(steps)
        if of_steps > 0.05 or steps >= 64:
            return of_steps / steps + of_look / pack[0].training.select_every
        steps *= 4


def free_bytes(device: str) -> int:
    """Memory of a device that is free now; on the CPU within the limit of a control group.

    Where the system does not tell (macOS), half of the memory there is.
    """
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError, StopIteration):
        return free
    return free
