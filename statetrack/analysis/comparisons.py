"""Whether a difference between two groups of runs is real, or other seeds might turn it around."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from automata.errors import InputError, unknown_name
from automata.validation import FloatArray
from statetrack.analysis.intervals import share_interval, superiority_interval
from statetrack.analysis.permutations import (
    exchange_shifts,
    p_value,
    shift_interval,
    sign_flip_shifts,
)

EFFECTS = ("mean", "superiority")
_FEWEST_PAIRS = 2


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    names : tuple of str
        What the two groups are called.
    value : str
        The column that was compared.
    effect_kind : {"mean", "superiority"}
        What `effect` is.
    effect : float
        "mean": mean of the first group minus mean of the second. "superiority": the share of pairs
        of runs, one of each group, where the first is above, ties counted half; 0.5 is no
        difference. Of runs paired by seed, the share of untied pairs where the first is above.
    low, high : float
        Confidence interval of `effect`.
    level : float
        Of the interval; the test asks for a p-value of at most ``1 - level``.
    p_value : float
        Exact and two-sided.
    smallest_p_value : float
        What so many runs could have given at best: above ``1 - level`` nothing can be shown.
    medians : tuple of float
        Of the two groups.
    num_runs : tuple of int
        Runs of each group that were compared.
    num_pairs : int
        0 where the runs were not paired.
    num_left_out : int
        Runs without a partner.
    """

    names: tuple[str, str]
    value: str
    effect_kind: str
    effect: float
    low: float
    high: float
    level: float
    p_value: float
    smallest_p_value: float
    medians: tuple[float, float]
    num_runs: tuple[int, int]
    num_pairs: int
    num_left_out: int

    @property
    def is_real(self) -> bool:
        """Whether chance alone would give such a difference at most so rarely."""
        return self.p_value <= 1 - self.level + 1e-12

    @property
    def verdict(self) -> str:
        """One of "first is above", "second is above", "no difference shown", "too few runs"."""
        if self.smallest_p_value > 1 - self.level + 1e-12:
            return "too few runs"
        if not self.is_real:
            return "no difference shown"
        middle = 0.0 if self.effect_kind == "mean" else 0.5
        return "first is above" if self.effect > middle else "second is above"

    @property
    def sentence(self) -> str:
        """All of it in plain words."""
        first, second = self.names
        measured = f"{self.value} of {first} and {second}: {self._effect_text()}, {self._how()}."
        if self.verdict == "too few runs":
            return (
                f"{measured} Too few runs to tell: the smallest p-value they could give is "
                f"{_p_text(self.smallest_p_value)}."
            )
        if not self.is_real:
            return f"{measured} No difference is shown; the interval says how large it may be."
        above, below = (first, second) if self.verdict == "first is above" else (second, first)
        return f"{measured} The difference is real: {above} is above {below}."

    def to_frame(self) -> pd.DataFrame:
        """One row: first, second, value, effect, low, high, p_value, runs, pairs, verdict."""
        return pd.DataFrame(
            {
                "first": [self.names[0]],
                "second": [self.names[1]],
                "value": [self.value],
                "median_first": [self.medians[0]],
                "median_second": [self.medians[1]],
                "effect_kind": [self.effect_kind],
                "effect": [self.effect],
                "low": [self.low],
                "high": [self.high],
                "p_value": [self.p_value],
                "smallest_p_value": [self.smallest_p_value],
                "runs_first": [self.num_runs[0]],
                "runs_second": [self.num_runs[1]],
                "num_pairs": [self.num_pairs],
                "verdict": [self.verdict],
            }
        )

    def _effect_text(self) -> str:
        interval = f"{self.level:.0%} interval"
        if self.effect_kind == "mean":
            ends = f"{interval} {_number(self.low)} to {_number(self.high)}"
            return f"mean difference {_number(self.effect)} ({ends})"
        what = "untied pairs of a seed" if self.num_pairs else "pairs of runs"
        name, share, low, high = self.names[0], self.effect, self.low, self.high
        if share < 0.5:
            name, share, low, high = self.names[1], 1 - share, 1 - high, 1 - low
        return f"{name} is above in {share:.0%} of {what} ({interval} {low:.0%} to {high:.0%})"

    def _how(self) -> str:
        runs = (
            f"{self.num_pairs} pairs of one seed"
            if self.num_pairs
            else f"{self.num_runs[0]} and {self.num_runs[1]} runs"
        )
        left = f", {self.num_left_out} without a partner left out" if self.num_left_out else ""
        return f"p = {_p_text(self.p_value)} over {runs}{left}"


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    value: str,
    *,
    effect: str = "mean",
    by: Sequence[str] = ("task", "seed"),
    names: tuple[str, str] = ("first", "second"),
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Say whether two groups of runs differ, by an exact test.

    Runs are paired where `by` names each of them once and most have a partner: then the signs of
    the differences are flipped. With so few pairs that no result could reach ``1 - level`` (fewer
    than six for 95 %), or without pairs, the runs are exchanged between the groups instead. Which
    of the two is done depends on the numbers of runs alone, never on what was measured.

    Parameters
    ----------
    first, second : DataFrame
        One row a run: `value`, and the columns of `by` where there are such.
    value : str
        A column of numbers or of truth values. A missing value is not allowed: what a run that
        failed should count as is yours to say.
    effect : {"mean", "superiority"}
        What is compared: means, with all sizes; or which is above, for values of which only the
        order counts, such as horizons that end at the longest length measured.
    by : sequence of str
        Columns that pair the runs.
    names : tuple of str
        What the groups are called in the sentence.
    level : float
        In (0, 1).
    seed : int
        Of the exchanges that are drawn where there are more than about a million.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        A column or a value is missing, a group is empty, or an argument is unknown.

    Notes
    -----
    Between models, runs of one seed share words but not weights, so that they are close to
    independent; where they are alike, exchanging them without pairs is on the safe side. The
    interval of a mean holds 0 exactly when the test does not reject. Intervals of superiority are
    Clopper-Pearson's over untied pairs, or Newcombe's (`superiority_interval`) without pairs, and
    may differ from the test by a hair. 20 values cost a few milliseconds, more of them 0.2 s.

    Examples
    --------
    >>> runs = pd.DataFrame({"seed": range(8), "accuracy": [.91, .95, .9, .99, .97, .94, .96, .98]})
    >>> worse = runs.assign(accuracy=runs.accuracy - [.02, .05, .01, .06, .03, .04, .02, .05])
    >>> found = compare(runs, worse, "accuracy", by=["seed"], names=("A", "B"))
    >>> print(found.sentence)
    accuracy of A and B: mean difference 0.035 (95% interval 0.02 to 0.05), p = .0078 over 8 pairs
    of one seed. The difference is real: A is above B.
    """
    if effect not in EFFECTS:
        raise unknown_name("effect", effect, EFFECTS)
    share_interval(1, 1, level=level)  # checks the level
    one, other = (
        _values(table, value, name) for table, name in zip((first, second), names, strict=True)
    )
    pairs = _pairs(first, second, one, other, by)
    paired = pairs is not None and 2.0 ** (1 - len(pairs[0])) <= 1 - level
    left_out = 0
    if pairs is not None and paired:
        left_out = one.size + other.size - 2 * len(pairs[0])
        one, other = pairs
    measure = partial(_paired if paired else _unpaired, one, other, effect, level, seed)
    found, (low, high), probability, smallest = measure()
    return Comparison(
        names=names,
        value=value,
        effect_kind=effect,
        effect=found,
        low=low,
        high=high,
        level=level,
        p_value=probability,
        smallest_p_value=smallest,
        medians=(float(np.median(one)), float(np.median(other))),
        num_runs=(one.size, other.size),
        num_pairs=one.size if paired else 0,
        num_left_out=left_out,
    )


def holm(p_values: Iterable[float]) -> FloatArray:
    """Adjust p-values for their number: the chance that any true "no difference" is rejected.

    Parameters
    ----------
    p_values : iterable of float

    Returns
    -------
    ndarray of float64

    Notes
    -----
    Holm: "A simple sequentially rejective multiple test procedure", 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(list(p_values), dtype=np.float64)
    order = np.argsort(given, kind="stable")
    factors = np.arange(given.size, 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * factors))
    return adjusted


_Measured = tuple[float, tuple[float, float], float, float]


def _paired(one: FloatArray, other: FloatArray, effect: str, level: float, seed: int) -> _Measured:
    smallest = 2.0 ** (1 - one.size)
    differences = one - other
    if effect == "mean":
        shifts = sign_flip_shifts(differences, seed=seed)
        found = float(differences.mean())
        return found, shift_interval(shifts, level), _p(shifts, differences), smallest
    signs = np.sign(differences)
    wins, decided = int((signs > 0).sum()), int((signs != 0).sum())
    if not decided:
        return 0.5, (0.0, 1.0), 1.0, smallest
    from scipy import stats

    probability = float(stats.binomtest(wins, decided).pvalue)
    low, high = share_interval(wins, decided, level=level, method="clopper_pearson")
    return wins / decided, (float(low), float(high)), probability, smallest


def _unpaired(
    one: FloatArray, other: FloatArray, effect: str, level: float, seed: int
) -> _Measured:
    smallest = min(1.0, 2 / math.comb(one.size + other.size, one.size))
    if effect == "mean":
        shifts = exchange_shifts(one, other, seed=seed)
        found = float(one.mean() - other.mean())
        probability = _p(shifts, np.concatenate([one, other]))
        return found, shift_interval(shifts, level), probability, smallest
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([one, other]))
    shifts = exchange_shifts(ranks[: one.size], ranks[one.size :], seed=seed)
    wins = float(ranks[: one.size].sum() - one.size * (one.size + 1) / 2)
    found = wins / (one.size * other.size)
    interval = superiority_interval(found, one.size, other.size, level=level)
    return found, interval, _p(shifts, ranks), smallest


def _p(shifts: FloatArray, values: FloatArray) -> float:
    return p_value(shifts, float(np.abs(values).max()))


def _values(table: pd.DataFrame, value: str, name: str) -> FloatArray:
    if value not in table:
        raise unknown_name("column", value, list(table.columns))
    found = pd.to_numeric(table[value]).to_numpy(dtype=np.float64, na_value=math.nan)
    if not found.size:
        raise InputError(f"group {name!r} has no runs to compare")
    if np.isnan(found).any():
        missing = int(np.isnan(found).sum())
        raise InputError(
            f"{missing} of {found.size} runs of group {name!r} have no {value}: leave them out, or "
            "fill in what they should count as"
        )
    return found


def _pairs(
    first: pd.DataFrame, second: pd.DataFrame, one: FloatArray, other: FloatArray, by: Sequence[str]
) -> tuple[FloatArray, FloatArray] | None:
    """Values of runs that have a partner, in the same order; None where they cannot be paired."""
    keys = [name for name in by if name in first and name in second]
    if not keys:
        return None
    tables = (first[keys].assign(_value=one), second[keys].assign(_value=other))
    if any(table.duplicated(keys).any() for table in tables):
        return None
    joined = tables[0].merge(tables[1], on=keys, suffixes=("_first", "_second"))
    if len(joined) < _FEWEST_PAIRS or 4 * len(joined) <= one.size + other.size:
        return None
    return joined["_value_first"].to_numpy(), joined["_value_second"].to_numpy()


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.3g}".replace("-", "−")


def _p_text(value: float) -> str:
    return f"{value:.2g}".removeprefix("0") if value >= 1e-4 else f"{value:.0e}"
