"""What models do beside what theory says of them, task by task, drawn on one Axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

OPEN = "open"
"""A verdict that theory does not give, and an explanation that nobody has."""
COLORS = ("#f2f2f2", "#c6d8e8", "#7fa8c9", "#2f6690")
"""Of scores below 1, below half of the longest multiple, below that, and from there on."""
_MARKERS = {"can": ("o", 2.6), "cannot": ("x", 3.2)}
_MARK: dict[str, Any] = {"linestyle": "", "markeredgewidth": 0.8}
_EDGE: dict[str, Any] = {"fill": False, "edgecolor": "#D55E00"}
_BY_RULE: dict[str, Any] = {"linewidth": 0.8, "linestyle": (0, (1.2, 1.2))}
_OPEN: dict[str, Any] = {"linewidth": 1.3}


def verdict_map(
    axes: Axes,
    cells: pd.DataFrame,
    models: Sequence[str],
    tasks: Mapping[str, str],
    multiple: int,
) -> None:
    """Draw one cell a model and task: color for what was measured, mark for what was predicted.

    Parameters
    ----------
    axes : Axes
    cells : DataFrame
        model, task, verdict ("can", "cannot" or "open"), score (length that is followed over the
        training length), kind (of a disagreement, "" for none), explanation ("open" for none).
    models : sequence of str
        Rows from the top.
    tasks : mapping of str to str
        Columns from the left, with their classes; tasks of a class side by side.
    multiple : int
        Longest length that was measured, over the training length; even.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> row = {"model": "LSTM", "task": "Z2", "verdict": "can", "score": 8.0}
    >>> cells = pd.DataFrame([{**row, "kind": "", "explanation": ""}])
    >>> verdict_map(axes, cells, ["LSTM"], {"Z2": "abelian group"}, 8)
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['LSTM']
    """
    at = cells.set_index(["model", "task"])
    bounds = (1, multiple / 2, multiple)
    level = at["score"].map(lambda score: float(np.digitize(score, bounds))).unstack()
    norm = BoundaryNorm(np.arange(-0.5, len(COLORS)), len(COLORS))
    values = level.loc[list(models), list(tasks)]
    axes.pcolormesh(
        values, cmap=ListedColormap(list(COLORS)), norm=norm, edgecolors="white", linewidth=1.2
    )
    axes.set_ylim(len(models), 0)
    for row, model in enumerate(models):
        for column, task in enumerate(tasks):
            if (model, task) in at.index:
                cell = at.loc[(model, task)]
                _mark(axes, cell, row, column, dark=cell["score"] >= multiple)
    axes.set_xticks(np.arange(len(tasks)) + 0.5, list(tasks))
    axes.set_yticks(np.arange(len(models)) + 0.5, list(models))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    classes = list(tasks.values())
    for name in dict.fromkeys(classes):
        first, count = classes.index(name), classes.count(name)
        if first:
            axes.axvline(first, color="0.2", linewidth=0.8)
        axes.text(first + count / 2, -0.25, name, ha="left", va="bottom", rotation=35, fontsize=6.5)


def verdict_handles(multiple: int) -> list[Patch | Line2D]:
    """What a legend of `verdict_map` shows, for the same `multiple`."""
    names = ["not to the training length", "to the training length"]
    names += [f"to {multiple // 2} times", f"to {multiple} times"]
    marks = {"can": "predicted possible", "cannot": "predicted impossible"}
    return [
        *(Patch(facecolor=color, label=name) for color, name in zip(COLORS, names, strict=True)),
        *(
            Line2D(
                [],
                [],
                marker=_MARKERS[verdict][0],
                markersize=3.2,
                color="0.25",
                label=text,
                **_MARK,
            )
            for verdict, text in marks.items()
        ),
        Patch(**_EDGE, **_BY_RULE, label="disagrees, by a rule"),
        Patch(**_EDGE, **_OPEN, label="disagrees, open"),
    ]


def _mark(axes: Axes, cell: pd.Series, row: int, column: int, *, dark: bool) -> None:
    if cell["verdict"] in _MARKERS:
        marker, size = _MARKERS[cell["verdict"]]
        color = "white" if dark else "0.25"
        axes.plot(column + 0.5, row + 0.5, marker, color=color, markersize=size, **_MARK)
    if cell["kind"]:
        style = _OPEN if cell["explanation"] == OPEN else _BY_RULE
        axes.add_patch(Rectangle((column + 0.09, row + 0.09), 0.82, 0.82, **_EDGE, **style))
