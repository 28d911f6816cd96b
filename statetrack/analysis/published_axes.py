"""Published numbers beside measured ones, drawn."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from automata.errors import InputError
from statetrack.analysis.curve_axes import curve_handles, length_curves, reference_handles
from statetrack.analysis.published import THEORY, PublishedValue, seed_values
from statetrack.analysis.styles import LabelStyle, label_styles, paper_style, with_minus_sign

_MOST_COLUMNS = 4
_PANEL_INCHES = (2.0, 2.0)
_LEGEND_COLUMN_INCHES = 1.9
_GREY = "0.35"


def published_curves(
    panels: Mapping[str, pd.DataFrame],
    published: Sequence[PublishedValue],
    *,
    metric: str = "whole_prefix_accuracy",
) -> Figure:
    """Draw accuracy over length in panels, with the published points and their tolerances.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        By title the measured frame of a panel, as in `compare_published`, with majority_rate and
        training_length; optionally eigenvalue_range. Empty ones are left out.
    published : sequence of PublishedValue
        Drawn where the panel has the task and the model; means over several lengths are not.
    metric : str
        "token_accuracy" or "whole_prefix_accuracy".

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Every panel is empty.
    """
    # The most frequent answer says nothing about whole words.
    left_out = ["majority_rate"] if metric == "whole_prefix_accuracy" else []
    unused = [name.replace("_", " ") for name in left_out]
    drawn = {
        title: frame.assign(label=frame["model"]).drop(columns=left_out)
        for title, frame in panels.items()
        if not frame.empty
    }
    if not drawn:
        raise InputError("no run is finished")
    styles = label_styles(pd.concat(drawn.values()))
    columns = min(_MOST_COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    width = max(4.0, columns * _PANEL_INCHES[0])
    references = [line for line in reference_handles() if line.get_label() not in unused]
    handles = [*curve_handles(styles), *references, _published_handle(published)]
    legend_columns = max(1, int(width / _LEGEND_COLUMN_INCHES))
    legend_height = 0.16 * math.ceil(len(handles) / legend_columns) + 0.15
    with mpl.rc_context(paper_style()):
        figure = Figure(
            figsize=(width, rows * _PANEL_INCHES[1] + legend_height), layout="constrained"
        )
        places = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (title, frame) in zip(places.flat, drawn.items(), strict=False):
            length_curves(frame, axes, metric=metric, styles=styles, legend=False)
            axes.set_title(with_minus_sign(title))
            _marks(axes, frame, published, metric, styles)
        for place, axes in enumerate(places.flat):
            if place >= len(drawn):
                axes.remove()
            elif place % columns:
                axes.set_ylabel("")
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns)
    return figure


def published_rows(
    panels: Mapping[str, pd.DataFrame], published: Sequence[PublishedValue], xlabel: str
) -> Figure:
    """Draw every seed beside the published number, a row a model, a panel a task.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        By title the measured frame of a panel, as in `compare_published`. Its column protocol, if
        there is one, tells apart the colours of the seeds. Empty ones are left out.
    published : sequence of PublishedValue
        Drawn where the panel has the task; one a model and task.
    xlabel : str
        What the numbers are.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Every panel is empty.
    """
    drawn = {title: frame for title, frame in panels.items() if not frame.empty}
    if not drawn:
        raise InputError("no run is finished")
    tasks = {task for frame in drawn.values() for task in frame["task"]}
    models = list(dict.fromkeys(value.model for value in published if value.task in tasks))
    frames = [
        frame if "protocol" in frame else frame.assign(protocol="seed") for frame in drawn.values()
    ]
    protocols = list(dict.fromkeys(pd.concat(frames)["protocol"]))
    colors = dict(zip(protocols, sns.color_palette("colorblind", len(protocols)), strict=True))
    with mpl.rc_context(paper_style()):
        figure = Figure(
            figsize=(1.4 + 2.1 * len(drawn), 1.2 + 0.32 * len(models)), layout="constrained"
        )
        places = figure.subplots(1, len(drawn), squeeze=False, sharey=True, sharex=True)[0]
        for axes, title, frame in zip(places, drawn, frames, strict=True):
            own = [value for value in published if value.task in set(frame["task"])]
            for value in own:
                _row(axes, models.index(value.model), frame, value, colors)
            axes.set_title(with_minus_sign(title))
            axes.set_xlabel(xlabel)
            axes.grid(axis="y", color="0.92", zorder=0)
        places[0].set_yticks(range(len(models)), [with_minus_sign(name) for name in models])
        places[0].set_ylim(len(models) - 0.5, -0.5)
        seeds = [
            Line2D([], [], color=color, marker="o", markersize=4, linestyle="none", label=name)
            for name, color in colors.items()
        ]
        stroke = Line2D([], [], color=_GREY, marker="|", markersize=9, linestyle="none")
        stroke.set_label("median")
        figure.legend(
            handles=[*seeds, stroke, _published_handle(published)],
            loc="outside lower center",
            ncols=min(2 * len(drawn), len(seeds) + 2),
        )
    return figure


def _row(
    axes: Axes,
    row: int,
    frame: pd.DataFrame,
    value: PublishedValue,
    colors: Mapping[str, tuple[float, float, float]],
) -> None:
    _mark(
        axes,
        (value.value, row),
        ((value.value - value.tolerance, value.value + value.tolerance), (row, row)),
        "0.1",
    )
    for place, (protocol, color) in enumerate(colors.items()):
        seeds = seed_values(frame[frame["protocol"] == protocol], value).sort_values()
        if seeds.empty:
            continue
        height = row + 0.44 * ((place + 1) / (len(colors) + 1) - 0.5) * 2
        spread = np.linspace(-0.06, 0.06, len(seeds)) if len(seeds) > 1 else np.zeros(1)
        axes.plot(seeds, height + spread, "o", color=color, markersize=3, alpha=0.8, zorder=7)
        axes.plot([seeds.median()], [height], "|", color=color, markersize=9, zorder=7)


def _marks(
    axes: Axes,
    frame: pd.DataFrame,
    published: Sequence[PublishedValue],
    metric: str,
    styles: Mapping[str, LabelStyle],
) -> None:
    known = set(zip(frame["task"], frame["model"], strict=True))
    for value in published:
        first, last = value.lengths
        if value.metric == metric and first == last and (value.task, value.model) in known:
            span = (
                max(0.0, value.value - value.tolerance),
                min(1.0, value.value + value.tolerance),
            )
            color = styles[value.model].color
            _mark(axes, (last, value.value), ((last, last), span), color)


def _mark(
    axes: Axes,
    point: tuple[float, float],
    tolerance: tuple[tuple[float, float], tuple[float, float]],
    color: str | tuple[float, float, float],
) -> None:
    axes.plot(*tolerance, color=color, linewidth=3.0, alpha=0.25, solid_capstyle="butt", zorder=4)
    axes.plot(
        *([part] for part in point),
        marker="D",
        markersize=5,
        markerfacecolor="white",
        markeredgecolor=color,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )


def _published_handle(published: Sequence[PublishedValue]) -> Line2D:
    by_theory = any(value.paper == THEORY for value in published)
    return Line2D(
        [],
        [],
        color="0.1",
        alpha=0.9,
        marker="D",
        markersize=5,
        markerfacecolor="white",
        linestyle="none",
        label=f"published{' or by theory' if by_theory else ''} (bar: tolerance)",
    )
