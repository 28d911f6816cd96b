"""Languages below the regular ones: piecewise and locally testable, and those of MLRegTest."""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from automata.att import read_att
from automata.dfa import DFA
from automata.errors import InputError, shown
from automata.files import check_size
from automata.tasks.published import published_versions
from automata.tasks.recognition import recogniser
from automata.tasks.task import Task

__all__ = ["locally_testable", "mlregtest", "piecewise_testable"]

_MAX_PATTERN: Final = 64


def piecewise_testable(
    *,
    contains: Sequence[str] = ("abc",),
    avoids: Sequence[str] = ("ca",),
    alphabet: str = "abcd",
    words: str = "balanced",
    supervision: str = "per_prefix",
) -> Task:
    """Recognise the words with some subsequences and without others, wherever their letters are.

    Parameters
    ----------
    contains, avoids : sequence of str
        Subsequences that must, and must not, be in the word.
    alphabet : str
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    Notes
    -----
    With `avoids` alone the language is strictly piecewise (SP in MLRegTest, van der Poel et al.
    2024), with both piecewise testable (PT there, which also has unions).

    Examples
    --------
    >>> piecewise_testable(contains=["ab"], avoids=["ba"], alphabet="ab").targets_of("aabba")
    array([0, 0, 1, 1, 0])
    """
    make = functools.partial(_with_subsequence, alphabet=alphabet)
    language = _combine(make, contains, avoids, alphabet)
    facts = {
        "contains": " ".join(contains),
        "avoids": " ".join(avoids),
        **published_versions(piecewise_testable),
    }
    return recogniser("piecewise_testable", language, words, supervision, facts)


def locally_testable(
    *,
    contains: Sequence[str] = ("ab",),
    avoids: Sequence[str] = ("bb",),
    alphabet: str = "abcd",
    words: str = "balanced",
    supervision: str = "per_prefix",
) -> Task:
    """Recognise the words with some factors and without others (letters side by side).

    Parameters
    ----------
    contains, avoids : sequence of str
        Factors that must, and must not, be in the word.
    alphabet : str
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    Notes
    -----
    With `avoids` alone the language is strictly local (SL in MLRegTest, van der Poel et al. 2024),
    with both locally testable (LT there, which also has unions, and factors at the word's ends).

    Examples
    --------
    >>> locally_testable(contains=["ab"], avoids=["bb"], alphabet="ab").targets_of("aaabb")
    array([0, 0, 0, 1, 0])
    """
    make = functools.partial(_with_factor, alphabet=alphabet)
    language = _combine(make, contains, avoids, alphabet)
    facts = {
        "contains": " ".join(contains),
        "avoids": " ".join(avoids),
        **published_versions(locally_testable),
    }
    return recogniser("locally_testable", language, words, supervision, facts)


def mlregtest(*, path: str, words: str = "balanced", supervision: str = "final") -> Task:
    r"""Recognise a language whose automaton is read from a file in AT&T format.

    Parameters
    ----------
    path : str
        A ``.att`` file, as MLRegTest has one for every language (see `automata.att`).
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`.
    supervision : {"final", "per_prefix", "membership"}
        See `Task`.

    Returns
    -------
    Task
        Named after the file.

    Raises
    ------
    InputError
        If the file cannot be read, or is no automaton.

    Notes
    -----
    MLRegTest (van der Poel et al. 2024; 1,800 languages of 16 subregular classes) has one answer
    for a whole word, members and others in equal shares, short and long, random and adversarial
    (`automata.hard_negatives` gives words one edit away). Its names tell alphabet, class and size.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "all_a.att")
    ...     _ = path.write_text("0 0 a\n0 1 b\n1 1 a\n1 1 b\n0")
    ...     mlregtest(path=str(path)).targets_of("aab")
    array([1, 1, 0])
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path is {path!r}: give the path of an .att file")
    facts = {"language": Path(path).stem, **published_versions(mlregtest)}
    return recogniser(f"mlregtest_{Path(path).stem}", read_att(path), words, supervision, facts)


def _read_pattern(pattern: str, alphabet: str) -> list[int]:
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= _MAX_PATTERN:
        raise InputError(
            f"{shown(pattern)} is no pattern: give a text of 1 to {_MAX_PATTERN} letters"
        )
    for letter in pattern:
        if letter not in alphabet:
            raise InputError(f"{letter!r} of {pattern!r} is not in the alphabet {shown(alphabet)}")
    return [alphabet.index(letter) for letter in pattern]


def _with_subsequence(pattern: str, alphabet: str) -> DFA:
    letters = _read_pattern(pattern, alphabet)
    table = np.tile(np.arange(len(letters) + 1)[:, None], (1, len(alphabet)))
    table[np.arange(len(letters)), letters] += 1
    return DFA(table, 0, [len(letters)], alphabet)


def _with_factor(pattern: str, alphabet: str) -> DFA:
    """Follow the longest beginning of the pattern that the word ends in."""
    letters = _read_pattern(pattern, alphabet)
    size = len(letters)
    table = np.full((size + 1, len(alphabet)), size, dtype=np.int64)
    fallback = 0
    for state in range(size):
        table[state] = table[fallback] if state else 0
        table[state, letters[state]] = state + 1
        if state:
            fallback = int(table[fallback, letters[state]])
    return DFA(table, 0, [size], alphabet)


def _combine(
    make: Callable[[str], DFA], contains: Sequence[str], avoids: Sequence[str], alphabet: str
) -> DFA:
    if not isinstance(alphabet, str) or len(set(alphabet)) != len(alphabet):
        raise InputError(f"alphabet is {shown(alphabet)}: give a text of distinct letters")
    for name, patterns in (("contains", contains), ("avoids", avoids)):
        if isinstance(patterns, str) or not isinstance(patterns, Iterable):
            raise InputError(f"{name} is {shown(patterns)}: give a list of patterns")
    parts = [*map(make, contains), *(make(pattern).complement() for pattern in avoids)]
    if not parts:
        raise InputError("there is no pattern: give at least one in contains or avoids")
    language = parts[0]
    for part in parts[1:]:
        check_size(language.num_states * part.num_states, len(alphabet))
        language = language.intersection(part).minimize()
    if language.is_empty():
        raise InputError("no word has all of contains and none of avoids: give other patterns")
    return language
