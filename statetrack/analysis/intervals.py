"""How sure a measured share, horizon or median is: bootstrap intervals, exact where there is a law.

All are percentile intervals: of the law of the statistic over resamples (as many values, drawn with
replacement) they take the two quantiles that leave out ``1 - level`` together.

References
----------
Efron: "Bootstrap methods: another look at the jackknife", 1979. Clopper, Pearson: "The use of
confidence or fiducial limits illustrated in the case of the binomial", 1934. Wilson: "Probable
inference, the law of succession, and statistical inference", 1927. Newcombe: "Confidence intervals
for an effect size measure based on the Mann-Whitney statistic", Statistics in Medicine 25, 2006.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from automata.errors import InputError, unknown_name
from automata.philox import Stream, uniform_integers
from automata.validation import FloatArray, as_integer

METHODS = ("bootstrap", "clopper_pearson", "wilson")
_VALUES_PER_CHUNK = 2**22
_ROOT = 1e-9


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = np.median,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of independent values, such as one for each seed.

    Parameters
    ----------
    values : array_like of float, [num_values]
    statistic : callable
        ``statistic(resamples [n, num_values], axis=-1) -> [n]``.
    level : float
        In (0, 1).
    num_resamples : int
    seed : int
        Of the counter-based generator (`automata.philox`): the same interval on every machine.

    Returns
    -------
    low, high : float

    Raises
    ------
    InputError
        No values, or an argument out of range.

    Notes
    -----
    About 10 ns a value of a resample, in constant memory. Of few values the interval is too short:
    with five seeds a 95 % interval of the median is the whole range, and no more can be said.

    Examples
    --------
    >>> bootstrap_interval([40, 48, 52, 60, 200], np.median)
    (40.0, 200.0)
    >>> bootstrap_interval([0.5, 1.0] * 50, np.mean)
    (0.7, 0.8)
    """
    data = np.asarray(values, dtype=np.float64).reshape(-1)
    if not data.size:
        raise InputError("an interval needs at least one value")
    num_resamples = as_integer(num_resamples, "num_resamples", 1)
    quantiles = _tails(level)
    chunk = max(1, _VALUES_PER_CHUNK // data.size)
    found = []
    for first in range(0, num_resamples, chunk):
        choice = uniform_integers(
            data.size,
            np.arange(first, min(first + chunk, num_resamples)),
            -(-data.size // 4),
            seed=seed,
            stream=Stream.RESAMPLES,
        )
        found.append(np.asarray(statistic(data[choice[:, : data.size]], axis=-1)))
    low, high = np.quantile(np.concatenate(found), quantiles, method="inverted_cdf")
    return float(low), float(high)


def share_interval(
    successes: ArrayLike, totals: ArrayLike, *, level: float = 0.95, method: str = "bootstrap"
) -> tuple[FloatArray, FloatArray]:
    """Intervals of shares of independent words.

    Parameters
    ----------
    successes, totals : array_like of int, [...]
        ``0 <= successes <= totals``, ``totals >= 1``.
    level : float
        In (0, 1).
    method : {"bootstrap", "clopper_pearson", "wilson"}
        The bootstrap of a share is binomial, so its quantiles are taken exactly; it has no width
        where the share is 0 or 1. Clopper-Pearson never covers less than `level`, Wilson's covers
        `level` on average and is shorter.

    Returns
    -------
    low, high : ndarray of float64, [...]

    Raises
    ------
    InputError
        An argument out of range.

    Examples
    --------
    >>> low, high = share_interval([50, 100], 100)
    >>> low, high
    (array([0.4, 1. ]), array([0.6, 1. ]))
    >>> low, high = share_interval(100, 100, method="clopper_pearson")
    >>> round(float(low), 3), float(high)
    (0.964, 1.0)
    """
    count, total = np.broadcast_arrays(np.asarray(successes), np.asarray(totals))
    if ((count < 0) | (count > total) | (total < 1)).any():
        raise InputError("shares need 0 <= successes <= totals, and totals of 1 or more")
    # scipy.stats takes a while to import, and most of what imports this module never needs it.
    from scipy import stats

    lower, upper = _tails(level)
    if method == "bootstrap":
        ends = [stats.binom.ppf(tail, total, count / total) / total for tail in (lower, upper)]
    elif method == "clopper_pearson":
        low = stats.beta.ppf(lower, np.maximum(count, 1), total - count + 1)
        high = stats.beta.ppf(upper, count + 1, np.maximum(total - count, 1))
        ends = [np.where(count == 0, 0.0, low), np.where(count == total, 1.0, high)]
    elif method == "wilson":
        score = stats.norm.ppf(upper) ** 2
        center = (count + score / 2) / (total + score)
        spread = np.sqrt(score * (count * (1 - count / total) + score / 4)) / (total + score)
        ends = [np.maximum(center - spread, 0.0), np.minimum(center + spread, 1.0)]
    else:
        raise unknown_name("method", method, METHODS)
    return np.asarray(ends[0]), np.asarray(ends[1])


def superiority_interval(
    share: float, num_first: int, num_second: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the chance that a run of one group is above a run of another.

    Parameters
    ----------
    share : float
        Measured share of the ``num_first * num_second`` pairs, ties counted half (the Mann-Whitney
        statistic, the area under an ROC curve).
    num_first, num_second : int
        Runs of the two groups.
    level : float
        In (0, 1).

    Returns
    -------
    low, high : float

    Raises
    ------
    InputError
        An argument out of range.

    Notes
    -----
    Newcombe's method 5: the shares whose own standard error (Hanley and McNeil's, with groups of
    the mean size) puts the measured one just inside. Unlike a bootstrap it keeps a width where all
    of one group is above all of the other.

    Examples
    --------
    >>> low, high = superiority_interval(1.0, 5, 5)
    >>> round(low, 2), high
    (0.64, 1.0)
    """
    first, second = (as_integer(n, "number of runs", 1) for n in (num_first, num_second))
    if not 0 <= share <= 1:
        raise InputError(f"share = {share}: expected a number between 0 and 1")
    from scipy import optimize, stats

    score = float(stats.norm.ppf(_tails(level)[1]))
    size = (first + second) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + size * (1 - true) / (2 - true) + size * true / (1 + true)
        return (true - share) ** 2 - score**2 * true * (1 - true) * spread / (first * second)

    # At 0 and at 1 the equation has a root of its own, which is not the end that is looked for.
    low = optimize.brentq(excess, 0.0, min(share, 1 - _ROOT)) if share > 0 else 0.0
    high = optimize.brentq(excess, max(share, _ROOT), 1.0) if share < 1 else 1.0
    return float(low), float(high)


def order_statistic_interval(
    values: ArrayLike, rank: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Exact bootstrap interval of the value that comes `rank`-th in increasing order.

    Parameters
    ----------
    values : array_like, [num_values]
    rank : int
        Counted from 1.
    level : float
        In (0, 1).

    Returns
    -------
    low, high : float
        Two of the values.

    Raises
    ------
    InputError
        An argument out of range.

    Notes
    -----
    In a resample of n values the rank-th is at most x where at least `rank` of them are, which has
    the probability of a binomial law with the share of values up to x.

    Examples
    --------
    >>> order_statistic_interval(range(1, 101), 50)
    (40.0, 60.0)
    """
    from scipy import stats

    ordered, counts = np.unique(np.asarray(values).reshape(-1), return_counts=True)
    total = int(counts.sum())
    rank = as_integer(rank, "rank", 1, total)
    below = stats.binom.sf(rank - 1, total, np.cumsum(counts) / total)
    below[-1] = 1.0
    low, high = (ordered[np.searchsorted(below, tail)] for tail in _tails(level))
    return float(low), float(high)


def median_intervals(
    table: pd.DataFrame,
    column: str,
    by: Sequence[str] = ("task", "label"),
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Median over runs and its bootstrap interval, for every group of rows.

    Parameters
    ----------
    table : DataFrame
        One row a run in each group, such as `horizons` merged with the runs, or curves grouped by
        length too.
    column : str
        What to take the median of.
    by : sequence of str
        Columns that make a group.
    level, num_resamples, seed
        See `bootstrap_interval`.

    Returns
    -------
    DataFrame
        The columns of `by`, then median, low, high and num_runs, in order of appearance.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> table = pd.DataFrame({"task": "s3", "label": "LSTM", "horizon": [40, 48, 52, 60, 200]})
    >>> median_intervals(table, "horizon").values.tolist()
    [['s3', 'LSTM', 52.0, 40.0, 200.0, 5]]
    """
    missing = [name for name in (*by, column) if name not in table.columns]
    if missing:
        raise InputError(f"the table lacks the column(s) {', '.join(missing)}")
    rows = []
    for key, group in table.groupby(list(by), sort=False):
        values = group[column].to_numpy(dtype=float)
        low, high = bootstrap_interval(values, level=level, num_resamples=num_resamples, seed=seed)
        rows.append((*key, float(np.median(values)), low, high, len(values)))
    return pd.DataFrame(rows, columns=[*by, "median", "low", "high", "num_runs"])


def _tails(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise InputError(f"level = {level}: expected a share between 0 and 1, such as 0.95")
    return (1 - level) / 2, (1 + level) / 2
