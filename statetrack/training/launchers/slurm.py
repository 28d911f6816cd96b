"""Job arrays on Slurm through submitit: one element of an array is a shard of packs.

The process that is started by hand claims the packs, submits the array, and takes records out of
the folder that the nodes share as they come. It may be stopped: the array goes on, and the same
command finds it again. A requeued element goes on from its checkpoints.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automata.errors import InputError
from statetrack.atomic_files import write_atomically
from statetrack.training.checkpoint import remove_checkpoint
from statetrack.training.claims import Claims
from statetrack.training.config import RunConfig
from statetrack.training.execute import CHECKPOINTS, END, pack_checkpoint
from statetrack.training.job_queue import JobQueue
from statetrack.training.launchers.checkpoint_mirror import apply_changes
from statetrack.training.launchers.element import ELEMENTS, Element, ElementTask
from statetrack.training.launchers.local import MAX_PACK_ON_CPU, MAX_PACK_ON_GPU
from statetrack.training.launchers.pool import Outcome, lost
from statetrack.training.pack_training import Progress
from statetrack.training.packs import PackJob, pack_id, pack_size_for
from statetrack.training.progress_files import read_progress
from statetrack.training.records import RunRecord
from statetrack.training.shards import read_shards, shard_path

if TYPE_CHECKING:
    from types import ModuleType

    from statetrack.training.progress import GridProgress

MAX_REASON = 500
JOB = "job.json"


@dataclass(frozen=True)
class SlurmResources:
    """What an element of the array asks for.

    Attributes
    ----------
    minutes : int
        Time limit; after it, or when it is preempted, an element is queued again.
    partition, account : str, optional
    gpus, processors : int
        Of an element, on one node.
    memory_gb : int, optional
    num_elements : int
        Most elements of an array: packs are dealt out to them in turn.
    parallelism : int
        Most elements that run at the same time.
    max_requeues : int
        How often an element whose time is up is queued again.

    Raises
    ------
    InputError
        A number that is too small.
    """

    minutes: int = 60
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    processors: int = 1
    memory_gb: int | None = None
    num_elements: int = 16
    parallelism: int = 16
    max_requeues: int = 100

    def __post_init__(self) -> None:
        for name in ("minutes", "processors", "num_elements", "parallelism", "memory_gb"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"Slurm {name} = {value}: expected a whole number >= 1")
        for name in ("gpus", "max_requeues"):
            if getattr(self, name) < 0:
                raise InputError(f"Slurm {name} = {getattr(self, name)}: expected >= 0")


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
        self.device = "cuda" if self.resources.gpus else "cpu"
        self._pack_size, self._cluster = pack_size, cluster
        self._seconds = seconds_between_looks
        self._executor = self.make_executor()

    @property
    def workers_of_an_element(self) -> int:
        """One a GPU, or one a processor."""
        return self.resources.gpus or self.resources.processors

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack, for these runs."""
        if self._pack_size is not None:
            return self._pack_size
        asked = self.resources
        workers = min(asked.num_elements, asked.parallelism) * self.workers_of_an_element
        return pack_size_for(runs, workers, MAX_PACK_ON_GPU if asked.gpus else MAX_PACK_ON_CPU)

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
        array = _Array(self, checkpoints, progress, source)
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
        except (OSError, ValueError):
            return None
        if tree["cluster"] != self._cluster:
            return None
        return self._executor.job_class(self.folder / "jobs", tree["job"])


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


class _Array:
    """Elements under way, with what is left of their packs."""

    def __init__(
        self,
        launcher: SlurmLauncher,
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None,
    ) -> None:
        self._launcher, self._folder = launcher, launcher.folder
        self._checkpoints, self._progress = checkpoints, progress
        self._source = None if source is None else source.resolve()
        self._claims = Claims(launcher.folder)
        self._elements: dict[str, tuple[Element, Any]] = {}
        self._left: dict[str, PackJob] = {}

    def is_open(self) -> bool:
        return bool(self._left)

    def job_ids(self) -> str:
        return " ".join(
            sorted({job.job_id.partition("_")[0] for _, job in self._elements.values()})
        )

    def begin(self, waiting: Sequence[PackJob]) -> Iterator[RunRecord]:
        """Take up what an earlier process left, under way or done, and submit the rest."""
        self._left = {pack_id(job.runs): job for job in waiting}
        adopted: set[str] = set()
        for path in sorted((self._folder / ELEMENTS).glob("*/element.json")):
            element = Element.read(path)
            mine = {pack_id(job.runs) for job in element.jobs} & set(self._left)
            job = self._launcher.job_of(element)
            is_over = job is None or self._is_over(element, job)
            if is_over and not mine:
                self._clean(element)
            if mine and not is_over:
                self._progress.note(f"job {job.job_id} of an earlier start goes on")
                self._elements[element.name] = (element, job)
                adopted |= mine
        for record in self._records():
            if record.status == "finished":
                self._take(record)
                yield record
        rest = [job for identity, job in self._left.items() if identity not in adopted]
        for job in rest:
            for run in job.missing:  # failed once, and asked for again
                shard_path(self._folder, run.run_id).unlink(missing_ok=True)
        self.submit(rest)

    def submit(self, jobs: Sequence[PackJob]) -> None:
        """Deal packs out to the elements of an array."""
        if not jobs:
            return
        asked = self._launcher.resources
        count = min(asked.num_elements, len(jobs))
        elements = [
            Element(
                self._folder,
                tuple(jobs[start::count]),
                self._launcher.device,
                self._launcher.workers_of_an_element,
                self._source,
            )
            for start in range(count)
        ]
        for job in jobs:
            path = pack_checkpoint(self._checkpoints, job.runs)
            if path.exists():
                apply_changes(self._folder / CHECKPOINTS, {path.name: path.read_bytes()})
            self._left[pack_id(job.runs)] = job
        submitted = self._launcher.submit(elements)
        for element, job in zip(elements, submitted, strict=True):
            self._elements[element.name] = (element, job)
        self._progress.note(
            f"submitted {len(jobs)} packs as {count} jobs: {self.job_ids()}, logs in "
            f"{self._folder / 'jobs'}"
        )

    def collect(self) -> Iterator[RunRecord]:
        """Records that have come; what is left of elements that are over is submitted again."""
        over = [
            name for name, (element, job) in self._elements.items() if self._is_over(element, job)
        ]
        for record in self._records():
            self._take(record)
            yield record
        self._tell()
        again: list[PackJob] = []
        for name in over:
            records, repeated = self._after(*self._elements.pop(name))
            yield from records
            again += repeated
        self.submit(again)

    def _records(self) -> Iterator[RunRecord]:
        """Records in the folder of runs that are missing here."""
        missing = {run.run_id for job in self._left.values() for run in job.missing}
        for record in read_shards(self._folder):
            if record.run_id in missing:
                yield record

    def _take(self, record: RunRecord) -> None:
        """Fetch the checkpoint of a run, and strike the run off."""
        path = self._folder / CHECKPOINTS / f"{record.run_id}{END}"
        if path.exists():
            apply_changes(self._checkpoints, {path.name: path.read_bytes()})
            remove_checkpoint(path)
        identity = next(
            identity
            for identity, job in self._left.items()
            if record.run_id in {run.run_id for run in job.missing}
        )
        left = self._left.pop(identity).without(record.run_id)
        if left.missing:
            self._left[identity] = left

    def _tell(self) -> None:
        """Show where the packs stand."""
        for identity, job in self._left.items():
            state = read_progress(self._folder, identity)
            under_way = {run.run_id for run in job.missing}
            for run in state.runs if state else ():
                if run.run_id in under_way:
                    loss = float("nan") if run.loss is None else run.loss
                    self._progress.advanced(
                        Progress(run.run_id, run.step, run.num_steps, loss, run.length)
                    )

    def _after(self, element: Element, job: Any) -> Outcome:
        """An element is over: packs of it that are not were at fault where they had begun."""
        unfinished = [pack_id(one.runs) for one in element.jobs if pack_id(one.runs) in self._left]
        if not unfinished:
            self._clean(element)
        begun = [one for one in unfinished if self._claims.was_taken(one)]
        end = f"Slurm job {job.job_id} ended ({job.state}): {_last_line(job)}"[:MAX_REASON]
        if unfinished and not begun and len(unfinished) == len(element.jobs):
            raise InputError(f"{end}; no pack of it had begun")
        records: list[RunRecord] = []
        again: list[PackJob] = []
        for identity in unfinished:
            left = self._left.pop(identity)
            if identity in begun:
                new, repeated = lost(left, end, self._launcher.device)
                records += new
                again += repeated
            else:
                again.append(left)
        return records, again

    def _clean(self, element: Element) -> None:
        """Delete what an element left whose records are all in the store."""
        for job in element.jobs:
            for run in job.runs:
                shard_path(self._folder, run.run_id).unlink(missing_ok=True)
        shutil.rmtree(element.place, ignore_errors=True)

    def _is_over(self, element: Element, job: Any) -> bool:
        return bool(job.done()) and not self._claims.is_held(element.name)


def _last_line(job: Any) -> str:
    """The last thing an element said on standard error."""
    lines = (job.stderr() or "").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
