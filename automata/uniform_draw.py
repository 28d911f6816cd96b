"""Drawing many uniform words at once, each letter decided exactly."""

from typing import Final

import numpy as np

from automata.digits import digits_at, locate
from automata.errors import InputError
from automata.philox import random_u32
from automata.validation import IntArray
from automata.word_counts import WordLaw

__all__ = ["check_size", "draw_words"]

_LETTERS_PER_CHUNK: Final = 2**21
_MAX_LETTERS: Final = 2**28
_MAX_LENGTH: Final = 2**22
_ROUGH_DIGITS: Final = 4


def check_size(num_words: int, length: int) -> None:
    """Refuse a set of words that would not fit into memory, before any is taken.

    Parameters
    ----------
    num_words, length : int

    Raises
    ------
    InputError
        Above 2**28 letters in all, or 2**22 in one word.

    Examples
    --------
    >>> check_size(1000, 512)
    """
    if length > _MAX_LENGTH:
        raise InputError(f"length is {length}: give at most {_MAX_LENGTH}")
    if num_words * max(1, length) > _MAX_LETTERS:
        raise InputError(
            f"{num_words} words of length {length} are too many at once: draw up to "
            f"{_MAX_LETTERS // max(1, length)} of them at a time, with first_item"
        )


def draw_words(
    law: WordLaw,
    lengths: IntArray,
    items: IntArray,
    first_blocks: IntArray,
    *,
    seed: int,
    split: str,
    stream: int,
) -> IntArray:
    """Draw one uniform accepted word for every item.

    Parameters
    ----------
    law : WordLaw
    lengths : ndarray of int64, [num_words]
        Each with at least one accepted word.
    items, first_blocks : ndarray of int64, [num_words]
        Letter ``t`` of a word is decided by the real at lane ``t % 4`` of block
        ``first_block + t // 4`` of its item (see `automata.digits`).
    seed, split, stream
        See `automata.philox.stream_key`.

    Returns
    -------
    ndarray of int64, [num_words, longest]
        Padded on the right with ``num_symbols``.

    Notes
    -----
    A letter costs one 32-bit word and a few gathers. Where the word falls within the proven error
    of a threshold, about once in ``2**30`` letters, more digits are compared with 128 bits of the
    odds, and if that does not tell either, with their exact value.

    Examples
    --------
    >>> from automata.dfa import DFA
    >>> odd = WordLaw(DFA([[0, 1], [1, 0]], accepting=[1]))
    >>> draw_words(odd, np.array([3, 1]), np.array([0, 1]), np.array([0, 0]),
    ...            seed=0, split="train", stream=16)
    array([[0, 1, 0],
           [1, 2, 2]])
    """
    longest = int(lengths.max(initial=0))
    words = np.full((lengths.size, longest), law.dfa.num_symbols, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    chunk_size = max(64, _LETTERS_PER_CHUNK // max(1, longest))
    for start in range(0, lengths.size, chunk_size):
        rows = order[start : start + chunk_size]
        chunk = _Chunk(law, lengths[rows], items[rows], first_blocks[rows], seed, split, stream)
        words[rows, : int(lengths[rows[0]])] = chunk.draw()
    return words


class _Chunk:
    """Words drawn together, the longest first, all ending at the same time."""

    def __init__(
        self,
        law: WordLaw,
        lengths: IntArray,
        items: IntArray,
        first_blocks: IntArray,
        seed: int,
        split: str,
        stream: int,
    ) -> None:
        self.law, self.lengths, self.items, self.first_blocks = law, lengths, items, first_blocks
        self.seed, self.split, self.stream = seed, split, stream
        self.longest = int(lengths[0])

    def draw(self) -> IntArray:
        """Draw the letters, [num_words, longest], padded on the right."""
        longest, num_symbols = self.longest, self.law.dfa.num_symbols
        by_time = self._first_digits()
        letters = np.empty((longest, self.lengths.size), dtype=np.int64)
        states = np.full(self.lengths.size, self.law.dfa.initial, dtype=np.int64)
        flat = self.law.dfa.transitions.reshape(-1)
        num_active = np.searchsorted(-self.lengths, np.arange(0, -longest - 1, -1), side="right")
        for time, thresholds in enumerate(self.law.thresholds(longest)):
            remaining = longest - time
            active = slice(0, int(num_active[remaining]))
            letters[time, active] = self._letters(
                thresholds, states[active], by_time[time, active], remaining
            )
            states[active] = flat.take(states[active] * num_symbols + letters[time, active])
        if self.lengths[-1] == longest:
            return letters.T
        sources = np.arange(longest) + (longest - self.lengths)[:, None]
        is_inside = sources < longest
        taken = np.take_along_axis(letters.T, np.where(is_inside, sources, 0), axis=1)
        return np.where(is_inside, taken, num_symbols)

    def _first_digits(self) -> IntArray:
        """Return the first digit of every letter, [longest, num_words], aligned at the end."""
        digits = random_u32(
            self.items,
            -(-self.longest // 4),
            seed=self.seed,
            split=self.split,
            stream=self.stream,
            first_block=self.first_blocks,
        )[:, : self.longest]
        if self.lengths[-1] < self.longest:
            sources = np.arange(self.longest) - (self.longest - self.lengths)[:, None]
            digits = np.take_along_axis(digits, np.maximum(sources, 0), axis=1)
        return np.ascontiguousarray(digits.T).astype(np.int64)

    def _letters(
        self, thresholds: IntArray, states: IntArray, digits: IntArray, remaining: int
    ) -> IntArray:
        """Search the row of every state for its digit; look closer where that is too close."""
        tolerance = self.law.tolerance(remaining)
        row_starts = states * self.law.row_size
        letters = np.zeros(states.size, dtype=np.int64)
        is_close = np.zeros(states.size, dtype=np.bool_)
        step = self.law.row_size // 2
        while step:
            gap = digits - thresholds.take(row_starts + letters + (step - 1))
            letters += step * (gap >= 0)
            # The search passes both thresholds between which the digit lies.
            is_close |= np.abs(gap) <= tolerance
            step //= 2
        for word in np.flatnonzero(is_close):
            letters[word] = self._decide(int(word), int(states[word]), int(digits[word]), remaining)
        return letters

    def _decide(self, word: int, state: int, first_digit: int, remaining: int) -> int:
        """Decide one letter from as many digits as it takes."""
        place = int(self.lengths[word]) - remaining
        slack = self.law.slack(remaining)
        weights = self.law.weights_after(state, remaining, exact=False)
        digits, num_digits = first_digit, 1
        while True:
            letter = locate(digits, num_digits, weights, slack)
            if letter is not None:
                return letter
            if num_digits >= _ROUGH_DIGITS and slack:
                weights, slack = self.law.weights_after(state, remaining), 0
                continue
            more = digits_at(
                self.items[word : word + 1],
                int(self.first_blocks[word]) + place // 4,
                place % 4,
                seed=self.seed,
                split=self.split,
                stream=self.stream,
                digit=num_digits,
            )
            digits, num_digits = digits * 2**32 + int(more[0]), num_digits + 1
