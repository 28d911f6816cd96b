"""Eigenvalues in the complex plane, drawn on one Axes."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from automata.errors import InputError
from statetrack.analysis.spectra import roots_of_unity
from statetrack.analysis.styles import TokenStyle, token_styles

MOST_TOKENS_IN_A_LEGEND = 12
"""Beyond this many tokens colours run from dark to light in their order, without a legend."""


def eigenvalue_plane(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    orders: Sequence[int] = (),
    styles: Mapping[str, TokenStyle] | None = None,
    limit: float = 1.25,
    legend: bool = True,
) -> Axes:
    """Draw eigenvalues in the complex plane, with the unit circle.

    Parameters
    ----------
    frame : DataFrame
        Columns token_name, real, imag (from `eigenvalues`, or the table of spectra).
    ax : Axes, optional
        Where to draw; the current axes by default.
    orders : sequence of int
        Orders of the group's elements: their roots of unity are drawn as faint hollow marks, where
        the eigenvalues of a representation must lie.
    styles : mapping of str to TokenStyle, optional
        Style of every token; `token_styles` by default.
    limit : float
        The axes run from -limit to limit; how many eigenvalues lie outside is written inside the
        circle.
    legend : bool
        Whether to draw a legend of tokens outside, on the right; left out beyond
        `MOST_TOKENS_IN_A_LEGEND` tokens.

    Returns
    -------
    Axes
        With equal scales.

    Raises
    ------
    InputError
        An empty table.
    """
    if frame.empty:
        raise InputError("there are no eigenvalues to draw")
    axes = plt.gca() if ax is None else ax
    known = styles or token_styles(frame["token_name"].tolist())
    turn = np.linspace(0, 2 * math.pi, 361)
    axes.plot(np.cos(turn), np.sin(turn), color="0.6", linewidth=0.7, zorder=1)
    roots = roots_of_unity(orders)
    axes.plot(
        roots.real,
        roots.imag,
        linestyle="none",
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor="0.65",
        markeredgewidth=0.7,
        zorder=1.5,
    )
    for rank, (name, style) in enumerate(known.items()):
        own = frame[frame["token_name"] == name]
        axes.plot(
            own["real"],
            own["imag"],
            linestyle="none",
            marker=style.marker,
            markersize=style.size,
            markerfacecolor=style.color,
            markeredgecolor="white",
            markeredgewidth=0.3 if len(known) <= MOST_TOKENS_IN_A_LEGEND else 0,
            zorder=2 + 0.01 * rank,
            label=name,
        )
    outside = int((frame[["real", "imag"]].abs() > limit).any(axis=1).sum())
    if outside:
        axes.text(
            0,
            -0.45,
            f"+{outside} outside",
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
            zorder=5,
        )
    axes.set(
        xlabel="Re λ", ylabel="Im λ", xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([-1, 0, 1]))
    if legend and len(known) <= MOST_TOKENS_IN_A_LEGEND:
        axes.legend(
            handles=token_handles(known), loc="upper left", bbox_to_anchor=(1.02, 1), title="token"
        )
    return axes


def token_handles(styles: Mapping[str, TokenStyle]) -> list[Line2D]:
    """Legend entries of tokens, in their colours and markers.

    Parameters
    ----------
    styles : mapping of str to TokenStyle
        From `token_styles`.

    Returns
    -------
    list of Line2D
        One for every token.
    """
    return [
        Line2D([], [], linestyle="none", marker=s.marker, color=s.color, markersize=4.5, label=name)
        for name, s in styles.items()
    ]
