"""Strongly connected components of graphs in which every node has equally many edges."""

import numpy as np

from automata.validation import IntArray

__all__ = ["cycle_phases", "number_by_first", "strong_components"]


def strong_components(successors: IntArray) -> IntArray:
    """Group nodes that reach each other.

    Parameters
    ----------
    successors : ndarray of int64, [num_nodes, degree]
        -1 marks a missing edge.

    Returns
    -------
    ndarray of int64, [num_nodes]
        The number of each node's component. Components are numbered by their smallest node.

    Notes
    -----
    Linear time, without recursion. Tarjan: "Depth-first search and linear graph algorithms", 1972.

    Examples
    --------
    >>> strong_components(np.array([[1], [2], [1], [0]]))
    array([0, 1, 1, 2])
    """
    num_nodes, degree = successors.shape
    edges = successors.reshape(-1).tolist()
    next_edge = list(range(0, num_nodes * degree, degree)) if degree else [0] * num_nodes
    discovered = [-1] * num_nodes
    lowest = [0] * num_nodes
    component = [-1] * num_nodes
    open_nodes: list[int] = []
    num_discovered = 0
    for root in range(num_nodes):
        path = [root] if discovered[root] < 0 else []
        while path:
            node = path[-1]
            if discovered[node] < 0:
                discovered[node] = lowest[node] = num_discovered
                num_discovered += 1
                open_nodes.append(node)
            edge, end, low = next_edge[node], (node + 1) * degree, lowest[node]
            while edge < end:
                target = edges[edge]
                edge += 1
                if target < 0:
                    continue
                if discovered[target] < 0:
                    path.append(target)
                    break
                if component[target] < 0 and discovered[target] < low:
                    low = discovered[target]
            next_edge[node], lowest[node] = edge, low
            if path[-1] != node:
                continue
            path.pop()
            if path:
                lowest[path[-1]] = min(lowest[path[-1]], low)
            if low == discovered[node]:
                while component[node] < 0:
                    component[open_nodes.pop()] = node
    return number_by_first(np.array(component, dtype=np.int64))


def number_by_first(labels: IntArray) -> IntArray:
    """Rename labels to 0, 1, ... in the order in which they first occur.

    Examples
    --------
    >>> number_by_first(np.array([7, 3, 7, 5]))
    array([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    result: IntArray = rank[inverse.reshape(-1)]
    return result


def cycle_phases(successors: IntArray, component: IntArray) -> tuple[IntArray, IntArray]:
    """Find the period of every component and the phase of every node in it.

    Parameters
    ----------
    successors : ndarray of int64, [num_nodes, degree]
    component : ndarray of int64, [num_nodes]
        As `strong_components` gives it.

    Returns
    -------
    phase : ndarray of int64, [num_nodes]
        A walk inside a component from one node to another has the length of the difference of
        their phases, modulo the period.
    period : ndarray of int64, [num_components]
        The greatest common divisor of the lengths of closed walks; 0 where there is none.

    Examples
    --------
    >>> graph = np.array([[1], [2], [3], [0]])
    >>> cycle_phases(graph, strong_components(graph))
    (array([0, 1, 2, 3]), array([4]))
    """
    num_components = int(component.max()) + 1
    phase = np.full(len(successors), -1, dtype=np.int64)
    frontier = np.unique(component, return_index=True)[1]
    distance = 0
    while frontier.size:
        phase[frontier] = distance
        targets = successors[frontier]
        inside = (targets >= 0) & (component[targets] == component[frontier][:, None])
        reached = targets[inside]
        frontier = np.unique(reached[phase[reached] < 0])
        distance += 1
    node, edge = np.nonzero((successors >= 0) & (component[successors] == component[:, None]))
    defect = np.abs(phase[node] + 1 - phase[successors[node, edge]])
    period = np.zeros(num_components, dtype=np.int64)
    np.gcd.at(period, component[node], defect)
    return phase, period
