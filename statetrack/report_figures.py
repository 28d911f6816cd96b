"""Figures of a grid's report: small enough for a telephone, each with its numbers in words."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from statetrack.analysis import ReportFigure, best_runs, summarize_horizons
from statetrack.analysis.curve_axes import curve_handles, length_curves, reference_handles
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.figures import spectra_of_runs
from statetrack.analysis.seed_axes import horizon_rows, seed_handles, solved_rows
from statetrack.analysis.seeds import seeds_solved
from statetrack.analysis.styles import LabelStyle, label_styles, paper_style

_WIDTH = 3.6
_ROW_INCHES = 0.34
_METRICS = {
    "token_accuracy": "Token accuracy at position L",
    "whole_prefix_accuracy": "Share of words right at every position up to L",
}
_MOST_LABELS_IN_WORDS = 12


def curve_figures(runs: pd.DataFrame, curves: pd.DataFrame) -> list[ReportFigure]:
    """Accuracy over length: for every task a panel of either accuracy.

    Parameters
    ----------
    runs : DataFrame
        Finished runs, with labels that tell settings apart.
    curves : DataFrame

    Returns
    -------
    list of ReportFigure
    """
    figures = []
    for task, styles, own in _tasks(runs):
        joined = join_curves(own, curves, list(_METRICS))
        for metric, name in _METRICS.items():
            figure = _rows_figure(
                partial(length_curves, joined, metric=metric, styles=styles, legend=False),
                2.3,
                [*curve_handles(styles), *reference_handles()],
                f"{task}",
            )
            alt = f"{name} on {task}. Median over seeds: {_medians(joined, metric, styles)}."
            figures.append(ReportFigure(figure, alt, f"{name} on {task}."))
    return figures


def horizon_figures(reached: pd.DataFrame) -> list[ReportFigure]:
    """Horizons of all seeds, a panel for every task.

    Parameters
    ----------
    reached : DataFrame
        From `run_horizons`, with training_length.

    Returns
    -------
    list of ReportFigure
    """
    figures = []
    for task, styles, own in _tasks(reached):
        known = own["training_length"].unique()
        trained = int(known[0]) if len(known) == 1 else None
        figure = _rows_figure(
            partial(horizon_rows, own, styles=styles, training_length=trained),
            0.85 + _ROW_INCHES * len(styles),
            seed_handles(),
            f"{task}",
        )
        table = summarize_horizons(own, ["label"])
        longest = int(own["longest"].max())
        parts = [
            f"{row.label} {_at_most(row.median, longest)} ({row.num_censored} of {row.num_runs} "
            "never fell below)"
            for row in table.head(_MOST_LABELS_IN_WORDS).itertuples()
        ]
        alt = f"Horizons of all seeds on {task}. Median: {'; '.join(parts)}."
        line = "Solid line: training length. " if trained else ""
        caption = f"Horizons on {task}. {line}Dotted line: longest length measured."
        figures.append(ReportFigure(figure, alt, caption))
    return figures


def solved_figures(runs: pd.DataFrame) -> list[ReportFigure]:
    """Share of seeds that solved their task, a panel for every task.

    Parameters
    ----------
    runs : DataFrame
        All runs that ended: failed ones have not solved their task.

    Returns
    -------
    list of ReportFigure
    """
    figures = []
    for task, styles, own in _tasks(runs):
        figure = _rows_figure(
            partial(solved_rows, own, styles=styles),
            0.7 + _ROW_INCHES * len(styles),
            [],
            f"{task}",
        )
        table = seeds_solved(own, ["label"]).head(_MOST_LABELS_IN_WORDS)
        parts = [f"{row.label} {row.solved} of {row.num_runs}" for row in table.itertuples()]
        alt = f"Share of seeds that solved {task}: {'; '.join(parts)}."
        figures.append(ReportFigure(figure, alt, f"Seeds that solved {task}, with 95 % intervals."))
    return figures


def spectra_figures(
    runs: pd.DataFrame, curves: pd.DataFrame, spectra: pd.DataFrame
) -> list[ReportFigure]:
    """Eigenvalues of the best seed of every label, a panel for every task.

    Parameters
    ----------
    runs, curves, spectra : DataFrame
        Labels whose runs have no spectra are left out.

    Returns
    -------
    list of ReportFigure
    """
    best = best_runs(runs, curves)
    figures = []
    for task, styles, own in _tasks(best[best["run_id"].isin(spectra["run_id"])]):
        planes = [
            (run.label, run.seed, spectra[spectra["run_id"] == run.run_id])
            for run in own.itertuples()
        ]
        figure = spectra_of_runs(planes, styles, width=_WIDTH)
        parts = [
            f"{label}, seed {seed}: {len(values)} eigenvalues, of which "
            f"{_on_circle(values):.0%} within .01 of the unit circle, "
            f"{(values['real'] < -0.5).mean():.0%} with a real part below -.5"
            for label, seed, values in planes
        ]
        alt = f"Eigenvalues of the learned transitions on {task}. {'; '.join(parts)}."
        caption = f"Eigenvalues of the best seed of every model on {task}, all layers and heads."
        figures.append(ReportFigure(figure, alt, caption))
    return figures


def _tasks(runs: pd.DataFrame) -> list[tuple[str, dict[str, LabelStyle], pd.DataFrame]]:
    """Every task with the styles of its labels, which are the same in all panels, and its rows."""
    styles = label_styles(runs)
    found = []
    for task, own in runs.groupby("task", sort=False):
        labels = set(own["label"])
        found.append((str(task), {k: v for k, v in styles.items() if k in labels}, own))
    return found


def _rows_figure(
    draw: Callable[[Axes], Axes], height: float, handles: Sequence[Any], title: str
) -> Figure:
    """One panel with its legend below, in as many columns as fit."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = 1 if longest > 32 else 2
    lines = math.ceil(len(handles) / columns)
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(_WIDTH, height + 0.16 * lines + 0.2), layout="constrained")
        draw(figure.subplots())
        figure.axes[0].set_title(title, loc="left", fontweight="bold")
        if handles:
            figure.legend(
                handles=handles, loc="outside lower left", ncols=columns, handlelength=2.4
            )
    return figure


def _medians(joined: pd.DataFrame, metric: str, styles: Mapping[str, LabelStyle]) -> str:
    lengths = sorted(joined["length"].unique())
    trained = joined["training_length"].iloc[0] if "training_length" in joined else lengths[0]
    near = max((length for length in lengths if length <= trained), default=lengths[0])
    parts = []
    for label in list(styles)[:_MOST_LABELS_IN_WORDS]:
        own = joined[joined["label"] == label]
        median = own.groupby("length")[metric].median()
        ends = [(length, median.get(length)) for length in dict.fromkeys((near, lengths[-1]))]
        texts = [f"{value:.2f} at {length}" for length, value in ends if value is not None]
        parts.append(f"{label} {' and '.join(texts)}")
    return "; ".join(parts)


def _at_most(length: float, longest: int) -> str:
    return f"at least {longest}" if math.isinf(length) else f"{length:.0f}"


def _on_circle(values: pd.DataFrame) -> float:
    modulus = (values["real"] ** 2 + values["imag"] ** 2) ** 0.5
    return float(((modulus - 1).abs() < 0.01).mean())
