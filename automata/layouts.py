"""Where to draw the states of an automaton: a few deterministic layouts to choose from."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from automata.reachability import breadth_first_order
from automata.validation import BoolArray, FloatArray, IntArray

__all__ = ["Edges", "candidate_layouts", "circle", "grid", "improve", "layers", "untidiness"]

Edges: TypeAlias = Sequence[tuple[int, int]]

# Distances are in radii of a state.
SPACING: Final = 5.0
CLEARANCE: Final = 1.7
MAX_TRIALS: Final = 1500


def candidate_layouts(transitions: IntArray, initial: int) -> list[tuple[FloatArray, float]]:
    """Place states on a circle, in layers and on a grid, and swap them until that is tidy.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int

    Returns
    -------
    list of (ndarray of float [num_states, 2], float)
        Centres, in radii of a state, and how untidy it is with straight edges.

    Examples
    --------
    >>> candidate_layouts(np.array([[1], [0]]), 0)[0][0].round(1).tolist()
    [[-2.5, 0.0], [2.5, 0.0]]
    """
    num_states = len(transitions)
    pairs = {(min(q, t), max(q, t)) for q, row in enumerate(transitions.tolist()) for t in row}
    edges = sorted(pair for pair in pairs if pair[0] != pair[1])
    starts = [circle(num_states)]
    if num_states > 2:
        starts.append(layers(transitions, initial))
    if num_states > 4:
        starts.append(grid(breadth_first_order(transitions, initial), num_states))
    tidied = [improve(positions, edges, num_states) for positions in starts]
    return [
        (_initial_to_the_left(positions, initial), round(untidiness(positions, edges), 6))
        for positions in tidied
    ]


def circle(num_nodes: int) -> FloatArray:
    """Place nodes on a circle, clockwise from the left, neighbours one spacing apart.

    Parameters
    ----------
    num_nodes : int

    Returns
    -------
    ndarray of float, [num_nodes, 2]

    Examples
    --------
    >>> circle(2).round(1).tolist()
    [[-2.5, 0.0], [2.5, 0.0]]
    """
    if num_nodes == 1:
        return np.zeros((1, 2))
    radius = SPACING / (2 * np.sin(np.pi / num_nodes))
    angles = np.pi - 2 * np.pi * np.arange(num_nodes) / num_nodes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def grid(order: IntArray, num_nodes: int) -> FloatArray:
    """Place nodes on a grid of triangles, a little wider than high, column by column.

    Parameters
    ----------
    order : ndarray of int64
        The nodes to place first; the others follow.
    num_nodes : int

    Returns
    -------
    ndarray of float, [num_places, 2]
        The places of all nodes, and then those left empty.

    Examples
    --------
    >>> grid(np.array([0, 1, 2]), 3).shape
    (4, 2)
    """
    num_rows = max(2, round(np.sqrt(0.75 * num_nodes)))
    num_columns = -(-num_nodes // num_rows)
    column, row = np.divmod(np.arange(num_rows * num_columns), num_rows)
    places = SPACING * np.stack([column + 0.5 * (row % 2), -np.sqrt(0.75) * row], axis=1)
    rest = np.setdiff1d(np.arange(len(places)), order)
    positions = np.empty_like(places)
    positions[np.concatenate([order, rest])] = places
    return positions


def layers(transitions: IntArray, initial: int) -> FloatArray:
    """Place states from left to right by their distance from the initial state.

    Within a layer, states follow the mean height of their neighbours (barycentres, a few sweeps).
    Unreachable states form the last layer.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
    initial : int

    Returns
    -------
    ndarray of float, [num_states, 2]

    Notes
    -----
    After Sugiyama, Tagawa, Toda: "Methods for visual understanding of hierarchical system
    structures", IEEE Transactions on Systems, Man, and Cybernetics 11, 1981.

    Examples
    --------
    >>> layers(np.array([[1, 2], [1, 1], [2, 2]]), 0).round(1).tolist()
    [[0.0, 0.0], [5.0, 2.5], [5.0, -2.5]]
    """
    num_states = len(transitions)
    rows = transitions.tolist()
    depth = np.full(num_states, -1)
    depth[initial] = 0
    for state in breadth_first_order(transitions, initial).tolist():
        for target in rows[state]:
            if depth[target] < 0:
                depth[target] = depth[state] + 1
    depth[depth < 0] = depth.max() + 1
    neighbours: list[set[int]] = [set() for _ in range(num_states)]
    for state, targets in enumerate(rows):
        for target in targets:
            if target != state:
                neighbours[state].add(target)
                neighbours[target].add(state)
    order = [np.flatnonzero(depth == layer).tolist() for layer in range(depth.max() + 1)]
    height = np.zeros(num_states)

    def place(layer: list[int]) -> None:
        height[layer] = SPACING * ((len(layer) - 1) / 2 - np.arange(len(layer)))

    for layer in order:
        place(layer)
    for _ in range(8):
        for layer in order:
            means = {q: np.mean([height[p] for p in neighbours[q]] or [0.0]) for q in layer}
            layer.sort(key=lambda q: (-round(float(means[q]), 6), q))
            place(layer)
    return np.stack([SPACING * depth, height], axis=1)


def untidiness(positions: FloatArray, edges: Edges) -> float:
    """Score a drawing with straight edges: crossings, edges close to nodes, and length.

    Parameters
    ----------
    positions : ndarray of float, [num_nodes, 2]
    edges : sequence of (int, int)

    Returns
    -------
    float
        Smaller is better.

    Examples
    --------
    >>> square = circle(4)
    >>> cross, sides = [(0, 2), (1, 3)], [(0, 1), (2, 3)]
    >>> untidiness(square, cross) > untidiness(square, sides)
    True
    """
    if not edges:
        return 0.0
    ends = np.array(edges)
    start, end = positions[ends[:, 0]], positions[ends[:, 1]]
    length = np.linalg.norm(end - start, axis=1)
    first, second = np.triu_indices(len(edges), 1)
    disjoint = (ends[first, :, None] != ends[second, None, :]).all(axis=(1, 2))
    first, second = first[disjoint], second[disjoint]
    one = _side(start[first], end[first], start[second], end[second])
    two = _side(start[second], end[second], start[first], end[first])
    num_crossings = int((one & two).sum())
    # Distance of every other node from every edge.
    along = (end - start) / length[:, None]
    offset = positions[None] - start[:, None]
    position = np.clip((offset * along[:, None]).sum(axis=2), 0, length[:, None])
    distance = np.linalg.norm(offset - position[..., None] * along[:, None], axis=2)
    distance[np.arange(len(edges)), ends[:, 0]] = np.inf
    distance[np.arange(len(edges)), ends[:, 1]] = np.inf
    closeness = np.clip(CLEARANCE - distance, 0, None).sum()
    spread = np.ptp(positions, axis=0).max()
    return float(num_crossings + 1.5 * closeness + 0.12 * length.sum() / SPACING + 0.02 * spread)


def improve(positions: FloatArray, edges: Edges, num_nodes: int) -> FloatArray:
    """Swap the places of two nodes as long as that helps, up to a fixed number of trials.

    Parameters
    ----------
    positions : ndarray of float, [num_places, 2]
        The places of the nodes, and then empty ones.
    edges : sequence of (int, int)
    num_nodes : int

    Returns
    -------
    ndarray of float, [num_nodes, 2]

    Examples
    --------
    >>> crossed = [(0, 2), (2, 1), (1, 3), (3, 0)]
    >>> untidiness(improve(circle(4), crossed, 4), crossed) < untidiness(circle(4), crossed)
    True
    """
    current = positions.copy()
    best = untidiness(current[:num_nodes], edges)
    num_trials = 0
    improved = True
    while improved:
        improved = False
        for first in range(num_nodes):
            for second in range(first + 1, len(current)):
                if num_trials == MAX_TRIALS:
                    return current[:num_nodes]
                num_trials += 1
                trial = current.copy()
                trial[[first, second]] = trial[[second, first]]
                value = untidiness(trial[:num_nodes], edges)
                if value < best - 1e-9:
                    current, best, improved = trial, value, True
    return current[:num_nodes]


def _side(start: FloatArray, end: FloatArray, first: FloatArray, second: FloatArray) -> BoolArray:
    """Whether two points lie on different sides of a line, or on it."""
    result: BoolArray = _turn(start, end, first) * _turn(start, end, second) <= 1e-9
    return result


def _turn(start: FloatArray, end: FloatArray, point: FloatArray) -> FloatArray:
    ahead, aside = end - start, point - start
    result: FloatArray = ahead[:, 0] * aside[:, 1] - ahead[:, 1] * aside[:, 0]
    return result


def _initial_to_the_left(positions: FloatArray, initial: int) -> FloatArray:
    """Turn by quarters so that the initial state lies as far left as it can."""
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    turned = [positions]
    for _ in range(3):
        turned.append(turned[-1] @ quarter)
    # The four turns of a wide drawing are not equally good: keep it wide rather than tall.
    scores = []
    for candidate in turned:
        width, height = np.ptp(candidate, axis=0)
        left = candidate[initial, 0] - candidate[:, 0].min()
        scores.append(round(float(left + 1.5 * max(0.0, height - width)), 6))
    return turned[int(np.argmin(scores))]
