"""Where to draw the elements of a group: planar if that can be done, else rings of cosets."""

import itertools

import networkx as nx
import numpy as np

from automata.finite_group import FiniteGroup
from automata.layouts import Edges, circle, improve, untidiness
from automata.validation import FloatArray, IntArray

__all__ = ["cayley_layout"]

MAX_FACES = 4
MAX_RINGS = 12
MAX_SWAPPED = 24


def cayley_layout(group: FiniteGroup, generators: tuple[int, ...]) -> FloatArray:
    """Place the elements of a group so that few edges of its Cayley graph cross.

    Parameters
    ----------
    group : FiniteGroup
    generators : tuple of int

    Returns
    -------
    ndarray of float, [order, 2]
        Centred, the median edge being of length 1; the same for the same arguments.

    Notes
    -----
    Tried in turn, and the tidiest kept: for planar graphs Tutte's embedding ("How to draw a
    graph", 1963) inside each of a few faces, its radii stretched for room; concentric rings, one
    for every coset of a generator's cyclic subgroup, turned towards each other; a circle; and
    stress majorisation (Gansner, Koren, North: "Graph drawing by stress majorization", 2004).

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> cayley_layout(cyclic(4), (1,)).shape
    (4, 2)
    """
    order = group.order
    if order == 1:
        return np.zeros((1, 2))
    pairs = {
        (min(g, h), max(g, h))
        for s in generators
        for g, h in enumerate(group.table[:, s].tolist())
        if g != h
    }
    edges = sorted(pairs)
    candidates = [_scaled(positions, edges) for positions in _planar(order, edges)]
    has_planar = bool(candidates)
    for generator in generators:
        candidates.extend(_rings(group, generator, edges))
    if not has_planar:
        ring = circle(order)
        candidates.append(improve(ring, edges, order) if order <= MAX_SWAPPED else ring)
        candidates.append(_stress(candidates[0], edges))
    scaled = [_scaled(positions, edges) for positions in candidates]
    costs = [round(_cost(positions, edges), 6) for positions in scaled]
    return _upright(scaled[int(np.argmin(costs))])


def _cost(positions: FloatArray, edges: Edges) -> float:
    """Score crossings, room, edges of unequal length, and the lack of symmetry."""
    gaps = np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(axis=2))
    gaps[np.diag_indices(len(gaps))] = np.inf
    lengths = _lengths(positions, edges)
    crowding = 6 * np.clip(0.55 - gaps.min(axis=1), 0, None).sum()
    uneven = 0.5 * len(positions) ** 0.5 * float(np.log(lengths).std())
    tidiness = np.log2(_symmetry(positions))
    return untidiness(5.0 * positions, edges) + float(crowding + uneven - tidiness)


def _symmetry(positions: FloatArray) -> int:
    """Find the largest number of turns, up to eight, that map the drawing to itself."""
    places = positions[:, 0] + 1j * positions[:, 1]
    for turns in range(8, 1, -1):
        turned = places * np.exp(2j * np.pi / turns)
        if (np.abs(turned[:, None] - places).min(axis=1) < 0.02).all():
            return turns
    return 1


def _lengths(positions: FloatArray, edges: Edges) -> FloatArray:
    ends = np.array(edges)
    between = positions[ends[:, 0]] - positions[ends[:, 1]]
    return np.maximum(np.hypot(between[:, 0], between[:, 1]), 1e-9)


def _scaled(positions: FloatArray, edges: Edges) -> FloatArray:
    """Centre a drawing and give it edges of median length 1."""
    centered = positions - positions.mean(axis=0)
    result: FloatArray = centered / np.median(_lengths(centered, edges))
    return result


def _upright(positions: FloatArray) -> FloatArray:
    """Turn the first node to the top."""
    x, y = positions[0]
    radius = float(np.hypot(x, y))
    if radius < 1e-6:
        return positions
    turn = np.array([[y, x], [-x, y]]) / radius
    result: FloatArray = positions @ turn
    return result


def _planar(order: int, edges: Edges) -> list[FloatArray]:
    """Draw a planar graph inside its largest faces; nothing for other graphs."""
    graph = nx.Graph()
    graph.add_nodes_from(range(order))
    graph.add_edges_from(edges)
    is_planar, embedding = nx.check_planarity(graph)
    if not is_planar:
        return []
    faces: dict[tuple[int, ...], list[int]] = {}
    for first, second in itertools.chain(edges, ((b, a) for a, b in edges)):
        face = embedding.traverse_face(first, second)
        if len(set(face)) == len(face) >= 3:
            faces.setdefault(tuple(sorted(face)), face)
    drawings = []
    by_size = sorted(faces.values(), key=lambda face: (-len(face), sorted(face)))
    for _, group in itertools.groupby(by_size, key=len):
        face = next(group)
        inside = _tutte(order, edges, face)
        for exponent in np.linspace(1.0, 0.3, 8):
            radius = np.hypot(inside[:, 0], inside[:, 1])
            drawings.append(inside * np.maximum(radius, 1e-9)[:, None] ** (exponent - 1))
        if len(drawings) >= 8 * MAX_FACES:
            break
    return drawings


def _tutte(order: int, edges: Edges, face: list[int]) -> FloatArray:
    """Fix one face as a regular polygon and put every other node amid its neighbours."""
    positions = np.zeros((order, 2))
    angles = np.pi / 2 + 2 * np.pi * np.arange(len(face)) / len(face)
    positions[np.array(face)] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outer = np.array(face)
    inner = np.setdiff1d(np.arange(order), outer)
    adjacency = np.zeros((order, order))
    for first, second in edges:
        adjacency[first, second] = adjacency[second, first] = 1
    laplacian = np.diag(adjacency.sum(axis=1)) - adjacency
    if len(inner):
        pull = adjacency[np.ix_(inner, outer)] @ positions[outer]
        positions[inner] = np.linalg.solve(laplacian[np.ix_(inner, inner)], pull)
    return positions


def _rings(group: FiniteGroup, generator: int, edges: Edges) -> list[FloatArray]:
    """Put the cosets of a cyclic subgroup on rings, each turned towards those inside it."""
    size = group.element_order(generator)
    num_rings = group.order // size
    if size < 3 or num_rings > MAX_RINGS:
        return []
    neighbours: list[list[int]] = [[] for _ in range(group.order)]
    for first, second in edges:
        neighbours[first].append(second)
        neighbours[second].append(first)
    step = group.table[:, generator]
    drawings = []
    # Room between rings, against the distance of neighbours on the innermost one; and a twist, so
    # that edges which skip a ring pass between its nodes.
    twists = (0.0, 0.2) if num_rings > 2 else (0.0,)
    for room, twist in itertools.product((0.7, 1.0, 1.4), twists):
        positions = np.zeros((group.order, 2))
        placed: list[int] = []
        waiting = set(range(group.order))
        innermost = max(1.0, room) / (2 * np.sin(np.pi / size))
        for ring in range(num_rings):
            touching = [g for p in reversed(placed) for g in neighbours[p] if g in waiting]
            cycle = [min(waiting) if not touching else touching[-1]]
            while len(cycle) < size:
                cycle.append(int(step[cycle[-1]]))
            radius = innermost + room * ring
            positions[cycle] = _turned_ring(cycle, radius, positions, placed, neighbours)
            placed.extend(cycle)
            waiting.difference_update(cycle)
        angles = twist * 2 * np.pi / size * np.round(np.hypot(*positions.T) - innermost, 6) / room
        cosine, sine = np.cos(angles), np.sin(angles)
        x, y = positions.T
        drawings.append(np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1))
    return drawings


def _turned_ring(
    cycle: list[int],
    radius: float,
    positions: FloatArray,
    placed: list[int],
    neighbours: list[list[int]],
) -> FloatArray:
    """Turn and flip a ring so that its edges to what is placed are short."""
    size = len(cycle)
    known = set(placed)
    links = [(i, other) for i, g in enumerate(cycle) for other in neighbours[g] if other in known]
    best, best_cost = np.zeros((size, 2)), np.inf
    for flip, shift in itertools.product((1, -1), range(2 * size)):
        angles = np.pi / 2 + 2 * np.pi * (flip * np.arange(size) + shift / 2) / size
        ring = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cost = sum(float(((ring[i] - positions[other]) ** 2).sum()) for i, other in links)
        if cost < best_cost - 1e-9:
            best, best_cost = ring, cost
    return best


def _stress(start: FloatArray, edges: Edges) -> FloatArray:
    """Make distances on paper like distances in the graph."""
    order = len(start)
    adjacency: IntArray = np.zeros((order, order), dtype=np.int64)
    for first, second in edges:
        adjacency[first, second] = adjacency[second, first] = 1
    distance = np.where(np.eye(order, dtype=np.bool_), 0.0, np.inf)
    reached = np.eye(order, dtype=np.bool_)
    for length in range(1, order):
        frontier = (reached @ adjacency > 0) & ~reached
        if not frontier.any():
            break
        distance[frontier] = length
        reached |= frontier
    weights = 1 / np.where(distance > 0, np.minimum(distance, order) ** 2, np.inf)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(laplacian)
    positions = _scaled(start, edges)
    # A fixed, small push: positions that coincide would stay so.
    positions = positions + 0.01 * np.stack(
        [np.cos(np.arange(order) * 2.4), np.sin(np.arange(order) * 2.4)], axis=1
    )
    for _ in range(150):
        gaps = positions[:, None] - positions[None]
        lengths = np.maximum(np.sqrt((gaps**2).sum(axis=2)), 1e-9)
        pull = -weights * np.minimum(distance, order) / lengths
        pull[np.diag_indices(order)] = 0
        pull[np.diag_indices(order)] = -pull.sum(axis=1)
        positions = inverse @ (pull @ positions)
    return positions
