"""Predicted against measured: which recurrent model follows which automaton, as theory says.

Every registered recurrent model for which theory has a verdict, one layer each, on 23 automata from
J-trivial ones to groups that are not solvable. Verdicts are computed from the automaton and the
configuration of the model by `predict_expressivity` (`docs/expressivity.md`), classes from the
transition monoid; nothing is copied by hand. "Can" and "cannot" speak of the best there is, so the
best seed is held against them: the length to which nine of ten words are right throughout, with 8
times the training length the longest that is measured.

Expected before any run:

1. No model follows to 8 times the training length what it cannot follow, but where random words
   forget their past (automata with resets): there the impossible words are too rare to show.
2. Of what a model can follow, at least half is learned within the training length, for groups of
   up to six elements nearly all; of groups of 60 elements less than half, since steps are few.
3. At least a third of what can be followed and is learned is lost before 8 times the training
   length: weights come near the construction and do not reach it.
4. Where a model cannot, it is right for some letters and not for the training length; diagonal
   models with [-1,1] on groups of three and six elements, which they can spell out for a while,
   are the exceptions.

Disagreements have kinds, and rules that were written down with them say what explains one:

- "learned, lost later" (possible) by *precision*;
- "not learned" (possible) by *steps*, where words still grew in the last third of the training of
  some seed; otherwise it is *open*;
- "learned, impossible" by *finite lengths*, where it is lost before 8 times the training length;
- "followed, impossible" by *local words*, where the last letters, as many as training words have,
  tell the state in 99 % of words 8 times as long; otherwise it is *open*.
"""

import functools
import json
import operator

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from automata.monoids import transition_monoid
from automata.tasks import AutomatonTask
from automata.tasks.locality import accuracy_from_last_tokens
from statetrack.analysis import horizons, predict_expressivity, share_interval
from statetrack.analysis.expressivity import Expressivity, standard_models
from statetrack.analysis.expressivity_algebra import TaskAlgebra, read_task
from statetrack.analysis.expressivity_classes import transition_class
from statetrack.analysis.extrapolation import join_curves
from statetrack.analysis.run_names import run_names
from statetrack.analysis.styles import paper_style
from statetrack.analysis.verdict_axes import OPEN, verdict_handles, verdict_map
from statetrack.models.config import model_config, model_label
from statetrack.training import Grid, Results, RunConfig, fixed, product
from statetrack.training.axes import Axes

PRESETS = ("cpu", "gpu", "smoke")
FOLLOWED, LOCAL, MULTIPLE = 0.9, 0.99, 8

IN_THE_SUITE = (
    *("r_trivial-5-0", "r_trivial-5-1", "r_trivial-5-3"),
    *("aperiodic-5-0", "aperiodic-5-1", "aperiodic-5-4"),
    *("abelian_group-5-0", "solvable_group-5-0", "nonsolvable_group-5-0"),
    *("solvable_mixed-5-0", "solvable_mixed-5-1", "uniform-5-0", "uniform-5-1"),
    *("nonsolvable_mixed-5-0", "nonsolvable_mixed-5-1"),
)
"""Five states and three letters, so that all of them train in one pack of a model."""


def _of_the_suite(name: str) -> list[str]:
    kind, states, seed = name.split("-")
    numbers = {"num_states": states, "num_symbols": 3, "seed": seed}
    return [
        *("task=random_dfa", f"task.kind={kind}"),
        *(f"task.{key}={value}" for key, value in numbers.items()),
    ]


WORD_PROBLEMS = ("Z2", "Z3", "Z6", "Z60", "S3", "A4xZ5", "A5")
LARGE = ("Z60", "A4xZ5", "A5")
TASKS = {
    "flip-flop": ["task=flip_flop"],
    **{name: ["task=word_problem", f"task.group={name}"] for name in WORD_PROBLEMS},
    **{name: _of_the_suite(name) for name in IN_THE_SUITE},
}
CLASSES = (
    *("J-trivial", "R-trivial", "L-trivial", "aperiodic"),
    *("abelian group", "solvable group", "non-solvable group"),
    *("solvable, mixed", "non-solvable, mixed"),
)

WIDE = "[-1,1]"
BOTH_RANGES = ("diagonal", "householder")
"""Of other models with a range the wider one is taken."""

ON_A_CPU = {
    "models": (
        *("linear attention", "LRU", "diagonal [0,1]", "diagonal [-1,1]"),
        *("complex diagonal disc", "Householder n_h=2 [-1,1]", "MRU exponential", "LSTM"),
    ),
    "tasks": (
        *("flip-flop", "Z2", "S3", "r_trivial-5-0", "aperiodic-5-0", "aperiodic-5-1"),
        *("abelian_group-5-0", "solvable_group-5-0", "nonsolvable_group-5-0"),
        *("solvable_mixed-5-1", "nonsolvable_mixed-5-1"),
    ),
}

ORDER = (
    *("sum", "fixed", "real_diagonal", "complex_diagonal", "householder", "rank_one"),
    *("one_hot", "matrix_unit", "matrix", "nonlinear"),
)
"""Rows of the figure: kinds of transitions, roughly by what they can follow."""

KINDS = {
    "learned, lost later": "possible",
    "not learned": "possible",
    "learned, impossible": "impossible",
    "followed, impossible": "impossible",
}
"""Ways to disagree with a prediction, and what had been predicted."""


@functools.cache
def models() -> dict[str, list[str]]:
    """Settings of every recurrent model that theory says something of, by label."""
    found: dict[str, list[str]] = {}
    known = [(name, more, model_config(name, more)) for name, more in standard_models()]
    ranged = {name for name, _, config in known if WIDE in model_label(name, config)}
    for name, parameters, config in known:
        label = model_label(name, config)
        if name in ranged.difference(BOTH_RANGES) and WIDE not in label:
            continue
        if transition_class(name, config).kind == "memoryless":
            continue
        values = {key: json.dumps(value) for key, value in parameters.items()}
        pairs = [f"model={name}", *(f"model.{key}={value}" for key, value in values.items())]
        verdicts = {prediction(tuple(pairs), task, config.width).verdict for task in TASKS}
        if verdicts != {OPEN}:
            found.setdefault(label, pairs)
    return found


def _transitions(label: str) -> str:
    run = RunConfig.from_pairs(["task=parity", *models()[label]])
    return transition_class(run.model.name, model_config(run.model.name, run.model.parameters)).kind


@functools.cache
def prediction(model: tuple[str, ...], task: str, width: int) -> Expressivity:
    """What theory says of a model, given by its settings, and an automaton, given by its name."""
    run = RunConfig.from_pairs([*TASKS[task], *model, f"model.width={width}"])
    return predict_expressivity(
        model_config(run.model.name, run.model.parameters), run.task.build()
    )


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is eight models on eleven automata, two seeds (176 runs). ``gpu`` is all models (34) on
    all 23 automata, five seeds, 1,000 steps of 128 words (2,000 for groups of 60 elements): 3,910
    runs, about 10 minutes of one H200 (an estimate from the speed of other packs, not measured).
    What was interrupted goes on with

        statetrack grid experiments/expressivity_map.py --preset gpu

    ``smoke`` shows that everything works.
    """
    name = f"expressivity_map-{preset}"
    if preset == "gpu":
        size = ["model.width=64", "training.batch_size=128", "training.length=32"]
        size += ["training.learning_rate=0.003", "training.projections=tensorfloat32"]
        size += ["training.select_every=50", "training.select_words=128"]
        size += ["evaluation.max_length=256", "evaluation.num_words=512"]
        cells = _cells(tuple(models()), tuple(TASKS), size, {"few": 1000, "many": 2000})
        return Grid.of(name, cells * product({"seed": range(5)}))
    size = ["model.width=32", "training.batch_size=32", "training.length=16"]
    size += ["training.learning_rate=0.005", "training.select_every=25"]
    size += ["training.select_words=64", "evaluation.max_length=128", "evaluation.num_words=128"]
    if preset == "smoke":
        two = ("diagonal [0,1]", "LSTM"), ("Z2", "aperiodic-5-1")
        return Grid.of(name, _cells(*two, size, {"few": 10}))
    cells = _cells(ON_A_CPU["models"], ON_A_CPU["tasks"], size, {"few": 300})
    return Grid.of(name, cells * product({"seed": range(2)}))


def _cells(
    labels: tuple[str, ...], tasks: tuple[str, ...], size: list[str], steps: dict[str, int]
) -> Axes:
    cells = [
        fixed(
            *TASKS[task],
            *models()[label],
            *size,
            f"training.steps={steps['many' if task in LARGE else 'few']}",
            "training.curriculum=doubling(start=4, threshold=0.2)",
            "evaluation.read_transitions=false",
        )
        for label in labels
        for task in tasks
    ]
    return functools.reduce(operator.add, cells)


@functools.cache
def algebra(task: str) -> TaskAlgebra:
    """Facts about the minimal automaton of a task."""
    return read_task(_task(task))


@functools.cache
def _task(name: str) -> AutomatonTask:
    task = RunConfig.from_pairs([*TASKS[name], "model=diagonal"]).task.build()
    assert isinstance(task, AutomatonTask)
    return task


@functools.cache
def algebraic_class(task: str) -> str:
    """One of `CLASSES`, from the transition monoid and the groups inside it."""
    facts = algebra(task)
    if facts.is_aperiodic:
        monoid = transition_monoid(facts.dfa)
        sides = {"R-trivial": monoid.is_r_trivial, "L-trivial": monoid.is_l_trivial}
        held = [name for name, holds in sides.items() if holds]
        return held[0] if len(held) == 1 else "J-trivial" if held else "aperiodic"
    solvable = all(group.derived_length is not None for group in facts.groups)
    if not facts.is_group:
        return "solvable, mixed" if solvable else "non-solvable, mixed"
    if facts.groups[0].is_abelian:
        return "abelian group"
    return "solvable group" if solvable else "non-solvable group"


def measured(results: Results) -> pd.DataFrame:
    """Of every run: task, model (its label), horizon, training length, and when words grew last.

    The horizon is the last length to which nine of ten words are right throughout, 0 for none;
    `grew` is the share of the steps after which the words grew no more, NaN where they never came
    to be longer.
    """
    runs = results.require_finished()
    runs = runs.assign(task=run_names(runs, TASKS), model=runs["label"])
    curves = join_curves(runs, results.table("curves"), ["whole_prefix_accuracy"])
    reached = horizons(curves, FOLLOWED, "whole_prefix_accuracy")
    history = results.table("history").sort_values("step")
    longer = history[history.groupby("run_id")["length"].diff() > 0]
    last = longer.groupby("run_id")["step"].max().rename("last_growth")
    columns = ["run_id", "task", "model", "seed", "training_length", "training_steps"]
    frame = runs[[*columns, "model.width"]].merge(reached, on="run_id").join(last, on="run_id")
    return frame.assign(grew=frame["last_growth"] / frame["training_steps"])


def cells(results: Results) -> pd.DataFrame:
    """One row a model and automaton: verdict, what was measured, kind of disagreement, why.

    Returns
    -------
    DataFrame
        algebraic_class, task, model, verdict, reason, num_runs, best_horizon and median_horizon
        (letters), score (best horizon over training length), kind (of `KINDS`; empty where
        prediction and measurement agree or theory is open), explanation (a rule of the
        experiment, or "open"; empty where there is no disagreement).
    """
    rows = []
    for (model, task), own in measured(results).groupby(["model", "task"], sort=False):
        trained, width = (int(own[name].iloc[0]) for name in ("training_length", "model.width"))
        longest, best = int(own["longest"].max()), int(own["horizon"].max())
        found = prediction(tuple(models()[model]), task, width)
        kind = _kind(found.verdict, best, trained, min(longest, MULTIPLE * trained))
        rows.append(
            {
                "algebraic_class": algebraic_class(task),
                "task": task,
                "model": model,
                "verdict": found.verdict,
                "reason": found.reason,
                "num_runs": len(own),
                "best_horizon": best,
                "median_horizon": float(own["horizon"].median()),
                "score": best / trained,
                "kind": kind,
                "explanation": _explanation(kind, own, task, trained) if kind else "",
            }
        )
    return pd.DataFrame(rows)


def _kind(verdict: str, best: int, trained: int, far: int) -> str:
    if verdict == "can" and best < far:
        return "learned, lost later" if best >= trained else "not learned"
    if verdict == "cannot" and best >= trained:
        return "learned, impossible" if best < far else "followed, impossible"
    return ""


def _explanation(kind: str, own: pd.DataFrame, task: str, trained: int) -> str:
    if kind == "learned, lost later":
        return "precision"
    if kind == "not learned":
        return "steps" if (own["grew"] > 2 / 3).any() else OPEN
    if kind == "learned, impossible":
        return "finite lengths"
    seen = accuracy_from_last_tokens(_task(task), trained, MULTIPLE * trained)
    return "local words" if seen.accuracy >= LOCAL else OPEN


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Agreement by class and verdict, disagreements with reasons, and the whole map."""
    frame = cells(results)
    told = frame[frame["verdict"] != OPEN]
    rows = []
    for (verdict, name), own in [
        *(((verdict, "all"), told[told["verdict"] == verdict]) for verdict in ("can", "cannot")),
        *told.groupby(["verdict", "algebraic_class"]),
    ]:
        if own.empty:
            continue
        agree = int((own["kind"] == "").sum())
        low, high = share_interval(agree, len(own), method="clopper_pearson")
        counts = {kind: int((own["kind"] == kind).sum()) for kind in KINDS}
        unexplained = int((own["explanation"] == OPEN).sum())
        shares = {"share": agree / len(own), "low": float(low), "high": float(high)}
        head = {"verdict": verdict, "algebraic_class": name, "cells": len(own), "agree": agree}
        rows.append({**head, **shares, **counts, "open": unexplained})
    disagreements = told[told["kind"] != ""].drop(columns=["score", "num_runs"])
    order = [*KINDS]
    disagreements = disagreements.sort_values(
        ["kind", "explanation"],
        key=lambda column: column.map(order.index) if column.name == "kind" else column,
        kind="stable",
    )
    return {
        "agreement": pd.DataFrame(rows),
        "disagreements": disagreements,
        "map": frame.drop(columns="reason"),
    }


def figure(results: Results) -> Figure:
    """Models by automata: how far the best seed follows, and what theory had said."""
    frame = cells(results)
    tasks = sorted(
        frame["task"].unique(),
        key=lambda name: (CLASSES.index(algebraic_class(name)), [*TASKS].index(name)),
    )
    labels = sorted(
        (label for label in models() if label in set(frame["model"])),
        key=lambda label: ORDER.index(_transitions(label)),
    )
    with mpl.rc_context({**paper_style(), "axes.grid": False}):
        figure = Figure(
            figsize=(2.6 + 0.29 * len(tasks), 2.6 + 0.2 * len(labels)), layout="constrained"
        )
        axes = figure.subplots()
        verdict_map(axes, frame, labels, {task: algebraic_class(task) for task in tasks}, MULTIPLE)
        axes.set_xticks(axes.get_xticks(), [_title(name) for name in tasks], rotation=90, va="top")
        seeds = int(frame["num_runs"].max())
        axes.set_xlabel(
            f"length to which nine of ten words are right throughout, best of {seeds} seeds,\n"
            "over the training length; no mark: theory is open",
            loc="right",
        )
        figure.legend(
            handles=verdict_handles(MULTIPLE),
            loc="outside lower center",
            ncols=2 if len(tasks) < 16 else 4,
            frameon=False,
        )
    return figure


def _title(task: str) -> str:
    """Name of a task; of an automaton of the suite with its largest group."""
    groups = algebra(task).groups
    if not groups or task not in IN_THE_SUITE:
        return task
    return f"{groups[0].name} (suite {task.partition('-')[2]})"
