"""Uniform words as pure functions of (seed, split, item): the same bits in every implementation.

**Long words** (``num_symbols ** length > 2**16``). The letter at position ``t`` of item ``i`` is
``(w * num_symbols) >> 32`` where ``w`` is word ``t % 4`` of the Philox block with key
``(seed, split_index << 24 | 0)`` and counter ``(i low, i high, t // 4 low, t // 4 high)``
(`automata.philox`). A long word is therefore a prefix of every longer word of the same item.
Splits differ in the key, so they are disjoint streams.

**Short words** (``num_symbols ** length <= 2**16``) would repeat between streams, so here the
*words* are split. A word has the code ``sum_t letter_t * num_symbols ** (length - 1 - t)``.

1. All codes are sorted by the 64-bit number ``w0 << 32 | w1`` (ties by code), where ``w0, w1``
   are the first words of the Philox block with key ``(0, 3)`` and counter
   ``(code, 0, length, num_symbols)``. The order depends on nothing else.
2. With ``N`` codes and ``s = max(1, N // 8)`` the last ``s`` are the portion *report*, the ``s``
   before them *selection*, and the rest *train*.
3. Item ``i`` is entry ``(w * portion_size) >> 32`` of its portion, where ``w`` is the first word
   of the block with key ``(seed, split_index << 24 | 2)`` and counter
   ``(i low, i high, length, 0)``.

Fewer than three words cannot be split and are refused.
"""

import functools
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError, unknown_name
from automata.philox import SPLITS, Stream, random_u32, uniform_integers
from automata.validation import IntArray, as_integer, as_integer_array, read_only

__all__ = [
    "MAX_SPLIT_BY_WORD",
    "Items",
    "is_split_by_word",
    "piece_length",
    "uniform_letters",
    "word_portion",
]

Items: TypeAlias = "tuple[int, int] | ArrayLike"

MAX_SPLIT_BY_WORD: Final = 2**16


def is_split_by_word(num_symbols: int, length: int) -> bool:
    """Whether words of this length are split by word rather than by stream.

    Parameters
    ----------
    num_symbols, length : int

    Returns
    -------
    bool

    Examples
    --------
    >>> is_split_by_word(2, 16), is_split_by_word(2, 17)
    (True, False)
    """
    return num_symbols == 1 or (length <= 16 and num_symbols**length <= MAX_SPLIT_BY_WORD)


@functools.lru_cache(maxsize=64)
def word_portion(num_symbols: int, length: int, split: str) -> IntArray:
    """Return the codes of all short words that belong to a split.

    Parameters
    ----------
    num_symbols, length : int
        With ``3 <= num_symbols ** length <= 2**16``.
    split : {"train", "selection", "report"}

    Returns
    -------
    ndarray of int64, [portion_size]
        Read-only, in the fixed order of the module's description.

    Raises
    ------
    InputError
        If there are too few words to give every split one, or too many to list.

    Examples
    --------
    >>> [len(word_portion(6, 2, split)) for split in ("train", "selection", "report")]
    [28, 4, 4]
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if not is_split_by_word(num_symbols, length):
        raise InputError(
            f"{num_symbols}**{length} words are too many to list: the limit is {MAX_SPLIT_BY_WORD}"
        )
    num_words = num_symbols**length
    if num_words < len(SPLITS):
        cure = "give a greater length" if num_symbols > 1 else "use an alphabet of two or more"
        raise InputError(
            f"only {num_words} word(s) of length {length} over {num_symbols} symbol(s): "
            f"too few for disjoint train, selection and report portions; {cure}"
        )
    words = random_u32(
        np.arange(num_words),
        1,
        seed=0,
        stream=Stream.WORD_ORDER,
        first_block=num_symbols << 32 | length,
    ).astype(np.uint64)
    order = np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")
    small = max(1, num_words // 8)
    edges = (0, num_words - 2 * small, num_words - small, num_words)
    index = SPLITS.index(split)
    portion = order[edges[index] : edges[index + 1]].astype(np.int64)
    read_only(portion)
    return portion


def piece_length(length: int, first_letter: int, num_letters: int | None) -> int:
    """Return the number of letters of a piece of a word; without a number it goes to the end.

    Parameters
    ----------
    length : int
        Letters of the whole word.
    first_letter : int
    num_letters : int, optional

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the piece does not lie inside the word.

    Examples
    --------
    >>> piece_length(20, 8, None), piece_length(20, 8, 4)
    (12, 4)
    """
    as_integer(first_letter, "first_letter", 0, length)
    rest = length - first_letter
    return rest if num_letters is None else as_integer(num_letters, "num_letters", 0, rest)


def uniform_letters(
    num_symbols: int,
    length: int,
    items: Items,
    *,
    seed: int = 0,
    split: str = "train",
    first_letter: int = 0,
    num_letters: int | None = None,
) -> IntArray:
    """Draw words of independent uniform letters, one for every item.

    Parameters
    ----------
    num_symbols : int
        Size of the alphabet.
    length : int
        Letters per word; 0 gives empty words.
    items : (start, count) or array_like of int, [count]
        A tuple of two integers is the range ``start, ..., start + count - 1``; a list or array
        holds the item indices themselves.
    seed : int
        0 <= seed < 2**32.
    split : {"train", "selection", "report"}
        Words of different splits come from disjoint streams, and short ones are disjoint as words.
    first_letter : int
        Where to begin in every word of `length` letters: a long word is drawn in pieces.
    num_letters : int, optional
        How many letters to draw; by default all to the end.

    Returns
    -------
    ndarray of int64, [count, num_letters]

    Raises
    ------
    InputError
        On any argument out of range, or where a split would hold no word at all.

    Notes
    -----
    Above ``2e7`` letters a second on one core.

    Examples
    --------
    >>> uniform_letters(2, 20, (0, 2), seed=1)[:, :5]
    array([[1, 1, 1, 1, 0],
           [1, 1, 0, 1, 0]])
    >>> uniform_letters(2, 20, [1], seed=1)[0, :5]
    array([1, 1, 0, 1, 0])
    >>> uniform_letters(2, 20, [1], seed=1, first_letter=2, num_letters=3)
    array([[0, 1, 0]])
    """
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 2**32)
    length = as_integer(length, "length", 0)
    count = piece_length(length, first_letter, num_letters)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    item_indices = _read_items(items)
    if length == 0:
        return np.empty((item_indices.size, 0), dtype=np.int64)
    if is_split_by_word(num_symbols, length):
        portion = word_portion(num_symbols, length, split)
        choice = uniform_integers(
            len(portion),
            item_indices,
            1,
            seed=seed,
            split=split,
            stream=Stream.SHORT_WORDS,
            first_block=length,
        )[:, 0]
        last_place = length - 1 - first_letter
        place_values = num_symbols ** np.arange(last_place, last_place - count, -1, dtype=np.int64)
        return portion[choice, None] // place_values % num_symbols
    first_block, skipped = divmod(first_letter, 4)
    letters = uniform_integers(
        num_symbols,
        item_indices,
        -(-(skipped + count) // 4),
        seed=seed,
        split=split,
        stream=Stream.LETTERS,
        first_block=first_block,
    )
    return np.ascontiguousarray(letters[:, skipped : skipped + count])


def _read_items(items: Items) -> IntArray:
    if isinstance(items, tuple):
        if len(items) != 2:
            raise InputError(
                f"items is a tuple of {len(items)}: give (start, count), or a list of item indices"
            )
        start = as_integer(items[0], "the first item", 0, 2**63 - 1)
        count = as_integer(items[1], "the number of items", 0, 2**63 - 1 - start)
        return np.arange(start, start + count, dtype=np.int64)
    indices = as_integer_array(items, "items")
    if indices.ndim != 1:
        raise InputError(f"items has shape {indices.shape}: give one axis of item indices")
    return indices
