"""The random automata of `automata.suite` as a benchmark: the grid, the scores, the figure.

Every automaton is one task: letters in, its state out, at every position. Scores compare a model
with the best guess that knows the position and the last letter alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from automata.errors import InputError
from automata.stratified import ALGEBRAIC_CLASSES
from automata.suite import SuiteMember, automata_suite, guessing_accuracy
from statetrack.training import Grid, Results, RunConfig

MULTIPLE = 4
"""Scores look at words so many times as long as those of the training."""

HELD = 0.99
"""Share of words that are right throughout, from which an automaton counts as held."""

_LEAST_ERROR = 1e-3


def suite_grid(
    name: str,
    models: Sequence[Sequence[str]],
    members: Sequence[SuiteMember] | None = None,
    settings: Sequence[str] = (),
    num_seeds: int = 1,
) -> Grid:
    """Runs of some models on automata of the suite.

    Parameters
    ----------
    name : str
        Of the grid.
    models : sequence of sequence of str
        The settings of every model, such as ``["model=householder", "model.num_factors=2"]``.
    members : sequence of SuiteMember, optional
        The whole of version 1 by default.
    settings : sequence of str
        What all runs share, such as ``["training.length=32"]``. Words are measured to four times
        the training length, unless ``evaluation.max_length`` says otherwise.
    num_seeds : int
        Of every model and automaton. Five automata of a size and class are repetitions already.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        No model, no automaton, no seed, or a setting that is none.

    Examples
    --------
    >>> grid = suite_grid("mine", [["model=lstm"]], settings=["training.length=32"])
    >>> len(grid), grid.runs[0].evaluation.max_length
    (200, 128)
    """
    chosen = automata_suite() if members is None else tuple(members)
    if not models or not chosen or num_seeds < 1:
        raise InputError(
            f"grid {name!r} has {len(models)} models, {len(chosen)} automata and {num_seeds} "
            "seeds: expected at least one of each"
        )
    runs: list[RunConfig] = []
    for model in models:
        first = RunConfig.from_pairs([*chosen[0].task, *model, *settings])
        longest = f"evaluation.max_length={MULTIPLE * first.training.length}"
        for member in chosen:
            base = [longest, *member.task, *model, *settings]
            runs += Grid.product(name, base, {"seed": range(num_seeds)}).runs
    return Grid(name, tuple(runs))


def suite_scores(results: Results) -> pd.DataFrame:
    """Say how well every run follows its automaton.

    Parameters
    ----------
    results : Results
        Of a `suite_grid`.

    Returns
    -------
    DataFrame
        One row a finished run: run_id, model (its label), automaton, algebraic_class, num_states,
        seed; score, the share of the errors of guessing that it does not make, over all measured
        positions to four times the training length (1: no error, 0: no better than the guess,
        below 0: worse; missing where guessing makes no errors); learned and carried, whether 99 %
        of the words are right throughout at the training length and at four times that.

    Raises
    ------
    InputError
        Runs of other tasks, or curves that end before four times the training length.
    """
    runs = results.finished
    others = sorted(set(runs.task) - {"random_dfa"})
    if others:
        raise InputError(f"runs of {', '.join(others)} are no runs of the suite")
    members = {
        (member.algebraic_class, member.num_states, member.num_symbols, member.seed): member
        for member in automata_suite()
    }
    curves = dict(tuple(results.table("curves").groupby("run_id")))
    guesses: dict[tuple[str, int], np.ndarray] = {}
    rows = []
    for run in runs.to_dict("records"):
        key = tuple(run[f"task.{one}"] for one in ("kind", "num_states", "num_symbols", "seed"))
        if key not in members:
            raise InputError(f"run {run['run_id']}: random_dfa {key} is not in the suite")
        member = members[key]
        length = int(run["training_length"])
        longest = MULTIPLE * length
        if (member.name, longest) not in guesses:
            guesses[member.name, longest] = guessing_accuracy(member.dfa, longest)
        curve = _to_length(curves[run["run_id"]], longest, run["run_id"])
        missed = 1 - guesses[member.name, longest][curve.length.to_numpy() - 1]
        wrong = 1 - curve.token_accuracy.to_numpy()
        possible = missed.mean() >= _LEAST_ERROR
        rows.append(
            {
                "run_id": run["run_id"],
                "model": run["label"],
                "automaton": member.name,
                "algebraic_class": member.algebraic_class,
                "num_states": member.num_states,
                "seed": run["seed"],
                "score": 1 - wrong.mean() / missed.mean() if possible else np.nan,
                "learned": _held(curve, length),
                "carried": _held(curve, longest),
            }
        )
    return pd.DataFrame(rows)


def _to_length(curve: pd.DataFrame, longest: int, run_id: str) -> pd.DataFrame:
    within = curve[curve.length <= longest]
    if within.length.max() != longest:
        raise InputError(
            f"run {run_id} was measured to {within.length.max()} letters, and scores need "
            f"{longest}: set evaluation.max_length"
        )
    return within


def _held(curve: pd.DataFrame, length: int) -> bool:
    return bool(curve[curve.length <= length].whole_prefix_accuracy.iloc[-1] >= HELD)


def suite_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Sum up scores: one row a model and class, and one for all classes.

    Parameters
    ----------
    scores : DataFrame
        From `suite_scores`.

    Returns
    -------
    DataFrame
        model, algebraic_class ("all" in the last row of a model), runs, score (mean), score_low
        and score_high (its least and greatest among the runs), learned and carried (shares of
        runs). The best model first.
    """
    everything = pd.concat([scores, scores.assign(algebraic_class="all")])
    grouped = everything.groupby(["model", "algebraic_class"], sort=False)
    table = grouped.agg(
        runs=("run_id", "size"),
        score=("score", "mean"),
        score_low=("score", "min"),
        score_high=("score", "max"),
        learned=("learned", "mean"),
        carried=("carried", "mean"),
    ).reset_index()
    order = table[table.algebraic_class == "all"].sort_values(["carried", "score"], ascending=False)
    places = {name: place for place, name in enumerate(order.model)}
    classes = [*ALGEBRAIC_CLASSES, "all"]
    return table.sort_values(
        ["model", "algebraic_class"],
        key=lambda column: column.map(places if column.name == "model" else classes.index),
    ).reset_index(drop=True)


def suite_figure(results: Results) -> Figure:
    """Draw the score and the share of automata that are carried, model by class.

    Parameters
    ----------
    results : Results
        Of a `suite_grid`.
    """
    table = suite_table(suite_scores(results))
    models = table.model.nunique()
    figure = Figure(figsize=(9.2, 1.6 + 0.3 * models), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _heat_map(left, table, "score", f"errors of guessing avoided, to {MULTIPLE} x training length")
    _heat_map(right, table, "carried", f"automata held at {MULTIPLE} x training length")
    return figure


def _heat_map(axes: Axes, table: pd.DataFrame, column: str, title: str) -> None:
    wide = table.pivot_table(column, "model", "algebraic_class", sort=False, dropna=False)
    wide.columns = [str(name).replace("_", " ") for name in wide.columns]
    sns.heatmap(
        wide,
        ax=axes,
        vmin=0,
        vmax=1,
        cmap="cividis",
        annot=True,
        fmt=".2f",
        annot_kws={"fontsize": 7},
        linewidths=0.5,
        cbar=False,
    )
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("class of the automaton")
    axes.set_ylabel("")
    axes.tick_params(axis="x", rotation=40, labelsize=8)
    axes.tick_params(axis="y", rotation=0, labelsize=8)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
