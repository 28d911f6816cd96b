"""S5 and its easier letters: what one reflection a letter follows, with one layer and with five.

Figure 4 of Grazzi et al. (arXiv 2411.12537): DeltaNet and Mamba with eigenvalues in [0,1] and
[-1,1] on the word problem of S5 with four choices of letters: the identity and the ten swaps; all
permutations that move at most three points; each of the 120 spelled out with three fillers behind
it; and all 120. Measured is the share of words that are right at every position.

Two protocols. "Short words first": words of 4 letters until they are learned, then twice as long,
to 32 (64 with fillers). "Published": words of 32 (64) letters from the first step, learning rate
1e-4, weight decay .01, eigenvalues from a plain sigmoid; fresh words where the publication has 1.6
million. Its text names few numbers: what "good" and "slightly" mean as numbers is our reading, with
wide tolerances. Left out is its full-matrix baseline. With fillers only the last one is asked here,
there every letter.
"""

import functools
import operator

import pandas as pd
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.published_axes import published_curves
from statetrack.training import Grid, Results, fixed, product
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "full", "smoke")

VARIANTS = {
    "swaps": "task.generators=swaps",
    "at most 3 points": "task.generators=moves_3",
    "4 letters each": "task.tokens_per_element=4",
    "all elements": "task.generators=all",
}
SHORT_FIRST, AS_PUBLISHED = "short words first", "published"
NAMES = {"householder": "DeltaNet", "mamba": "Mamba"}


def model_name(model: str, eigenvalue_range: str, layers: int) -> str:
    """Name in the legend and among the published values."""
    return f"{NAMES[model]} {eigenvalue_range}, {layers} layer{'s' if layers > 1 else ''}"


ONE = ("householder", "[-1,1]", 1)
FIVE = ("householder", "[-1,1]", 5)
NOT_NEGATIVE = ("householder", "[0,1]", 5)
MODELS = (ONE, FIVE, NOT_NEGATIVE, ("mamba", "[-1,1]", 5), ("mamba", "[0,1]", 5))

READINGS_OF_FIGURE_4 = (
    (ONE, "swaps", 500, 1.0, 0.05, '"fully learned"'),
    (NOT_NEGATIVE, "swaps", 64, 0.0, 0.1, '"slightly beyond training length", our reading'),
    (FIVE, "at most 3 points", 128, 1.0, 0.2, '"good length generalization", our reading'),
    (FIVE, "4 letters each", 160, 1.0, 0.2, "good until about 200, our reading"),
    *((model, "all elements", 32, 0.0, 0.05, "0 before 30 letters") for model in MODELS),
)
"""Model, letters, length, value, tolerance; written down before any run."""

PUBLISHED = [
    PublishedValue(
        *("Grazzi et al. 2025", f"Figure 4, best of 3 seeds: {words}", model_name(*model)),
        *(variant, "whole_prefix_accuracy", length, value, tolerance, "best"),
    )
    for model, variant, length, value, tolerance, words in READINGS_OF_FIGURE_4
]


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is DeltaNet of one layer, half as wide, on all four, 2 seeds each (10 runs). ``gpu`` is
    all models and letters with short words first, and under the published protocol a tenth of the
    published steps for the three models that the text names on swaps and three points: 5 seeds
    each, 115 runs, about 25 minutes of one H200 (an estimate from the speed of other packs).
    ``full`` has the published protocol for all, all 312,500 steps: 200 runs, about a day. Whatever
    was interrupted goes on with

        statetrack grid experiments/s5_variants.py --preset full

    ``smoke`` shows that everything works.
    """
    if preset in ("cpu", "smoke"):
        axes = _small(is_smoke=preset == "smoke")
    else:
        named = [(model, variant) for model, variant, *_ in READINGS_OF_FIGURE_4[:3]]
        every = [(model, variant) for variant in VARIANTS for model in MODELS]
        published, steps = (every, 312_500) if preset == "full" else (named, 31_250)
        seeds = product({"seed": range(5)})
        axes = [fixed(*_settings(*one, *SHORT_WORDS_FIRST)) * seeds for one in every]
        axes += [fixed(*_settings(*one, *_as_published(steps))) * seeds for one in published]
    return Grid.of(f"s5_variants-{preset}", functools.reduce(operator.add, axes))


SHORT_WORDS_FIRST = [
    "training.batch_size=512",
    "training.steps=4000",
    "training.learning_rate=0.003",
    "training.warmup_steps=100",
    "training.curriculum=doubling(start=4, threshold=0.2, tokens=8192)",
    "training.schedule=settling(steps=1200, length=32)",
    "training.select_every=50",
    "training.select_words=128",
]


def _as_published(steps: int) -> list[str]:
    return [
        "training.batch_size=512",
        f"training.steps={steps}",
        "training.learning_rate=0.0001",
        "training.weight_decay=0.01",
    ]


def _settings(model: tuple[str, str, int], variant: str, *protocol: str) -> list[str]:
    name, eigenvalue_range, layers = model
    if name == "mamba":
        size = ["model.num_channels=256", "model.state_size=16", "model.step_rank=8"]
    else:
        size = ["model.num_heads=4", "model.head_size=32"]
        if "training.learning_rate=0.0001" in protocol:
            size += ["model.range_steepness=1", "model.beta_bias=0"]
    return [
        "task=s5",
        VARIANTS[variant],
        f"model={name}",
        f"model.eigenvalue_range={eigenvalue_range}",
        f"model.num_layers={layers}",
        "model.width=128",
        *size,
        f"training.length={64 if variant == '4 letters each' else 32}",
        "training.projections=tensorfloat32",
        *protocol,
        "evaluation.max_length=512",
        "evaluation.read_transitions=false",
    ]


def _small(*, is_smoke: bool) -> list[Axes]:
    kinds = [(ONE, variant) for variant in VARIANTS] + [(("householder", "[0,1]", 1), "swaps")]
    sizes = [
        *["model.width=64", "model.head_size=8", "training.projections=float32"],
        "training.batch_size=128",
        "training.steps=400",
        "training.learning_rate=0.005",
        "training.warmup_steps=50",
        "training.curriculum=doubling(start=4, threshold=0.3, tokens=1024)",
        "training.schedule=settling(steps=200, length=32)",
        "evaluation.num_words=256",
    ]
    if is_smoke:
        kinds = kinds[2:4]
        sizes += ["training.steps=10", "evaluation.max_length=128", "evaluation.num_words=16"]
    seeds = product({"seed": range(1 if is_smoke else 2)})
    return [fixed(*_settings(*one, *SHORT_WORDS_FIRST), *sizes) * seeds for one in kinds]


def measured(results: Results) -> pd.DataFrame:
    """Curves with the names of models, letters (as tasks) and protocols."""
    runs = results.require_finished()
    letters = {pair.partition("=")[2]: variant for variant, pair in VARIANTS.items()}
    spelled = runs["task.tokens_per_element"] == 4
    runs = runs.assign(
        task=runs["task.generators"].map(letters).mask(spelled, "4 letters each"),
        model=[
            model_name(run.model, run.eigenvalue_range, layers)
            for run, layers in zip(runs.itertuples(), runs["model.num_layers"], strict=True)
        ],
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
    """Share of words right throughout over their length, a panel a choice of letters."""
    frame = measured(results)
    protocols = list(dict.fromkeys(frame["protocol"]))
    panels = {
        variant if len(protocols) == 1 else f"{variant}\n({protocol})": frame[
            (frame["task"] == variant) & (frame["protocol"] == protocol)
        ]
        for protocol in protocols
        for variant in VARIANTS
    }
    return published_curves(panels, PUBLISHED)
