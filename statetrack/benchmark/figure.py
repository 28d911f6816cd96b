"""The figure of a benchmark: time over size with the floor, one panel a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from automata.errors import InputError
from statetrack.analysis.styles import paper_style
from statetrack.benchmark.measure import PASSES
from statetrack.benchmark.peers import OURS
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


AXIS = {"matrix": ("N", "matrix size N"), "nonlinear": ("D", "units D")}
TIME_AXIS = ("T", "tokens T")
NAMES = {
    "diagonal": "Diagonal",
    "outer_product": "Outer product",
    "matrix": "Matrix",
    "householder": "Householder",
    "low_rank": "Low rank",
    "nonlinear": "Nonlinear",
}
LABEL_RATIO = 1.99
FLOOR: dict[str, Any] = {"color": "black", "linewidth": 1.2, "marker": "_", "markersize": 6}
DECAYS = {
    "none": "no decay",
    "head": "decay per head",
    "channel": "decay per channel",
}
TYPES = {"float32": "fp32", "bfloat16": "bf16", "complex64": "complex64", "float64": "fp64"}


def draw_figure(results: BenchmarkResults, most: int = 6) -> Figure:
    """Draw time over size: the forward pass above, forward and backward below, floors in black.

    Parameters
    ----------
    results : BenchmarkResults
    most : int
        Most panels side by side: those with most sizes and contestants, scans taking turns.

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
    panels = _chosen(panels, most)
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
        handles.append(
            Line2D(
                [],
                [],
                color="black",
                linewidth=1.2,
                label="floor, and our best time as a multiple of it",
            )
        )
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
        parts = [
            f"{NAMES.get(row['scan'], row['scan'])}, {TYPES[row['dtype']]}"
            + ("" if row["precision"] == "ieee" else f" {row['precision']}"),
            DECAYS.get(row["variant"], row["variant"]),
            " ".join(f"{key}{value}" for key, value in others.items()),
        ]
        title = "\n".join(filter(None, parts))
        records.append({**row, letter: row["sizes"][letter], "title": title, "letter": letter})
    frame = pd.DataFrame(records)
    if frame.empty:
        return []
    return [
        Panel(str(title), rows["letter"].iloc[0], rows)
        for title, rows in frame.groupby("title", sort=False)
    ]


def _chosen(panels: list[Panel], most: int) -> list[Panel]:
    """Pick panels, scans taking turns, and keep their order."""
    turns = []
    by_scan: dict[str, list[tuple[int, int, int]]] = {}
    for place, panel in enumerate(panels):
        size, names = panel.rows[panel.letter].nunique(), panel.rows["contestant"].nunique()
        of_scan = by_scan.setdefault(str(panel.rows["scan"].iloc[0]), [])
        of_scan.append((-size, -names, place))
    for of_scan in by_scan.values():
        turns += [(turn, place) for turn, (*_, place) in enumerate(sorted(of_scan))]
    return [panels[place] for place in sorted(place for _, place in sorted(turns)[:most])]


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every contestant: ours solid, in colours that no peer has."""
    palette = sns.color_palette("colorblind", 10)
    order = [*OURS, *(name for name in names if name not in OURS)]
    styles = {}
    for rank, name in enumerate(order):
        ours = rank < len(OURS)
        color = rank if ours else len(OURS) + (rank - len(OURS)) % (len(palette) - len(OURS))
        styles[name] = {
            "color": palette[color],
            "marker": MARKERS[rank % len(MARKERS)],
            "linestyle": "-" if ours else (0, (3, 1.2)),
            "linewidth": 1.6 if rank == 0 else 0.9,
            "zorder": 3 if ours else 2,
        }
    return styles


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
    axes.plot(floor[panel.letter], floor["floor"], **FLOOR, zorder=1)
    best = rows[rows["contestant"].isin(OURS)].sort_values("median")
    for row in best.drop_duplicates(panel.letter).to_dict("records"):
        axes.annotate(
            _multiple(row["times_floor"]),
            (row[panel.letter], row["floor"]),
            (2, -3),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=5.5,
        )
    ticks = sorted(int(tick) for tick in panel.rows[panel.letter].unique())
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, _tick_labels(ticks))
    axes.set_xlim(ticks[0] / 1.6, ticks[-1] * 1.6)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.6, high)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _multiple(times: float) -> str:
    """Three digits, and never an exponent."""
    return f"{times:.3g}×" if times < 1000 else f"{times:.0f}×"


def _tick_labels(ticks: Sequence[int]) -> list[str]:
    """Numbers, left out where they would touch the one before."""
    labels, last = [], 0
    for tick in ticks:
        room = tick >= LABEL_RATIO * last
        labels.append(f"{tick}" if room else "")
        last = tick if room else last
    return labels
