"""DeltaProduct: how many reflections a letter S3, S4, A5 and S5 need, or how many layers.

Siems et al. (arXiv 2502.10297): one layer of DeltaProduct with n_h = 1 to 4 Householder factors and
eigenvalues in [0,1] or [-1,1], or one factor and more layers, on the word problems of four groups
with all elements as letters. Measured is the share of words that are right at every position, to
512 letters and for S5 with four factors, published to be 1 at 190 letters and 0 at 512, to 2,048.

Two protocols. "Short words first" is the recipe for S5 of `group_recipes.py`, for all groups: words
of 4 letters until they are learned, then twice as long, to 128. "Published": words of 128 letters
from the first step, batches of 2,048, learning rate 1e-3, weight decay 1e-6; fresh words where the
publication has 100,000. It selects the checkpoint by the words of 512 letters that it reports;
here no report word selects anything.

Published numbers are those of its Figure 1 and of the README of its code. Beside them stand
expectations from theory: elements of S4 and A5 are rotations of space, products of two reflections;
those of S5 need four; factors with eigenvalues in [0,1] shrink and turn nothing.
"""

import functools
import operator

import pandas as pd
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.published import THEORY
from statetrack.analysis.published_axes import published_curves
from statetrack.training import Grid, Results, fixed, product
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "full", "smoke")

GROUPS = ("s3", "s4", "a5", "s5")
FACTORS = (1, 2, 3, 4)
DEPTHS = (2, 3, 4)
RANGES = ("[0,1]", "[-1,1]")
NEEDED = {"s3": 2, "s4": 2, "a5": 2, "s5": 4}
"""Reflections of which every element is a product: theory, and for S3 the README."""
SHORT_FIRST, AS_PUBLISHED = "short words first", "published"
TRAINED = 128


def model_name(factors: int, eigenvalue_range: str, layers: int) -> str:
    """Name in the legend and among the published values."""
    depth = f", {layers} layers" if layers > 1 else ""
    return f"n_h = {factors} {eigenvalue_range}{depth}"


def _value(
    source: tuple[str, str], model: str, group: str, length: int, value: float, tolerance: float
) -> PublishedValue:
    metric = "whole_prefix_accuracy"
    return PublishedValue(*source, model, group, metric, length, value, tolerance, "median")


FIGURE_1 = ("Siems et al. 2025", "Figure 1, read off the image")
README = ("Siems et al. 2025", "README of the code, as success or failure")
BY_THEORY = (THEORY, "products of reflections")
DEPTH_THEOREM = ("Siems et al. 2025", "abstract: dihedral groups in two layers, as success")

PUBLISHED = [
    _value(FIGURE_1, model_name(4, "[-1,1]", 1), "s5", 190, 1.0, 0.1),
    _value(FIGURE_1, model_name(4, "[-1,1]", 1), "s5", 330, 0.5, 0.25),
    _value(FIGURE_1, model_name(4, "[-1,1]", 1), "s5", 512, 0.0, 0.1),
    _value(FIGURE_1, model_name(3, "[-1,1]", 1), "s5", 64, 0.0, 0.1),
    _value(FIGURE_1, model_name(2, "[-1,1]", 1), "s5", 32, 0.0, 0.1),
    _value(FIGURE_1, model_name(1, "[-1,1]", 1), "s5", 32, 0.0, 0.1),
    *(
        _value(README, model_name(factors, values, 1), "s3", TRAINED, solved, 0.1)
        for factors, values, solved in (
            *((2, "[-1,1]", 1.0), (1, "[-1,1]", 0.0)),
            *((1, "[0,1]", 0.0), (2, "[0,1]", 0.0)),
        )
    ),
    _value(DEPTH_THEOREM, model_name(1, "[-1,1]", 2), "s3", TRAINED, 1.0, 0.1),
    *(
        _value(BY_THEORY, model_name(factors, "[-1,1]", 1), group, TRAINED, solved, 0.1)
        for group in ("s4", "a5")
        for factors, solved in ((1, 0.0), (2, 1.0))
    ),
    *(
        _value(BY_THEORY, model_name(NEEDED[group], "[0,1]", 1), group, TRAINED, 0.0, 0.1)
        for group in ("s4", "a5", "s5")
    ),
]
"""Written down before any run; medians, where the publication shows one run."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is S3, small: one and two factors, both ranges, and two layers, words of at most 32
    letters (10 runs). ``gpu`` is all groups, factors, ranges and depths with short words first, 5
    seeds each: 220 runs, 199 s of two shared H200. ``full`` adds the published protocol at its
    size: 4,900 steps, 160 runs, about 5 hours (estimate). Whatever was interrupted goes on with

        statetrack grid experiments/deltaproduct.py --preset full

    ``smoke`` shows that everything works.
    """
    if preset in ("cpu", "smoke"):
        axes = _small(is_smoke=preset == "smoke")
    else:
        seeds = product({"seed": range(5)})
        wide = [(group, n, values, 1) for group in GROUPS for n in FACTORS for values in RANGES]
        deep = [(group, 1, "[-1,1]", layers) for group in GROUPS for layers in DEPTHS]
        axes = [fixed(*_settings(*one), *SHORT_WORDS_FIRST) * seeds for one in (*wide, *deep)]
        if preset == "full":
            axes += [fixed(*_settings(*one), *PUBLISHED_SIZE) * seeds for one in wide]
    return Grid.of(f"deltaproduct-{preset}", functools.reduce(operator.add, axes))


SHORT_WORDS_FIRST = [
    "model.head_size=16",
    "training.batch_size=512",
    "training.steps=2500",
    "training.learning_rate=0.004",
    "training.weight_decay=0.2",
    "training.warmup_steps=100",
    "training.curriculum=doubling(start=4, threshold=0.2, tokens=8192)",
    "training.schedule=settling(steps=1200, length=32)",
    "training.select_every=50",
    "training.select_words=128",
]
PUBLISHED_SIZE = [
    "model.head_size=32",
    "model.beta_bias=0",
    "training.batch_size=2048",
    "training.steps=4900",
    "training.learning_rate=0.001",
    "training.weight_decay=0.000001",
]


def _settings(group: str, factors: int, eigenvalue_range: str, layers: int) -> list[str]:
    beyond = group == "s5" and factors == 4 and eigenvalue_range == "[-1,1]"
    return [
        f"task={group}",
        "model=householder",
        f"model.num_factors={factors}",
        f"model.eigenvalue_range={eigenvalue_range}",
        f"model.num_layers={layers}",
        *["model.width=128", "model.num_heads=8", "model.range_steepness=1"],
        f"training.length={TRAINED}",
        "training.projections=tensorfloat32",
        f"evaluation.max_length={2048 if beyond else 512}",
        "evaluation.read_transitions=false",
    ]


def _small(*, is_smoke: bool) -> list[Axes]:
    kinds = [(1, "[0,1]", 1), (2, "[0,1]", 1), (1, "[-1,1]", 1), (2, "[-1,1]", 1), (1, "[-1,1]", 2)]
    sizes = [
        *["model.width=32", "model.num_heads=2", "model.head_size=8"],
        "training.length=32",
        "training.batch_size=64",
        "training.steps=500",
        "training.learning_rate=0.005",
        "training.warmup_steps=50",
        "training.weight_decay=0.1",
        "training.projections=float32",
        "training.curriculum=doubling(start=4, threshold=0.2, tokens=1024)",
        "training.schedule=settling(steps=200, length=32)",
        "evaluation.num_words=256",
    ]
    if is_smoke:
        kinds = [kinds[3], kinds[4]]
        sizes += ["training.steps=10", "evaluation.max_length=128", "evaluation.num_words=16"]
    seeds = product({"seed": range(1 if is_smoke else 2)})
    return [fixed(*_settings("s3", *one), *SHORT_WORDS_FIRST, *sizes) * seeds for one in kinds]


def measured(results: Results) -> pd.DataFrame:
    """Curves with the names of models and protocols."""
    runs = results.require_finished()
    shape = runs[["model.num_factors", "eigenvalue_range", "model.num_layers"]]
    runs = runs.assign(
        model=[model_name(*one) for one in shape.itertuples(index=False)],
        depth=runs["model.num_layers"],
        protocol=[
            AS_PUBLISHED if curriculum == "fixed" else SHORT_FIRST
            for curriculum in runs["training.curriculum"]
        ],
    )
    return join_curves(runs, results.table("curves"), ["whole_prefix_accuracy"])


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Published and measured numbers, protocol by protocol."""
    return {"published": compare_published(measured(results), PUBLISHED, by="protocol")}


def figure(results: Results) -> Figure:
    """Share of words right throughout over their length: panels of groups, by factors and depth."""
    frame = measured(results)
    groups = [group for group in GROUPS if group in set(frame["task"])]
    panels = {}
    for protocol in dict.fromkeys(frame["protocol"]):
        own = frame[frame["protocol"] == protocol]
        ours = "" if frame["protocol"].nunique() == 1 else f"\n({protocol})"
        wide, deep = own[own["depth"] == 1], own[own["model.num_factors"] == 1]
        panels |= {f"{group.upper()}{ours}": wide[wide["task"] == group] for group in groups}
        if (deep["depth"] > 1).any():
            deep = deep[deep["eigenvalue_range"] == "[-1,1]"]
            panels |= {
                f"{group.upper()}, more layers{ours}": deep[deep["task"] == group]
                for group in groups
            }
    return published_curves(panels, PUBLISHED)
