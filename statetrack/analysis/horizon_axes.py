"""Predicted against measured horizons, and margins over length, drawn on one Axes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatterSciNotation

from automata.errors import InputError

_GREY = "0.45"
_MARKERS = "osD^vPXp<>"
_COLORS = [0, 1, 2, 3, 4, 5, 6, 9, 8]
"""Of the palette, without its grey, which is that of the band."""


def horizon_scatter(frame: pd.DataFrame, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw predicted against measured horizons, one mark a model.

    Parameters
    ----------
    frame : DataFrame
        group, predicted, measured, censored (not seen to fail: drawn hollow, its true place is
        further right).
    ax : Axes, optional
        The current axes by default.
    legend : bool
        Whether to name the groups.

    Returns
    -------
    Axes
        Both scales logarithmic, with the diagonal and a factor of two on either side.

    Raises
    ------
    InputError
        No model has both lengths.
    """
    axes = plt.gca() if ax is None else ax
    known = frame[frame["predicted"].notna() & (frame["predicted"] > 0) & (frame["measured"] > 0)]
    if known.empty:
        raise InputError("no model has a predicted and a measured horizon")
    both = known[["predicted", "measured"]].to_numpy(dtype=float)
    ends = np.array([both.min() / 2, both.max() * 2])
    axes.plot(ends, ends, color=_GREY, linewidth=1)
    axes.fill_between(ends, ends / 2, ends * 2, color=_GREY, alpha=0.12, linewidth=0)
    groups = list(dict.fromkeys(known["group"]))
    palette = sns.color_palette("colorblind", 10)
    for place, group in enumerate(groups):
        own = known[known["group"] == group]
        hidden = own["censored"].astype(bool)
        style = {
            "color": palette[_COLORS[place % len(_COLORS)]],
            "marker": _MARKERS[place % len(_MARKERS)],
            "linestyle": "none",
            "markersize": 5.5,
        }
        seen = {**style, "markeredgecolor": "white", "markeredgewidth": 0.4}
        axes.plot(own["measured"][~hidden], own["predicted"][~hidden], **seen)
        axes.plot(own["measured"][hidden], own["predicted"][hidden], fillstyle="none", **style)
        axes.plot([], [], label=group, **seen)
    if known["censored"].any():
        axes.plot([], [], "o", color=_GREY, fillstyle="none", markersize=5.5, label="did not fail")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(ends[0], ends[1])
    axes.set_ylim(ends[0], ends[1])
    axes.set_aspect("equal")
    axes.set_xlabel("measured horizon (tokens)")
    axes.set_ylabel("predicted from weights (tokens)")
    axes.xaxis.set_major_formatter(LogFormatterSciNotation())
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(fontsize=7, frameon=False, loc="lower right")
    return axes


def margin_over_length(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    predicted: float | None = None,
    measured: float | None = None,
) -> Axes:
    """Draw how the margin of the right answer shrinks with length.

    Parameters
    ----------
    frame : DataFrame
        From `margins`: length, lowest, low, median, high.
    ax : Axes, optional
        The current axes by default.
    predicted, measured : float, optional
        Horizons to mark.

    Returns
    -------
    Axes
        Length on a logarithmic scale; the band holds all but the lowest and highest tenth of words.
    """
    axes = plt.gca() if ax is None else ax
    color = sns.color_palette("colorblind")[0]
    axes.fill_between(frame["length"], frame["low"], frame["high"], color=color, alpha=0.25, lw=0)
    axes.plot(frame["length"], frame["median"], color=color, label="median")
    axes.plot(frame["length"], frame["lowest"], color=color, linestyle=":", label="lowest 1 %")
    axes.axhline(0.0, color=_GREY, linewidth=1)
    for length, name, style in ((predicted, "predicted", "--"), (measured, "measured", "-")):
        if length is not None:
            axes.axvline(length, color="0.2", linestyle=style, linewidth=1, label=f"{name} horizon")
    axes.set_xscale("log")
    axes.set_xlabel("length (tokens)")
    axes.set_ylabel("logit of the right class\nminus the best other one")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    return axes
