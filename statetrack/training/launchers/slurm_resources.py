"""What an element of a job array asks Slurm for."""

from collections.abc import Sequence
from dataclasses import dataclass

from automata.errors import InputError
from statetrack.training.config import RunConfig
from statetrack.training.packs import MAX_PACK_ON_CPU, MAX_PACK_ON_GPU, pack_size_for


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

    @property
    def device(self) -> str:
        """Kind of the devices of an element."""
        return "cuda" if self.gpus else "cpu"

    @property
    def workers_of_an_element(self) -> int:
        """One a GPU, or one a processor."""
        return self.gpus or self.processors

    @property
    def num_workers(self) -> int:
        """That train at the same time, when the cluster has room for all elements."""
        return min(self.num_elements, self.parallelism) * self.workers_of_an_element

    @property
    def where(self) -> str:
        """Such as "at most 8 Slurm jobs at once, 1 worker on cuda each"."""
        workers = self.workers_of_an_element
        return (
            f"at most {min(self.num_elements, self.parallelism)} Slurm jobs at once, {workers} "
            f"worker{'s' if workers > 1 else ''} on {self.device} each"
        )

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most runs of a pack so that every worker has one."""
        largest = MAX_PACK_ON_GPU if self.gpus else MAX_PACK_ON_CPU
        return pack_size_for(runs, self.num_workers, largest)
