"""Equivalence of two automata by Hopcroft and Karp, with a shortest word that tells them apart."""

from collections import deque

from automata.validation import IntArray

__all__ = ["shortest_difference"]


def shortest_difference(
    transitions: tuple[IntArray, IntArray],
    initial: tuple[int, int],
    labels: tuple[IntArray, IntArray],
) -> list[int] | None:
    """Find a shortest word after which two automata show different labels.

    Pairs of states are visited breadth first, and a pair is left out when earlier pairs already
    imply it (union-find). The word found is still a shortest one: if a word tells a left-out pair
    ``p ~ ... ~ q`` apart, it tells one link of that chain apart, and every link was queued no
    later.

    Parameters
    ----------
    transitions : pair of ndarray of int64, [num_states, num_symbols]
        Complete tables over the same symbols.
    initial : pair of int
    labels : pair of ndarray of int64, [num_states]
        What can be seen of a state.

    Returns
    -------
    list of int, or None
        Symbol indices; None if the automata are equivalent.

    Notes
    -----
    At most ``n + m`` pairs are queued for automata of n and m states. Hopcroft, Karp: "A linear
    algorithm for testing equivalence of finite automata", 1971.

    Examples
    --------
    >>> import numpy as np
    >>> even, always = np.array([[1], [0]]), np.array([[0]])
    >>> shortest_difference((even, always), (0, 0), (np.array([1, 0]), np.array([1])))
    [0]
    """
    first, second = transitions[0].tolist(), transitions[1].tolist()
    first_labels, second_labels = labels[0].tolist(), labels[1].tolist()
    offset = len(first)
    parent = list(range(offset + len(second)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    # (position of the predecessor in `visited`, symbol read, state of either automaton)
    visited: list[tuple[int, int, int, int]] = [(-1, -1, *initial)]
    queue = deque([0])
    parent[root(offset + initial[1])] = root(initial[0])
    while queue:
        position = queue.popleft()
        _, _, state, other = visited[position]
        if first_labels[state] != second_labels[other]:
            return _word_to(visited, position)
        for symbol, (target, target_other) in enumerate(
            zip(first[state], second[other], strict=True)
        ):
            root_first, root_second = root(target), root(offset + target_other)
            if root_first != root_second:
                parent[root_second] = root_first
                queue.append(len(visited))
                visited.append((position, symbol, target, target_other))
    return None


def _word_to(visited: list[tuple[int, int, int, int]], position: int) -> list[int]:
    word = []
    while position > 0:
        position, symbol = visited[position][:2]
        word.append(symbol)
    return word[::-1]
