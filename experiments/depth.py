"""How many layers a word problem of a given length takes: A5, A4xZ5 and Z60.

Merrill, Petty and Sabharwal 2024 (arXiv 2404.08819, "The Illusion of State"): three groups of order
60, all elements as letters, words of k letters with a label at every prefix; for every k the fewest
layers with which more than 90 % of the words are right throughout. By their abstract and summary
one layer of an RNN or of S4 with matrices chosen by the letter is enough, while a transformer, S4
and Mamba need more layers for longer words of A5. A5 is no solvable group, A4xZ5 is solvable, Z60
is abelian.

One run is trained at one k and read there, as published (their words are a fixed sample of at most
a million, ours are fresh; they train up to 500 epochs, stop at .99, and take the best validation
score; ours is measured at the end), and to 512 letters beside it. S4 with matrices by the letter is
stood in for by dense matrices mixed from a dictionary (SD-SSM).

Written down before any run: at k = 20 on A5, RNN and SD-SSM of one layer reach .9 in the best seed;
one layer of transformer, Mamba or S4 does not.
"""

import functools
import operator

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.published import published_for
from statetrack.analysis.run_names import run_names
from statetrack.analysis.styles import paper_style
from statetrack.training import Grid, Results, fixed, product

PRESETS = ("cpu", "gpu", "full", "smoke")
ENOUGH = 0.9

GROUPS = {
    "Z60": ["task.group=Z60"],
    "A4xZ5": ["task.group=A4xZ5"],
    "A5": ["task.group=A5"],
    "Z6": ["task.group=Z6"],
    "S3": ["task.group=S3"],
}
LARGE, SMALL = ("Z60", "A4xZ5", "A5"), ("Z6", "S3")
MODELS = {
    "Transformer": ["model=transformer"],
    "S4": ["model=s4d"],
    "Mamba": ["model=mamba"],
    "RNN": ["model=rnn"],
    "SD-SSM": ["model=dense", "model.head_size=64"],
    "DeltaProduct, 4 factors": ["model=householder", "model.num_factors=4"],
}
STACKED = ("Transformer", "S4", "Mamba")
"""Models that are tried with more than one layer."""


def _value(model: str, value: float, tolerance: float) -> PublishedValue:
    return PublishedValue(
        *("Merrill et al. 2024", "abstract and summary", f"{model}, 1 layer", "A5, k = 20"),
        *("whole_prefix_accuracy", 20, value, tolerance, "best"),
    )


PUBLISHED = [_value(model, 0.95, 0.05) for model in ("RNN", "SD-SSM")]
PUBLISHED += [_value(model, 0.45, 0.45) for model in STACKED]


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` asks whether S3 takes more layers than Z6, with small models and words of 4 and 12
    letters (40 runs). ``gpu`` is the three groups, k = 6, 10, 14, 20, 1 to 4 layers, 5 seeds of
    4,000 steps of 256 words: 900 runs, about 25 minutes of one H200 (an estimate from the speed of
    other packs, not measured). ``full`` has k = 6, 8, 10, 12, 20, 512 units and 20,000
    steps, about 15 hours. What was interrupted goes on with

        statetrack grid experiments/depth.py --preset full

    ``smoke`` shows that everything works.
    """
    shared = ["evaluation.read_transitions=false", "training.warmup_steps=100"]
    if preset in ("cpu", "smoke"):
        groups, models, depths = SMALL, ("Transformer", "Mamba", "RNN"), (1, 2)
        lengths, seeds = (4, 12), range(2)
        size = ["model.width=32", "training.batch_size=32", "training.steps=1000"]
        size += ["training.learning_rate=0.005", "training.select_words=64"]
        size += ["evaluation.num_words=512", "evaluation.max_length=64"]
        if preset == "smoke":
            groups, models, lengths, seeds = ("S3",), ("Transformer", "RNN"), (4,), range(1)
            size[:3] = ["model.width=16", "training.batch_size=8", "training.steps=10"]
            size[-2:] = ["evaluation.num_words=32", "evaluation.max_length=32"]
    else:
        groups, models, depths, seeds = LARGE, tuple(MODELS), (1, 2, 3, 4), range(5)
        lengths = (6, 10, 14, 20) if preset == "gpu" else (6, 8, 10, 12, 20)
        width, steps = (128, 4_000) if preset == "gpu" else (512, 20_000)
        size = [f"model.width={width}", "training.batch_size=256", f"training.steps={steps}"]
        size += ["training.learning_rate=0.001", "training.select_words=128"]
        size += ["evaluation.num_words=4096", "evaluation.max_length=512"]
    cells = [
        fixed(
            *("task=word_problem", *GROUPS[group], *MODELS[model], *size, *shared),
            *(f"model.num_layers={depth}", f"training.length={length}"),
        )
        for group in groups
        for model in models
        for depth in (depths if model in STACKED else (1,))
        for length in lengths
    ]
    every = functools.reduce(operator.add, cells) * product({"seed": seeds})
    return Grid.of(f"depth-{preset}", every)


def measured(results: Results) -> pd.DataFrame:
    """Curves of finished runs; a model is named with its layers, a task with its k."""
    runs = results.require_finished()
    layers = runs["model.num_layers"].astype(int)
    names = {
        "family": run_names(runs, MODELS),
        "group": run_names(runs, GROUPS),
        "layers": layers,
    }
    runs = runs.assign(**names)
    runs["model"] = [
        f"{name}, {count} layer{'s' if count > 1 else ''}"
        for name, count in zip(runs["family"], layers, strict=True)
    ]
    runs["task"] = [
        f"{name}, k = {k}" for name, k in zip(runs["group"], runs["training_length"], strict=True)
    ]
    return join_curves(runs, results.table("curves"), ["whole_prefix_accuracy"])


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """What was claimed of A5 at k = 20, beside what was measured."""
    frame = measured(results)
    return {"published": compare_published(frame, published_for(frame, PUBLISHED))}


def fewest_layers(results: Results) -> pd.DataFrame:
    """For every group, model and k the fewest layers with which the best seed has enough.

    Returns
    -------
    DataFrame
        group, family, k, layers (missing where none has), best (of all layers and seeds), tried
        (most layers).
    """
    frame = measured(results)
    at = frame[frame["length"] == frame["training_length"]]
    rows = []
    for (group, family, k), own in at.groupby(["group", "family", "training_length"], sort=False):
        best = own.groupby("layers")["whole_prefix_accuracy"].max()
        enough = best[best > ENOUGH]
        layers = float(enough.index.min()) if len(enough) else float("nan")
        rows.append((group, family, k, layers, best.max(), best.index.max()))
    return pd.DataFrame(rows, columns=["group", "family", "k", "layers", "best", "tried"])


def figure(results: Results) -> Figure:
    """Fewest layers over the length of words, a panel a group."""
    frame = fewest_layers(results)
    groups = [name for name in GROUPS if name in set(frame["group"])]
    models = [name for name in MODELS if name in set(frame["family"])]
    colors = dict(zip(MODELS, sns.color_palette("colorblind"), strict=False))
    none = int(frame["tried"].max()) + 1
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(1.2 + 2.1 * len(groups), 2.7), layout="constrained")
        panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        for axes, group in zip(panels, groups, strict=True):
            for place, model in enumerate(models):
                own = frame[(frame["group"] == group) & (frame["family"] == model)].sort_values("k")
                shift = 0.06 * (place - (len(models) - 1) / 2)
                style = {"color": colors[model], "marker": "osD^vP"[place], "markersize": 4}
                heights = own["layers"].fillna(none) + shift
                axes.plot(own["k"], heights, label=model, **style)
            axes.axhspan(none - 0.4, none + 0.4, color="0.93", zorder=0)
            axes.set_title(group)
            axes.set_xlabel("letters of a word (k)")
            axes.set_xticks(sorted(frame["k"].unique()))
        panels[0].set_yticks(range(1, none + 1), [*map(str, range(1, none)), "none"])
        panels[0].set_ylim(0.6, none + 0.4)
        panels[0].set_ylabel(
            f"fewest layers with more than\n{ENOUGH:.0%} of words right throughout"
        )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(models), frameon=False)
    return figure
