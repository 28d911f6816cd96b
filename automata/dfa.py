"""Deterministic finite automata as transition tables."""

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from automata.alphabets import Words, encode_words, shared_alphabet
from automata.boolean_operations import reachable_product
from automata.equivalence import shortest_difference
from automata.errors import InputError
from automata.expressions import compile_expression, read_characters
from automata.machine import Machine
from automata.minimization import coarsest_stable_partition
from automata.reachability import breadth_first_order, has_cycle, useful_states
from automata.running import run_words, trace_words
from automata.subsets import concatenation, iteration, reversal
from automata.tables import complete_table, read_accepting, read_outputs, read_table
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["DFA"]


class DFA(Machine):
    """A complete deterministic finite automaton, optionally with an output for every state.

    Words act left to right: the state after ``x_1 ... x_T`` is
    ``q_t = transitions[q_{t-1}, x_t]``. Objects are immutable, hashable, and equal when every
    part is equal; use `equivalent` to compare languages.

    Parameters
    ----------
    transitions : array_like of int, [num_states, num_symbols]
        The next state for every state and symbol.
    initial : int
        The state before any letter.
    accepting : array_like of bool, [num_states], or iterable of int
        A mask over states, or the ids of the accepting states.
    alphabet : iterable of hashable, optional
        One symbol for every column; by default ``0, ..., num_symbols - 1``.
    outputs : array_like of int, [num_states], optional
        Makes it a Moore machine: `minimize`, `equivalent` and `isomorphic` then keep states with
        different outputs apart, as they do for acceptance.

    Raises
    ------
    InputError
        If the table is empty, ragged, incomplete or points outside; if any other part does not
        fit it.

    Examples
    --------
    >>> odd = DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab")
    >>> bool(odd.accepts("abbb")), odd.trace("abb").tolist()
    (True, [0, 0, 1, 0])
    """

    __slots__ = ()

    @classmethod
    def from_partial(
        cls,
        transitions: ArrayLike,
        initial: int = 0,
        accepting: ArrayLike | Iterable[int] = (),
        alphabet: Iterable[Hashable] | None = None,
        outputs: ArrayLike | None = None,
        sink_output: int | None = None,
    ) -> Self:
        """Complete a table in which -1 marks missing transitions.

        If any is missing, one rejecting sink becomes the last state; otherwise none is added.

        Parameters
        ----------
        transitions : array_like of int, [num_states, num_symbols]
        initial, accepting, alphabet, outputs
            As for `DFA`, without the sink.
        sink_output : int, optional
            Output of the sink; required if there are outputs and a sink.

        Returns
        -------
        DFA

        Examples
        --------
        >>> DFA.from_partial([[1, -1], [-1, 0]], accepting=[0]).transitions
        array([[1, 2],
               [2, 0],
               [2, 2]])
        """
        table = read_table(transitions, minimum=-1)
        num_states = len(table)
        mask = read_accepting(accepting, num_states)
        as_integer(initial, "initial", 0, num_states - 1)
        complete = complete_table(table)
        if len(complete) == num_states:
            return cls(table, initial, mask, alphabet, outputs)
        if outputs is not None:
            if sink_output is None:
                raise InputError("transitions are missing and there are outputs: give sink_output")
            sink_output = as_integer(sink_output, "sink_output", 0)
            outputs = np.append(read_outputs(outputs, num_states), sink_output)
        return cls(complete, initial, np.append(mask, False), alphabet, outputs)

    @classmethod
    def from_regex(cls, expression: str, alphabet: Iterable[str]) -> Self:
        r"""Return the smallest automaton of the words that a regular expression describes.

        Parameters
        ----------
        expression : str
            Of characters, concatenation, ``|``, ``*``, ``+``, ``?``, ``{m,n}``, parentheses,
            ``.``, classes ``[ab]`` and ``[^ab]``, ``()`` for the empty word and escapes ``\*``;
            see `automata.expressions.parse_expression`.
        alphabet : iterable of str
            Single characters; what ``.`` and ``[^ab]`` mean depends on it.

        Returns
        -------
        DFA

        Raises
        ------
        InputError
            On bad syntax, with the position; if a limit is passed.

        Examples
        --------
        >>> dfa = DFA.from_regex("(aa)*b", alphabet="ab")
        >>> [bool(dfa.accepts(word)) for word in ("b", "ab", "aab")]
        [True, False, True]
        """
        symbols = read_characters(alphabet)
        table, accepting = compile_expression(expression, symbols)
        return cls(table, 0, accepting, symbols).minimize()

    def encode(self, words: Words) -> IntArray:
        """Turn words into symbol indices (see `automata.alphabets.encode_words`)."""
        return encode_words(words, self._alphabet)

    def trace(self, words: Words) -> IntArray:
        """Return the states before, between and after the letters of words.

        Parameters
        ----------
        words : array of int, [..., length], or str, or list
            Arrays hold symbol indices; a str or list is read through the alphabet.

        Returns
        -------
        ndarray of int64, [..., length + 1]

        Raises
        ------
        InputError
            On symbols that are not in the alphabet.

        Examples
        --------
        >>> DFA([[0, 1], [1, 0]]).trace([1, 0, 1])
        array([0, 1, 1, 0])
        """
        letters = self.encode(words)
        states = trace_words(self._transitions, self._initial, _as_rows(letters))
        return states.reshape(*letters.shape[:-1], letters.shape[-1] + 1)

    def run(self, words: Words) -> IntArray:
        """Return the state after each word, int64, [...] (a NumPy integer for one word).

        Examples
        --------
        >>> int(DFA([[0, 1], [1, 0]]).run([1, 0, 1, 1]))
        1
        """
        letters = self.encode(words)
        states = run_words(self._transitions, self._initial, _as_rows(letters))
        result: IntArray = states.reshape(letters.shape[:-1])[()]
        return result

    def accepts(self, words: Words) -> BoolArray:
        """Return whether each word is accepted, bool, [...] (a NumPy boolean for one word).

        Examples
        --------
        >>> DFA([[0, 1], [1, 0]], accepting=[1]).accepts(np.array([[0, 1], [1, 1]]))
        array([ True, False])
        """
        result: BoolArray = self._accepting[self.run(words)]
        return result

    def minimize(self) -> Self:
        """Return the smallest equivalent automaton, its states in breadth-first order.

        Acceptance, and outputs if there are any, are kept. Equivalent automata over one alphabet
        have equal results. Hopcroft, O(num_symbols * num_states * log(num_states)).

        Examples
        --------
        >>> DFA([[1], [2], [3], [0]], accepting=[0, 2]).minimize().num_states
        2
        """
        part = self.accessible()
        group_of = coarsest_stable_partition(part._transitions, part._labels())
        _, representatives = np.unique(group_of, return_index=True)
        return part._merged(group_of, representatives).accessible()

    def distinguishing_word(self, other: "DFA") -> list[int] | None:
        """Return a shortest word on which acceptance or output differs, or None.

        Parameters
        ----------
        other : DFA
            Over the same alphabet (or one of the two without named symbols), and with outputs if
            and only if this one has them.

        Returns
        -------
        list of int, or None
            Symbol indices; read them with ``np.array`` if the alphabet itself holds integers.

        Examples
        --------
        >>> even = DFA([[1], [0]], accepting=[0])
        >>> even.distinguishing_word(DFA([[1], [2], [3], [0]], accepting=[0]))
        [0, 0]
        """
        shared_alphabet(self._alphabet, other._alphabet)
        if (self._outputs is None) != (other._outputs is None):
            raise InputError("one automaton has outputs and the other none: give both or neither")
        return shortest_difference(
            (self._transitions, other._transitions),
            (self._initial, other._initial),
            (self._labels(), other._labels()),
        )

    def equivalent(self, other: "DFA") -> bool:
        """Whether no word tells the two apart (see `distinguishing_word`)."""
        return self.distinguishing_word(other) is None

    def isomorphic(self, other: "DFA") -> bool:
        """Whether the two are the same up to the names of states.

        States that no word reaches are left out of the comparison. Linear time, by comparing
        canonical breadth-first forms.

        Examples
        --------
        >>> DFA([[1], [0]], accepting=[0]).isomorphic(DFA([[1], [0]], 1, accepting=[1]))
        True
        """
        shared_alphabet(self._alphabet, other._alphabet)
        first, second = self.accessible(), other.accessible()
        return (
            (first._outputs is None) == (second._outputs is None)
            and np.array_equal(first._transitions, second._transitions)
            and np.array_equal(first._labels(), second._labels())
        )

    def complement(self) -> "DFA":
        """Accept exactly the words that this one rejects; outputs are dropped."""
        return DFA(self._transitions, self._initial, ~self._accepting, self._alphabet)

    def intersection(self, other: "DFA") -> "DFA":
        """Accept the words that both accept; outputs are dropped (as in all that follow)."""
        return self._product(other, np.logical_and)

    def union(self, other: "DFA") -> "DFA":
        """Accept the words that at least one accepts."""
        return self._product(other, np.logical_or)

    def difference(self, other: "DFA") -> "DFA":
        """Accept the words that this one accepts and the other rejects."""
        return self._product(other, np.greater)

    def symmetric_difference(self, other: "DFA") -> "DFA":
        """Accept the words that exactly one accepts."""
        return self._product(other, np.not_equal)

    def reverse(self) -> "DFA":
        """Accept the accepted words read backwards, with as few states as that takes.

        Through subsets, so up to ``2**num_states`` of them (see `automata.subsets.reversal`).

        Examples
        --------
        >>> starts_with_a = DFA.from_regex("a.*", alphabet="ab")
        >>> starts_with_a.reverse().equivalent(DFA.from_regex(".*a", alphabet="ab"))
        True
        """
        part = self.accessible()
        table, accepting = reversal(part._transitions, part._initial, part._accepting)
        return DFA(table, 0, accepting, self._alphabet)

    def concatenate(self, other: "DFA") -> "DFA":
        """Accept the words of this language each followed by a word of the other.

        Through subsets of the other's states (see `automata.subsets.concatenation`); not minimal.

        Examples
        --------
        >>> word = DFA.from_regex("ab", alphabet="ab")
        >>> word.concatenate(word).equivalent(DFA.from_regex("abab", alphabet="ab"))
        True
        """
        alphabet = shared_alphabet(self._alphabet, other._alphabet)
        table, accepting = concatenation(
            (self._transitions, other._transitions),
            (self._initial, other._initial),
            (self._accepting, other._accepting),
        )
        return DFA(table, 0, accepting, alphabet)

    def star(self) -> "DFA":
        """Accept any number of accepted words one after another, none included.

        Through subsets (see `automata.subsets.iteration`); not minimal.

        Examples
        --------
        >>> word = DFA.from_regex("ab", alphabet="ab")
        >>> word.star().equivalent(DFA.from_regex("(ab)*", alphabet="ab"))
        True
        """
        table, accepting = iteration(self._transitions, self._initial, self._accepting)
        return DFA(table, 0, accepting, self._alphabet)

    def is_empty(self) -> bool:
        """Whether no word is accepted."""
        order = breadth_first_order(self._transitions, self._initial)
        return not bool(self._accepting[order].any())

    def is_finite(self) -> bool:
        """Whether only finitely many words are accepted."""
        useful = useful_states(self._transitions, self._initial, self._accepting)
        return not has_cycle(self._transitions, useful)

    def count_words(self, length: int) -> int:
        """Return the exact number of accepted words of a length.

        Examples
        --------
        >>> DFA([[0, 1], [1, 0]], accepting=[1]).count_words(100) == 2**99
        True
        """
        length = as_integer(length, "length", 0)
        counts = self._accepting.astype(object) * 1
        for _ in range(length):
            counts = counts[self._transitions].sum(axis=1)
        return int(counts[self._initial])

    def _product(self, other: "DFA", combine: Callable[[BoolArray, BoolArray], BoolArray]) -> "DFA":
        alphabet = shared_alphabet(self._alphabet, other._alphabet)
        initial = (self._initial, other._initial)
        table, pairs = reachable_product(self._transitions, other._transitions, initial)
        accepting = combine(self._accepting[pairs[:, 0]], other._accepting[pairs[:, 1]])
        return DFA(table, 0, accepting, alphabet)


def _as_rows(letters: IntArray) -> IntArray:
    return letters.reshape(math.prod(letters.shape[:-1]), letters.shape[-1])
