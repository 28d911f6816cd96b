"""Horizons of runs that differ from a baseline by one knob, and over the errors of their matrices.

Two panels a family of models: above a row a value of a knob, below a point a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from statetrack.analysis.censoring import horizon_distribution
from statetrack.analysis.styles import paper_style

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_BASE = "0.15"
_AIM: dict[str, Any] = {"color": "#009E73", "linewidth": 1.2, "linestyle": "--", "zorder": 0}


@dataclass(frozen=True)
class KnobRow:
    """One row.

    Parameters
    ----------
    knob : str
    value : str
        Empty for the row that names the knob.
    is_baseline : bool
        The value is the baseline's, whose runs stand here.
    """

    knob: str
    value: str = ""
    is_baseline: bool = False


def knob_figure(frame: pd.DataFrame, rows: Mapping[str, Sequence[KnobRow]], aim: float) -> Figure:
    """Draw horizons by knob and value, and over errors, a column a family.

    Parameters
    ----------
    frame : DataFrame
        One row a run: family, knob, value; is_baseline, solved; horizon, longest, censored; error
        (missing where there is none), directions (in which errors add up), rotations (whether its
        matrices are such).
    rows : mapping of str to sequence of KnobRow
        From the top, by family, four of them at most.
    aim : float
        A length; drawn where words are as long.

    Returns
    -------
    Figure
        The guides of slope -2 and -1 go through the medians of error and horizon of solved runs
        with rotations.
    """
    count = max(len(own) for own in rows.values())
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(7.2, 3.3 + 0.13 * count), layout="constrained")
        above, below = figure.subplots(
            2, len(rows), squeeze=False, height_ratios=(0.3 + 0.13 * count, 2.0)
        )
        for column, (family, places) in enumerate(rows.items()):
            own = frame[frame.family == family]
            _by_knob(above[column], own, places, _COLORS[column])
            _over_errors(below[column], own, _COLORS[column])
            above[column].set_ylim(count - 0.4, -0.7)
            above[column].set_title(f"{'abcd'[column]}  {family}", loc="left")
            below[column].set_title(f"{'abcdefgh'[len(rows) + column]}  {family}", loc="left")
        has_aim = bool(frame.longest.max() >= aim)
        largest = max(frame.horizon.max(), aim * has_aim)
        ends = _place(frame.horizon.min()) / 1.4, _place(largest) * 1.4
        for axes in above:
            axes.set(xscale="log", xlim=ends)
            _plain(axes.xaxis)
            if has_aim:
                axes.axvline(aim, **_AIM)
        for axes in below:
            axes.set(yscale="log", ylim=ends)
            _plain(axes.yaxis)
            if has_aim:
                axes.axhline(aim, **_AIM)
        handles = _handles(frame, has_aim)
        figure.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.4)
    return figure


def _plain(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _by_knob(axes: Axes, own: pd.DataFrame, rows: Sequence[KnobRow], color: str) -> None:
    """Every seed and the median; the baseline's in black, wherever its value stands."""
    base = own[own.is_baseline]
    for place, row in enumerate(rows):
        same = (own.knob == row.knob) & (own.value == row.value)
        if row.value:
            _seeds(
                axes,
                base if row.is_baseline else own[same],
                place,
                _BASE if row.is_baseline else color,
            )
    if len(base):
        axes.axvline(_median(base), color=_BASE, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [row.value or row.knob for row in rows])
    for row, text in zip(rows, axes.get_yticklabels(), strict=True):
        text.set_fontweight("normal" if row.value else "bold")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(".99 of words right throughout to (letters)")


def _seeds(axes: Axes, seeds: pd.DataFrame, place: int, color: str) -> None:
    """Dots of one value: hollow where never below, crosses where not solved."""
    for number, one in enumerate(seeds.sort_values("horizon").itertuples()):
        axes.plot(
            _place(one.horizon),
            place + 0.09 * ((3 * number) % 7 - 3),
            "o" if one.solved else "x",
            color=color,
            markerfacecolor="white" if one.censored else color,
            markersize=3,
            markeredgewidth=0.8,
        )
    if len(seeds):
        middle = _median(seeds)
        axes.plot(middle, place, "|", color=color, markersize=9, markeredgewidth=1.8, zorder=1)


def _median(seeds: pd.DataFrame) -> float:
    """Median horizon, at the longest length where it lies beyond."""
    found = horizon_distribution(seeds.horizon, seeds.censored, num_resamples=1)
    return _place(min(found.median, found.longest))


def _place(horizon: float) -> float:
    """Where a horizon lies on a logarithmic axis: 0 beside 1, half a step before it."""
    return max(float(horizon), 0.5)


def _over_errors(axes: Axes, own: pd.DataFrame, color: str) -> None:
    """Horizons of solved runs over their errors, and the two slopes."""
    known = own[own.solved & own.error.notna()]
    for one in known.itertuples():
        own_color = _BASE if one.is_baseline else color
        axes.plot(
            one.error,
            _place(one.horizon),
            ("s" if one.directions else "o") if one.rotations else "^",
            color=own_color,
            markerfacecolor="white" if one.censored else own_color,
            markersize=3.2,
            markeredgewidth=0.8,
        )
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.set_xlabel("error of a letter's matrix, best faithful head")
    axes.set_ylabel("right throughout to (letters)")
    turning = known[known.rotations]
    if turning.empty:
        axes.annotate("no head is faithful", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    error, horizon = turning.error.median(), turning.horizon.median()
    ends = np.array([known.error.min(), known.error.max()])
    for slope, dashes in ((-1, ":"), (-2, "-")):
        heights = horizon * (ends / error) ** slope
        axes.plot(ends, heights, color="0.6", linewidth=0.8, linestyle=dashes, zorder=0)


def _handles(frame: pd.DataFrame, has_aim: bool) -> list[Line2D]:
    """Legend entries of what occurs."""
    dot: dict[str, Any] = {"color": "0.35", "linestyle": "", "markersize": 3.5}
    drawn = frame[frame.solved & frame.error.notna()]
    entries = [
        (True, Line2D([], [], marker="o", label="one seed", **dot)),
        (True, Line2D([], [], marker="|", label="median", **(dot | {"markersize": 9}))),
        (True, Line2D([], [], color=_BASE, linewidth=0.8, label="baseline")),
        (has_aim, Line2D([], [], label="aim", **_AIM)),
        (not frame.solved.all(), Line2D([], [], marker="x", label="not solved", **dot)),
        (
            frame.censored.any(),
            Line2D([], [], marker="o", markerfacecolor="white", label="never below .99", **dot),
        ),
        (
            (drawn.directions > 0).any(),
            Line2D([], [], marker="s", label="errors can add up", **dot),
        ),
        (not drawn.rotations.all(), Line2D([], [], marker="^", label="no rotations", **dot)),
        (len(drawn), Line2D([], [], color="0.6", label="slope −2 through medians (dotted: −1)")),
    ]
    return [line for occurs, line in entries if occurs]
