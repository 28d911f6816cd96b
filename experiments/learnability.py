"""How many tokens groups and aperiodic monoids take to learn, by derived length and size.

Groups of equal order differ in derived length and not in letters, states or words: all elements are
letters, or four random ones that generate the group (one draw a group). Z6 stands beside S3, Z8
beside D4 and Q8, Z12 beside A4, D6 and Dic3, Z24 beside S4 and SL(2,3), Z60 beside D30, A4xZ5 and
A5, Z120 beside S4xZ5, S5 and SL(2,5). As aperiodic monoids there are flip-flops of n values (the
value written last) and walks between two walls with n places. A run is over when it has solved its
task (99 % of words right throughout at the training length); counted are the tokens until then, and
a run that never does is censored at the tokens of all steps at full length.

Expected before any run, with the size of the effect:

1. Size counts: over the groups of a model Spearman's correlation of order and tokens is at least
   .6.
2. Derived length does not, where transitions are matrices or nonlinear: one layer holds a whole
   representation. At equal order at most one in five comparisons with the cyclic group is real
   after Holm's correction, and ratios of medians lie between 1/2 and 2. The other way round is as
   likely: Z24 turns by 15 degrees where S4 turns by 90, so large cyclic groups need finer angles.
3. The control in which derived length does count is the complex diagonal layer, which theory
   excludes from length 2 on: it solves cyclic groups alone.
4. Nor does solvability: A5 takes at most twice the tokens of Z60 and of A4xZ5.
5. Flip-flops take at most half the tokens of the cyclic group with as many states, except for MRU
   with rotations, which forgets nothing. Walks, with more elements and two letters, lie between.
6. Four letters instead of all take fewer tokens from order 24 on, by a factor of at least 2: part
   of the effect of size is that every letter must be seen.

Groups are compared by exact rank tests in which runs that did not solve their task are tied above
all others; medians are Kaplan and Meier's.
"""

import functools
import itertools
import operator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from automata.groups import parse
from automata.monoids import transition_monoid
from statetrack.analysis import compare, holm, horizon_distributions, horizon_scores
from statetrack.analysis.run_names import run_names
from statetrack.analysis.styles import paper_style
from statetrack.training import Grid, Results, fixed, product
from statetrack.training.axes import Axes
from statetrack.training.config import TaskConfig

PRESETS = ("cpu", "gpu", "smoke")
LEVEL = 0.05

BY_ORDER = {
    6: ("Z6", "S3"),
    8: ("Z8", "D4", "Q8"),
    12: ("Z12", "D6", "Dic3", "A4"),
    24: ("Z24", "S4", "SL(2,3)"),
    60: ("Z60", "D30", "A4xZ5", "A5"),
    120: ("Z120", "S4xZ5", "S5", "SL(2,5)"),
}
"""The first of an order is cyclic, and the others are compared with it."""

GROUPS = {name: order for order, names in BY_ORDER.items() for name in names}
ALPHABETS = {"all": "all", "four": "random_4"}
LARGEST = 120
APERIODIC = {
    "flip-flop": ["task=flip_flop", "task.num_values={}"],
    "walk": ["task=grid_world", "task.shape={}"],
}
TASKS = {
    **{
        f"{name}, {letters}": [
            *("task=word_problem", f"task.group={name}", f"task.generators={generators}")
        ]
        for name in GROUPS
        for letters, generators in ALPHABETS.items()
    },
    **{
        f"{name} {size}": [pair.format(size) for pair in pairs]
        for name, pairs in APERIODIC.items()
        for size in BY_ORDER
        if size < LARGEST
    },
}
MODELS = {
    "Householder n_h=2": ["model=householder", "model.num_factors=2"],
    "MRU exponential": ["model=mru", "model.input_method=exponential"],
    "block-diagonal": ["model=block_diagonal"],
    "LSTM": ["model=lstm"],
    "complex diagonal": ["model=complex_diagonal"],
}
CLASSES = ("aperiodic", "derived length 1", "derived length 2", "derived length 3", "non-solvable")


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu`` is four models on the groups of order 6, 8 and 12, Z24 and S4, and flip-flops and walks
    of as many states, two seeds, at most 400 steps (136 runs). ``gpu`` is five models on all
    groups, with all elements as letters and (but for order 120) with four, and on flip-flops and
    walks, five seeds, at most 3,000 steps: 1,150 runs, about 10 minutes of one H200 (an estimate
    from the speed of other packs, not measured). What was interrupted goes on with

        statetrack grid experiments/learnability.py --preset gpu

    ``smoke`` shows that everything works.
    """
    name = f"learnability-{preset}"
    if preset == "gpu":
        size = ["model.width=64", "training.batch_size=128", "training.length=32"]
        size += ["training.steps=3000", "training.learning_rate=0.003"]
        size += ["training.projections=tensorfloat32", "training.select_every=25"]
        size += ["training.select_words=256", "evaluation.max_length=64"]
        tasks = [
            task for task in TASKS if task not in {f"{one}, four" for one in BY_ORDER[LARGEST]}
        ]
        return Grid.of(name, _cells(tuple(MODELS), tasks, size) * product({"seed": range(5)}))
    size = ["model.width=32", "training.batch_size=64", "training.length=16"]
    size += ["training.steps=400", "training.learning_rate=0.005", "training.select_every=20"]
    size += ["training.select_words=128", "evaluation.max_length=32"]
    if preset == "smoke":
        tiny = [*size, "training.steps=20", "training.batch_size=8"]
        return Grid.of(name, _cells(("LSTM",), ["Z6, all", "S3, all", "flip-flop 6"], tiny))
    groups = [*BY_ORDER[6], *BY_ORDER[8], *BY_ORDER[12], "Z24", "S4"]
    tasks = [f"{group}, all" for group in groups]
    tasks += [f"{family} {size}" for family in APERIODIC for size in (6, 8, 12)]
    models = tuple(model for model in MODELS if model != "block-diagonal")
    return Grid.of(name, _cells(models, tasks, size) * product({"seed": range(2)}))


def _cells(models: tuple[str, ...], tasks: list[str], size: list[str]) -> Axes:
    cells = [
        fixed(
            *TASKS[task],
            *MODELS[model],
            *size,
            "training.curriculum=doubling(start=4, threshold=0.2)",
            "training.schedule=constant",
            "training.stop=solved",
            "evaluation.num_words=128",
            "evaluation.read_transitions=false",
        )
        for model in models
        for task in tasks
    ]
    return functools.reduce(operator.add, cells)


@dataclass(frozen=True)
class Subject:
    """What a task asks to learn.

    Attributes
    ----------
    name : str
        Group, or family of aperiodic monoids with the number of states.
    letters : {"all", "four", "own"}
    kind : str
        One of `CLASSES`.
    size : int
        Elements of the transition monoid; of a group its order.
    """

    name: str
    letters: str
    kind: str
    size: int


@functools.cache
def subject(task: str) -> Subject:
    """Derived length and size of what a task asks, from the group or the automaton itself."""
    name, _, letters = task.partition(", ")
    if not letters:
        dfa = TaskConfig.from_pairs(TASKS[task]).build().dfa
        assert dfa is not None
        return Subject(name, "own", "aperiodic", transition_monoid(dfa).size)
    group = parse(name)
    length = group.derived_length
    kind = "non-solvable" if length is None else f"derived length {length}"
    return Subject(name, letters, kind, group.order)


def measured(results: Results) -> pd.DataFrame:
    """Of every run: model, task, seed, class, size, tokens, censored.

    Tokens are those of all steps until the task was solved, short words of the curriculum with
    their own length. A run that did not solve it is censored at all steps of full length, which no
    run that solved it exceeds.
    """
    runs = results.require_finished()
    runs = runs.assign(task=run_names(runs, TASKS), model=run_names(runs, MODELS))
    history = results.table("history").sort_values(["run_id", "step"])
    history = history.merge(runs[["run_id", "solved_step", "training.batch_size"]], on="run_id")
    before = history.groupby("run_id")["step"].shift(fill_value=0)
    history["tokens"] = (history["step"] - before) * history["length"]
    history["tokens"] *= history["training.batch_size"]
    counted = history[history["step"] <= history["solved_step"].astype(float)]
    until = counted.groupby("run_id")["tokens"].sum().rename("tokens")
    frame = runs[["run_id", "model", "task", "seed"]].join(until, on="run_id")
    budget = runs["training.batch_size"] * runs["training_steps"] * runs["training_length"]
    known = [subject(task) for task in frame["task"]]
    return frame.assign(
        kind=[one.kind for one in known],
        letters=[one.letters for one in known],
        size=[one.size for one in known],
        censored=frame["tokens"].isna(),
        tokens=frame["tokens"].fillna(budget),
    )


def medians(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every model and task how many runs solved it, and Kaplan and Meier's median of tokens."""
    named = frame.rename(columns={"tokens": "horizon"})
    rows = []
    for (model, task), found in horizon_distributions(named, ("model", "task")).items():
        known = subject(task)
        solved = found.num_runs - found.num_censored
        head = {"model": model, "task": task, "class": known.kind, "monoid_size": known.size}
        counts = {"num_runs": found.num_runs, "solved": solved}
        interval = {"median_tokens": found.median, "low": found.low, "high": found.high}
        rows.append({**head, **counts, **interval})
    return pd.DataFrame(rows)


def pairs() -> list[tuple[str, str, str]]:
    """Question, and the two tasks that answer it."""
    found = []
    for names in BY_ORDER.values():
        for letters in ALPHABETS:
            cyclic = f"{names[0]}, {letters}"
            found += [("derived length", f"{name}, {letters}", cyclic) for name in names[1:]]
    found += [("solvability", f"A5, {letters}", f"A4xZ5, {letters}") for letters in ALPHABETS]
    for size, names in BY_ORDER.items():
        found += [("aperiodic", f"{family} {size}", f"{names[0]}, all") for family in APERIODIC]
    found += [("letters", f"{name}, four", f"{name}, all") for name in GROUPS]
    return found


def comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """Exact rank tests of all pairs of tasks that were run, corrected within each question.

    Returns
    -------
    DataFrame
        question, model, first, second, runs_first, runs_second, ratio (of medians of tokens,
        missing where one of them is not known), above (share of pairs of runs in which the first
        takes more tokens), low, high, p_value, corrected, verdict.
    """
    middle = medians(frame).set_index(["model", "task"])["median_tokens"]
    groups = {key: own for key, own in frame.groupby(["model", "task"])}
    rows = []
    for question, first, second in pairs():
        for model in MODELS:
            one, other = (groups.get((model, task)) for task in (first, second))
            if one is None or other is None:
                continue
            names = (first, second)
            found = compare(one, other, "tokens", effect="superiority", names=names)
            known = np.isfinite(middle[model, first]) and np.isfinite(middle[model, second])
            ratio = middle[model, first] / middle[model, second] if known else np.nan
            row = {"question": question, "model": model, "first": first, "second": second}
            row |= {"runs_first": len(one), "runs_second": len(other), "ratio": ratio}
            row |= {"above": found.effect, "low": found.low, "high": found.high}
            rows.append({**row, "p_value": found.p_value, "verdict": found.verdict})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["corrected"] = table.groupby("question")["p_value"].transform(holm)
    lost = (table["corrected"] > LEVEL) & table["verdict"].str.endswith("is above")
    table.loc[lost, "verdict"] = "no difference shown"
    return table


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of the size of a monoid and tokens, over the runs of a model."""
    letters = frame["letters"].map({"all": "groups", "four": "groups, four letters"})
    family = frame["task"].str.partition(" ")[0]
    scores = horizon_scores(
        pd.DataFrame(
            {
                "group": letters.fillna(family),
                "predictor": frame["model"],
                "predicted": frame["size"],
                "measured": frame["tokens"],
                "censored": frame["censored"],
            }
        )
    )
    scores = scores.rename(columns={"predictor": "model", "models": "runs", "group": "tasks"})
    return scores.loc[scores["tasks"] != "all", ["model", "tasks", "runs", "censored", "spearman"]]


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Tokens to solve, correlations with size, and comparisons at equal size."""
    frame = measured(results)
    return {
        "tokens_to_solve": medians(frame),
        "size": correlations(frame),
        "comparisons": comparisons(frame),
    }


COLORS = dict(zip(CLASSES, ("0.55", "#0072B2", "#E69F00", "#009E73", "#CC3377"), strict=True))


def figure(results: Results) -> Figure:
    """Tokens to solve by subject, in the order of size; a panel a model, unsolved runs on top."""
    frame = measured(results)
    frame["subject"] = [subject(task).name for task in frame["task"]]
    middle = medians(frame).set_index(["model", "task"])["median_tokens"]
    order = sorted(
        frame.drop_duplicates("subject").itertuples(),
        key=lambda row: (row.size, CLASSES.index(row.kind), row.subject),
    )
    places = {row.subject: place for place, row in enumerate(order)}
    models = [model for model in MODELS if model in set(frame["model"])]
    budget = frame["tokens"].max()
    with mpl.rc_context(paper_style()):
        figure = Figure(
            figsize=(max(3.6, 1.4 + 0.24 * len(order)), 1.3 + 1.15 * len(models)),
            layout="constrained",
        )
        panels = figure.subplots(len(models), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, model in zip(panels, models, strict=True):
            for task, own in frame[frame["model"] == model].groupby("task"):
                shift = {"all": -0.16, "four": 0.16, "own": 0.0}[subject(task).letters]
                if "four" not in set(frame["letters"]):
                    shift = 0.0
                _points(axes, own, places[own["subject"].iloc[0]] + shift, middle[model, task])
            axes.axhspan(0.8 * budget, 1.6 * budget, color="0.94", zorder=0)
            axes.set_yscale("log")
            axes.set_title(model, loc="left")
            axes.grid(axis="x", visible=False)
            for place, (one, other) in enumerate(itertools.pairwise(order)):
                if one.size != other.size:
                    axes.axvline(place + 0.5, color="0.85", linewidth=0.6, zorder=0)
        panels[-1].set_xticks(
            range(len(order)), [f"{row.subject} ({row.size})" for row in order], rotation=90
        )
        panels[-1].set_xlabel("task (elements of its monoid)")
        figure.supylabel("tokens until solved", fontsize=7.5)
        figure.legend(handles=_legend(frame), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _points(axes: mpl.axes.Axes, own: pd.DataFrame, place: float, median: float) -> None:
    color, shape = COLORS[own["kind"].iloc[0]], "s" if own["letters"].iloc[0] == "four" else "o"
    spread = np.linspace(-0.09, 0.09, len(own)) if len(own) > 1 else np.zeros(1)
    ended = ~own["censored"].to_numpy()
    tokens = own["tokens"].to_numpy()
    style = {"color": color, "linestyle": "", "markersize": 3}
    axes.plot(place + spread[ended], tokens[ended], shape, alpha=0.8, **style)
    axes.plot(place + spread[~ended], 1.1 * tokens[~ended], "^", fillstyle="none", **style)
    if np.isfinite(median):
        axes.plot([place - 0.28, place + 0.28], [median, median], color=color, linewidth=1.2)


def _legend(frame: pd.DataFrame) -> list[Line2D]:
    kinds = [kind for kind in CLASSES if kind in set(frame["kind"])]
    point = {"linestyle": "", "markersize": 4}
    found = [Line2D([], [], marker="o", color=COLORS[kind], label=kind, **point) for kind in kinds]
    if "four" in set(frame["letters"]):
        found.append(Line2D([], [], marker="s", color="0.3", label="four letters", **point))
    return [
        *found,
        Line2D([], [], color="0.3", linewidth=1.2, label="median"),
        Line2D([], [], marker="^", fillstyle="none", color="0.3", label="not solved", **point),
    ]
