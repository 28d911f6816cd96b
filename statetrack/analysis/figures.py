"""Whole figures, and the single Axes they are made of: tidy tables in, Axes or Figure out."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from automata.errors import InputError, unknown_name
from statetrack.analysis.curve_axes import curve_handles, length_curves, reference_handles
from statetrack.analysis.extrapolation import best_runs, join_curves
from statetrack.analysis.plane_axes import (
    MOST_TOKENS_IN_A_LEGEND,
    eigenvalue_plane,
    token_handles,
)
from statetrack.analysis.styles import (
    LabelStyle,
    label_styles,
    paper_style,
    token_styles,
    with_minus_sign,
)

__all__ = ["curves_and_spectra", "eigenvalue_plane", "length_curves"]

_PLANE_INCHES = 1.03
_PLANES_SHARE = 0.6
_ROOMY_PLANE_INCHES = 1.5
_LETTERS_IN_A_TITLE_LINE = 14
_LEGEND_ENTRY_INCHES = 1.75


def curves_and_spectra(
    results_tables: Mapping[str, pd.DataFrame],
    *,
    metric: str = "token_accuracy",
    tasks: Sequence[str] | None = None,
    orders: Mapping[str, Sequence[int]] | None = None,
    threshold: float = 0.99,
    width: float = 7.0,
) -> Figure:
    """Draw length curves and learned spectra side by side, one row per task.

    On the left accuracy over length, every seed and the median; on the right the eigenvalues of
    the best seed of every label (`best_runs`), each plane framed in the colour and dashes of its
    curve.

    Parameters
    ----------
    results_tables : mapping of str to DataFrame
        "runs", "curves" and "spectra". Labels without spectra (an LSTM) have no plane.
    metric : str
        Accuracy on the left.
    tasks : sequence of str, optional
        Rows, from the top; all tasks in order of appearance by default.
    orders : mapping of str to sequence of int, optional
        For a task the orders of its group's elements, for the roots of unity.
    threshold : float
        Accuracy whose horizon ranks the seeds.
    width : float
        Width in inches at print size, for which the fonts are chosen.

    Returns
    -------
    Figure
        Not registered with pyplot: save it, or show it as the last line of a notebook cell.

    Raises
    ------
    InputError
        A table or task is missing.
    """
    for name in ("runs", "curves", "spectra"):
        if name not in results_tables:
            raise InputError(f"the results lack the table {name!r}")
    runs, spectra = results_tables["runs"], results_tables["spectra"]
    curves = join_curves(runs, results_tables["curves"], [metric])
    rows = list(curves["task"].unique()) if tasks is None else list(tasks)
    for task in rows:
        if task not in set(curves["task"]):
            raise unknown_name("task", task, curves["task"].unique())
    runs = runs[runs["task"].isin(rows) & runs["run_id"].isin(curves["run_id"])]
    styles = label_styles(runs)
    chosen = best_runs(runs, results_tables["curves"], metric=metric, threshold=threshold)
    best = chosen[chosen["run_id"].isin(spectra["run_id"])]
    most = max((best["task"] == task).sum() for task in rows)
    columns = min(max(2, most), max(1, int(_PLANES_SHARE * width / _PLANE_INCHES)))
    planes_width = columns * _PLANE_INCHES
    lines = [max(1, math.ceil((best["task"] == task).sum() / columns)) for task in rows]
    title_lines = max(_plane_title(style, 0).count("\n") + 1 for style in styles.values())
    heights = [0.75 + (1.01 + 0.12 * title_lines) * count for count in lines]
    handles = [*curve_handles(styles), *reference_handles()]
    legend_columns = max(1, int(width / _LEGEND_ENTRY_INCHES))
    legend_height = 0.16 * math.ceil(len(handles) / legend_columns) + 0.12
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(width, sum(heights) + legend_height), layout="constrained")
        bands: Any = figure.subfigures(len(rows) + 1, 1, height_ratios=[*heights, legend_height])
        for band, task, count in zip(bands[:-1], rows, lines, strict=True):
            planes = [
                (run.label, run.seed, spectra[spectra["run_id"] == run.run_id])
                for run in best[best["task"] == task].itertuples()
            ]
            planes.sort(key=lambda plane: list(styles).index(plane[0]))
            left, right = band, None
            if planes:
                left, right = band.subfigures(
                    1, 2, width_ratios=[width - planes_width, planes_width]
                )
            axes = left.subplots()
            length_curves(
                curves[curves["task"] == task], axes, metric=metric, styles=styles, legend=False
            )
            axes.set_title(task, loc="left", fontweight="bold")
            if right is not None:
                _planes(right, planes, styles, (count, columns), (orders or {}).get(task, ()))
        bands[-1].legend(handles=handles, loc="center", ncols=legend_columns, handlelength=2.6)
    return figure


def spectra_of_runs(
    planes: Sequence[tuple[str, int, pd.DataFrame]],
    styles: Mapping[str, LabelStyle],
    *,
    width: float = 4.6,
    orders: Sequence[int] = (),
) -> Figure:
    """Draw the eigenvalues of several runs, a plane each, framed in the style of its label.

    Parameters
    ----------
    planes : sequence of (str, int, DataFrame)
        Label, seed and spectra of every run.
    styles : mapping of str to LabelStyle
        From `label_styles`.
    width : float
        In inches at print size.
    orders : sequence of int
        As in `eigenvalue_plane`.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        No planes.
    """
    if not planes:
        raise InputError("there are no eigenvalues to draw")
    columns = min(len(planes), max(2, int(width / _ROOMY_PLANE_INCHES)))
    lines = math.ceil(len(planes) / columns)
    title_lines = max(_plane_title(styles[label], 0).count("\n") + 1 for label, *_ in planes)
    height = 0.75 + (width / columns - 0.1 + 0.12 * title_lines) * lines
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(width, height), layout="constrained")
        (band,) = figure.subfigures(1, 1, squeeze=False).flat
        _planes(band, planes, styles, (lines, columns), orders)
    return figure


def _plane_title(style: LabelStyle, seed: int) -> str:
    details = [with_minus_sign(style.eigenvalue_range), f"seed {seed}"]
    name = textwrap.wrap(style.variant, _LETTERS_IN_A_TITLE_LINE)
    return "\n".join([*name, " · ".join(filter(None, details))])


def _planes(
    figure: SubFigure,
    planes: Sequence[tuple[str, int, pd.DataFrame]],
    styles: Mapping[str, LabelStyle],
    shape: tuple[int, int],
    orders: Sequence[int],
) -> None:
    num_lines, columns = shape
    grid = figure.subplots(num_lines, columns, squeeze=False, sharex=True, sharey=True)
    names = pd.concat([spectra for *_, spectra in planes])
    ordered = names.sort_values("token")["token_name"] if "token" in names else names["token_name"]
    tokens = token_styles(ordered.tolist())
    for place, (label, seed, spectra) in enumerate(planes):
        axes, style = grid.flat[place], styles[label]
        eigenvalue_plane(spectra, axes, orders=orders, styles=tokens, legend=False)
        axes.set_title(_plane_title(style, seed), fontsize=7)
        for spine in axes.spines.values():
            spine.set(visible=True, color=style.color, linewidth=1.4, linestyle=style.line_style)
            spine.set_capstyle("butt")
        lowest = place + columns >= len(planes)
        axes.tick_params(labelbottom=lowest, labelleft=place % columns == 0)
        axes.set(
            xlabel="Re λ" if place // columns == num_lines - 1 else "",
            ylabel="Im λ" if place % columns == 0 else "",
        )
    for axes in grid.flat[len(planes) :]:
        axes.remove()
    if len(tokens) > MOST_TOKENS_IN_A_LEGEND:
        note = f"{len(tokens)} tokens, dark to light in their order"
        figure.supxlabel(note, fontsize=mpl.rcParams["legend.fontsize"])
        return
    legend_lines = math.ceil(len(tokens) / math.ceil(1.5 * columns))
    figure.legend(
        handles=token_handles(tokens),
        loc="outside lower center",
        ncols=math.ceil(len(tokens) / legend_lines),
        handletextpad=0.1,
        columnspacing=1.0,
    )
