"""Accuracy as a curve over word length, against the majority rate of the same words."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from automata.errors import InputError
from automata.tasks import AutomatonTask, Task
from statetrack.training.data import draw_batch

TOKENS_PER_BATCH = 2**17


@torch.no_grad()
def evaluate(
    model: nn.Module,
    task: Task,
    *,
    max_length: int,
    num_words: int,
    split: str = "report",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure a model at every position of long words.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state=None) -> (logits, state)``.
    task : Task
    max_length : int
        Length of the words.
    num_words : int
        How many.
    split : {"report", "selection", "train"}
    seed : int
        Seed of the words.
    device : torch.device or str

    Returns
    -------
    DataFrame
        One row a length L = 1 .. max_length: ``length``, ``token_accuracy`` (at position L),
        ``whole_prefix_accuracy`` (share of words with positions 1..L all right), ``majority_rate``
        (measured share of the most frequent class at position L), ``num_words`` (asked there).

    Raises
    ------
    InputError
        The task asks nothing in words of that length.

    Notes
    -----
    Logits that are not finite count as wrong. Positions that a task does not supervise are left
    out, and lengths at which nothing is asked have no row; where it asks for the state after the
    last token alone, every prefix is taken as a word of its own.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models import build_model
    >>> model = build_model("diagonal", num_tokens=2, num_classes=2)
    >>> curve = evaluate(model, get_task("parity"), max_length=4, num_words=64)
    >>> list(curve.length)
    [1, 2, 3, 4]
    """
    was_training = model.training
    model.eval()
    num_right = torch.zeros(max_length, dtype=torch.int64, device=device)
    num_whole = torch.zeros(max_length, dtype=torch.int64, device=device)
    num_asked = torch.zeros(max_length, dtype=torch.int64, device=device)
    counts = torch.zeros(max_length, task.num_classes, dtype=torch.int64, device=device)
    batch_size = max(1, min(num_words, TOKENS_PER_BATCH // max_length))
    for step in range(-(-num_words // batch_size)):
        size = min(batch_size, num_words - step * batch_size)
        batch = draw_batch(
            task,
            batch_size=batch_size,
            length=max_length,
            seed=seed,
            split=split,
            step=step,
            device=device,
        )
        tokens, targets, asked = _asked(task, *(tensor[:size] for tensor in batch))
        logits, _ = model(tokens)
        right = (logits.argmax(dim=-1) == targets) & logits.isfinite().all(dim=-1)
        num_right += (right & asked).sum(dim=0)
        num_whole += ((right | ~asked).long().cumprod(dim=1) * asked).sum(dim=0)
        num_asked += asked.sum(dim=0)
        one_hot = nn.functional.one_hot(targets, task.num_classes)
        counts += (one_hot * asked.unsqueeze(-1)).sum(dim=0)
    model.train(was_training)
    total = num_asked.double().cpu().numpy()
    measured = total > 0
    if not measured.any():
        raise InputError(f"task {task.name!r} asks nothing in words of length {max_length}")
    columns = {
        "token_accuracy": num_right,
        "whole_prefix_accuracy": num_whole,
        "majority_rate": counts.amax(dim=-1),
    }
    rates = {
        name: column.double().cpu().numpy()[measured] / total[measured]
        for name, column in columns.items()
    }
    lengths = np.arange(1, max_length + 1)[measured]
    return pd.DataFrame({"length": lengths, **rates, "num_words": total[measured].astype(int)})


def _asked(
    task: Task, tokens: Tensor, targets: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, targets, and the positions that count.

    Where a task asks for the state after the last token alone, every prefix is a word of its own,
    so every position counts; the models are causal.
    """
    is_state = isinstance(task, AutomatonTask) and task.is_plain
    if is_state and task.supervision == "final":
        every = torch.from_numpy(task.targets_of(tokens.cpu().numpy())).to(tokens.device)
        return tokens, every, torch.ones_like(mask)
    return tokens, targets, mask
