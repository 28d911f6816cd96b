"""A pool of processes on this machine, one run at a time each.

The parent sends configurations as JSON and gets progress and records as JSON back; a worker that
dies costs the run it was on, which is recorded as failed with the reason.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from automata.errors import InputError
from statetrack.devices import choose_device
from statetrack.source_files import import_file
from statetrack.training.config import RunConfig
from statetrack.training.execute import RunRecord, execute, failed_record
from statetrack.training.loop import Progress, TrainingStoppedError

if TYPE_CHECKING:
    from statetrack.training.progress import GridProgress

SECONDS_TO_STOP = 10.0
SECONDS_BETWEEN_MESSAGES = 0.2
WORKERS_PER_GPU = 8


class LocalLauncher:
    """Processes on this machine.

    Parameters
    ----------
    num_workers : int, optional
        By default one per processor on the CPU, and eight on a GPU: small models leave it idle.
    device : str
        "auto", "cpu", "cuda", "cuda:1", ...
    """

    def __init__(self, num_workers: int | None = None, device: str = "auto") -> None:
        if num_workers is not None and num_workers < 1:
            raise InputError(f"workers = {num_workers}: expected a whole number >= 1")
        self.device = choose_device(device)
        processors = os.cpu_count() or 1
        default = processors if self.device == "cpu" else min(WORKERS_PER_GPU, processors)
        self.num_workers = num_workers or default

    def run(
        self,
        configs: Sequence[RunConfig],
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a configuration as they are done."""
        waiting = list(reversed(configs))
        pool = [
            _Worker(self.device, self.num_workers, checkpoints, source)
            for _ in range(min(self.num_workers, len(waiting)))
        ]
        try:
            while waiting or any(worker.config for worker in pool):
                for worker in pool:
                    if worker.config is None and waiting:
                        worker.start(waiting.pop())
                for worker in _ready(pool):
                    record = worker.receive(progress)
                    if record is not None:
                        yield record
        except KeyboardInterrupt:
            progress.note("stopping: keeping the checkpoints of the running trainings")
            raise
        finally:
            for worker in pool:
                worker.ask_to_stop()
            for worker in pool:
                worker.stop()


class _Worker:
    """The parent's view of one process."""

    def __init__(
        self, device: str, num_workers: int, checkpoints: Path, source: Path | None
    ) -> None:
        self._arguments = (device, num_workers, checkpoints, source)
        self._device = device
        self.config: RunConfig | None = None
        self._launch()

    def _launch(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, config: RunConfig) -> None:
        """Hand a run over."""
        self.config = config
        try:
            self.connection.send_bytes(config.model_dump_json().encode())
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, progress: "GridProgress") -> RunRecord | None:
        """Take one message; a record when the run is done, one way or the other."""
        config = self.config
        if config is None:
            raise AssertionError("only busy workers are waited for")
        try:
            kind, body = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._launch()
            self.config = None
            return failed_record(
                config, f"the worker process died (exit code {code})", self._device
            )
        if kind == "progress":
            progress.advanced(config.run_id, Progress(*body))
            return None
        self.config = None
        return RunRecord.from_json(body)

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
        worker.connection: worker for worker in pool if worker.config is not None
    }
    return [by_connection[connection] for connection in wait(list(by_connection))]


def _work(
    connection: Connection, device: str, num_workers: int, checkpoints: Path, source: Path | None
) -> None:
    """Body of a worker process."""
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    torch.set_num_threads(_threads(num_workers))
    if source is not None:
        import_file(source)

    def send(kind: str, body: Any) -> None:
        connection.send_bytes(json.dumps([kind, body]).encode())

    while not stopping.is_set():
        if not connection.poll(SECONDS_BETWEEN_MESSAGES):
            continue
        try:
            config = RunConfig.model_validate_json(connection.recv_bytes())
        except EOFError:
            return
        try:
            record = execute(
                config,
                device=device,
                checkpoint=checkpoints / f"{config.run_id}.safetensors",
                report=_Throttled(lambda progress: send("progress", progress)),
                should_stop=stopping.is_set,
            )
            send("done", record.to_json())
        except InputError as error:
            send("done", failed_record(config, str(error), device).to_json())
        except (TrainingStoppedError, BrokenPipeError, ConnectionResetError):
            return


class _Throttled:
    """Passes progress on a few times a second."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send = send
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_MESSAGES:
            self._last = now
            self._send(progress)


def _threads(num_workers: int) -> int:
    """Threads of one worker: its share of the processors, within OpenMP's own limit."""
    share = max(1, (os.cpu_count() or 1) // num_workers)
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share
