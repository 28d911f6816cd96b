"""Every seed learns the word problem of S3 and of S5, with the right recipe.

Householder products with as many factors as the group needs (two for S3, four for S5), one layer,
all elements as tokens, a label at every position and nothing else. Words are short at first and
twice as long whenever the loss falls below a threshold. For S5 the learning rate falls from the
first round of 32 letters on; S3 needs no falling rate, and its runs end when they are solved.
Solved: 99 % of the selection words of length 128 right at every position.
"""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from automata.errors import InputError
from statetrack.training import Grid, Results

PRESETS = ("s5", "s3", "s5-search", "smoke")
THRESHOLD = 0.99

SHARED = [
    "model=householder",
    "model.head_size=16",
    "model.range_steepness=1",
    "training.length=128",
    "training.warmup_steps=100",
    "training.projections=tensorfloat32",
    "training.select_words=128",
    "evaluation.max_length=4096",
    "evaluation.num_words=1024",
    "evaluation.read_transitions=false",
]
S5 = [
    *["task=s5", "model.num_factors=4", *SHARED],
    *["model.width=128", "model.num_heads=8"],
    "training.batch_size=512",
    "training.steps=4000",
    "training.select_every=50",
    "training.learning_rate=0.004",
    "training.weight_decay=0.2",
    "training.curriculum=doubling(start=4, threshold=0.2, tokens=8192)",
    "training.schedule=settling(steps=1200, length=32)",
]
S3 = [
    *["task=s3", "model.num_factors=2", *SHARED],
    *["model.width=64", "model.num_heads=4"],
    "training.batch_size=256",
    "training.steps=3000",
    "training.learning_rate=0.003",
    "training.curriculum=doubling(start=4, threshold=0.1)",
    "training.schedule=constant",
    "training.stop=solved",
    "training.select_every=50",
]
SEARCHED = {
    "training.weight_decay": (0.1, 0.2),
    "model.beta_bias": (0.5, 2.0),
    "model.range_steepness": (1.0, 2.0),
}


def grid(preset: str) -> Grid:
    """Runs of a preset: 32 fresh seeds of the frozen recipe, or variations of the one for S5."""
    name = f"group_recipes-{preset}"
    if preset == "smoke":
        small = ["training.steps=20", "evaluation.max_length=64", "evaluation.num_words=64"]
        return Grid.product(name, [*S3, "training.batch_size=8", *small], {"seed": range(2)})
    if preset == "s5-search":
        return Grid.product(name, S5, {**SEARCHED, "seed": range(1000, 1004)})
    return Grid.product(name, S5 if preset == "s5" else S3, {"seed": range(32)})


def figure(results: Results) -> Figure:
    """Share of runs solved over the time of their pack, and whole-prefix accuracy over length."""
    runs = results.finished.copy()
    if runs.empty:
        raise InputError("no run is finished")
    varied = [name for name in SEARCHED if name in runs and runs[name].nunique() > 1]
    runs["recipe"] = runs[varied].astype(str).agg(", ".join, axis=1) if varied else "all seeds"
    figure = Figure(figsize=(7.2, 4.2 if varied else 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    recipes = list(dict.fromkeys(runs["recipe"]))
    colors = dict(zip(recipes, sns.color_palette("colorblind", len(recipes)), strict=True))
    for recipe, group in runs.groupby("recipe", sort=False):
        _solved(left, group, colors[recipe])
        _curves(right, results.table("curves"), group, colors[recipe], str(recipe))
    trained = int(runs.training_length.max())
    left.set_xlabel("time of the whole pack (s)")
    left.set_ylabel(f"share of seeds solved\nat length {trained}")
    left.yaxis.set_major_formatter(PercentFormatter(1.0))
    left.set_ylim(-0.03, 1.03)
    right.axvline(trained, color="0.4", linewidth=1, linestyle=":")
    right.text(trained, 0.45, "training length ", fontsize=7, color="0.3", ha="right")
    right.set_xscale("log", base=2)
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.set_xlabel("length L (tokens)")
    right.set_ylabel("share of words\nright at 1..L")
    right.set_ylim(-0.03, 1.03)
    if varied:
        handles, labels = right.get_legend_handles_labels()
        title = ", ".join(name.partition(".")[2].replace("_", " ") for name in varied)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=2,
            fontsize=7,
            frameon=False,
            title=title,
            title_fontsize=7,
        )
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _solved(axes: Axes, runs: pd.DataFrame, color: object) -> None:
    """A step up for every run at the time it was first seen to be solved."""
    seconds = sorted(runs["solved_seconds"].dropna())
    shares = [number / len(runs) for number in range(len(seconds) + 1)]
    axes.step([0.0, *seconds], shares, where="post", color=color)


def _curves(
    axes: Axes, curves: pd.DataFrame, runs: pd.DataFrame, color: object, label: str
) -> None:
    """Every run thin, their median thick."""
    own = curves[curves.run_id.isin(runs.run_id)]
    for _, one in own.groupby("run_id"):
        axes.plot(one.length, one.whole_prefix_accuracy, color=color, linewidth=0.5, alpha=0.35)
    median = own.groupby("length").whole_prefix_accuracy.median()
    axes.plot(median.index, median, color=color, linewidth=2, label=label)
