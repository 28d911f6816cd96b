"""A pool of processes on this machine, one pack of runs at a time each.

The parent sends packs as JSON and gets progress and records as JSON back. A worker that dies is
replaced and its pack goes on from the checkpoint.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automata.errors import InputError
from statetrack.devices import choose_devices, num_processors
from statetrack.source_files import import_file
from statetrack.training.config import RunConfig
from statetrack.training.launchers.pool import (
    SECONDS_BETWEEN_POLLS,
    Outcome,
    lost,
    run_packs,
    take_message,
)
from statetrack.training.launchers.worker import prepare_worker, run_job
from statetrack.training.pack_training import TrainingStoppedError
from statetrack.training.packs import (
    MAX_PACK_ON_CPU,
    MAX_PACK_ON_GPU,
    PackJob,
    pack_size_for,
)
from statetrack.training.records import RunRecord

if TYPE_CHECKING:
    from statetrack.training.calibration import Calibration
    from statetrack.training.progress import GridProgress

SECONDS_TO_STOP = 10.0
SECONDS_BETWEEN_MESSAGES = 0.2
SECONDS_AFTER_PARENT = 5.0
"""A worker whose parent was killed has this long to keep its checkpoint."""
START_METHOD: Literal["spawn"] = "spawn"


class LocalLauncher:
    """Processes on this machine.

    Parameters
    ----------
    num_workers : int, optional
        By default one per processor on the CPU, and one per GPU, which a pack fills.
    device : str or sequence of str
        "auto" (all GPUs of this machine, else the CPU), "cpu", "cuda" (all GPUs), "cuda:1", or
        several, which the workers take in turn.
    pack_size : int, optional
        Most runs that are trained as one; by default as many as leave
        every worker two packs, on GPUs one, and as the memory holds where it was measured.
    calibration : Calibration, optional
        What the runs take on the device, from `calibrate`.

    Raises
    ------
    InputError
        Numbers below 1, or a device that this machine has not.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        device: str | Sequence[str] = "auto",
        pack_size: int | None = None,
        calibration: "Calibration | None" = None,
    ) -> None:
        for name, value in (("workers", num_workers), ("pack_size", pack_size)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected a whole number >= 1")
        self.devices = choose_devices(device)
        default = num_processors() if self.device == "cpu" else len(self.devices)
        self.num_workers = num_workers or default
        self._pack_size, self._calibration = pack_size, calibration

    @property
    def where(self) -> str:
        """Such as "2 workers on cpu"."""
        workers = f"{self.num_workers} worker{'s' if self.num_workers > 1 else ''}"
        return f"{workers} on {', '.join(self.devices)}"

    @property
    def device(self) -> str:
        """Kind of the devices: "cpu" or "cuda"."""
        return self.devices[0].partition(":")[0]

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack, for these runs."""
        if self._pack_size is not None:
            return self._pack_size
        if self.device != "cpu":
            return pack_size_for(runs, self.num_workers, MAX_PACK_ON_GPU)
        return pack_size_for(runs, 2 * self.num_workers, MAX_PACK_ON_CPU)

    def limit(self, key: str) -> int:
        """Most runs of a pack of one shape that the memory holds beside those of other workers."""
        cost = self._calibration.costs.get(key) if self._calibration else None
        if cost is None or self._calibration is None or self._pack_size is not None:
            return 2**31
        sharing = -(-self.num_workers // len(self.devices)) if self.device != "cpu" else None
        return cost.largest_pack(self._calibration.free_bytes, sharing or self.num_workers)

    def seconds_of(self, pack: Sequence[RunConfig]) -> float | None:
        """Estimated seconds of a pack; None for one worker, whose packs are best left in order."""
        if self._calibration is None or self.num_workers == 1:
            return None
        return self._calibration.seconds_of(pack)

    def run(
        self,
        jobs: Iterable[PackJob],
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a run as they are done; an idle worker asks the jobs for the next."""
        return run_packs(
            jobs, _Processes(self.devices, self.num_workers, checkpoints, source), progress
        )


class _Processes:
    """The pool: processes are started when there is a pack for them."""

    def __init__(
        self, devices: Sequence[str], num_workers: int, checkpoints: Path, source: Path | None
    ) -> None:
        self._devices, self._num_workers = devices, num_workers
        self._places = (checkpoints, source)
        self._workers: list[_Worker] = []

    def num_free(self) -> int:
        return self._num_workers - sum(worker.job is not None for worker in self._workers)

    def is_busy(self) -> bool:
        return any(worker.job is not None for worker in self._workers)

    def begin(self, job: PackJob) -> None:
        idle = next((worker for worker in self._workers if worker.job is None), None)
        if idle is None:
            device = self._devices[len(self._workers) % len(self._devices)]
            idle = _Worker(device, self._num_workers, *self._places)
            self._workers.append(idle)
        idle.take(job)

    def collect(self, progress: "GridProgress") -> Outcome:
        by_connection: dict[Any, _Worker] = {
            worker.connection: worker for worker in self._workers if worker.job is not None
        }
        records: list[RunRecord] = []
        again: list[PackJob] = []
        for connection in wait(list(by_connection), SECONDS_BETWEEN_POLLS):
            new, repeated = by_connection[connection].receive(progress)
            records += new
            again += repeated
        return records, again

    def close(self) -> None:
        for worker in self._workers:
            worker.ask_to_stop()
        for worker in self._workers:
            worker.stop()


class _Worker:
    """The parent's view of one process."""

    def __init__(
        self, device: str, num_workers: int, checkpoints: Path, source: Path | None
    ) -> None:
        self._arguments = (device, num_workers, checkpoints, source)
        self._device = device
        self.job: PackJob | None = None
        self._launch()

    def _launch(self) -> None:
        self._is_ready = False
        context = multiprocessing.get_context(START_METHOD)
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()

    def take(self, job: PackJob) -> None:
        """Give it a pack; it is sent when the process has started, which nobody waits for."""
        self.job = job
        if self._is_ready:
            self._hand_over()

    def _hand_over(self) -> None:
        """Send the pack it was given, with the claim on it."""
        if self.job is None:
            return
        claim = self.job.claim
        try:
            message = json.dumps([claim is not None, self.job.to_json()])
            self.connection.send_bytes(message.encode())
            if claim is not None:
                send_handle(self.connection, claim.fileno(), self._process.pid)
        except (BrokenPipeError, ConnectionResetError):
            return  # `receive` sees that it is dead

    def receive(self, progress: "GridProgress") -> Outcome:
        """Take one message."""
        job = self.job
        if job is None:
            raise AssertionError("only busy workers are waited for")
        try:
            kind, body = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._launch()
            self.job = None
            return lost(job, f"the worker process died (exit code {code})", self._device)
        if kind == "ready":
            self._is_ready = True
            self._hand_over()
            return [], []
        self.job, records = take_message(job, kind, body, progress)
        return records, []

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


def _work(
    connection: Connection, device: str, num_workers: int, checkpoints: Path, source: Path | None
) -> None:
    """Body of a worker process."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):  # the parent heeds them
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    threading.Thread(target=_follow_parent, args=(stopping,), daemon=True).start()
    prepare_worker(device, num_workers)
    if source is not None:
        import_file(source)

    def send(kind: str, body: Any) -> None:
        connection.send_bytes(json.dumps([kind, body]).encode())

    try:
        send("ready", None)
    except (BrokenPipeError, ConnectionResetError):
        return
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
            run_job(job, send, device, checkpoints, stopping.is_set)
            if claim >= 0:
                os.close(claim)
            send("over", None)
        except (TrainingStoppedError, BrokenPipeError, ConnectionResetError):
            return


def _follow_parent(stopping: threading.Event) -> None:
    """Stop when the parent is gone, so that what this process has claimed becomes free."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    stopping.set()
    time.sleep(SECONDS_AFTER_PARENT)
    os._exit(1)
