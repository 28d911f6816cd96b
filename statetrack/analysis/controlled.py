"""Comparisons of runs that differ by one setting and nothing else."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from automata.errors import InputError
from statetrack.analysis.comparisons import compare, holm

SETTINGS = ("task.", "model.", "training.")


@dataclass(frozen=True)
class ControlledPair:
    """Two labels of a task whose runs differ by one setting.

    Attributes
    ----------
    task, first, second : str
    setting : str
        Such as ``model.eigenvalue_range``.
    """

    task: str
    first: str
    second: str
    setting: str


def controlled_pairs(runs: pd.DataFrame) -> list[ControlledPair]:
    """Find the labels of each task that differ by exactly one setting.

    Parameters
    ----------
    runs : DataFrame
        Columns task, label, model, and settings such as ``model.eigenvalue_range``; labels tell all
        settings apart (`with_variants`).

    Returns
    -------
    list of ControlledPair
        For every setting each of its values with the next one, in order of appearance: the others
        follow from these.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> runs = pd.DataFrame({"task": "parity", "label": ["a", "b", "c"], "model": "diagonal",
    ...                      "model.range_steepness": [1, 2, 4]})
    >>> [(pair.first, pair.second) for pair in controlled_pairs(runs)]
    [('a', 'b'), ('b', 'c')]
    """
    for name in ("task", "label", "model"):
        if name not in runs:
            raise InputError(f"the table of runs lacks the column {name}")
    settings = ["model", *(name for name in runs if str(name).startswith(SETTINGS))]
    pairs = []
    for task, group in runs.groupby("task", sort=False):
        values = {
            str(label): tuple(_plain(value) for value in of_label.iloc[0][settings])
            for label, of_label in group.groupby("label", sort=False)
        }
        for place, setting in enumerate(settings):
            chains: dict[tuple[Hashable, ...], str] = {}
            for label, own in values.items():
                rest = own[:place] + own[place + 1 :]
                if rest in chains and values[chains[rest]] != own:
                    pairs.append(ControlledPair(str(task), chains[rest], label, setting))
                chains[rest] = label
    return pairs


def compare_controlled(
    runs: pd.DataFrame, value: str, *, effect: str = "superiority", level: float = 0.95
) -> pd.DataFrame:
    """Compare the runs of every `controlled_pairs`.

    Parameters
    ----------
    runs : DataFrame
        As in `controlled_pairs`, with a column seed and the column `value`.
    value, effect, level
        As in `compare`.

    Returns
    -------
    DataFrame
        task, setting, then the columns of `Comparison.to_frame`, adjusted_p_value (`holm` over the
        comparisons of the same task and setting, which are one question) and sentence. A verdict
        that the adjusted p-value does not uphold becomes "no difference shown", or "too few runs"
        where so many runs could not have given a smaller one.

    Raises
    ------
    InputError
        A column is missing.
    """
    frames = []
    groups = dict(iter(runs.groupby(["task", "label"], sort=False)))
    for pair in controlled_pairs(runs):
        found = compare(
            groups[pair.task, pair.first],
            groups[pair.task, pair.second],
            value,
            effect=effect,
            names=(pair.first, pair.second),
            level=level,
        )
        frame = found.to_frame().assign(sentence=found.sentence)
        frame.insert(0, "task", pair.task)
        frame.insert(1, "setting", pair.setting)
        frames.append(frame)
    if not frames:
        return pd.DataFrame()
    table = pd.concat(frames, ignore_index=True)
    table["adjusted_p_value"] = table.groupby(["task", "setting"])["p_value"].transform(holm)
    undone = table["verdict"].str.endswith("above") & (table["adjusted_p_value"] > _limit(level))
    best = table["p_value"] <= table["smallest_p_value"] + 1e-12
    table.loc[undone, "verdict"] = "no difference shown"
    table.loc[undone & best, "verdict"] = "too few runs"
    return table


def _limit(level: float) -> float:
    return 1 - level + 1e-12


def _plain(value: Any) -> Hashable:
    """A value that equals itself, also where it is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return value if isinstance(value, int | float | str | bool) else str(value)
