"""How far beyond its training length a model keeps the state."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from automata.errors import InputError

METRICS = ("token_accuracy", "whole_prefix_accuracy")
"""Accuracy at position L, and share of words with positions 1..L all right."""


def horizon(curve: pd.DataFrame, threshold: float = 0.99, metric: str = "token_accuracy") -> int:
    """Longest measured length L with accuracy at least `threshold` at every length up to L.

    Parameters
    ----------
    curve : DataFrame
        One run: a column length without repetitions, in any order, and a column `metric`. An
        accuracy that is missing (NaN) counts as below the threshold.
    threshold : float
        Accuracy in (0, 1].
    metric : str
        Column to read.

    Returns
    -------
    int
        The horizon; 0 if the shortest length is below the threshold already. A result equal to
        the longest length measured says only that the model did not fail there (`horizons`
        marks it as censored).

    Raises
    ------
    InputError
        The curve is empty, repeats a length (more than one run), or lacks a column.

    Examples
    --------
    >>> curve = pd.DataFrame({"length": [8, 16, 32, 64], "token_accuracy": [1.0, 0.99, 0.5, 1.0]})
    >>> horizon(curve, threshold=0.99)
    16
    """
    _check_threshold(threshold)
    _require(curve, "curve", ("length", metric))
    if curve.empty:
        raise InputError("the curve has no lengths")
    ordered = curve.sort_values("length")
    lengths = ordered["length"].to_numpy()
    if len(np.unique(lengths)) < len(lengths):
        raise InputError("the curve repeats a length: horizon takes the curve of one run")
    failed = np.flatnonzero(~(ordered[metric].to_numpy(dtype=float) >= threshold))
    if failed.size == 0:
        return int(lengths[-1])
    return int(lengths[failed[0] - 1]) if failed[0] > 0 else 0


def horizons(
    curves: pd.DataFrame, threshold: float = 0.99, metric: str = "token_accuracy"
) -> pd.DataFrame:
    """Horizon of every run.

    Parameters
    ----------
    curves : DataFrame
        Columns run_id, length and `metric`.
    threshold, metric
        As in `horizon`.

    Returns
    -------
    DataFrame
        run_id, horizon, longest (longest length measured), censored (the run never fell below
        the threshold, so its horizon is a lower bound).
    """
    _require(curves, "curves", ("run_id", "length", metric))
    rows = []
    for run_id, curve in curves.groupby("run_id", sort=False):
        reached = horizon(curve, threshold, metric)
        longest = int(curve["length"].max())
        rows.append((run_id, reached, longest, reached == longest))
    return pd.DataFrame(rows, columns=["run_id", "horizon", "longest", "censored"])


def summarize_curves(
    runs: pd.DataFrame, curves: pd.DataFrame, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """Median, spread and best over the seeds of every task, label and length.

    Parameters
    ----------
    runs : DataFrame
        Columns run_id, task, label. Runs without a curve are left out.
    curves : DataFrame
        Columns run_id, length, majority_rate and the metrics.
    metrics : sequence of str
        The accuracies to summarise.

    Returns
    -------
    DataFrame
        One row per task, label, metric and length, in order of appearance of task and label:
        median, deviation (median absolute deviation from the median, not rescaled), best, worst,
        num_runs, majority_rate (mean of the measured rates).

    Raises
    ------
    InputError
        A column is missing, or no run has a curve.

    Examples
    --------
    >>> runs = pd.DataFrame({"run_id": ["a", "b", "c"], "task": "s3", "label": "LSTM"})
    >>> curves = pd.DataFrame({"run_id": ["a", "b", "c"], "length": 8,
    ...                        "token_accuracy": [0.5, 0.75, 1.0], "majority_rate": 0.17})
    >>> summary = summarize_curves(runs, curves, metrics=["token_accuracy"])
    >>> summary[["median", "deviation", "best", "num_runs"]].values.tolist()
    [[0.75, 0.25, 1.0, 3.0]]
    """
    joined = join_curves(runs, curves, metrics)
    long = joined.melt(
        id_vars=["task", "label", "run_id", "length", "majority_rate"],
        value_vars=list(metrics),
        var_name="metric",
        value_name="accuracy",
    )
    keys = ["task", "label", "metric", "length"]
    medians = long.groupby(keys, sort=False, observed=True)["accuracy"].transform("median")
    long["distance"] = (long["accuracy"] - medians).abs()
    summary = (
        long.groupby(keys, sort=False, observed=True)
        .agg(
            median=("accuracy", "median"),
            deviation=("distance", "median"),
            best=("accuracy", "max"),
            worst=("accuracy", "min"),
            num_runs=("run_id", "nunique"),
            majority_rate=("majority_rate", "mean"),
        )
        .reset_index()
    )
    return _in_order_of_appearance(summary, joined, list(metrics))


def accuracy_table(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    lengths: Sequence[int],
    *,
    metric: str = "token_accuracy",
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Best and median accuracy at chosen lengths, and horizons, one row per task and label.

    Parameters
    ----------
    runs, curves : DataFrame
        As in `summarize_curves`.
    lengths : sequence of int
        Lengths to show.
    metric : str
        The accuracy to show.
    threshold : float
        Accuracy that the horizon asks for.

    Returns
    -------
    DataFrame
        task, label, seeds, then ``best at L`` and ``median at L`` for every length, ``best
        horizon`` and ``median horizon``, as text where the longest measured length was passed
        ("≥ 256"; the median of two middle runs takes the lower one). Missing at a length at which
        that task and label was not measured.

    Raises
    ------
    InputError
        A length was measured of none, or a column is missing.
    """
    summary = summarize_curves(runs, curves, [metric])
    if unknown := sorted(set(lengths) - set(summary["length"])):
        known = ", ".join(str(length) for length in sorted(set(summary["length"])))
        raise InputError(f"length {unknown[0]} was not measured; there are {known}")
    reached = runs[["run_id", "task", "label"]].merge(horizons(curves, threshold, metric))
    rows = []
    for (task, label), group in summary.groupby(["task", "label"], sort=False):
        by_length = group.set_index("length")
        row: dict[str, Any] = {"task": task, "label": label, "seeds": int(group["num_runs"].max())}
        for length in lengths:
            row[f"best at {length}"] = by_length["best"].get(length, math.nan)
            row[f"median at {length}"] = by_length["median"].get(length, math.nan)
        own = reached[(reached["task"] == task) & (reached["label"] == label)]
        ranked = own.sort_values(["horizon", "censored"])
        row["best horizon"] = _horizon_text(ranked.iloc[-1])
        row["median horizon"] = _horizon_text(ranked.iloc[(len(ranked) - 1) // 2])
        rows.append(row)
    return pd.DataFrame(rows)


def best_runs(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    metric: str = "token_accuracy",
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Pick the best run of every task and label.

    Parameters
    ----------
    runs, curves : DataFrame
        As in `summarize_curves`; `runs` may hold a column seed.
    metric, threshold
        As in `horizon`.

    Returns
    -------
    DataFrame
        Those rows of `runs` with the longest horizon, then the highest mean accuracy over all
        lengths, then the first in the table; one per task and label.
    """
    joined = join_curves(runs, curves, [metric])
    score = joined.groupby("run_id", sort=False)[metric].mean().rename("mean_accuracy")
    ranked = runs.merge(horizons(curves, threshold, metric), on="run_id").merge(score, on="run_id")
    ranked = ranked.sort_values(["horizon", "mean_accuracy"], ascending=False, kind="stable")
    chosen = set(ranked.drop_duplicates(["task", "label"])["run_id"])
    return runs[runs["run_id"].isin(chosen)].reset_index(drop=True)


def join_curves(runs: pd.DataFrame, curves: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Give every point of a curve the columns of its run.

    Parameters
    ----------
    runs, curves : DataFrame
        As in `summarize_curves`.
    metrics : sequence of str
        Columns that `curves` must have.

    Returns
    -------
    DataFrame
        `curves` with the columns of `runs`, in the order of `runs`.

    Raises
    ------
    InputError
        A column is missing, or no run has a curve.
    """
    _require(runs, "runs", ("run_id", "task", "label"))
    _require(curves, "curves", ("run_id", "length", "majority_rate", *metrics))
    if runs["run_id"].duplicated().any():
        raise InputError("the table of runs names a run_id twice")
    joined = runs.merge(curves, on="run_id", how="inner", suffixes=("_run", ""))
    if joined.empty:
        raise InputError("none of the runs has a length curve yet")
    return joined


def _horizon_text(run: pd.Series) -> str:
    return f"≥ {run['horizon']}" if run["censored"] else str(run["horizon"])


def _in_order_of_appearance(
    summary: pd.DataFrame, joined: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    order = {
        "task": {name: rank for rank, name in enumerate(joined["task"].unique())},
        "label": {name: rank for rank, name in enumerate(joined["label"].unique())},
        "metric": {name: rank for rank, name in enumerate(metrics)},
    }
    return summary.sort_values(
        ["task", "label", "metric", "length"],
        key=lambda column: column.map(order[column.name]) if column.name in order else column,
        ignore_index=True,
    )


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"a threshold must lie in (0, 1], and is {threshold}")


def _require(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"the table of {name} lacks the column(s) {', '.join(missing)}")
