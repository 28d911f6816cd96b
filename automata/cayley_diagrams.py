"""Diagrams of Cayley graphs: elements, one kind of stroke for every generator, and a legend."""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

from automata.cayley_layouts import cayley_layout
from automata.diagrams import HEAD, Diagram, Label, Stroke, bend, beside
from automata.finite_group import FiniteGroup
from automata.strokes import cut_head, text_size

__all__ = ["add_legend", "cayley_diagram", "element_labels"]

RADIUS: Final = 0.42
LABEL_SIZE: Final = 0.9


def element_labels(group: FiniteGroup) -> list[str]:
    """Name every element: permutations by their cycles, the identity ``e``, others as they are.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    list of str

    Examples
    --------
    >>> from automata.groups import cyclic, symmetric
    >>> element_labels(symmetric(3))
    ['e', '(1 2)', '(0 1)', '(0 1 2)', '(0 2 1)', '(0 2)']
    >>> element_labels(cyclic(3))
    ['0', '1', '2']
    """
    elements = group.elements
    if _are_permutations(group):
        return [_cycles(element) for element in elements if isinstance(element, tuple)]
    return [_plain(element) for element in elements]


def cayley_diagram(
    group: FiniteGroup,
    generators: tuple[int, ...],
    labels: Sequence[str] | None,
) -> Diagram:
    """Lay a Cayley graph out.

    Parameters
    ----------
    group : FiniteGroup
    generators : tuple of int
        Distinct, not the identity.
    labels : sequence of str, optional
        Of the elements.

    Returns
    -------
    Diagram
        Strokes of kind k belong to generator k: arrows ``g -> product(g, s)``, or plain lines
        where ``s`` is its own inverse.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> diagram = cayley_diagram(cyclic(4), (1,), labels=None)
    >>> len(diagram.nodes), len(diagram.strokes), len(diagram.labels)
    (4, 4, 0)
    """
    spacing = 3.6 if labels is None else 5.6
    diagram = Diagram(spacing * cayley_layout(group, generators), RADIUS)
    edges = {
        (g, h, kind)
        for kind, s in enumerate(generators)
        for g, h in enumerate(group.table[:, s].tolist())
        if group.inverses[s] != s or g < h
    }
    joined = [frozenset((g, h)) for g, h, _ in edges]
    for g, h, kind in sorted(edges, key=lambda edge: (edge[2], edge[0])):
        # Several generators between the same elements: bend them apart.
        count = joined.count(frozenset((g, h)))
        rank = sum((other, k) < (g, kind) for other, t, k in edges if {other, t} == {g, h})
        offset = (rank - (count - 1) / 2) * 1.5 * (1 if g < h else -1)
        offsets = (0.0, 0.9, -0.9, 1.8, -1.8) if count == 1 else (offset,)
        curve, _ = bend(diagram, g, h, offsets, [], room=0.3)
        is_line = group.inverses[generators[kind]] == generators[kind]
        shaft, head = (curve, None) if is_line else cut_head(curve, *HEAD)
        diagram.strokes.append(Stroke(shaft, head, kind))
    points = np.concatenate([np.empty((0, 2)), *(stroke.points for stroke in diagram.strokes)])
    for element, text in enumerate(labels or ()):
        diagram.labels.append(beside(diagram, element, text, points, LABEL_SIZE))
    return diagram


def add_legend(
    diagram: Diagram,
    group: FiniteGroup,
    generators: tuple[int, ...],
    names: Sequence[str],
    size: float = 1.0,
) -> None:
    """Put a sample of every stroke and its name below a drawing, in centred rows.

    Parameters
    ----------
    diagram : Diagram
        Changed in place: strokes and labels are appended.
    group : FiniteGroup
    generators : tuple of int
    names : sequence of str
        Of the generators.
    size : float
        Of letters.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> diagram = cayley_diagram(cyclic(4), (1,), labels=None)
    >>> add_legend(diagram, cyclic(4), (1,), ["r"])
    >>> len(diagram.strokes), diagram.labels[-1].text
    (5, 'r')
    """
    low, high = diagram.extent()
    line, gap, pad = 2.6 * size, 1.4 * size, 0.4 * size
    rows: list[list[int]] = [[]]
    widths = [line + pad + size * text_size(name)[0] for name in names]
    for kind, width in enumerate(widths):
        used = sum(widths[k] + gap for k in rows[-1])
        if rows[-1] and used + width > high[0] - low[0]:
            rows.append([])
        rows[-1].append(kind)
    y = low[1] - 1.6 * size
    for row in rows:
        total = sum(widths[kind] for kind in row) + gap * (len(row) - 1)
        x = (low[0] + high[0] - total) / 2
        for kind in row:
            points = np.stack([np.linspace(x, x + line, 24), np.full(24, y)], axis=1)
            is_line = group.inverses[generators[kind]] == generators[kind]
            shaft, head = (
                (points, None) if is_line else cut_head(points, size * HEAD[0], size * HEAD[1])
            )
            diagram.strokes.append(Stroke(shaft, head, kind))
            half = size * np.array(text_size(names[kind])) / 2
            center = np.array([x + line + pad + half[0], y])
            diagram.labels.append(Label(names[kind], center, size, half))
            x += widths[kind] + gap
        y -= 1.7 * size


def _are_permutations(group: FiniteGroup) -> bool:
    """Whether elements are tuples of images that multiply as the table says."""
    identity = group.elements[0]
    if not isinstance(identity, tuple) or identity != tuple(range(len(identity))):
        return False
    degree = len(identity)
    for element in group.elements:
        if not isinstance(element, tuple) or sorted(map(repr, element)) != sorted(
            map(repr, range(degree))
        ):
            return False
    images = np.array(group.elements, dtype=np.int64)
    return all(
        np.array_equal(images[group.table[:, s]], images[s][images]) for s in group.generators
    )


def _cycles(permutation: tuple[int, ...]) -> str:
    """Write a permutation by its cycles."""
    seen: set[int] = set()
    text = ""
    for start in range(len(permutation)):
        cycle = []
        while start not in seen:
            seen.add(start)
            cycle.append(str(start))
            start = permutation[start]
        if len(cycle) > 1:
            text += f"({' '.join(cycle)})"
    return text or "e"


def _plain(element: Hashable) -> str:
    if isinstance(element, tuple):
        return f"({', '.join(_plain(part) for part in element)})"
    return str(element)
