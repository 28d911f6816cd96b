"""Hopcroft's partition refinement: which states no word can tell apart."""

import numpy as np

from automata.validation import IntArray

__all__ = ["coarsest_stable_partition"]


def coarsest_stable_partition(transitions: IntArray, labels: IntArray) -> IntArray:
    """Group states that give the same labels after every word.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
        Complete table.
    labels : ndarray of int64, [num_states]
        What can be seen of a state: acceptance, output, or both as one number.

    Returns
    -------
    ndarray of int64, [num_states]
        The number of each state's group. Groups are numbered by their smallest state.

    Notes
    -----
    O(num_symbols * num_states * log(num_states)): only the smaller half of a group that was cut
    becomes a new splitter. Hopcroft: "An n log n algorithm for minimizing states in a finite
    automaton", 1971.

    Examples
    --------
    >>> coarsest_stable_partition(np.array([[1, 2], [2, 1], [1, 2]]), np.array([0, 1, 1]))
    array([0, 1, 1])
    """
    num_symbols = transitions.shape[1]
    predecessors = _predecessors(transitions)
    group_of: list[int] = np.unique(labels, return_inverse=True)[1].reshape(-1).tolist()
    groups: list[set[int]] = [set() for _ in range(max(group_of) + 1)]
    for state, group in enumerate(group_of):
        groups[group].add(state)
    splitters = [(group, symbol) for group in range(len(groups)) for symbol in range(num_symbols)]
    while splitters:
        group, symbol = splitters.pop()
        inside: dict[int, set[int]] = {}
        for target in groups[group]:
            for state in predecessors[symbol][target]:
                inside.setdefault(group_of[state], set()).add(state)
        for touched, part in inside.items():
            if len(part) == len(groups[touched]):
                continue
            rest = groups[touched] - part
            smaller, larger = (part, rest) if len(part) <= len(rest) else (rest, part)
            groups[touched] = larger
            groups.append(smaller)
            for state in smaller:
                group_of[state] = len(groups) - 1
            splitters.extend((len(groups) - 1, letter) for letter in range(num_symbols))
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(g, len(numbers)) for g in group_of], dtype=np.int64)


def _predecessors(transitions: IntArray) -> list[list[list[int]]]:
    """List the states that lead to each state, [num_symbols][num_states]."""
    num_states, num_symbols = transitions.shape
    table: list[list[list[int]]] = [[[] for _ in range(num_states)] for _ in range(num_symbols)]
    for state, targets in enumerate(transitions.tolist()):
        for symbol, target in enumerate(targets):
            table[symbol][target].append(state)
    return table
