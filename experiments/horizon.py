"""How far a model carries is written in its weights.

Models of one layer are trained on words of 16 to 128 letters and measured on longer ones. From the
weights alone the length is predicted at which token accuracy falls to .9, the word that breaks the
model first is made and run, and a length is certified. Beside the prediction stand two baselines:
the training length, and the length at which the measured spread within classes of states crosses
half the distance between them (after arXiv 2605.07755).
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from automata.errors import InputError
from statetrack.analysis.horizon_axes import horizon_scatter
from statetrack.analysis.horizon_scores import horizon_scores
from statetrack.analysis.reading_scores import adversary_scores, extraction_scores
from statetrack.training import Grid, Results

PRESETS = ("cpu", "gpu", "full", "smoke")
READINGS = ("automaton", "horizon")
PREDICTORS = {
    "weights, ensemble": "predicted",
    "weights, moments": "moments",
    "measured ratio": "ratio_crossing",
    "training length": "training_length",
}

DIAGONAL = ["model=diagonal", "model.num_channels=16"]
ROTATION = ["model=complex_diagonal", "model.num_channels=8"]
MRU = ["model=mru", "model.num_heads=2"]
SMALL = {
    "parity": [DIAGONAL, ROTATION, ["model=householder", "model.num_heads=2"]],
    "sum": [ROTATION, ["model=householder", "model.num_factors=2", "model.num_heads=2"], MRU],
    "s3": [["model=householder", "model.num_factors=2", "model.num_heads=2"], MRU],
    "dihedral": [["model=householder", "model.num_factors=2", "model.num_heads=2"], MRU],
    "quaternion": [["model=householder", "model.num_factors=4", "model.num_heads=2"], MRU],
}
LARGE = {"S4": 2, "A5": 2, "S5": 4}
"""Groups that no diagonal model tracks, and the reflections that their elements need."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is 12 small models; ``gpu`` is 117 models of 8 groups, 36 of them on S4, A5 and S5;
    ``full`` has twice the seeds; ``smoke`` shows that everything works. Prediction, search and
    proof are read from the trained models afterwards, on the CPU.
    """
    name = f"horizon-{preset}"
    shared = ["model.width=32"]
    if preset == "smoke":
        tiny = ["training.steps=100", "training.length=4", "training.learning_rate=0.01"]
        tiny += ["evaluation.max_length=32", "evaluation.num_words=64"]
        return Grid.product(name, ["task=parity", *DIAGONAL, *shared, *tiny], {"seed": range(2)})
    if preset == "cpu":
        small = [
            *shared,
            "training.length=16",
            "training.steps=200",
            "training.batch_size=32",
            "training.learning_rate=0.005",
            "evaluation.max_length=512",
            "evaluation.num_words=512",
            "evaluation.read_transitions=false",
        ]
        return _small(name, small, range(1))
    scale = 2 if preset == "full" else 1
    small = [
        *shared,
        "training.length=32",
        "training.steps=1500",
        "training.learning_rate=0.003",
        "evaluation.max_length=4096",
        "evaluation.num_words=10000",
    ]
    grids = _small(name, small, range(6 * scale))
    extra = ["task=s3", "model=dense", "model.head_size=8", *small]
    return grids + Grid.product(name, extra, {"seed": range(9 * scale)}) + _large(name, scale)


def _small(name: str, base: list[str], seeds: range) -> Grid:
    grids = []
    for task, models in SMALL.items():
        chosen = [f"task={task}", *(["task.modulus=3"] if task == "sum" else [])]
        grids += [Grid.product(name, [*chosen, *model, *base], {"seed": seeds}) for model in models]
    return sum(grids[1:], start=grids[0])


def _large(name: str, scale: int) -> Grid:
    """S4, A5 and S5 with all elements as tokens, by the recipe of `group_recipes`."""
    grids = []
    for group, factors in LARGE.items():
        recipe = [
            "task=word_problem",
            f"task.group={group}",
            "model.width=64",
            "model.num_heads=4",
            "training.length=128",
            "training.batch_size=256",
            "training.warmup_steps=100",
            "training.projections=tensorfloat32",
            "training.select_words=128",
            "training.steps=6000",
            "training.learning_rate=0.004",
            "training.weight_decay=0.2",
            "training.curriculum=doubling(start=4, threshold=0.2)",
            "training.schedule=settling(steps=1000, length=128)",
            "evaluation.max_length=4096",
            "evaluation.num_words=10000",
            "evaluation.read_transitions=false",
        ]
        householder = [
            "model=householder",
            "model.head_size=16",
            "model.range_steepness=1",
            f"model.num_factors={factors}",
        ]
        seeds = {"seed": range(6 * scale)}
        grids.append(Grid.product(name, [*householder, *recipe], seeds))
        grids.append(Grid.product(name, ["model=mru", "model.head_size=6", *recipe], seeds))
    return sum(grids[1:], start=grids[0])


def predictions(results: Results) -> pd.DataFrame:
    """One row a finished run and predictor, as `horizon_scores` takes them.

    Left out are runs that are below .9 at their training length: nothing carries there.
    """
    runs = results.finished.merge(results.table("horizon"), on="run_id")
    runs = runs[runs.measured >= runs.training_length]
    if runs.empty:
        raise InputError("no finished run has a horizon beyond its training length")
    parts = [
        pd.DataFrame(
            {
                "run_id": runs.run_id,
                "group": runs.group,
                "label": runs.label,
                "predictor": predictor,
                "predicted": runs[column].astype(float),
                "measured": runs.measured,
                "censored": runs.measured_censored.astype(bool),
            }
        )
        for predictor, column in PREDICTORS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Scores of the predictors, of the words that break models, and of extracted automata.

    Adversarial words are of the models that `predictions` keeps, automata of those with
    whole-prefix accuracy of at least .99 to four times the training length.
    """
    frame = predictions(results)
    horizons = results.table("horizon")
    return {
        "predictions": horizon_scores(frame),
        "adversarial_words": adversary_scores(horizons[horizons.run_id.isin(frame.run_id)]),
        "automata": extraction_scores(
            results.finished, results.table("thresholds"), results.table("automaton")
        ),
    }


def figure(results: Results) -> Figure:
    """Predicted against measured horizons, and how far off each predictor is."""
    frame = predictions(results)
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    left, right, beside = figure.subplots(1, 3, width_ratios=(2.2, 1.9, 1))
    horizon_scatter(frame[frame.predictor == "weights, ensemble"], left)
    _errors(right, frame)
    _scores(beside, frame)
    beside.set_ylim(right.get_ylim())
    return figure


def _errors(axes: Axes, frame: pd.DataFrame) -> None:
    """Every model's log ratio, one row a predictor."""
    seen = frame[~frame.censored & (frame.predicted > 0)]
    color = sns.color_palette("colorblind")[0]
    jitter = np.random.default_rng(0)
    names = list(dict.fromkeys(frame.predictor))
    axes.axvline(0.0, color="0.45", linewidth=1)
    for place, name in enumerate(names):
        own = seen[seen.predictor == name]
        ratio = np.log10(own.predicted / own.measured)
        heights = place + jitter.uniform(-0.25, 0.25, len(own))
        axes.plot(ratio, heights, "o", color=color, alpha=0.5, markersize=4, markeredgewidth=0)
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.set_xlabel("log10 of predicted over measured", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _scores(axes: Axes, frame: pd.DataFrame) -> None:
    """Models with a prediction, median error and rank correlation, one row a predictor."""
    scores = horizon_scores(frame).query("group == 'all'")
    columns = {
        "models": (scores.models - scores.missing).astype(str),
        "median\n|log10|": scores.median_log10.map("{:.3f}".format),
        "rank\ncorr.": scores.spearman.map("{:.3f}".format).replace("nan", "none"),
    }
    axes.set_axis_off()
    for right, (head, cells) in zip((0.2, 0.6, 1.0), columns.items(), strict=True):
        for height, cell in zip((-0.55, *range(len(cells))), (head, *cells), strict=True):
            text = cell.replace("-", "\N{MINUS SIGN}")
            axes.text(right, height, text, fontsize=7, ha="right", va="center")
