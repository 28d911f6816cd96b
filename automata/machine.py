"""What an automaton is made of: checked, immutable, hashable parts."""

from collections.abc import Hashable, Iterable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from automata.alphabets import read_alphabet
from automata.reachability import breadth_first_order
from automata.tables import read_accepting, read_outputs, read_table
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["Machine"]


class Machine:
    """The parts of an automaton; `automata.dfa.DFA` adds what can be done with them.

    Parameters
    ----------
    transitions, initial, accepting, alphabet, outputs
        As for `automata.dfa.DFA`.

    Examples
    --------
    >>> Machine([[0, 1], [1, 0]], accepting=[1])
    Machine(num_states=2, num_symbols=2, initial=0, num_accepting=1)
    """

    __slots__ = ("_accepting", "_alphabet", "_hash", "_initial", "_outputs", "_transitions")

    def __init__(
        self,
        transitions: ArrayLike,
        initial: int = 0,
        accepting: ArrayLike | Iterable[int] = (),
        alphabet: Iterable[Hashable] | None = None,
        outputs: ArrayLike | None = None,
    ) -> None:
        table = read_table(transitions, minimum=0)
        self._transitions = table
        self._initial = as_integer(initial, "initial", 0, len(table) - 1)
        self._accepting = read_accepting(accepting, len(table))
        self._alphabet = read_alphabet(alphabet, table.shape[1])
        self._outputs = None if outputs is None else read_outputs(outputs, len(table))
        self._hash: int | None = None

    @property
    def transitions(self) -> IntArray:
        """The next state for every state and symbol, int64, [num_states, num_symbols]."""
        return self._transitions

    @property
    def initial(self) -> int:
        """The state before any letter."""
        return self._initial

    @property
    def accepting(self) -> BoolArray:
        """Which states accept, bool, [num_states]."""
        return self._accepting

    @property
    def alphabet(self) -> tuple[Hashable, ...]:
        """The symbol of every column."""
        return self._alphabet

    @property
    def outputs(self) -> IntArray | None:
        """The output of every state, int64, [num_states], or None."""
        return self._outputs

    @property
    def num_states(self) -> int:
        """Number of states."""
        return int(self._transitions.shape[0])

    @property
    def num_symbols(self) -> int:
        """Number of symbols."""
        return int(self._transitions.shape[1])

    def accessible(self) -> Self:
        """Keep the states that words reach, renamed in breadth-first order: the initial one is 0.

        Isomorphic accessible automata become equal, up to their alphabets.
        """
        return self._relabelled(breadth_first_order(self._transitions, self._initial))

    def __eq__(self, other: object) -> bool:
        """Whether every part is equal."""
        if not isinstance(other, Machine):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        """Hash every part."""
        if self._hash is None:
            self._hash = hash(self._key())
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild through the constructor, so that copies are checked and read-only too."""
        parts = (self._transitions, self._initial, self._accepting, self._alphabet, self._outputs)
        return type(self), parts

    def __repr__(self) -> str:
        """Show the sizes."""
        moore = "" if self._outputs is None else f", num_outputs={int(self._outputs.max()) + 1}"
        return (
            f"{type(self).__name__}(num_states={self.num_states}, num_symbols={self.num_symbols}, "
            f"initial={self._initial}, num_accepting={int(self._accepting.sum())}{moore})"
        )

    def _key(self) -> tuple[object, ...]:
        outputs = None if self._outputs is None else self._outputs.tobytes()
        table = (self._transitions.shape, self._transitions.tobytes(), self._accepting.tobytes())
        return (*table, self._initial, self._alphabet, outputs)

    def _labels(self) -> IntArray:
        """Give every state a number for what can be seen of it, comparable between automata."""
        accepting = self._accepting.astype(np.int64)
        return accepting if self._outputs is None else 2 * self._outputs + accepting

    def _relabelled(self, order: IntArray) -> Self:
        """Keep the states in `order`, closed under transitions, and rename them by position."""
        new_name = np.zeros(self.num_states, dtype=np.int64)
        new_name[order] = np.arange(len(order))
        return self._merged(new_name, order)

    def _merged(self, new_name: IntArray, kept: IntArray) -> Self:
        """Rename every state, and keep one state of every new name, in order of these."""
        return type(self)(
            new_name[self._transitions[kept]],
            int(new_name[self._initial]),
            self._accepting[kept],
            self._alphabet,
            None if self._outputs is None else self._outputs[kept],
        )
