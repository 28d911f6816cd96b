"""How far a model carries depends on how steeply its range reaches the ends.

An eigenvalue that stops at -1 + e loses the state after about 1/e tokens. Raw numbers become
eigenvalues by lo + (hi - lo) sigmoid(s z); here the steepness s varies and nothing else: DeltaNet
and a diagonal model on parity, DeltaProduct with two factors on S3, range [-1,1], trained at
length 40, read to length 2,048.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from seaborn import color_palette

from statetrack.analysis import horizons
from statetrack.training import Grid, Results, fixed, product

PRESETS = {
    "cpu": fixed("training.steps=500", "evaluation.max_length=512") * product({"seed": range(3)}),
    "full": fixed("training.steps=1000", "evaluation.max_length=2048")
    * product({"seed": range(5)}),
}
STEEPNESSES = (1, 2, 4, 8)
THRESHOLD = 0.99


def grid(preset: str) -> Grid:
    """Runs of a preset: ``full`` reads to length 2,048 (60 runs), ``cpu`` to 512 (36 runs)."""
    parity = fixed("task=parity") * product({"model": ["diagonal", "householder"]})
    s3 = fixed("task=s3", "model=householder", "model.num_factors=2")
    steepness = product({"model.range_steepness": STEEPNESSES})
    return Grid.of(
        f"range_steepness-{preset}",
        (parity + s3) * fixed("model.eigenvalue_range=[-1,1]") * steepness * PRESETS[preset],
    )


def figure(results: Results) -> Figure:
    """Horizon of every seed against steepness, one colour a model."""
    curves = results.table("curves")
    reached = results.finished.merge(horizons(curves, THRESHOLD), on="run_id")
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    groups = list(reached.groupby(["task", "label"], sort=False))
    palette = color_palette("colorblind", len(groups))
    markers = "os^Dv"
    for number, ((task, label), group) in enumerate(groups):
        shift = 2 ** (0.16 * (number - (len(groups) - 1) / 2))
        steepness = group["model.range_steepness"]
        axes.plot(
            steepness * shift,
            group["horizon"],
            markers[number],
            color=palette[number],
            alpha=0.75,
            label=f"{label.split(' [')[0]} on {task}",
        )
        median = group.groupby("model.range_steepness")["horizon"].median()
        axes.plot(median.index * shift, median, "-", color=palette[number], linewidth=1.5)
    _scales(axes, curves, results.finished)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _scales(axes: Axes, curves: pd.DataFrame, runs: pd.DataFrame) -> None:
    longest = int(curves.length.max())
    trained = int(runs.training_length.max())
    axes.axhline(trained, color="0.3", linewidth=1)
    axes.text(0.8, trained, "training length", va="bottom", fontsize=8, color="0.3")
    axes.axhline(longest, color="0.3", linewidth=1, linestyle=":")
    axes.text(0.8, longest, "longest measured", va="bottom", fontsize=8, color="0.3")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(STEEPNESSES)
    axes.set_xlim(0.75, 11)
    axes.set_xlabel("steepness s of the range")
    axes.set_ylabel(f"horizon: longest length (tokens)\nwith token accuracy ≥ {THRESHOLD}")
    axes.spines[["top", "right"]].set_visible(False)
