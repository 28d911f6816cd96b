"""From a task to batches on the device, as pure functions of (task, seed, split, step)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from automata.tasks import Task
from automata.tasks.automaton_task import AutomatonTask
from statetrack.scans.automaton import automaton_scan, uniform_letters


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
    if device.type == "cpu" or not isinstance(task, AutomatonTask) or not task.is_plain:
        batch = task.sample(seed, batch_size=batch_size, length=length, split=split, step=step)
        tokens, targets, mask = map(torch.from_numpy, (batch.tokens, batch.targets, batch.mask))
        return TensorBatch(tokens.to(device), targets.to(device), mask.to(device))
    tokens = uniform_letters(
        task.num_tokens,
        length,
        step * batch_size,
        batch_size,
        seed=seed,
        split=split,
        device=device,
    )
    transitions = torch.from_numpy(np.array(task.dfa.transitions)).to(device)
    classes = torch.from_numpy(np.array(task.state_classes)).to(device)
    states, _ = automaton_scan(transitions, tokens, task.dfa.initial)
    targets = classes[states]
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if task.supervision == "final":
        mask[:, :-1] = False
        targets = torch.where(mask, targets, 0)
    return TensorBatch(tokens, targets, mask)
