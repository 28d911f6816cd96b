"""Matrix, Frobenius and semidirect groups against definitions and known isomorphisms."""

import itertools

import numpy as np
import pytest

from automata.errors import InputError
from automata.groups import (
    alternating,
    cyclic,
    dihedral,
    direct_product,
    frobenius,
    from_matrices,
    from_permutations,
    general_linear,
    parse,
    projective_special_linear,
    semidirect_product,
    special_linear,
    symmetric,
)
from automata.homomorphisms import homomorphism
from automata.subgroups import centre, element_orders, exponent

# order, number of classes, order of the centre, derived length (None: not solvable).
FACTS = {
    "GL(1,7)": (6, 6, 6, 1),
    "GL(2,2)": (6, 3, 1, 2),
    "GL(2,3)": (48, 8, 2, 4),
    "GL(2,5)": (480, 24, 4, None),
    "GL(3,2)": (168, 6, 1, None),
    "SL(2,2)": (6, 3, 1, 2),
    "SL(2,3)": (24, 7, 2, 3),
    "SL(2,5)": (120, 9, 2, None),
    "SL(2,7)": (336, 11, 2, None),
    "PSL(2,3)": (12, 4, 1, 2),
    "PSL(2,5)": (60, 5, 1, None),
    "PSL(2,7)": (168, 6, 1, None),
    "PSL(2,11)": (660, 8, 1, None),
    "PSL(3,2)": (168, 6, 1, None),
    "F6": (6, 3, 1, 2),
    "F20": (20, 5, 1, 2),
    "F21": (21, 5, 1, 2),
    "F42": (42, 7, 1, 2),
    "F55": (55, 7, 1, 2),
}


@pytest.mark.parametrize("name", FACTS)
def test_published_facts(name):
    group = parse(name)
    order, num_classes, centre_order, derived_length = FACTS[name]
    assert (group.name, group.order) == (name, order)
    assert len(group.conjugacy_classes) == num_classes
    assert len(centre(group)) == centre_order
    assert group.derived_length == derived_length


@pytest.mark.parametrize(
    ("n", "p", "determinants"), [(2, 2, {1}), (2, 3, {1}), (2, 5, {1}), (3, 2, {1}), (2, 3, {1, 2})]
)
def test_elements_are_all_matrices_of_the_determinants(n, p, determinants):
    group = (special_linear if determinants == {1} else general_linear)(n, p)
    everything = itertools.product(itertools.product(range(p), repeat=n), repeat=n)
    expected = {m for m in everything if round(np.linalg.det(np.array(m))) % p in determinants}
    assert set(group.elements) == expected
    assert group.elements[1:] == tuple(sorted(set(group.elements) - {group.elements[0]}))


@pytest.mark.parametrize("name", ["SL(2,3)", "GL(2,3)", "SL(2,5)", "PSL(2,7)", "SL(3,2)"])
def test_the_table_is_matrix_multiplication(name):
    """Rows first: a row vector meets p first, then q."""
    group = parse(name)
    p = int(name[-2])
    matrices = np.array(group.elements)
    assert (matrices[0] == np.eye(len(matrices[0]))).all()
    products = np.einsum("pij,qjk->pqik", matrices, matrices) % p
    found = matrices[group.table]
    same = (found == products).all(axis=(2, 3))
    if name.startswith("PSL"):
        same |= (found == -products % p).all(axis=(2, 3))
    assert same.all()


def sends_generators_isomorphically(source, target, images):
    """Whether images of the generators define a homomorphism that is one to one and onto."""
    extended = homomorphism(source, target, images)
    return source.order == target.order and len(set(extended.tolist())) == target.order


def are_isomorphic(source, target):
    """Try all images of the generators that have the right orders."""
    orders = element_orders(target)
    candidates = [
        np.flatnonzero(orders == source.element_order(g)).tolist() for g in source.generators
    ]
    for images in itertools.product(*candidates):
        try:
            if sends_generators_isomorphically(source, target, images):
                return True
        except InputError:
            continue
    return False


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SL(2,2)", "S3"),
        ("F10", "D5"),
        ("PSL(2,2)", "S3"),
        ("PSL(2,3)", "A4"),
        ("PSL(2,5)", "A5"),
        ("PSL(2,7)", "SL(3,2)"),
        ("GL(1,11)", "Z10"),
    ],
)
def test_exceptional_isomorphisms(left, right):
    assert are_isomorphic(parse(left), parse(right))
    assert not are_isomorphic(parse("Dic3"), parse("D6"))


def test_special_linear_groups_are_covers_with_one_involution():
    for p in (3, 5, 7):
        group = special_linear(2, p)
        involutions = np.flatnonzero(element_orders(group) == 2)
        assert [group.elements[i] for i in involutions] == [((p - 1, 0), (0, p - 1))]
        assert group.generators == tuple(
            group.elements.index(m) for m in (((1, 1), (0, 1)), ((0, 1), (p - 1, 0)))
        )


def test_from_matrices():
    quaternion = from_matrices([[[0, 1], [-1, 0]], [[1, 1], [1, -1]]], 3, name="Q")
    assert quaternion.name == "Q" and quaternion.order == 8
    assert sorted(element_orders(quaternion).tolist()) == [1, 2, 4, 4, 4, 4, 4, 4]
    klein = from_matrices([[[0, 1], [-1, 0]], [[1, 1], [1, -1]]], 3, projective=True)
    assert klein.order == 4 and klein.is_abelian
    assert all(next(e for e in np.array(m).ravel() if e) == 1 for m in klein.elements)
    projective = from_matrices(
        [[[1, 1], [0, 1]], [[0, 1], [1, 0]], [[2, 0], [0, 1]]], 5, projective=True
    )
    assert projective.order == 120 and are_isomorphic(projective, symmetric(5))
    assert from_matrices([[[1, 0], [0, 1]]], 2).order == 1
    assert from_matrices([[[8]], [[1]]], 7).order == 1


@pytest.mark.parametrize(("p", "m"), [(3, 2), (5, 2), (5, 4), (7, 3), (7, 6), (13, 4), (11, 10)])
def test_frobenius_groups_are_affine_maps(p, m):
    group = frobenius(p, m)
    assert group.order == p * m
    factors = {a for a in range(1, p) if pow(a, m, p) == 1}
    expected = {tuple((a * x + b) % p for x in range(p)) for a in factors for b in range(p)}
    assert set(group.elements) == expected
    fixing = [sum(image == point for point, image in enumerate(e)) for e in group.elements[1:]]
    assert max(fixing) == 1


def test_semidirect_product_with_trivial_action_is_direct():
    left, right = symmetric(3), cyclic(4)
    trivial = semidirect_product(left, right, [np.arange(6)])
    direct = direct_product(left, right)
    assert trivial.elements == direct.elements and (trivial.table == direct.table).all()
    assert trivial.name == "S3:Z4"


def test_semidirect_products_of_cyclic_groups():
    inversion = [-k % 6 for k in range(6)]
    assert are_isomorphic(semidirect_product(cyclic(6), cyclic(2), [inversion]), dihedral(6))
    doubling = [2 * k % 5 for k in range(5)]
    assert are_isomorphic(semidirect_product(cyclic(5), cyclic(4), [doubling]), frobenius(5, 4))
    semidihedral = semidirect_product(
        cyclic(8), cyclic(2), [[3 * k % 8 for k in range(8)]], name="SD16"
    )
    assert semidihedral.name == "SD16" and exponent(semidihedral) == 8
    assert sorted(element_orders(semidihedral).tolist()) == [1] + [2] * 5 + [4] * 6 + [8] * 4


def test_the_action_is_conjugation_from_the_right():
    """(1, h)**-1 (n, 1) (1, h) = (action of h on n, 1), and actions compose as words do."""
    klein = direct_product(cyclic(2), cyclic(2))
    acting = symmetric(3)
    swap, turn = [0, 2, 1, 3], [0, 2, 3, 1]
    group = semidirect_product(klein, acting, [swap, turn])
    assert are_isomorphic(group, symmetric(4))
    for generator, images in zip(acting.generators, (swap, turn), strict=True):
        h = group.elements.index((klein.elements[0], acting.elements[generator]))
        for n in range(4):
            inner = group.elements.index((klein.elements[n], acting.elements[0]))
            moved = group.table[group.table[group.inverses[h], inner], h]
            assert group.elements[moved] == (klein.elements[images[n]], acting.elements[0])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([], "0 automorphisms: give one for every generator"),
        ([[0, 2, 1, 3, 4]], "no automorphism|define no homomorphism"),
        ([[0, 1, 1, 3, 4]], "each element once"),
        ([[0, 1, 2]], "images of its 5 elements"),
        ([[0, 2, 4, 1, 3]], "do not obey the relations of Z2"),
        ([[1, 2, 3, 4, 0]], "no automorphism"),
    ],
)
def test_actions_that_are_none(action, message):
    with pytest.raises(InputError, match=message):
        semidirect_product(cyclic(5), cyclic(2), action)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SL(2,9)", "field of SL.* is 9: give a prime, such as 7"),
        ("PSL(2,1)", "field of PSL.* is 1: give an integer from 2"),
        ("PSL(2,23)", r"PSL\(2,23\) has order 6072: tables are kept up to order 5040"),
        ("SL(3,7)", "has order 5630688"),
        ("GL(9,11)", r"more than 10\*\*84 elements"),
        ("SL(999,7)", "more than"),
        ("SL(2,999983)", "more than"),
        ("GL(0,3)", r"size of the matrices of GL\(n, p\) is 0"),
        ("F12", "'f12' in group 'F12' is no group: Frobenius"),
        ("F5", "'f5' in group 'F5' is no group"),
        ("F999999", "F999999 has order"),
        ("PLS(2,7)", r"did you mean PSL\(2,7\)\?"),
        ("Dci3xS3", r"did you mean Dic3\?"),
        ("SL(2)", "'sl.2.' in group"),
        ("SL(2,5", "is no group"),
        ("S(2,5)", r"did you mean SL\(2,5\)\?"),
    ],
)
def test_names_that_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("matrices", "modulus", "message"),
    [
        ([[[1, 1], [1, 1]]], 3, "matrix 0 is singular modulo 3"),
        ([[[1, 0], [0, 1]], [[3, 0], [0, 1]]], 3, "matrix 1 is singular"),
        ([[[1, 0]]], 3, "shape"),
        ([[[1]], [[1, 0], [0, 1]]], 3, "matrix 1 has shape"),
        ([], 3, "at least one matrix"),
        ([5], 3, "at least one matrix"),
        ([[[1.5]]], 3, "float64"),
        ([[[2]]], 4, "the modulus is 4: give a prime, such as 3"),
        ([np.eye(65, dtype=int)], 3, "size of the matrices is 65"),
        ([[[1, 1], [0, 1]], [[1, 0], [1, 1]]], 23, "kept up to order 5040"),
    ],
)
def test_bad_matrices(matrices, modulus, message):
    with pytest.raises(InputError, match=message):
        from_matrices(matrices, modulus)


def test_frobenius_refuses():
    with pytest.raises(InputError, match="give a divisor of 6"):
        frobenius(7, 4)
    with pytest.raises(InputError, match="is 9: give a prime"):
        frobenius(9, 2)
    with pytest.raises(InputError, match="has order"):
        frobenius(73, 72)
    with pytest.raises(InputError, match="kept up to"):
        semidirect_product(symmetric(6), alternating(5), [])
    assert frobenius(71, 7).order == 497


def test_matrix_groups_parse_with_powers_and_factors():
    assert parse("SL(2,3)xZ2").name == "SL(2,3)xZ2"
    assert parse("sl( 2, 3 )^2").order == 576
    assert parse("F20 x A4") == direct_product(frobenius(5, 4), alternating(4))
    assert projective_special_linear(2, 7) == parse("psl(2,7)")
    assert from_permutations([(1, 0)]).order == 2
