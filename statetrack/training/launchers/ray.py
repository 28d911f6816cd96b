"""Ray actors that stay warm and pull packs, on this machine or on a cluster.

An actor has no files but those in a temporary folder of its own. Checkpoints come to the process
that has claimed the pack as messages, and it alone writes them; so neither a shared filesystem is
needed nor can an actor that outlives that process do harm. When an actor is lost, its pack goes on
elsewhere from the last checkpoint that came.
"""

import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from automata.errors import InputError
from statetrack.source_files import import_file
from statetrack.training.config import RunConfig
from statetrack.training.execute import pack_checkpoint
from statetrack.training.launchers.checkpoint_mirror import (
    Changes,
    CheckpointMirror,
    apply_changes,
)
from statetrack.training.launchers.pool import (
    SECONDS_BETWEEN_POLLS,
    Outcome,
    lost,
    run_packs,
    take_message,
)
from statetrack.training.launchers.worker import run_job
from statetrack.training.pack_training import TrainingStoppedError
from statetrack.training.packs import MAX_PACK_ON_CPU, MAX_PACK_ON_GPU, PackJob, pack_size_for
from statetrack.training.records import RunRecord

if TYPE_CHECKING:
    from types import ModuleType

    from statetrack.training.progress import GridProgress

SECONDS_TO_STOP = 10.0
SECONDS_BETWEEN_LOOKS = 1.0
"""At the resources that the cluster has free."""


class RayLauncher:
    """Actors of a Ray cluster; without an address, of one that is started on this machine.

    Parameters
    ----------
    num_workers : int, optional
        Actors; by default one per GPU of the cluster, or per processor where it has none.
    address : str, optional
        Of a running cluster: "auto", "10.0.0.1:6379" or "ray://10.0.0.1:10001".
    device : {"auto", "cpu", "cuda"}
        On every node; "auto" means GPUs where the cluster has any.
    pack_size : int, optional
        As for `LocalLauncher`.
    processors : int
        Of an actor, which are its threads.

    Raises
    ------
    InputError
        Ray is not installed, no cluster answers, it has not what is asked for, or numbers below 1.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        address: str | None = None,
        device: str = "auto",
        pack_size: int | None = None,
        processors: int = 1,
    ) -> None:
        numbers = {"workers": num_workers, "pack_size": pack_size, "processors": processors}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected a whole number >= 1")
        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"device {device!r}: Ray places the workers; give auto, cpu or cuda")
        self._ray = connect(address)
        there = self._ray.cluster_resources()
        gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
        self.device = ("cuda" if gpus else "cpu") if device == "auto" else device
        if self.device == "cuda" and not gpus:
            raise InputError("device 'cuda': the Ray cluster has no GPU")
        self.processors = processors
        self.num_workers = num_workers or (
            gpus if self.device == "cuda" else max(1, cpus // processors)
        )
        self._pack_size, self._has_told = pack_size, False

    @property
    def where(self) -> str:
        """Such as "8 Ray workers on cuda"."""
        return f"{self.num_workers} Ray workers on {self.device}"

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack, for these runs: two packs a worker, on GPUs one."""
        if self._pack_size is not None:
            return self._pack_size
        if self.device == "cuda":
            return pack_size_for(runs, self.num_workers, MAX_PACK_ON_GPU)
        return pack_size_for(runs, 2 * self.num_workers, MAX_PACK_ON_CPU)

    def run(
        self,
        jobs: Iterable[PackJob],
        checkpoints: Path,
        progress: "GridProgress",
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a run as they are done; an idle actor gets the next pack."""
        pool = _Actors(
            self._ray, self.device, self.num_workers, self.processors, checkpoints, source
        )
        if pool.num_free() == 0 and not self._has_told:
            self._has_told = True
            progress.note("waiting for room on the Ray cluster")
        return run_packs(jobs, pool, progress)


def connect(address: str | None) -> "ModuleType":
    """The module ``ray``, connected.

    Raises
    ------
    InputError
        It is not installed, or no cluster answers.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError(
            "launcher 'ray' needs the package ray: pip install 'statetrack[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
    try:
        ray.init(logging_level="warning", log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        place = f"no Ray cluster at {address!r}" if address else "Ray cannot start here"
        raise InputError(f"{place}: {reason}") from None
    return ray


class PackActor:
    """What runs in the process of an actor: one pack at a time, in a thread of its own.

    Parameters
    ----------
    device : str
    processors : int
        Threads.
    source : str, optional
        Text of the file that registers tasks and models.
    source_name : str
    """

    def __init__(self, device: str, processors: int, source: str | None, source_name: str) -> None:
        self._device, self._processors = device, processors
        self._folder = Path(tempfile.mkdtemp(prefix="statetrack-"))
        if source is not None:
            path = self._folder / source_name
            path.write_text(source)
            import_file(path)
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def ready(self) -> str:
        """The node it is on, once it is there."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def begin(self, job: str, checkpoints: Changes) -> None:
        """Take a pack up, with the checkpoints that there are of it."""
        folder = self._folder / "checkpoints"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        apply_changes(folder, checkpoints)
        mirror = CheckpointMirror(folder)
        mirror.changes()
        self._thread = threading.Thread(
            target=self._work, args=(PackJob.from_json(job), folder, mirror), daemon=True
        )
        self._thread.start()

    def messages(self) -> list[tuple[str, Any]]:
        """What was said since the last call; waits for half a second where there is nothing."""
        try:
            first = self._messages.get(timeout=SECONDS_BETWEEN_POLLS)
        except queue.Empty:
            return []
        return [first, *self._rest()]

    def _rest(self) -> Iterator[tuple[str, Any]]:
        while not self._messages.empty():
            yield self._messages.get()

    def stop(self) -> list[tuple[str, Any]]:
        """Keep the checkpoint and end the pack; what is left to say. It takes no other one."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(SECONDS_TO_STOP)
        shutil.rmtree(self._folder, ignore_errors=True)
        return list(self._rest())

    def _work(self, job: PackJob, folder: Path, mirror: CheckpointMirror) -> None:
        torch.set_num_threads(self._processors)

        def send(kind: str, body: Any) -> None:
            if changes := mirror.changes():
                self._messages.put(("checkpoints", changes))
            self._messages.put((kind, body))

        try:
            run_job(job, send, self._device, folder, self._stopping.is_set)
        except TrainingStoppedError:
            send("stopped", None)
        else:
            send("over", None)


class _Actor:
    """The driver's view of an actor: what it has to do, and what it is waited for."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.job: PackJob | None = None
        self.awaited = handle.ready.remote()
        self.node = ""
        self.is_ready = False


class _Actors:
    """The pool: actors are made when there is a pack, as many as the cluster has room for."""

    def __init__(
        self,
        ray: "ModuleType",
        device: str,
        num_workers: int,
        processors: int,
        checkpoints: Path,
        source: Path | None,
    ) -> None:
        self._ray, self._device, self._checkpoints = ray, device, checkpoints
        self._num_workers, self._processors = num_workers, processors
        self._text = None if source is None else source.read_text()
        self._name = "" if source is None else source.name
        self._actors: list[_Actor] = []
        self._room, self._looked = 0, 0.0

    def num_free(self) -> int:
        idle = sum(actor.job is None for actor in self._actors)
        return idle + min(self._num_workers - len(self._actors), self._room_left())

    def is_busy(self) -> bool:
        return any(actor.job is not None for actor in self._actors)

    def begin(self, job: PackJob) -> None:
        actor = next((actor for actor in self._actors if actor.job is None), None)
        if actor is None:
            actor = self._start()
            self._actors.append(actor)
        actor.job = job
        if actor.is_ready:
            self._hand_over(actor, job)

    def collect(self, progress: "GridProgress") -> Outcome:
        awaited = {actor.awaited: actor for actor in self._actors if actor.job is not None}
        if not awaited:
            time.sleep(SECONDS_BETWEEN_POLLS)
            return [], []
        self._ray.wait(list(awaited), timeout=SECONDS_BETWEEN_POLLS)
        come, _ = self._ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        records: list[RunRecord] = []
        again: list[PackJob] = []
        for reference in come:
            new, repeated = self._receive(awaited[reference], progress)
            records += new
            again += repeated
        return records, again

    def close(self) -> None:
        """Ask all at once to keep their checkpoints, then end them."""
        asked = [actor.handle.stop.remote() for actor in self._actors if actor.is_ready]
        if asked:
            come, _ = self._ray.wait(
                asked, num_returns=len(asked), timeout=SECONDS_TO_STOP + SECONDS_BETWEEN_POLLS
            )
            for reference in come:
                try:
                    self._keep(self._ray.get(reference))
                except self._ray.exceptions.RayError:
                    continue  # it is gone; what came before serves
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._actors.clear()

    def _start(self) -> _Actor:
        self._room -= 1
        remote = self._ray.remote(PackActor).options(
            num_cpus=self._processors, num_gpus=1 if self._device == "cuda" else 0, max_restarts=0
        )
        return _Actor(remote.remote(self._device, self._processors, self._text, self._name))

    def _room_left(self) -> int:
        """Actors that the cluster has room for; asked once a second."""
        now = time.monotonic()
        if now - self._looked > SECONDS_BETWEEN_LOOKS and all(one.is_ready for one in self._actors):
            self._looked = now
            free = self._ray.available_resources()
            self._room = int(free.get("CPU", 0) // self._processors)
            if self._device == "cuda":
                self._room = min(self._room, int(free.get("GPU", 0)))
        return self._room

    def _hand_over(self, actor: _Actor, job: PackJob) -> None:
        path = pack_checkpoint(self._checkpoints, job.runs)
        kept = {path.name: path.read_bytes()} if path.exists() else {}
        actor.handle.begin.remote(job.to_json(), kept)
        actor.awaited = actor.handle.messages.remote()

    def _receive(self, actor: _Actor, progress: "GridProgress") -> Outcome:
        job = actor.job
        if job is None:
            raise AssertionError("only busy actors are waited for")
        try:
            come = self._ray.get(actor.awaited)
        except self._ray.exceptions.RayError as error:
            return self._bury(actor, job, error)
        if not actor.is_ready:
            actor.is_ready, actor.node = True, come
            self._hand_over(actor, job)
            return [], []
        self._keep(come)
        records: list[RunRecord] = []
        for kind, body in come:
            if kind != "checkpoints" and actor.job is not None:
                actor.job, new = take_message(actor.job, kind, body, progress)
                records += new
        if actor.job is not None:
            actor.awaited = actor.handle.messages.remote()
        return records, []

    def _keep(self, come: list[tuple[str, Any]]) -> None:
        for kind, body in come:
            if kind == "checkpoints":
                apply_changes(self._checkpoints, body)

    def _bury(self, actor: _Actor, job: PackJob, error: Exception) -> Outcome:
        """An actor is lost: a pack is at fault only where its node is there still."""
        self._actors.remove(actor)
        reason = " ".join(str(error).split())[:300]
        if getattr(error, "actor_init_failed", False):
            raise InputError(f"a Ray worker cannot start: {reason}")
        if self._is_place_lost(actor, error):
            return [], [job]
        return lost(job, f"the Ray worker died: {reason}", self._device)

    def _is_place_lost(self, actor: _Actor, error: Exception) -> bool:
        if getattr(error, "preempted", False):
            return True
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return actor.node not in alive
