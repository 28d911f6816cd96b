"""Runs named by their settings, as a table of a publication names its models."""

import json
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from automata.errors import InputError


def run_names(runs: pd.DataFrame, settings: Mapping[str, Sequence[str]]) -> "pd.Series[str]":
    """Give every run the name whose settings it has.

    Parameters
    ----------
    runs : DataFrame
        A row a run: run_id and a column a setting, such as `Results.runs`.
    settings : mapping of str to sequence of str
        By name pairs such as ``model=mamba`` and ``model.num_layers=2``. Where a run has those of
        several names, the one with the most pairs is taken, of equal ones the first.

    Returns
    -------
    Series of str
        With the index of `runs`.

    Raises
    ------
    InputError
        A run has the settings of no name.

    Examples
    --------
    >>> runs = pd.DataFrame({"run_id": ["a", "b"], "model": "householder",
    ...                      "model.num_factors": [1.0, 2.0]})
    >>> names = {"DeltaNet": ["model=householder"],
    ...          "DeltaProduct": ["model=householder", "model.num_factors=2"]}
    >>> run_names(runs, names).tolist()
    ['DeltaNet', 'DeltaProduct']
    """
    order = sorted(settings, key=lambda name: -len(settings[name]))
    asked = {name: [_split(pair) for pair in settings[name]] for name in order}
    found = [_name(row, asked) for row in runs.to_dict("records")]
    return pd.Series(found, index=runs.index, dtype=object)


def _split(pair: str) -> tuple[str, str]:
    key, _, value = pair.partition("=")
    return key, value


def _name(row: Mapping[str, object], asked: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    for name, pairs in asked.items():
        if all(_is(row.get(key), text) for key, text in pairs):
            return name
    raise InputError(
        f"run {row.get('run_id')} has the settings of none of {', '.join(asked)}: name it too"
    )


def _is(value: object, text: str) -> bool:
    """Whether a cell of a table says what a pair says; tables hold whole numbers as floats."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    try:
        number = json.loads(text)
    except ValueError:
        return str(value) == text
    if isinstance(number, int | float) and isinstance(value, int | float):
        return float(number) == float(value)
    return str(value) == text
