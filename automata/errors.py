"""Errors that speak to the user: one line that names the value, the limit and the cure."""

import difflib
from collections.abc import Iterable
from typing import Final

__all__ = ["InputError", "shown", "unknown_name"]

MAX_SHOWN: Final = 80


class InputError(ValueError):
    """Bad input from the user: which value, what was expected, what to do.

    Examples
    --------
    >>> raise InputError("length is 0: give a length of at least 1")
    Traceback (most recent call last):
    ...
    automata.errors.InputError: length is 0: give a length of at least 1
    """


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> InputError:
    """Build the error for a name that is not in a fixed list, with the nearest valid one.

    Parameters
    ----------
    kind : str
        What the name stands for, such as ``"task"``.
    name : object
        What the user wrote.
    valid : iterable of str
        Every valid name, in the order in which they are listed.

    Returns
    -------
    InputError
        To be raised by the caller.

    Examples
    --------
    >>> print(unknown_name("task", "partiy", ["parity", "s3"]))
    unknown task 'partiy': did you mean 'parity'? (valid: parity, s3)
    """
    names = list(valid)
    start = (name if isinstance(name, str) else shown(name))[:MAX_SHOWN].lower()
    nearest = difflib.get_close_matches(start, [n.lower() for n in names], n=1)
    by_lower = {n.lower(): n for n in names}
    hint = f": did you mean {by_lower[nearest[0]]!r}?" if nearest else ""
    return InputError(f"unknown {kind} {shown(name)}{hint} (valid: {', '.join(names)})")


def shown(value: object) -> str:
    """Write a value as an error shows it: its ``repr``, one line, cut off after 80 characters.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> shown("partiy"), len(shown("x" * 10**6))
    ("'partiy'", 83)
    """
    try:
        text = " ".join(repr(value).split("\n"))
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
