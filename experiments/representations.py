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
