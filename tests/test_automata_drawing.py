"""Drawings as geometry: nothing overlaps, nothing is left out, and the same twice."""

import io
import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import networkx as nx
import numpy as np
import pytest
from matplotlib import pyplot as plt

import automata.dfa
from automata.cayley_diagrams import cayley_diagram, element_labels
from automata.cayley_layouts import cayley_layout
from automata.dfa import DFA
from automata.diagrams import dfa_diagram
from automata.drawing import draw_cayley_graph, draw_dfa
from automata.errors import InputError
from automata.groups import alternating, cyclic, dicyclic, dihedral, parse, symmetric
from automata.labels import edge_labels
from automata.layouts import circle, grid, improve, layers, untidiness
from automata.sampling import random_dfa

NAMED = {
    "parity": DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab"),
    "one state": DFA([[0, 0, 0]], accepting=[0], alphabet="abc"),
    "one letter": DFA([[1], [2], [0]]),
    "even a, then b": DFA.from_regex("(aa)*b", "ab"),
    "last but two": DFA.from_regex(".*a..", "ab"),
    "counter": DFA([[(q + 1) % 5, (q - 1) % 5, q] for q in range(5)], 0, [0], "+-0"),
    "factor": DFA.from_regex(".*abab.*", "abc"),
    "flip-flop": DFA([[0, 1, 0], [1, 1, 0]], 0, (), ["keep", "set", "reset"], [0, 1]),
    "S3": DFA([[1, 2], [0, 3], [4, 0], [5, 1], [2, 5], [3, 4]], 0, [0], "st"),
    "unreachable": DFA([[0, 0], [0, 1], [1, 2]], 0, [0]),
    "initial last": DFA([[1, 2], [2, 0], [0, 1]], 2, [0]),
}


def gap_between(first, second):
    return np.hypot(
        *np.clip(np.abs(first.center - second.center) - first.half - second.half, 0, None)
    )


def distance_to_box(point, label):
    return float(np.hypot(*np.clip(np.abs(label.center - point) - label.half, 0, None)))


@pytest.mark.parametrize("name", NAMED)
def test_nothing_overlaps(name):
    dfa = NAMED[name]
    diagram = dfa_diagram(dfa)
    named = edge_labels(dfa)
    assert len(diagram.strokes) == len(named) + 1
    assert len(diagram.labels) == dfa.num_states + len(named)
    texts = sorted(label.text for label in diagram.labels[dfa.num_states :])
    assert texts == sorted(named.values())
    for first, second in itertools.combinations(diagram.nodes, 2):
        assert np.hypot(*(first - second)) > 3
    for label in diagram.labels[: dfa.num_states]:
        assert np.hypot(*label.half) < 0.95
    for label in diagram.labels[dfa.num_states :]:
        assert min(distance_to_box(node, label) for node in diagram.nodes) > 1.05
    for first, second in itertools.combinations(diagram.labels, 2):
        assert gap_between(first, second) > 0.1
    for stroke in diagram.strokes:
        for label in diagram.labels[dfa.num_states :]:
            assert min(distance_to_box(point, label) for point in stroke.points) > 0, label.text
        gaps = np.hypot(*(stroke.points[:, None] - diagram.nodes[None]).transpose(2, 0, 1))
        assert gaps.min() > 0.999
        tip = np.hypot(*(diagram.nodes - stroke.head[0]).T)
        assert tip.min() == pytest.approx(1, abs=0.01)


def test_random_automata_keep_states_free():
    """Where there are too many arrows labels may touch curves, but never states or each other."""
    num_touching = num_labels = 0
    for seed in range(6):
        dfa = random_dfa(4 + seed, 2, seed=seed)
        diagram = dfa_diagram(dfa)
        for stroke in diagram.strokes:
            gaps = np.hypot(*(stroke.points[:, None] - diagram.nodes[None]).transpose(2, 0, 1))
            assert gaps.min() > 0.9
        own = diagram.labels[dfa.num_states :]
        num_labels += len(own)
        for label in own:
            assert min(distance_to_box(node, label) for node in diagram.nodes) > 0.99
        num_touching += sum(gap_between(a, b) == 0 for a, b in itertools.combinations(own, 2))
    assert num_touching <= 0.02 * num_labels


def test_the_same_drawing_twice():
    for dfa in (NAMED["factor"], NAMED["S3"], NAMED["flip-flop"]):
        first, second = dfa_diagram(dfa), dfa_diagram(dfa)
        assert np.array_equal(first.nodes, second.nodes)
        for one, other in zip(first.strokes, second.strokes, strict=True):
            assert np.array_equal(one.points, other.points)
    group = symmetric(4)
    assert np.array_equal(
        cayley_layout(group, group.generators), cayley_layout(group, group.generators)
    )


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_figures_are_written(kind):
    for ax in (
        draw_dfa(NAMED["last but two"]),
        draw_dfa(DFA([[0, 0]], alphabet=["$x$", "a_b"])),
        draw_cayley_graph(dihedral(5), names=["r", "s"]),
        draw_cayley_graph(cyclic(1), []),
    ):
        width, _ = ax.figure.get_size_inches()
        assert width <= 3.3 + 1e-9
        buffer = io.BytesIO()
        ax.figure.savefig(buffer, format=kind)
        assert len(buffer.getvalue()) > 500
        plt.close(ax.figure)


def test_axes_may_be_given():
    figure, axes = plt.subplots(1, 2, figsize=(6, 3))
    assert draw_dfa(NAMED["parity"], axes[0]) is axes[0]
    assert draw_cayley_graph(cyclic(5), ax=axes[1], labels=False) is axes[1]
    assert [text.get_text() for text in axes[0].texts] == ["0", "1", "b", "b", "a", "a"]
    assert [text.get_text() for text in axes[1].texts] == ["1"]
    plt.close(figure)


def test_letters_fit_their_boxes():
    """What is drawn is as large as what the geometry counted on."""
    ax = draw_dfa(NAMED["flip-flop"])
    ax.figure.canvas.draw()
    diagram = dfa_diagram(NAMED["flip-flop"])
    for text, label in zip(ax.texts, diagram.labels, strict=True):
        box = text.get_window_extent().transformed(ax.transData.inverted())
        assert box.width == pytest.approx(2 * label.half[0], rel=0.15)
        assert abs((box.x0 + box.x1) / 2 - label.center[0]) < 0.1
    plt.close(ax.figure)


def test_positions_may_be_given():
    line = np.stack([5.0 * np.arange(5), np.zeros(5)], axis=1)
    diagram = dfa_diagram(NAMED["counter"], line)
    assert np.array_equal(diagram.nodes, line)
    for stroke in diagram.strokes:
        gaps = np.hypot(*(stroke.points[:, None] - line[None]).transpose(2, 0, 1))
        assert gaps.min() > 0.999
    plt.close(draw_dfa(NAMED["parity"], positions=[[0, 0], [4, 0]]).figure)
    for positions, message in [
        ([[0, 0]], "positions has shape"),
        ([[0, 0], [1, 1]], "two positions are 1.41 apart"),
        ([[0, 0], [np.nan, 1]], "finite"),
        ("left", "no numbers"),
        ([[0, 0], [1]], "no numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            draw_dfa(NAMED["parity"], positions=positions)


@pytest.mark.parametrize(
    ("group", "generators"),
    [
        (cyclic(7), None),
        (dihedral(4), None),
        (symmetric(3), None),
        (alternating(4), [(1, 2, 0, 3), (1, 0, 3, 2)]),
        (symmetric(4), [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)]),
        (alternating(5), [(1, 2, 3, 4, 0), (1, 0, 3, 2, 4)]),
    ],
)
def test_planar_cayley_graphs_have_no_crossings(group, generators):
    chosen = group.generators
    if generators is not None:
        chosen = tuple(group.elements.index(element) for element in generators)
    layout = cayley_layout(group, chosen)
    edges = sorted(
        {(min(g, h), max(g, h)) for s in chosen for g, h in enumerate(group.table[:, s].tolist())}
    )
    assert nx.check_planarity(nx.Graph(edges))[0]
    for (a, b), (c, d) in itertools.combinations(edges, 2):
        if len({a, b, c, d}) == 4:
            p, q, r, s = (complex(*layout[i]) for i in (a, b, c, d))
            turns = [
                ((y - x).conjugate() * (z - x)).imag
                for x, y, z in [(p, q, r), (p, q, s), (r, s, p), (r, s, q)]
            ]
            assert turns[0] * turns[1] > 0 or turns[2] * turns[3] > 0


@pytest.mark.parametrize("group", [dicyclic(2), parse("Z3xZ3"), cyclic(12), symmetric(4)])
def test_cayley_diagrams_show_every_product(group):
    diagram = cayley_diagram(group, group.generators, element_labels(group))
    count = sum(
        group.order // 2 if group.inverses[s] == s else group.order for s in group.generators
    )
    assert len(diagram.strokes) == count and len(diagram.labels) == group.order
    for stroke in diagram.strokes:
        if stroke.head is not None:
            generator = group.generators[stroke.kind]
            start = int(np.hypot(*(diagram.nodes - stroke.points[0]).T).argmin())
            end = int(np.hypot(*(diagram.nodes - stroke.head[0]).T).argmin())
            assert group.table[start, generator] == end
    for first, second in itertools.combinations(diagram.nodes, 2):
        assert np.hypot(*(first - second)) > 2 * diagram.radius


def test_element_labels():
    assert element_labels(alternating(4))[:3] == ["e", "(1 2 3)", "(1 3 2)"]
    assert element_labels(parse("Z2xZ2")) == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]


def test_bad_drawings():
    with pytest.raises(InputError, match="61 states: up to 60 are drawn"):
        draw_dfa(DFA([[q] for q in range(61)]))
    with pytest.raises(InputError, match="S6 has order 720: up to 200"):
        draw_cayley_graph(symmetric(6))
    for options, message in [
        ({"generators": [4]}, "do not generate"),
        ({"generators": [0, 1]}, "a generator is 0"),
        ({"generators": [1, 1]}, "repeat one"),
        ({"generators": [8]}, "a generator is 8"),
        ({"names": ["r"]}, "give 2 of them"),
        ({"names": "rs"}, "names are 'rs'"),
        ({"labels": ["e"]}, "give 8 of them"),
    ]:
        with pytest.raises(InputError, match=message):
            draw_cayley_graph(dihedral(4), **options)


def test_layouts():
    for size in range(1, 9):
        places = circle(size)
        assert places.shape == (size, 2) and len(np.unique(places.round(6), axis=0)) == size
    tree = np.array([[1, 2], [3, 4], [5, 6], [3, 3], [4, 4], [5, 5], [6, 6]])
    placed = layers(tree, 0)
    assert placed[:, 0].tolist() == [0, 5, 5, 10, 10, 10, 10]
    edges = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)]
    shuffled = placed[[0, 2, 1, 3, 5, 4, 6]]
    assert untidiness(improve(shuffled, edges, 7), edges) <= untidiness(placed, edges) + 1e-6
    assert untidiness(placed, []) == 0
    assert len(np.unique(grid(np.arange(7), 7).round(6), axis=0)) >= 7
    assert layers(np.array([[0], [1]]), 0)[:, 0].tolist() == [0, 5]


def test_matplotlib_is_imported_lazily():
    code = (
        "import automata.drawing, automata.diagrams, sys; "
        "assert not any(name.split('.')[0] == 'matplotlib' for name in sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(automata.dfa.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
