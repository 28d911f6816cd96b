"""Accuracy as a curve over word length, against the majority rate of the same words."""

from collections.abc import Sequence

import torch
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from automata.validation import as_integer
from statetrack.training.counting import OneRun, Pack, count_right, majority_counts
from statetrack.training.labelled_words import RunWords
from statetrack.training.report_curve import EVALUATE, ReportCurve
from statetrack.training.word_families import WordFamily, word_family

MAX_LENGTH = 2**24


def evaluate(
    model: nn.Module,
    task: Task,
    *,
    max_length: int,
    num_words: int,
    family: str | WordFamily = "uniform",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> ReportCurve:
    """Measure a model at every position of words of the report split.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens [B, T], state=None) -> (logits [B, T, num_classes], state)``, on `device`.
    task : Task
    max_length : int
        Length of the words, up to 2**24.
    num_words : int
        How many; of a family that has fewer, all it has.
    family : {"uniform", "repeated", "alternating", "adversarial"} or WordFamily
        Which words: the task's own, those of one letter again and again, those of two letters in
        turn, or those that keep two states apart for longest.
    seed : int
        Seed of the words.
    device : torch.device or str

    Returns
    -------
    ReportCurve
        ``.to_frame()`` is one row a length at which something is asked; ``.horizon()``,
        ``.intervals()`` and ``.horizon_interval()`` read it.

    Raises
    ------
    InputError
        The task asks nothing in words of that length; the family has no words for it; the model
        returns no state (None) and the words are too long to be read whole.

    Notes
    -----
    Words longer than 1,024 letters are drawn, labelled and read in segments, the state of the model
    and of the automaton carried over, so that memory does not grow with them: 2**20 letters are as
    well as 2**10. Words of tasks that no automaton labels are drawn whole and read in segments.

    Logits that are not finite count as wrong. Positions that a task does not supervise are left
    out, and lengths at which nothing is asked have no row; where it asks for the state after the
    last token alone, every prefix is taken as a word of its own. Of language models
    (`Task.is_language_model`) the cross-entropy is measured too.

    Words that select a model are another split, measured by `select`, whose score is of another
    type; nothing measures on the training words.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models import build_model
    >>> model = build_model("diagonal", num_tokens=2, num_classes=2)
    >>> curve = evaluate(model, get_task("parity"), max_length=4, num_words=64)
    >>> list(curve.to_frame().length)
    [1, 2, 3, 4]
    """
    return evaluate_pack(
        OneRun(model),
        [task],
        max_length=max_length,
        num_words=num_words,
        family=family,
        seed=seed,
        device=device,
    )[0]


def evaluate_pack(
    model: Pack,
    tasks: Sequence[Task],
    *,
    max_length: int,
    num_words: int,
    family: str | WordFamily = "uniform",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[ReportCurve]:
    """Measure P models at once on report words that runs of one task share.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens [P, B, T], state=None) -> (logits [P, B, T, num_classes], state)``.
    tasks : sequence of Task, [P]
        The task of every run.
    max_length, num_words, family, seed, device
        See `evaluate`.

    Returns
    -------
    list of ReportCurve, [P]
        Each equal to what `evaluate` measures for that run alone.

    Raises
    ------
    InputError
        As `evaluate`.
    """
    max_length = as_integer(max_length, "max_length", 1, MAX_LENGTH)
    num_words = as_integer(num_words, "num_words", 1, 2**31 - 1)
    family, device = word_family(family), torch.device(device)
    words = RunWords(
        tasks,
        [seed] * len(tasks),
        family=family,
        length=max_length,
        num_words=num_words,
        split="report",
        device=device,
    )
    counts = count_right(model, words, with_loss=any(task.is_language_model for task in tasks))
    right, whole, asked = (part.cpu().long().numpy() for part in counts[:3])
    first_error = counts.first_error.cpu().numpy()
    losses = None if counts.loss is None else counts.loss.cpu().numpy()
    curves = []
    for run, task in enumerate(tasks):
        measured = asked[run] > 0
        if not measured.any():
            raise InputError(f"task {task.name!r} asks nothing in words of length {max_length}")
        majority = majority_counts(
            task, family, max_length, num_words, seed=seed, split="report", device=device
        )
        curves.append(
            ReportCurve(
                family.name,
                words.num_words,
                measured.nonzero()[0] + 1,
                right[run][measured],
                whole[run][measured],
                majority.numpy()[measured],
                asked[run][measured],
                first_error[run],
                losses[run][measured] if losses is not None and task.is_language_model else None,
                made_by=EVALUATE,
            )
        )
    return curves
