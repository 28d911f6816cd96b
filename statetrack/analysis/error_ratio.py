"""When classes of states run into each other: a measured ratio against a threshold.

The baseline that prediction from weights is held to. Chung, Choi and Kim 2026 (arXiv 2605.07755)
measure the spread of states within a class over the distance between classes, and take the length
at which the ratio crosses what the decoder bears as the length at which tracking ends.
"""

from typing import TYPE_CHECKING

import numpy as np

from automata.validation import FloatArray, IntArray
from statetrack.analysis.affine import AffineRecurrence
from statetrack.analysis.horizon_prediction import crossing
from statetrack.analysis.letter_products import horizon_lengths, word_states

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask


def ratio_crossing(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    *,
    threshold: float = 0.5,
    cap: int = 4096,
    num_words: int = 1024,
    seed: int = 0,
) -> float | None:
    """Length at which the spread within classes over the distance between them crosses a threshold.

    Parameters
    ----------
    recurrence : AffineRecurrence
    task : AutomatonTask
    threshold : float
        Where the nearest centre stops being one's own: 1/2. The paper's abstract names the
        decoder's threshold without a number; this one is ours.
    cap : int
        Longest length looked at.
    num_words, seed : int
        Random words whose states are taken.

    Returns
    -------
    float or None
        None where the ratio stays below.
    """
    lengths = horizon_lengths(cap)
    ratios: list[float] = []
    classes = task.state_classes
    for words in word_states(recurrence, task.dfa, lengths, num_words=num_words, seed=seed):
        after = task.dfa.transitions[words.sources, words.letters]
        states = recurrence.step(words.states, words.letters)
        if recurrence.scale_free:
            states = states / np.linalg.norm(states, axis=(-2, -1), keepdims=True)
        ratios.append(spread_ratio(states.reshape(len(states), -1), classes[after]))
        if not ratios[-1] < threshold and words.length > len(classes):
            break
    seen = np.array(lengths[: len(ratios)], dtype=np.int64)
    # Ratios of the first lengths, at which not every class is met, say nothing.
    met = seen > len(classes)
    return crossing(seen[met], -np.array(ratios)[met], -threshold) if met.any() else None


def spread_ratio(states: FloatArray, labels: IntArray) -> float:
    """Root mean square distance from a class's centre over the smallest distance of two centres.

    Parameters
    ----------
    states : ndarray, float64 [M, D]
    labels : ndarray of int, [M]

    Examples
    --------
    >>> points = np.array([[0.0], [2.0], [9.0], [11.0]])
    >>> spread_ratio(points, np.array([0, 0, 1, 1]))
    0.111...
    """
    found = np.unique(labels)
    centres = np.stack([states[labels == one].mean(axis=0) for one in found])
    gap = states - centres[np.searchsorted(found, labels)]
    spread = np.sqrt(np.square(gap).sum(axis=1).mean())
    pairs = np.linalg.norm(centres[:, None] - centres, axis=-1)
    np.fill_diagonal(pairs, np.inf)
    separation = pairs.min()
    if not separation > 0:
        return float("inf")
    return float(spread / separation)
