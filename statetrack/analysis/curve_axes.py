"""Accuracy over word length, drawn on one Axes."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from automata.errors import InputError, unknown_name
from statetrack.analysis.styles import LabelStyle, label_styles, with_minus_sign

_METRIC_NAMES = {
    "token_accuracy": "token accuracy\nat position L",
    "whole_prefix_accuracy": "share of words\nright at 1..L",
}
_REFERENCE_GREY = "0.35"
_MOST_TICKS = 8
_MARKERS_ON_A_CURVE = 4


def length_curves(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    metric: str = "token_accuracy",
    styles: Mapping[str, LabelStyle] | None = None,
    training_length: int | None = None,
    legend: bool = True,
) -> Axes:
    """Draw accuracy over word length: every seed thin, the median of each label thick.

    Parameters
    ----------
    frame : DataFrame
        Columns run_id, label, length, the metric; optionally eigenvalue_range, majority_rate
        (drawn dashed, its mean per length) and training_length.
    ax : Axes, optional
        Where to draw; the current axes by default.
    metric : str
        "token_accuracy" or "whole_prefix_accuracy".
    styles : mapping of str to LabelStyle, optional
        Style of every label, to agree with other panels; `label_styles` by default.
    training_length : int, optional
        Where to draw the vertical line; by default the column of that name, where all rows agree.
    legend : bool
        Whether to draw a legend outside, on the right.

    Returns
    -------
    Axes
        With a logarithmic length axis.

    Raises
    ------
    InputError
        Unknown metric, or an empty table.
    """
    if metric not in _METRIC_NAMES:
        raise unknown_name("metric", metric, _METRIC_NAMES)
    if frame.empty:
        raise InputError("there are no length curves to draw")
    axes = plt.gca() if ax is None else ax
    known = styles or label_styles(frame)
    labels = [label for label in known if label in set(frame["label"])]
    _draw_references(axes, frame, training_length)
    shared = {
        "x": "length",
        "y": metric,
        "hue": "label",
        "palette": {label: known[label].color for label in labels},
        "ax": axes,
        "legend": False,
    }
    sns.lineplot(
        frame, units="run_id", estimator=None, linewidth=0.5, alpha=0.45, zorder=2, **shared
    )
    for rank, label in enumerate(labels):
        median = frame[frame["label"] == label].groupby("length")[metric].median()
        axes.plot(
            median.index,
            median,
            color=known[label].color,
            linestyle=known[label].line_style,
            linewidth=1.6,
            marker=known[label].marker,
            markersize=4,
            markerfacecolor=known[label].marker_fill,
            markeredgewidth=0.9,
            markevery=_marker_places(median.index.to_numpy(), rank / len(labels)),
            zorder=3 + 0.01 * rank,
        )
    _length_axis(axes, frame["length"])
    axes.set(xlabel="word length L (tokens)", ylabel=_METRIC_NAMES[metric], ylim=(0, 1.03))
    axes.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    if legend:
        handles = curve_handles({label: known[label] for label in labels})
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    return axes


def curve_handles(styles: Mapping[str, LabelStyle]) -> list[Line2D]:
    """Legend entries of labels, in their colours and dashes.

    Parameters
    ----------
    styles : mapping of str to LabelStyle
        From `label_styles`.

    Returns
    -------
    list of Line2D
        One for every label.
    """
    return [
        Line2D(
            [],
            [],
            color=style.color,
            linestyle=style.line_style,
            linewidth=1.6,
            marker=style.marker,
            markersize=4,
            markerfacecolor=style.marker_fill,
            markeredgewidth=0.9,
            label=with_minus_sign(label),
        )
        for label, style in styles.items()
    ]


def reference_handles() -> list[Line2D]:
    """Legend entries of what every panel of curves shares: seeds, majority, training length.

    Returns
    -------
    list of Line2D
        Three grey entries.
    """
    grey = _REFERENCE_GREY
    upright: dict[str, Any] = {"marker": "|", "linestyle": "none", "markersize": 8}
    return [
        Line2D([], [], color=grey, linewidth=0.5, label="single seed (thick: median)"),
        Line2D([], [], color=grey, linewidth=0.9, linestyle=(0, (5, 3)), label="majority rate"),
        Line2D([], [], color=grey, linewidth=0.8, label="training length", **upright),
    ]


def _draw_references(axes: Axes, frame: pd.DataFrame, training_length: int | None) -> None:
    if "majority_rate" in frame:
        rate = frame.groupby("length")["majority_rate"].mean()
        axes.plot(rate.index, rate, color=_REFERENCE_GREY, linestyle=(0, (5, 3)), linewidth=0.9)
    known = frame["training_length"].unique() if "training_length" in frame else []
    position = known[0] if training_length is None and len(known) == 1 else training_length
    if position is not None:
        axes.axvline(float(position), color=_REFERENCE_GREY, linewidth=0.8, zorder=1)


def _marker_places(lengths: NDArray[Any], shift: float) -> list[int]:
    """Few points, evenly spaced in the logarithm, moved by a share of their distance.

    Different shifts keep the markers of curves that lie on one another apart.
    """
    position = np.log(lengths)
    share = (np.arange(_MARKERS_ON_A_CURVE) + shift) / _MARKERS_ON_A_CURVE
    wanted = position[0] + share * (position[-1] - position[0])
    return sorted({int(np.abs(position - target).argmin()) for target in wanted})


def _length_axis(axes: Axes, lengths: pd.Series) -> None:
    axes.set_xscale("log", base=2)
    low, high = math.log2(lengths.min()), math.log2(lengths.max())
    powers = np.arange(math.ceil(low), math.floor(high) + 1)
    powers = powers[:: max(1, math.ceil(len(powers) / _MOST_TICKS))]
    axes.xaxis.set_major_locator(FixedLocator((2.0**powers).tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
