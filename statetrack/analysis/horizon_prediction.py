"""How far a trained model will carry, predicted from its weights.

Nothing is measured on words of that length: an ensemble of random words is followed by doubling
(`letter_products`), or the exact moments of the state are (`moments`), and the model's own decoder
reads what has become of the states.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

from automata.errors import InputError, unknown_name
from automata.validation import BoolArray, FloatArray, IntArray, as_integer, read_only
from statetrack.analysis.affine import (
    AffineRecurrence,
    read_affine,
    require_plain,
    with_matrices,
)
from statetrack.analysis.letter_products import WordStates, horizon_lengths, word_states
from statetrack.analysis.moments import moments_at, sample_states

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask, Task

METHODS = ("ensemble", "moments")


@dataclass(frozen=True, eq=False)
class HorizonPrediction:
    """Predicted token accuracy over length, and where it falls below a threshold.

    Attributes
    ----------
    task : str
    method : {"ensemble", "moments"}
    threshold : float
    length : float
        Length at which accuracy first falls below the threshold, between the lengths looked at by
        linear interpolation in log length; the longest one where it never does.
    censored : bool
        It never does: `length` is a lower bound.
    lengths : ndarray, int64 [L]
        Lengths looked at.
    accuracy : ndarray, float64 [L]
        Predicted token accuracy.
    num_words : int
        Words, or states drawn, that accuracies are taken over.
    """

    task: str
    method: str
    threshold: float
    length: float
    censored: bool
    lengths: IntArray
    accuracy: FloatArray
    num_words: int

    def __post_init__(self) -> None:
        read_only(self.lengths)
        read_only(self.accuracy)

    def to_frame(self) -> pd.DataFrame:
        """One row a length: length, token_accuracy."""
        return pd.DataFrame({"length": self.lengths, "token_accuracy": self.accuracy})


def predict_horizon(
    model: nn.Module,
    task: "Task",
    *,
    threshold: float = 0.9,
    cap: int = 2**16,
    method: str = "ensemble",
    num_words: int = 2048,
    seed: int = 0,
) -> HorizonPrediction:
    """Predict at which length the token accuracy of a model falls below a threshold.

    Parameters
    ----------
    model : torch.nn.Module
        One layer, with a state that tokens move by affine maps (`read_affine`).
    task : Task
        Of an automaton, with independent uniform letters.
    threshold : float
        In (0, 1].
    cap : int
        Longest length looked at.
    method : {"ensemble", "moments"}
        Follow random words, or the exact mean and covariance of the state for every state of the
        automaton, from which states are then drawn as if they were Gaussian.
    num_words : int
        Size of the ensemble, or states drawn in all.
    seed : int

    Returns
    -------
    HorizonPrediction

    Raises
    ------
    InputError
        The task or the model is of another kind, or too large for the method.

    Notes
    -----
    Both work in float64; what rounding does to a model in float32 is left out. "ensemble" costs
    256 products of num_words words and then a few a doubling; it makes no assumption on the shape
    of the states' distribution. "moments" takes one step a letter where the state is large, and is
    off where states of one class fall apart into several clusters (a cover) or differ much in size.

    Examples
    --------
    An eigenvalue of exactly -1 never forgets:

    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> exact = predict_horizon(parity_by_sign(), get_task("parity"))
    >>> exact.length, exact.censored
    (65536.0, True)
    """
    plain = require_plain(task, "predict_horizon")
    if not 0 < threshold <= 1:
        raise InputError(f"threshold = {threshold}: expected a share in (0, 1]")
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    cap = as_integer(cap, "cap", 1, 2**40)
    num_words = as_integer(num_words, "num_words", 1, 2**20)
    recurrence = read_affine(model, task.num_tokens)
    lengths = horizon_lengths(cap)
    found: list[float] = []
    follow = _of_ensemble if method == "ensemble" else _of_moments
    for accuracy in follow(recurrence, plain, lengths, num_words, seed):
        found.append(accuracy)
        if accuracy < threshold:
            break
    seen = np.array(lengths[: len(found)], dtype=np.int64)
    accuracies = np.array(found)
    length = crossing(seen, accuracies, threshold)
    return HorizonPrediction(
        task.name,
        method,
        threshold,
        float(seen[-1]) if length is None else length,
        length is None,
        seen,
        accuracies,
        num_words,
    )


def crossing(lengths: IntArray, accuracy: FloatArray, threshold: float) -> float | None:
    """Length at which a curve first falls below a threshold, or None.

    Parameters
    ----------
    lengths : ndarray of int, [L]
        Increasing.
    accuracy : ndarray of float, [L]
    threshold : float

    Examples
    --------
    >>> crossing(np.array([10, 20, 40]), np.array([1.0, 0.95, 0.85]), 0.9)
    28.28...
    """
    below = np.flatnonzero(~(accuracy >= threshold))
    if below.size == 0:
        return None
    place = int(below[0])
    if place == 0:
        return float(lengths[0])
    high, low = accuracy[place - 1], accuracy[place]
    share = (high - threshold) / (high - low) if high > low else 1.0
    start, stop = math.log(lengths[place - 1]), math.log(lengths[place])
    return math.exp(start + share * (stop - start))


def share_right(recurrence: AffineRecurrence, task: "AutomatonTask", words: WordStates) -> float:
    """Share of words whose last letter the decoder answers right."""
    target = task.state_classes[task.dfa.transitions[words.sources, words.letters]]
    return float(is_right(recurrence.decode(words.states, words.letters), target).mean())


def is_right(logits: FloatArray, target: IntArray) -> BoolArray:
    """Whether the target's logit is the largest, all being finite: bool [M]."""
    finite = np.isfinite(logits).all(axis=1)
    right: BoolArray = finite & (np.nan_to_num(logits).argmax(axis=1) == target)
    return right


def scale_normalised(recurrence: AffineRecurrence) -> AffineRecurrence:
    """Divide every block of a scale-free recurrence by its mean growth.

    Per block and for uniform letters ``log|det M| / N`` is zero on average afterwards; a block that
    is singular at some token stays as it is.
    """
    if not recurrence.scale_free:
        return recurrence
    size = recurrence.initial.shape[-1]
    _, log_det_PU = np.linalg.slogdet(recurrence.matrices)
    rate_U = np.where(np.isfinite(log_det_PU).all(axis=0), log_det_PU.mean(axis=0) / size, 0.0)
    factor = np.exp(-rate_U)[:, None, None]
    return with_matrices(recurrence, recurrence.matrices * factor, recurrence.offsets)


def _of_ensemble(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    lengths: list[int],
    num_words: int,
    seed: int,
) -> Iterator[float]:
    for words in word_states(recurrence, task.dfa, lengths, num_words=num_words, seed=seed):
        yield share_right(recurrence, task, words)


def _of_moments(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    lengths: list[int],
    num_words: int,
    seed: int,
) -> Iterator[float]:
    recurrence = scale_normalised(recurrence)
    random = np.random.default_rng(seed)
    dfa, shape = task.dfa, recurrence.initial.shape
    each = max(1, num_words // dfa.num_states)
    before = [length - 1 for length in lengths]
    for moments in moments_at(recurrence, dfa, before):
        states, shares = sample_states(moments, each, seed=seed)
        sources = np.repeat(np.arange(dfa.num_states), each)
        letters = random.integers(dfa.num_symbols, size=sources.size)
        target = task.state_classes[dfa.transitions[sources, letters]]
        logits = recurrence.decode(states.reshape(-1, *shape), letters)
        by_state = is_right(logits, target).reshape(dfa.num_states, each).mean(axis=1)
        yield float(shares @ by_state)


def margins(
    model: nn.Module, task: "Task", *, cap: int = 4096, num_words: int = 2048, seed: int = 0
) -> pd.DataFrame:
    """Follow the margin of the right class over length, from the weights.

    Parameters
    ----------
    model, task, cap, num_words, seed
        As in `predict_horizon`.

    Returns
    -------
    DataFrame
        length, lowest, low, median, high: quantiles 0.01, 0.1, 0.5 and 0.9 over the ensemble of the
        right class's logit minus the largest other one.

    Raises
    ------
    InputError
        As `predict_horizon`.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> frame = margins(parity_by_sign(), get_task("parity"), cap=2)
    >>> frame["median"].round(2).tolist()
    [2.45, 2.45]
    """
    plain = require_plain(task, "margins")
    recurrence = read_affine(model, task.num_tokens)
    rows = []
    lengths = horizon_lengths(as_integer(cap, "cap", 1, 2**40))
    for words in word_states(recurrence, plain.dfa, lengths, num_words=num_words, seed=seed):
        target = plain.state_classes[plain.dfa.transitions[words.sources, words.letters]]
        margin = class_margins(recurrence.decode(words.states, words.letters), target)
        rows.append((words.length, *np.quantile(margin, [0.01, 0.1, 0.5, 0.9])))
    return pd.DataFrame(rows, columns=["length", "lowest", "low", "median", "high"])


def class_margins(logits: FloatArray, target: IntArray) -> FloatArray:
    """Target's logit minus the largest other one, [M]; minus infinity where one is not finite."""
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, target] = -np.inf
    margin = logits[rows, target] - others.max(axis=1)
    return np.where(np.isfinite(logits).all(axis=1), margin, -np.inf)
