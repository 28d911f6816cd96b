"""A batch of words with their targets."""

from typing import NamedTuple

from automata.errors import InputError
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["Batch", "read_lengths"]


class Batch(NamedTuple):
    """A batch of words with their targets, each array [batch, length] unless said otherwise.

    Attributes
    ----------
    tokens : ndarray of int64
        Token ids; `Task.pad_token` after the end of a shorter word.
    targets : ndarray of int64
        Classes where `mask` holds, 0 elsewhere.
    mask : ndarray of bool
        True where a position is supervised.
    lengths : ndarray of int64, [batch]
        Tokens per word.
    valid : ndarray of bool
        True where a position holds a token.
    """

    tokens: IntArray
    targets: IntArray
    mask: BoolArray
    lengths: IntArray
    valid: BoolArray


def read_lengths(length: int | tuple[int, int]) -> tuple[int, int]:
    """Read a length, or the ends of a range of lengths.

    Parameters
    ----------
    length : int or (low, high)

    Returns
    -------
    pair of int
        The shortest and the longest.

    Raises
    ------
    InputError

    Examples
    --------
    >>> read_lengths(7), read_lengths((3, 40))
    ((7, 7), (3, 40))
    """
    if isinstance(length, tuple | list):
        if len(length) != 2:
            raise InputError(f"length is {length!r}: give an integer or a pair (low, high)")
        low = as_integer(length[0], "the shortest length", 1)
        return low, as_integer(length[1], "the longest length", low)
    fixed = as_integer(length, "length", 1)
    return fixed, fixed
