"""Parity of N letters, learned at N and then at N + 1: how far does it go, and what is kept.

Khajehabdollahi et al. 2024 (arXiv 2309.12927) train recurrent networks on the parity of the last N
letters of a stream and let N grow when it is learned, with one answer for N alone (single head) or
one for every number up to N (multi head). By their abstract the first forgets the smaller N, and
the second is learned faster, goes on beyond the N of the training, and helps GRUs and LSTMs too.

Here words have N letters and begin at the same state: "last letter" asks for the parity of all N,
"every prefix" for that of every number up to N. Three ways through the lengths: all N letters from
the first step, words that grow by one letter, words that become twice as long.

Written down before any run: with a label at every prefix and one letter more at a time, an RNN, a
GRU and an LSTM have every number up to the largest N (1.0 within .05, best seed) and twice that
(1.0 within .1). With the last letter alone, the published forgetting would be an accuracy of .5 to
.9 below N; we expect none (1.0 within .05), since words begin at one state and a network that
follows parity to N has passed all smaller numbers.
"""

import functools
import operator

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.run_names import run_names
from statetrack.analysis.styles import paper_style, with_minus_sign
from statetrack.training import Grid, Results, fixed, product

PRESETS = ("cpu", "gpu", "full", "smoke")
PAPER = "Khajehabdollahi et al. 2024"

HEADS = {
    "every prefix": ["task.supervision=per_prefix"],
    "last letter": ["task.supervision=final"],
}
WAYS = {
    "all at once": "fixed",
    "one more": "growing(start=2)",
    "twice as long": "doubling(start=2)",
}
MODELS = {
    "RNN": ["model=rnn"],
    "GRU": ["model=gru"],
    "LSTM": ["model=lstm"],
    "diagonal [-1,1]": ["model=diagonal"],
    "DeltaNet [-1,1]": ["model=householder"],
    "Mamba [0,1]": ["model=mamba"],
}
SIZES = {"smoke": 8, "cpu": 24, "gpu": 128, "full": 256}
"""The largest N of a preset."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` goes to N = 24 with three small models (36 runs), ``gpu`` to 128 with six, 5 seeds of
    6,000 steps of 128 words: 180 runs, about 8 minutes of one H200 (an estimate from the speed of
    other packs, not measured). ``full`` goes to 256 with 10 seeds and 20,000 steps, about an hour
    and a half. What was interrupted goes on with

        statetrack grid experiments/growing_parity.py --preset full

    ``smoke`` shows that everything works.
    """
    largest = SIZES[preset]
    width, batch, steps, every, words = {
        "smoke": (16, 8, 20, 10, 32),
        "cpu": (32, 32, 600, 15, 256),
        "gpu": (64, 128, 6_000, 30, 4_096),
        "full": (64, 128, 20_000, 50, 4_096),
    }[preset]
    models = tuple(MODELS) if preset in ("gpu", "full") else ("RNN", "GRU", "diagonal [-1,1]")
    seeds = {"smoke": 1, "cpu": 2, "gpu": 5, "full": 10}[preset]
    cells = [
        fixed(
            *("task=parity", *HEADS[head], *MODELS[model]),
            f"training.curriculum={WAYS[way]}",
            f"training.length={largest}",
            f"model.width={width}",
            f"training.batch_size={batch}",
            f"training.steps={steps}",
            f"training.select_every={every}",
            f"training.select_words={64 if preset in ('cpu', 'smoke') else 128}",
            "training.schedule=constant",
            "training.learning_rate=0.003",
            f"evaluation.num_words={words}",
            f"evaluation.max_length={max(4 * largest, 512) if preset != 'smoke' else 32}",
            "evaluation.read_transitions=false",
        )
        for head in HEADS
        for model in (models if preset != "smoke" else ("RNN",))
        for way in WAYS
    ]
    return Grid.of(
        f"growing_parity-{preset}",
        functools.reduce(operator.add, cells) * product({"seed": range(seeds)}),
    )


def measured(results: Results) -> pd.DataFrame:
    """Curves of finished runs with the names of models, ways and heads."""
    return join_curves(_named(results), results.table("curves"), ["token_accuracy"])


def _named(results: Results) -> pd.DataFrame:
    runs = results.require_finished()
    way = runs["training.curriculum"].map({text: way for way, text in WAYS.items()})
    head = run_names(runs, HEADS)
    return runs.assign(
        model=run_names(runs, MODELS), way=way, protocol=head + ", " + way, task="parity", head=head
    )


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """What was claimed and expected, beside what was measured."""
    frame = measured(results)
    largest = int(frame["training_length"].max())
    one_more = frame[frame["way"] == "one more"]
    known = [name for name in ("RNN", "GRU", "LSTM") if name in set(frame["model"])]
    rows = {
        "every prefix": [
            ("abstract: multi head has all numbers", PAPER, (2, largest), 1.0, 0.05),
            ("abstract: multi head goes beyond", PAPER, (largest, 2 * largest), 1.0, 0.1),
        ],
        "last letter": [
            ("abstract: single head forgets", PAPER, (2, largest), 0.7, 0.2),
            ("expected before the runs", "here", (2, largest), 1.0, 0.05),
        ],
    }
    parts = []
    for head, claims in rows.items():
        values = [
            PublishedValue(
                *(paper, where, model, "parity", "token_accuracy", lengths, value, tolerance),
                "best",
            )
            for where, paper, lengths, value, tolerance in claims
            for model in known
        ]
        own = one_more[one_more["head"] == head]
        if len(own):
            parts.append(compare_published(own, values, by="protocol"))
    return {"published": pd.concat(parts, ignore_index=True)}


def figure(results: Results) -> Figure:
    """Length of the training words over steps, and accuracy over length, a column a model."""
    runs = _named(results)
    models = [name for name in MODELS if name in set(runs["model"])]
    colors = dict(zip(WAYS, sns.color_palette("colorblind"), strict=False))
    dashes = {"every prefix": "-", "last letter": (0, (3, 1.5))}
    history = results.table("history").merge(runs[["run_id", "model", "way", "head"]], on="run_id")
    curves = measured(results)
    largest = int(runs["training_length"].max())
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(1.0 + 2.0 * len(models), 4.0), layout="constrained")
        panels = figure.subplots(2, len(models), squeeze=False, sharey="row", sharex="row")
        for (above, below), model in zip(panels.T, models, strict=True):
            for way, color in colors.items():
                for head, dash in dashes.items():
                    style = {"color": color, "linestyle": dash, "linewidth": 1.4}
                    grown = _of(history, model, way, head).groupby("step")["length"].median()
                    above.plot(grown.index, grown, **style)
                    reached = _by_half_octave(_of(curves, model, way, head))
                    below.plot(reached.index, reached, **style)
            above.set_title(with_minus_sign(model))
            above.set_xlabel("step")
            below.axvline(largest, color="0.35", linewidth=0.8, linestyle=":")
            below.set_xscale("log", base=2)
            below.set_xlabel("word length L (tokens)")
        panels[0][0].set_ylabel("letters of training words")
        panels[1][0].set_ylabel("token accuracy near L")
        ways = [panels[0][0].plot([], [], color=c, label=way)[0] for way, c in colors.items()]
        heads = [
            panels[0][0].plot([], [], color="0.3", linestyle=dash, label=head)[0]
            for head, dash in dashes.items()
        ]
        figure.legend(
            handles=[*ways, *heads], loc="outside lower center", ncols=5 if len(models) > 2 else 2
        )
    return figure


def _of(frame: pd.DataFrame, model: str, way: str, head: str) -> pd.DataFrame:
    return frame[(frame["model"] == model) & (frame["way"] == way) & (frame["head"] == head)]


def _by_half_octave(curves: pd.DataFrame) -> pd.Series:
    """Median of the seeds, of their mean over the lengths of half an octave.

    Models that learned one parity of the length are right at every other length; single lengths
    would fill the panel.
    """
    octave = (2 * np.log2(curves["length"])).round() / 2
    means = curves.groupby([2.0**octave, "run_id"])["token_accuracy"].mean()
    return means.groupby(level=0).median()
