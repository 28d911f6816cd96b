"""Which words a task is asked about: the laws that tokens are drawn from."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.language_words import sample_word_set
from automata.letters import is_split_by_word, uniform_letters
from automata.philox import Stream, uniform_integers
from automata.validation import FloatArray, IntArray, as_integer
from automata.weighted import WeightedDFA
from automata.word_counts import lengths_with_words

__all__ = [
    "WORD_SETS",
    "Chain",
    "LanguageWords",
    "TokenLaw",
    "UniformLetters",
    "Walks",
    "drawn_lengths",
    "letters_with_weights",
    "words_of",
]

WORD_SETS: Final = ("uniform", "balanced", "language", "complement")
_MAX_CHAIN_STATES: Final = 2**16


class Chain(NamedTuple):
    """The law of the tokens of one length, as a chain of hidden states.

    Attributes
    ----------
    transitions : ndarray of int64, [num_states, num_tokens]
        Arbitrary where the probability is 0.
    initial : ndarray of float64, [num_states]
    steps : iterator of ndarray of float64, [num_states, num_tokens]
        For every position the law of the token in every state; rows may be all zero.
    """

    transitions: IntArray
    initial: FloatArray
    steps: Iterator[FloatArray]


class TokenLaw(ABC):
    """A law of words, drawn item by item: item ``i`` does not depend on what else is drawn."""

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Number of tokens, padding not counted."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The law in a few words, for the card."""

    @abstractmethod
    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items.

        Parameters
        ----------
        first_item, num_items : int
        shortest, longest : int
            Lengths are uniform over those from `shortest` to `longest` that the law has.
        seed, split
            See `automata.philox`.

        Returns
        -------
        tokens : ndarray of int64, [num_items, longest]
            Arbitrary tokens in range after the end of a shorter word.
        lengths : ndarray of int64, [num_items]

        Raises
        ------
        InputError
            If there is no word of these lengths.
        """

    def next_length(self, length: int) -> int:
        """Return the least length, not below the one given, that has words."""
        return length

    @property
    def num_measured(self) -> int:
        """How many words to draw where something can only be measured."""
        return 4096

    def chain(self, length: int) -> Chain | None:
        """Return the law of words of this length as a chain; None if it has no such form."""
        return None


@dataclass(frozen=True)
class UniformLetters(TokenLaw):
    """Independent uniform tokens (`automata.letters`), at every length.

    Examples
    --------
    >>> UniformLetters(3).draw(0, 2, 20, 20, seed=1, split="train")[0].shape
    (2, 20)
    """

    size: int

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""
        return self.size

    @property
    def description(self) -> str:
        """The law in a few words."""
        return "independent, uniform"

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items (see `TokenLaw`)."""
        lengths = drawn_lengths(
            first_item, num_items, range(shortest, longest + 1), seed=seed, split=split
        )
        items = np.arange(first_item, first_item + num_items, dtype=np.int64)
        size = self.size
        if shortest == longest or not is_split_by_word(size, shortest):
            return uniform_letters(size, longest, items, seed=seed, split=split), lengths
        tokens = np.zeros((num_items, longest), dtype=np.int64)
        is_long = np.array([not is_split_by_word(size, n) for n in range(longest + 1)])
        rows = np.flatnonzero(is_long[lengths])
        if rows.size:
            tokens[rows] = uniform_letters(size, longest, items[rows], seed=seed, split=split)
        for length in range(shortest, longest + 1):
            if is_long[length]:
                break
            rows = np.flatnonzero(lengths == length)
            tokens[rows, :length] = uniform_letters(
                size, length, items[rows], seed=seed, split=split
            )
        return tokens, lengths

    def chain(self, length: int) -> Chain:
        """Return the law of words of this length as a chain (see `TokenLaw`)."""
        step = np.full((1, self.size), 1 / self.size)
        return Chain(
            np.zeros((1, self.size), dtype=np.int64), np.ones(1), itertools.repeat(step, length)
        )


@dataclass(frozen=True)
class Walks(TokenLaw):
    """Walks of a weighted automaton that never end by themselves (`automata.weighted`).

    A walk is a prefix of every longer one of the same item. Splits are disjoint streams; short
    words are not kept apart.

    Examples
    --------
    >>> law = Walks(WeightedDFA([[0, 0]], [[1, 3]]), "one in four")
    >>> law.draw(0, 1, 8, 8, seed=1, split="train")[0]
    array([[0, 1, 1, 1, 0, 1, 0, 1]])
    """

    model: WeightedDFA
    text: str

    def __post_init__(self) -> None:
        """Refuse walks that end."""
        if self.model.stop_weights is not None:
            raise InputError("the weighted automaton has stop weights: give one whose walks go on")

    @property
    def num_tokens(self) -> int:
        """Number of symbols of the automaton."""
        return self.model.num_symbols

    @property
    def description(self) -> str:
        """The law in a few words."""
        return self.text

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items (see `TokenLaw`)."""
        lengths = drawn_lengths(
            first_item, num_items, range(shortest, longest + 1), seed=seed, split=split
        )
        drawn = self.model.sample(longest, num_items, seed=seed, split=split, first_item=first_item)
        return drawn.words, lengths

    def chain(self, length: int) -> Chain:
        """Return the law of words of this length as a chain (see `TokenLaw`)."""
        initial = np.zeros(self.model.num_states)
        initial[self.model.initial] = 1.0
        step = self.model.probabilities
        return Chain(np.maximum(self.model.transitions, 0), initial, itertools.repeat(step, length))


@dataclass(frozen=True)
class LanguageWords(TokenLaw):
    """Exactly uniform words of a regular language, of its complement, or of both in equal shares.

    Short words are split by word, as `automata.language_words` says, so that splits never share
    one. Of balanced words, items ``2 i`` and ``2 i + 1`` hold one of each side.

    Examples
    --------
    >>> law = LanguageWords(DFA([[0, 1], [1, 0]], accepting=[1]), "language")
    >>> tokens, lengths = law.draw(0, 50, 20, 20, seed=1, split="train")
    >>> bool((tokens.sum(axis=1) % 2 == 1).all())
    True
    """

    dfa: DFA
    side: str = "balanced"

    def __post_init__(self) -> None:
        """Check the side."""
        if self.side not in WORD_SETS[1:]:
            raise unknown_name("set of words", self.side, WORD_SETS[1:])

    @property
    def num_tokens(self) -> int:
        """Number of symbols of the language."""
        return self.dfa.num_symbols

    @property
    def description(self) -> str:
        """The law in a few words."""
        return {
            "balanced": "half uniform words of the language, half uniform words outside it",
            "language": "uniform words of the language",
            "complement": "uniform words outside the language",
        }[self.side]

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items (see `TokenLaw`)."""
        drawn = sample_word_set(
            self.dfa,
            (shortest, longest),
            num_items,
            seed=seed,
            of=self.side,
            split=split,
            first_item=first_item,
        )
        beyond = np.arange(longest) >= drawn.lengths[:, None]
        return np.where(beyond, 0, drawn.words), drawn.lengths

    def next_length(self, length: int) -> int:
        """Return the least length, not below the one given, that has words."""
        longest = length + self.dfa.num_states
        found = np.logical_and.reduce([lengths_with_words(side, longest) for side in self._sides()])
        later = np.flatnonzero(found[length:])
        if not later.size:
            raise InputError(f"no word of length {length} or a little more is in the set of words")
        return length + int(later[0])

    def chain(self, length: int) -> Chain | None:
        """Return the law of words of this length as a chain (see `TokenLaw`)."""
        sides = self._sides()
        num_states = self.dfa.num_states
        if num_states * len(sides) > _MAX_CHAIN_STATES:
            return None
        transitions = np.concatenate(
            [self.dfa.transitions + number * num_states for number in range(len(sides))]
        )
        initial = np.zeros(len(transitions))
        initial[self.dfa.initial :: num_states] = 1 / len(sides)
        counts: FloatArray = np.concatenate([side.accepting for side in sides]).astype(np.float64)
        by_remaining = []
        for _ in range(length):
            weights = counts[transitions]
            counts = weights.sum(axis=1)
            by_remaining.append(weights / np.where(counts > 0, counts, 1.0)[:, None])
            counts = counts / max(1.0, counts.max())
        return Chain(transitions, initial, reversed(by_remaining))

    def _sides(self) -> list[DFA]:
        own, other = self.dfa, self.dfa.complement()
        return {"balanced": [own, other], "language": [own], "complement": [other]}[self.side]


def words_of(language: DFA, words: str) -> TokenLaw:
    """Return the law of the words that a recogniser is asked about.

    Parameters
    ----------
    language : DFA
    words : {"uniform", "balanced", "language", "complement"}
        Independent uniform letters, or exactly uniform words by side (see `LanguageWords`).

    Returns
    -------
    TokenLaw

    Examples
    --------
    >>> words_of(DFA([[0, 1], [1, 0]]), "uniform")
    UniformLetters(size=2)
    """
    if words not in WORD_SETS:
        raise unknown_name("set of words", words, WORD_SETS)
    if words == "uniform":
        return UniformLetters(language.num_symbols)
    return LanguageWords(language, words)


def letters_with_weights(weights: Sequence[int]) -> TokenLaw:
    """Return the law of independent letters with integer weights.

    Parameters
    ----------
    weights : sequence of int

    Returns
    -------
    TokenLaw
        `UniformLetters` where all weights are equal.

    Examples
    --------
    >>> letters_with_weights([2, 2])
    UniformLetters(size=2)
    >>> letters_with_weights([1, 3]).description
    'independent, with weights 1, 3'
    """
    rows = [as_integer(weight, "a weight", 0, 2**31) for weight in weights]
    if rows and min(rows) == max(rows) > 0:
        return UniformLetters(len(rows))
    runs = [(weight, len(list(same))) for weight, same in itertools.groupby(rows)]
    shown = ", ".join(str(w) if count == 1 else f"{count} times {w}" for w, count in runs)
    model = WeightedDFA(np.zeros((1, len(rows)), dtype=np.int64), [rows])
    return Walks(model, f"independent, with weights {shown}")


def drawn_lengths(
    first_item: int, num_items: int, lengths: Sequence[int], *, seed: int, split: str
) -> IntArray:
    """Draw every item's length, uniform over those given.

    Parameters
    ----------
    first_item, num_items : int
    lengths : sequence of int
        Not empty.
    seed, split
        See `automata.philox`.

    Returns
    -------
    ndarray of int64, [num_items]

    Examples
    --------
    >>> drawn_lengths(0, 4, range(3, 9), seed=1, split="train")
    array([6, 8, 4, 6])
    """
    choice = uniform_integers(
        len(lengths),
        np.arange(first_item, first_item + num_items, dtype=np.int64),
        1,
        seed=seed,
        split=split,
        stream=Stream.LENGTHS,
    )[:, 0]
    return np.asarray(lengths, dtype=np.int64)[choice]
