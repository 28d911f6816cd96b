"""A task as a torch data set, in which no two workers or ranks draw the same item."""

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from automata.errors import InputError
from automata.tasks import Task
from automata.validation import as_integer
from statetrack.training.data import TensorBatch

__all__ = ["TaskDataset"]


class TaskDataset(IterableDataset[TensorBatch]):
    """Batches of consecutive steps, shared out among the workers of a loader.

    Step ``s`` is drawn by worker ``s % num_workers`` alone, so that a loader gives the same batches
    in the same order whatever the number of its workers.

    Parameters
    ----------
    task : Task
    batch_size : int
    length : int or (low, high)
        See `automata.tasks.Task.sample`; shorter words are padded.
    seed : int
    split : {"train", "selection", "report"}
    num_steps : int, optional
        Batches in all, over all ranks and workers; by default without end.
    rank, num_ranks : int
        Of several processes that train together, each takes every `num_ranks`-th step.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from automata.tasks import get_task
    >>> data = TaskDataset(get_task("s3"), batch_size=4, length=20, num_steps=3)
    >>> [batch.tokens.shape for batch in DataLoader(data, batch_size=None)]
    [torch.Size([4, 20]), torch.Size([4, 20]), torch.Size([4, 20])]
    """

    def __init__(
        self,
        task: Task,
        *,
        batch_size: int,
        length: int | tuple[int, int],
        seed: int = 0,
        split: str = "train",
        num_steps: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.task, self.length, self.seed, self.split = task, length, seed, split
        self.batch_size = as_integer(batch_size, "batch_size", 1)
        self.num_steps = None if num_steps is None else as_integer(num_steps, "num_steps", 0)
        self.num_ranks = as_integer(num_ranks, "num_ranks", 1)
        self.rank = as_integer(rank, "rank", 0, self.num_ranks - 1)
        if not isinstance(task, Task):
            raise InputError(f"{task!r} is no task: give one, as automata.tasks.get_task does")
        # A bad length or split is told here, not in a worker.
        task.sample(seed, batch_size=1, length=length, split=split)

    def __iter__(self) -> Iterator[TensorBatch]:
        """Draw this worker's share of the steps."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for own in itertools.count(number, workers):
            step = own * self.num_ranks + self.rank
            if self.num_steps is not None and step >= self.num_steps:
                return
            batch = self.task.sample(
                self.seed,
                batch_size=self.batch_size,
                length=self.length,
                split=self.split,
                step=step,
            )
            yield TensorBatch(
                *(torch.from_numpy(part) for part in (batch.tokens, batch.targets, batch.mask))
            )
