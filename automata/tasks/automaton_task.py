"""Tasks whose targets are a function of an automaton's state."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.dfa import DFA
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.tasks.supervision import check_supervision
from automata.tasks.task import Task
from automata.tasks.token_laws import Chain, TokenLaw, UniformLetters
from automata.validation import BoolArray, FloatArray, IntArray, as_integer_array, read_only

__all__ = ["AutomatonTask"]

_MAX_JOINT_STATES: Final = 2**22
_MAX_CELLS: Final = 2**19
_SUPERVISIONS: Final = ("per_prefix", "final", "membership")


class AutomatonTask(Task):
    """Track the state of an automaton.

    Tokens are the symbols of the automaton. The class of a state is its output if the automaton
    has outputs, else the state itself; under ``membership`` it is the accepting bit.

    Parameters
    ----------
    name : str
    dfa : DFA
    supervision : str
        See `Task`; ``next_token`` needs `supervised`, and outputs that are the token to come.
    law : TokenLaw, optional
        By default independent uniform letters.
    supervised : array_like of bool, [num_states], optional
        The states in which something is asked; by default all.
    group : FiniteGroup, optional
        The group whose word problem this is.
    token_elements : sequence of int, optional
        The group element that every token stands for; needs `group`.
    semantics, facts
        See `Task`.

    Examples
    --------
    >>> even = DFA([[0, 1], [1, 0]], accepting=[0])
    >>> AutomatonTask("even", even, "membership").targets_of([1, 1, 0, 1])
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        name: str,
        dfa: DFA,
        supervision: str = "per_prefix",
        *,
        law: TokenLaw | None = None,
        supervised: ArrayLike | None = None,
        group: FiniteGroup | None = None,
        token_elements: Sequence[int] | None = None,
        semantics: int = 1,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        if supervised is None:
            check_supervision(supervision, _SUPERVISIONS)
        law = UniformLetters(dfa.num_symbols) if law is None else law
        if law.num_tokens != dfa.num_symbols:
            raise InputError(
                f"the law has {law.num_tokens} tokens and the automaton {dfa.num_symbols} symbols: "
                "give as many"
            )
        super().__init__(
            name, law, supervision, alphabet=dfa.alphabet, semantics=semantics, facts=facts
        )
        self._dfa = dfa
        self._group = group
        self._token_elements: IntArray | None = None
        if token_elements is not None:
            elements = as_integer_array(np.array(token_elements), "token_elements").copy()
            if group is None or elements.shape != (dfa.num_symbols,):
                raise InputError("token_elements needs a group and one element for every token")
            read_only(elements)
            self._token_elements = elements
        states = np.arange(dfa.num_states)
        if supervision == "membership":
            self._classes = dfa.accepting.astype(np.int64)
        else:
            self._classes = states if dfa.outputs is None else dfa.outputs
        read_only(self._classes)
        self._states_are_classes = np.array_equal(self._classes, states)
        self._supervised: BoolArray = np.ones(dfa.num_states, dtype=np.bool_)
        if supervised is not None:
            self._supervised = np.array(supervised, dtype=np.bool_)
            if self._supervised.shape != (dfa.num_states,):
                raise InputError("supervised needs one boolean for every state")
        read_only(self._supervised)

    @property
    def dfa(self) -> DFA:
        """The automaton behind the targets."""
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
    def num_classes(self) -> int:
        """Number of classes a target may take."""
        return 2 if self.supervision == "membership" else int(self._classes.max()) + 1

    @property
    def state_classes(self) -> IntArray:
        """The class of every state of the automaton, int64, [num_states]."""
        return self._classes

    @property
    def supervised_states(self) -> BoolArray:
        """The states in which something is asked, bool, [num_states]."""
        return self._supervised

    @property
    def is_plain(self) -> bool:
        """Whether letters are independent and uniform, and every state is asked for.

        Then a device can draw and label the words itself, the same bits.
        """
        return isinstance(self.law, UniformLetters) and bool(self._supervised.all())

    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the class at every position, and where it is supervised (see `Task.label`)."""
        states = self._dfa.trace(tokens)[:, 1:]
        mask: BoolArray = (
            np.ones(states.shape, dtype=np.bool_)
            if self._supervised.all()
            else self._supervised.take(states)
        )
        # Where every state is its own class the gather would only copy.
        return states.copy() if self._states_are_classes else self._classes.take(states), mask

    @property
    def has_exact_rates(self) -> bool:
        """Whether the law of the tokens is a chain, small enough to be followed exactly."""
        return self.followed_chain(1) is not None

    def class_distribution(self, length: int) -> FloatArray:
        """Return how often each class is asked for at every position (see `Task`).

        Exact, by propagating the joint law of the tokens and the state, if `has_exact_rates`.
        """
        chain = self.followed_chain(length)
        if chain is None:
            return super().class_distribution(length)
        asked = self._classes[self._supervised]
        result = np.empty((length, self.num_classes))
        after_tokens = itertools.islice(self.joint_laws(chain), 1, None)
        for position, joint in enumerate(after_tokens):
            state_law = joint.reshape(-1, self._dfa.num_states).sum(axis=0)[self._supervised]
            result[position] = np.bincount(asked, state_law, self.num_classes)
        return result

    def joint_laws(self, chain: Chain) -> Iterator[FloatArray]:
        """Follow the joint law of the chain's state and of the automaton's.

        Parameters
        ----------
        chain : Chain

        Yields
        ------
        ndarray of float64, [chain_states * num_states]
            Before the first token and after every one; index ``chain_state * num_states + state``.
        """
        num_states = self._dfa.num_states
        joint: FloatArray = np.zeros(len(chain.initial) * num_states)
        joint[self._dfa.initial :: num_states] = chain.initial
        yield joint
        for step in chain.steps:
            inside = np.flatnonzero(joint)
            hidden, states = np.divmod(inside, num_states)
            weights = joint[inside, None] * step[hidden]
            targets = chain.transitions[hidden] * num_states + self._dfa.transitions[states]
            total = np.bincount(targets.reshape(-1), weights.reshape(-1), joint.size)
            joint = np.asarray(total, dtype=np.float64)
            yield joint

    def joint_law(self, chain: Chain) -> FloatArray:
        """Return the last of `joint_laws`."""
        *_, last = self.joint_laws(chain)
        return last

    def followed_chain(self, length: int) -> Chain | None:
        """Return the law of the tokens, if it can be followed together with the state."""
        chain = self.law.chain(length)
        if chain is None or len(chain.initial) * self._dfa.num_states > _MAX_JOINT_STATES:
            return None
        if self._dfa.transitions.size > _MAX_CELLS:
            return None
        return chain

    def _key(self) -> tuple[object, ...]:
        elements = None if self._token_elements is None else self._token_elements.tobytes()
        parts = (self._dfa, self._group, elements, self._supervised.tobytes())
        return (*super()._key(), *parts)
