"""Do nonlinear networks lose track? Parity, S3 and S5, measured to 100,000 letters.

One layer of an LSTM, beside it a GRU and a tanh RNN, all elements as tokens, a label at every
position and nothing else. Words are short at first and twice as long whenever the loss falls below
a threshold, to 128 letters; the learning rate falls from then on (S5: from 32 letters on), and the
run ends.
Report words are 780 times as long as any word of the training.
Solved: 99 % of the selection words of length 128 right at every position.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from statetrack.training import Grid, Results

PRESETS = ("gpu", "s5", "cpu", "smoke")
TITLES = {"parity": "parity", "s3": "S3", "s5": "S5"}
LABELS = {"lstm": "LSTM", "gru": "GRU", "rnn": "tanh RNN"}
WIDTHS = (5.0, 3.0, 1.2)
"""Of the medians, the first model's thickest: curves that lie on each other stay visible."""

SHARED = [
    "training.length=128",
    "training.warmup_steps=100",
    "training.select_every=50",
    "training.select_words=128",
    "evaluation.max_length=100000",
    "evaluation.read_transitions=false",
]
SMALL = [
    *SHARED,
    "model.width=64",
    "training.batch_size=256",
    "training.steps=4000",
    "training.learning_rate=0.003",
    "training.curriculum=doubling(start=4, threshold=0.1, tokens=8192)",
    "training.schedule=settling(steps=600)",
]
S5 = [
    *["task=s5", "model=lstm", *SHARED],
    "model.width=256",
    "training.batch_size=512",
    "training.steps=14000",
    "training.learning_rate=0.003",
    "training.projections=tensorfloat32",
    "training.curriculum=doubling(start=4, threshold=0.2, tokens=8192)",
    "training.schedule=settling(steps=10000, length=32)",
]


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``gpu`` is five seeds each of an LSTM, a GRU and a tanh RNN on parity and S3, ``s5`` five LSTMs
    on S5; ``cpu`` is two smaller LSTMs each on parity and S3; ``smoke`` shows that all works.
    """
    name = f"nonlinear-{preset}"
    if preset == "smoke":
        tiny = ["training.steps=20", "training.batch_size=8"]
        tiny += ["evaluation.max_length=256", "evaluation.num_words=32"]
        return Grid.product(name, ["task=parity", "model=lstm", *SMALL, *tiny], {"seed": range(2)})
    if preset == "cpu":
        small = ["model=lstm", *SMALL, "model.width=32", "training.batch_size=64"]
        small += ["training.curriculum=doubling(start=4, threshold=0.1, tokens=2048)"]
        small += ["evaluation.num_words=64"]
        return Grid.product(
            name, ["task=parity", *small], {"task": ["parity", "s3"], "seed": range(2)}
        )
    words, seeds = "evaluation.num_words=128", {"seed": range(5)}
    if preset == "s5":
        return Grid.product(name, [*S5, words], seeds)
    return Grid.product(
        name,
        ["task=parity", "model=lstm", *SMALL, words],
        {"task": ["parity", "s3"], "model": list(LABELS), **seeds},
    )


def figure(results: Results) -> Figure:
    """Share of words right throughout over their length, one panel a task."""
    runs = results.require_finished()
    tasks = [name for name in TITLES if name in set(runs.task)]
    models = [name for name in LABELS if name in set(runs.model)]
    colors = dict(zip(LABELS, sns.color_palette("colorblind"), strict=False))
    widths = dict(zip(models, WIDTHS[-len(models) :], strict=True))
    figure = Figure(figsize=(0.6 + 2.5 * len(tasks), 2.9), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    shares = _shares(results)
    trained = int(runs.training_length.max())
    for panel, task in zip(panels, tasks, strict=True):
        for model in models:
            own = runs[(runs.task == task) & (runs.model == model)]
            _curves(panel, own, shares[own.run_id], colors[model], widths[model])
        panel.axvline(trained, color="0.4", linewidth=1, linestyle=":")
        panel.set_xscale("log")
        panel.set_title(TITLES[task], fontsize=10)
        panel.set_xlabel("length L (tokens)")
        panel.set_ylim(-0.03, 1.03)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of words\nright at 1..L")
    panels[0].text(trained, 0.02, "training length ", fontsize=7, color="0.3", ha="right")
    handles = [
        Line2D([], [], color=colors[name], linewidth=widths[name], label=LABELS[name])
        for name in models
    ]
    thin = {"color": "0.4", "linewidth": 0.6}
    handles.append(Line2D([], [], **thin, label="one seed"))
    if runs.solved_step.isna().any():
        handles.append(Line2D([], [], **thin, linestyle="--", label="not solved"))
    panels[0].legend(handles=handles, frameon=False, fontsize=7, loc="center left")
    return figure


def _shares(results: Results) -> pd.DataFrame:
    """Share of words right throughout: a row a length, a column a run.

    Recorded lengths are up to 1,600 letters apart. In between, the lengths are known at which the
    share falls below the stored thresholds.
    """
    curves = results.table("curves").rename(columns={"whole_prefix_accuracy": "share"})
    names = ["run_id", "length", "threshold", "metric", "longest"]
    limits = results.table("thresholds").reindex(columns=names)
    is_within = (limits.length > 0) & (limits.length < limits.longest)
    limits = limits[is_within & (limits.metric == "whole_prefix_accuracy")]
    points = [curves, limits.rename(columns={"threshold": "share"})]
    known = pd.concat([frame[["run_id", "length", "share"]] for frame in points if len(frame)])
    wide = known.drop_duplicates(["run_id", "length"]).pivot(
        index="length", columns="run_id", values="share"
    )
    lengths = wide.index
    return wide.set_index(np.log(lengths)).interpolate("index").set_index(lengths)


def _curves(
    axes: Axes, runs: pd.DataFrame, shares: pd.DataFrame, color: object, width: float
) -> None:
    """Every seed thin, their median thick."""
    for run_id, solved in zip(runs.run_id, runs.solved_step.notna(), strict=True):
        style = "-" if solved else "--"
        axes.plot(shares[run_id], color=color, linewidth=0.6, alpha=0.5, linestyle=style)
    axes.plot(shares.median(axis="columns"), color=color, linewidth=width)
