"""Accuracy modulo every normal subgroup: which quotients of a group outlast the others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.homomorphisms import quotient
from automata.normal_subgroups import normal_subgroups
from statetrack.analysis.model_states import at_rest, read_words
from statetrack.analysis.representation_match import quotient_name

if TYPE_CHECKING:
    from automata.tasks import Task


def quotient_accuracy(
    said: NDArray[np.int64], right: NDArray[np.int64], group: FiniteGroup
) -> pd.DataFrame:
    """Share of answers that are right modulo each normal subgroup.

    Parameters
    ----------
    said, right : ndarray of int, equal shapes
        Elements that a model says, and that are right.
    group : FiniteGroup

    Returns
    -------
    DataFrame
        One row per normal subgroup but the whole group, the largest first: subgroup_order,
        quotient, quotient_order, accuracy, chance (one over the order of the quotient), and
        given_wrong: the accuracy among answers that are wrong in the group (NaN if none is), with
        its chance wrong_chance.

    Raises
    ------
    InputError
        Shapes that differ.

    Notes
    -----
    Of the ``order - 1`` wrong elements ``subgroup_order - 1`` are right modulo the subgroup: a model
    that is wrong at random has that share. More says that the quotient survives where the
    group is lost (compare Li, Guo and Andreas, arXiv 2503.02854, on parity).

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> group = symmetric(3)
    >>> frame = quotient_accuracy(np.array([0, 3, 1]), np.array([0, 0, 0]), group)
    >>> frame[["quotient", "accuracy", "given_wrong"]].values.tolist()
    [['Z2', 0.6666666666666666, 0.5], ['S3', 0.3333333333333333, 0.0]]
    """  # noqa: E501
    if said.shape != right.shape:
        raise InputError(f"said has shape {said.shape} and right {right.shape}")
    wrong = said != right
    rows = []
    for normal in sorted(normal_subgroups(group), key=len, reverse=True):
        if len(normal) == group.order:
            continue
        coset = quotient(group, normal).projection
        agree = coset[said] == coset[right]
        rows.append(
            {
                "subgroup_order": len(normal),
                "quotient": quotient_name(group, normal),
                "quotient_order": group.order // len(normal),
                "accuracy": float(agree.mean()),
                "chance": len(normal) / group.order,
                "given_wrong": float(agree[wrong].mean()) if wrong.any() else np.nan,
                "wrong_chance": (len(normal) - 1) / max(1, group.order - 1),
            }
        )
    return pd.DataFrame(rows)


def quotient_ladder(
    model: nn.Module,
    task: "Task",
    lengths: Sequence[int] = (16, 64, 256),
    *,
    num_words: int = 512,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy modulo every normal subgroup at some lengths.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits, state)``.
    task : Task
        A word problem whose classes are the elements of its group.
    lengths : sequence of int
    num_words : int
        From the split "report".
    seed : int

    Returns
    -------
    DataFrame
        The rows of `quotient_accuracy`, with a column length in front.

    Raises
    ------
    InputError
        A task whose classes are no group elements.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import group_by_reflections
    >>> task = get_task("word_problem", group="S3", generators="all")
    >>> frame = quotient_ladder(group_by_reflections(symmetric(3)), task, (64,), num_words=64)
    >>> frame["accuracy"].tolist()
    [1.0, 1.0]
    """
    group = checked_group(task)
    if not lengths or min(lengths) < 1:
        raise InputError(f"lengths = {tuple(lengths)}: give lengths from 1")
    batch = task.sample(seed=seed, batch_size=num_words, length=max(lengths), split="report")
    with at_rest(model):
        logits, _ = read_words(model, np.asarray(batch.tokens))
    said, right = logits.argmax(axis=-1), np.asarray(batch.targets)
    parts = []
    for length in lengths:
        frame = quotient_accuracy(said[:, length - 1], right[:, length - 1], group)
        frame.insert(0, "length", length)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def checked_group(task: "Task") -> FiniteGroup:
    """The group of a word problem whose classes are its elements.

    Raises
    ------
    InputError
        Another task.
    """
    group = task.group
    if group is None or task.supervision != "per_prefix" or task.num_classes != group.order:
        raise InputError(
            f"task {task.name!r}: expected a word problem whose classes are the group's elements"
        )
    return group
