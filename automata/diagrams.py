"""Diagrams of automata as geometry: circles, curves and label boxes that keep clear of each other.

Lengths are in radii of a state; `automata.drawing` puts them on paper.
"""

import dataclasses
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.labels import edge_labels, state_labels
from automata.layouts import candidate_layouts
from automata.strokes import cut_head, loop, quadratic, text_size, trim
from automata.validation import FloatArray

__all__ = ["HEAD", "ONE_WAY", "Diagram", "Label", "Stroke", "bend", "beside", "dfa_diagram"]

FONT: Final = 0.95  # size of letters
HEAD: Final = (0.62, 0.52)  # length and width of arrowheads
GAP: Final = 0.16  # between a curve and its label
ONE_WAY: Final = (0.0, 1.2, -1.2, 2.2, -2.2, 3.4, -3.4, 5.0, -5.0, 7.0, -7.0, 9.5, -9.5)
TWO_WAY: Final = (1.1, 1.7, 2.5, 3.6, 5.2, 7.0, 9.5)
POSITIONS: Final = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74)


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A curve, perhaps with an arrowhead, in the colour and line style of its `kind`."""

    points: FloatArray
    head: FloatArray | None
    kind: int = 0


@dataclasses.dataclass(frozen=True)
class Label:
    """Text in a box around its centre."""

    text: str
    center: FloatArray
    size: float
    half: FloatArray  # half of width and height of the box


@dataclasses.dataclass
class Diagram:
    """Circles around `nodes`, strokes between them, and labels."""

    nodes: FloatArray
    radius: float
    strokes: list[Stroke] = dataclasses.field(default_factory=list)
    labels: list[Label] = dataclasses.field(default_factory=list)

    def extent(self) -> tuple[FloatArray, FloatArray]:
        """Return the lower left and the upper right corner of all there is."""
        points = [self.nodes - self.radius, self.nodes + self.radius]
        points += [stroke.points for stroke in self.strokes]
        points += [
            np.stack([label.center - label.half, label.center + label.half])
            for label in self.labels
        ]
        everything = np.concatenate(points)
        return everything.min(axis=0), everything.max(axis=0)


def dfa_diagram(dfa: DFA, positions: FloatArray | None = None) -> Diagram:
    """Lay an automaton out: states, transitions that are bent around states, loops and labels.

    Parameters
    ----------
    dfa : DFA
    positions : ndarray of float, [num_states, 2], optional
        Centres of the states, at least 2.5 apart; by default the one of
        `automata.layouts.candidate_layouts` that leaves curves and labels clearest.

    Returns
    -------
    Diagram
        The last stroke is the start arrow; the first ``num_states`` labels are on states.

    Examples
    --------
    >>> diagram = dfa_diagram(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab"))
    >>> len(diagram.strokes), [label.text for label in diagram.labels]
    (5, ['0', '1', 'b', 'b', 'a', 'a'])
    """
    if positions is not None:
        return _lay_out(dfa, positions)[0]
    best, best_cost = None, np.inf
    for nodes, untidiness in candidate_layouts(dfa.transitions, dfa.initial):
        diagram, cost = _lay_out(dfa, nodes)
        cost += 1.5 * untidiness
        if cost < best_cost - 1e-6:
            best, best_cost = diagram, cost
    assert best is not None
    return best


def _lay_out(dfa: DFA, nodes: FloatArray) -> tuple[Diagram, float]:
    """Draw everything around given states; say how much is in the way of other things."""
    diagram = Diagram(nodes, radius=1.0)
    for state, text in enumerate(state_labels(dfa)):
        width, height = text_size(text)
        size = min(FONT, 1.45 / max(width, 1e-9))
        half = size * np.array([width, height]) / 2
        diagram.labels.append(Label(text, nodes[state], size, half))
    named = edge_labels(dfa)
    curves: dict[tuple[int, int], FloatArray] = {}
    total = 0.0
    for source, target in sorted(named, key=lambda pair: _distance(nodes, pair)):
        if source != target:
            offsets = TWO_WAY if (target, source) in named else ONE_WAY
            curve, cost = bend(diagram, source, target, offsets, list(curves.values()))
            curves[source, target] = curve
            total += cost
    start = _start_arrow(nodes, dfa.initial, list(curves.values()))
    for source, target in named:
        if source == target:
            curves[source, source] = _loop(nodes, source, [*curves.values(), start])
    for pair in [p for p in named if p[0] != p[1]] + [p for p in named if p[0] == p[1]]:
        others = [curve for other, curve in curves.items() if other != pair] + [start]
        label, cost = _label(named[pair], curves[pair], pair, others, diagram)
        diagram.labels.append(label)
        total += cost
    for curve in [*curves.values(), start]:
        diagram.strokes.append(Stroke(*cut_head(curve, *HEAD)))
    return diagram, total


def beside(diagram: Diagram, node: int, text: str, points: FloatArray, size: float) -> Label:
    """Find the freest place for a label around a node.

    Parameters
    ----------
    diagram : Diagram
        With the labels so far.
    node : int
    text : str
    points : ndarray of float, [num_points, 2]
        Points of curves to keep off.
    size : float
        Of letters.

    Returns
    -------
    Label

    Examples
    --------
    >>> diagram = Diagram(np.zeros((1, 2)), radius=0.5)
    >>> beside(diagram, 0, "e", np.empty((0, 2)), size=1.0).center[1] > 0.5
    np.True_
    """
    half = size * np.array(text_size(text)) / 2
    outward = diagram.nodes[node] - diagram.nodes.mean(axis=0)
    is_central = np.hypot(*outward) < 0.5
    preferred = np.pi / 2 if is_central else float(np.arctan2(outward[1], outward[0]))
    best, best_cost = diagram.nodes[node], np.inf
    for step in range(32):
        angle = preferred + (step + 1) // 2 * (-1) ** step * np.pi / 16
        direction = np.array([np.cos(angle), np.sin(angle)])
        distance = float((half / np.maximum(np.abs(direction), 1e-9)).min())
        for extra in (1.6 * GAP, 2.5 * GAP, 4.0 * GAP):
            reach = diagram.radius + distance + extra
            center = diagram.nodes[node] + reach * direction
            cost = 0.3 * (1 - np.cos(angle - preferred)) + extra
            cost += _cover(center, half, points, diagram)
            if cost < best_cost - 1e-9:
                best, best_cost = center, cost
    return Label(text, best, size, half)


def _distance(nodes: FloatArray, pair: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    return round(float(np.hypot(*(nodes[pair[0]] - nodes[pair[1]]))), 6), pair


def bend(
    diagram: Diagram,
    source: int,
    target: int,
    offsets: tuple[float, ...],
    earlier: list[FloatArray],
    room: float = 0.55,
) -> tuple[FloatArray, float]:
    """Bend a curve between two nodes as little as it takes to keep clear of others.

    Parameters
    ----------
    diagram : Diagram
    source, target : int
    offsets : tuple of float
        How far the control point may lie to the left.
    earlier : list of ndarray of float, [num_points, 2]
        Curves to keep off, but for crossings.
    room : float
        To leave between the curve and other nodes.

    Returns
    -------
    curve : ndarray of float, [num_points, 2]
        From circle to circle.
    cost : float
        What it is still too close to.

    Examples
    --------
    >>> diagram = Diagram(np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]]), radius=1.0)
    >>> curve, _ = bend(diagram, 0, 2, ONE_WAY, [])
    >>> bool(np.abs(curve[:, 1]).max() > 1)
    True
    """
    nodes, radius = diagram.nodes, diagram.radius
    others = np.delete(nodes, [source, target], axis=0)
    earlier_points = np.concatenate([np.empty((0, 2)), *(curve[8:-8] for curve in earlier)])
    best, best_cost = None, np.inf
    for offset in offsets:
        curve = trim(quadratic(nodes[source], nodes[target], offset), radius, radius)
        cost = 0.12 * abs(offset)
        closeness = np.clip(radius + room - _nearest(curve, others), 0, None)
        cost += 12 * float(closeness.sum()) / len(curve)
        middle = curve[len(curve) // 8 :][: -max(len(curve) // 8, 1)]
        cost += 4 * float((_nearest(middle, earlier_points) < 0.5).mean()) if len(middle) else 0.0
        if cost < best_cost - 1e-9:
            best, best_cost = curve, cost
    assert best is not None
    return best, best_cost


def _start_arrow(nodes: FloatArray, initial: int, curves: list[FloatArray]) -> FloatArray:
    """Point at the initial state from outside, from the left if there is room."""
    angle = _free_angle(nodes, initial, curves, preferred=np.pi, strength=0.45, reach=2.4)
    direction = np.array([np.cos(angle), np.sin(angle)])
    return np.linspace(nodes[initial] + 2.5 * direction, nodes[initial] + direction, 64)


def _loop(nodes: FloatArray, state: int, curves: list[FloatArray]) -> FloatArray:
    outward = nodes[state] - nodes.mean(axis=0)
    is_central = np.hypot(*outward) < 0.5
    angle = np.pi / 2 if is_central else float(np.arctan2(outward[1], outward[0]))
    angle = _free_angle(nodes, state, curves, preferred=angle, strength=0.5, reach=3.2)
    return loop(nodes[state], angle)


def _free_angle(
    nodes: FloatArray,
    state: int,
    curves: list[FloatArray],
    preferred: float,
    strength: float,
    reach: float,
) -> float:
    """Find the direction out of a state that is freest of curves and other states."""
    points = np.concatenate([np.empty((0, 2)), *curves]) - nodes[state]
    points = points[np.hypot(*points.T) < reach + 1.0]
    others = np.delete(nodes, state, axis=0) - nodes[state]
    best, best_cost = 0.0, np.inf
    for step in range(48):
        angle = preferred + (step + 1) // 2 * (-1) ** step * np.pi / 24
        direction = np.array([np.cos(angle), np.sin(angle)])
        probe = np.linspace(1.1, reach, 8)[:, None] * direction
        near_curves = np.clip(1.15 - _nearest(probe, points), 0, None).sum()
        near_states = np.clip(1.9 - _nearest(probe, others), 0, None).sum()
        # Upright and level directions look calmer than slanted ones.
        slant = 0.2 * abs(np.sin(2 * angle)) ** 2
        cost = near_curves + 1.5 * near_states + strength * (1 - np.cos(angle - preferred)) + slant
        if cost < best_cost - 1e-9:
            best, best_cost = angle, float(cost)
    return best


def _label(
    text: str,
    curve: FloatArray,
    pair: tuple[int, int],
    others: list[FloatArray],
    diagram: Diagram,
) -> tuple[Label, float]:
    """Put a label beside its curve where it covers least."""
    width, height = text_size(text)
    half = FONT * np.array([width, height]) / 2
    points = np.concatenate(others)
    is_loop = pair[0] == pair[1]
    best, best_cost = curve[len(curve) // 2], np.inf
    for rank, share in enumerate(POSITIONS):
        index = round(share * (len(curve) - 1))
        ahead = curve[min(index + 1, len(curve) - 1)] - curve[max(index - 1, 0)]
        left = np.array([-ahead[1], ahead[0]]) / max(float(np.hypot(*ahead)), 1e-9)
        # The outside of a bend first; the outside of a loop only.
        chord = (curve[0] + curve[-1]) / 2
        outside = 1.0 if np.dot(left, curve[index] - chord) >= -1e-6 else -1.0
        for side in (outside,) if is_loop else (outside, -outside):
            normal = side * left
            # The nearest place at which the box does not hold the point it belongs to.
            distance = GAP + float((half / np.maximum(np.abs(normal), 1e-9)).min())
            for extra in (0.0, 0.2, 0.45, 0.8):
                center = curve[index] + (distance + extra) * normal
                cost = 0.04 * rank + 0.05 * (side != outside) + 0.9 * extra
                cost += _cover(center, half, points, diagram)
                cost += 0.4 * _num_inside(center, half + 0.6 * GAP, curve)
                if cost < best_cost - 1e-9:
                    best, best_cost = center, float(cost)
    return Label(text, best, FONT, half), best_cost


def _cover(center: FloatArray, half: FloatArray, points: FloatArray, diagram: Diagram) -> float:
    """Score what a box lies upon: other curves, worse, states, and labels."""
    cost = 0.4 * _num_inside(center, half + 0.08, points)
    cost += 0.03 * _num_inside(center, half + 0.4, points)
    gap = np.clip(np.abs(diagram.nodes - center) - half, 0, None)
    cost += 4 * float(np.clip(diagram.radius + 0.15 - np.hypot(*gap.T), 0, None).sum())
    for label in diagram.labels:
        gaps = np.abs(label.center - center) - label.half - half
        distance = float(np.hypot(*np.clip(gaps, 0, None)))
        cost += 5 * (distance < 0.15) + max(0.0, 0.6 - distance)
    return cost


def _num_inside(center: FloatArray, half: FloatArray, points: FloatArray) -> int:
    return int((np.abs(points - center) < half).all(axis=1).sum())


def _nearest(points: FloatArray, others: FloatArray) -> FloatArray:
    """Distance of every point from the nearest other point."""
    if not len(others):
        return np.full(len(points), np.inf)
    gaps = points[:, None] - others[None]
    result: FloatArray = np.sqrt((gaps**2).sum(axis=2).min(axis=1))
    return result
