"""Exactly uniform words of a language, of its complement, and of both in equal shares."""

import functools
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.digits import digits_at, exact_integers
from automata.errors import InputError, unknown_name
from automata.letters import is_split_by_word, word_portion
from automata.philox import SPLITS, Stream
from automata.uniform_draw import check_size, draw_words
from automata.validation import BoolArray, IntArray, as_integer, read_only
from automata.word_counts import lengths_with_words, word_law

__all__ = ["WordSet", "describe_missing", "portion_words", "sample_word_set", "sample_words"]

_SIDES: Final = ("language", "complement")
_SET_SIDES: Final = ("balanced", "language", "complement")


class WordSet(NamedTuple):
    """Words of one or many lengths, with their labels.

    Attributes
    ----------
    words : ndarray of int64, [num_words, longest]
        Symbol indices; ``num_symbols`` after the end of a shorter word.
    lengths : ndarray of int64, [num_words]
    labels : ndarray of bool, [num_words]
        Whether the word is in the language.
    """

    words: IntArray
    lengths: IntArray
    labels: BoolArray


def sample_words(
    dfa: DFA,
    length: int,
    num_words: int,
    *,
    seed: int = 0,
    of: str = "language",
    split: str | None = None,
    first_item: int = 0,
) -> IntArray:
    """Draw words of one length, each accepted word with exactly the same probability.

    Parameters
    ----------
    dfa : DFA
    length : int
    num_words : int
        Drawn independently, with repetition.
    seed : int
        0 <= seed < 2**32.
    of : {"language", "complement"}
        Accepted words, or rejected ones.
    split : {"train", "selection", "report"}, optional
        By default any word may come. With a split, long words come from disjoint streams, and
        short ones are uniform over the words that belong to the split (see `automata.letters`), so
        that splits never share one.
    first_item : int
        Word ``i`` is item ``first_item + i``, a pure function of the other arguments.

    Returns
    -------
    ndarray of int64, [num_words, length]

    Raises
    ------
    InputError
        If there is no such word, naming the nearest lengths that have some; on any argument out of
        range, and on sets too large to hold.

    Notes
    -----
    Exact at every length (see `automata.word_counts` and `automata.uniform_draw`), and the same on
    every machine: floating-point numbers only decide where their proven error cannot matter.

    Examples
    --------
    >>> no_double_b = DFA.from_partial([[0, 1], [0, -1]], accepting=[0, 1], alphabet="ab")
    >>> words = sample_words(no_double_b, 500, 3, seed=1)
    >>> words.shape, no_double_b.accepts(words).all()
    ((3, 500), np.True_)
    """
    if of not in _SIDES:
        raise unknown_name("side", of, _SIDES)
    length, num_words = as_integer(length, "length", 0), as_integer(num_words, "num_words", 0)
    items = _read_items(num_words, length, first_item, split)
    side = dfa if of == "language" else dfa.complement()
    _check_lengths(side, of, length, length, split)
    lengths = np.full(num_words, length, dtype=np.int64)
    return _draw(side, lengths, items, seed, split).reshape(num_words, length)


def sample_word_set(
    dfa: DFA,
    length: int | tuple[int, int],
    num_words: int,
    *,
    seed: int = 0,
    of: str = "balanced",
    split: str | None = None,
    first_item: int = 0,
) -> WordSet:
    """Draw labelled words: half from the language and half from its complement, or from one.

    Parameters
    ----------
    dfa : DFA
    length : int or (low, high)
        A pair draws every word's length uniformly from the lengths, both ends included, that have
        words on every side that is asked for, so that a length never gives the label away.
    num_words : int
    seed, split, first_item
        As in `sample_words`.
    of : {"balanced", "language", "complement"}
        ``balanced``: of items ``2 i`` and ``2 i + 1``, in random order, one is accepted.

    Returns
    -------
    WordSet
        Given its length and label, every word is exactly uniform.

    Raises
    ------
    InputError
        As in `sample_words`.

    Examples
    --------
    >>> words, lengths, labels = sample_word_set(DFA([[0, 1], [1, 0]], accepting=[1]), (3, 20), 100)
    >>> int(labels.sum()), words.shape, int(words.max())
    (50, (100, 20), 2)
    """
    if of not in _SET_SIDES:
        raise unknown_name("side", of, _SET_SIDES)
    low, high = _read_length_range(length)
    num_words = as_integer(num_words, "num_words", 0)
    items = _read_items(num_words, high, first_item, split)
    sides = {"language": dfa, "complement": dfa.complement()}
    asked = sides if of == "balanced" else {of: sides[of]}
    found = np.ones(high - low + 1, dtype=np.bool_)
    for name, side in asked.items():
        found &= _check_lengths(side, name, low, high, split)
    if not found.any():
        raise InputError(
            f"no length from {low} to {high} has both accepted and rejected words: give others, or "
            "of='language' or of='complement'"
        )
    key_split = SPLITS[0] if split is None else split
    choice = exact_integers(
        int(found.sum()), items, 0, 0, seed=seed, split=key_split, stream=Stream.LANGUAGE_LENGTHS
    )
    lengths = low + np.flatnonzero(found)[choice]
    if of == "balanced":
        coins = digits_at(items // 2, 0, 0, seed=seed, split=key_split, stream=Stream.LABELS)
        labels = (coins >> 31 ^ items & 1) == 1
    else:
        labels = np.full(num_words, of == "language")
    words = np.full((num_words, high), dfa.num_symbols, dtype=np.int64)
    for name, side in asked.items():
        rows = np.flatnonzero(labels == (name == "language"))
        drawn = _draw(side, lengths[rows], items[rows], seed, split)
        words[rows, : drawn.shape[1]] = drawn
    return WordSet(words, lengths, labels)


@functools.lru_cache(maxsize=64)
def portion_words(dfa: DFA, length: int, split: str) -> IntArray:
    """List the accepted short words that belong to a split.

    Parameters
    ----------
    dfa : DFA
    length : int
        With ``num_symbols ** length <= 2**16``.
    split : {"train", "selection", "report"}

    Returns
    -------
    ndarray of int64, [num_accepted, length]
        Read-only.

    Raises
    ------
    InputError
        If there are too few words over the alphabet to give every split one.

    Examples
    --------
    >>> dfa = DFA([[0, 1], [1, 0]], accepting=[1])
    >>> [len(portion_words(dfa, 5, split)) for split in ("train", "selection", "report")]
    [11, 2, 3]
    """
    codes = word_portion(dfa.num_symbols, length, split)
    place_values = dfa.num_symbols ** np.arange(length - 1, -1, -1, dtype=np.int64)
    words = codes[:, None] // place_values % dfa.num_symbols
    accepted: IntArray = words[dfa.accepts(words)]
    read_only(accepted)
    return accepted


def describe_missing(dfa: DFA, what: str, low: int, high: int) -> InputError:
    """Build the error for lengths without words, with the nearest lengths that have some.

    Parameters
    ----------
    dfa : DFA
    what : str
        What has no word, such as ``"the language"``.
    low, high : int
        The lengths asked for, both ends included.

    Returns
    -------
    InputError
        To be raised by the caller.

    Examples
    --------
    >>> print(describe_missing(DFA([[1], [2], [0]], accepting=[0]), "the language", 4, 4))
    the language has no word of length 4: the nearest lengths that have are 3 and 6
    """
    if dfa.is_empty():
        return InputError(f"{what} has no word at all: give another automaton or another side")
    # A language with longer words has one among the next `num_states` lengths: a longer path
    # passes some state twice and can be cut.
    found = np.flatnonzero(lengths_with_words(dfa, high + dfa.num_states)).tolist()
    near = [*[n for n in found if n < low][-1:], *[n for n in found if n > high][:1]]
    listed = (
        f"the nearest lengths that have are {near[0]} and {near[1]}"
        if len(near) == 2
        else f"the nearest length that has is {near[0]}"
    )
    asked = f"length {low}" if low == high else f"length {low} to {high}"
    return InputError(f"{what} has no word of {asked}: {listed}")


def _draw(dfa: DFA, lengths: IntArray, items: IntArray, seed: int, split: str | None) -> IntArray:
    """Draw one word of each length, short ones of a split by choosing from the list."""
    key_split = SPLITS[0] if split is None else split
    longest = int(lengths.max(initial=0))
    words = np.full((lengths.size, longest), dfa.num_symbols, dtype=np.int64)
    is_listed = np.zeros(lengths.size, dtype=np.bool_)
    if split is not None:
        for length in np.unique(lengths).tolist():
            if not is_split_by_word(dfa.num_symbols, length):
                break
            rows = np.flatnonzero(lengths == length)
            is_listed[rows] = True
            choices = portion_words(dfa, length, split)
            picked = exact_integers(
                len(choices),
                items[rows],
                length << 32,
                0,
                seed=seed,
                split=split,
                stream=Stream.LANGUAGE_WORDS,
            )
            words[rows, :length] = choices[picked]
    rows = np.flatnonzero(~is_listed)
    if rows.size:
        drawn = draw_words(
            word_law(dfa),
            lengths[rows],
            items[rows],
            lengths[rows] << 32,
            seed=seed,
            split=key_split,
            stream=Stream.LANGUAGE_WORDS,
        )
        words[rows, : drawn.shape[1]] = drawn
    return words


def _check_lengths(dfa: DFA, side: str, low: int, high: int, split: str | None) -> BoolArray:
    """Tell which lengths have words, [high - low + 1]; complain if none has."""
    found = lengths_with_words(dfa, high)[low:]
    if not found.any():
        raise describe_missing(dfa, f"the {side}", low, high)
    if split is not None:
        for length in range(low, high + 1):
            if not is_split_by_word(dfa.num_symbols, length):
                break
            can_split = dfa.num_symbols**length >= len(SPLITS)
            if found[length - low]:
                found[length - low] = can_split and len(portion_words(dfa, length, split)) > 0
        if not found.any():
            raise InputError(
                f"the {side} has no word of length {low} to {high} in the split {split!r}: give "
                "greater lengths, or no split"
            )
    return found


def _read_items(num_words: int, length: int, first_item: int, split: str | None) -> IntArray:
    check_size(num_words, length)
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    first_item = as_integer(first_item, "first_item", 0, 2**63 - 1 - num_words)
    return np.arange(first_item, first_item + num_words, dtype=np.int64)


def _read_length_range(length: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(length, tuple | list):
        if len(length) != 2:
            raise InputError(f"length is {length!r}: give an integer or a pair (low, high)")
        low = as_integer(length[0], "the shortest length", 0)
        return low, as_integer(length[1], "the longest length", low)
    fixed = as_integer(length, "length", 0)
    return fixed, fixed
