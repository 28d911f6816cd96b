"""How well a model does while it is trained, on words that are never reported."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.training.counting import OneRun, Pack, count_right
from statetrack.training.labelled_words import RunWords
from statetrack.training.word_families import word_family


@dataclass(frozen=True)
class SelectionScore:
    """Accuracy on the selection words: for stopping and choosing, and no part of any report.

    Attributes
    ----------
    length : int
        Last position at which something is asked, where accuracy is taken.
    num_words : int
        Words asked there.
    token_accuracy, whole_prefix_accuracy : float
    """

    length: int
    num_words: int
    token_accuracy: float
    whole_prefix_accuracy: float


def select(
    model: nn.Module,
    task: Task,
    *,
    length: int,
    num_words: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> SelectionScore:
    """Measure a model on words of the selection split.

    Parameters
    ----------
    model : torch.nn.Module
        As for `evaluate`.
    task : Task
    length, num_words : int
    seed : int
        The run's seed.
    device : torch.device or str

    Returns
    -------
    SelectionScore

    Raises
    ------
    InputError
        The task asks nothing in words of that length.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models import build_model
    >>> model = build_model("diagonal", num_tokens=2, num_classes=2)
    >>> select(model, get_task("parity"), length=20, num_words=64, seed=0).length
    20
    """
    return select_pack(
        OneRun(model), [task], [seed], length=length, num_words=num_words, device=device
    )[0]


def select_pack(
    model: Pack,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    *,
    length: int,
    num_words: int,
    device: torch.device | str = "cpu",
) -> list[SelectionScore]:
    """Measure P models at once, each on the selection words of its own seed.

    Parameters
    ----------
    model : torch.nn.Module
        As for `evaluate_pack`.
    tasks : sequence of Task, [P]
    seeds : sequence of int, [P]
    length, num_words, device
        See `select`.

    Returns
    -------
    list of SelectionScore, [P]
        Each equal to what `select` measures for that run alone.

    Raises
    ------
    InputError
        As `select`.
    """
    words = RunWords(
        tasks,
        seeds,
        family=word_family("uniform"),
        length=length,
        num_words=num_words,
        split="selection",
        device=torch.device(device),
    )
    right, whole, asked = torch.stack(count_right(model, words)[:3]).cpu().long().numpy()
    scores = []
    for run, task in enumerate(tasks):
        measured = asked[run].nonzero()[0]
        if not measured.size:
            raise InputError(f"task {task.name!r} asks nothing in words of length {length}")
        last = measured[-1]
        total = int(asked[run, last])
        scores.append(
            SelectionScore(
                int(last) + 1,
                total,
                float(right[run, last] / total),
                float(whole[run, last] / total),
            )
        )
    return scores
