"""How many words lead from every state to acceptance: exactly, and as scaled floats.

With ``c_0`` the accepting mask and ``c_l(q) = sum_a c_{l-1}(transitions[q, a])``, a uniform word
goes on from state ``q``, ``l`` letters before its end, with letter ``a`` of probability
``c_{l-1}(transitions[q, a]) / c_l(q)``. `WordLaw` keeps these odds as 32-bit thresholds with a
proven error, so that a draw can tell when a threshold decides and when it must look closer.
"""

import functools
import itertools
import math
import threading
from collections.abc import Iterator
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.validation import BoolArray, FloatArray, IntArray

__all__ = ["WordLaw", "exact_counts", "iterate_counts", "lengths_with_words", "word_law"]

_NO_WORDS: Final = -(2**60)
_BEYOND: Final = 2**40
_CACHED_CELLS: Final = 2**21
_MAX_TABLE: Final = 2**20


def lengths_with_words(dfa: DFA, longest: int) -> BoolArray:
    """Tell for every length whether a word of it is accepted.

    Parameters
    ----------
    dfa : DFA
    longest : int

    Returns
    -------
    ndarray of bool, [longest + 1]

    Examples
    --------
    >>> lengths_with_words(DFA([[1], [2], [0]], accepting=[1]), 5)
    array([False,  True, False, False,  True, False])
    """
    table = np.ascontiguousarray(dfa.transitions.T)
    alive: BoolArray = dfa.accepting
    found = np.empty(longest + 1, dtype=np.bool_)
    for length in range(longest + 1):
        found[length] = alive[dfa.initial]
        alive = np.logical_or.reduce(alive[table], axis=0)
    return found


def exact_counts(dfa: DFA, length: int) -> list[int]:
    """Count the words of a length that lead from every state to acceptance.

    Parameters
    ----------
    dfa : DFA
    length : int

    Returns
    -------
    list of int, [num_states]

    Examples
    --------
    >>> exact_counts(DFA([[0, 1], [1, 1]], accepting=[1]), 100) == [2**100 - 1, 2**100]
    True
    """
    return next(itertools.islice(iterate_counts(dfa), length, None))


def iterate_counts(dfa: DFA) -> Iterator[list[int]]:
    """Iterate over `exact_counts` for lengths 0, 1, ...

    Parameters
    ----------
    dfa : DFA

    Yields
    ------
    list of int, [num_states]

    Examples
    --------
    >>> counts = iterate_counts(DFA([[0, 1], [1, 0]], accepting=[1]))
    >>> [next(counts) for _ in range(3)]
    [[0, 1], [1, 1], [2, 2]]
    """
    rows = dfa.transitions.tolist()
    counts = [int(accepts) for accepts in dfa.accepting]
    while True:
        yield counts
        counts = [sum([counts[target] for target in row]) for row in rows]


class WordLaw:
    """The uniform law over the accepted words of every length, letter by letter.

    Parameters
    ----------
    dfa : DFA

    Notes
    -----
    Counts are kept as ``mantissa * 2**exponent`` with the mantissa in ``[0.5, 1)``, or 0 exactly
    where there is no word, so nothing over- or underflows. Every length adds at most
    ``num_symbols`` roundings of positive terms: the relative error of ``c_l`` is below
    ``1.01 * l * num_symbols * 2**-53``. Floating-point counts with exact decisions: Denise,
    Zimmermann: "Uniform random generation of decomposable structures using floating-point
    arithmetic", Theoretical Computer Science 218, 1999; words of regular languages: Bernardi,
    Giménez: "A linear algorithm for the random sampling from regular languages", Algorithmica 62,
    2012.

    Thresholds take O(num_states * num_symbols) memory for every letter up to a fixed budget;
    beyond it counts are kept at every square root of the length and computed again.

    Examples
    --------
    >>> law = WordLaw(DFA([[0, 1], [1, 1]], accepting=[1]))
    >>> [law.row_size, law.weights_after(0, 3), law.slack(3)]
    [2, [3, 4], 0]
    """

    def __init__(self, dfa: DFA) -> None:
        self.dfa = dfa
        self._width = 1 << max(0, (dfa.num_symbols - 1).bit_length())
        self._cached: list[IntArray] = []
        self._deepest: _Level = _accepting_level(dfa.accepting)
        self._lock = threading.Lock()

    @property
    def row_size(self) -> int:
        """Entries per state in a table of thresholds: a power of two, at least `num_symbols`."""
        return self._width

    def slack(self, remaining: int) -> int:
        """Bound the error of the counts one letter later, in units of ``2**-53``."""
        if remaining * self.dfa.num_symbols < 53:
            return 0
        return 2 * remaining * self.dfa.num_symbols

    def tolerance(self, remaining: int) -> int:
        """Bound the error of the thresholds `remaining` letters before the end, in ``2**-32``."""
        relative = 2 * self.slack(remaining) + 8
        return 2 + (relative >> 21)

    def thresholds(self, length: int) -> Iterator[IntArray]:
        """Iterate over the tables for ``length, ..., 1`` remaining letters.

        Row ``q``, flat with `row_size` entries, holds ``2**32`` times the odds that the letter is
        at most ``0, 1, ...``; entries that no digit reaches, or every digit does, lie far outside.
        """
        cells = self.dfa.num_states * self._width
        budget = _CACHED_CELLS // cells
        with self._lock:
            while len(self._cached) < min(budget, length):
                self._deepest, table = self._one_letter_more(self._deepest)
                self._cached.append(table)
        if length > budget:
            yield from self._recomputed(length, len(self._cached))
        yield from reversed(self._cached[:length])

    def weights_after(self, state: int, remaining: int, exact: bool = True) -> list[int]:
        """Return the number of words behind every letter, times a common factor.

        Exactly, or within a factor ``1 ± slack(remaining) / 2**53``.
        """
        targets = self.dfa.transitions[state].tolist()
        if exact or not self.slack(remaining):
            counts = exact_counts(self.dfa, remaining - 1)
            return [counts[target] for target in targets]
        level = _accepting_level(self.dfa.accepting)
        for _ in range(remaining - 1):
            level, _ = _longer(self.dfa.transitions, level)
        mantissas, exponents = level
        some = [target for target in targets if mantissas[target]]
        lowest = min(int(exponents[target]) for target in some)
        return [
            int(mantissas[t] * 2**53) << (int(exponents[t]) - lowest) if mantissas[t] else 0
            for t in targets
        ]

    def _recomputed(self, length: int, first: int) -> Iterator[IntArray]:
        """Iterate from `length` down to ``first + 1`` remaining letters, block by block."""
        stride = math.isqrt(length - first) + 1
        level, kept = self._deepest, []
        for remaining in range(first, length):
            if (remaining - first) % stride == 0:
                kept.append(level)
            level, _ = _longer(self.dfa.transitions, level)
        for block in range(len(kept) - 1, -1, -1):
            start = first + block * stride
            level, tables = kept[block], []
            for _ in range(start, min(start + stride, length)):
                level, table = self._one_letter_more(level)
                tables.append(table)
            yield from reversed(tables)

    def _one_letter_more(self, level: "_Level") -> "tuple[_Level, IntArray]":
        longer, cumulative = _longer(self.dfa.transitions, level)
        return longer, _threshold_table(self.dfa.transitions, level, cumulative, self._width)


@functools.lru_cache(maxsize=16)
def word_law(dfa: DFA) -> WordLaw:
    """Return the law of an automaton, kept for the next call.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    WordLaw

    Examples
    --------
    >>> dfa = DFA([[0, 1], [1, 0]], accepting=[1])
    >>> word_law(dfa) is word_law(dfa)
    True
    """
    if dfa.num_states * dfa.num_symbols > _MAX_TABLE:
        raise InputError(
            f"{dfa.num_states} states and {dfa.num_symbols} symbols are too many for uniform "
            f"words: the table may have up to {_MAX_TABLE} cells"
        )
    return WordLaw(dfa)


_Level = tuple[FloatArray, IntArray]


def _accepting_level(accepting: BoolArray) -> _Level:
    return np.where(accepting, 0.5, 0.0), np.where(accepting, 1, _NO_WORDS)


def _longer(transitions: IntArray, level: _Level) -> tuple[_Level, FloatArray]:
    """Count words of one letter more; also the running sums over letters, scaled by row."""
    mantissas, exponents = level
    after = exponents[transitions]
    highest = after.max(axis=1)
    shift = np.maximum(after - highest[:, None], -1100)
    cumulative = np.cumsum(np.ldexp(mantissas[transitions], shift), axis=1)
    fractions, carries = np.frexp(cumulative[:, -1])
    raised = np.where(fractions > 0, highest + carries, _NO_WORDS)
    return (fractions, raised), cumulative


def _threshold_table(
    transitions: IntArray, level: _Level, cumulative: FloatArray, width: int
) -> IntArray:
    """Turn running sums into integer thresholds, [num_states * width]."""
    num_states, num_symbols = transitions.shape
    has_words = level[0][transitions] > 0
    total = np.where(cumulative[:, -1:] > 0, cumulative[:, -1:], 1.0)
    table = np.full((num_states, width), _BEYOND, dtype=np.int64)
    table[:, :num_symbols] = np.floor(cumulative / total * 2.0**32)
    none_so_far = ~np.logical_or.accumulate(has_words, axis=1)
    table[:, :num_symbols][none_so_far] = -_BEYOND
    none_later = ~np.logical_or.accumulate(has_words[:, ::-1], axis=1)[:, ::-1]
    table[:, : num_symbols - 1][none_later[:, 1:]] = _BEYOND
    table[:, num_symbols - 1] = _BEYOND
    return table.reshape(-1)
