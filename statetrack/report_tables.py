"""Tables of a grid's report: accuracies, horizons, seeds solved, comparisons, matrices."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from statetrack.analysis import (
    ReportTable,
    accuracy_table,
    best_runs,
    compare_controlled,
    run_horizons,
    seeds_solved,
    summarize_horizons,
    with_variants,
)
from statetrack.training.results import Results

TABLE_LENGTHS = 4
MOST_LISTED_RUNS = 300
_RUN_COLUMNS = {
    "solved_step": "",
    "token_horizon": "",
    "whole_prefix_horizon": "",
    "final_loss": ".1e",
    "report_loss": ".3f",
    "report_bits": ".3f",
    "seconds": ".0f",
}


def accuracy_overview(results: Results) -> pd.DataFrame:
    """Accuracy at the training length and up to the longest, best and median, with horizons.

    One row a task and label, to which the settings that vary within it are added. Lengths are
    those that most runs share, which were all measured to the longest or not; a horizon is that of
    all lengths of its run.
    """
    return _accuracy(with_variants(results.finished), results, "token_accuracy")


def _accuracy(runs: pd.DataFrame, results: Results, metric: str) -> pd.DataFrame:
    curves = results.table("curves")
    trained = int(results.finished.training_length.max())
    wanted = [trained, *(trained * 2**k * 8 // 5 // 8 * 8 for k in range(0, 12))]
    measured = set(curves.groupby("length").run_id.nunique().loc[lambda n: n == n.max()].index)
    longest = max(measured)
    near = {max((n for n in measured if n <= trained), default=longest)}
    lengths = sorted({n for n in wanted if n in measured and n < longest} | near | {longest})
    if len(lengths) > TABLE_LENGTHS:
        lengths = [*lengths[: TABLE_LENGTHS - 1], longest]
    return accuracy_table(runs, curves, lengths, metric=metric)


def accuracy_tables(results: Results) -> list[ReportTable]:
    """Token accuracy and whole-prefix accuracy at a few lengths."""
    runs = with_variants(results.finished)
    texts = {
        "token_accuracy": (
            "Token accuracy at position L",
            "Accuracy at that position alone.",
        ),
        "whole_prefix_accuracy": (
            "Whole-prefix accuracy at L",
            "Share of words with every position up to L right.",
        ),
    }
    horizon = ["best horizon", "median horizon"]  # of recorded lengths; the report has better ones
    return [
        ReportTable(
            title,
            _in_order(_accuracy(runs, results, metric)).drop(columns=horizon),
            caption,
            group_by="task",
            row_head="label",
        )
        for metric, (title, caption) in texts.items()
    ]


def horizon_table(reached: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Horizons as texts, with "≥" where they lie beyond what was measured.

    Parameters
    ----------
    reached : DataFrame
        From `run_horizons`.
    level : float
        Of the interval of the median.

    Returns
    -------
    DataFrame
        task, label, seeds, then median, its interval, the middle half of the seeds, worst, best,
        and how many never fell below.
    """
    longest = reached.groupby(["task", "label"], sort=False)["longest"].max()
    rows = []
    for row in summarize_horizons(reached, level=level).to_dict("records"):
        top = int(longest[row["task"], row["label"]])

        def text(name: str, row: Mapping[str, Any] = row, top: int = top) -> str:
            return f"≥ {top}" if math.isinf(row[name]) else f"{row[name]:.0f}"

        is_bound = row["num_censored"] > 0 and row["best"] >= top
        rows.append(
            {
                "task": row["task"],
                "label": row["label"],
                "seeds": row["num_runs"],
                "median": text("median"),
                f"{level:.0%} interval": _span(text("low"), text("high")),
                "middle half": _span(text("lower_quartile"), text("upper_quartile")),
                "worst": f"≥ {top}" if row["worst"] >= top and is_bound else text("worst"),
                "best": f"≥ {top}" if is_bound else text("best"),
                "never fell below": row["num_censored"],
            }
        )
    return _in_order(pd.DataFrame(rows))


def solved_table(runs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Seeds solved as texts.

    Parameters
    ----------
    runs : DataFrame
        All runs that ended, failed ones included.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        task, label, solved, share, interval, median step.
    """
    table = seeds_solved(runs, level=level)
    rows = {
        "task": table["task"],
        "label": table["label"],
        "solved": [f"{row.solved} of {row.num_runs}" for row in table.itertuples()],
        "share": [f"{share:.0%}" for share in table["share"]],
        f"{level:.0%} interval": [
            _span(f"{row.low:.0%}", f"{row.high:.0%}") for row in table.itertuples()
        ],
        "median step": table["median_step"],
    }
    return _in_order(pd.DataFrame(rows))


def comparisons(reached: pd.DataFrame) -> pd.DataFrame:
    """Compare the horizons of runs that differ by one setting (`compare_controlled`).

    Parameters
    ----------
    reached : DataFrame
        From `run_horizons`, with labels that tell settings apart. Where runs were measured to
        different lengths, all are cut at the shortest.
    """
    if reached.empty:
        return pd.DataFrame()
    common = int(reached["longest"].min())
    return compare_controlled(
        reached.assign(horizon=reached["horizon"].clip(upper=common)), "horizon"
    )


def comparison_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Comparisons as texts: what reaches farther, in which share of pairs, and how sure that is.

    Parameters
    ----------
    compared : DataFrame
        From `comparisons`, not empty.
    """
    rows = []
    for row in compared.to_dict("records"):
        first, second = row["first"], row["second"]
        share, low, high = row["effect"], row["low"], row["high"]
        if share < 0.5:
            first, second = second, first
            share, low, high = 1 - share, 1 - high, 1 - low
        verdict = "real" if row["verdict"].endswith("above") else row["verdict"]
        rows.append(
            {
                "question": f"{row['task']}: {setting_name(row['setting'])}",
                "farther": first,
                "than": second,
                "in pairs": f"{share:.0%}",
                "95% interval": _span(f"{low:.0%}", f"{high:.0%}"),
                "p": p_text(row["p_value"]),
                "adjusted p": p_text(row["adjusted_p_value"]),
                "the difference is": verdict,
            }
        )
    return pd.DataFrame(rows)


def published_table(published: pd.DataFrame) -> ReportTable:
    """Published numbers beside measured ones, with the verdict.

    Parameters
    ----------
    published : DataFrame
        From `compare_published`, not empty.
    """
    frame = pd.DataFrame(
        {
            "task": published["task"],
            "model": published["model"],
            **({"protocol": published["protocol"]} if "protocol" in published else {}),
            "what": [
                f"{row.statistic} {row.metric.replace('_', ' ')} at {row.length}"
                for row in published.itertuples()
            ],
            "published": [
                f"{row.published:.3f} ± {row.tolerance:g}" for row in published.itertuples()
            ],
            "median": [
                f"{row.median:.3f} ± {row.deviation:.3f}" if row.num_runs else "-"
                for row in published.itertuples()
            ],
            "best": [f"{row.best:.3f}" if row.num_runs else "-" for row in published.itertuples()],
            "seeds": published["num_runs"],
            "verdict": published["verdict"],
            "where": [f"{row.paper}, {row.where}" for row in published.itertuples()],
        }
    )
    return ReportTable(
        "Published and measured",
        _in_order(frame),
        "Published: with the tolerance. Median: with the median absolute deviation of the seeds.",
        group_by="task",
        row_head="model",
    )


def setting_name(setting: str) -> str:
    """A setting for people.

    Examples
    --------
    >>> setting_name("model.eigenvalue_range")
    'eigenvalue range'
    """
    return setting.split(".", 1)[-1].replace("_", " ")


def p_text(value: float) -> str:
    """A p-value with two digits."""
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def homomorphism_overview(results: Results) -> pd.DataFrame:
    """For the best seed of every model the head whose matrices multiply most like the group."""
    best = best_runs(with_variants(results.finished), results.table("curves"))
    joined = best[["run_id", "task", "label", "seed"]].merge(
        results.table("homomorphism"), on="run_id"
    )
    rank = joined.verdict.map(_verdict_rank)
    order = joined.assign(rank=rank).sort_values(["rank", "ratio"], kind="stable")
    chosen = order.drop_duplicates(["task", "label"]).sort_index()
    columns = ["task", "label", "seed", "layer", "head", "dimension", "error", "separation"]
    return _in_order(chosen[[*columns, "verdict"]])


def homomorphism_table(results: Results) -> ReportTable:
    """`homomorphism_overview` with what its columns mean."""
    return ReportTable(
        "Learned matrices against the group table",
        homomorphism_overview(results),
        "Best seed of every model, the most faithful head. Error: root mean square of "
        "M_p M_q - M_pq over the whole table, on the subspace that outlives long words and "
        "that the head moves; separation: the same of M_p - M_q for different elements. "
        "A non-trivial irreducible orthogonal representation of a group with n elements "
        "has error 0 and separation sqrt(2n / (n - 1)): 2 for parity, 1.55 for S3. "
        "Matrices of MRUs are taken up to scale, which their readout does not see.",
        {"error": ".2e", "separation": ".3f"},
        group_by="task",
        row_head="label",
    )


def run_table(runs: pd.DataFrame) -> ReportTable:
    """All runs, or the first of very many."""
    shown = ["task", "label", "seed", "status", *_RUN_COLUMNS]
    frame = runs[[name for name in shown if name in runs]].head(MOST_LISTED_RUNS)
    rest = len(runs) - len(frame)
    note = f"{rest} more are in the stored results." if rest else ""
    formats = {name: text for name, text in _RUN_COLUMNS.items() if text and name in frame}
    whole = ["solved_step", "token_horizon", "whole_prefix_horizon"]
    frame = frame.astype({name: "Int64" for name in whole if name in frame})
    return ReportTable(
        f"All {len(runs)} runs", _in_order(frame), note, formats, "task", "label", folded=True
    )


def failure_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Failed runs by reason: how many, which, why; empty where none failed."""
    if "error" not in runs:
        return pd.DataFrame()
    failed = runs[runs["status"] == "failed"]
    rows = []
    for reason, group in failed.groupby("error", sort=False):
        which = [
            f"{task}, {label}: seed {', '.join(str(seed) for seed in own['seed'])}"
            for (task, label), own in group.groupby(["task", "label"], sort=False)
        ]
        rows.append({"reason": reason, "runs": len(group), "which": "\n".join(which)})
    return pd.DataFrame(rows)


def provenance_rows(results: Results) -> dict[str, object]:
    """What the numbers were measured with, as rows of a table."""
    rows: dict[str, object] = {}
    for number, entry in enumerate(results.provenance, start=1):
        suffix = f" ({number})" if len(results.provenance) > 1 else ""
        versions = ", ".join(f"{name} {text}" for name, text in entry["versions"].items())
        changed = " with uncommitted changes" if entry["uncommitted_changes"] else ""
        rows |= {
            f"runs{suffix}": entry["num_runs"],
            f"device{suffix}": entry["device"],
            f"processors and threads a run{suffix}": (
                f"{entry['num_processors']}, {entry['threads']}"
            ),
            f"versions{suffix}": versions,
            f"commit{suffix}": f"{entry['commit'] or 'unknown'}{changed}",
            f"time (UTC){suffix}": f"{entry['first']} to {entry['last']}",
        }
    seeds = sorted(int(seed) for seed in results.finished.seed.unique())
    rows["seeds"] = seed_text(seeds)
    return rows


def seed_text(seeds: list[int]) -> str:
    """Seeds with runs of consecutive ones joined.

    Examples
    --------
    >>> seed_text([0, 1, 2, 7])
    '0 to 2, 7'
    """
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(
        f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts
    )


def reached_horizons(results: Results, metric: str = "token_accuracy") -> pd.DataFrame:
    """Horizons of finished runs, with labels that tell settings apart."""
    runs = with_variants(results.finished)
    return run_horizons(runs, results.table("curves"), metric=metric)


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of one task together, in order of appearance."""
    places = {task: place for place, task in enumerate(frame["task"].unique())}
    return frame.sort_values(
        "task", key=lambda tasks: tasks.map(places), kind="stable", ignore_index=True
    )


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _verdict_rank(verdict: str) -> int:
    """Place of a head among its fellows: faithful, sees a quotient, the rest."""
    if verdict == "faithful":
        return 0
    return 1 if verdict.startswith("sees") else 2
