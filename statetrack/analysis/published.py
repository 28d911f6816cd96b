"""Published numbers, written down before a run, and what was measured beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from automata.errors import InputError, unknown_name

STATISTICS = ("median", "best", "worst", "mean")
"""Of the seeds: which of them a publication reports."""

VERDICTS = ("reproduced", "not reproduced", "not measured")


THEORY = "theory"


@dataclass(frozen=True)
class PublishedValue:
    """One published number, and how near to it a measurement must come.

    Parameters
    ----------
    paper, where : str
        Publication, and the table, figure or sentence in it; `THEORY` and a reason for what is not
        published but follows.
    model, task : str
        As the measured frame names them.
    metric : str
        Column of the measured frame.
    length : int or (int, int)
        Word length in tokens; of a pair the mean over every length from the first to the last.
    value : float
    tolerance : float
        Largest distance at which the number counts as reproduced.
    statistic : {"median", "best", "worst", "mean"}
        What the publication reports of its seeds, which is what is compared; best is the largest.

    Raises
    ------
    InputError
        A number is not finite or negative where it cannot be, lengths are out of order, or the
        statistic is unknown.

    Examples
    --------
    >>> value = PublishedValue("Grazzi et al.", "Table 3", "DeltaNet [-1,1]", "parity",
    ...                        "scaled_accuracy", (40, 256), 1.0, 0.05, "best")
    >>> value.lengths
    (40, 256)
    """

    paper: str
    where: str
    model: str
    task: str
    metric: str
    length: int | tuple[int, int]
    value: float
    tolerance: float
    statistic: str = "median"

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise unknown_name("statistic", self.statistic, STATISTICS)
        if not math.isfinite(self.value):
            raise InputError(f"published value {self.value}: expected a finite number")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError(f"tolerance {self.tolerance}: expected a finite number >= 0")
        first, last = self.lengths
        if not 1 <= first <= last:
            raise InputError(f"length {self.length}: expected a length >= 1, or two in order")

    @property
    def lengths(self) -> tuple[int, int]:
        """First and last length."""
        return self.length if isinstance(self.length, tuple) else (self.length, self.length)


def published_for(
    measured: pd.DataFrame, published: Sequence[PublishedValue]
) -> list[PublishedValue]:
    """Those of the values whose model and task were measured.

    Examples
    --------
    >>> measured = pd.DataFrame({"model": ["LSTM"], "task": ["parity"]})
    >>> values = [PublishedValue("X", "Table 1", model, "parity", "token_accuracy", 64, 1.0, 0.05)
    ...           for model in ("LSTM", "GRU")]
    >>> [value.model for value in published_for(measured, values)]
    ['LSTM']
    """
    done = set(zip(measured["model"], measured["task"], strict=True))
    return [value for value in published if (value.model, value.task) in done]


def compare_published(
    measured: pd.DataFrame, published: Sequence[PublishedValue], by: str | None = None
) -> pd.DataFrame:
    """Put what was measured beside what was published.

    Parameters
    ----------
    measured : DataFrame
        One row a run and length: columns run_id, model, task, length and every metric. Lengths
        that are missing between two that are there are filled in on a straight line.
    published : sequence of PublishedValue
    by : str, optional
        Column of `measured`, such as the protocol: the runs of each of its values are compared on
        their own.

    Returns
    -------
    DataFrame
        A row a published value, in their order, for every value of `by`: `by`, paper, where, task,
        model, metric, length (as text), statistic, published, tolerance; of the seeds median,
        deviation (median absolute deviation from the median, not rescaled), best and num_runs;
        difference (that statistic of the seeds less the published one) and verdict. Where no run
        of that model and task reaches the length, the verdict is "not measured" and the numbers
        are missing.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> measured = pd.DataFrame({"run_id": ["a", "b", "c"], "model": "LSTM", "task": "parity",
    ...                          "length": 64, "token_accuracy": [1.0, 0.98, 0.5]})
    >>> published = [PublishedValue("X", "Table 1", "LSTM", "parity", "token_accuracy", 64, 1.0,
    ...                             tolerance=0.05)]
    >>> found = compare_published(measured, published).iloc[0]
    >>> float(found["median"]), float(found["best"]), int(found["num_runs"]), found["verdict"]
    (0.98, 1.0, 3, 'reproduced')
    """
    needed = {"run_id", "model", "task", "length", *(value.metric for value in published)}
    needed |= {by} if by else set()
    if missing := sorted(needed - set(measured.columns)):
        raise InputError(f"the measured frame lacks the column(s) {', '.join(missing)}")
    if by is None:
        return pd.DataFrame([_compare(measured, value) for value in published], columns=_COLUMNS)
    rows = [
        {by: name, **_compare(part, value)}
        for name, part in measured.groupby(by, sort=False)
        for value in published
    ]
    return pd.DataFrame(rows, columns=[by, *_COLUMNS])


def seed_values(measured: pd.DataFrame, value: PublishedValue) -> pd.Series:
    """What every seed reached where something was published.

    Parameters
    ----------
    measured : DataFrame
        As in `compare_published`.
    value : PublishedValue

    Returns
    -------
    Series of float
        By run_id; runs that do not reach the length are left out.
    """
    own = measured[(measured["model"] == value.model) & (measured["task"] == value.task)]
    means = {
        run_id: _mean(curve, value.metric, *value.lengths)
        for run_id, curve in own.groupby("run_id", sort=False)
    }
    return pd.Series(means, dtype=float).dropna()


_ROUNDING = 1e-6
"""Of stored numbers, which have seven digits."""

_COLUMNS = [
    *("paper", "where", "task", "model", "metric", "length", "statistic", "published"),
    *("tolerance", "median", "deviation", "best", "num_runs", "difference", "verdict"),
]


def _compare(measured: pd.DataFrame, value: PublishedValue) -> dict[str, object]:
    seeds = seed_values(measured, value)
    median, best = seeds.median(), seeds.max()
    compared = {"median": median, "best": best, "worst": seeds.min(), "mean": seeds.mean()}
    difference = compared[value.statistic] - value.value
    if seeds.empty:
        verdict = "not measured"
    else:
        near = abs(difference) <= value.tolerance + _ROUNDING
        verdict = "reproduced" if near else "not reproduced"
    first, last = value.lengths
    return {
        "paper": value.paper,
        "where": value.where,
        "task": value.task,
        "model": value.model,
        "metric": value.metric,
        "length": str(last) if first == last else f"{first} to {last}",
        "statistic": value.statistic,
        "published": value.value,
        "tolerance": value.tolerance,
        "median": median,
        "deviation": (seeds - median).abs().median(),
        "best": best,
        "num_runs": len(seeds),
        "difference": difference,
        "verdict": verdict,
    }


def _mean(curve: pd.DataFrame, metric: str, first: int, last: int) -> float:
    """Mean over every length from the first to the last; NaN where the curve does not reach."""
    known = curve.dropna(subset=[metric]).sort_values("length")
    if known.empty or known["length"].iloc[0] > first or known["length"].iloc[-1] < last:
        return math.nan
    lengths = np.arange(first, last + 1)
    return float(np.interp(lengths, known["length"], known[metric]).mean())
