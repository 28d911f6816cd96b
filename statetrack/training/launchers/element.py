"""One element of a job array: a shard of packs, run by the local launcher on the node it got.

It works as a process that has joined a grid does: it claims each pack, leaves every record as a
file of its own, and keeps checkpoints, all in a folder that the nodes share.
"""

import json
import multiprocessing
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statetrack.atomic_files import write_atomically
from statetrack.source_files import import_file
from statetrack.training.claims import Claims
from statetrack.training.job_queue import SECONDS_BETWEEN_LOOKS
from statetrack.training.launchers.local import SECONDS_TO_STOP, LocalLauncher
from statetrack.training.packs import PackJob, pack_id, pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.progress import GridProgress

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

ELEMENTS = "elements"
SECONDS_TO_WAIT_FOR_CLAIM = 120.0


@dataclass(frozen=True)
class Element:
    """Packs for one element of an array, as a file says it.

    Attributes
    ----------
    folder : Path
        Shared by all nodes.
    jobs : tuple of PackJob
    device : str
    num_workers : int or None
        As for `LocalLauncher`, on the node.
    source : Path or None
        File that registers tasks and models.
    """

    folder: Path
    jobs: tuple[PackJob, ...]
    device: str = "auto"
    num_workers: int | None = None
    source: Path | None = None

    @property
    def name(self) -> str:
        """Identity: its packs and how often their workers have died."""
        return pack_id_of([f"{pack_id(job.runs)} {job.deaths}" for job in self.jobs])

    @property
    def place(self) -> Path:
        """Folder of what is its own."""
        return self.folder / ELEMENTS / self.name

    def write(self) -> Path:
        """Write the file that `read` reads, with its plan beside it.

        Raises
        ------
        OSError
            It cannot be written.
        """
        path = self.place / "element.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "folder": str(self.folder),
            "jobs": [job.to_json() for job in self.jobs],
            "device": self.device,
            "num_workers": self.num_workers,
            "source": None if self.source is None else str(self.source),
        }
        PlanFile(self.place).publish([[run.run_id for run in job.runs] for job in self.jobs])
        write_atomically(path, json.dumps(content).encode())
        return path

    @classmethod
    def read(cls, path: Path, *, registers: bool = False) -> "Element":
        """Read `write`.

        Parameters
        ----------
        path : Path
        registers : bool
            Run its source first, which registers tasks and models, as a new process has to.

        Raises
        ------
        InputError
            It names a task or a model that is not known here.
        """
        tree: dict[str, Any] = json.loads(path.read_text())
        source = None if tree["source"] is None else Path(tree["source"])
        if source is not None and registers:
            import_file(source)
        jobs = tuple(PackJob.from_json(text) for text in tree["jobs"])
        return cls(Path(tree["folder"]), jobs, tree["device"], tree["num_workers"], source)

    def run(self) -> None:
        """Run what has no record yet; nothing where another process does already.

        The lock of a node that is lost may take a while to be given up.

        Raises
        ------
        InputError
            Something in the folder is damaged or cannot be written.
        """
        from statetrack.training.grid import Grid
        from statetrack.training.sharing import SharedGrid

        started = time.monotonic()
        while (claim := Claims(self.folder).take(self.name)) is None:
            if time.monotonic() - started > SECONDS_TO_WAIT_FOR_CLAIM:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
        runs = tuple(run for job in self.jobs for run in job.runs)
        known: Collection[str] = {run_id for job in self.jobs for run_id in job.known}
        launcher = LocalLauncher(self.num_workers, self.device)
        shared = SharedGrid(
            Grid("element", runs, self.source),
            self.folder,
            launcher,
            GridProgress(sys.stdout),
            (),
            plan=PlanFile(self.place),
        )
        with closing(shared):
            shared.leave_records(known)
        claim.release(finished=True)


class ElementTask:
    """What submitit calls on the node; requeued, it goes on from the checkpoints.

    Parameters
    ----------
    path : str
        File of the element.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> None:
        """Run the element."""
        Element.read(Path(self.path), registers=True).run()

    def checkpoint(self) -> "DelayedSubmission":
        """Called by submitit before the time is up: keep the checkpoints, then be queued again."""
        from submitit.helpers import DelayedSubmission

        stop_workers(multiprocessing.active_children())
        return DelayedSubmission(self)


def stop_workers(workers: Sequence[Any]) -> None:
    """Let processes keep their checkpoints, and wait for them."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(SECONDS_TO_STOP)
