"""Exact tests of a difference: what it would be if the labels of the runs meant nothing.

Every other way to hand out the labels has one *critical shift*: how much would have to be taken
from the first group until the observed difference is no longer the larger one. The number of
critical shifts on either side of 0 is the p-value; two of them are the ends of the confidence
interval, which so holds 0 exactly when the test does not reject.

References
----------
Fisher: "The Design of Experiments", 1935, sections 18 and 21. Hartigan: "Using subsample values as
typical values", JASA 64, 1969. Garthwaite: "Confidence intervals from randomization tests",
Biometrics 52, 1996.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.philox import Stream, uniform_integers
from automata.validation import FloatArray

MOST_EXACT_VALUES = 20
NUM_DRAWS = 50_000
_ROUNDING = 1e-12


def sign_flip_shifts(differences: ArrayLike, *, seed: int = 0) -> FloatArray:
    """Critical shifts of paired differences whose signs are flipped: the means of all subsets.

    Parameters
    ----------
    differences : array_like of float, [num_pairs]
    seed : int
        Of the subsets that are drawn where there are too many to list.

    Returns
    -------
    ndarray of float64, [2**num_pairs - 1]
        All of them up to 20 pairs; beyond, those of 50,000 drawn subsets.

    Raises
    ------
    InputError
        No difference, or one that is not finite.

    Examples
    --------
    >>> sign_flip_shifts([1.0, 3.0]).tolist()
    [1.0, 3.0, 2.0]
    """
    values = _finite(differences, "differences")
    if values.size <= MOST_EXACT_VALUES:
        sums, counts = np.zeros(1), np.zeros(1)
        for value in values:
            sums = np.concatenate([sums, sums + value])
            counts = np.concatenate([counts, counts + 1])
        return sums[1:] / counts[1:]
    draws = uniform_integers(
        2, np.arange(NUM_DRAWS), -(-values.size // 4), seed=seed, stream=Stream.RESAMPLES
    )[:, : values.size]
    counts = draws.sum(axis=1)
    return (draws @ values)[counts > 0] / counts[counts > 0]


def exchange_shifts(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> FloatArray:
    """Critical shifts of two groups whose members are exchanged.

    Parameters
    ----------
    first, second : array_like of float, [num_first], [num_second]
    seed : int
        Of the exchanges that are drawn where there are too many to list.

    Returns
    -------
    ndarray of float64, [binomial(num_first + num_second, num_first) - 1]
        All of them up to 20 values together; beyond, those of 50,000 drawn exchanges.

    Raises
    ------
    InputError
        An empty group, or a value that is not finite.

    Examples
    --------
    >>> sorted(exchange_shifts([1.0, 3.0], [0.0]).tolist())
    [1.0, 3.0]
    """
    one, other = _finite(first, "first group"), _finite(second, "second group")
    values = np.concatenate([one, other])
    sums, kept = (
        _all_choices(values, one.size)
        if values.size <= MOST_EXACT_VALUES
        else _drawn_choices(values, one.size, seed)
    )
    sums, kept = sums[kept < one.size], kept[kept < one.size]
    mean_difference = one.mean() - other.mean()
    exchanged = sums / one.size - (values.sum() - sums) / other.size
    gain = kept / one.size - (one.size - kept) / other.size
    return (mean_difference - exchanged) / (1 - gain)


def p_value(shifts: FloatArray, scale: float) -> float:
    """Two-sided p-value of "no difference": twice the smaller tail, at most 1.

    Parameters
    ----------
    shifts : ndarray of float64, [num_shifts]
        From `sign_flip_shifts` or `exchange_shifts`.
    scale : float
        Size of the values: what is smaller by 1e-12 of it counts as 0.

    Returns
    -------
    float
        In (0, 1]. Where exchanges were drawn it is valid, too: the observed labels count as a draw.
    """
    above = 1 + np.count_nonzero(shifts <= scale * _ROUNDING)
    below = 1 + np.count_nonzero(shifts >= -scale * _ROUNDING)
    return min(1.0, 2 * min(above, below) / (len(shifts) + 1))


def shift_interval(shifts: FloatArray, level: float) -> tuple[float, float]:
    """Confidence interval of the difference: all shifts that the test does not reject.

    Parameters
    ----------
    shifts : ndarray of float64, [num_shifts]
        From `sign_flip_shifts` or `exchange_shifts`.
    level : float
        In (0, 1).

    Returns
    -------
    low, high : float
        Without end where there are too few runs for an interval of this level.
    """
    total = len(shifts) + 1
    # The tail (1 - level) / 2 is rounded, so that 0.05 / 2 * 40 is 1 and not 0.99...
    rank = math.floor((1 - level) / 2 * total + 1e-9)
    if rank == 0:
        return -math.inf, math.inf
    ordered = np.sort(shifts)
    return float(ordered[rank - 1]), float(ordered[total - rank - 1])


def _all_choices(values: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Sum of every choice of `size` values, and how many of the first `size` are among them."""
    sums = [np.zeros(1), *(np.empty(0) for _ in range(size))]
    kept = [np.zeros(1), *(np.empty(0) for _ in range(size))]
    for place, value in enumerate(values):
        for count in range(min(place + 1, size), 0, -1):
            sums[count] = np.concatenate([sums[count], sums[count - 1] + value])
            kept[count] = np.concatenate([kept[count], kept[count - 1] + (place < size)])
    return sums[size], kept[size]


def _drawn_choices(values: FloatArray, size: int, seed: int) -> tuple[FloatArray, FloatArray]:
    draws = uniform_integers(
        2**32, np.arange(NUM_DRAWS), -(-values.size // 4), seed=seed, stream=Stream.RESAMPLES
    )[:, : values.size]
    chosen = np.argpartition(draws, size - 1, axis=1)[:, :size]
    return values[chosen].sum(axis=1), (chosen < size).sum(axis=1).astype(np.float64)


def _finite(values: ArrayLike, what: str) -> FloatArray:
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if not found.size or not np.isfinite(found).all():
        raise InputError(f"{what}: a test needs at least one value, and finite ones")
    return found
