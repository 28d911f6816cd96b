"""Words with a short period, on which the errors of a model add up fastest.

Under random letters the errors of a linear recurrence partly cancel; under one repeated letter, or
two in turn, they all point the same way. These words belong into every test set. Words made for
one automaton and one model are in `automata.pair_graph`.
"""

import itertools
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.uniform_draw import check_size
from automata.validation import IntArray, as_integer

__all__ = ["alternating_letters", "periodic_words", "repeated_letters"]

_MAX_PERIODS: Final = 2**20


def repeated_letters(num_symbols: int, length: int) -> IntArray:
    """Return the words ``a a a ...``, one for every letter.

    Parameters
    ----------
    num_symbols, length : int

    Returns
    -------
    ndarray of int64, [num_symbols, length]

    Examples
    --------
    >>> repeated_letters(2, 3)
    array([[0, 0, 0],
           [1, 1, 1]])
    """
    return periodic_words(num_symbols, length, 1)


def alternating_letters(num_symbols: int, length: int) -> IntArray:
    """Return the words ``a b a b ...``, one for every ordered pair of different letters.

    Parameters
    ----------
    num_symbols, length : int

    Returns
    -------
    ndarray of int64, [num_symbols * (num_symbols - 1), length]

    Examples
    --------
    >>> alternating_letters(2, 5)
    array([[0, 1, 0, 1, 0],
           [1, 0, 1, 0, 1]])
    """
    return periodic_words(num_symbols, length, 2)


def periodic_words(num_symbols: int, length: int, period: int) -> IntArray:
    """Return every word that repeats a block of exactly this smallest period.

    Parameters
    ----------
    num_symbols, length : int
    period : int
        Length of the block. Blocks that are themselves repetitions are left out.

    Returns
    -------
    ndarray of int64, [num_blocks, length]
        Blocks in lexicographic order; the last repetition may be cut.

    Raises
    ------
    InputError
        If there are more than 2**20 blocks, or the words would not fit into memory.

    Examples
    --------
    >>> periodic_words(2, 7, 3)
    array([[0, 0, 1, 0, 0, 1, 0],
           [0, 1, 0, 0, 1, 0, 0],
           [0, 1, 1, 0, 1, 1, 0],
           [1, 0, 0, 1, 0, 0, 1],
           [1, 0, 1, 1, 0, 1, 1],
           [1, 1, 0, 1, 1, 0, 1]])
    """
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 2**32)
    length = as_integer(length, "length", 0)
    period = as_integer(period, "period", 1)
    if num_symbols > 1 and (period > 20 or num_symbols**period > _MAX_PERIODS):
        raise InputError(
            f"there are {num_symbols}**{period} blocks of length {period}: words are listed for up "
            f"to {_MAX_PERIODS}; give a smaller period"
        )
    if num_symbols == 1 and period > 1:
        return np.empty((0, length), dtype=np.int64)
    check_size(num_symbols**period, max(length, period))
    blocks = np.array(
        list(itertools.product(range(num_symbols), repeat=period)), dtype=np.int64
    ).reshape(-1, period)
    for shorter in range(1, period):
        if period % shorter == 0:
            blocks = blocks[(blocks != np.roll(blocks, shorter, axis=1)).any(axis=1)]
    return blocks[:, np.arange(length) % period]
