"""Automata and Cayley graphs on paper, with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from automata.cayley_diagrams import add_legend, cayley_diagram, element_labels
from automata.diagrams import Diagram, dfa_diagram
from automata.errors import InputError
from automata.validation import FloatArray, as_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from automata.dfa import DFA
    from automata.finite_group import FiniteGroup

__all__ = ["MAX_DRAWN_ELEMENTS", "MAX_DRAWN_STATES", "draw_cayley_graph", "draw_dfa"]

LineStyle: TypeAlias = "str | tuple[float, tuple[float, ...]]"

MAX_DRAWN_STATES: Final = 60
MAX_DRAWN_ELEMENTS: Final = 200
MAX_LABELLED_ELEMENTS: Final = 16
LEGEND_POINTS: Final = 8.0
POINTS_PER_RADIUS: Final = 9.5
INK: Final = "#1a1a1a"
MARGIN: Final = 0.25
# Okabe, Ito: "Color universal design", 2008, told apart by all common kinds of colour vision; the
# line styles tell generators apart in grey too.
COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: Final[tuple[LineStyle, ...]] = (
    "-",
    (0, (4, 1.6)),
    (0, (1.2, 1.2)),
    (0, (5, 1.2, 1.2, 1.2)),
)


def draw_dfa(
    dfa: DFA,
    ax: Axes | None = None,
    *,
    positions: ArrayLike | None = None,
    width: float = 3.3,
) -> Axes:
    """Draw an automaton: circles for states, two where words are accepted, arrows for letters.

    Parameters
    ----------
    dfa : DFA
        Up to `MAX_DRAWN_STATES` states.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure that fits the drawing.
    positions : array_like of float, [num_states, 2], optional
        Centres of the states, a radius being 1; by default a circle or layers, whichever is
        tidier.
    width : float
        Most inches that a new figure is wide; 3.3 fits a column.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If there are too many states, or the positions do not fit.

    Notes
    -----
    The same automaton gives the same drawing. The size of letters follows the axes as they are
    when this is called: set the size of the figure before.

    Examples
    --------
    >>> from automata.dfa import DFA
    >>> ax = draw_dfa(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab"))
    >>> ax.figure.savefig("parity.pdf")  # doctest: +SKIP
    """
    if dfa.num_states > MAX_DRAWN_STATES:
        raise InputError(
            f"the automaton has {dfa.num_states} states: up to {MAX_DRAWN_STATES} are drawn; "
            "minimize it, or write it with automata.dot.to_dot for other programs"
        )
    centers = None if positions is None else _read_positions(positions, dfa.num_states)
    diagram = dfa_diagram(dfa, centers)
    ax = _prepare(diagram, ax, width)
    scale = _points_per_unit(ax)
    _draw_strokes(diagram, ax, scale, (INK,), ("-",), thickness=0.09)
    for state, center in enumerate(diagram.nodes):
        for radius in (1.0, 0.8) if dfa.accepting[state] else (1.0,):
            _draw_circle(ax, center, radius, scale, "white")
    _draw_labels(diagram, ax, scale)
    return ax


def draw_cayley_graph(
    group: FiniteGroup,
    generators: Sequence[int] | None = None,
    ax: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
    labels: Sequence[str] | bool | None = None,
    width: float = 3.3,
) -> Axes:
    """Draw the Cayley graph of a group: an arrow of its own colour for every generator.

    Arrows lead from ``g`` to ``product(g, s)``, plain lines stand for generators that are their
    own inverses, the filled dot is the identity, and a legend names the generators.

    Parameters
    ----------
    group : FiniteGroup
        Up to `MAX_DRAWN_ELEMENTS` elements.
    generators : sequence of int, optional
        By default those of the group.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure that fits the drawing.
    names : sequence of str, optional
        Of the generators; by default their cycles or numbers.
    labels : sequence of str, or bool, optional
        Of the elements; by default their cycles or numbers up to 16 elements, none beyond.
    width : float
        Most inches that a new figure is wide; 3.3 fits a column.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If there are too many elements, or generators or labels do not fit.

    Notes
    -----
    As for `draw_dfa`, the same arguments give the same drawing. Layouts:
    `automata.cayley_layouts.cayley_layout`.

    Examples
    --------
    >>> from automata.groups import dihedral
    >>> ax = draw_cayley_graph(dihedral(4), names=["rotation", "reflection"])
    >>> ax.figure.savefig("d4.pdf")  # doctest: +SKIP
    """
    if group.order > MAX_DRAWN_ELEMENTS:
        raise InputError(
            f"{group.name} has order {group.order}: up to {MAX_DRAWN_ELEMENTS} elements are drawn"
        )
    chosen = group.generators if generators is None else generators
    kinds = tuple(as_integer(s, "a generator", 1, group.order - 1) for s in chosen)
    if len(set(kinds)) != len(kinds):
        raise InputError(f"the generators {kinds} repeat one: give distinct ones")
    if len(group.subgroup(kinds)) < group.order:
        raise InputError(f"the generators {kinds} do not generate {group.name}: add some")
    known = element_labels(group)
    names = [known[s] for s in kinds] if names is None else _texts(names, "names", len(kinds))
    shown: Sequence[str] | None = known
    if labels is None or isinstance(labels, bool):
        if not (group.order <= MAX_LABELLED_ELEMENTS if labels is None else labels):
            shown = None
    else:
        shown = _texts(labels, "labels", group.order)
    diagram = cayley_diagram(group, kinds, shown)
    low, high = diagram.extent()
    available = 72 * width if ax is None else _window(ax)[0]
    unit = min(POINTS_PER_RADIUS, available / float(high[0] - low[0] + 2 * MARGIN))
    add_legend(diagram, group, kinds, names, max(1.0, LEGEND_POINTS / unit))
    ax = _prepare(diagram, ax, width)
    scale = _points_per_unit(ax)
    _draw_strokes(diagram, ax, scale, COLORS, STYLES, thickness=0.13)
    for element, center in enumerate(diagram.nodes):
        _draw_circle(ax, center, diagram.radius, scale, INK if element == 0 else "white")
    _draw_labels(diagram, ax, scale)
    return ax


def _texts(texts: Sequence[str], what: str, count: int) -> Sequence[str]:
    if isinstance(texts, str) or len(texts) != count:
        raise InputError(f"{what} are {texts!r}: give {count} of them")
    return [str(text) for text in texts]


def _read_positions(positions: ArrayLike, num_nodes: int) -> FloatArray:
    try:
        centers = np.asarray(positions, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"positions are no numbers: give [{num_nodes}, 2]") from None
    if centers.shape != (num_nodes, 2) or not np.isfinite(centers).all():
        raise InputError(
            f"positions has shape {centers.shape}: give finite numbers, [{num_nodes}, 2]"
        )
    gaps = centers[:, None] - centers[None]
    distance = np.hypot(gaps[..., 0], gaps[..., 1]) + 1e9 * np.eye(num_nodes)
    if num_nodes > 1 and distance.min() < 2.5:
        raise InputError(
            f"two positions are {distance.min():.3g} apart: give at least 2.5 radii between centres"
        )
    return centers


def _prepare(diagram: Diagram, ax: Axes | None, width: float) -> Axes:
    """Make axes of the size of the diagram, or fit the diagram into those given."""
    low, high = diagram.extent()
    low, high = low - MARGIN, high + MARGIN
    span = high - low
    if ax is None:
        from matplotlib import pyplot as plt

        unit = min(POINTS_PER_RADIUS / 72, width / float(span[0]))
        figure = plt.figure(figsize=(unit * float(span[0]), unit * float(span[1])))
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_axis_off()
    return ax


def _points_per_unit(ax: Axes) -> float:
    width, height = _window(ax)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return min(width / (right - left), height / (top - bottom))


def _window(ax: Axes) -> tuple[float, float]:
    """Width and height of axes in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position(original=True)
    width, height = figure.get_size_inches()
    return 72 * float(width) * box.width, 72 * float(height) * box.height


def _draw_strokes(
    diagram: Diagram,
    ax: Axes,
    scale: float,
    colors: Sequence[str],
    styles: Sequence[LineStyle],
    thickness: float,
) -> None:
    from matplotlib.patches import Polygon

    for stroke in diagram.strokes:
        color = colors[stroke.kind % len(colors)]
        ax.plot(
            *stroke.points.T,
            color=color,
            linestyle=styles[stroke.kind % len(styles)],
            linewidth=thickness * scale,
            solid_capstyle="butt",
            zorder=1,
        )
        if stroke.head is not None:
            ax.add_patch(Polygon(stroke.head, closed=True, color=color, linewidth=0, zorder=2))


def _draw_circle(ax: Axes, center: FloatArray, radius: float, scale: float, color: str) -> None:
    from matplotlib.patches import Circle

    middle = float(center[0]), float(center[1])
    line = 0.09 * scale
    ax.add_patch(Circle(middle, radius, facecolor=color, edgecolor=INK, linewidth=line, zorder=3))


def _draw_labels(diagram: Diagram, ax: Axes, scale: float) -> None:
    for label in diagram.labels:
        ax.text(
            float(label.center[0]),
            float(label.center[1]),
            label.text,
            fontsize=label.size * scale,
            ha="center",
            va="center_baseline" if label.text.isdigit() else "center",
            color=INK,
            zorder=4,
            parse_math=False,
        )
