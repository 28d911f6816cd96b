"""Choosing runs by what they are and what they reached, such as ``task=s3`` and ``seed<8``."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from automata.errors import InputError, unknown_name

NONE = "none"
# Longest first, so that "<=" is not read as "<".
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Condition:
    """What a column of the table of runs must be.

    Attributes
    ----------
    column : str
    relation : {"=", "!=", "<", "<=", ">", ">="}
    value : str
        A number where the column holds numbers; "none" stands for a value that is missing.

    Examples
    --------
    >>> runs = pd.DataFrame({"label": ["LSTM", "MRU", "MRU"], "solved_step": [None, 300, 900]})
    >>> Condition.parse("solved_step<=300").holds(runs).tolist()
    [False, True, False]
    >>> Condition.parse("solved_step=none").holds(runs).tolist()
    [True, False, False]
    """

    column: str
    relation: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition such as ``seed<8``.

        Raises
        ------
        InputError
            It holds no relation, or nothing on one side of it.
        """
        places = [(text.find(sign), -len(sign), sign) for sign in _RELATIONS if sign in text]
        if places:
            place, _, sign = min(places)
            column, value = text[:place].strip(), text[place + len(sign) :].strip()
            if column and value:
                return cls(column, sign, value)
        raise InputError(
            f"{text!r} is no condition: give COLUMN=VALUE, or another of "
            f"{' '.join(name for name in _RELATIONS if name != '=')}, such as seed<8"
        )

    def holds(self, runs: pd.DataFrame) -> "pd.Series[bool]":
        """Say for every run whether it holds.

        Raises
        ------
        InputError
            The table has no such column, or its numbers are compared with a text.
        """
        if self.column not in runs:
            raise unknown_name("column", self.column, [str(name) for name in runs])
        column = runs[self.column]
        if self.value.lower() == NONE and self.relation in ("=", "!="):
            return column.isna() if self.relation == "=" else column.notna()
        is_number = pd.api.types.is_numeric_dtype(column.infer_objects())
        if pd.api.types.is_bool_dtype(column) or not is_number:
            found = _RELATIONS[self.relation](column.astype(str), self.value)
        else:
            try:
                number = float(self.value)
            except ValueError:
                raise InputError(
                    f"column {self.column!r} holds numbers, and {self.value!r} is none"
                ) from None
            found = _RELATIONS[self.relation](column, number)
        return found & column.notna()


def all_hold(runs: pd.DataFrame, conditions: Iterable[Condition]) -> "pd.Series[bool]":
    """Say for every run whether all conditions hold."""
    found = pd.Series(True, index=runs.index)
    for condition in conditions:
        found &= condition.holds(runs)
    return found
