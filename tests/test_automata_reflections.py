"""Faithful representations of least dimension and fewest reflections, published and searched."""

import itertools

import numpy as np
import pytest

from automata.characters import character_table, real_characters, real_irreps
from automata.errors import InputError
from automata.groups import alternating, dihedral, parse, symmetric
from automata.reflections import (
    minimal_faithful_representation,
    minimal_reflections,
    reflection_ranks,
)

MINIMAL_DIMENSIONS = {
    "Z1": 0,
    "Z2": 1,
    "Z3": 2,
    "Z7": 2,
    "Z2^2": 2,
    "S3": 2,
    "D4": 2,
    "Q8": 4,
    "D5": 2,
    "D6": 2,
    "A4": 3,
    "S4": 3,
    "SL(2,3)": 4,
    "A4xZ5": 5,
    "Z60": 2,
    "F20": 4,
    "A5": 3,
    "SL(2,5)": 4,
    "S5": 4,
    "A6": 5,
    "S6": 5,
    "PSL(2,7)": 6,
}


@pytest.mark.parametrize("name", MINIMAL_DIMENSIONS)
def test_published_minimal_faithful_dimensions(name):
    found = minimal_faithful_representation(parse(name))
    assert found.dimension == MINIMAL_DIMENSIONS[name]


ALL = "all"
# letters as elements of the named group, number of reflections, dimension that attains it
REFLECTIONS = [
    ("Z2", None, 1, 1),
    ("Z3", None, 2, 2),
    ("Z12", ALL, 2, 2),
    ("D5", ALL, 2, 2),
    ("D6", ALL, 2, 2),
    ("S3", ALL, 2, 2),
    ("A4", ALL, 2, 3),
    ("S4", ALL, 2, 3),
    ("A5", ALL, 2, 3),
    ("S5", None, 4, 4),
    ("S5", ALL, 4, 4),
    ("Q8", None, 4, 4),
    ("F20", None, 4, 4),
]


@pytest.mark.parametrize(("name", "letters", "number", "dimension"), REFLECTIONS)
def test_published_numbers_of_reflections(name, letters, number, dimension):
    group = parse(name)
    found = minimal_reflections(group, range(group.order) if letters == ALL else None)
    assert (found.num_reflections, found.dimension) == (number, dimension)


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_swaps_are_reflections(n):
    group = symmetric(n)
    swaps = [
        g
        for g, images in enumerate(group.elements)
        if sum(image != point for point, image in enumerate(images)) == 2
    ]
    found = minimal_reflections(group, swaps)
    assert (found.num_reflections, found.dimension) == (1, n - 1)
    assert found.reflections == (1,) * len(swaps)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_flips_of_a_polygon_are_reflections(n):
    group = dihedral(n)
    flips = [g for g, (_, flip) in enumerate(group.elements) if flip]
    assert minimal_reflections(group, flips).num_reflections == 1
    assert minimal_reflections(group).num_reflections == 2


def test_ranks_of_published_classes():
    """S4 has rank 2 everywhere as cube rotations; S5 in its standard representation up to 4."""
    group = symmetric(4)
    cube = reflection_ranks(group)[4]
    assert cube.tolist() == [0, 2, 2, 2, 2]
    assert reflection_ranks(group)[3].max() == 3
    group = symmetric(5)
    table = character_table(group)
    by_order = {}
    for column, order in enumerate(table.class_orders.tolist()):
        by_order.setdefault(order, set()).add(int(reflection_ranks(group)[2, column]))
    assert by_order == {1: {0}, 2: {1, 2}, 3: {2}, 4: {3}, 5: {4}, 6: {3}}
    # No faithful representation of S5 does a 5-cycle with less.
    fives = table.class_orders == 5
    assert reflection_ranks(group)[2:, fives].min() == 4


@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "F20", "A4xZ5", "Q8xZ3", "PSL(2,7)"])
def test_ranks_are_ranks_of_the_matrices(name):
    group = parse(name)
    ranks = reflection_ranks(group)
    for row, irrep in enumerate(real_irreps(group)):
        first = [members[0] for members in group.conjugacy_classes]
        found = np.linalg.matrix_rank(np.eye(irrep.dimension) - irrep[np.array(first)], tol=1e-9)
        assert ranks[row].tolist() == found.tolist()


def by_brute_force(group, letters):
    """Least dimension and fewest reflections, over all sets of irreducible parts."""
    table = character_table(group)
    reals = real_characters(table)
    values = np.stack([real.values for real in reals])[:, table.class_of]
    ranks = reflection_ranks(group)[:, table.class_of[list(letters)]]
    dimensions = values[:, 0]
    best = []
    for size in range(5):
        for parts in itertools.combinations(range(1, len(reals)), size):
            chosen = list(parts)
            trivially = (values[chosen] > dimensions[chosen, None] - 1e-9).all(axis=0)
            if trivially.sum() == 1:
                best.append((dimensions[chosen].sum(), ranks[chosen].sum(axis=0).max(initial=0)))
    fewest = min(rank for _, rank in best)
    return (
        min(dimension for dimension, _ in best),
        fewest,
        min(dimension for dimension, rank in best if rank == fewest),
    )


SEARCHED = (
    "Z6 V4 Z2^3 Z2xZ4 Z4xZ4 Z12 Z11 Z26 D13 F39 S3xZ2 D4xZ2 A4xZ5 Q8xZ3 S3xS3 S3xZ4 D6xZ2 Dic3 "
    "Z3xZ3 A5xZ2 F20xZ2 S4xZ2 GL(2,3) SL(2,3)xZ2"
)


@pytest.mark.parametrize("name", SEARCHED.split())
def test_searches_agree_with_brute_force(name):
    group = parse(name)
    rng = np.random.default_rng(len(name))
    several = [group.generators, range(group.order)]
    several += [rng.integers(0, group.order, 2).tolist() for _ in range(3)]
    for letters in several:
        found = minimal_reflections(group, letters)
        dimension, fewest, its_dimension = by_brute_force(group, letters)
        assert (found.num_reflections, found.dimension) == (fewest, its_dimension)
        assert minimal_faithful_representation(group).dimension == dimension
        assert found.letters == tuple(letters) and len(found.reflections) == len(letters)


@pytest.mark.parametrize("name", ["S4", "A4xZ5", "S3xS3", "Q8xZ3", "Z2^4"])
def test_the_representation_found_is_faithful_and_reflects_so_often(name):
    group = parse(name)
    found = minimal_reflections(group)
    parts = [real_irreps(group)[part] for part in found.irreps]
    blocks = [part.matrices.reshape(group.order, -1) for part in parts]
    rows = np.round(np.concatenate(blocks, axis=1), 6)
    assert len(np.unique(rows, axis=0)) == group.order
    assert sum(part.dimension for part in parts) == found.dimension
    for letter, number in zip(found.letters, found.reflections, strict=True):
        away = [np.eye(part.dimension) - part[letter] for part in parts]
        assert sum(np.linalg.matrix_rank(a, tol=1e-9) for a in away) == number


def test_elementary_abelian_groups():
    """2**r needs r signs: one reflection for each basis vector, r for the sum of all."""
    for r in (1, 3, 6, 8):
        group = parse(f"Z2^{r}")
        assert minimal_faithful_representation(group).dimension == r
        assert minimal_reflections(group).num_reflections == 1
        assert minimal_reflections(group, range(group.order)).num_reflections == r


def test_trivial_group_and_no_letters():
    found = minimal_reflections(parse("Z1"))
    assert (found.dimension, found.num_reflections, found.irreps) == (0, 0, ())
    found = minimal_reflections(alternating(5), [])
    assert (found.dimension, found.num_reflections, found.reflections) == (3, 0, ())


def test_bad_letters():
    with pytest.raises(InputError, match="a letter is 60: give an integer from 0 to 59"):
        minimal_reflections(alternating(5), [60])
