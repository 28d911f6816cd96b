"""Which states words reach, and from which states words are accepted."""

import numpy as np

from automata.validation import BoolArray, IntArray

__all__ = ["breadth_first_order", "has_cycle", "useful_states"]


def breadth_first_order(transitions: IntArray, initial: int) -> IntArray:
    """List the reachable states in the order in which a breadth-first search meets them.

    Symbols are followed in order, so the list is the same for isomorphic automata up to the
    renaming: relabelling by it gives the canonical form of an accessible automaton.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int

    Returns
    -------
    ndarray of int64, [num_reachable]

    Notes
    -----
    Linear in the size of the table. Canonical strings: Almeida, Moreira, Reis: "Enumeration and
    generation with a string automata representation", Theoretical Computer Science 387, 2007.

    Examples
    --------
    >>> breadth_first_order(np.array([[2, 0], [1, 1], [2, 0]]), 0)
    array([0, 2])
    """
    rows = transitions.tolist()
    order = [initial]
    seen = bytearray(len(rows))
    seen[initial] = 1
    for state in order:
        for target in rows[state]:
            if not seen[target]:
                seen[target] = 1
                order.append(target)
    return np.array(order, dtype=np.int64)


def useful_states(transitions: IntArray, initial: int, accepting: BoolArray) -> BoolArray:
    """Mark the states that lie on a path from the initial state to an accepting one.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int
    accepting : ndarray of bool, [num_states]

    Returns
    -------
    ndarray of bool, [num_states]

    Examples
    --------
    >>> useful_states(np.array([[1, 2], [2, 2], [2, 2]]), 0, np.array([False, True, False]))
    array([ True,  True, False])
    """
    num_states = len(transitions)
    predecessors: list[list[int]] = [[] for _ in range(num_states)]
    for state, targets in enumerate(transitions.tolist()):
        for target in targets:
            predecessors[target].append(state)
    productive = accepting.copy()
    stack = np.flatnonzero(accepting).tolist()
    while stack:
        for state in predecessors[stack.pop()]:
            if not productive[state]:
                productive[state] = True
                stack.append(state)
    reachable = np.zeros(num_states, dtype=np.bool_)
    reachable[breadth_first_order(transitions, initial)] = True
    return productive & reachable


def has_cycle(transitions: IntArray, states: BoolArray) -> bool:
    """Whether the automaton restricted to some states has a cycle.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    states : ndarray of bool, [num_states]

    Returns
    -------
    bool

    Notes
    -----
    States without a predecessor are removed until none is left (Kahn), in linear time.

    Examples
    --------
    >>> has_cycle(np.array([[1], [0]]), np.array([True, True]))
    True
    """
    inside = np.flatnonzero(states)
    edges = {
        state: [t for t in transitions[state].tolist() if states[t]] for state in inside.tolist()
    }
    in_degree = dict.fromkeys(edges, 0)
    for targets in edges.values():
        for target in targets:
            in_degree[target] += 1
    sources = [state for state, degree in in_degree.items() if degree == 0]
    num_removed = 0
    while sources:
        num_removed += 1
        for target in edges[sources.pop()]:
            in_degree[target] -= 1
            if in_degree[target] == 0:
                sources.append(target)
    return num_removed < len(edges)
