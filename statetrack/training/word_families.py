"""Which words a model is measured on: uniform ones, and those on which errors add up fastest."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.tasks import Task
from automata.validation import IntArray
from automata.words import pair_adversarial_words, periodic_words
from automata.words import uniform_letters as uniform_letters_numpy
from statetrack.scans.automaton import uniform_words


class WordPiece(NamedTuple):
    """A piece of a set of words: some of them, from one letter to another.

    Attributes
    ----------
    length, num_words : int
        Of the whole set.
    first_item, num_items : int
        Which words.
    first_letter, num_letters : int
        Which letters of them.
    """

    length: int
    num_words: int
    first_item: int
    num_items: int
    first_letter: int
    num_letters: int


class WordFamily(Protocol):
    """A family of words; immutable and hashable.

    Examples
    --------
    >>> class Zeros:
    ...     name = "zeros"
    ...     def count(self, task, length, num_words):
    ...         return 1
    ...     def letters(self, task, piece, *, seeds, split, device):
    ...         return torch.zeros(piece.num_items, piece.num_letters, dtype=torch.int64)
    >>> word_family(Zeros()).name
    'zeros'
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def __hash__(self) -> int: ...

    def count(self, task: Task, length: int, num_words: int) -> int:
        """Return how many words there are where `num_words` are asked for."""
        ...

    def letters(
        self,
        task: Task,
        piece: WordPiece,
        *,
        seeds: Sequence[int],
        split: str,
        device: torch.device,
    ) -> Tensor:
        """Return letters that broadcast to int64 [num_seeds, num_items, num_letters]."""
        ...


@dataclass(frozen=True)
class UniformFamily:
    """Independent uniform letters (`automata.letters`), drawn on the device.

    For a task whose words have another law `evaluate` draws from that law instead.
    """

    name: str = "uniform"

    def count(self, task: Task, length: int, num_words: int) -> int:
        """As many as are asked for."""
        return num_words

    def letters(
        self,
        task: Task,
        piece: WordPiece,
        *,
        seeds: Sequence[int],
        split: str,
        device: torch.device,
    ) -> Tensor:
        """Draw letters (see `WordFamily`)."""
        options: dict[str, Any] = {
            "split": split,
            "first_letter": piece.first_letter,
            "num_letters": piece.num_letters,
        }
        if device.type == "cpu":
            items = (piece.first_item, piece.num_items)
            drawn = [
                uniform_letters_numpy(task.num_tokens, piece.length, items, seed=seed, **options)
                for seed in seeds
            ]
            return torch.from_numpy(np.stack(drawn))
        transitions, outputs = _one_state(task.num_tokens, device)
        return uniform_words(
            transitions,
            piece.length,
            piece.first_item,
            piece.num_items,
            seed=_seeds_on(tuple(seeds), device),
            outputs=outputs,
            keep_states=False,
            **options,
        ).tokens


@dataclass(frozen=True)
class PeriodicFamily:
    """All words that repeat a block of one smallest period.

    Where fewer are asked for, blocks are taken at equal distances in lexicographic order.

    Parameters
    ----------
    name : str
    period : int

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> piece = WordPiece(length=9, num_words=2, first_item=0, num_items=2, first_letter=3,
    ...                   num_letters=4)
    >>> PeriodicFamily("alternating", 2).letters(
    ...     get_task("parity"), piece, seeds=[0], split="report", device=torch.device("cpu")
    ... )
    tensor([[1, 0, 1, 0],
            [0, 1, 0, 1]])
    """

    name: str
    period: int

    def count(self, task: Task, length: int, num_words: int) -> int:
        """As many as there are blocks, or as are asked for."""
        blocks = _blocks_on(task.num_tokens, self.period, torch.device("cpu"))
        return min(num_words, len(blocks))

    def letters(
        self,
        task: Task,
        piece: WordPiece,
        *,
        seeds: Sequence[int],
        split: str,
        device: torch.device,
    ) -> Tensor:
        """Repeat the blocks (see `WordFamily`)."""
        blocks = _blocks_on(task.num_tokens, self.period, device)
        items = torch.arange(piece.num_items, device=device) + piece.first_item
        chosen = blocks[items * len(blocks) // piece.num_words]
        end = piece.first_letter + piece.num_letters
        return chosen[:, torch.arange(piece.first_letter, end, device=device) % self.period]


@dataclass(frozen=True, eq=False)
class AdversarialFamily:
    """Words that keep the state apart from another one at the least cost, one for each other one.

    See `automata.words.pair_adversarial_words`. Without costs they are the words that no two
    states forget, which in a group all words are. They are made whole.

    Parameters
    ----------
    costs : array_like of float, [num_states, num_states, num_symbols], optional
        What a letter changes in the margin between the true state and a wrong one.
    name : str
    """

    costs: ArrayLike | None = None
    name: str = "adversarial"

    def count(self, task: Task, length: int, num_words: int) -> int:
        """At most one for every state beside the initial one."""
        return min(num_words, _automaton(self, task).num_states - 1)

    def letters(
        self,
        task: Task,
        piece: WordPiece,
        *,
        seeds: Sequence[int],
        split: str,
        device: torch.device,
    ) -> Tensor:
        """Cut out of the whole words (see `WordFamily`)."""
        words = _adversarial_words(self, _automaton(self, task), piece.length, piece.num_words)
        items = slice(piece.first_item, piece.first_item + piece.num_items)
        letters = slice(piece.first_letter, piece.first_letter + piece.num_letters)
        return torch.from_numpy(words[items, letters].copy()).to(device)


FAMILIES: dict[str, WordFamily] = {
    family.name: family
    for family in (
        UniformFamily(),
        PeriodicFamily("repeated", 1),
        PeriodicFamily("alternating", 2),
        AdversarialFamily(),
    )
}
"""Families by name: uniform, repeated, alternating, adversarial."""


def word_family(family: str | WordFamily) -> WordFamily:
    """Return a family by name, or the object given.

    Parameters
    ----------
    family : {"uniform", "repeated", "alternating", "adversarial"} or WordFamily

    Raises
    ------
    InputError
        No family has that name.

    Examples
    --------
    >>> word_family("repeated")
    PeriodicFamily(name='repeated', period=1)
    """
    if not isinstance(family, str):
        return family
    if family not in FAMILIES:
        raise unknown_name("word family", family, FAMILIES)
    return FAMILIES[family]


def _automaton(family: WordFamily, task: Task) -> DFA:
    if task.dfa is None:
        raise InputError(f"word family {family.name!r}: task {task.name!r} has no automaton")
    return task.dfa


@functools.lru_cache(maxsize=4)
def _adversarial_words(family: AdversarialFamily, dfa: DFA, length: int, count: int) -> IntArray:
    words, _ = pair_adversarial_words(dfa, length, family.costs, num_words=count)
    return words


@functools.lru_cache(maxsize=64)
def _blocks_on(num_symbols: int, period: int, device: torch.device) -> Tensor:
    """All blocks of one smallest period, [num_blocks, period]."""
    return torch.from_numpy(periodic_words(num_symbols, period, period)).to(device)


@functools.lru_cache(maxsize=256)
def _one_state(num_symbols: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """An automaton that remembers nothing, and one label."""
    transitions = torch.zeros(1, num_symbols, dtype=torch.int16, device=device)
    return transitions, torch.zeros(1, dtype=torch.uint8, device=device)


@functools.lru_cache(maxsize=64)
def _seeds_on(seeds: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(seeds, dtype=torch.int64, device=device)
