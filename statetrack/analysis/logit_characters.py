"""Characters in the logits, and cosets in the units, of a model that tracks a group.

Shape suffixes: B words, G elements, U units.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.subgroups import all_subgroups
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.ladder import checked_group
from statetrack.analysis.model_states import ModelState, at_rest, read_words, state_vectors

if TYPE_CHECKING:
    from automata.tasks import Task

_TIE = 1e-9


def character_similarity(
    logits: NDArray[np.float64], elements: NDArray[np.int64], group: FiniteGroup
) -> pd.DataFrame:
    """Compare logits with the characters of the group.

    Parameters
    ----------
    logits : ndarray, float64 [B, G]
        One for every element.
    elements : ndarray of int [B]
        The element that is right.
    group : FiniteGroup

    Returns
    -------
    DataFrame
        One row per irreducible real representation but the trivial one: irrep, dimension, type,
        similarity (cosine between the logits, centred over elements, and ``chi(q c^-1)`` for answer
        c where q is right), share (of the squared centred logits that these functions explain: they
        are orthogonal, so shares add up).

    Raises
    ------
    InputError
        Wrong shapes.

    Notes
    -----
    Chughtai, Chan and Nanda (arXiv 2302.03025) find that networks trained on group products compute
    ``chi(a b c^-1)``; here the product is that of a whole word.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> logits = np.where(np.arange(2) == np.array([[0], [1]]), 3.0, -3.0)
    >>> character_similarity(logits, np.array([0, 1]), cyclic(2))["similarity"].tolist()
    [1.0]
    """
    if logits.ndim != 2 or logits.shape[1] != group.order or elements.shape != logits.shape[:1]:
        raise InputError(f"logits have shape {logits.shape}: give [num_words, {group.order}]")
    irreps = RealIrreps.of(group)
    centred_BG = logits - logits.mean(axis=1, keepdims=True)
    quotient_BG = group.table[elements][:, group.inverses]
    total = float(np.square(centred_BG).sum())
    rows = []
    for number in range(1, len(irreps.characters)):
        character_BG = irreps.values[number][quotient_BG]
        product = float((centred_BG * character_BG).sum())
        norm = float(np.square(character_BG).sum())
        similarity = product / np.sqrt(max(norm * total, np.finfo(np.float64).tiny))
        rows.append(
            {
                "irrep": irreps.labels[number],
                "dimension": irreps.characters[number].dimension,
                "type": irreps.characters[number].type,
                "similarity": similarity,
                "share": similarity**2,
            }
        )
    return pd.DataFrame(rows)


def coset_concentration(values: NDArray[np.float64], group: FiniteGroup) -> pd.DataFrame:
    """How far functions on a group are constant on the cosets of its subgroups.

    Parameters
    ----------
    values : ndarray, float64 [U, G]
        One function, such as the mean of a unit at every element, a row.
    group : FiniteGroup

    Returns
    -------
    DataFrame
        One row per unit, with the subgroup that explains it best among those that are neither
        trivial nor whole, the largest where several do: unit, side ("left": g K, "right": K g),
        subgroup_order, index, share (of the variance that lies between cosets), expected (the same
        share for values in random order: ``(index - 1) / (order - 1)``), score
        (``(share - expected) / (1 - expected)``).

    Raises
    ------
    InputError
        Wrong shapes, or a group without such subgroups.

    Notes
    -----
    Stander, Yu, Fan and Biderman (arXiv 2312.06581) find units that are concentrated on cosets.
    All subgroups are tried, so conjugates are too.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> coset_concentration(np.array([[1.0, 0.0, 1.0, 0.0]]), cyclic(4))[["index", "share"]].values
    array([[2., 1.]])
    """
    if values.ndim != 2 or values.shape[1] != group.order:
        raise InputError(f"values have shape {values.shape}: give [units, {group.order}]")
    subgroups = [part for part in all_subgroups(group) if 1 < len(part) < group.order]
    if not subgroups:
        raise InputError(f"{group.name} has no subgroup but the trivial one and itself")
    centred_UG = values - values.mean(axis=1, keepdims=True)
    total_U = np.maximum(np.square(centred_UG).mean(axis=1), np.finfo(np.float64).tiny)
    best_U = np.full(len(values), -np.inf)
    rows: list[dict[str, object]] = [{} for _ in values]
    for part in sorted(subgroups, key=len, reverse=True):
        index = group.order // len(part)
        expected = (index - 1) / (group.order - 1)
        for side, cosets in (
            ("left", group.table[:, list(part)]),
            ("right", group.table[list(part)].T),
        ):
            between_U = np.square(centred_UG[:, cosets].mean(axis=-1)).mean(axis=1)
            share_U = between_U / total_U
            score_U = (share_U - expected) / (1 - expected)
            for unit in np.flatnonzero(score_U > best_U + _TIE).tolist():
                best_U[unit] = score_U[unit]
                rows[unit] = {
                    "unit": unit,
                    "side": side,
                    "subgroup_order": len(part),
                    "index": index,
                    "share": float(share_U[unit]),
                    "expected": expected,
                    "score": float(score_U[unit]),
                }
    return pd.DataFrame(rows)


def element_means(
    model: nn.Module, task: "Task", length: int, *, num_words: int = 2048, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean hidden state of every element at a length, and the share of variance it explains.

    Parameters
    ----------
    model : torch.nn.Module
    task : Task
        A word problem whose classes are the elements of its group.
    length, num_words, seed : int

    Returns
    -------
    means : ndarray, float64 [U, G]
        One row a number of the state, as `coset_concentration` takes them.
    explained : ndarray, float64 [U]
        Variance between elements over all variance: 1 when the state is a function of the element.

    Raises
    ------
    InputError
        Another task, or an element that no word leads to.
    """
    group = checked_group(task)
    tokens, targets = _sampled(task, length, num_words, seed)
    with at_rest(model):
        _, state = read_words(model, tokens)
    vectors_BU = state_vectors(state)
    last = targets[:, -1]
    missing = sorted(set(range(group.order)) - set(last.tolist()))
    if missing:
        raise InputError(f"no word of length {length} leads to {missing[:5]}: raise num_words")
    means_GU = np.stack([vectors_BU[last == g].mean(axis=0) for g in range(group.order)])
    total = np.maximum(vectors_BU.var(axis=0), np.finfo(np.float64).tiny)
    return means_GU.T, means_GU[last].var(axis=0) / total


def characters_by_length(
    model: nn.Module,
    task: "Task",
    lengths: Sequence[int] = (16, 64, 256),
    *,
    num_words: int = 512,
    seed: int = 0,
) -> pd.DataFrame:
    """`character_similarity` of a model's logits at some lengths.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits, state)``.
    task : Task
        A word problem whose classes are the elements of its group.
    lengths : sequence of int
        Ascending.
    num_words, seed : int

    Returns
    -------
    DataFrame
        With a column length in front.

    Raises
    ------
    InputError
        Another task, or lengths that do not ascend.
    """
    group = checked_group(task)
    wanted = list(lengths)
    if not wanted or sorted(set(wanted)) != wanted or wanted[0] < 1:
        raise InputError(f"lengths = {tuple(lengths)}: give ascending lengths from 1")
    tokens, targets = _sampled(task, wanted[-1], num_words, seed)
    parts, before = [], 0
    state: ModelState | None = None
    with at_rest(model):
        for length in wanted:
            logits, state = read_words(model, tokens[:, before:length], state)
            frame = character_similarity(logits[:, -1], targets[:, length - 1], group)
            frame.insert(0, "length", length)
            parts.append(frame)
            before = length
    return pd.concat(parts, ignore_index=True)


def _sampled(
    task: "Task", length: int, num_words: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    batch = task.sample(seed=seed, batch_size=num_words, length=length, split="report")
    return np.asarray(batch.tokens, dtype=np.int64), np.asarray(batch.targets, dtype=np.int64)
