"""Which models follow a random automaton with four states.

Its two letters permute the states: one swaps two pairs, the other
turns through all four, so the group is Z4. A quarter turn is a
product of two reflections and of no fewer. Trained on words of 32
letters, read to 256.
"""

from statetrack.analysis import curves_and_spectra
from statetrack.training import Grid, fixed, product

SIZES = {
    "cpu": fixed("training.steps=400") * product({"seed": range(3)}),
    "smoke": fixed("training.steps=10", "evaluation.num_words=64"),
}
PRESETS = tuple(SIZES)
TASK = fixed(
    "task=random_dfa",
    "task.num_states=4",
    "task.kind=permutation",
    "task.seed=1",
    "training.length=32",
)
FACTORS = product({"model.num_factors": [1, 2]})
OTHERS = product({"model": ["diagonal", "lstm"]})
MODELS = OTHERS + fixed("model=householder") * FACTORS


def grid(preset):
    """Twelve runs; or four that only show that everything works."""
    axes = TASK * MODELS * SIZES[preset]
    return Grid.of(f"random_automaton-{preset}", axes)


def figure(results):
    """Accuracy over length, and eigenvalues of the learned matrices."""
    tables = results.named_tables()
    return curves_and_spectra(tables, orders={"random_dfa": (2, 4)})
