"""A pool of processes on this machine, one pack of runs at a time each.

The parent sends packs as JSON and gets progress and records as JSON back. A worker that dies is
replaced and its pack goes on from the checkpoint; when it dies again the halves of the pack are run
apart, down to the one run that does it, which is recorded as failed with the reason.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from automata.errors import InputError
from statetrack.devices import choose_device
from statetrack.source_files import import_file
from statetrack.training.config import RunConfig
from statetrack.training.execute import execute_pack
from statetrack.training.job_queue import JobQueue
from statetrack.training.pack_training import Progress, TrainingStoppedError
from statetrack.training.packs import PackJob, pack_size_for
from statetrack.training.records import RunRecord, failed_record

if TYPE_CHECKING:
    from statetrack.training.progress import GridProgress

SECONDS_TO_STOP = 10.0
SECONDS_BETWEEN_MESSAGES = 0.2
SECONDS_BETWEEN_POLLS = 0.5
SECONDS_AFTER_PARENT = 5.0
"""A worker whose parent was killed has this long to keep its checkpoint."""
START_METHOD: Literal["spawn"] = "spawn"
MAX_PACK_ON_CPU = 32
MAX_PACK_ON_GPU = 256


class LocalLauncher:
    """Processes on this machine.

    Parameters
    ----------
    num_workers : int, optional
        By default one per processor on the CPU, and one on a GPU, which a pack fills.
    device : str
        "auto", "cpu", "cuda", "cuda:1", ...
    pack_size : int, optional
        Most runs that are trained as one; by default as many as leave
        every worker two packs, on a GPU one.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        device: str = "auto",
        pack_size: int | None = None,
    ) -> None:
        for name, value in (("workers", num_workers), ("pack_size", pack_size)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected a whole number >= 1")
        self.device = choose_device(device)
        default = (os.cpu_count() or 1) if self.device == "cpu" else 1
        self.num_workers = num_workers or default
        self._pack_size = pack_size

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack, for these runs."""
        if self._pack_size is not None:
            return self._pack_size
        if self.device != "cpu":
            return pack_size_for(runs, self.num_workers, MAX_PACK_ON_GPU)
        return pack_size_for(runs, 2 * self.num_workers, MAX_PACK_ON_CPU)

    def run(
        self,
        jobs: Iterable[PackJob],
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a run as they are done; an idle worker asks the jobs for the next."""
        queue = jobs if isinstance(jobs, JobQueue) else JobQueue(jobs)
        again: list[PackJob] = []
        pool: list[_Worker] = []
        arguments = (self.device, self.num_workers, checkpoints, source)
        try:
            while True:
                for job in self._next_jobs(pool, again, queue):
                    idle = next((worker for worker in pool if worker.job is None), None)
                    if idle is None:
                        pool.append(idle := _Worker(*arguments))
                    idle.job = job
                for worker in pool:
                    worker.hand_over()
                if not any(worker.job for worker in pool):
                    return
                for worker in _ready(pool):
                    records, repeated = worker.receive(progress)
                    yield from records
                    again.extend(repeated)
                queue.poll()
        except KeyboardInterrupt:
            progress.note("stopping: keeping the checkpoints of the running trainings")
            raise
        finally:
            for worker in pool:
                worker.ask_to_stop()
            for worker in pool:
                worker.stop()

    def _next_jobs(
        self, pool: "Sequence[_Worker]", again: list[PackJob], queue: JobQueue
    ) -> list[PackJob]:
        """Packs for the workers that have none."""
        jobs: list[PackJob] = []
        for _ in range(self.num_workers - sum(worker.job is not None for worker in pool)):
            job = again.pop() if again else queue.take()
            if job is None:
                break
            jobs.append(job)
        return jobs


class _Worker:
    """The parent's view of one process."""

    def __init__(
        self, device: str, num_workers: int, checkpoints: Path, source: Path | None
    ) -> None:
        self._arguments = (device, num_workers, checkpoints, source)
        self._device = device
        self.job: PackJob | None = None
        self._has_job = False
        self._launch()

    def _launch(self) -> None:
        context = multiprocessing.get_context(START_METHOD)
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()

    def hand_over(self) -> None:
        """Send the pack it was given, with the claim on it, where that is not done."""
        if self.job is None or self._has_job:
            return
        self._has_job = True
        claim = self.job.claim
        try:
            message = json.dumps([claim is not None, self.job.to_json()])
            self.connection.send_bytes(message.encode())
            if claim is not None:
                send_handle(self.connection, claim.fileno(), self._process.pid)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, progress: "GridProgress") -> tuple[list[RunRecord], list[PackJob]]:
        """Take one message: records of runs that are done, packs that have to be run again."""
        job = self.job
        if job is None:
            raise AssertionError("only busy workers are waited for")
        try:
            kind, body = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._launch()
            self.job, self._has_job = None, False
            again = job.after_death()
            lost = [] if again else job.missing
            reason = f"the worker process died (exit code {code})"
            return [failed_record(config, reason, self._device) for config in lost], again
        if kind == "progress":
            for row in body:
                progress.advanced(Progress(*row))
        elif kind == "record":
            record = RunRecord.from_json(body)
            self.job = job.without(record.run_id)
            return [record], []
        else:
            self.job, self._has_job = None, False
        return [], []

    def ask_to_stop(self) -> None:
        """Let the process keep its checkpoint and end."""
        if self._process.is_alive():
            self._process.terminate()

    def stop(self) -> None:
        """Wait for the process, and end it when it takes too long."""
        self._process.join(SECONDS_TO_STOP)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()


def _ready(pool: Sequence[_Worker]) -> list[_Worker]:
    by_connection: dict[Any, _Worker] = {
        worker.connection: worker for worker in pool if worker.job is not None
    }
    ready = wait(list(by_connection), SECONDS_BETWEEN_POLLS)
    return [by_connection[connection] for connection in ready]


def _work(
    connection: Connection, device: str, num_workers: int, checkpoints: Path, source: Path | None
) -> None:
    """Body of a worker process."""
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    threading.Thread(target=_follow_parent, args=(stopping,), daemon=True).start()
    torch.set_num_threads(_threads(num_workers))
    if source is not None:
        import_file(source)

    def send(kind: str, body: Any) -> None:
        connection.send_bytes(json.dumps([kind, body]).encode())

    while not stopping.is_set():
        if not connection.poll(SECONDS_BETWEEN_MESSAGES):
            continue
        claim = -1
        try:
            is_claimed, text = json.loads(connection.recv_bytes())
            if is_claimed:
                claim = recv_handle(connection)
        except (EOFError, OSError):
            return
        job = PackJob.from_json(text)
        try:
            _run_job(job, send, device, checkpoints, stopping)
            if claim >= 0:
                os.close(claim)
            send("over", None)
        except (TrainingStoppedError, BrokenPipeError, ConnectionResetError):
            return


def _run_job(
    job: PackJob,
    send: Callable[[str, Any], None],
    device: str,
    checkpoints: Path,
    stopping: threading.Event,
) -> None:
    """Train a pack; where its checkpoints cannot be used, the runs left have failed of that."""
    try:
        for record in execute_pack(
            job.runs,
            known=job.known,
            device=device,
            checkpoints=checkpoints,
            report=lambda progress: send("progress", [list(one) for one in progress]),
            should_stop=stopping.is_set,
        ):
            send("record", record.to_json())
            job = job.without(record.run_id)
    except InputError as error:
        for config in job.missing:
            send("record", failed_record(config, str(error), device).to_json())


def _follow_parent(stopping: threading.Event) -> None:
    """Stop when the parent is gone, so that what this process has claimed becomes free."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    stopping.set()
    time.sleep(SECONDS_AFTER_PARENT)
    os._exit(1)


def _threads(num_workers: int) -> int:
    """Threads of one worker: its share of the processors, within OpenMP's own limit."""
    share = max(1, (os.cpu_count() or 1) // num_workers)
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share
