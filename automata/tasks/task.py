"""What a task is: tokens in, the class of the state out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.finite_group import FiniteGroup
from automata.letters import is_split_by_word, uniform_letters
from automata.philox import Stream, uniform_integers
from automata.tasks.description import describe, explain_word
from automata.validation import (
    BoolArray,
    FloatArray,
    IntArray,
    as_integer,
    as_integer_array,
    read_only,
)

__all__ = ["SUPERVISIONS", "Batch", "Task"]

SUPERVISIONS: Final = ("per_prefix", "final", "membership")


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


class Task:
    """Track the state of an automaton while reading uniform random tokens.

    Tokens are the symbols of the automaton. The class of a state is its output if the automaton
    has outputs, else the state itself; under ``membership`` it is the accepting bit. Tasks are
    immutable, and equal (with equal hashes) when all their parts are.

    Parameters
    ----------
    name : str
    dfa : DFA
    supervision : {"per_prefix", "final", "membership"}
        ``per_prefix``: the class after every token. ``final``: only after the last one.
        ``membership``: after every token, whether the prefix is accepted.
    group : FiniteGroup, optional
        The group whose word problem this is; states are then its elements.
    token_elements : sequence of int, optional
        The group element that every token stands for; needs `group`.
    semantics : int
        Raised whenever the same name and parameters begin to give other numbers.
    facts : mapping of str to str, optional
        What else the card should say, such as the algebraic class of a random automaton.

    Examples
    --------
    >>> task = Task.from_dfa(DFA([[0, 1], [1, 0]]), name="parity")
    >>> batch = task.sample(seed=1, batch_size=2, length=20)
    >>> batch.tokens.shape, task.num_classes
    ((2, 20), 2)
    """

    def __init__(
        self,
        name: str,
        dfa: DFA,
        supervision: str = "per_prefix",
        *,
        group: FiniteGroup | None = None,
        token_elements: Sequence[int] | None = None,
        semantics: int = 1,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        if supervision not in SUPERVISIONS:
            raise unknown_name("supervision", supervision, SUPERVISIONS)
        self._name = str(name)
        self._supervision = supervision
        self._semantics = as_integer(semantics, "semantics", 1)
        self._facts = dict(facts or {})
        self._dfa = dfa
        self._group = group
        self._token_elements: IntArray | None = None
        if token_elements is not None:
            elements = as_integer_array(np.array(token_elements), "token_elements").copy()
            if group is None or elements.shape != (dfa.num_symbols,):
                raise InputError("token_elements needs a group and one element for every token")
            read_only(elements)
            self._token_elements = elements
        if supervision == "membership":
            self._classes = dfa.accepting.astype(np.int64)
        elif dfa.outputs is not None:
            self._classes = dfa.outputs
        else:
            self._classes = np.arange(dfa.num_states)
        read_only(self._classes)
        self._states_are_classes = np.array_equal(self._classes, np.arange(dfa.num_states))

    @classmethod
    def from_dfa(
        cls, dfa: DFA, name: str = "dfa", supervision: str = "per_prefix", semantics: int = 1
    ) -> Self:
        """Make a task of any automaton.

        Parameters
        ----------
        dfa : DFA
            Classes are its outputs if it has some, else its states.
        name, supervision, semantics
            As for `Task`.

        Returns
        -------
        Task
        """
        return cls(name, dfa, supervision, semantics=semantics)

    @property
    def name(self) -> str:
        """Name, as in the registry where it comes from there."""
        return self._name

    @property
    def supervision(self) -> str:
        """Which positions are supervised, and by what (see `Task`)."""
        return self._supervision

    @property
    def semantics(self) -> int:
        """Version of the numbers that this name and its parameters give."""
        return self._semantics

    @property
    def facts(self) -> dict[str, str]:
        """What else is known of the task, as its card shows it."""
        return dict(self._facts)

    @property
    def dfa(self) -> DFA | None:
        """The automaton behind the targets; None for a task that no automaton solves."""
        return self._dfa

    @property
    def group(self) -> FiniteGroup | None:
        """The group whose word problem this is, or None."""
        return self._group

    @property
    def token_elements(self) -> IntArray | None:
        """The group element of every token, int64, [num_tokens], or None."""
        return self._token_elements

    @property
    def num_tokens(self) -> int:
        """Number of tokens, padding not counted."""
        return self._dfa.num_symbols

    @property
    def pad_token(self) -> int:
        """The id after the last token: an embedding that sees padding needs one more row."""
        return self.num_tokens

    @property
    def num_classes(self) -> int:
        """Number of classes a target may take."""
        return 2 if self.supervision == "membership" else int(self._classes.max()) + 1

    @property
    def state_classes(self) -> IntArray:
        """The class of every state of the automaton, int64, [num_states]."""
        return self._classes

    def targets_of(self, tokens: ArrayLike) -> IntArray:
        """Return the class after every token of words without padding.

        Parameters
        ----------
        tokens : array_like of int, [..., length]

        Returns
        -------
        ndarray of int64, [..., length]

        Examples
        --------
        >>> Task.from_dfa(DFA([[0, 1], [1, 0]])).targets_of([1, 1, 0, 1])
        array([1, 0, 0, 1])
        """
        states = self._dfa.trace(as_integer_array(tokens, "tokens"))[..., 1:]
        # Where every state is its own class the gather would only copy.
        return states.copy() if self._states_are_classes else self._classes.take(states)

    def sample(
        self,
        seed: int = 0,
        *,
        batch_size: int,
        length: int | tuple[int, int],
        split: str = "train",
        step: int = 0,
    ) -> Batch:
        """Draw one batch, a pure function of the task and all arguments.

        Row ``r`` is item ``step * batch_size + r``, so a set of words does not depend on how it
        is cut into batches.

        Parameters
        ----------
        seed : int
            0 <= seed < 2**32.
        batch_size : int
        length : int or (low, high)
            A pair draws each word's length uniformly, both ends included, and pads to `high`.
        split : {"train", "selection", "report"}
            Splits never share a word (see `automata.words`).
        step : int

        Returns
        -------
        Batch

        Raises
        ------
        InputError
            On arguments out of range, or where a split would hold no word of a length.

        Examples
        --------
        >>> task = Task.from_dfa(DFA([[0, 1], [1, 0]]))
        >>> task.sample(seed=1, batch_size=3, length=(2, 40)).valid.sum(axis=1)
        array([26, 37, 12])
        """
        batch_size = as_integer(batch_size, "batch_size", 0)
        first_item = as_integer(step, "step", 0) * batch_size
        items = np.arange(first_item, first_item + batch_size, dtype=np.int64)
        shortest, longest = _read_lengths(length)
        lengths = (
            shortest
            + uniform_integers(
                longest - shortest + 1, items, 1, seed=seed, split=split, stream=Stream.LENGTHS
            )[:, 0]
        )
        valid = np.arange(longest) < lengths[:, None]
        tokens = self._draw(items, lengths, shortest, longest, seed, split)
        mask = valid.copy()
        if self.supervision == "final":
            mask[:, :-1] &= ~valid[:, 1:]
        targets = self.targets_of(tokens)
        if not mask.all():
            targets[~mask] = 0
            tokens[~valid] = self.pad_token
        return Batch(tokens, targets, mask, lengths, valid)

    def dataset(
        self, num_words: int, length: int | tuple[int, int], split: str = "train", seed: int = 0
    ) -> Batch:
        """Return the first `num_words` items as one batch."""
        return self.sample(seed, batch_size=num_words, length=length, split=split)

    def batches(
        self,
        batch_size: int,
        length: int | tuple[int, int],
        *,
        seed: int = 0,
        split: str = "train",
        first_step: int = 0,
        num_steps: int | None = None,
    ) -> Iterator[Batch]:
        """Iterate over the batches of consecutive steps, without end if `num_steps` is None."""
        step = first_step
        while num_steps is None or step < first_step + num_steps:
            yield self.sample(seed, batch_size=batch_size, length=length, split=split, step=step)
            step += 1

    def class_distribution(self, length: int) -> FloatArray:
        """Return the law of the class after uniform tokens, float64, [length, num_classes].

        Row ``t`` is the law after ``t + 1`` tokens, computed by propagating the law of the state.
        """
        length = as_integer(length, "length", 1)
        dfa = self._dfa
        targets = dfa.transitions.reshape(-1)
        state_law: FloatArray = np.zeros(dfa.num_states)
        state_law[dfa.initial] = 1.0
        class_law = np.empty((length, self.num_classes))
        for time in range(length):
            weights = np.repeat(state_law / dfa.num_symbols, dfa.num_symbols)
            state_law = _total_by_index(targets, weights, dfa.num_states)
            class_law[time] = _total_by_index(self._classes, state_law, self.num_classes)
        return class_law

    def majority_rate(self, length: int) -> float:
        """Return the best accuracy at position `length` without reading the word.

        Exact for uniform tokens; words short enough to be split by word have the law of their
        portion instead.

        Examples
        --------
        >>> Task.from_dfa(DFA([[0, 1], [1, 1]])).majority_rate(3)
        0.875
        """
        return float(self.class_distribution(length)[-1].max())

    def explain(self, tokens: ArrayLike) -> str:
        """Return a table of the tokens of one word, the states between, and the targets."""
        return explain_word(self, as_integer_array(tokens, "tokens"))

    def card(self, lengths: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)) -> dict[str, Any]:
        """Describe the task in plain values that JSON can hold; rates at the given lengths."""
        return describe(self, lengths)

    def __eq__(self, other: object) -> bool:
        """Whether all parts are equal."""
        if not isinstance(other, Task):
            return NotImplemented
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash all parts."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Show name, sizes and supervision."""
        return (
            f"Task({self.name}, num_tokens={self.num_tokens}, num_classes={self.num_classes}, "
            f"supervision={self.supervision!r})"
        )

    def _key(self) -> tuple[object, ...]:
        elements = None if self._token_elements is None else self._token_elements.tobytes()
        parts = (self.name, self._dfa, self.supervision, self._group, elements, self.semantics)
        return parts

    def _draw(
        self,
        items: IntArray,
        lengths: IntArray,
        shortest: int,
        longest: int,
        seed: int,
        split: str,
    ) -> IntArray:
        """Draw the tokens, [num_items, longest]; what lies beyond a word's length is arbitrary."""
        num_tokens = self.num_tokens
        if shortest == longest or not is_split_by_word(num_tokens, shortest):
            return uniform_letters(num_tokens, longest, items, seed=seed, split=split)
        tokens = np.zeros((len(items), longest), dtype=np.int64)
        is_long = np.array([not is_split_by_word(num_tokens, n) for n in range(longest + 1)])
        rows = np.flatnonzero(is_long[lengths])
        if rows.size:
            tokens[rows] = uniform_letters(num_tokens, longest, items[rows], seed=seed, split=split)
        for word_length in range(shortest, longest + 1):
            if is_long[word_length]:
                break
            rows = np.flatnonzero(lengths == word_length)
            tokens[rows, :word_length] = uniform_letters(
                num_tokens, word_length, items[rows], seed=seed, split=split
            )
        return tokens


def _total_by_index(index: IntArray, weights: FloatArray, size: int) -> FloatArray:
    total: FloatArray = np.zeros(size)
    np.add.at(total, index, weights)
    return total


def _read_lengths(length: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(length, tuple | list):
        if len(length) != 2:
            raise InputError(f"length is {length!r}: give an integer or a pair (low, high)")
        low = as_integer(length[0], "the shortest length", 1)
        return low, as_integer(length[1], "the longest length", low)
    fixed = as_integer(length, "length", 1)
    return fixed, fixed
