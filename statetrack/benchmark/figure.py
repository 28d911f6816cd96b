"""The figure of a benchmark: time over size with the floor, one panel a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from automata.errors import InputError
from statetrack.analysis.styles import paper_style
from statetrack.benchmark.measure import PASSES
from statetrack.benchmark.results import BenchmarkResults

PANEL_INCHES = 1.75
MARKERS = "osD^vPX<>*p"


@dataclass(frozen=True)
class Panel:
    """Rows that share everything but one size.

    Attributes
    ----------
    title : str
    letter : str
        The size on the horizontal axis.
    rows : DataFrame
    """

    title: str
    letter: str
    rows: pd.DataFrame


AXIS = {"matrix": ("N", "matrix size N")}
TIME_AXIS = ("T", "tokens T")
NAMES = {
    "diagonal": "Diagonal",
    "outer_product": "Outer product",
    "matrix": "Matrix",
    "householder": "Householder",
}
TYPES = {"float32": "fp32", "bfloat16": "bf16", "complex64": "complex64", "float64": "fp64"}


def draw_figure(results: BenchmarkResults, most: int = 8) -> Figure:
    """Draw time over size: the forward pass above, forward and backward below, floors in black.

    Parameters
    ----------
    results : BenchmarkResults
    most : int
        Most panels side by side; those with most sizes come first.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Nothing was timed.
    """
    panels = panels_of(results)
    if not panels:
        raise InputError("the benchmark has no timed scan to draw")
    kept = sorted(panels, key=lambda panel: -panel.rows[panel.letter].nunique())[:most]
    panels = [panel for panel in panels if any(panel is one for one in kept)]
    names = list(dict.fromkeys(name for panel in panels for name in panel.rows["contestant"]))
    styles = _styles(names)
    columns = len(panels)
    width = max(3.6, 0.55 + PANEL_INCHES * columns)
    legend_columns = max(1, int(width / 1.75))
    legend_height = 0.15 * -(-(len(names) + 1) // legend_columns) + 0.15
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(width, 4.0 + legend_height), layout="constrained")
        grid = figure.subplots(2, columns, squeeze=False, sharex="col")
        for column, panel in enumerate(panels):
            for line, which in enumerate(PASSES):
                axes = grid[line, column]
                _draw_panel(axes, panel, which, styles)
                if line == 0:
                    axes.set_title(panel.title, fontsize=7.5)
                else:
                    axes.set_xlabel(AXIS.get(panel.rows["scan"].iloc[0], TIME_AXIS)[1])
                if column == 0:
                    axes.set_ylabel(f"{which.replace('+', ' + ')}, ms")
        handles: list[Any] = [
            Line2D([], [], label=name, markersize=3.5, **styles[name]) for name in names
        ]
        handles.append(Line2D([], [], color="black", linewidth=1.2, label="floor"))
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns)
        if not results.is_on_gpu:
            figure.suptitle("on a processor: no claim about speed", fontsize=8)
    return figure


def panels_of(results: BenchmarkResults) -> list[Panel]:
    """Group the timed rows by all but the size on the horizontal axis.

    Parameters
    ----------
    results : BenchmarkResults
    """
    records = []
    for row in results.rows:
        if row["status"] != "ok" or row["scan"] == "words":
            continue
        letter = AXIS.get(row["scan"], TIME_AXIS)[0]
        others = {key: value for key, value in row["sizes"].items() if key != letter}
        sizes = " ".join(f"{key}{value}" for key, value in others.items())
        kind = " ".join(filter(None, [TYPES[row["dtype"]], _unless_ieee(row["precision"])]))
        decay = {"none": ", no decay", "head": ", decay per head"}.get(row["variant"], "")
        decay = ", decay per channel" if row["variant"] == "channel" else decay
        title = f"{NAMES.get(row['scan'], row['scan'])}, {kind}{decay}\n{sizes}"
        records.append({**row, letter: row["sizes"][letter], "title": title, "letter": letter})
    frame = pd.DataFrame(records)
    if frame.empty:
        return []
    return [
        Panel(str(title), rows["letter"].iloc[0], rows)
        for title, rows in frame.groupby("title", sort=False)
    ]


def _unless_ieee(precision: str) -> str:
    return "" if precision == "ieee" else precision


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every contestant; ours are solid and drawn thicker."""
    palette = sns.color_palette("colorblind", max(10, len(names)))
    return {
        name: {
            "color": palette[number % len(palette)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "-" if name.startswith("statetrack") else (0, (3, 1.2)),
            "linewidth": 1.6 if name == "statetrack triton" else 0.9,
        }
        for number, name in enumerate(names)
    }


def _draw_panel(axes: Any, panel: Panel, which: str, styles: dict[str, dict[str, Any]]) -> None:
    rows = panel.rows[panel.rows["pass"] == which].sort_values(panel.letter)
    for name, own in rows.groupby("contestant", sort=False):
        axes.plot(own[panel.letter], own["median"], markersize=3.5, **styles[str(name)])
        axes.fill_between(
            own[panel.letter],
            own["low"],
            own["high"],
            alpha=0.2,
            linewidth=0,
            color=styles[str(name)]["color"],
        )
    floor = rows.drop_duplicates(panel.letter)
    axes.plot(floor[panel.letter], floor["floor"], color="black", linewidth=1.2, zorder=1)
    axes.set(xscale="log", yscale="log")
    ticks = sorted(panel.rows[panel.letter].unique())
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    if len(ticks) == 1:
        axes.set_xlim(ticks[0] / 2, ticks[0] * 2)
