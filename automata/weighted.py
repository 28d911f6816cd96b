"""Weighted deterministic automata: language models whose next-symbol law is known exactly."""

from collections.abc import Hashable, Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.alphabets import Words, encode_words, read_alphabet
from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.language_words import WordSet
from automata.philox import SPLITS, Stream, random_u32
from automata.tables import read_table
from automata.uniform_draw import check_size
from automata.validation import FloatArray, IntArray, as_integer, as_integer_array, read_only

__all__ = ["WeightedDFA", "read_weights"]

_MAX_ROW_TOTAL: Final = 2**32
_LETTERS_PER_CHUNK: Final = 2**21


class WeightedDFA:
    """A deterministic automaton that draws its letters: from every state with integer weights.

    Letter ``a`` follows in state ``q`` with probability ``weights[q, a]`` over the row's total,
    and leads to ``transitions[q, a]``. With stop weights a word may also end, which counts as one
    more symbol, the last. Objects are immutable, hashable, and equal when every part is equal.

    Parameters
    ----------
    transitions : array_like of int, [num_states, num_symbols]
        -1 where there is no transition; the weight there must be 0.
    weights : array_like of int, [num_states, num_symbols]
        Not negative. Each row's total, with its stop weight, is from 1 to 2**32.
    initial : int
    stop_weights : array_like of int, [num_states], optional
        Without them a walk never ends by itself.
    alphabet : iterable of hashable, optional
        By default ``0, ..., num_symbols - 1``.

    Raises
    ------
    InputError
        If the table is no partial automaton, or the weights do not fit it.

    Examples
    --------
    >>> fair_start = WeightedDFA([[0, 1], [-1, 0]], [[1, 1], [0, 5]])
    >>> fair_start.probabilities
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    __slots__ = ("_alphabet", "_initial", "_stop_weights", "_transitions", "_weights")

    def __init__(
        self,
        transitions: ArrayLike,
        weights: ArrayLike,
        initial: int = 0,
        stop_weights: ArrayLike | None = None,
        alphabet: Iterable[Hashable] | None = None,
    ) -> None:
        self._transitions = read_table(transitions, minimum=-1)
        num_states, num_symbols = self._transitions.shape
        self._initial = as_integer(initial, "initial", 0, num_states - 1)
        self._alphabet = read_alphabet(alphabet, num_symbols)
        self._weights = read_weights(weights, "weights", (num_states, num_symbols))
        self._stop_weights: IntArray | None = None
        if stop_weights is not None:
            self._stop_weights = read_weights(stop_weights, "stop_weights", (num_states,))
        wrong = np.argwhere((self._transitions < 0) & (self._weights > 0))
        if len(wrong):
            state, symbol = wrong[0].tolist()
            raise InputError(
                f"the weight of symbol {symbol} in state {state} is "
                f"{self._weights[state, symbol]}, but there is no transition: give one, or weight 0"
            )
        totals = self._all_weights().sum(axis=1)
        for state in np.flatnonzero((totals < 1) | (totals > _MAX_ROW_TOTAL)).tolist():
            raise InputError(
                f"the weights of state {state} add up to {totals[state]}: give a total from 1 to "
                f"{_MAX_ROW_TOTAL}"
            )

    @property
    def transitions(self) -> IntArray:
        """The next state for every state and symbol, -1 where there is none."""
        return self._transitions

    @property
    def weights(self) -> IntArray:
        """The weight of every state and symbol."""
        return self._weights

    @property
    def stop_weights(self) -> IntArray | None:
        """The weight of ending in every state, or None."""
        return self._stop_weights

    @property
    def initial(self) -> int:
        """The state before any letter."""
        return self._initial

    @property
    def alphabet(self) -> tuple[Hashable, ...]:
        """The symbol of every column."""
        return self._alphabet

    @property
    def num_states(self) -> int:
        """Number of states."""
        return int(self._transitions.shape[0])

    @property
    def num_symbols(self) -> int:
        """Number of symbols, the end not counted."""
        return int(self._transitions.shape[1])

    @property
    def probabilities(self) -> FloatArray:
        """The law of the next symbol in every state, [num_states, num_choices]; the end is last."""
        weights = self._all_weights()
        result: FloatArray = weights / weights.sum(axis=1, keepdims=True)
        return result

    @property
    def thresholds(self) -> IntArray:
        """Integer thresholds of the next symbol, [num_states, num_choices].

        The symbol is the number of thresholds that a 32-bit word reaches, with
        ``thresholds[q, a] = 2**32 * (weights[q, 0] + ... + weights[q, a]) // total``. So each
        probability is exact to ``2**-32``, and zero exactly where the weight is.
        """
        running = np.cumsum(self._all_weights(), axis=1).astype(np.uint64)
        total = running[:, -1:]
        edges = ((running << np.uint64(32)) // total).astype(np.int64)
        return np.where(running == total, 2**32, edges)

    def support(self) -> DFA:
        """Return the automaton of the words with positive probability as prefixes, or as words.

        Without stop weights every possible prefix is accepted; with them, every word that may
        end. Impossible letters lead to a rejecting sink, the last state.
        """
        table = np.where(self._weights > 0, self._transitions, -1)
        accepting = (
            np.ones(self.num_states, dtype=np.bool_)
            if self._stop_weights is None
            else self._stop_weights > 0
        )
        return DFA.from_partial(table, self._initial, accepting, self._alphabet)

    def sample(
        self,
        length: int,
        num_words: int,
        *,
        seed: int = 0,
        split: str = "train",
        first_item: int = 0,
    ) -> WordSet:
        """Walk from the initial state, independently for every item.

        Parameters
        ----------
        length : int
            Letters per word; with stop weights the most, where words that did not end are cut.
        num_words : int
        seed : int
            0 <= seed < 2**32.
        split : {"train", "selection", "report"}
            Disjoint streams.
        first_item : int
            Word ``i`` is item ``first_item + i``, a pure function of the automaton, seed and split.

        Returns
        -------
        WordSet
            Padded on the right with ``num_symbols``, which is also the number of the end. The
            label tells whether the word has ended (False throughout without stop weights).

        Notes
        -----
        The letter at position ``t`` is decided by word ``t % 4`` of Philox block ``t // 4`` (see
        `automata.philox` and `thresholds`), so a walk is a prefix of every longer one.

        Examples
        --------
        >>> coin = WeightedDFA([[0]], [[3]], stop_weights=[1])
        >>> coin.sample(6, 3, seed=1).lengths
        array([6, 0, 2])
        """
        length, num_words = as_integer(length, "length", 0), as_integer(num_words, "num_words", 0)
        check_size(num_words, length)
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        first_item = as_integer(first_item, "first_item", 0, 2**63 - 1 - num_words)
        words = np.full((num_words, length), self.num_symbols, dtype=np.int64)
        chunk_size = max(64, _LETTERS_PER_CHUNK // max(1, length))
        for start in range(0, num_words, chunk_size):
            chunk = words[start : start + chunk_size]
            items = first_item + start + np.arange(len(chunk))
            digits = random_u32(items, -(-length // 4), seed=seed, split=split, stream=Stream.WALKS)
            chunk[:] = self._walk(np.ascontiguousarray(digits[:, :length].T.astype(np.int64))).T
        lengths = (words < self.num_symbols).sum(axis=1)
        return WordSet(words, lengths, lengths < length)

    def next_symbol_law(self, words: Words) -> FloatArray:
        """Return the law of the symbol after every prefix: the best any model can predict.

        Parameters
        ----------
        words : array of int, [..., length], or str, or list
            Without padding.

        Returns
        -------
        ndarray of float64, [..., length + 1, num_choices]
            All zero after an impossible letter.

        Examples
        --------
        >>> WeightedDFA([[1, 0], [-1, 0]], [[3, 1], [0, 1]]).next_symbol_law([0])
        array([[0.75, 0.25],
               [0.  , 1.  ]])
        """
        letters = encode_words(words, self._alphabet)
        laws = np.concatenate([self.probabilities, np.zeros((1, self.probabilities.shape[1]))])
        result: FloatArray = laws[self._possible().trace(letters)]
        return result

    def log_probability(self, words: Words) -> FloatArray:
        """Return the natural logarithm of each word's probability.

        Parameters
        ----------
        words : array of int, [..., length], or str, or list
            Without padding. With stop weights the probability of the whole word, its end
            included; without, of all words that begin with it.

        Returns
        -------
        ndarray of float64, [...]
            ``-inf`` where the word is impossible.

        Examples
        --------
        >>> float(np.exp(WeightedDFA([[0]], [[3]], stop_weights=[1]).log_probability([0, 0])))
        0.140625
        """
        letters = encode_words(words, self._alphabet)
        laws = self.next_symbol_law(letters)
        chosen = np.take_along_axis(laws[..., :-1, :], letters[..., None], axis=-1)[..., 0]
        if self._stop_weights is not None:
            chosen = np.concatenate([chosen, laws[..., -1, -1:]], axis=-1)
        with np.errstate(divide="ignore"):
            result: FloatArray = np.log(chosen).sum(axis=-1)
        return result

    def entropies(self, length: int) -> FloatArray:
        """Return the entropy of each symbol given the ones before: the least loss there is.

        Parameters
        ----------
        length : int

        Returns
        -------
        ndarray of float64, [length]
            In nats, for positions ``1, ..., length``; words that ended add nothing more.

        Examples
        --------
        >>> WeightedDFA([[1, 1], [0, -1]], [[1, 1], [1, 0]]).entropies(3).round(3)
        array([0.693, 0.   , 0.693])
        """
        length = as_integer(length, "length", 0)
        laws = self.probabilities
        logs = np.log(laws, where=laws > 0, out=np.zeros_like(laws))
        by_state = -(laws * logs).sum(axis=1)
        moves = np.zeros((self.num_states, self.num_states))
        for symbol in range(self.num_symbols):
            rows = np.flatnonzero(self._weights[:, symbol])
            np.add.at(moves, (rows, self._transitions[rows, symbol]), laws[rows, symbol])
        state_law = np.zeros(self.num_states)
        state_law[self._initial] = 1.0
        result = np.empty(length)
        for position in range(length):
            result[position] = state_law @ by_state
            state_law = state_law @ moves
        return result

    def __eq__(self, other: object) -> bool:
        """Whether every part is equal."""
        if not isinstance(other, WeightedDFA):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        """Hash every part."""
        return hash(self._key())

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild through the constructor, so that copies are checked and read-only too."""
        parts = (self._transitions, self._weights, self._initial, self._stop_weights)
        return type(self), (*parts, self._alphabet)

    def __repr__(self) -> str:
        """Show the sizes."""
        ends = "" if self._stop_weights is None else ", ends"
        return f"WeightedDFA(num_states={self.num_states}, num_symbols={self.num_symbols}{ends})"

    def _key(self) -> tuple[object, ...]:
        stops = None if self._stop_weights is None else self._stop_weights.tobytes()
        table = (self._transitions.shape, self._transitions.tobytes(), self._weights.tobytes())
        return (*table, stops, self._initial, self._alphabet)

    def _all_weights(self) -> IntArray:
        """Return the weights with those of the end, if there are any, as the last column."""
        if self._stop_weights is None:
            return self._weights
        return np.concatenate([self._weights, self._stop_weights[:, None]], axis=1)

    def _possible(self) -> DFA:
        """Return the automaton in which impossible letters lead to the added last state."""
        table = np.where(self._weights > 0, self._transitions, self.num_states)
        sink = np.full((1, self.num_symbols), self.num_states)
        return DFA(np.concatenate([table, sink]), self._initial, alphabet=self._alphabet)

    def _walk(self, digits: IntArray) -> IntArray:
        """Turn 32-bit words into letters, both [length, num_words]."""
        thresholds = self.thresholds
        num_choices = thresholds.shape[1]
        width = 1 << (num_choices - 1).bit_length()
        # The added last state stands for words that have ended: it draws the end for ever.
        table = np.full((self.num_states + 1, width), 2**32, dtype=np.int64)
        table[:-1, :num_choices] = thresholds
        table[-1, : num_choices - 1] = 0
        targets = np.full((self.num_states + 1, width), self.num_states, dtype=np.int64)
        targets[:-1, : self.num_symbols] = np.maximum(self._transitions, 0)
        flat_thresholds, flat_targets = table.reshape(-1), targets.reshape(-1)
        letters = np.empty_like(digits)
        states = np.full(digits.shape[1], self._initial, dtype=np.int64)
        for time, words in enumerate(digits):
            cells = states * width
            step = width // 2
            while step:
                cells += step * (words >= flat_thresholds.take(cells + (step - 1)))
                step //= 2
            letters[time] = cells - states * width
            states = flat_targets.take(cells)
        return letters


def read_weights(weights: ArrayLike, what: str, shape: tuple[int, ...]) -> IntArray:
    """Read integer weights of a given shape, as a read-only copy.

    Parameters
    ----------
    weights : array_like of int
        From 0 to 2**32.
    what : str
        How the error calls them.
    shape : tuple of int

    Returns
    -------
    ndarray of int64

    Raises
    ------
    InputError
        On another shape or a weight out of range.

    Examples
    --------
    >>> read_weights([1, 2], "weights", (2,))
    array([1, 2])
    """
    values = as_integer_array(weights, what).copy()
    if values.shape != shape:
        raise InputError(f"{what} has shape {values.shape}: give {shape}")
    if values.min() < 0 or values.max() > _MAX_ROW_TOTAL:
        wrong = int(values.min()) if values.min() < 0 else int(values.max())
        raise InputError(f"{what} holds {wrong}: give integers from 0 to {_MAX_ROW_TOTAL}")
    read_only(values)
    return values
