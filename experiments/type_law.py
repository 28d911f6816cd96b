"""Real representations outlast quaternionic ones, also when they are learned.

Models with one rotation a letter (MRU, `exponential`: errors are rotations, as the law takes for
granted) are trained on D4 and Q8, D6 and Dic3: pairs with the same irreducible degrees over the
complex numbers, whose faithful representation is of real type in one and of quaternionic type in
the other. Runs of several lengths of training have errors of several sizes. Expected before the
runs: the length at which token accuracy falls to .75 goes as the error to the power -1 wherever
errors can add up (`drift_directions` of the representation that was learned is above zero), so for
Q8 and Dic3 always, and to the power -2 for D4 and D6 if they learn one copy of the plane.

Four dimensions have room for two copies of the plane of D4, which drift (one direction); three have
room for one and the determinant, which do not. The preset `cpu` therefore trains D4 and D6 in three
dimensions (expected: -2), Q8 and Dic3 in four (-1), and D4 in four as well, the same group with the
other law (-1 where it learns two copies).
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.analysis.type_law import fitted_slopes
from statetrack.training import Grid, Results

PRESETS = ("gpu", "cpu", "smoke")
READINGS = ("representations",)
GROUPS = ("D4", "Q8", "D6", "Dic3")
THRESHOLD = 0.75

RECIPE = [
    "task=word_problem",
    "task.generators=all",
    "model=mru",
    "model.input_method=exponential",
    "model.num_heads=1",
    "model.head_size=4",
    "model.width=32",
    "training.length=32",
    "training.learning_rate=0.004",
    "training.curriculum=doubling(start=4, threshold=0.2)",
    "evaluation.max_length=4096",
    "evaluation.num_words=1024",
    "evaluation.read_transitions=false",
]
SMALL = [
    "training.length=16",
    "training.batch_size=16",
    "training.learning_rate=0.01",
    "training.curriculum=doubling(start=4, threshold=0.3)",
    "training.select_every=25",
    "training.select_words=64",
    "evaluation.max_length=256",
    "evaluation.num_words=128",
]
ROOMS = (("D4", 3), ("Q8", 4), ("D6", 3), ("Dic3", 4), ("D4", 4))
"""Groups and dimensions of the state in the preset ``cpu``."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``gpu`` is sixteen seeds of four lengths of training, of four groups; ``cpu`` is four seeds of
    two lengths of training of `ROOMS`, on words of 16 letters; ``smoke`` is two small runs.
    """
    name = f"type_law-{preset}"
    if preset == "smoke":
        tiny = ["training.steps=20", "evaluation.max_length=64", "evaluation.num_words=64"]
        return Grid.product(name, [*RECIPE, "task.group=D4", *tiny], {"seed": range(2)})
    if preset == "cpu":
        axes = {"training.steps": (350, 700), "seed": range(4)}
        rooms = [
            Grid.product(
                name, [*RECIPE, *SMALL, f"task.group={group}", f"model.head_size={size}"], axes
            )
            for group, size in ROOMS
        ]
        return sum(rooms[1:], start=rooms[0])
    axes = {
        "task.group": GROUPS,
        "training.steps": (600, 1200, 2400, 4800),
        "seed": range(16),
    }
    return Grid.product(name, RECIPE, axes)


def learned(results: Results) -> pd.DataFrame:
    """One row a run that holds its group at the training length.

    Returns
    -------
    DataFrame
        run_id, group, seed, steps, formula, drift_directions, error, horizon, censored.
    """
    lengths = results.table("thresholds")
    reached = lengths[(lengths.metric == "token_accuracy") & (lengths.threshold == THRESHOLD)]
    heads = results.table("representations")
    frame = results.finished.merge(reached, on="run_id").merge(heads, on="run_id")
    frame = frame[(frame.length >= frame.training_length) & (frame.verdict == "faithful")]
    if frame.empty:
        raise InputError("no run has learned a faithful representation of its group")
    return pd.DataFrame(
        {
            "run_id": frame.run_id,
            "group": frame.group,
            "draw": frame.seed,
            "steps": frame.training_steps,
            "formula": frame.representation,
            "drift_directions": frame.drift_directions.astype(int),
            "error": frame.distance,
            "horizon": frame.length,
            "censored": frame.length == frame.longest,
        }
    ).reset_index(drop=True)


def figure(results: Results) -> Figure:
    """Horizon over error, both logarithmic, with the fitted slope of every kind of commutant."""
    frame = learned(results)
    slopes = fitted_slopes(frame[~frame.censored])
    figure = Figure(figsize=(6.8, 3.4), layout="constrained")
    axes = figure.subplots()
    colors = dict(zip(GROUPS, sns.color_palette("colorblind", len(GROUPS)), strict=True))
    for (group, drift), own in frame.groupby(["group", "drift_directions"], sort=False):
        row = slopes[(slopes.group == group) & (slopes.drift_directions == drift)]
        label = f"{group}, {drift} drift directions, {len(own)} runs"
        if len(row):
            fit = row.iloc[0]
            label += f": {fit.slope:.2f} ({fit.low:.2f} to {fit.high:.2f})"
            ends = np.array([own.error.min(), own.error.max()])
            line = np.exp(fit.intercept) * ends**fit.slope
            axes.plot(ends, line, color=colors[group], linestyle="-" if drift else "--")
        for censored, marker in ((False, "o"), (True, "^")):
            part = own[own.censored == censored]
            axes.plot(
                part.error,
                part.horizon,
                marker,
                color=colors[group],
                fillstyle="none" if drift == 0 else "full",
                alpha=0.6,
                markersize=4,
                label=label if not censored else None,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("error of a letter's matrix")
    axes.set_ylabel(f"length with token\naccuracy >= {THRESHOLD}")
    figure.legend(loc="outside right upper", fontsize=6.5, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
