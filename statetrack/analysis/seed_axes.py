"""Horizons and solved shares of many seeds, one row a label, drawn on one Axes."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from automata.errors import InputError
from automata.validation import FloatArray
from statetrack.analysis.seeds import seeds_solved, summarize_horizons
from statetrack.analysis.styles import LabelStyle, label_styles, with_minus_sign

_GREY = "0.35"
_MOST_TICKS = 8
_NAME_LETTERS = 46


def horizon_rows(
    reached: pd.DataFrame,
    ax: Axes | None = None,
    *,
    styles: Mapping[str, LabelStyle] | None = None,
    training_length: int | None = None,
) -> Axes:
    """Draw the horizon of every seed, one row a label, with the median and its interval.

    Parameters
    ----------
    reached : DataFrame
        Of one task, from `run_horizons`: label, horizon, longest, censored.
    ax : Axes, optional
        Where to draw; the current axes by default.
    styles : mapping of str to LabelStyle, optional
        Style of every label, to agree with other panels.
    training_length : int, optional
        Where to draw the vertical line.

    Returns
    -------
    Axes
        Rows from the top in the order of `styles`, each under its name. A triangle is a seed that
        never fell below, a lower bound; bar and stroke are the interval and the median.

    Raises
    ------
    InputError
        The table is empty, or lacks a column.
    """
    if reached.empty:
        raise InputError("there are no horizons to draw")
    axes = plt.gca() if ax is None else ax
    known = styles or label_styles(reached)
    labels = [label for label in known if label in set(reached["label"])]
    summary = summarize_horizons(reached, ["label"]).set_index("label")
    longest = float(reached["longest"].max())
    for row, label in enumerate(labels):
        style, runs = known[label], reached[reached["label"] == label]
        line = summary.loc[label]
        low, middle, high = (_place(min(line[name], longest)) for name in ("low", "median", "high"))
        axes.plot([low, high], [row, row], color=style.color, linewidth=5, alpha=0.3, zorder=1)
        axes.plot(middle, row, "|", color=style.color, markersize=13, markeredgewidth=2, zorder=2)
        for censored, marker in ((False, "o"), (True, ">")):
            own = runs.loc[runs["censored"] == censored, "horizon"].map(_place).sort_values()
            axes.plot(
                own,
                row + _spread(len(own)),
                marker,
                color=style.color,
                markerfacecolor="white" if censored else style.color,
                markersize=3.5,
                markeredgewidth=0.8,
                zorder=3,
            )
    _names(axes, labels)
    for position, dashes in ((training_length, "-"), (longest, ":")):
        if position is not None:
            axes.axvline(position, color=_GREY, linewidth=0.8, linestyle=dashes, zorder=0)
    _length_ticks(axes, reached)
    axes.set_xlabel("horizon: longest length L (tokens)\ngood enough at every length up to L")
    return axes


def solved_rows(
    runs: pd.DataFrame,
    ax: Axes | None = None,
    *,
    styles: Mapping[str, LabelStyle] | None = None,
) -> Axes:
    """Draw the share of seeds that solved the task, one row a label, with exact intervals.

    Parameters
    ----------
    runs : DataFrame
        Of one task: label, solved_step.
    ax : Axes, optional
        Where to draw; the current axes by default.
    styles : mapping of str to LabelStyle, optional
        Style of every label, to agree with other panels.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        The table is empty, or lacks a column.
    """
    if runs.empty:
        raise InputError("there are no runs to draw")
    axes = plt.gca() if ax is None else ax
    known = styles or label_styles(runs)
    labels = [label for label in known if label in set(runs["label"])]
    table = seeds_solved(runs, ["label"]).set_index("label")
    for row, label in enumerate(labels):
        style, line = known[label], table.loc[label]
        ends = [line["low"], line["high"]]
        axes.plot(ends, [row, row], color=style.color, linewidth=5, alpha=0.3, zorder=1)
        axes.plot(line["share"], row, "o", color=style.color, markersize=5, zorder=2, clip_on=False)
        counts = f"{line['solved']:.0f} of {line['num_runs']:.0f}"
        axes.annotate(counts, (1.02, row), xycoords=("axes fraction", "data"), va="center")
    _names(axes, labels)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of seeds that solved the task")
    return axes


def seed_handles() -> list[Line2D]:
    """Legend entries of `horizon_rows`.

    Returns
    -------
    list of Line2D
    """
    dot: dict[str, Any] = {"color": _GREY, "linestyle": "none", "markersize": 4}
    return [
        Line2D([], [], marker="o", label="one seed", **dot),
        Line2D([], [], marker=">", markerfacecolor="white", label="never fell below", **dot),
        Line2D([], [], color=_GREY, linewidth=5, alpha=0.3, label="interval of the median"),
    ]


def _place(horizon: float) -> float:
    """Where a horizon lies on a logarithmic axis: 0 beside 1, half a step before it."""
    return max(float(horizon), 0.5)


def _spread(count: int) -> FloatArray:
    """Small shifts that keep equal seeds apart."""
    shifts: FloatArray = 0.055 * ((np.arange(count) * 3) % 7 - 3).astype(np.float64)
    return shifts if count > 1 else np.zeros(count)


def _names(axes: Axes, labels: list[str]) -> None:
    for row, label in enumerate(labels):
        name = with_minus_sign(label)
        if len(name) > _NAME_LETTERS:
            name = f"{name[: _NAME_LETTERS - 1]}…"
        axes.annotate(
            name, (0.0, row - 0.33), xycoords=("axes fraction", "data"), va="bottom", ha="left"
        )
    axes.set_ylim(len(labels) - 0.5, -0.9)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _length_ticks(axes: Axes, reached: pd.DataFrame) -> None:
    axes.set_xscale("log", base=2)
    low = math.floor(math.log2(max(1.0, reached["horizon"].min())))
    if reached["horizon"].min() < 1:
        low = -1
    high = math.log2(reached["longest"].max())
    powers = np.arange(max(low, 0), math.floor(high) + 1)
    powers = powers[:: max(1, math.ceil(len(powers) / _MOST_TICKS))]
    ticks = (2.0**powers).tolist()
    axes.xaxis.set_major_locator(FixedLocator([0.5, *ticks] if low < 0 else ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "0" if value < 1 else f"{value:g}")
    )
    axes.set_xlim(2 ** (low - 0.3), 2 ** (high + 0.3))
