"""From a task to batches on the device, as pure functions of (task, seed, split, step)."""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from automata.tasks import Task
from automata.tasks.automaton_task import AutomatonTask
from statetrack.scans.automaton import uniform_words


class TensorBatch(NamedTuple):
    """Words and targets on a device.

    Attributes
    ----------
    tokens, targets : Tensor of int64, [batch, length]
    mask : Tensor of bool, [batch, length]
        True where a position is supervised.
    """

    tokens: Tensor
    targets: Tensor
    mask: Tensor


def draw_batch(
    task: Task,
    *,
    batch_size: int,
    length: int,
    seed: int,
    split: str = "train",
    step: int = 0,
    device: torch.device | str = "cpu",
) -> TensorBatch:
    """Draw the batch of one step; the same bits on every device.

    Parameters
    ----------
    task : Task
    batch_size, length : int
    seed : int
        0 <= seed < 2**32.
    split : {"train", "selection", "report"}
    step : int
        Items ``step * batch_size`` and on.
    device : torch.device or str
        On a GPU, words of regular tasks are drawn and labelled there.

    Returns
    -------
    TensorBatch

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> draw_batch(get_task("parity"), batch_size=2, length=20, seed=1).tokens.shape
    torch.Size([2, 20])
    """
    device = torch.device(device)
    arguments: dict[str, Any] = {
        "batch_size": batch_size,
        "length": length,
        "split": split,
        "step": step,
    }
    if device.type != "cpu" and isinstance(task, AutomatonTask) and task.is_plain:
        return draw_plain_batch(task, seed=seed, device=device, **arguments)
    batch = task.sample(seed, **arguments)
    tokens, targets, mask = map(torch.from_numpy, (batch.tokens, batch.targets, batch.mask))
    return TensorBatch(tokens.to(device), targets.to(device), mask.to(device))


def draw_plain_batch(
    task: AutomatonTask,
    *,
    batch_size: int,
    length: int,
    seed: int,
    split: str,
    step: int,
    device: torch.device,
) -> TensorBatch:
    """Draw and label words of a plain task (`AutomatonTask.is_plain`) on the device itself.

    Parameters
    ----------
    task : AutomatonTask
    batch_size, length, seed, split, step
        See `draw_batch`.
    device : torch.device
    """
    transitions, classes = _tables(task, device)
    tokens, _, targets = uniform_words(
        transitions,
        length,
        step * batch_size,
        batch_size,
        seed=seed,
        split=split,
        initial=task.dfa.initial,
        outputs=classes,
        keep_states=False,
    )
    assert targets is not None
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if task.supervision == "final":
        mask[:, :-1] = False
        targets = torch.where(mask, targets, 0)
    return TensorBatch(tokens, targets, mask)


@functools.lru_cache(maxsize=256)
def _tables(task: AutomatonTask, device: torch.device) -> tuple[Tensor, Tensor]:
    """Transitions, in 16 bits where that does, and the class of every state."""
    narrow = torch.int16 if task.dfa.num_states < 2**15 else torch.int64
    transitions = torch.from_numpy(np.array(task.dfa.transitions)).to(device, narrow)
    return transitions, torch.from_numpy(np.array(task.state_classes)).to(device)
