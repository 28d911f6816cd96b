"""Which linear recurrences add, compare and calculate beyond 40 letters, by the size of a block.

Fan, Chi and Rudnicky 2024 (arXiv 2309.07412): sums modulo 5, even pairs of 5 symbols and arithmetic
modulo 5, a label at every position (of arithmetic after every number), words of 40 letters, read at
letter 500. They say that blocks of 8, chosen by the letter and held by a norm of their columns,
make the only linear recurrence that extrapolates on all three. Their table was not to hand, so what
is compared is that sentence: blocks of 8 reach 1.0 on every task within .05 in the best run, and a
diagonal or fixed recurrence stays below .9 on sums and arithmetic.

Asked beside it: blocks of 2, 4 and 8 with as many states, with and without the norm. A centred
column of p-norm 1 keeps permutations of 8 states below .75 in eigenvalue (notes of the model), so
that the norm alone should cost blocks of 8 their memory, unless they turn in smaller planes.

Two protocols. "Library": AdamW with a falling rate. "Published", in the preset full: 40,000 steps
of Adam at a constant rate without weight decay, 1 layer, 3 of arithmetic; they stop at the best of
checkpoints that are tested every 1,000 steps on 128 test words, here the last one is measured.
"""

import functools
import operator

import pandas as pd
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.published import published_for
from statetrack.analysis.published_axes import published_curves
from statetrack.analysis.run_names import run_names
from statetrack.training import Grid, Results, fixed, product
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "full", "smoke")

TASKS = {
    "sum": "sum mod 5",
    "mary_even_pairs": "even pairs of 5",
    "modular_arithmetic": "arithmetic",
}
LIBRARY, AS_PUBLISHED = "library", "published"

BLOCKS = {size: f"model.block_size={size}" for size in (2, 4, 8)}
MODELS = {
    "blocks of 8": ["model=block_diagonal", BLOCKS[8], "model.num_blocks=8"],
    "blocks of 4": ["model=block_diagonal", BLOCKS[4], "model.num_blocks=16"],
    "blocks of 2": ["model=block_diagonal", BLOCKS[2], "model.num_blocks=32"],
    "blocks of 8, no norm": [
        *("model=block_diagonal", BLOCKS[8], "model.num_blocks=8", "model.block_norm=none"),
    ],
    "diagonal [-1,1]": ["model=diagonal"],
    "complex diagonal": ["model=complex_diagonal"],
    "S4D": ["model=s4d"],
    "LRU": ["model=lru"],
    "Mamba": ["model=mamba"],
    "DeltaNet [-1,1]": ["model=householder"],
    "DeltaProduct [-1,1]": ["model=householder", "model.num_factors=2"],
    "MRU": ["model=mru"],
    "LSTM": ["model=lstm"],
}
ON_A_CPU = ("blocks of 8", "blocks of 4", "blocks of 2", "diagonal [-1,1]", "LSTM")

SOURCE = ("Fan et al. 2024", "abstract: the only LRNN that extrapolates")
PUBLISHED = [
    PublishedValue(*SOURCE, "blocks of 8", task, "token_accuracy", 500, 1.0, 0.05, "best")
    for task in TASKS
] + [
    PublishedValue(*SOURCE, model, task, "token_accuracy", 500, 0.45, 0.45, "best")
    for model in ("diagonal [-1,1]", "S4D", "LRU")
    for task in ("sum", "modular_arithmetic")
]
"""The last ones say: below .9."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is five small models on sums and even pairs, two seeds (20 runs). ``gpu`` is 13 models
    on the three tasks, 5 seeds, 5,000 steps: 195 runs, about 5 minutes of one H200 (an estimate
    from the speed of other packs, not measured). ``full`` adds the published training, 195 runs of
    40,000 steps, about 45 minutes. What was interrupted goes on with

        statetrack grid experiments/block_diagonal.py --preset full

    ``smoke`` shows that everything works.
    """
    if preset == "smoke":
        small = ["model.width=16", "training.batch_size=8", "training.steps=10"]
        axes = [_cell(task, "blocks of 4", [*small, "evaluation.num_words=32"]) for task in TASKS]
        return Grid.of("block_diagonal-smoke", _sum(axes))
    if preset == "cpu":
        small = ["model.width=32", "training.batch_size=32", "training.steps=300"]
        small += ["training.learning_rate=0.005", "training.select_words=64"]
        small += ["evaluation.num_words=128"]
        axes = [
            _cell(task, model, small) for task in ("sum", "mary_even_pairs") for model in ON_A_CPU
        ]
        return Grid.of("block_diagonal-cpu", _sum(axes) * product({"seed": range(2)}))
    sizes = [["training.steps=5000", "training.warmup_steps=500", "training.learning_rate=0.002"]]
    if preset == "full":
        sizes.append(
            [
                "training.steps=40000",
                "training.warmup_steps=0",
                "training.weight_decay=0",
                "training.beta2=0.999",
                "training.schedule=constant",
                "training.select_every=1000",
            ]
        )
    axes = [
        _cell(task, model, ["model.width=64", "training.batch_size=128", *size, *_rate(task, size)])
        for size in sizes
        for task in TASKS
        for model in MODELS
    ]
    return Grid.of(f"block_diagonal-{preset}", _sum(axes) * product({"seed": range(5)}))


def _rate(task: str, size: list[str]) -> list[str]:
    """The published learning rate, where the size has none."""
    if any(pair.startswith("training.learning_rate=") for pair in size):
        return []
    return [f"training.learning_rate={1e-4 if task == 'sum' else 2e-4}"]


def _sum(axes: list[Axes]) -> Axes:
    return functools.reduce(operator.add, axes)


def _cell(task: str, model: str, size: list[str]) -> Axes:
    is_arithmetic = task == "modular_arithmetic"
    return fixed(
        f"task={task}",
        *MODELS[model],
        *size,
        f"model.num_layers={3 if is_arithmetic else 1}",
        f"training.length={39 if is_arithmetic else 40}",
        "evaluation.max_length=577",
        "evaluation.read_transitions=false",
    )


def measured(results: Results) -> pd.DataFrame:
    """Curves of finished runs with the names of models and protocols."""
    runs = results.require_finished()
    protocol = runs["training.schedule"].map({"constant": AS_PUBLISHED}).fillna(LIBRARY)
    runs = runs.assign(model=run_names(runs, MODELS), protocol=protocol)
    return join_curves(runs, results.table("curves"), ["token_accuracy"])


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Published and measured, protocol by protocol."""
    frame = measured(results)
    values = published_for(frame, PUBLISHED)
    return {"published": compare_published(frame, values, by="protocol")}


def figure(results: Results) -> Figure:
    """Accuracy at every length, a panel a task and protocol."""
    frame = measured(results)
    panels = {
        f"{title}, {protocol}" if frame["protocol"].nunique() > 1 else title: frame[
            (frame["task"] == task) & (frame["protocol"] == protocol)
        ]
        for protocol in dict.fromkeys(frame["protocol"])
        for task, title in TASKS.items()
    }
    claimed = [value for value in PUBLISHED if value.model == "blocks of 8"]
    return published_curves(panels, claimed, metric="token_accuracy")
