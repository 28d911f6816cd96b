"""Automata as JSON, with a version number."""

import json
import os
import re
from collections.abc import Hashable
from typing import Any, Final, NoReturn

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, shown, unknown_name
from automata.files import check_size, check_text, read_text, write_text

__all__ = ["FORMAT", "VERSION", "from_json", "read_json", "to_json", "write_json"]

FORMAT: Final = "statetrack-dfa"
VERSION: Final = 1
MAX_DEPTH: Final = 16
MAX_CONTAINERS: Final = 2**20
REQUIRED: Final = ("format", "version", "alphabet", "initial", "accepting", "transitions")
FIELDS: Final = (*REQUIRED, "outputs")

# A string, to its end or to that of the text, or one bracket: no backtracking, linear time.
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def to_json(dfa: DFA) -> str:
    """Write an automaton as JSON, one state a line.

    Parameters
    ----------
    dfa : DFA
        Its symbols must be strings, integers, or tuples of these (which become lists).

    Returns
    -------
    str

    Raises
    ------
    InputError
        If a symbol has no place in JSON.

    Examples
    --------
    >>> print(to_json(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab")))
    {
      "format": "statetrack-dfa",
      "version": 1,
      "alphabet": ["a", "b"],
      "initial": 0,
      "accepting": [1],
      "transitions": [
        [0, 1],
        [1, 0]
      ]
    }
    """
    fields = {
        "format": json.dumps(FORMAT),
        "version": json.dumps(VERSION),
        "alphabet": json.dumps([_symbol_to_json(s) for s in dfa.alphabet], ensure_ascii=False),
        "initial": json.dumps(dfa.initial),
        "accepting": json.dumps(np.flatnonzero(dfa.accepting).tolist()),
        "transitions": "[\n    " + ",\n    ".join(map(str, dfa.transitions.tolist())) + "\n  ]",
    }
    if dfa.outputs is not None:
        fields["outputs"] = json.dumps(dfa.outputs.tolist())
    return "{\n" + ",\n".join(f'  "{name}": {text}' for name, text in fields.items()) + "\n}"


def from_json(text: str) -> DFA:
    """Read an automaton from JSON.

    Parameters
    ----------
    text : str
        As `to_json` writes it; lists in the alphabet become tuples. ``outputs`` may be absent.

    Returns
    -------
    DFA

    Raises
    ------
    InputError
        If it is no JSON of this format and version, a field is unknown, repeated, missing or
        wrong, or a limit is passed.

    Examples
    --------
    >>> dfa = DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab")
    >>> from_json(to_json(dfa)) == dfa
    True
    """
    _check_shape(check_text(text, "the JSON text"))
    try:
        value = json.loads(
            text, object_pairs_hook=_object_without_repeats, parse_constant=_refuse_constant
        )
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"the text is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"the JSON holds a {type(value).__name__}: give an object with {FIELDS}")
    _check_fields(value)
    alphabet = [_symbol_from_json(symbol) for symbol in _list_of("alphabet", value["alphabet"])]
    rows = _list_of("transitions", value["transitions"])
    check_size(len(rows), len(alphabet))
    for state, row in enumerate(rows):
        what = f"row {state} of transitions"
        if len(_integers(what, row)) != len(alphabet):
            raise InputError(
                f"{what} has {len(row)} entries: give {len(alphabet)}, one for every symbol"
            )
    outputs = value.get("outputs")
    return DFA(
        rows,
        value["initial"],
        np.array(_integers("accepting", value["accepting"]), dtype=np.int64),
        alphabet,
        None if outputs is None else np.array(_integers("outputs", outputs), dtype=np.int64),
    )


def write_json(dfa: DFA, path: str | os.PathLike[str]) -> None:
    """Write an automaton to a JSON file (see `to_json`).

    Parameters
    ----------
    dfa : DFA
    path : str or path-like
    """
    write_text(to_json(dfa) + "\n", path)


def read_json(path: str | os.PathLike[str]) -> DFA:
    """Read an automaton from a JSON file (see `from_json`).

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    DFA
    """
    return from_json(read_text(path))


def _symbol_to_json(symbol: Hashable) -> object:
    if isinstance(symbol, tuple):
        return [_symbol_to_json(part) for part in symbol]
    if isinstance(symbol, str):
        return str(symbol)
    if isinstance(symbol, int | np.integer) and not isinstance(symbol, bool):
        return int(symbol)
    raise InputError(
        f"symbol {symbol!r} has no place in JSON: use strings, integers or tuples of these"
    )


def _symbol_from_json(value: object) -> Hashable:
    if isinstance(value, list):
        return tuple(_symbol_from_json(part) for part in value)
    if isinstance(value, str) or type(value) is int:
        return value
    raise InputError(f"the alphabet holds {shown(value)}: give strings, integers or lists of these")


def _check_shape(text: str) -> None:
    """Bound depth and number of lists and objects before anything is built."""
    depth = num_containers = 0
    for match in _TOKENS.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            num_containers += 1
            if depth > MAX_DEPTH or num_containers > MAX_CONTAINERS:
                limit = f"is nested deeper than {MAX_DEPTH}"
                if num_containers > MAX_CONTAINERS:
                    limit = f"holds more than {MAX_CONTAINERS} lists"
                raise InputError(f"the JSON {limit}, at character {match.start()}")
        elif token in "]}":
            depth -= 1


def _check_fields(value: dict[str, Any]) -> None:
    for name in value:
        if name not in FIELDS:
            raise unknown_name("JSON field", name[:80], FIELDS)
    for name in REQUIRED:
        if name not in value:
            raise InputError(f"the JSON has no field {name!r}: give {', '.join(REQUIRED)}")
    if value["format"] != FORMAT:
        raise InputError(f"the JSON has format {shown(value['format'])}: give {FORMAT!r}")
    if type(value["version"]) is not int or value["version"] != VERSION:
        raise InputError(
            f"the JSON has version {shown(value['version'])}: this library reads version {VERSION}"
        )
    if type(value["initial"]) is not int:
        raise InputError(f"initial is {shown(value['initial'])}: give the number of a state")


def _list_of(name: str, value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{name} is {shown(value)}: give a list of at least one entry")
    return value


def _integers(name: str, value: object) -> list[int]:
    """Check a list before NumPy sees it: one long string would make every entry as long."""
    if not isinstance(value, list):
        raise InputError(f"{name} is {shown(value)}: give a list of integers")
    for number in value:
        if type(number) is not int or not -(2**63) <= number < 2**63:
            raise InputError(f"{name} holds {shown(number)}: give integers of 64 bits")
    return value


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"the JSON gives {repeated[:80]!r} twice: give every field once")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"the JSON holds {name}: give integers")
