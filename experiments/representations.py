"""Which representations models learn, group by group.

One Householder layer with as many factors as the group needs, all elements as tokens, by one
recipe. From the learned matrices: which irreducible representations each head uses, whether the
heads together are faithful or a cover of the group is, and the automaton that the model follows.
Expected before the runs: every group is learned on most seeds; S3, D5, A4, S4 and A5 use the two-
and three-dimensional representations whose elements need two reflections (theory and DeltaProduct,
arXiv 2502.10297: for S4 the rotations of a cube, with beta near 2 and keys in three dimensions), Z5
a plane, Q8 its four dimensions, S5 four or five.
"""

import math
import textwrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from automata.errors import InputError
from automata.groups import parse
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.named_representations import name_representation
from statetrack.analysis.reading_scores import extraction_scores
from statetrack.training import Grid, Results

PRESETS = ("gpu", "smoke")
READINGS = ("representations", "factors", "automaton")
COLUMNS = 4
BLIND = ("trivial", "not a representation")
FACTORS = {"Z5": 2, "D5": 2, "S3": 2, "A4": 2, "S4": 2, "A5": 2, "S5": 4, "Q8": 4}

RECIPE = [
    "task=word_problem",
    "task.generators=all",
    "model=householder",
    "model.width=64",
    "model.num_heads=4",
    "model.head_size=16",
    "model.range_steepness=1",
    "training.length=128",
    "training.batch_size=256",
    "training.warmup_steps=100",
    "training.projections=tensorfloat32",
    "training.select_words=128",
    "training.steps=4000",
    "training.learning_rate=0.004",
    "training.weight_decay=0.2",
    "training.curriculum=doubling(start=4, threshold=0.2)",
    "training.schedule=settling(steps=1000, length=32)",
    "evaluation.max_length=2048",
    "evaluation.num_words=4096",
    "evaluation.read_transitions=false",
]


def grid(preset: str) -> Grid:
    """Six seeds of every group, twelve of S4; ``smoke`` is two small runs."""
    name = f"representations-{preset}"
    if preset == "smoke":
        tiny = ["training.steps=20", "training.batch_size=8", "training.length=16"]
        tiny += ["evaluation.max_length=64", "evaluation.num_words=64"]
        base = [*RECIPE, "task.group=Z5", "model.num_factors=2", *tiny]
        return Grid.product(name, base, {"seed": range(2)})
    grids = [
        Grid.product(
            name,
            [*RECIPE, f"task.group={group}", f"model.num_factors={factors}"],
            {"seed": range(12 if group == "S4" else 6)},
        )
        for group, factors in FACTORS.items()
    ]
    return sum(grids[1:], start=grids[0])


def overview(results: Results) -> pd.DataFrame:
    """One row a group: how many runs learned it, and what they use.

    Returns
    -------
    DataFrame
        group, runs, learned (whole-prefix accuracy >= .99 on the report words at the training
        length), median_prefix_length (longest length with that); of the learned runs:
        representations (the three that most of them have in a head, trivial parts left out, with
        the number of runs), faithful (runs whose heads together tell all elements apart), covers,
        same_automaton, and over their faithful heads reflections (median share of factors with beta
        within .1 of 2) and key_dimension (median).
    """
    runs = _with_learned(results)
    rows = []
    for group, own in runs.groupby("group", sort=False):
        ids = set(own.run_id[own.learned])
        heads = _of(results, "representations", ids)
        heads = heads[~heads.verdict.isin(BLIND)]
        faithful = heads.loc[heads.verdict == "faithful", ["run_id", "head"]]
        factors = _of(results, "factors", ids).drop_duplicates(["run_id", "head"]).merge(faithful)
        layers = _of(results, "layers", ids)
        automata = _of(results, "automaton", ids)
        rows.append(
            {
                "group": group,
                "runs": len(own),
                "learned": len(ids),
                "median_prefix_length": own.length.median(),
                "representations": _most_used(heads),
                "faithful": int((layers.kernel_order == 1).sum()),
                "covers": int(heads[heads.cover_degree > 1].run_id.nunique()),
                "same_automaton": int(automata.equivalent.sum()),
                "reflections": factors.reflections.median(),
                "key_dimension": factors.key_dimension.median(),
            }
        )
    return pd.DataFrame(rows)


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Count what learned runs use, and what automata those far beyond training follow."""
    automata = extraction_scores(
        results.finished, results.table("thresholds"), results.table("automaton")
    )
    return {"representations": overview(results), "automata": automata}


def _with_learned(results: Results) -> pd.DataFrame:
    """Finished runs whose matrices were read, with group, length and learned."""
    heads = results.table("representations")
    if heads.empty:
        raise InputError("nothing was read of these runs: run statetrack read first")
    limits = results.table("thresholds")
    limits = limits[(limits.metric == "whole_prefix_accuracy") & (limits.threshold == 0.99)]
    groups = heads.drop_duplicates("run_id")[["run_id", "group"]]
    runs = results.finished.merge(limits, on="run_id").merge(groups, on="run_id")
    return runs.assign(learned=runs.length >= runs.training_length)


def _of(results: Results, name: str, run_ids: set[str]) -> pd.DataFrame:
    table = results.table(name)
    if table.empty:
        raise InputError(f"the results have no table {name}: run statetrack read first")
    return table[table.run_id.isin(run_ids)]


def _without_trivial(heads: pd.DataFrame) -> pd.Series:
    """Formulas of heads, trivial parts left out."""
    parts = heads.representation.str.split(" \\+ ")
    return parts.map(lambda one: " + ".join(part for part in one if "trivial" not in part))


def _most_used(heads: pd.DataFrame) -> str:
    runs = heads.run_id.groupby(_without_trivial(heads)).nunique()
    most = runs.sort_values(ascending=False, kind="stable").head(3)
    return "; ".join(f"{formula} in {count}" for formula, count in most.items())


def figure(results: Results) -> Figure:
    """For every group: how often each irreducible representation is used, by learned runs."""
    runs = _with_learned(results)
    if not runs.learned.any():
        raise InputError("no run has learned its group, so there is nothing to draw")
    learned = set(runs.run_id[runs.learned])
    irreps = _of(results, "irreps", learned)
    irreps = irreps[(irreps.irrep != "trivial") & ~irreps.verdict.isin(BLIND)]
    irreps = irreps.merge(runs[["run_id", "group"]], on="run_id")
    groups = runs.groupby("group", sort=False).learned
    rows = math.ceil(groups.ngroups / COLUMNS)
    figure = Figure(figsize=(7.6, 0.6 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    blue, orange = sns.color_palette("colorblind")[:2]
    for axis, (group, own) in zip(axes, groups, strict=False):
        used = irreps[irreps.group == group]
        shares = used.groupby("irrep").run_id.nunique() / max(1, int(own.sum()))
        known = RealIrreps.of(parse(group))
        colors = [blue if _is_faithful(known, irrep) else orange for irrep in shares.index]
        axis.bar(range(len(shares)), shares, width=0.6, color=colors)
        ticks = [_tick(known, irrep, 11 if len(shares) < 4 else 8) for irrep in shares.index]
        axis.set_xticks(range(len(shares)), ticks, fontsize=5.7)
        axis.set_xlim(-0.6, max(3, len(shares)) - 0.4)
        axis.set_title(f"{group}: {own.sum()} of {len(own)} learned", fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
        axis.set_ylim(0, 1.05)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[groups.ngroups :]:
        axis.set_axis_off()
    figure.supylabel("share of learned runs with such a head", fontsize=8)
    kinds = {"tells all elements apart": blue, "sees a quotient of the group": orange}
    handles = [Patch(color=color, label=label) for label, color in kinds.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return figure


def _is_faithful(known: RealIrreps, irrep: str) -> bool:
    values = known.values[known.labels.index(irrep)]
    return int((values > values[0] - 1e-6).sum()) == 1


def _tick(known: RealIrreps, irrep: str, width: int) -> str:
    """Label of an irreducible representation, and what it is known as in lines of that width."""
    alone = (np.array(known.labels) == irrep).astype(np.int64)
    name = name_representation(known, alone).name
    lines = textwrap.fill(name, width, break_long_words=False)
    return irrep if name == irrep else f"{irrep}\n{lines}"
