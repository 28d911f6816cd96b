"""How local a task is: the best accuracy from the last few tokens alone."""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.token_laws import Chain
from automata.validation import FloatArray, IntArray, as_integer

if TYPE_CHECKING:
    from automata.tasks.task import Task

__all__ = ["Locality", "accuracy_from_last_tokens"]

_MAX_CELLS: Final = 1 << 21
_CONTEXTS: Final = 512


class Locality(NamedTuple):
    """The accuracy of the best guess that sees only the last tokens.

    Attributes
    ----------
    accuracy : float
    method : {"exact", "sampled", "measured"}
        ``exact``: summed over all contexts. ``sampled``: mean over 512 drawn contexts of the exact
        accuracy given each. ``measured``: the commonest class of every context among up to 4,096
        words, scored on as many others; a lower bound.
    """

    accuracy: float
    method: str


def accuracy_from_last_tokens(task: "Task", window: int, length: int) -> Locality:
    """Return the best accuracy at the end of a word for a guess that sees its last tokens alone.

    Parameters
    ----------
    task : Task
    window : int
        How many tokens it sees; it also knows the length of the word.
    length : int
        At least `window`.

    Returns
    -------
    Locality
        Near 1 where the task is local; the majority rate where tokens alone tell nothing.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> accuracy_from_last_tokens(get_task("s3"), 4, 30).method
    'exact'
    >>> round(accuracy_from_last_tokens(get_task("first"), 29, 30).accuracy, 6)
    0.5
    """
    length = as_integer(length, "length", 1)
    window = as_integer(window, "window", 0, length)
    if isinstance(task, AutomatonTask):
        chain = task.followed_chain(length)
        if chain is not None:
            return _from_chain(task, chain, window, length)
    return _measured(task, window, length)


def _from_chain(task: AutomatonTask, chain: Chain, window: int, length: int) -> Locality:
    steps = list(chain.steps)
    num_states = task.dfa.num_states
    joint = task.joint_law(chain._replace(steps=iter(steps[: length - window])))
    inside = np.flatnonzero(joint)
    hidden, states = np.divmod(inside, num_states)
    width = inside.size * task.num_tokens**window if window < 64 else _MAX_CELLS + 1
    if width <= _MAX_CELLS and task.num_classes * task.num_tokens**window <= _MAX_CELLS:
        place_values = task.num_tokens ** np.arange(window - 1, -1, -1, dtype=np.int64)
        codes = np.arange(task.num_tokens**window)[:, None]
        contexts = codes // place_values % task.num_tokens
        by_class = _class_weights(task, chain, steps, contexts, joint[inside], hidden, states)
        if by_class.sum() > 0:
            return Locality(float(by_class.max(axis=1).sum() / by_class.sum()), "exact")
        return _measured(task, window, length)
    if inside.size * _CONTEXTS > _MAX_CELLS or task.num_classes * _CONTEXTS > _MAX_CELLS:
        return _measured(task, window, length)
    words, _ = task.law.draw(0, _CONTEXTS, length, length, seed=0, split="report")
    contexts = words[:, length - window :]
    by_class = _class_weights(task, chain, steps, contexts, joint[inside], hidden, states)
    # Nothing may be asked at the end of some contexts.
    by_class = by_class[by_class.sum(axis=1) > 0]
    if not len(by_class):
        return _measured(task, window, length)
    return Locality(float((by_class.max(axis=1) / by_class.sum(axis=1)).mean()), "sampled")


def _class_weights(
    task: AutomatonTask,
    chain: Chain,
    steps: list[FloatArray],
    contexts: IntArray,
    weights: FloatArray,
    hidden: IntArray,
    states: IntArray,
) -> FloatArray:
    """Return the joint weight of every context and class, [num_contexts, num_classes]."""
    shape = (len(contexts), len(states))
    mass = np.broadcast_to(weights, shape).copy()
    hidden, states = (np.broadcast_to(part, shape) for part in (hidden, states))
    for position in range(contexts.shape[1]):
        tokens = contexts[:, position, None]
        mass *= steps[len(steps) - contexts.shape[1] + position][hidden, tokens]
        hidden, states = chain.transitions[hidden, tokens], task.dfa.transitions[states, tokens]
    mass *= task.supervised_states[states]
    cells = np.arange(shape[0])[:, None] * task.num_classes + task.state_classes[states]
    total = np.bincount(cells.reshape(-1), mass.reshape(-1), shape[0] * task.num_classes)
    result: FloatArray = total.reshape(shape[0], task.num_classes).astype(np.float64)
    return result


def _measured(task: "Task", window: int, length: int) -> Locality:
    num_words = max(128, min(2 * task.law.num_measured, _MAX_CELLS // length))
    tokens, lengths = task.law.draw(0, num_words, length, length, seed=0, split="train")
    targets, mask = task.label(tokens, lengths)
    asked = np.flatnonzero(mask.any(axis=0))
    last = int(asked[-1]) if asked.size else length - 1
    guesses: dict[bytes, dict[int, int]] = {}
    totals: dict[int, int] = {}
    half = num_words // 2
    rows = np.flatnonzero(mask[:, last])
    contexts = np.ascontiguousarray(tokens[:, max(0, last + 1 - window) : last + 1])
    for row in rows[rows < half].tolist():
        target = int(targets[row, last])
        seen = guesses.setdefault(contexts[row].tobytes(), {})
        for counts in (seen, totals):
            counts[target] = counts.get(target, 0) + 1
    scored = rows[rows >= half].tolist()
    hits = 0
    for row in scored:
        counts = guesses.get(contexts[row].tobytes(), totals)
        hits += max(counts, key=lambda target: counts[target], default=-1) == targets[row, last]
    return Locality(float(hits) / max(1, len(scored)), "measured")
