"""The subset construction, and what is built on it: reversal, concatenation and iteration."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np

from automata.errors import InputError
from automata.reachability import useful_states
from automata.validation import BoolArray, IntArray

__all__ = [
    "MAX_STEPS",
    "MAX_SUBSETS",
    "Moves",
    "concatenation",
    "iteration",
    "reversal",
    "subset_construction",
]

MAX_SUBSETS: Final = 2**20
MAX_STEPS: Final = 2**25

# For every state, what leads out of it: each of these symbols leads to each of these states.
Moves: TypeAlias = Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]


def subset_construction(
    num_symbols: int,
    moves: Moves,
    initial: Iterable[int],
    accepting: Iterable[int],
    epsilon: Sequence[Sequence[int]] | None = None,
) -> tuple[IntArray, BoolArray]:
    """Make a nondeterministic automaton deterministic.

    Parameters
    ----------
    num_symbols : int
    moves : for every state, a list of (symbols, states)
        Every one of the symbols leads to every one of the states.
    initial, accepting : iterable of int
        States.
    epsilon : for every state, a list of states, optional
        The states that the empty word leads to.

    Returns
    -------
    transitions : ndarray of int64, [num_subsets, num_symbols]
        State 0 is initial; subsets are numbered breadth first. The empty subset, where it is
        reached, is an ordinary state: the rejecting sink.
    accepting : ndarray of bool, [num_subsets]

    Raises
    ------
    InputError
        If more than `MAX_SUBSETS` subsets are reached, or more than `MAX_STEPS` moves would be
        followed.

    Notes
    -----
    Only states that read a letter or accept are kept in a subset. Both limits are checked as the
    subsets are found, so that memory stays below about 300 MB. Rabin, Scott: "Finite automata and
    their decision problems", IBM Journal of Research and Development 3, 1959.

    Examples
    --------
    Words over two letters whose last but one letter is the second:

    >>> moves = [[([0, 1], [0]), ([1], [1])], [([0, 1], [2])], []]
    >>> table, accepting = subset_construction(2, moves, [0], [2])
    >>> table.tolist(), accepting.tolist()
    ([[0, 1], [2, 3], [0, 1], [2, 3]], [False, False, True, True])
    """
    final = frozenset(accepting)
    empty_moves = [()] * len(moves) if epsilon is None else epsilon
    num_steps = 0

    def closure(states: Iterable[int]) -> tuple[int, ...]:
        """Follow the empty word; count one step for every state met."""
        nonlocal num_steps
        stack = list(states)
        seen = set(stack)
        while stack:
            num_steps += 1
            for state in empty_moves[stack.pop()]:
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
        return tuple(sorted(state for state in seen if moves[state] or state in final))

    order = [closure(initial)]
    number = {order[0]: 0}
    table = array("q")
    for subset in order:
        successors: dict[int, set[int]] = {}
        num_steps += num_symbols
        for state in subset:
            for symbols, targets in moves[state]:
                num_steps += len(symbols) * len(targets)
                for symbol in symbols:
                    successors.setdefault(symbol, set()).update(targets)
        for symbol in range(num_symbols):
            target = closure(successors[symbol]) if symbol in successors else ()
            if target not in number:
                if len(order) == MAX_SUBSETS:
                    raise InputError(
                        f"the subset construction reaches more than {MAX_SUBSETS} subsets of "
                        f"{len(moves)} states: take smaller automata, or minimize them first"
                    )
                number[target] = len(order)
                order.append(target)
            table.append(number[target])
        if num_steps > MAX_STEPS:
            raise InputError(
                f"the subset construction over {len(moves)} states and {num_symbols} symbols takes "
                f"more than {MAX_STEPS} steps: take smaller automata, or minimize them first"
            )
    accepts = np.array([not final.isdisjoint(subset) for subset in order], dtype=np.bool_)
    return np.array(table, dtype=np.int64).reshape(len(order), num_symbols), accepts


def reversal(
    transitions: IntArray, initial: int, accepting: BoolArray
) -> tuple[IntArray, BoolArray]:
    """Build the automaton of the accepted words read backwards.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
        Every state reachable: then the result is the smallest one (Brzozowski).
    initial : int
    accepting : ndarray of bool, [num_states]

    Returns
    -------
    transitions : ndarray of int64, [num_subsets, num_symbols]
        State 0 is initial.
    accepting : ndarray of bool, [num_subsets]

    Notes
    -----
    Up to ``2**num_states`` subsets. Brzozowski: "Canonical regular expressions and minimal state
    graphs for definite events", 1962.

    Examples
    --------
    >>> reversal(np.array([[1, 2], [1, 1], [2, 2]]), 0, np.array([False, True, False]))[0].tolist()
    [[1, 0], [1, 0]]
    """
    num_states, num_symbols = transitions.shape
    predecessors: list[dict[int, list[int]]] = [{} for _ in range(num_states)]
    for state, targets in enumerate(transitions.tolist()):
        for symbol, target in enumerate(targets):
            predecessors[target].setdefault(symbol, []).append(state)
    moves = [[((symbol,), found[symbol]) for symbol in sorted(found)] for found in predecessors]
    return subset_construction(num_symbols, moves, np.flatnonzero(accepting).tolist(), [initial])


def concatenation(
    transitions: tuple[IntArray, IntArray],
    initial: tuple[int, int],
    accepting: tuple[BoolArray, BoolArray],
) -> tuple[IntArray, BoolArray]:
    """Build the automaton of a word of one language followed by a word of another.

    Parameters
    ----------
    transitions : pair of ndarray of int64, [num_states, num_symbols]
        Complete tables over the same symbols.
    initial : pair of int
    accepting : pair of ndarray of bool, [num_states]

    Returns
    -------
    transitions : ndarray of int64, [num_subsets, num_symbols]
        State 0 is initial.
    accepting : ndarray of bool, [num_subsets]

    Notes
    -----
    A subset holds at most one state of the first automaton: up to ``n * 2**m`` subsets for n and
    m states. States from which nothing is accepted are left out of subsets.

    Examples
    --------
    >>> letter = np.array([[1], [2], [2]]), 0, np.array([False, True, False])
    >>> concatenation(*zip(letter, letter))[0].tolist()
    [[1], [2], [3], [3]]
    """
    offset, num_symbols = transitions[0].shape
    start = offset + initial[1]
    moves = _useful_moves(transitions[0], initial[0], accepting[0])
    ends = set(np.flatnonzero(accepting[0]).tolist())
    for arrows in moves:
        for _, targets in arrows:
            if not ends.isdisjoint(targets):
                targets.append(start)
    for arrows in _useful_moves(transitions[1], initial[1], accepting[1]):
        moves.append([(symbols, [offset + t for t in targets]) for symbols, targets in arrows])
    first = [initial[0], start] if initial[0] in ends else [initial[0]]
    final = (offset + np.flatnonzero(accepting[1])).tolist()
    return subset_construction(num_symbols, moves, first, final)


def iteration(
    transitions: IntArray, initial: int, accepting: BoolArray
) -> tuple[IntArray, BoolArray]:
    """Build the automaton of any number of accepted words one after another, none included.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int
    accepting : ndarray of bool, [num_states]

    Returns
    -------
    transitions : ndarray of int64, [num_subsets, num_symbols]
        State 0 is initial.
    accepting : ndarray of bool, [num_subsets]

    Notes
    -----
    A new accepting initial state stands for the empty word, since the old one may be met again
    after words that are not to be accepted. Up to ``2**num_states`` subsets.

    Examples
    --------
    >>> letter = np.array([[1], [2], [2]]), 0, np.array([False, True, False])
    >>> iteration(*letter)[1].tolist()
    [True, True]
    """
    num_states, num_symbols = transitions.shape
    moves = _useful_moves(transitions, initial, accepting)
    ends = set(np.flatnonzero(accepting).tolist())
    for arrows in moves:
        for _, targets in arrows:
            if not ends.isdisjoint(targets):
                targets.append(initial)
    moves.append(moves[initial])
    return subset_construction(num_symbols, moves, [num_states], [num_states, *ends])


def _useful_moves(
    transitions: IntArray, initial: int, accepting: BoolArray
) -> list[list[tuple[list[int], list[int]]]]:
    """List the moves between states that lie on a path from the initial to an accepting state."""
    useful = useful_states(transitions, initial, accepting)
    return [
        [([symbol], [target]) for symbol, target in enumerate(row) if useful[target]]
        for row in transitions.tolist()
    ]
