"""Which representations last: horizons fall as the inverse of the error, or as its square.

Let the matrices of the letters be a representation times small rotations. The errors of a random
word are moved on by the group, and only what commutes with it adds up: a skew matrix in the
commutant. An irreducible real representation has none if it is of real type, one if complex and
three if quaternionic. Without one the error walks at random and the horizon grows as the square of
one over the error; with one it drifts, and the horizon grows as one over the error.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.linalg import expm
from scipy.stats import linregress, t
from torch import nn

from automata.characters import real_irreps
from automata.dfa import DFA
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.validation import FloatArray
from statetrack.analysis.affine import AffineRecurrence
from statetrack.analysis.horizon_prediction import crossing
from statetrack.analysis.letter_products import horizon_lengths, word_states


def drift_directions(group: FiniteGroup, matrices: FloatArray) -> int:
    """Dimension of the skew matrices that commute with a real representation.

    Parameters
    ----------
    group : FiniteGroup
    matrices : ndarray, float64 [order, d, d]
        Orthogonal, in row form.

    Returns
    -------
    int
        How often the trivial representation is in the exterior square: the mean of
        ``(chi(g)^2 - chi(g^2)) / 2``. For an irreducible one 0 (real type), 1 (complex) or 3
        (quaternionic).

    Examples
    --------
    >>> from automata.groups import dicyclic, dihedral
    >>> [drift_directions(g, faithful_irrep(g)) for g in (dihedral(4), dicyclic(2))]
    [0, 3]
    """
    character = np.trace(matrices, axis1=1, axis2=2)
    squares = np.diagonal(np.asarray(group.table))
    return round(float(np.mean(character**2 - character[squares]) / 2))


def commutant_drift(kind: str, multiplicity: int) -> int:
    """Dimension of the skew matrices that commute with copies of one irreducible representation.

    Parameters
    ----------
    kind : {"R", "C", "H"}
        Type of the representation.
    multiplicity : int
        Copies m. The commutant is that of m x m matrices over the type, of which the skew ones are
        so(m), u(m) or sp(m).

    Examples
    --------
    >>> [commutant_drift(kind, 1) for kind in "RCH"], commutant_drift("R", 2)
    ([0, 1, 3], 1)
    """
    m = multiplicity
    return {"R": m * (m - 1) // 2, "C": m * m, "H": m * (2 * m + 1)}[kind]


def predicted_slope(group: FiniteGroup, matrices: FloatArray) -> int:
    """Exponent of the horizon in the error: -1 where errors drift, -2 where they do not."""
    return -1 if drift_directions(group, matrices) > 0 else -2


def faithful_irrep(group: FiniteGroup) -> FloatArray:
    """The smallest faithful irreducible real representation, [order, d, d].

    Raises
    ------
    InputError
        There is none.
    """
    for irrep in sorted(real_irreps(group), key=lambda one: one.matrices.shape[-1]):
        matrices: FloatArray = irrep.matrices
        identity = np.eye(matrices.shape[-1])
        alike = np.abs(matrices - identity).max(axis=(1, 2)) < 1e-9
        if alike.sum() == 1:
            return matrices
    raise InputError(f"{group.name} has no faithful irreducible representation")


def planted_horizons(
    group: FiniteGroup,
    errors: tuple[float, ...] = (0.04, 0.02, 0.01, 0.005),
    *,
    draws: int = 8,
    threshold: float = 0.75,
    num_words: int = 2048,
    cap: int = 2**20,
    seed: int = 0,
) -> pd.DataFrame:
    """Horizons of a representation with planted errors, over random words of all elements.

    Every letter's matrix is followed by a rotation ``exp(error X)`` with a random skew X of
    Frobenius norm sqrt(d); the state is decoded as the element whose matrix is nearest.

    Parameters
    ----------
    group : FiniteGroup
    errors : tuple of float
    draws : int
        Random directions X, each used with every error.
    threshold : float
        Accuracy that ends a horizon.
    num_words, cap, seed : int
        Words followed, longest length, and seed of words and directions.

    Returns
    -------
    DataFrame
        group, draw, error, horizon (missing where it is beyond `cap`).
    """
    exact = faithful_irrep(group)
    size = exact.shape[-1]
    table = np.asarray(group.table)
    dfa = DFA(table)
    rows = []
    for draw in range(draws):
        random = np.random.default_rng([seed, draw])
        normal = random.standard_normal(exact.shape)
        skew = normal - normal.swapaxes(1, 2)
        skew *= np.sqrt(size) / np.linalg.norm(skew, axis=(1, 2), keepdims=True)
        for error in errors:
            recurrence = AffineRecurrence(
                (exact @ expm(error * skew))[:, None],
                np.zeros((group.order, 1, size, size)),
                np.eye(size)[None],
                np.arange(size * size).reshape(1, size, size),
                False,
                nn.Identity(),
            )
            length = _horizon(recurrence, dfa, exact, threshold, num_words, cap, seed)
            rows.append((group.name, draw, error, length))
    return pd.DataFrame(rows, columns=["group", "draw", "error", "horizon"])


def slopes(frame: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Slope of log horizon over log error, one fit a draw, with a t interval over the draws.

    Parameters
    ----------
    frame : DataFrame
        From `planted_horizons`.
    level : float

    Returns
    -------
    DataFrame
        group, slope, low, high, draws.
    """
    rows = []
    for group, own in frame.dropna().groupby("group", sort=False):
        fits = np.array(
            [
                linregress(np.log(one.error), np.log(one.horizon)).slope
                for _, one in own.groupby("draw")
                if len(one) > 1
            ]
        )
        half = t.ppf((1 + level) / 2, len(fits) - 1) * fits.std(ddof=1) / np.sqrt(len(fits))
        mean = float(fits.mean())
        rows.append((group, mean, mean - float(half), mean + float(half), len(fits)))
    return pd.DataFrame(rows, columns=["group", "slope", "low", "high", "draws"])


def scaled_slopes(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean slope of models with their own errors scaled, one fit a model, as `slopes`.

    Parameters
    ----------
    frame : DataFrame
        group, drift_directions, draw (the model), seed, error, horizon (missing beyond the cap).

    Returns
    -------
    DataFrame
        group, drift_directions, predicted, slope, low, high (t interval over models), models, draws
        (seeds); of kinds with three models or more that have two horizons or more.
    """
    rows = []
    for (group, drift), own in frame.groupby(["group", "drift_directions"], sort=False):
        lines = own.dropna().groupby("draw").filter(lambda one: len(one) > 1)
        if lines.draw.nunique() < 3:
            continue
        (fit,) = slopes(lines).itertuples()
        predicted = -1 if drift else -2
        seeds = lines.seed.nunique()
        rows.append((group, drift, predicted, fit.slope, fit.low, fit.high, fit.draws, seeds))
    names = "group drift_directions predicted slope low high models draws"
    return pd.DataFrame(rows, columns=names.split())


def least_squares(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope and intercept with the least sum of squares."""
    fit = linregress(x, y)
    return float(fit.slope), float(fit.intercept)


def theil_sen(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Median slope over all pairs of points, and its intercept: up to 29 % outliers do not move it.

    Source: Sen 1968. As `scipy.stats.theilslopes`, without its interval, which a bootstrap that
    calls this thousands of times has no use for.
    """
    apart = np.subtract.outer(x, x)
    rising = apart > 0
    slope = float(np.median(np.subtract.outer(y, y)[rising] / apart[rising]))
    return slope, float(np.median(y) - slope * np.median(x))


LEAST_MODELS = 5
"""Of a fitted kind: a line has two parameters, and three models more show whether it is one."""
LEAST_SPREAD = 3.0
"""Of a fitted kind, largest error over smallest: models of one error differ in horizon as much."""
LEAST_DRAWS = 3
"""Seeds of an interval: the bootstrap draws seeds, and of two it has three samples."""


def fitted_slopes(
    frame: pd.DataFrame,
    level: float = 0.95,
    *,
    fit: Callable[[FloatArray, FloatArray], tuple[float, float]] = least_squares,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Slope of log horizon over log error of trained models, one fit a group and commutant.

    Parameters
    ----------
    frame : DataFrame
        One row a model: group, drift_directions, draw (its seed), error, horizon.
    level : float
    fit : callable
        Slope and intercept of y over x: `least_squares` or `theil_sen`.
    resamples, seed : int
        Of the bootstrap over seeds, all models of one seed together.

    Returns
    -------
    DataFrame
        group, drift_directions, predicted (-1 with drift directions, else -2), slope, intercept
        (of the natural logarithms), low, high, models, draws; of kinds with `LEAST_MODELS` models
        or more whose errors span a factor of `LEAST_SPREAD`. low and high are missing below
        `LEAST_DRAWS` seeds.
    """
    rows = []
    random = np.random.default_rng(seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    for (group, drift), own in frame.groupby(["group", "drift_directions"], sort=False):
        if len(own) < LEAST_MODELS or own.error.max() < LEAST_SPREAD * own.error.min():
            continue
        draws = [np.log(one[["error", "horizon"]].to_numpy()) for _, one in own.groupby("draw")]
        slope, intercept = fit(*np.concatenate(draws).T)
        low, high = np.nan, np.nan
        if len(draws) >= LEAST_DRAWS:
            found = []
            for _ in range(resamples):
                chosen = np.concatenate(
                    [draws[i] for i in random.integers(len(draws), size=len(draws))]
                )
                if np.ptp(chosen[:, 0]) > 0:
                    found.append(fit(*chosen.T)[0])
            low, high = np.quantile(found, tails)
        predicted = -1 if drift else -2
        rows.append((group, drift, predicted, slope, intercept, low, high, len(own), len(draws)))
    names = "group drift_directions predicted slope intercept low high models draws"
    return pd.DataFrame(rows, columns=names.split())


def _horizon(
    recurrence: AffineRecurrence,
    dfa: DFA,
    exact: FloatArray,
    threshold: float,
    num_words: int,
    cap: int,
    seed: int,
) -> float | None:
    lengths = horizon_lengths(cap)
    found: list[float] = []
    for words in word_states(recurrence, dfa, lengths, num_words=num_words, seed=seed):
        likeness = words.states[:, 0].reshape(num_words, -1) @ exact.reshape(len(exact), -1).T
        found.append(float((likeness.argmax(axis=1) == words.sources).mean()))
        if found[-1] < threshold:
            break
    seen = np.array(lengths[: len(found)], dtype=np.int64)
    return crossing(seen, np.array(found), threshold)
