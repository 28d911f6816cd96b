"""Learned algebra, drawn on one Axes each: states, irreducible parts, products, quotients."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from automata.drawing import COLORS, STYLES
from automata.errors import InputError
from statetrack.analysis.styles import token_styles

MOST_NAMES = 12
"""Beyond this many elements axes and nodes carry no names."""

_TRIVIAL = "0.85"
_SHORTEN = 0.07


def learned_cayley_graph(
    frame: pd.DataFrame, ax: Axes | None = None, *, legend: bool = True
) -> Axes:
    """Draw hidden states, the means of classes, and where tokens lead from them.

    Parameters
    ----------
    frame : DataFrame
        From `state_map`.
    ax : Axes, optional
        Where to draw; the current axes by default.
    legend : bool
        Whether to name the tokens of the edges, below.

    Returns
    -------
    Axes
        With equal scales and no ticks. Points are words, in one colour a class; arrows are steps.
        An exact model has arrows that end in the middle of a node.

    Raises
    ------
    InputError
        A table without means.
    """
    axes = _axes(frame, ax, "kind", "x", "y", "token_name", "x_to", "y_to")
    states, means = frame[frame["kind"] == "state"], frame[frame["kind"] == "mean"]
    edges = frame[frame["kind"] == "edge"]
    if means.empty:
        raise InputError("the table holds no means of classes: take that of state_map")
    styles = token_styles(means["class_name"].tolist())
    for name, style in styles.items():
        own = states[states["class_name"] == name]
        axes.plot(
            own["x"],
            own["y"],
            linestyle="none",
            marker=".",
            markersize=2.5,
            markeredgewidth=0,
            alpha=0.6,
            color=style.color,
            zorder=1,
        )
    tokens = list(dict.fromkeys(edges["token_name"]))
    for rank, token in enumerate(tokens):
        for edge in edges[edges["token_name"] == token].itertuples():
            start, end = np.array([edge.x, edge.y]), np.array([edge.x_to, edge.y_to])
            length = float(np.linalg.norm(end - start))
            if length < 2 * _SHORTEN:
                continue
            axes.annotate(
                "",
                xy=end - _SHORTEN * (end - start) / length,
                xytext=start + _SHORTEN * (end - start) / length,
                arrowprops={
                    "arrowstyle": "-|>,head_length=0.35,head_width=0.14",
                    "color": COLORS[rank % len(COLORS)],
                    "linestyle": STYLES[rank % len(STYLES)],
                    "linewidth": 0.8,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "connectionstyle": f"arc3,rad={0.08 + 0.06 * rank:.2f}",
                },
                zorder=2,
            )
    axes.plot(
        means["x"],
        means["y"],
        linestyle="none",
        marker="o",
        markersize=5,
        markerfacecolor="white",
        markeredgecolor="0.1",
        markeredgewidth=0.9,
        zorder=3,
    )
    if len(means) <= MOST_NAMES:
        _name_nodes(axes, means)
    axes.set(xlabel="", ylabel="", xticks=[], yticks=[], aspect="equal")
    axes.margins(0.18)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if legend and tokens:
        handles = [
            Line2D(
                [],
                [],
                color=COLORS[rank % len(COLORS)],
                linestyle=STYLES[rank % len(STYLES)],  # type: ignore[arg-type]
                label=token,
            )
            for rank, token in enumerate(tokens)
        ]
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.02),
            ncols=min(4, len(tokens)),
            title="token",
        )
    return axes


def irrep_energy_bars(
    frame: pd.DataFrame, ax: Axes | None = None, *, value: str = "energy"
) -> Axes:
    """Draw what every head is made of, as stacked bars.

    Parameters
    ----------
    frame : DataFrame
        From `RepresentationMatches.irreps_frame`; heads with a column label are named by it.
    ax : Axes, optional
        Where to draw; the current axes by default.
    value : str
        "energy" (shares of the state) or "multiplicity".

    Returns
    -------
    Axes
        One bar a head; the trivial representation is grey, others carry their names in the legend.
        Complex and quaternionic ones are hatched. Heads whose matrices are no representation are
        faint: their shares mean little, and need not add up to 1.

    Raises
    ------
    InputError
        An empty table, or another value.
    """
    if value not in ("energy", "multiplicity"):
        raise InputError(f"value must be 'energy' or 'multiplicity', not {value!r}")
    axes = _axes(frame, ax, "layer", "head", "irrep", "type", "verdict", value)
    labels = frame["label"] if "label" in frame else _head_names(frame)
    bars = list(dict.fromkeys(labels))
    kinds = frame.drop_duplicates("irrep").set_index("irrep")["type"]
    used = [name for name in kinds.index if frame.loc[frame["irrep"] == name, value].max() > 5e-4]
    others = [name for name in used if name != "trivial"]
    palette = dict(zip(others, sns.color_palette("colorblind", len(others)), strict=True))
    hatches = {"R": "", "C": "///", "H": "xxx"}
    handles: list[Patch] = []
    bottom = pd.Series(0.0, index=bars)
    unsure = frame.loc[frame["verdict"] == "not a representation"]
    faint = set(labels[unsure.index])
    for name in used:
        heights = frame[frame["irrep"] == name].groupby(labels)[value].sum().reindex(bars).fillna(0)
        drawn = axes.bar(
            bars,
            heights.to_numpy(),
            bottom=bottom.to_numpy(),
            color=palette.get(name, _TRIVIAL),
            hatch=hatches[str(kinds[name])],
            edgecolor="white",
            linewidth=0.6,
            width=0.7,
        )
        for bar, label in zip(drawn, bars, strict=True):
            bar.set_alpha(0.35 if label in faint else 1.0)
        shown = Patch(
            facecolor=palette.get(name, _TRIVIAL),
            hatch=hatches[str(kinds[name])],
            edgecolor="white",
            label=name,
        )
        handles.append(shown)
        bottom = bottom + heights
    axes.set(xlabel="head", ylabel="share of the state" if value == "energy" else value)
    if value == "energy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(False, axis="x")
    axes.legend(handles=handles[::-1], loc="upper left", bbox_to_anchor=(1.02, 1), title="irrep")
    return axes


def homomorphism_heat_map(
    frame: pd.DataFrame, ax: Axes | None = None, *, largest: float | None = None
) -> Axes:
    """Draw how far the product of every two matrices is from that of their product.

    Parameters
    ----------
    frame : DataFrame
        Columns first, second, error (`product_errors`).
    ax : Axes, optional
        Where to draw; the current axes by default.
    largest : float, optional
        Error at the end of the colours; the largest one by default.

    Returns
    -------
    Axes
        Rows are read first, columns second. Colours start at 0.

    Raises
    ------
    InputError
        An empty table.
    """
    axes = _axes(frame, ax, "first", "second", "error")
    names = list(dict.fromkeys(frame["first"]))
    table = frame.pivot(index="first", columns="second", values="error").loc[names, names]
    mesh = axes.pcolormesh(
        table.to_numpy(), cmap="cividis", vmin=0.0, vmax=largest, rasterized=True
    )
    axes.set(aspect="equal", xlabel="second", ylabel="first")
    axes.invert_yaxis()
    axes.grid(False)
    if len(names) <= MOST_NAMES:
        ticks = np.arange(len(names)) + 0.5
        axes.set_xticks(ticks, names, rotation=90)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
    else:
        axes.set(xticks=[], yticks=[])
    bar = axes.figure.colorbar(mesh, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("|M_p M_q − M_pq| / √D")
    bar.outline.set_visible(False)
    return axes


def quotient_curves(frame: pd.DataFrame, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw accuracy modulo every normal subgroup over length.

    Parameters
    ----------
    frame : DataFrame
        From `quotient_ladder`.
    ax : Axes, optional
        Where to draw; the current axes by default.
    legend : bool

    Returns
    -------
    Axes
        Logarithmic lengths; a dotted line at the chance of each quotient, in its colour.

    Raises
    ------
    InputError
        An empty table.
    """
    axes = _axes(frame, ax, "length", "quotient", "subgroup_order", "accuracy", "chance")
    known = frame.drop_duplicates(["quotient", "subgroup_order"])
    palette = sns.color_palette("colorblind", len(known))
    for rank, (color, one) in enumerate(zip(palette, known.itertuples(), strict=True)):
        own = frame[
            (frame["quotient"] == one.quotient) & (frame["subgroup_order"] == one.subgroup_order)
        ].sort_values("length")
        axes.plot(
            own["length"],
            own["accuracy"],
            color=color,
            linestyle=STYLES[rank % len(STYLES)],
            marker="osD^vPX"[rank % 7],
            markersize=3.5,
            linewidth=1.2,
            label=one.quotient,
        )
        axes.axhline(one.chance, color=color, linewidth=0.7, linestyle=(0, (1, 2)))
    axes.set(xscale="log", xlabel="length", ylabel="accuracy modulo N", ylim=(-0.02, 1.04))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="quotient")
    return axes


def _axes(frame: pd.DataFrame, ax: Axes | None, *columns: str) -> Axes:
    missing = [column for column in columns if column not in frame]
    if frame.empty or missing:
        raise InputError(
            f"the table lacks {', '.join(missing)}" if missing else "there is nothing to draw"
        )
    return plt.gca() if ax is None else ax


def _head_names(frame: pd.DataFrame) -> "pd.Series[Any]":
    if frame["layer"].nunique() == 1:
        return frame["head"].astype(str)
    return frame["layer"].astype(str) + "." + frame["head"].astype(str)


def _name_nodes(axes: Axes, means: pd.DataFrame) -> None:
    """Write names outward from the centre, away from the edges between nodes."""
    for mean in means.itertuples():
        place = np.array([mean.x, mean.y])
        length = float(np.linalg.norm(place))
        away = place / length if length > 1e-9 else np.array([0.0, 1.0])
        axes.annotate(
            str(mean.class_name),
            xy=(float(place[0]), float(place[1])),
            xytext=(9 * away[0], 9 * away[1]),
            textcoords="offset points",
            ha="left" if away[0] > 0.3 else "right" if away[0] < -0.3 else "center",
            va="bottom" if away[1] > 0.3 else "top" if away[1] < -0.3 else "center",
            fontsize=7,
            zorder=4,
        )
