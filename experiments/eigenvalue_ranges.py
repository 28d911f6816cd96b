"""Eigenvalue range decides which automata a linear RNN follows.

Parity needs an eigenvalue of -1; S3 (all six elements as tokens) needs a product of two
reflections, or a dense matrix. Diagonal models, products of one and of two Householder factors,
Matrix Recurrent Units and an LSTM are trained on words of length 40 with labels at every position,
and read to length 256. Chance is 1/2 on parity and 1/6 on S3; one reflection per token can follow
the sign of a permutation, which is worth 1/3.
"""

from matplotlib.figure import Figure

from statetrack.analysis import curves_and_spectra
from statetrack.training import Grid, Results, fixed, product

PRESETS = ("cpu", "full", "smoke")
RANGES = product({"model.eigenvalue_range": ["[0,1]", "[-1,1]"]})
FACTORS = product({"model.num_factors": [1, 2]})
TASKS = product({"task": ["parity", "s3"]})
ORDERS = {"parity": (2,), "s3": (2, 3)}

FULL = (
    fixed("model=diagonal") * TASKS * RANGES
    + fixed("model=householder") * TASKS * FACTORS * RANGES
    + fixed("model=mru") * TASKS * product({"model.input_method": ["ldu", "exponential"]})
    + fixed("model=lstm") * TASKS
)
CPU = (
    fixed("task=parity") * product({"model": ["diagonal", "householder"]}) * RANGES
    + fixed("task=s3", "model=householder", "model.eigenvalue_range=[-1,1]") * FACTORS
    + fixed("task=s3", "model=mru")
    + fixed("task=parity", "model=lstm")
)
SMOKE = fixed("task=parity") * product({"model": ["diagonal", "lstm"]})


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``full`` is the experiment (90 runs, a GPU); ``cpu`` is sized for two cores and ten minutes (24
    runs); ``smoke`` only shows that everything works (2 runs).
    """
    sizes = {
        "full": FULL * fixed("training.steps=1000") * product({"seed": range(5)}),
        "cpu": CPU * fixed("training.steps=600") * product({"seed": range(3)}),
        "smoke": SMOKE * fixed("training.steps=20", "evaluation.num_words=256"),
    }
    return Grid.of(f"eigenvalue_ranges-{preset}", sizes[preset])


def figure(results: Results) -> Figure:
    """Length curves on the left, spectra of the best seed of every model on the right."""
    tasks = [task for task in ORDERS if task in set(results.finished.task)]
    return curves_and_spectra(results.named_tables(), tasks=tasks, orders=ORDERS)
