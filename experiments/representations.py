"""Which representations models learn, group by group.

One Householder layer with as many factors as the group needs, all elements as tokens, by one
recipe. From the learned matrices: which irreducible representations each head uses, whether the
heads together are faithful or a cover of the group is, and the automaton that the model follows.
Expected before the runs: every group is learned on most seeds; S3, D5, A4, S4 and A5 use the two-
and three-dimensional representations whose elements need two reflections (theory and DeltaProduct,
arXiv 2502.10297: for S4 the rotations of a cube, with beta near 2 and keys in three dimensions), Z5
a plane, Q8 its four dimensions, S5 four or five.
"""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.training import Grid, Results

PRESETS = ("gpu", "smoke")
READINGS = ("representations", "factors", "automaton")
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
        length), median_prefix_length (longest length with that), representations (that a head of
        most learned runs holds, trivial parts left out), faithful (learned runs whose heads
        together tell all elements apart), covers, same_automaton, reflections (median share of
        factors with beta within .1 of 2), key_dimension (median).
    """
    limits = results.table("thresholds")
    limits = limits[(limits.metric == "whole_prefix_accuracy") & (limits.threshold == 0.99)]
    runs = results.finished.merge(limits, on="run_id")
    runs["learned"] = runs.length >= runs.training_length
    rows = []
    for group, own in runs.groupby(runs.run_id.map(_groups(results)), sort=False):
        ids = set(own.run_id[own.learned])
        heads = _of(results, "representations", ids)
        layers = _of(results, "layers", ids)
        factors = _of(results, "factors", ids).drop_duplicates(["run_id", "head"])
        automata = _of(results, "automaton", ids)
        seen = _without_trivial(heads)
        rows.append(
            {
                "group": group,
                "runs": len(own),
                "learned": len(ids),
                "median_prefix_length": own.length.median(),
                "representations": "; ".join(seen.value_counts().head(3).index),
                "faithful": int((layers.kernel_order == 1).sum()),
                "covers": int(heads[heads.cover_degree > 1].run_id.nunique()),
                "same_automaton": int(automata.equivalent.sum()),
                "reflections": factors.reflections.median(),
                "key_dimension": factors.key_dimension.median(),
            }
        )
    return pd.DataFrame(rows)


def _of(results: Results, name: str, run_ids: set[str]) -> pd.DataFrame:
    table = results.table(name)
    if table.empty:
        raise InputError(f"the results have no table {name}: run statetrack read first")
    return table[table.run_id.isin(run_ids)]


def _without_trivial(heads: pd.DataFrame) -> pd.Series:
    """Formulas of heads that are representations, trivial parts left out."""
    good = heads[~heads.verdict.isin(["trivial", "not a representation"])]
    parts = good.representation.str.split(" \\+ ")
    return parts.map(lambda one: " + ".join(part for part in one if "trivial" not in part))


def figure(results: Results) -> Figure:
    """For every group: how often each irreducible representation is used, by learned runs."""
    irreps = results.table("irreps")
    groups = overview(results)
    if irreps.empty or not groups.learned.any():
        raise InputError("no run has learned its group, so there is nothing to draw")
    irreps = irreps[(irreps.irrep != "trivial") & (irreps.verdict != "not a representation")]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    names = _groups(results)
    color = sns.color_palette("colorblind")[0]
    for axis, row in zip(axes, groups.itertuples(), strict=False):
        own = irreps[irreps.run_id.map(names) == row.group]
        shares = own.groupby("irrep").run_id.nunique() / max(1, row.learned)
        axis.bar(range(len(shares)), shares, color=color)
        axis.set_xticks(range(len(shares)), shares.index, fontsize=7)
        axis.set_title(f"{row.group}: {row.learned} of {row.runs} learned", fontsize=8)
        axis.set_ylim(0, 1.05)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supylabel("share of learned runs with such a head", fontsize=8)
    return figure


def _groups(results: Results) -> pd.Series:
    """The group of every run, by run id."""
    heads = results.table("representations")
    if heads.empty:
        raise InputError("nothing was read of these runs: run statetrack read first")
    return heads.drop_duplicates("run_id").set_index("run_id").group
