"""Single edits of words, and how many of them lead into a language."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from automata.dfa import DFA
from automata.validation import IntArray

__all__ = ["apply_edits", "count_edits_into"]

_CELLS_PER_CHUNK: Final = 2**19


def count_edits_into(dfa: DFA, words: IntArray) -> IntArray:
    """Count the substitutions, insertions and deletions that make each word an accepted one.

    Parameters
    ----------
    dfa : DFA
    words : ndarray of int64, [num_words, length]

    Returns
    -------
    ndarray of int64, [num_words]
        Pairs of a place and a letter, so that two edits with the same result count twice.

    Notes
    -----
    O(length * (num_states + num_symbols)) a word: the states from which each suffix is accepted
    are carried from the right, and met with the state of the prefix.

    Examples
    --------
    >>> only_ab = DFA.from_partial([[1, -1], [-1, 2], [-1, -1]], accepting=[2])
    >>> count_edits_into(only_ab, np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]))
    array([2, 1, 0])
    """
    counts = np.empty(len(words), dtype=np.int64)
    chunk_size = max(1, _CELLS_PER_CHUNK // dfa.num_states)
    for start in range(0, len(words), chunk_size):
        chunk = slice(start, start + chunk_size)
        counts[chunk] = _count_chunk(dfa, words[chunk])
    return counts


def apply_edits(words: IntArray, kinds: IntArray, places: IntArray, letters: IntArray) -> IntArray:
    """Edit every word once.

    Parameters
    ----------
    words : ndarray of int64, [num_words, longest]
        Padded on the right so that all results have the same length.
    kinds : ndarray of int64, [num_words]
        0 substitutes the letter at the place (of a word one letter shorter than the padded width),
        1 inserts before it (two letters shorter), 2 deletes it (not padded).
    places, letters : ndarray of int64, [num_words]

    Returns
    -------
    ndarray of int64, [num_words, longest - 1]

    Examples
    --------
    >>> words = np.array([[0, 1, 2, 9], [0, 1, 9, 9], [0, 1, 2, 3]])
    >>> apply_edits(words, np.array([0, 1, 2]), np.array([1, 1, 1]), np.array([7, 7, 0]))
    array([[0, 7, 2],
           [0, 7, 1],
           [0, 2, 3]])
    """
    columns = np.arange(words.shape[1] - 1)
    place, kind = places[:, None], kinds[:, None]
    sources = columns - ((kind == 1) & (columns > place)) + ((kind == 2) & (columns >= place))
    edited = np.take_along_axis(words, sources, axis=1)
    return np.where((kind != 2) & (columns == place), letters[:, None], edited)


def _count_chunk(dfa: DFA, words: IntArray) -> IntArray:
    num_words, length = words.shape
    by_letter = np.ascontiguousarray(dfa.transitions.T)
    states = dfa.trace(words).T
    row_starts = dfa.num_states * np.arange(num_words)
    # Entry [word, q]: whether the rest of the word is accepted from state q.
    accepted = np.tile(dfa.accepting.astype(np.int8), num_words)
    counts = np.zeros(num_words, dtype=np.int64)
    for place in range(length, -1, -1):
        counts += _accepted_after_a_letter(dfa, accepted, row_starts, states[place])
        if place:
            before = states[place - 1]
            counts += _accepted_after_a_letter(dfa, accepted, row_starts, before)
            counts -= accepted.take(row_starts + states[place])
            counts += accepted.take(row_starts + before)
            sources = by_letter[words[:, place - 1]] + row_starts[:, None]
            accepted = accepted.take(sources.reshape(-1))
    return counts


def _accepted_after_a_letter(
    dfa: DFA, accepted: NDArray[np.int8], row_starts: IntArray, states: IntArray
) -> IntArray:
    """Count the letters after which the rest of the word is accepted, [num_words]."""
    targets = dfa.transitions[states] + row_starts[:, None]
    counts: IntArray = accepted.take(targets).sum(axis=1, dtype=np.int64)
    return counts
