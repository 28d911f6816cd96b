"""Running a transition table over many words at once."""

from typing import Final

import numpy as np

from automata.validation import IntArray

__all__ = ["run_words", "trace_words"]

_WORDS_PER_CHUNK: Final = 1 << 12


def trace_words(transitions: IntArray, initial: int, letters: IntArray) -> IntArray:
    """Return the states before, between and after the letters.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int
    letters : ndarray of int64, [num_words, length]
        Symbol indices in range.

    Returns
    -------
    ndarray of int64, [num_words, length + 1]

    Notes
    -----
    One gather per position and chunk of words, with the words laid out by time.

    Examples
    --------
    >>> trace_words(np.array([[0, 1], [1, 0]]), 0, np.array([[1, 0, 1]]))
    array([[0, 1, 1, 0]])
    """
    num_words, length = letters.shape
    num_symbols = transitions.shape[1]
    flat = transitions.reshape(-1)
    states = np.empty((num_words, length + 1), dtype=np.int64)
    for start in range(0, num_words, _WORDS_PER_CHUNK):
        chunk = slice(start, start + _WORDS_PER_CHUNK)
        by_time = np.ascontiguousarray(letters[chunk].T)
        traced = np.empty((length + 1, by_time.shape[1]), dtype=np.int64)
        traced[0] = initial
        for time, column in enumerate(by_time):
            flat.take(traced[time] * num_symbols + column, out=traced[time + 1], mode="clip")
        states[chunk] = traced.T
    return states


def run_words(transitions: IntArray, initial: int, letters: IntArray) -> IntArray:
    """Return the state after each word.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int
    letters : ndarray of int64, [num_words, length]
        Symbol indices in range.

    Returns
    -------
    ndarray of int64, [num_words]

    Examples
    --------
    >>> run_words(np.array([[0, 1], [1, 0]]), 0, np.array([[1, 0, 0], [1, 0, 1]]))
    array([1, 0])
    """
    states = np.full(len(letters), initial, dtype=np.int64)
    for column in letters.T:
        states = transitions[states, column]
    return states
