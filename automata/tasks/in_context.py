"""In-context languages: each prompt shows strings of an automaton of its own (RegBench)."""

import functools
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.philox import SPLITS, Stream, random_u32, uniform_integers
from automata.regbench import RegBenchLaw, regbench_dfa
from automata.tasks.next_token import NextTokenTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import TokenLaw, drawn_lengths
from automata.validation import IntArray, as_integer

__all__ = ["Prompts", "in_context_dfa"]

_MAX_AUTOMATA: Final = 2**20
_CACHED_AUTOMATA: Final = 2**14
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def in_context_dfa(
    *, num_automata: int = 5000, longest_string: int = 49, first_automaton: int = 0
) -> Task:
    """Predict the next symbol of strings from an automaton that only the prompt shows.

    Parameters
    ----------
    num_automata : int
        Every prompt belongs to one of so many automata, disjoint sets for each split.
    longest_string : int
        Strings have 1 to this many symbols, uniform.
    first_automaton : int
        Another number gives other automata.

    Returns
    -------
    Task
        Tokens are 18 letters and the separator ``|``, the last. Prompts are cut at the length
        asked for.

    Notes
    -----
    RegBench (Akyürek et al. 2024): automata drawn in the same way (`automata.regbench`), 5,000 for
    training and 500 held out, prompts of 10 to 19 strings of 1 to 49 symbols. Here prompts have as
    many strings as fit; automata are numbered, and equal ones are not searched for. That paper
    counts a prediction as right if the automaton allows it: `Prompts.automaton` gives the automaton
    of an item.

    Examples
    --------
    >>> task = in_context_dfa(num_automata=10)
    >>> batch = task.sample(seed=1, batch_size=1, length=30)
    >>> "".join(task.alphabet[token] for token in batch.tokens[0])
    'mbbbgmqqmbbjmqggmmbqggjmqgbqbg'
    """
    prompts = Prompts(
        as_integer(num_automata, "num_automata", 1, _MAX_AUTOMATA),
        as_integer(longest_string, "longest_string", 1, 2**16),
        as_integer(first_automaton, "first_automaton", 0, 2**29),
    )
    alphabet = f"{_LETTERS[: prompts.num_tokens - 1]}|"
    facts = published_versions(in_context_dfa)
    return NextTokenTask("in_context_dfa", prompts, alphabet=alphabet, facts=facts)


class _Tables(NamedTuple):
    """Automata side by side, padded: at most three symbols leave a state."""

    symbols: IntArray  # [num_automata, num_states, 3]
    targets: IntArray
    degrees: IntArray  # [num_automata, num_states]
    initial: IntArray  # [num_automata]


@dataclass(frozen=True)
class Prompts(TokenLaw):
    """Strings of one automaton for each item, separated by the last token.

    The first word of Philox block 0 of an item chooses its automaton; word ``t % 4`` of block
    ``1 + t // 4`` decides the token at position ``t``: the symbol, each that the automaton allows
    equally likely, or after a separator (and at the start) first the length of the string, from
    the same position of stream 2**16 further on.

    Attributes
    ----------
    num_automata, longest_string, first_automaton : int
        See `in_context_dfa`.
    """

    num_automata: int
    longest_string: int
    first_automaton: int = 0

    @property
    def num_tokens(self) -> int:
        """The vocabulary and the separator."""
        return RegBenchLaw().vocabulary_size + 1

    @property
    def description(self) -> str:
        """The law in a few words."""
        return f"uniform walks of one of {self.num_automata} automata, separated"

    @property
    def num_measured(self) -> int:
        """Few: every automaton takes a millisecond to build."""
        return 512

    def automaton(self, item: int, *, seed: int = 0, split: str = "train") -> DFA:
        """Return the automaton of one item; all states accept but the sink.

        Parameters
        ----------
        item, seed, split
            As drawn.

        Returns
        -------
        DFA
            Over the vocabulary, without the separator.
        """
        chosen = self._choose(np.array([item], dtype=np.int64), seed, split)
        return _automaton(int(chosen[0]))

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items (see `TokenLaw`)."""
        lengths = drawn_lengths(
            first_item, num_items, range(shortest, longest + 1), seed=seed, split=split
        )
        items = np.arange(first_item, first_item + num_items, dtype=np.int64)
        numbers, rows = np.unique(self._choose(items, seed, split), return_inverse=True)
        tables = _stacked([_sparse_rows(number) for number in numbers.tolist()])
        num_blocks = -(-longest // 4)
        digits, string_digits = (
            random_u32(
                items, num_blocks, seed=seed, split=split, stream=stream, first_block=1
            ).astype(np.uint64)
            for stream in (Stream.PROMPTS, Stream.PROMPTS + 2**16)
        )
        separator = self.num_tokens - 1
        tokens = np.empty((num_items, longest), dtype=np.int64)
        states = tables.initial[rows] if num_items else rows
        remaining = _scaled(string_digits[:, 0], self.longest_string) + 1
        for time in range(longest):
            choice = _scaled(digits[:, time], tables.degrees[rows, states])
            is_end = remaining == 0
            tokens[:, time] = np.where(is_end, separator, tables.symbols[rows, states, choice])
            following = tables.targets[rows, states, choice]
            states = np.where(is_end, tables.initial[rows], following)
            fresh = _scaled(string_digits[:, time], self.longest_string) + 1
            remaining = np.where(is_end, fresh, remaining - 1)
        return tokens, lengths

    def _choose(self, items: IntArray, seed: int, split: str) -> IntArray:
        choice = uniform_integers(
            self.num_automata, items, 1, seed=seed, split=split, stream=Stream.PROMPTS
        )[:, 0]
        return SPLITS.index(split) * 2**30 + self.first_automaton + choice


def _scaled(digits: "np.ndarray[tuple[int, ...], np.dtype[np.uint64]]", bound: object) -> IntArray:
    scaled = digits * np.asarray(bound).astype(np.uint64) >> np.uint64(32)
    result: IntArray = scaled.astype(np.int64)
    return result


@functools.lru_cache(maxsize=_CACHED_AUTOMATA)
def _automaton(number: int) -> DFA:
    return regbench_dfa(number)


@functools.lru_cache(maxsize=_CACHED_AUTOMATA)
def _sparse_rows(number: int) -> tuple[IntArray, IntArray, IntArray, int]:
    """Return the allowed symbols of every state and where they lead, [num_states, 3]."""
    dfa = _automaton(number)
    allowed = dfa.accepting[dfa.transitions]
    degrees = allowed.sum(axis=1)
    width = RegBenchLaw().out_degree[1]
    if degrees.max() > width:
        raise InputError(f"automaton {number} has a state that more than {width} symbols leave")
    symbols = np.argsort(~allowed, axis=1, kind="stable")[:, :width]
    targets = np.take_along_axis(dfa.transitions, symbols, axis=1)
    return symbols.astype(np.int64), targets, degrees.astype(np.int64), dfa.initial


def _stacked(automata: list[tuple[IntArray, IntArray, IntArray, int]]) -> _Tables:
    num_states = max((len(symbols) for symbols, *_ in automata), default=1)
    width = RegBenchLaw().out_degree[1]
    symbols = np.zeros((len(automata), num_states, width), dtype=np.int64)
    targets = np.zeros_like(symbols)
    degrees = np.ones((len(automata), num_states), dtype=np.int64)
    for row, (own_symbols, own_targets, own_degrees, _) in enumerate(automata):
        symbols[row, : len(own_symbols)] = own_symbols
        targets[row, : len(own_symbols)] = own_targets
        degrees[row, : len(own_symbols)] = np.maximum(own_degrees, 1)
    initial = np.array([initial for *_, initial in automata], dtype=np.int64)
    return _Tables(symbols, targets, degrees, initial)
