"""Eigenvalue range decides which automata a linear RNN follows.

Parity needs an eigenvalue of -1; S3 (all six elements as tokens) needs a product of two
reflections, or a dense matrix. Diagonal models, products of one and of two Householder factors,
Matrix Recurrent Units and an LSTM are trained on words of length 40 with labels at every position,
and read to length 256. Chance is 1/2 on parity and 1/6 on S3; one reflection per token can follow
the sign of a permutation, which is worth 1/3.
"""

from matplotlib.figure import Figure

from statetrack.analysis import curves_and_spectra
from statetrack.training import Grid, Results

PRESETS = ("cpu", "full", "smoke")
RANGES = ("[0,1]", "[-1,1]")
ORDERS = {"parity": (2,), "s3": (2, 3)}


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``full`` is the experiment (90 runs, a GPU); ``cpu`` is sized for two cores and ten minutes (24
    runs); ``smoke`` only shows that everything works (2 runs).
    """
    name = f"eigenvalue_ranges-{preset}"
    if preset == "smoke":
        base = ["task=parity", "training.steps=20", "evaluation.num_words=256"]
        return Grid.product(name, base, {"model": ["diagonal", "lstm"]})
    if preset == "cpu":
        return _cpu(name)
    seeds = range(5)
    base = ["training.steps=1000"]
    tasks = ["parity", "s3"]
    diagonal = Grid.product(
        name,
        [*base, "model=diagonal"],
        {"task": tasks, "model.eigenvalue_range": RANGES, "seed": seeds},
    )
    householder = Grid.product(
        name,
        [*base, "model=householder"],
        {
            "task": tasks,
            "model.num_factors": [1, 2],
            "model.eigenvalue_range": RANGES,
            "seed": seeds,
        },
    )
    mru = Grid.product(
        name,
        [*base, "model=mru"],
        {"task": tasks, "model.input_method": ["ldu", "exponential"], "seed": seeds},
    )
    lstm = Grid.product(name, [*base, "model=lstm"], {"task": tasks, "seed": seeds})
    return diagonal + householder + mru + lstm


def _cpu(name: str) -> Grid:
    seeds = range(3)
    base = ["training.steps=600"]
    parity = Grid.product(
        name,
        [*base, "task=parity"],
        {"model": ["diagonal", "householder"], "model.eigenvalue_range": RANGES, "seed": seeds},
    )
    s3 = Grid.product(
        name,
        [*base, "task=s3", "model=householder", "model.eigenvalue_range=[-1,1]"],
        {"model.num_factors": [1, 2], "seed": seeds},
    )
    mru = Grid.product(name, [*base, "task=s3", "model=mru"], {"seed": seeds})
    lstm = Grid.product(name, [*base, "task=parity", "model=lstm"], {"seed": seeds})
    return parity + s3 + mru + lstm


def figure(results: Results) -> Figure:
    """Length curves on the left, spectra of the best seed of every model on the right."""
    tasks = [task for task in ORDERS if task in set(results.finished.task)]
    return curves_and_spectra(results.named_tables(), tasks=tasks, orders=ORDERS)
