"""Which models follow which of 200 random automata, by algebraic class.

The suite of `automata.suite`: 8 classes, 5 sizes from 5 to 24 states, 5 automata of each,
three letters, the state asked for at every position. Trained on words of 32 letters, measured to
128. Expected before any run (theory: `docs/expressivity.md`): a network without time scores 0; a
diagonal layer with [0,1] is at home with aperiodic automata and one with [-1,1] also with groups
of order 2; one Householder factor and up hold the solvable groups in part; automata with
nonsolvable groups are carried by LSTMs and by matrices alone, and less often the more states they
have.
"""

import pandas as pd
from matplotlib.figure import Figure

from automata.suite import automata_suite
from statetrack.suite import suite_figure, suite_grid, suite_scores, suite_table
from statetrack.training import Grid, Results

PRESETS = ("cpu", "gpu", "smoke")

FEW = [
    ["model=ffn"],
    ["model=diagonal", "model.eigenvalue_range=[0,1]"],
    ["model=householder", "model.num_factors=2", "model.num_heads=2"],
    ["model=lstm"],
]
MANY = [
    *FEW,
    ["model=diagonal"],
    ["model=complex_diagonal"],
    ["model=mamba"],
    ["model=gla"],
    ["model=householder"],
    ["model=gated_householder", "model.num_factors=2"],
    ["model=householder", "model.num_factors=4"],
    ["model=rwkv7"],
    ["model=mru"],
    ["model=block_diagonal"],
    ["model=dense"],
    ["model=permutation_diagonal"],
    ["model=gru"],
    ["model=rnn"],
    ["model=slstm"],
    ["model=transformer"],
]


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``cpu``: 4 models on 24 automata of 5, 8 and 12 states, one of each class. ``gpu``: 20 models
    on all 200, five of a size and class. ``smoke`` shows that everything works.
    """
    name = f"automata_suite-{preset}"
    shared = ["model.width=64", "training.length=32", "training.learning_rate=0.003"]
    shared += ["evaluation.read_transitions=false"]
    suite = automata_suite()
    if preset == "smoke":
        tiny = ["training.steps=20", "evaluation.num_words=64"]
        return suite_grid(name, FEW[:2], suite[:20:10], [*shared, *tiny])
    if preset == "cpu":
        first = [m for m in suite if m.num_states <= 12 and m.seed == 0]
        small = ["training.steps=400", "training.batch_size=32", "evaluation.num_words=512"]
        return suite_grid(name, FEW, first, [*shared, *small])
    long = ["training.steps=3000", "training.batch_size=128", "evaluation.num_words=2048"]
    long += ["training.curriculum=doubling(start=4, threshold=0.2)"]
    return suite_grid(name, MANY, None, [*shared, *long])


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Scores: one row a model and class, the best model first."""
    return {"scores": suite_table(suite_scores(results))}


def figure(results: Results) -> Figure:
    """Scores and held automata, model by class."""
    return suite_figure(results)
