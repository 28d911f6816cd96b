"""What is read from the weights of trained runs afterwards, on the CPU, many runs side by side.

Training and measuring want a GPU for seconds, reading wants processors for minutes: so it is a step
of its own, from the checkpoints that a grid keeps. What is read goes into the results store beside
the run, with what it was read with; what is there is never read again.
"""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from automata.errors import InputError, unknown_name
from automata.tasks import Task
from statetrack.devices import num_processors
from statetrack.models.loading import load_model
from statetrack.provenance import provenance
from statetrack.training.algebra_tables import (
    automaton_tables,
    error_tables,
    factor_tables,
    representation_tables,
)
from statetrack.training.checkpoint import load_tensors
from statetrack.training.execute import CHECKPOINTS, run_checkpoint
from statetrack.training.grid import Grid
from statetrack.training.horizon_tables import horizon_tables
from statetrack.training.kept_progress import kept_config
from statetrack.training.store import Store

Tables = dict[str, pd.DataFrame]


def _without_lengths(
    read: Callable[[nn.Module, Task], Tables],
) -> Callable[[nn.Module, Task, pd.DataFrame], Tables]:
    return lambda model, task, thresholds: read(model, task)


READINGS: Mapping[str, Callable[[nn.Module, Task, pd.DataFrame], Tables]] = {
    "automaton": _without_lengths(automaton_tables),
    "factors": _without_lengths(factor_tables),
    "horizon": horizon_tables,
    "learned_errors": _without_lengths(error_tables),
    "representations": _without_lengths(representation_tables),
}
"""``reading(model, task, thresholds) -> tables``; `thresholds` as `ReportCurve.thresholds`."""


@dataclass(frozen=True)
class ReadingJob:
    """One reading of one run.

    Attributes
    ----------
    reading, run_id : str
    checkpoint : Path
    thresholds : dict
        Columns of what was measured.
    """

    reading: str
    run_id: str
    checkpoint: Path
    thresholds: dict[str, list[object]]


def missing_readings(grid: Grid, store: Store, readings: Sequence[str]) -> list[ReadingJob]:
    """What is still to be read of the finished runs of a grid.

    Raises
    ------
    InputError
        Unknown reading.
    """
    for name in readings:
        if name not in READINGS:
            raise unknown_name("reading", name, list(READINGS))
    finished = {run_id for run_id, status in store.statuses().items() if status == "finished"}
    measured = dict(store.table("thresholds"))
    jobs = []
    for reading in readings:
        done = {run_id for run_id, _ in store.table(f"{reading}_reading")}
        jobs += [
            ReadingJob(
                reading,
                run.run_id,
                run_checkpoint(store.folder / CHECKPOINTS, run),
                measured[run.run_id],
            )
            for run in grid.runs
            if run.run_id in finished and run.run_id in measured and run.run_id not in done
        ]
    return jobs


def read_grid(
    grid: Grid,
    folder: str | Path,
    readings: Sequence[str],
    *,
    num_workers: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> int:
    """Read what is missing of a grid's finished runs, and keep it in its results store.

    Parameters
    ----------
    grid : Grid
    folder : str or Path
        Of the results, with the checkpoints.
    readings : sequence of str
        Names in `READINGS`.
    num_workers : int, optional
        Processes, of one thread each; by default one a processor.
    tell : callable
        Is called with a line when something was read.

    Returns
    -------
    int
        How many readings were made.

    Raises
    ------
    InputError
        Unknown reading; a checkpoint is missing or was changed; another process has the store.

    Notes
    -----
    A reading that fails costs that reading alone: it is told, and missing as before.
    """
    with Store(Path(folder)) as store:
        jobs = missing_readings(grid, store, readings)
        made = 0
        workers = min(num_workers or num_processors(), max(1, len(jobs)))
        for job, outcome in _outcomes(jobs, workers):
            if isinstance(outcome, str):
                tell(f"{job.reading} of {job.run_id} failed: {outcome}")
                continue
            store.add_tables(job.run_id, outcome)
            made += 1
            seconds = outcome[f"{job.reading}_reading"]["seconds"][0]
            tell(f"[{made}/{len(jobs)}] {job.reading} of {job.run_id} ({seconds} s)")
    return made


Outcome = dict[str, dict[str, list[object]]] | str


def _outcomes(jobs: Sequence[ReadingJob], workers: int) -> Iterator[tuple[ReadingJob, Outcome]]:
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        futures = {pool.submit(read_run, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    torch.set_num_threads(1)


def read_run(job: ReadingJob) -> Outcome:
    """Make one reading: its tables as columns, or why it could not be made."""
    started = time.perf_counter()
    try:
        _, description = load_tensors(job.checkpoint)
        config = kept_config(job.checkpoint, description)
        if config.run_id != job.run_id:
            raise InputError(f"checkpoint {job.checkpoint} holds another run")
        thresholds = pd.DataFrame(job.thresholds)
        made = READINGS[job.reading](load_model(job.checkpoint), config.task.build(), thresholds)
    except Exception as error:  # noqa: BLE001 - whatever a reading raises costs that reading alone
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
    origin = provenance("cpu")
    made[f"{job.reading}_reading"] = pd.DataFrame(
        [
            {
                "seconds": round(time.perf_counter() - started, 2),
                "time": origin["time"],
                "commit": origin["commit"],
                "versions": json.dumps(origin["versions"]),
                "num_processors": origin["num_processors"],
                "threads": origin["threads"],
            }
        ]
    )
    return {name: json.loads(_as_json(frame)) for name, frame in made.items()}


def _as_json(frame: pd.DataFrame) -> str:
    """Plain columns; what is missing is null."""
    columns = {
        name: [None if pd.isna(value) else value for value in frame[name].tolist()]
        for name in frame
    }
    return json.dumps(columns)
