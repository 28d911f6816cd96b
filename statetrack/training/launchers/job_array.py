"""Elements of a job array under way, seen from the process that submitted them."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automata.errors import InputError
from statetrack.training.checkpoint import remove_checkpoint
from statetrack.training.claims import Claims
from statetrack.training.execute import CHECKPOINTS, END, pack_checkpoint
from statetrack.training.launchers.checkpoint_mirror import apply_changes
from statetrack.training.launchers.element import ELEMENTS, Element
from statetrack.training.launchers.pool import Outcome, lost
from statetrack.training.pack_training import Progress
from statetrack.training.packs import PackJob, pack_id
from statetrack.training.progress_files import read_progress
from statetrack.training.records import RunRecord
from statetrack.training.shards import read_shards, shard_path

if TYPE_CHECKING:
    from statetrack.training.launchers.slurm import SlurmLauncher
    from statetrack.training.progress import GridProgress

MAX_REASON = 500
NOT_ITS_FAULT = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED")
"""States of a job that say nothing about the pack it had."""


class JobArray:
    """Elements under way, with what is left of their packs.

    Parameters
    ----------
    launcher : SlurmLauncher
    checkpoints : Path
        Of the grid.
    progress : GridProgress
    source : Path, optional
        File that registers tasks and models.
    """

    def __init__(
        self,
        launcher: "SlurmLauncher",
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
        """Whether a run has no record yet."""
        return bool(self._left)

    def job_ids(self) -> str:
        """Of the arrays that are under way."""
        return " ".join(
            sorted({job.job_id.partition("_")[0] for _, job in self._elements.values()})
        )

    def begin(self, waiting: Sequence[PackJob]) -> Iterator[RunRecord]:
        """Take up what an earlier process left, under way or done, and submit the rest."""
        self._left = {pack_id(job.runs): job for job in waiting}
        adopted: set[str] = set()
        for element in self._earlier():
            mine = {pack_id(job.runs) for job in element.jobs} & set(self._left)
            job = self._launcher.job_of(element)
            if job is None or self._is_over(element, job):
                if not mine:
                    self._clean(element)
            elif mine:
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

    def _earlier(self) -> Iterator[Element]:
        """Elements that an earlier process wrote, less those whose models are not known here."""
        for path in sorted((self._folder / ELEMENTS).glob("*/element.json")):
            try:
                yield Element.read(path)
            except InputError:
                continue

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
                self._launcher.resources.device,
                self._launcher.resources.workers_of_an_element,
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
            if identity in begun and job.state not in NOT_ITS_FAULT:
                new, repeated = lost(left, end, self._launcher.resources.device)
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
