"""What every worker does with a pack, wherever it runs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from automata.errors import InputError
from statetrack.devices import num_processors
from statetrack.training.execute import execute_pack
from statetrack.training.packs import PackJob
from statetrack.training.records import failed_record


def run_job(
    job: PackJob,
    send: Callable[[str, Any], None],
    device: str,
    checkpoints: Path,
    should_stop: Callable[[], bool],
) -> None:
    """Train a pack; where its checkpoints cannot be used, the runs left have failed of that.

    Parameters
    ----------
    job : PackJob
    send : callable
        ``send("progress", rows)`` now and then, ``send("record", json)`` for every run that ends.
    device : str
    checkpoints : Path
    should_stop : callable

    Raises
    ------
    TrainingStoppedError
        `should_stop` said so; the checkpoint holds everything to go on from.
    """
    try:
        for record in execute_pack(
            job.runs,
            known=job.known,
            device=device,
            checkpoints=checkpoints,
            report=lambda progress: send("progress", [list(one) for one in progress]),
            should_stop=should_stop,
        ):
            send("record", record.to_json())
            job = job.without(record.run_id)
    except InputError as error:
        for config in job.missing:
            send("record", failed_record(config, str(error), device).to_json())


def prepare_worker(device: str, num_workers: int) -> None:
    """Take this thread's share of the processors, and make its GPU the current one."""
    torch.set_num_threads(threads_of_a_worker(num_workers))
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)


def threads_of_a_worker(num_workers: int) -> int:
    """Its share of the processors of this machine, within OpenMP's own limit."""
    share = max(1, num_processors() // num_workers)
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share
