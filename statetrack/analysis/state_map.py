"""Where a model keeps the states of the automaton: a plane through its hidden states.

Shape suffixes: B words, N numbers of a hidden state, C classes.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from automata.errors import InputError
from statetrack.analysis.model_states import at_rest, read_words, state_vectors
from statetrack.analysis.naming import element_name, token_names

if TYPE_CHECKING:
    from automata.tasks import Task

_COMPONENTS = 4


def state_map(
    model: nn.Module,
    task: "Task",
    length: int,
    *,
    tokens: Sequence[int] | None = None,
    num_words: int = 512,
    layer: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Project hidden states on a plane that tells the means of classes apart.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits, state)``, with a state of fixed size.
    task : Task
        With a class after every token.
    length : int
        Length of the words.
    tokens : sequence of int, optional
        Tokens whose steps are drawn as edges; by default those of the generators of the task's
        group, or all.
    num_words : int
        Random words, from the split "report".
    layer : int, optional
        Whose state; all layers together by default.
    seed : int

    Returns
    -------
    DataFrame
        Columns kind, class, class_name, x, y, token, token_name, x_to, y_to. A row of kind "state"
        is the hidden state of one word, placed by its true class; "mean" the mean of a class;
        "edge" a step from a class with a token: from its mean to the mean of the states after one
        more token. Units: the root mean square distance of the means from their centre is 1.

    Raises
    ------
    InputError
        A task without such classes, or fewer than two classes among the words.

    Notes
    -----
    The plane is spanned by two of the first four principal components of the class means: the pair
    in which the two nearest means lie farthest apart.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import group_by_reflections
    >>> task = get_task("word_problem", group="Z5", generators="all")
    >>> frame = state_map(group_by_reflections(cyclic(5)), task, 16, tokens=[1], num_words=64)
    >>> frame["kind"].value_counts().to_dict()
    {'state': 64, 'mean': 5, 'edge': 5}
    """
    chosen = _tokens(task) if tokens is None else list(tokens)
    if length < 1 or any(not 0 <= token < task.num_tokens for token in chosen):
        raise InputError(f"length = {length}, tokens = {chosen}: give at least 1, and known tokens")
    batch = task.sample(seed=seed, batch_size=num_words, length=length, split="report")
    if task.is_language_model or not np.asarray(batch.mask)[:, -1].all():
        raise InputError(f"task {task.name!r} does not ask for a class at position {length}")
    class_B = np.asarray(batch.targets)[:, -1]
    classes = np.unique(class_B)
    if len(classes) < 2:
        raise InputError(f"all words of length {length} end in one class: take more, or longer")
    with at_rest(model):
        _, state = read_words(model, np.asarray(batch.tokens))
        after = [read_words(model, np.full((num_words, 1), token), state)[1] for token in chosen]
    vector_BN = state_vectors(state, layer)
    mean_CN = np.stack([vector_BN[class_B == one].mean(axis=0) for one in classes])
    centre_N = mean_CN.mean(axis=0)
    plane_N2 = _clearest_plane(mean_CN - centre_N)

    names, letters = _class_names(task), token_names(task)
    place_C2 = (mean_CN - centre_N) @ plane_N2
    rows: list[dict[str, Any]] = []
    for one, place in zip(class_B.tolist(), (vector_BN - centre_N) @ plane_N2, strict=True):
        rows.append(_row("state", one, names[one], place))
    for one, place in zip(classes.tolist(), place_C2, strict=True):
        rows.append(_row("mean", one, names[one], place))
    for token, following in zip(chosen, after, strict=True):
        moved_B2 = (state_vectors(following, layer) - centre_N) @ plane_N2
        for one, place in zip(classes.tolist(), place_C2, strict=True):
            target = moved_B2[class_B == one].mean(axis=0)
            rows.append(
                _row("edge", one, names[one], place)
                | {"token": token, "token_name": letters[token]}
                | {"x_to": float(target[0]), "y_to": float(target[1])}
            )
    return pd.DataFrame(rows)


def _clearest_plane(mean_CN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two of the first principal components, those that keep the nearest means apart, [N, 2]."""
    _, _, axes = np.linalg.svd(mean_CN, full_matrices=False)
    shown = axes[: min(_COMPONENTS, len(axes))]
    if len(shown) < 2:
        shown = np.concatenate([shown, np.zeros((2 - len(shown), mean_CN.shape[1]))])
    first, second = np.triu_indices(len(mean_CN), 1)
    best, widest = shown[:2].T, -1.0
    for pair in itertools.combinations(range(len(shown)), 2):
        place_C2 = mean_CN @ shown[list(pair)].T
        scale = float(np.sqrt(np.square(place_C2).sum(axis=1).mean()))
        if scale <= np.finfo(np.float64).tiny:
            continue
        gap = float(np.linalg.norm(place_C2[first] - place_C2[second], axis=1).min()) / scale
        if gap > widest * (1 + 1e-6):
            best, widest = shown[list(pair)].T / scale, gap
    return best


def _row(kind: str, one: int, name: str, place: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "kind": kind,
        "class": one,
        "class_name": name,
        "x": float(place[0]),
        "y": float(place[1]),
        "token": -1,
        "token_name": "",
        "x_to": np.nan,
        "y_to": np.nan,
    }


def _tokens(task: "Task") -> list[int]:
    if task.group is None or task.token_elements is None:
        return list(range(task.num_tokens))
    elements = task.token_elements.tolist()
    generators = [elements.index(g) for g in task.group.generators if g in elements]
    return (
        generators if len(generators) == len(task.group.generators) else list(range(len(elements)))
    )


def _class_names(task: "Task") -> list[str]:
    if task.group is not None and task.num_classes == task.group.order:
        return [element_name(element) for element in task.group.elements]
    return [str(number) for number in range(task.num_classes)]
