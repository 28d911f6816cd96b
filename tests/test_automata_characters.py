"""Character tables and real representations: their defining relations, and published tables."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup

from automata.characters import character_table, real_characters, real_irreps
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.groups import direct_product, from_permutations, parse, semidirect_product
from automata.homomorphisms import quotient
from automata.normal_subgroups import normal_subgroups
from automata.real_characters import fixed_dimensions
from automata.subgroups import element_orders

few = settings(derandomize=True, max_examples=30, deadline=None)

# Number of classes, complex degrees with their multiplicities, real irreducible representations as
# dimension and type with their multiplicities: computed with GAP 4.12, and in the literature.
FACTS = {
    "Z2": ("1^2", "1R^2"),
    "Z5": ("1^5", "1R 2C^2"),
    "Z6": ("1^6", "1R^2 2C^2"),
    "Z2^2": ("1^4", "1R^4"),
    "S3": ("1^2 2", "1R^2 2R"),
    "D4": ("1^4 2", "1R^4 2R"),
    "Q8": ("1^4 2", "1R^4 4H"),
    "D5": ("1^2 2^2", "1R^2 2R^2"),
    "D6": ("1^4 2^2", "1R^4 2R^2"),
    "Dic3": ("1^4 2^2", "1R^2 2C 2R 4H"),
    "A4": ("1^3 3", "1R 2C 3R"),
    "S4": ("1^2 2 3^2", "1R^2 2R 3R^2"),
    "SL(2,3)": ("1^3 2^3 3", "1R 2C 3R 4H 4C"),
    "A4xZ5": ("1^15 3^5", "1R 2C^7 3R 6C^2"),
    "Z60": ("1^60", "1R^2 2C^29"),
    "F20": ("1^4 4", "1R^2 2C 4R"),
    "A5": ("1 3^2 4 5", "1R 3R^2 4R 5R"),
    "SL(2,5)": ("1 2^2 3^2 4^2 5 6", "1R 3R^2 4R 5R 4H^2 8H 12H"),
    "S5": ("1^2 4^2 5^2 6", "1R^2 4R^2 5R^2 6R"),
    "A6": ("1 5^2 8^2 9 10", "1R 5R^2 8R^2 9R 10R"),
    "S6": ("1^2 5^4 9^2 10^2 16", "1R^2 5R^4 9R^2 10R^2 16R"),
    "PSL(2,7)": ("1 3^2 6 7 8", "1R 6C 6R 7R 8R"),
    "GL(2,3)": ("1^2 2^3 3^2 4", "1R^2 2R 4C 3R^2 4R"),
    "PSL(2,11)": ("1 5^2 10^2 11 12^2", "1R 10C 10R^2 11R 12R^2"),
    "A7": ("1 6 10^2 14^2 15 21 35", "1R 6R 20C 14R^2 15R 21R 35R"),
}
MORE = ["Z1", "Z7", "Z2xZ4", "D8", "Q16", "S3xS3", "Q8xZ3", "SL(2,7)", "F21", "F42", "A5xZ2"]


def listed(text):
    """Read ``"1^2 3"`` as ["1", "1", "3"], sorted."""
    parts = [part.partition("^") for part in text.split()]
    return sorted(itertools.chain(*([name] * int(power or 1) for name, _, power in parts)))


@pytest.mark.parametrize("name", FACTS)
def test_published_degrees_and_types(name):
    table = character_table(parse(name))
    degrees, reals = FACTS[name]
    assert sorted(map(str, table.degrees.tolist())) == listed(degrees)
    assert sorted(f"{r.dimension}{r.type}" for r in real_characters(table)) == listed(reals)


@pytest.mark.parametrize("name", [*FACTS, *MORE])
def test_relations_that_every_table_obeys(name):
    group = parse(name)
    table = character_table(group)
    values, sizes = table.values, table.class_sizes
    identity = np.eye(len(sizes))
    assert values.shape == (len(sizes), len(sizes))
    assert np.abs((values * sizes) @ values.conj().T / group.order - identity).max() < 1e-12
    columns = values.conj().T @ values * sizes / group.order
    assert np.abs(columns - identity).max() < 1e-12
    assert (table.degrees**2).sum() == group.order and (group.order % table.degrees == 0).all()
    involutions = (element_orders(group) <= 2).sum()
    assert (table.indicators * table.degrees).sum() == involutions
    assert set(table.indicators.tolist()) <= {-1, 0, 1}
    assert (sizes == [len(c) for c in group.conjugacy_classes]).all()
    # Linear characters are those of the quotient by the commutators.
    abelianization = group.order // len(group.derived_series[min(1, len(group.derived_series) - 1)])
    assert (table.degrees == 1).sum() == abelianization
    # Real classes and real characters are equally many.
    inverse = table.class_of[group.inverses[[c[0] for c in group.conjugacy_classes]]]
    assert (inverse == np.arange(len(sizes))).sum() == (table.indicators != 0).sum()
    assert np.abs(values[:, inverse] - values.conj()).max() < 1e-13


@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "PSL(2,7)", "F21", "SL(2,5)", "Q8xZ3"])
def test_central_characters_multiply_as_class_sums_do(name):
    """Products of class sums, counted by brute force."""
    group = parse(name)
    table = character_table(group)
    num_classes = len(table.class_sizes)
    counts = np.zeros((num_classes,) * 3)
    first, second = np.indices(group.table.shape)
    np.add.at(
        counts, (table.class_of[first], table.class_of[second], table.class_of[group.table]), 1
    )
    counts /= table.class_sizes
    central = table.values * table.class_sizes / table.degrees[:, None]
    products = np.einsum("ir,is->irs", central, central)
    assert np.abs(products - np.einsum("rst,it->irs", counts, central)).max() < 1e-9


def test_order_of_irreps():
    """Trivial first, then by degree, then larger values first."""
    for name in ("S5", "Z7", "SL(2,3)", "PSL(2,7)", "Z2^3"):
        table = character_table(parse(name))
        assert (table.values[0] == 1).all()
        assert (np.diff(table.degrees) >= 0).all()
        rows = [[(-v.real, -v.imag) for v in row] for row in np.round(table.values, 9).tolist()]
        keys = list(zip(table.degrees.tolist(), rows, strict=True))
        assert keys == sorted(keys)
    assert character_table(parse("S4")).values.tolist() == [
        [1, 1, 1, 1, 1],
        [1, -1, 1, 1, -1],
        [2, 0, -1, 2, 0],
        [3, 1, 0, -1, -1],
        [3, -1, 0, -1, 1],
    ]


@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "F42", "PSL(2,7)"])
def test_renumbering_elements_permutes_the_table(name):
    group = parse(name)
    table = character_table(group)
    for seed in range(3):
        order = np.append(0, 1 + np.random.default_rng(seed).permutation(group.order - 1))
        renumbered = FiniteGroup(np.argsort(order)[group.table[np.ix_(order, order)]])
        other = character_table(renumbered)
        ours = {tuple(np.round(row, 9)) for row in table.values[:, table.class_of][:, order]}
        theirs = {tuple(np.round(row, 9)) for row in other.values[:, other.class_of]}
        assert ours == theirs


@given(st.lists(st.permutations(range(5)), min_size=1, max_size=3))
@few
def test_subgroups_of_s5(permutations):
    """Fixed points are a character; its parts are as many as sympy's orbits say."""
    group = from_permutations(permutations)
    table = character_table(group)
    fixed = [
        sum(image == point for point, image in enumerate(group.elements[members[0]]))
        for members in group.conjugacy_classes
    ]
    multiplicities = table.multiplicities(fixed)
    assert (multiplicities * table.degrees).sum() == 5
    theirs = PermutationGroup([Permutation(p) for p in permutations])
    moved = {point for orbit in theirs.orbits() for point in orbit}
    assert multiplicities[0] == len(theirs.orbits()) + len(set(range(5)) - moved)
    assert (table.degrees == 1).sum() == theirs.order() // theirs.derived_subgroup().order()


def test_products_and_quotients_have_the_tables_they_must():
    left, right = parse("SL(2,3)"), parse("S3")
    expected = np.kron(character_table(left).values, character_table(right).values)
    table = character_table(direct_product(left, right))
    # The classes of the product are the pairs of classes, in the order of smallest elements.
    assert {tuple(np.round(row, 9)) for row in expected} == {
        tuple(np.round(row, 9)) for row in table.values
    }
    group = parse("GL(2,3)")
    for part in normal_subgroups(group):
        smaller = quotient(group, part)
        inflated = character_table(smaller.group)
        found = inflated.values[:, inflated.class_of[smaller.projection]]
        ours = character_table(group)
        kernels = [set(part) <= set(ours.kernel(row)) for row in range(len(ours.degrees))]
        assert sum(kernels) == len(found)
        assert {tuple(np.round(row, 9)) for row in found} == {
            tuple(np.round(row, 9)) for row in ours.values[kernels][:, ours.class_of]
        }


def test_whole_numbers_are_exact():
    """Symmetric groups have whole tables; roots of unity are exact where they can be."""
    for name in ("S5", "S6", "D4", "Z2^4"):
        values = character_table(parse(name)).values
        assert (values == np.rint(values.real)).all()
    values = character_table(parse("Z4")).values
    assert values.tolist() == [[1, 1, 1, 1], [1, 1j, -1, -1j], [1, -1j, -1, 1j], [1, -1, 1, -1]]
    golden = (1 + math.sqrt(5)) / 2
    assert (
        np.abs(np.sort(character_table(parse("A5")).values[1:3].real.ravel())[-3] - golden) < 1e-15
    )


def test_multiplicities_of_products():
    """3 x 3 of S4 = 1 + 2 + 3 + 3', and values that are no character are refused."""
    table = character_table(parse("S4"))
    assert table.multiplicities(table.values[3] ** 2).tolist() == [1, 0, 1, 1, 1]
    regular = np.where(np.arange(5) == 0, 24, 0)
    assert (table.multiplicities(regular) == table.degrees).all()
    with pytest.raises(InputError, match="no character of S4"):
        table.multiplicities([4, 2, 1, 0, 1])
    with pytest.raises(InputError, match="no character"):
        table.multiplicities(-table.values[1])
    with pytest.raises(InputError, match="one trace for each of the 5 classes"):
        table.multiplicities([1, 2])
    with pytest.raises(InputError, match="number of the representation is 5"):
        table.kernel(5)


def test_tables_are_kept_and_read_only():
    table = character_table(parse("S4"))
    assert character_table(parse("S4")) is table
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 2
    lines = str(table).splitlines()
    assert lines[0].split() == ["size", "1", "6", "8", "3", "6"]
    assert lines[1].split() == ["order", "1", "2", "3", "2", "4"]
    assert lines[6].split() == ["X4", "R", "3", "-1", "0", "-1", "1"]
    assert "-0.5+0.866i" in str(character_table(parse("A4")))


def test_kernels():
    """Also of faithful representations of large cyclic subgroups, whose traces nearly agree."""
    for name in ("Z720", "D720", "Dic180", "S4"):
        table = character_table(parse(name))
        sizes = {len(table.kernel(row)) for row in range(len(table.degrees))}
        assert min(sizes) == 1 and max(sizes) == table.group.order
        for row in range(0, len(table.degrees), 37):
            kernel = np.array(table.kernel(row))
            assert tuple(kernel) == table.group.subgroup(kernel)
            assert (table.values[row, table.class_of[kernel]] == table.degrees[row]).all()


def test_too_many_classes_are_refused():
    with pytest.raises(InputError, match="has 1025 conjugacy classes: character tables"):
        character_table(parse("Z1025"))


@pytest.mark.parametrize("name", [n for n in (*FACTS, *MORE) if n != "A7"])
def test_real_irreps_are_orthogonal_representations(name):
    group = parse(name)
    table = character_table(group)
    irreps = real_irreps(group)
    assert [(i.dimension, i.type) for i in irreps] == [
        (c.dimension, c.type) for c in real_characters(table)
    ]
    pairs = np.random.default_rng(0).integers(0, group.order, (2, 400))
    for irrep in irreps:
        matrices = irrep.matrices
        assert matrices.shape == irrep.shape == (group.order, irrep.dimension, irrep.dimension)
        products = matrices[pairs[0]] @ matrices[pairs[1]]
        assert np.abs(matrices[group.table[pairs[0], pairs[1]]] - products).max() < 1e-12
        for generator in group.generators:
            all_products = matrices @ matrices[generator]
            assert np.abs(matrices[group.table[:, generator]] - all_products).max() < 1e-12
        squares = matrices @ matrices.transpose(0, 2, 1)
        assert np.abs(squares - np.eye(irrep.dimension)).max() < 1e-12
        traces = np.trace(matrices, axis1=1, axis2=2)
        assert np.abs(traces - irrep.character.values[table.class_of]).max() < 1e-12
        # Irreducible over the reals: the norm of the character is the commutant's dimension.
        norm = (traces**2).mean()
        assert abs(norm - {"R": 1, "C": 2, "H": 4}[irrep.type]) < 1e-9


@pytest.mark.parametrize(
    ("name", "row"), [("Q8", 4), ("A4", 1), ("S4", 3), ("SL(2,5)", 1), ("F21", 2)]
)
def test_the_commutant_has_the_dimension_of_its_type(name, row):
    """Matrices that commute with all of the group, by linear algebra."""
    group = parse(name)
    irrep = real_irreps(group, [row])[0]
    eye = np.eye(irrep.dimension)
    equations = [np.kron(irrep[g], eye) - np.kron(eye, irrep[g].T) for g in group.generators]
    singular = np.linalg.svd(np.concatenate(equations), compute_uv=False)
    assert (singular < 1e-10).sum() == {"R": 1, "C": 2, "H": 4}[irrep.type]


def test_irreps_stand_for_their_matrices():
    group = parse("S3")
    plane = real_irreps(group)[2]
    assert np.asarray(plane).shape == (6, 2, 2) and len(plane) == 6
    assert np.asarray(plane, dtype=np.float32).dtype == np.float32
    assert (plane[0] == np.eye(2)).all() and plane[group.table].shape == (6, 6, 2, 2)
    assert np.abs(plane[group.table] - plane[:][:, None] @ plane[:][None]).max() < 1e-15
    assert repr(plane) == "RealIrrep(dimension=2, type='R', order=6)"
    with pytest.raises(ValueError, match="read-only"):
        plane.matrices[0] = 0


def test_irreps_are_the_same_each_time():
    first, second = real_irreps(parse("S5")), real_irreps(parse("S5"))
    for a, b in zip(first, second, strict=True):
        assert a.matrices.tobytes() == b.matrices.tobytes()
    chosen = real_irreps(parse("S5"), [6, 2])
    assert [c.matrices.tobytes() for c in chosen] == [first[k].matrices.tobytes() for k in (6, 2)]


def test_some_representations_of_larger_groups():
    group = parse("A7")
    irrep = real_irreps(group, [1])[0]
    assert irrep.dimension == 6
    products = irrep[group.generators[0]] @ irrep[group.generators[1]]
    assert np.abs(irrep[group.table[group.generators]] - products).max() < 1e-12
    with pytest.raises(InputError, match="matrix entries: at most"):
        real_irreps(group, [7] * 30)
    with pytest.raises(InputError, match="number of a representation is 8"):
        real_irreps(group, [8])


def test_fixed_dimensions_are_ranks():
    for name in ("S4", "SL(2,3)", "F20"):
        group = parse(name)
        table = character_table(group)
        found = fixed_dimensions(table, real_characters(table))
        for row, irrep in enumerate(real_irreps(group)):
            for column, members in enumerate(group.conjugacy_classes):
                away = np.eye(irrep.dimension) - irrep[members[-1]]
                rank = np.linalg.matrix_rank(away, tol=1e-9)
                assert found[row, column] == irrep.dimension - rank


def test_semidihedral_group_has_a_complex_type_plane():
    """SD16 tells itself from D8 and Q16, of the same order, by the types of its 2-d irreps."""
    cyclic, flip = parse("Z8"), parse("Z2")
    group = semidirect_product(cyclic, flip, [[3 * k % 8 for k in range(8)]])
    reals = [real_characters(character_table(g)) for g in (group, parse("D8"), parse("Q16"))]
    assert [sorted(f"{r.dimension}{r.type}" for r in real)[4:] for real in reals] == [
        ["2R", "4C"],
        ["2R", "2R", "2R"],
        ["2R", "4H", "4H"],
    ]
