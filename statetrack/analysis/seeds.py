"""Many runs that differ by their seed alone, in one row: solved, horizon, median and spread."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from automata.errors import InputError
from statetrack.analysis.censoring import HorizonDistribution, horizon_distribution
from statetrack.analysis.extrapolation import horizons
from statetrack.analysis.intervals import share_interval

GROUP = ("task", "label")
RECORDED_THRESHOLD = 0.99
_RECORDED = {"token_accuracy": "token_horizon", "whole_prefix_accuracy": "whole_prefix_horizon"}
_SETTINGS = ("task.", "model.", "training.", "evaluation.")


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """Tell apart runs of one task and label that differ by more than their seed.

    Parameters
    ----------
    runs : DataFrame
        Columns task and label, and settings such as ``model.range_steepness``.

    Returns
    -------
    DataFrame
        The same with every setting that varies within a label added to it.

    Examples
    --------
    >>> runs = pd.DataFrame({"task": "parity", "label": "diagonal [-1,1]", "seed": [0, 0],
    ...                      "model.range_steepness": [1, 4]})
    >>> with_variants(runs)["label"].tolist()
    ['diagonal [-1,1], range steepness 1', 'diagonal [-1,1], range steepness 4']
    """
    found = runs.copy()
    settings = [name for name in runs if str(name).startswith(_SETTINGS)]
    for _, label in runs.groupby(list(GROUP), sort=False):
        varied = [name for name in settings if label[name].nunique(dropna=False) > 1]
        # A setting that says the same as an earlier one, run by run, adds nothing.
        kept: list[str] = []
        for name in varied:
            codes = [_codes(label[known]) for known in (*kept, name)]
            if codes[-1] not in codes[:-1]:
                kept.append(name)
        for name in kept:
            words = name.split(".", 1)[1].replace("_", " ")
            texts = label[name].map(lambda value, words=words: f", {words} {_setting(value)}")
            found.loc[label.index, "label"] = found.loc[label.index, "label"] + texts
    return found


def _codes(values: pd.Series) -> list[int]:
    codes: list[int] = pd.factorize(values, use_na_sentinel=False)[0].tolist()
    return codes


def _setting(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:g}"
    return str(value)


def seeds_solved(
    runs: pd.DataFrame, by: Sequence[str] = GROUP, *, level: float = 0.95
) -> pd.DataFrame:
    """Share of seeds that solved their task, with an exact interval.

    Parameters
    ----------
    runs : DataFrame
        One row a run: the columns of `by`, and solved_step, empty where the run did not solve its
        task. A run that failed counts as not solved: leaving it out would flatter.
    by : sequence of str
        Columns that make a group.
    level : float
        Of the Clopper-Pearson interval.

    Returns
    -------
    DataFrame
        The columns of `by`, then solved, num_runs, share, low, high, median_step (of those that
        solved it), in order of appearance.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> runs = pd.DataFrame({"task": "s5", "label": "DeltaProduct",
    ...                      "solved_step": [900, 1400, None, 1200]})
    >>> seeds_solved(runs).round(3).values.tolist()
    [['s5', 'DeltaProduct', 3, 4, 0.75, 0.194, 0.994, 1200.0]]
    """
    _require(runs, (*by, "solved_step"))
    rows = []
    for key, group in runs.groupby(list(by), sort=False):
        steps = pd.to_numeric(group["solved_step"]).dropna()
        solved, total = len(steps), len(group)
        low, high = share_interval(solved, total, level=level, method="clopper_pearson")
        rows.append((*key, solved, total, solved / total, float(low), float(high), steps.median()))
    names = ["solved", "num_runs", "share", "low", "high", "median_step"]
    return pd.DataFrame(rows, columns=[*by, *names])


def run_horizons(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    metric: str = "token_accuracy",
    threshold: float = RECORDED_THRESHOLD,
) -> pd.DataFrame:
    """Give every run its horizon, over every position where the run has recorded that.

    Parameters
    ----------
    runs : DataFrame
        Column run_id; token_horizon and whole_prefix_horizon, at .99 over every position, are used
        where they are there and that is asked for.
    curves : DataFrame
        As in `horizons`: read at the recorded lengths otherwise.
    metric, threshold
        As in `horizon`.

    Returns
    -------
    DataFrame
        The rows of `runs` that have a curve, with horizon, longest and censored.
    """
    found = runs.merge(horizons(curves, threshold, metric), on="run_id")
    name = _RECORDED.get(metric)
    if name in found and threshold == RECORDED_THRESHOLD:
        exact = pd.to_numeric(found[name])
        found["horizon"] = exact.fillna(found["horizon"]).astype(np.int64)
        found["censored"] = found["horizon"] >= found["longest"]
    return found


def summarize_horizons(
    reached: pd.DataFrame,
    by: Sequence[str] = GROUP,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Median, spread and best of horizons, with those that are only lower bounds.

    Parameters
    ----------
    reached : DataFrame
        From `run_horizons`: the columns of `by`, horizon, censored.
    by : sequence of str
        Columns that make a group.
    level, num_resamples, seed
        As in `horizon_distribution`.

    Returns
    -------
    DataFrame
        The columns of `by`, then num_runs, num_censored, worst, lower_quartile, median, low and
        high (interval of the median), upper_quartile, best, in order of appearance. Infinite where
        the runs were not measured far enough; `best` is a lower bound where num_censored > 0.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> reached = pd.DataFrame({"task": "s3", "label": "MRU", "horizon": [64, 256, 256],
    ...                         "censored": [False, True, True]})
    >>> summarize_horizons(reached)[["num_censored", "worst", "median", "best"]].values.tolist()
    [[2.0, 64.0, inf, 256.0]]
    """
    rows = []
    for key, found in horizon_distributions(
        reached, by, level=level, num_resamples=num_resamples, seed=seed
    ).items():
        lower, median, upper = found.quartiles
        worst, best = float(found.lengths[0]), found.longest
        counts = (found.num_runs, found.num_censored)
        rows.append((*key, *counts, worst, lower, median, found.low, found.high, upper, best))
    names = ["num_runs", "num_censored", "worst", "lower_quartile", "median", "low", "high"]
    return pd.DataFrame(rows, columns=[*by, *names, "upper_quartile", "best"])


def horizon_distributions(
    reached: pd.DataFrame,
    by: Sequence[str] = GROUP,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[tuple[str, ...], HorizonDistribution]:
    """Distribution of the horizons of every group, in order of appearance.

    Parameters
    ----------
    reached, by, level, num_resamples, seed
        As in `summarize_horizons`.

    Returns
    -------
    dict of tuple to HorizonDistribution

    Raises
    ------
    InputError
        A column is missing.
    """
    _require(reached, (*by, "horizon", "censored"))
    return {
        key: horizon_distribution(
            group["horizon"],
            group["censored"],
            level=level,
            num_resamples=num_resamples,
            seed=seed,
        )
        for key, group in reached.groupby(list(by), sort=False)
    }


def _require(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"the table of runs lacks the column(s) {', '.join(missing)}")
