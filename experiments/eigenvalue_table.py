"""Grazzi et al.'s table: which models follow parity and modular arithmetic to 256 letters.

Transformer, mLSTM, sLSTM, and Mamba and DeltaNet with eigenvalues in [0,1] and in [-1,1], on parity
and on modular arithmetic (modulus 5, with products) without and with brackets, beside Table 3 of
arXiv 2411.12537: accuracy of the last answer at lengths 40 to 256, scaled by (a - c) / (1 - c) with
c = 1/2 and 1/5.

Two protocols. "Every prefix": words of 40 letters (39 of arithmetic), a label wherever there is an
answer, library defaults. "Last letter", as published: lengths 3 to 40, the last answer alone, a
convolution over four letters before Mamba and DeltaNet, eigenvalues from a plain sigmoid. Where
learning rates vary, the one with the best median accuracy on selection words counts, which are as
long as training words; the publication chose by words of 40 to 256 letters.

Other than published: brackets are one deep, words uniform among those of their length (published: a
recursive grammar with unary minus and no bound on depth, whose most frequent answer alone scores
.137; the dotted line is that score for our words); all models are as wide as those of parity (128).
"""

import functools
import operator

import pandas as pd
from matplotlib.figure import Figure

from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.published_axes import published_rows
from statetrack.training import Grid, Results, fixed, product, zipped
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "full", "smoke")

TASKS = {
    "parity": "parity",
    "modular_arithmetic": "arithmetic, no brackets",
    "modular_arithmetic_brackets_times": "arithmetic, brackets",
}
NOMINAL_CHANCE = {"parity": 1 / 2}
OTHER_CHANCE = 1 / 5
EVERY_PREFIX, LAST_LETTER = "every prefix", "last letter"

LOW, HIGH = "model.eigenvalue_range=[0,1]", "model.eigenvalue_range=[-1,1]"
MODELS = {
    "Transformer": ["model=transformer"],
    "mLSTM": ["model=mlstm"],
    "sLSTM": ["model=slstm"],
    "Mamba [0,1]": ["model=mamba", LOW],
    "Mamba [-1,1]": ["model=mamba", HIGH],
    "DeltaNet [0,1]": ["model=householder", LOW],
    "DeltaNet [-1,1]": ["model=householder", HIGH],
}
NAMES = {pairs[0].removeprefix("model="): name.split(" ")[0] for name, pairs in MODELS.items()}

TABLE_3 = {
    "Transformer": (0.022, 0.031, 0.067),
    "mLSTM": (0.087, 0.040, 0.114),
    "sLSTM": (1.000, 0.787, 0.178),
    "Mamba [0,1]": (0.000, 0.095, 0.123),
    "Mamba [-1,1]": (1.000, 0.241, 0.116),
    "DeltaNet [0,1]": (0.017, 0.314, 0.194),
    "DeltaNet [-1,1]": (1.000, 0.971, 0.260),
}
TABLE_5 = {"DeltaNet [-1,1]": (0.999, 0.826, 0.227)}
TOLERANCE = 0.1
"""Written down before any run: a tenth of the scale."""


def _values(where: str, rows: dict[str, tuple[float, ...]], statistic: str) -> list[PublishedValue]:
    return [
        PublishedValue(
            *("Grazzi et al. 2025", where, model, task, "scaled_accuracy", (40, 256)),
            *(value, TOLERANCE, statistic),
        )
        for model, values in rows.items()
        for task, value in zip(TASKS, values, strict=True)
    ]


BEST = _values("Table 3, best of 3 seeds", TABLE_3, "best")
MEDIANS = _values("Table 5, median of 3 seeds", TABLE_5, "median")


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is the column of parity, small (28 runs). ``gpu`` is the whole table in both protocols,
    315 runs: about half an hour of one H200 (an estimate from the speed of other packs). ``full``
    adds the published size of the second protocol: 4 learning rates, batches of 256, 20,000 steps
    on parity and 100,000 on arithmetic as in the published code, 420 more runs, about 12 hours.
    Whatever was interrupted goes on with

        statetrack grid experiments/eigenvalue_table.py --preset full

    ``smoke`` shows that everything works.
    """
    if preset in ("cpu", "smoke"):
        steps, words, seeds = (200, 512, range(2)) if preset == "cpu" else (20, 32, range(1))
        models = MODELS if preset == "cpu" else ("Mamba [-1,1]", "DeltaNet [-1,1]")
        axes = [
            fixed(
                *_settings("parity", model, protocol, steps, width=32),
                "model.num_layers=1",
                "training.batch_size=32",
                "training.select_every=50",
                "training.select_words=128",
                "evaluation.max_length=257",
                f"evaluation.num_words={words}",
            )
            * product({"seed": seeds})
            for protocol in (EVERY_PREFIX, LAST_LETTER)
            for model in models
        ]
    else:
        axes = [part for task in TASKS for model in MODELS for part in _cell(task, model, preset)]
    return Grid.of(f"eigenvalue_table-{preset}", functools.reduce(operator.add, axes))


FAST = ["training.projections=tensorfloat32"]


def _cell(task: str, model: str, preset: str) -> list[Axes]:
    """Runs of one number of the table."""
    seeds = product({"seed": range(5)})
    easy = task == "parity"
    ours = _settings(task, model, EVERY_PREFIX, 2_000 if easy else 10_000)
    theirs = _settings(task, model, LAST_LETTER, 5_000 if easy else 10_000)
    parts = [
        fixed(*ours, *FAST, "training.batch_size=128") * _rates(0.001, 0.003) * seeds,
        fixed(*theirs, *FAST, "training.batch_size=128") * _rates(0.001) * seeds,
    ]
    if preset == "full":
        published = _settings(task, model, LAST_LETTER, 20_000 if easy else 100_000)
        rates = _rates(0.01, 0.001, 0.0005, 0.0001)
        parts.append(fixed(*published, *FAST, "training.batch_size=256") * rates * seeds)
    return parts


def _rates(*rates: float) -> Axes:
    """Learning rates that all fall to 1e-6."""
    shares = [1e-6 / rate for rate in rates]
    return zipped({"training.learning_rate": rates, "training.final_rate_share": shares})


def _settings(task: str, model: str, protocol: str, steps: int, width: int = 128) -> list[str]:
    settings = [
        f"task={task}",
        *MODELS[model],
        f"model.width={width}",
        f"model.num_layers={2 if task == 'parity' else 3}",
        f"training.length={40 if task == 'parity' else 39}",
        f"training.steps={steps}",
        f"training.warmup_steps={steps // 10}",
        "training.weight_decay=0.1",
        "evaluation.max_length=577",
        "evaluation.read_transitions=false",
    ]
    if model.startswith("Mamba"):
        settings += [f"model.num_channels={2 * width}", f"model.state_size={width // 8}"]
        settings += [f"model.step_rank={width // 16}"]
    elif model != "sLSTM":
        settings += ["model.num_heads=4", f"model.head_size={width // 4}"]
    if protocol == LAST_LETTER:
        settings += ["task.supervision=final", "training.curriculum=uniform(shortest=3)"]
        if model.startswith(("Mamba", "DeltaNet")):
            settings.append("model.short_convolution=4")
        if model.startswith("DeltaNet"):
            settings += ["model.range_steepness=1", "model.beta_bias=0"]
    return settings


def measured(results: Results) -> pd.DataFrame:
    """Curves of the runs that count, with names, protocols and scaled accuracies."""
    runs = results.require_finished()
    protocol = runs["task.supervision"].map({"final": LAST_LETTER}).fillna(EVERY_PREFIX)
    published_size = (protocol == LAST_LETTER) & (runs["training.batch_size"] == 256)
    runs = runs.assign(
        model=[_name(*pair) for pair in zip(runs.model, runs.eigenvalue_range, strict=True)],
        protocol=protocol.mask(published_size, f"{LAST_LETTER}, published size"),
    )
    runs = best_rates(runs, results.table("history"))
    curves = join_curves(runs, results.table("curves"), ["token_accuracy"])
    chance = curves["task"].map(NOMINAL_CHANCE).fillna(OTHER_CHANCE)
    return curves.assign(
        scaled_accuracy=(curves["token_accuracy"] - chance) / (1 - chance),
        scaled_majority=(curves["majority_rate"] - chance) / (1 - chance),
    )


def _name(model: str, eigenvalue_range: object) -> str:
    name = NAMES[model]
    return f"{name} {eigenvalue_range}" if f"{name} {eigenvalue_range}" in MODELS else name


def best_rates(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Runs of the learning rate that is best on the selection words, cell by cell.

    Best: the highest median accuracy at the end of the training, then the lowest median loss.
    """
    last = history.sort_values("step").groupby("run_id").last()
    scored = runs.join(last[["selection_token", "loss"]], on="run_id")
    cell = ["task", "model", "protocol"]
    medians = (
        scored.groupby([*cell, "training.learning_rate"], sort=False)[["selection_token", "loss"]]
        .median()
        .reset_index()
        .sort_values(["selection_token", "loss"], ascending=[False, True], kind="stable")
    )
    best = medians.drop_duplicates(cell)[[*cell, "training.learning_rate"]]
    return runs.merge(best, on=[*cell, "training.learning_rate"])


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Published and measured numbers, protocol by protocol."""
    frame = measured(results)
    done = set(frame["task"])
    published = [value for value in (*BEST, *MEDIANS) if value.task in done]
    return {"published": compare_published(frame, published, by="protocol")}


def figure(results: Results) -> Figure:
    """Every seed beside the published number, a row a model, a panel a task."""
    frame = measured(results)
    panels = {title: frame[frame["task"] == task] for task, title in TASKS.items()}
    drawn = published_rows(panels, BEST, "scaled accuracy, mean over lengths 40 to 256")
    shown = [panel for panel in panels.values() if not panel.empty]
    for axes, panel in zip(drawn.axes, shown, strict=True):
        far = panel[panel["length"].between(40, 256)]
        axes.axvline(far["scaled_majority"].mean(), color="0.35", linewidth=0.8, linestyle=":")
    return drawn
