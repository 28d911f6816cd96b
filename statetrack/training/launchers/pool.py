"""What launchers share: packs go to workers, records come back, and a lost worker costs nothing."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from statetrack.training.job_queue import JobQueue
from statetrack.training.pack_training import Progress
from statetrack.training.packs import PackJob
from statetrack.training.records import RunRecord, failed_record

if TYPE_CHECKING:
    from statetrack.training.progress import GridProgress

SECONDS_BETWEEN_POLLS = 0.5

Outcome = tuple[list[RunRecord], list[PackJob]]
"""Records of runs that are done, and packs that have to be run again."""


class Pool(Protocol):
    """Workers of one kind."""

    def num_free(self) -> int:
        """Packs that could begin now."""
        ...

    def is_busy(self) -> bool:
        """Whether some worker has a pack."""
        ...

    def begin(self, job: PackJob) -> None:
        """Give a pack to a free worker."""
        ...

    def collect(self, progress: "GridProgress") -> Outcome:
        """Wait for messages, half a second at most, and take those that are there."""
        ...

    def close(self) -> None:
        """Let the workers keep their checkpoints, and end them."""
        ...


def run_packs(jobs: Iterable[PackJob], pool: Pool, progress: "GridProgress") -> Iterator[RunRecord]:
    """Yield one record a run as they are done; the pool is closed at the end, whatever ends it.

    It ends when no worker has a pack and none can begin: there is none now, or no room for one.

    Parameters
    ----------
    jobs : iterable of PackJob
        Asked for a pack whenever a worker is free.
    pool : Pool
    progress : GridProgress
    """
    queue = jobs if isinstance(jobs, JobQueue) else JobQueue(jobs)
    again: list[PackJob] = []
    try:
        while True:
            while pool.num_free() > 0 and (job := _next(again, queue)) is not None:
                pool.begin(job)
            if not pool.is_busy() and not again:
                return
            records, repeated = pool.collect(progress)
            again.extend(repeated)
            yield from records
            queue.poll()
    except KeyboardInterrupt:
        progress.note("stopping: keeping the checkpoints of the running trainings")
        raise
    finally:
        pool.close()


def _next(again: list[PackJob], queue: JobQueue) -> PackJob | None:
    return again.pop() if again else queue.take()


def take_message(
    job: PackJob, kind: str, body: Any, progress: "GridProgress"
) -> tuple[PackJob | None, list[RunRecord]]:
    """Read what a worker said of its pack with the `send` of `run_job`.

    Parameters
    ----------
    job : PackJob
    kind : {"progress", "record", "over"}
    body : list, str or None
    progress : GridProgress

    Returns
    -------
    job : PackJob or None
        What is left of it; None when it is over.
    records : list of RunRecord
    """
    if kind == "progress":
        for row in body:
            progress.advanced(Progress(*row))
        return job, []
    if kind == "record":
        record = RunRecord.from_json(body)
        return job.without(record.run_id), [record]
    return None, []


def lost(job: PackJob, reason: str, device: str) -> Outcome:
    """What becomes of a pack whose worker died, by its own fault as far as can be known.

    It goes on once from its checkpoint, then its halves are run apart, down to the one run that
    does it, which has failed.
    """
    again = job.after_death()
    runs = [] if again else job.missing
    return [failed_record(config, reason, device) for config in runs], again
