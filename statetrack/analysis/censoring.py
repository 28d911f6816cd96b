"""Horizons of many runs, some of which are only known to be at least what was measured.

References
----------
Kaplan, Meier: "Nonparametric estimation from incomplete observations", JASA 53, 1958. Efron:
"Censored data and the bootstrap", JASA 76, 1981.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.validation import BoolArray, FloatArray
from statetrack.analysis.intervals import bootstrap_interval

_ROUNDING = 1e-12


@dataclass(frozen=True)
class HorizonDistribution:
    """Which share of runs reaches how far: Kaplan and Meier's estimate.

    Attributes
    ----------
    lengths : ndarray of float64, [num_lengths]
        The horizons that occur, increasing.
    beyond : ndarray of float64, [num_lengths]
        Estimated share of runs that reach farther than each of them.
    num_runs, num_censored : int
    longest : float
        The longest horizon, censored or not: no quantile is known beyond.
    quartiles : tuple of float
        Lower quartile, median and upper quartile; infinite where the runs were not measured far
        enough to know.
    low, high : float
        Bootstrap interval of the median; infinite in the same sense.
    level : float
        Of the interval.
    """

    lengths: FloatArray
    beyond: FloatArray
    num_runs: int
    num_censored: int
    longest: float
    quartiles: tuple[float, float, float]
    low: float
    high: float
    level: float

    @property
    def median(self) -> float:
        """Half of the runs reach farther than this, at most; infinite where it is not known."""
        return self.quartiles[1]

    def text(self, length: float) -> str:
        """A quantile for people: "≥ 256" where it lies beyond what was measured."""
        return f"≥ {self.longest:.0f}" if math.isinf(length) else f"{length:.0f}"

    def to_frame(self) -> pd.DataFrame:
        """The estimate as a table: length, beyond."""
        return pd.DataFrame({"length": self.lengths, "beyond": self.beyond})


def horizon_distribution(
    horizons: ArrayLike,
    censored: ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> HorizonDistribution:
    """Estimate the distribution of horizons of runs, with those that never failed.

    Parameters
    ----------
    horizons : array_like of float, [num_runs]
        Longest length at which each run was good enough (`horizons`).
    censored : array_like of bool, [num_runs]
        Whether the run was good enough at every length measured, so that its horizon is at least
        that. Runs may have been measured to different lengths.
    level, num_resamples, seed
        See `bootstrap_interval`; the runs are resampled.

    Returns
    -------
    HorizonDistribution

    Raises
    ------
    InputError
        No runs, or two lengths that differ.

    Notes
    -----
    O(num_resamples num_runs log num_runs). Where all runs were measured to the same length this is
    the empirical distribution, cut there; the estimate differs where some were measured less far.
    A quantile is the shortest length that at most so many runs exceed.

    Examples
    --------
    >>> found = horizon_distribution([40, 64, 128, 256, 256], [False] * 3 + [True] * 2)
    >>> found.median, [found.text(length) for length in found.quartiles]
    (128.0, ['64', '128', '≥ 256'])
    """
    values = np.asarray(horizons, dtype=np.float64).reshape(-1)
    unknown = np.asarray(censored, dtype=bool).reshape(-1)
    if not values.size or values.shape != unknown.shape:
        raise InputError(
            f"{values.size} horizons and {unknown.size} marks of censoring: expected one mark a run"
        )
    lengths, beyond = _kaplan_meier(values[None], unknown[None])
    quartiles = [float(_quantile(lengths, beyond, share)[0]) for share in (0.25, 0.5, 0.75)]
    low, high = bootstrap_interval(
        np.arange(values.size),
        partial(_medians, values, unknown),
        level=level,
        num_resamples=num_resamples,
        seed=seed,
    )
    known = np.flatnonzero(np.diff(lengths[0], append=math.inf) > 0)
    return HorizonDistribution(
        lengths=lengths[0, known],
        beyond=beyond[0, known],
        num_runs=values.size,
        num_censored=int(unknown.sum()),
        longest=float(values.max()),
        quartiles=(quartiles[0], quartiles[1], quartiles[2]),
        low=low,
        high=high,
        level=level,
    )


def _medians(
    values: FloatArray, unknown: BoolArray, resamples: FloatArray, axis: int = -1
) -> FloatArray:
    chosen = resamples.astype(np.int64)
    return _quantile(*_kaplan_meier(values[chosen], unknown[chosen]), 0.5)


def _kaplan_meier(values: FloatArray, unknown: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Sorted values, and the estimate right after each of them [num_samples, num_runs].

    One run after another is taken away, at ties the censored ones last; among equal values the
    estimate is right at the last of them.
    """
    order = np.lexsort((unknown, values), axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    ends = ~np.take_along_axis(unknown, order, axis=-1)
    left = np.arange(values.shape[-1], 0, -1)
    beyond: FloatArray = np.cumprod(np.where(ends, 1 - 1 / left, 1.0), axis=-1, dtype=np.float64)
    return ordered, beyond


def _quantile(lengths: FloatArray, beyond: FloatArray, share: float) -> FloatArray:
    reached = beyond <= 1 - share + _ROUNDING
    first = np.take_along_axis(lengths, reached.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    return np.where(reached.any(axis=-1), first, math.inf)
