"""MRU on groups: which way to make a matrix of a token follows which group, and what it costs.

Nine ways of Matrix Recurrent Units (MRU) to make a token's matrix, on word problems of six groups
(all elements as letters) and on two tasks of memory. The orthogonal ways are near useless for text;
here the state only has to be a product of few matrices. One layer, four heads of 4 x 4, for S5 also
of 5 x 5; words of 4 letters and then twice as many, to 64. Read is the length to which nine of ten
words are right throughout.

Expected before the runs, from what matrices a way can make (`docs/models_matrix.md`):

1. Rotations are enough for Z5, S3, D5, S4 and A5, so `exponential`, `householder` and
   `qr_exponential` follow them; of heads of 4 x 4 with determinant 1 none has S5, which `residual`
   and `determinant` (reflections) have, and of 5 x 5 rotations have it too.
2. `cayley` has no half turn: it follows Z5 as far as `exponential`, and S3, D5, S4 and A5 less far,
   or by a larger group that stands for them.
3. `ldu`, sheared and not turned, has no such group among its matrices; products grow, so it ends
   sooner than `exponential` on every group.
4. On flip-flops and permutations with resets the order is turned round: what is invertible keeps
   all it ever saw, and only `residual` has the matrices.

Followed: the median seed has nine of ten words right throughout at the training length.
"""

import functools
import operator

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from statetrack.analysis import extrapolation
from statetrack.analysis.run_names import run_names
from statetrack.analysis.styles import paper_style
from statetrack.training import Grid, Results, fixed, product
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "smoke")
FOLLOWED = 0.9

METHODS = (
    *("exponential", "householder", "cayley", "ldu", "newton_schulz", "qr_exponential"),
    *("qr_cayley", "determinant", "residual"),
)
ROTATIONS = ("exponential", "householder", "qr_exponential")
REFLECTIONS = ("determinant", "residual")


def _group(name: str) -> list[str]:
    return ["task=word_problem", f"task.group={name}", "task.generators=all"]


TASKS = {
    "Z5": _group("Z5"),
    "S3": _group("S3"),
    "D5": _group("D5"),
    "S4": _group("S4"),
    "A5": _group("A5"),
    "S5": _group("S5"),
    "S5, 5 x 5": [*_group("S5"), "model.head_size=5"],
    "flip-flop": ["task=flip_flop"],
    "S3 with resets": ["task=permutation_reset"],
}
"""Heads are 4 x 4 unless the name says otherwise."""

EXPECTED = {
    **dict.fromkeys(("S3", "D5", "S4", "A5", "S5, 5 x 5"), (*ROTATIONS, *REFLECTIONS)),
    "Z5": (*ROTATIONS, *REFLECTIONS, "cayley", "qr_cayley"),
    "S5": REFLECTIONS,
    **dict.fromkeys(("flip-flop", "S3 with resets"), ("residual",)),
}
"""Ways whose matrices have the task exactly."""

ON_A_CPU = {
    "methods": ("exponential", "cayley", "ldu", "residual"),
    "tasks": ("Z5", "S3", "flip-flop"),
}


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is four ways on Z5, S3 and flip-flops, two seeds (24 runs). ``gpu`` is nine ways on all
    tasks, five seeds, at most 4,000 steps: 405 runs, about 15 minutes of one H200 (an estimate from
    the speed of other packs, not measured). What was interrupted goes on with

        statetrack grid experiments/mru_groups.py --preset gpu

    ``smoke`` shows that everything works.
    """
    name = f"mru_groups-{preset}"
    if preset == "smoke":
        tiny = ["model.width=16", "training.batch_size=8", "training.steps=10"]
        tiny += ["training.length=16", "evaluation.max_length=64", "evaluation.num_words=32"]
        return Grid.of(name, _cells(("ldu", "exponential"), ("S3", "flip-flop"), tiny))
    if preset == "cpu":
        small = ["model.width=32", "model.num_heads=2", "training.batch_size=64"]
        small += ["training.length=16", "training.steps=300", "training.learning_rate=0.005"]
        small += ["training.select_every=25", "training.select_words=64"]
        small += ["evaluation.max_length=256", "evaluation.num_words=128"]
        cells = _cells(ON_A_CPU["methods"], ON_A_CPU["tasks"], small)
        return Grid.of(name, cells * product({"seed": range(2)}))
    size = ["model.width=64", "training.batch_size=256", "training.length=64"]
    size += ["training.steps=4000", "training.learning_rate=0.003"]
    size += ["evaluation.max_length=2048", "evaluation.num_words=256"]
    return Grid.of(name, _cells(METHODS, tuple(TASKS), size) * product({"seed": range(5)}))


def _cells(methods: tuple[str, ...], tasks: tuple[str, ...], size: list[str]) -> Axes:
    cells = [
        fixed(
            "model=mru",
            *TASKS[task],
            f"model.input_method={method}",
            *size,
            "training.curriculum=doubling(start=4, threshold=0.2)",
        )
        for task in tasks
        for method in methods
    ]
    return functools.reduce(operator.add, cells)


def measured(results: Results) -> pd.DataFrame:
    """Curves of finished runs with the names of ways (as models) and tasks."""
    runs = results.require_finished()
    runs = runs.assign(task=run_names(runs, TASKS), model=runs["model.input_method"])
    return extrapolation.join_curves(runs, results.table("curves"), ["whole_prefix_accuracy"])


def horizons(results: Results) -> pd.DataFrame:
    """Of every run the last length to which nine of ten words are right throughout, 0 for none."""
    curves = measured(results)
    named = curves[["task", "model", "run_id", "training_length"]].drop_duplicates("run_id")
    return named.merge(
        extrapolation.horizons(curves, FOLLOWED, "whole_prefix_accuracy"), on="run_id"
    )


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """By task and way: horizons of the seeds, whether it was followed, what was expected."""
    runs = horizons(results)
    grouped = runs.groupby(["task", "model"], sort=False)
    frame = grouped.agg(
        num_runs=("run_id", "size"),
        median_horizon=("horizon", "median"),
        least_horizon=("horizon", "min"),
        largest_horizon=("horizon", "max"),
        training_length=("training_length", "first"),
    ).reset_index()
    followed = frame["median_horizon"] >= frame["training_length"]
    pairs = zip(frame["task"], frame["model"], strict=True)
    expected = [model in EXPECTED[task] for task, model in pairs]
    return {"ways": frame.assign(followed=followed, has_the_matrices=expected)}


def figure(results: Results) -> Figure:
    """Median horizon of every task and way; framed where the way has the task's matrices."""
    runs = horizons(results)
    tasks = [task for task in TASKS if task in set(runs["task"])]
    methods = [method for method in METHODS if method in set(runs["model"])]
    medians = runs.groupby(["task", "model"])["horizon"].median().unstack().loc[tasks, methods]
    trained, last = int(runs["training_length"].max()), int(runs["longest"].max())
    texts = medians.map(lambda value: f"≥ {last}" if value >= last else f"{value:.0f}")
    with mpl.rc_context(paper_style()):
        figure = Figure(
            figsize=(max(4.6, 1.6 + 0.62 * len(methods)), 1.3 + 0.3 * len(tasks)),
            layout="constrained",
        )
        axes = figure.subplots()
        sns.heatmap(
            medians.clip(lower=1.0),
            annot=texts,
            fmt="",
            norm=LogNorm(1, last),
            cmap="cividis",
            linewidths=1.5,
            cbar_kws={"label": "length (tokens)"},
            ax=axes,
        )
        for row, column in np.ndindex(medians.shape):
            if methods[column] in EXPECTED[tasks[row]]:
                axes.add_patch(
                    mpl.patches.Rectangle(
                        (column + 0.04, row + 0.05), 0.92, 0.9, fill=False, edgecolor="#D55E00"
                    )
                )
        axes.set_xlabel("way to make a matrix of a token (framed: has the task's matrices)")
        axes.set_ylabel("")
        axes.set_xticklabels([method.replace("_", "\n") for method in methods], rotation=0)
        axes.tick_params(axis="y", rotation=0)
        axes.set_title(
            f"nine of ten words right throughout, median seed; trained to {trained} letters",
            fontsize=7,
        )
    return figure
