"""Alphabets, and reading words through them."""

from collections.abc import Hashable, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.validation import IntArray, as_integer_array

__all__ = ["Words", "encode_words", "read_alphabet", "shared_alphabet"]

Words: TypeAlias = "ArrayLike | str | list[object] | tuple[object, ...]"


def read_alphabet(alphabet: Iterable[Hashable] | None, num_symbols: int) -> tuple[Hashable, ...]:
    """Check an alphabet against the number of symbols; the default is ``0, ..., num_symbols - 1``.

    Parameters
    ----------
    alphabet : iterable of hashable, or None
        One symbol for every column of a transition table.
    num_symbols : int

    Returns
    -------
    tuple

    Raises
    ------
    InputError
        If there are too few, too many or repeated symbols.

    Examples
    --------
    >>> read_alphabet("ab", 2), read_alphabet(None, 3)
    (('a', 'b'), (0, 1, 2))
    """
    if alphabet is None:
        return tuple(range(num_symbols))
    symbols = tuple(alphabet)
    if len(symbols) != num_symbols:
        raise InputError(
            f"alphabet has {len(symbols)} symbols: give {num_symbols}, one for every column"
        )
    try:
        num_distinct = len(set(symbols))
    except TypeError:
        raise InputError(f"alphabet {symbols!r} holds an unhashable symbol") from None
    if num_distinct != len(symbols):
        raise InputError(f"alphabet {symbols!r} repeats a symbol: give distinct ones")
    return symbols


def shared_alphabet(
    first: tuple[Hashable, ...], second: tuple[Hashable, ...]
) -> tuple[Hashable, ...]:
    """Return the alphabet of two automata that are to be compared or combined.

    They must be equal, symbol by symbol, or one of them unnamed (``0, 1, ...``); then the other
    gives the names.

    Parameters
    ----------
    first, second : tuple of hashable

    Returns
    -------
    tuple

    Raises
    ------
    InputError
        If sizes, symbols or their order differ.

    Examples
    --------
    >>> shared_alphabet((0, 1), ("a", "b"))
    ('a', 'b')
    """
    unnamed = tuple(range(len(first)))
    if len(first) == len(second):
        if second in (first, unnamed):
            return first
        if first == unnamed:
            return second
    raise InputError(
        f"the alphabets {first!r} and {second!r} differ: give automata with the same symbols in "
        "the same order"
    )


def encode_words(words: Words, alphabet: tuple[Hashable, ...]) -> IntArray:
    """Turn words into arrays of symbol indices.

    Parameters
    ----------
    words : array of int, str, or list
        An array, ``[..., length]``, holds symbol indices already. A str or list is read through
        the alphabet, symbol by symbol; a list of lists of equal length is a batch of words. Where
        no symbol of the alphabet is an integer, a list of integers holds symbol indices.
    alphabet : tuple of hashable

    Returns
    -------
    ndarray of int64, [..., length]

    Raises
    ------
    InputError
        If a symbol is not in the alphabet or an index is out of range.

    Examples
    --------
    >>> encode_words("abba", ("a", "b"))
    array([0, 1, 1, 0])
    >>> encode_words([1, 0], ("a", "b"))
    array([1, 0])
    """
    if isinstance(words, str | list | tuple):
        indices = _encode_sequence(words, alphabet)
    else:
        indices = as_integer_array(words, "the word")
    if indices.ndim == 0:
        raise InputError(f"the word is the single value {indices}: give at least one axis")
    if indices.size:
        smallest, largest = int(indices.min()), int(indices.max())
        if smallest < 0 or largest >= len(alphabet):
            wrong = smallest if smallest < 0 else largest
            raise InputError(
                f"symbol index {wrong} is out of range: give indices from 0 to {len(alphabet) - 1}"
            )
    return indices


def _encode_sequence(
    word: str | list[object] | tuple[object, ...], alphabet: tuple[Hashable, ...]
) -> IntArray:
    is_batch = not isinstance(word, str) and bool(word) and all(isinstance(w, list) for w in word)
    if is_batch:
        rows = [_encode_sequence(row, alphabet) for row in word if isinstance(row, list)]
        if len({row.shape for row in rows}) > 1:
            raise InputError("the words have different lengths: give one array for every length")
        return np.stack(rows)
    holds_integers = not isinstance(word, str) and all(
        isinstance(symbol, int | np.integer) and not isinstance(symbol, bool) for symbol in word
    )
    if holds_integers and not any(isinstance(symbol, int | np.integer) for symbol in alphabet):
        return as_integer_array(np.array(list(word)), "the word")
    position = {symbol: index for index, symbol in enumerate(alphabet)}
    try:
        return np.array([position[symbol] for symbol in word], dtype=np.int64)
    except (KeyError, TypeError):
        wrong = next(s for s in word if not isinstance(s, Hashable) or s not in position)
        shown = ", ".join(repr(symbol) for symbol in alphabet[:12])
        more = ", ..." if len(alphabet) > 12 else ""
        raise InputError(f"symbol {wrong!r} is not in the alphabet ({shown}{more})") from None
