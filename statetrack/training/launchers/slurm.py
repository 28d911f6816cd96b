"""Job arrays on Slurm through submitit: one element of an array is a shard of packs.

The process that is started by hand claims the packs, submits the array, and takes records out of
the folder that the nodes share as they come. It may be stopped: the array goes on, and the same
command finds it again. A requeued element goes on from its checkpoints.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automata.errors import InputError
from statetrack.atomic_files import write_atomically
from statetrack.training.config import RunConfig
from statetrack.training.job_queue import JobQueue
from statetrack.training.launchers.element import Element, ElementTask
from statetrack.training.launchers.job_array import MAX_REASON, JobArray
from statetrack.training.launchers.slurm_resources import SlurmResources
from statetrack.training.packs import PackJob
from statetrack.training.records import RunRecord

if TYPE_CHECKING:
    from types import ModuleType

    from statetrack.training.progress import GridProgress

JOB = "job.json"


class SlurmLauncher:
    """Job arrays on Slurm.

    Parameters
    ----------
    folder : Path
        Shared by this machine and all nodes: what elements read and write.
    resources : SlurmResources, optional
    pack_size : int, optional
        Most runs that are trained as one; by default such that every element that may run at the
        same time has a pack for each of its workers.
    cluster : {"slurm", "local"}
        "local" runs the elements as processes of this machine, to try it out.
    seconds_between_looks : float

    Raises
    ------
    InputError
        submitit is not installed, this is no machine of a Slurm cluster, or numbers below 1.
    """

    def __init__(
        self,
        folder: Path,
        resources: SlurmResources | None = None,
        pack_size: int | None = None,
        cluster: Literal["slurm", "local"] = "slurm",
        seconds_between_looks: float = 5.0,
    ) -> None:
        if pack_size is not None and pack_size < 1:
            raise InputError(f"pack_size = {pack_size}: expected a whole number >= 1")
        self._submitit = import_submitit()
        self.folder, self.resources = Path(folder).resolve(), resources or SlurmResources()
        self._pack_size, self._cluster = pack_size, cluster
        self._seconds = seconds_between_looks
        self._executor = self.make_executor()

    @property
    def where(self) -> str:
        """What the array may use."""
        return self.resources.where

    @property
    def num_workers(self) -> int:
        """That train at the same time, when the cluster has room for all elements."""
        return self.resources.num_workers

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack, for these runs."""
        return self._pack_size or self.resources.pack_size(runs)

    def make_executor(self) -> Any:
        """The executor of submitit with what an element asks for.

        Raises
        ------
        InputError
            This is no machine of a Slurm cluster, or the folder cannot be made.
        """
        asked = self.resources
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            executor = self._submitit.AutoExecutor(
                folder=self.folder / "jobs",
                cluster=self._cluster,
                slurm_max_num_timeout=asked.max_requeues,
                local_max_num_timeout=asked.max_requeues,
            )
        except (RuntimeError, OSError) as error:
            raise InputError(f"launcher 'slurm': {error}") from None
        options = {
            "name": "statetrack",
            "timeout_min": asked.minutes,
            "cpus_per_task": asked.processors,
            "gpus_per_node": asked.gpus or None,
            "mem_gb": asked.memory_gb,
            "slurm_partition": asked.partition,
            "slurm_account": asked.account,
            "slurm_array_parallelism": asked.parallelism,
        }
        executor.update_parameters(**{k: v for k, v in options.items() if v is not None})
        return executor

    def run(
        self,
        jobs: Iterable[PackJob],
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a run as elements leave them."""
        queue = jobs if isinstance(jobs, JobQueue) else JobQueue(jobs)
        waiting = list(queue)
        if not waiting:
            return
        array = JobArray(self, checkpoints, progress, source)
        try:
            yield from array.begin(waiting)
            while array.is_open():
                time.sleep(self._seconds)
                yield from array.collect()
                queue.poll()
        except (KeyboardInterrupt, GeneratorExit):
            if array.is_open():
                progress.note(
                    f"the array goes on: the same command collects its results, scancel "
                    f"{array.job_ids()} ends it"
                )
            raise

    def submit(self, elements: Sequence[Element]) -> list[Any]:
        """Submit an array; jobs of submitit, one an element.

        Raises
        ------
        InputError
            Slurm refuses it.
        """
        tasks = [ElementTask(str(element.write())) for element in elements]
        try:
            jobs: list[Any] = self._executor.submit_array(tasks)
        except (RuntimeError, OSError, self._submitit.core.utils.FailedSubmissionError) as error:
            reason = " ".join(str(error).split())[:MAX_REASON]
            raise InputError(f"Slurm does not take the array: {reason}") from None
        for element, job in zip(elements, jobs, strict=True):
            content = json.dumps({"job": job.job_id, "cluster": self._cluster})
            write_atomically(element.place / JOB, content.encode())
        return jobs

    def job_of(self, element: Element) -> Any | None:
        """The job that was submitted for an element by an earlier process; None for none."""
        try:
            tree = json.loads((element.place / JOB).read_text())
        except (OSError, ValueError, RecursionError):
            return None
        if tree["cluster"] != self._cluster:
            return None
        kind = self._submitit.SlurmJob if self._cluster == "slurm" else self._submitit.LocalJob
        return kind(self.folder / "jobs", tree["job"])


def import_submitit() -> "ModuleType":
    """The module ``submitit``.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise InputError(
            "launcher 'slurm' needs the package submitit: pip install 'statetrack[slurm]'"
        ) from None
    return submitit
