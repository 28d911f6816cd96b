"""Real representations outlast quaternionic ones, also when they are learned.

Models with one rotation a letter (MRU, `exponential`: errors are rotations, as the law takes for
granted) are trained on D4 and Q8, D6 and Dic3: pairs with the same irreducible degrees over the
complex numbers, whose faithful representation is of real type in one and of quaternionic type in
the other. Runs of several lengths of training have errors of several sizes. Expected before the
runs: the length at which token accuracy falls to .75 goes as the error to the power -1 wherever
errors can add up (`drift_directions` of the representation that was learned is above zero), so for
Q8 and Dic3 always, and to the power -2 for D4 and D6 if they learn one copy of the plane.

Four dimensions have room for two copies of the plane of D4, or for one and two signs: the first has
one drift direction, the second none, so that one group may show both laws.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from automata.errors import InputError
from statetrack.analysis.type_law import fitted_slopes, slopes
from statetrack.training import Grid, Results

PRESETS = ("gpu", "cpu", "cpu-12", "smoke")
READINGS = ("representations", "learned_errors")
GROUPS = ("D4", "Q8", "D6", "Dic3")
THRESHOLD = 0.75
LARGEST_ERROR = 0.25
"""Of a letter's matrix in a model that counts: short training ends at .1, far from 1e-2."""
Color = tuple[float, float, float]

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
    "training.learning_rate=0.012",
    "training.select_every=25",
    "training.select_words=64",
    "evaluation.max_length=128",
    "evaluation.num_words=128",
]
PAIRS = {"cpu": ("D4", "Q8"), "cpu-12": ("D6", "Dic3")}
"""Groups of the presets for two cores."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``gpu`` is sixteen seeds of four lengths of training, of four groups; ``cpu`` is four seeds of
    two lengths of training, of D4 and Q8 on words of 16 letters, and ``cpu-12`` the same of D6 and
    Dic3; ``smoke`` is two small runs.
    """
    name = f"type_law-{preset}"
    if preset == "smoke":
        tiny = ["training.steps=20", "evaluation.max_length=64", "evaluation.num_words=64"]
        return Grid.product(name, [*RECIPE, "task.group=D4", *tiny], {"seed": range(2)})
    if preset in PAIRS:
        axes = {"task.group": PAIRS[preset], "training.steps": (200, 300), "seed": range(4)}
        return Grid.product(name, [*RECIPE, *SMALL], axes)
    axes = {
        "task.group": GROUPS,
        "training.steps": (600, 1200, 2400, 4800),
        "seed": range(16),
    }
    return Grid.product(name, RECIPE, axes)


def learned(results: Results) -> pd.DataFrame:
    """One row a run that holds its group at the training length and is near a representation.

    Returns
    -------
    DataFrame
        run_id, group, size (dimensions), draw (its seed), steps, formula, kind (group and drift
        directions, for legends), drift_directions, error, drift (a letter, both of
        `LearnedErrors`), horizon (from the weights, by random words of any length), censored.
    """
    lengths = results.table("thresholds")
    reached = lengths[(lengths.metric == "token_accuracy") & (lengths.threshold == THRESHOLD)]
    heads = results.table("representations")
    errors = results.table("learned_errors")
    scaled = results.table("scaled_errors")
    if heads.empty or errors.empty or scaled.empty:
        raise InputError("no run has learned a representation of its group")
    frame = (
        results.finished[["run_id", "seed", "training_steps", "training_length"]]
        .merge(reached[["run_id", "length"]], on="run_id")
        .merge(heads[["run_id", "size", "representation"]], on="run_id")
        .merge(errors[["run_id", "group", "error", "drift", "drift_directions"]], on="run_id")
        .merge(scaled.loc[scaled.factor == 1.0, ["run_id", "horizon"]], on="run_id")
    )
    frame = frame[(frame.length >= frame.training_length) & (frame.error <= LARGEST_ERROR)]
    if frame.empty:
        raise InputError("no run has learned a representation of its group")
    directions = frame.drift_directions.astype(int)
    return pd.DataFrame(
        {
            "run_id": frame.run_id,
            "group": frame.group,
            "size": frame["size"].astype(int),
            "draw": frame.seed,
            "steps": frame.training_steps,
            "formula": frame.representation,
            "kind": frame.group + ", " + directions.astype(str) + " drift directions",
            "drift_directions": directions,
            "error": frame.error,
            "drift": frame.drift,
            "horizon": frame.horizon.astype(float),
            "censored": frame.horizon.isna(),
        }
    ).reset_index(drop=True)


def scaled(results: Results) -> pd.DataFrame:
    """The runs of `learned` with their own errors made smaller: kind, draw, error, horizon."""
    runs = learned(results)[["run_id", "kind"]]
    frame = results.table("scaled_errors").merge(runs, on="run_id")
    frame["horizon"] = frame.horizon.astype(float)
    return frame.rename(columns={"run_id": "draw"})[["kind", "draw", "factor", "error", "horizon"]]


def scaled_slopes(frame: pd.DataFrame) -> pd.DataFrame:
    """Slope of every kind that at least three runs have, with an interval over runs."""
    many = frame.groupby("kind").draw.transform("nunique") >= 3
    return slopes(frame[many].rename(columns={"kind": "group"}))


def figure(results: Results) -> Figure:
    """Horizon over error, both logarithmic: of trained models, and with their errors scaled."""
    frame = learned(results)
    kinds = list(dict.fromkeys(frame.sort_values(["group", "drift_directions"]).kind))
    colors = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    figure = Figure(figsize=(7.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _trained(left, frame, colors)
    _scaled(right, scaled(results), colors)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("error of a letter's matrix")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7, frameon=False, ncols=1
        )
    left.set_ylabel(f"length with token\naccuracy >= {THRESHOLD}")
    left.set_title("trained models", fontsize=9)
    right.set_title("their errors times 1, 1/2 and 1/4", fontsize=9)
    return figure


def _trained(axes: Axes, frame: pd.DataFrame, colors: dict[str, Color]) -> None:
    """A point a model; a line a kind, fitted over its models."""
    fits = fitted_slopes(frame[~frame.censored]).set_index(["group", "drift_directions"])
    for kind, own in frame.groupby("kind"):
        key = (own.group.iloc[0], own.drift_directions.iloc[0])
        label = f"{kind} ({len(own)} models)"
        if key in fits.index:
            fit = fits.loc[key]
            label += f": {fit.slope:.2f} [{fit.low:.2f}, {fit.high:.2f}]"
            ends = np.array([own.error.min(), own.error.max()])
            axes.plot(ends, np.exp(fit.intercept) * ends**fit.slope, color=colors[kind])
        marker = "o" if key[1] else "s"
        seen = own[~own.censored]
        axes.plot(seen.error, seen.horizon, marker, color=colors[kind], markersize=4, label=label)


def _scaled(axes: Axes, frame: pd.DataFrame, colors: dict[str, Color]) -> None:
    """A line a model, from its own errors to a quarter of them."""
    fits = scaled_slopes(frame).set_index("group")
    for kind, own in frame.groupby("kind"):
        label = str(kind)
        if kind in fits.index:
            fit = fits.loc[kind]
            label += f": {fit.slope:.2f} [{fit.low:.2f}, {fit.high:.2f}]"
        for _, one in own.groupby("draw"):
            axes.plot(
                one.error,
                one.horizon,
                ".-",
                color=colors[str(kind)],
                linewidth=0.8,
                markersize=3,
                label=label,
            )
            label = "_"
