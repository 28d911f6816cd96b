"""Names of representations: kernels, automorphisms, double covers, exact constructions."""

import itertools

import numpy as np
import pytest
import torch

from automata.automorphisms import class_automorphisms
from automata.characters import real_irreps
from automata.groups import alternating, cyclic, parse, symmetric
from automata.homomorphisms import homomorphism, quotient
from automata.isomorphisms import find_isomorphism, isomorphisms
from automata.tasks import get_task
from statetrack.analysis import extract_transitions, match_representation
from statetrack.analysis.intertwiners import intertwiner
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.named_representations import name_representation
from statetrack.models.constructions import group_by_matrices, group_by_reflections, parity_by_sign
from tests.representation_cases import only


@pytest.mark.parametrize(
    ("name", "irrep", "kernel_order", "quotient", "known"),
    [
        ("S4", 1, 12, "Z2", "sign"),
        ("S4", 2, 4, "S3", "symmetries of a 3-gon"),
        ("S4", 3, 1, "S4", "symmetries of a tetrahedron"),
        ("S4", 4, 1, "S4", "rotations of a cube"),
        ("A5", 1, 1, "A5", "rotations of an icosahedron"),
        ("Z6", 1, 1, "Z6", "rotations of a 6-gon"),
        ("Q8", 4, 1, "Q8", "unit quaternions"),
    ],
)
def test_kernels_and_names(name, irrep, kernel_order, quotient, known):
    group = parse(name)
    head = only(real_irreps(group)[irrep].matrices, group)
    assert (len(head.kernel), head.quotient, head.name) == (kernel_order, quotient, known)
    inside = [
        g
        for g in range(group.order)
        if np.allclose(real_irreps(group)[irrep][g], np.eye(head.dimension))
    ]
    assert list(head.kernel) == inside
    assert head.verdict == ("faithful" if kernel_order == 1 else f"sees {quotient}")
    frame = match_representation(real_irreps(group)[irrep].matrices, group).to_frame()
    assert frame.loc[0, "kernel_order"] == kernel_order


def test_the_standard_representation_by_name():
    group = symmetric(5)
    points = np.eye(5)[np.array(group.elements)]
    assert only(points, group).name == "standard"
    signs = np.linalg.det(points)[:, None, None]
    assert only(points * signs, group).formula.count("4R") == 1
    assert only(points * signs, group).name != "standard"


@pytest.mark.parametrize(("name", "parts"), [("S5", "5Ra"), ("A5", "5R"), ("S6", "9Ra")])
def test_permutations_of_pairs_of_points_by_name(name, parts):
    """The matrices of all pairs: a trivial part, the standard one, and what has its own name."""
    group = parse(name)
    images = np.array(group.elements)
    pairs = list(itertools.combinations(range(images.shape[1]), 2))
    matrices = np.zeros((group.order, len(pairs), len(pairs)))
    for element, image in enumerate(images):
        for row, (first, second) in enumerate(pairs):
            moved = tuple(sorted((image[first], image[second])))
            matrices[element, row, pairs.index(moved)] = 1
    irreps = RealIrreps.of(group)
    found = np.rint(irreps.multiplicities(matrices)).astype(int)
    own = int(np.flatnonzero(found)[-1])
    assert irreps.labels[own] == parts
    alone = np.eye(len(found), dtype=int)[own]
    assert name_representation(irreps, alone).name == "pairs of points"
    assert name_representation(irreps, found - alone).name == "standard"


def test_outer_automorphisms_relate_the_two_icosahedra():
    group = alternating(5)
    first, second = real_irreps(group)[1].matrices, real_irreps(group)[2].matrices
    one, other = only(first, group), only(second, group)
    assert one.name == other.name == "rotations of an icosahedron"
    assert one.automorphism is None
    # Relabelled by it, the first has the characters of the second.
    moved = homomorphism(group, group, other.automorphism)
    np.testing.assert_allclose(
        np.trace(first[moved], axis1=1, axis2=2), np.trace(second, axis1=1, axis2=2), atol=1e-9
    )
    basis = intertwiner(second, first[moved])
    np.testing.assert_allclose(basis @ second @ basis.T, first[moved], atol=1e-9)


def test_automorphism_counts_against_the_literature():
    """|Aut(Z2^3)| = |GL(3,2)| = 168, |Aut(Q8)| = 24, |Out(S6)| = 2, |Out(S5)| = 1."""
    cube = parse("Z2^3")
    assert sum(1 for _ in isomorphisms(cube, cube)) == 168
    assert len(class_automorphisms(cube)) == 168
    assert len(class_automorphisms(parse("Q8"))) == 6
    assert len(class_automorphisms(parse("S6"))) == 2
    assert len(class_automorphisms(parse("S5"))) == 1


@pytest.mark.parametrize(
    ("name", "base", "splits"),
    [("Z4", "Z2", False), ("Q8", "Z2xZ2", False), ("SL(2,3)", "A4", False),
     ("SL(2,5)", "A5", False), ("Z2xA4", "A4", True), ("A5xZ2", "A5", True), ("Z6", "Z3", True)],
)  # fmt: skip
def test_double_covers_are_named(name, base, splits):
    """Tokens of a group act by lifts in a double cover; the decoder would forget the sign."""
    above, group = parse(name), parse(base)
    irreps = real_irreps(above)
    centre = [
        g
        for g in range(1, above.order)
        if above.element_order(g) == 2 and (above.table[g] == above.table[:, g]).all()
    ]
    faithful, minus = next(
        (irrep, g)
        for irrep in irreps
        for g in centre
        if np.allclose(irrep[g], -np.eye(irrep.dimension))
        and sum(np.allclose(m, np.eye(irrep.dimension)) for m in irrep.matrices) == 1
    )
    # The lift of larger order, so that no choice of lifts multiplies like the group by itself.
    orders = np.array([above.element_order(g) for g in range(above.order)])
    pairs = np.stack([np.arange(above.order), above.table[:, minus]])
    larger = np.where(orders[pairs[0]] >= orders[pairs[1]], pairs[0], pairs[1])
    first = np.unique(pairs.min(axis=0))
    below = np.where(first == 0, 0, larger[first])
    divided = quotient(above, [0, minus])
    to_group = find_isomorphism(divided.group, group)
    tokens = to_group[divided.projection[below]]
    bent = np.linalg.qr(np.random.default_rng(0).normal(size=(faithful.dimension,) * 2))[0]
    bent = bent * np.geomspace(1, 30, len(bent))
    hidden = np.linalg.inv(bent) @ faithful.matrices[below] @ bent
    head = only(hidden, group, tokens, basis=None)
    assert head.cover is not None
    assert head.cover.degree == 2
    assert find_isomorphism(head.cover.group, above) is not None
    assert head.cover.splits is splits
    assert head.verdict == "faithful"
    assert head.score > 1 - 1e-9
    assert head.cover.minus_one is not None
    for g in head.cover.prolonged:
        lifts = np.flatnonzero(head.cover.projection == g)
        order = group.element_order(g)
        for lift in lifts:
            power = np.linalg.matrix_power(head.matrices[lift], order)
            np.testing.assert_allclose(power, -np.eye(head.dimension), atol=1e-8)
    if splits:
        assert head.cover.prolonged == ()


def test_exact_constructions_are_recognised():
    s4 = symmetric(4)
    task = get_task("word_problem", group="S4", generators="all")
    cube = match_representation(extract_transitions(group_by_reflections(s4), task), s4)
    assert cube.heads[0].name == "rotations of a cube"
    assert cube.heads[0].verdict == "faithful"
    assert cube.heads[0].score > 1 - 1e-6
    a5 = alternating(5)
    task = get_task("word_problem", group="A5", generators="all")
    mru = match_representation(extract_transitions(group_by_matrices(a5), task), a5)
    assert mru.heads[0].name == "rotations of an icosahedron"
    parity = match_representation(
        extract_transitions(parity_by_sign(), get_task("parity")), cyclic(2), [0, 1]
    )
    assert [head.name for head in parity.heads] == ["sign"]


def test_a5_by_reflections_up_to_sign_is_the_cover_h3():
    a5 = alternating(5)
    halves = [g for g in range(60) if a5.element_order(g) == 2]
    letters = next(
        list(three) for three in itertools.combinations(halves, 3) if len(a5.subgroup(three)) == 60
    )
    model = group_by_reflections(a5, letters, matrices=real_irreps(a5)[1].matrices, up_to_sign=True)
    tokens = torch.arange(3)[None]
    matrices = model.transitions(tokens)[0][0, :, 0].detach().double().numpy()
    head = only(matrices, a5, letters)
    assert head.cover is not None
    assert head.cover.group.order == 120
    assert head.cover.splits is True
    assert head.verdict == "faithful"
    assert head.name == "symmetries of an icosahedron"
