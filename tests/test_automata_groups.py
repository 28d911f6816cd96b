"""Groups against sympy's permutation groups, published facts, and brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.combinatorics.named_groups import (
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    SymmetricGroup,
)

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.groups import (
    alternating,
    cyclic,
    dicyclic,
    dihedral,
    direct_product,
    from_permutations,
    parse,
    symmetric,
)

few = settings(derandomize=True, max_examples=40, deadline=None)

# order, number of conjugacy classes, derived length (None: not solvable), as in the literature.
FACTS = {
    "Z1": (1, 1, 0),
    "Z2": (2, 2, 1),
    "V4": (4, 4, 1),
    "S3": (6, 3, 2),
    "D4": (8, 5, 2),
    "Q8": (8, 5, 2),
    "D5": (10, 4, 2),
    "D6": (12, 6, 2),
    "A4": (12, 4, 2),
    "S4": (24, 5, 3),
    "A4xZ5": (60, 20, 2),
    "Z60": (60, 60, 1),
    "A5": (60, 5, None),
    "S5": (120, 7, None),
    "A6": (360, 7, None),
    "S6": (720, 11, None),
}


@pytest.mark.parametrize("name", FACTS)
def test_published_facts(name):
    group = parse(name)
    order, num_classes, derived_length = FACTS[name]
    assert group.order == order
    assert len(group.conjugacy_classes) == num_classes
    assert group.derived_length == derived_length
    assert group.is_solvable == (derived_length is not None)
    assert group.is_abelian == (num_classes == order)


def by_regular_action(group):
    """The group as sympy permutations of its own elements, x -> x g."""
    return PermutationGroup(
        [Permutation(group.table[:, g].tolist()) for g in group.generators or (0,)]
    )


@pytest.mark.parametrize("name", ["S3", "S4", "A4", "A5", "D5", "D6", "Q8", "Dic3", "Z12", "S3xZ4"])
def test_structure_agrees_with_sympy(name):
    group = parse(name)
    theirs = by_regular_action(group)
    assert group.order == theirs.order()
    assert group.is_abelian == theirs.is_abelian
    assert group.is_solvable == theirs.is_solvable
    assert [len(s) for s in group.derived_series] == [s.order() for s in theirs.derived_series()]
    sizes = sorted(len(c) for c in theirs.conjugacy_classes())
    assert sorted(len(c) for c in group.conjugacy_classes) == sizes


@pytest.mark.parametrize(
    ("group", "theirs"),
    [
        (symmetric(4), SymmetricGroup(4)),
        (symmetric(5), SymmetricGroup(5)),
        (alternating(4), AlternatingGroup(4)),
        (alternating(5), AlternatingGroup(5)),
        (from_permutations([(1, 2, 3, 4, 0)]), CyclicGroup(5)),
        (from_permutations([(1, 2, 3, 4, 5, 0), (5, 4, 3, 2, 1, 0)]), DihedralGroup(6)),
    ],
)
def test_permutation_products_agree_with_sympy(group, theirs):
    """In sympy (p * q)(i) = q(p(i)) too: p first, then q."""
    assert set(group.elements) == {tuple(p.array_form) for p in theirs.elements}
    picks = np.random.default_rng(0).integers(0, group.order, (300, 2)).tolist()
    for p, q in picks:
        product = Permutation(list(group.elements[p])) * Permutation(list(group.elements[q]))
        assert group.elements[group.table[p, q]] == tuple(product.array_form)
        inverse = ~Permutation(list(group.elements[p]))
        assert group.elements[group.inverses[p]] == tuple(inverse.array_form)


def test_the_order_of_composition_in_words():
    """Swap 0 and 1 first, then turn 0 -> 1 -> 2 -> 0: point 0 ends at 2."""
    group = symmetric(3)
    swap, turn = group.elements.index((1, 0, 2)), group.elements.index((1, 2, 0))
    assert group.elements[group.table[swap, turn]] == (2, 1, 0)
    assert group.elements[group.table[turn, swap]] == (0, 2, 1)
    assert group.product(swap, turn) == group.table[swap, turn]


ALL_NAMES = [*FACTS, "S1", "S2", "A1", "A2", "A3", "D1", "D2", "D3", "Dic1", "Dic5", "Z2^3", "Q16"]


@pytest.mark.parametrize("name", [n for n in ALL_NAMES if n not in ("S6", "A6")])
def test_axioms_by_brute_force(name):
    group = parse(name)
    table, everyone = group.table, np.arange(group.order)
    assert (table[0] == everyone).all() and (table[:, 0] == everyone).all()
    assert (table[everyone, group.inverses] == 0).all()
    assert (table[group.inverses, everyone] == 0).all()
    assert (table[table] == table[everyone[:, None, None], table[None]]).all()
    assert len(group.subgroup(group.generators)) == group.order
    assert len(set(group.elements)) == group.order
    covered = sorted(itertools.chain(*group.conjugacy_classes))
    assert covered == everyone.tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_defining_relations(n):
    """r^n = s^2 = (s r)^2 = 1, and a^2n = 1, x^2 = a^n, x^-1 a x = a^-1."""
    group = dihedral(n)
    rotation, flip = group.elements.index((1 % n, 0)), group.elements.index((0, 1))
    assert group.order == 2 * n and group.element_order(rotation) == n
    assert group.element_order(flip) == 2
    assert group.element_order(int(group.table[flip, rotation])) == 2
    group = dicyclic(n)
    a, x = group.elements.index((1, 0)), group.elements.index((0, 1))
    assert group.order == 4 * n and group.element_order(a) == 2 * n
    assert group.elements[group.table[x, x]] == (n, 0)
    assert group.table[group.table[group.inverses[x], a], x] == group.inverses[a]
    involutions = sum(group.element_order(g) == 2 for g in range(group.order))
    assert involutions == 1


def test_standard_generators_are_the_textbook_ones():
    assert [symmetric(5).elements[g] for g in symmetric(5).generators] == [
        (1, 0, 2, 3, 4),
        (1, 2, 3, 4, 0),
    ]
    for n in range(3, 7):
        assert len(alternating(n).generators) == (1 if n == 3 else 2)
    assert parse("S5xZ2").generators == (48, 66, 1)


def test_direct_product():
    group = direct_product(symmetric(3), cyclic(4))
    assert group.name == "S3xZ4" and group.order == 24
    for p, q in itertools.product(range(24), repeat=2):
        (p1, p2), (q1, q2) = group.elements[p], group.elements[q]
        expected = (tuple(q1[i] for i in p1), (p2 + q2) % 4)
        assert group.elements[group.table[p, q]] == expected
    assert direct_product(cyclic(3)).order == 3


@given(st.lists(st.permutations(range(5)), min_size=1, max_size=3))
@few
def test_generated_groups_agree_with_sympy(permutations):
    group = from_permutations(permutations)
    theirs = PermutationGroup([Permutation(p) for p in permutations])
    assert group.order == theirs.order()
    assert group.is_solvable == theirs.is_solvable
    assert group.elements[0] == (0, 1, 2, 3, 4)
    assert {group.elements[g] for g in group.generators} <= {tuple(p) for p in permutations}


def test_parse_is_lenient_about_writing():
    for text in ("A4xZ5", "a4xz5", "A4_x_Z5", "A4 x C5", "A4×Z5"):
        assert parse(text) == direct_product(alternating(4), cyclic(5))
    assert parse("Z2^2") == parse("Z2xZ2")
    assert parse("Q8") == dicyclic(2) and parse("Q12") == dicyclic(3)
    assert parse("S5").name == "S5" and parse("a4xz5").name == "A4xZ5"


@pytest.mark.parametrize("text", ["", "S", "5", "F5", "S3x", "xS3", "S-3", "S3+Z2", "S3.5", "Z2^0"])
def test_parse_refuses(text):
    with pytest.raises(InputError, match="group"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S8", "S8 has order 40320: tables are kept up to order 5040"),
        ("S999999", "S999999 has order"),
        ("A9", "A9 has order"),
        ("Z5041", "Z5041 has order 5041"),
        ("S6xS6", "S6xS6 has order 518400"),
        ("Z2^99", "1 to 16"),
        ("Q10", "Q10"),
        ("V5", "only V4"),
        ("Z0", "order of a cyclic group is 0"),
        ("S0", "number of points is 0"),
    ],
)
def test_sizes_out_of_reach(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 5000, "S99" * 5000, "Z2^9" + "9" * 5000])
def test_long_names_are_cut_off(text):
    with pytest.raises(InputError) as error:
        parse(text)
    assert len(str(error.value)) < 600


def test_bad_permutations():
    with pytest.raises(InputError, match=r"not a permutation of 0\.\.2"):
        from_permutations([(0, 1, 1)])
    with pytest.raises(InputError, match=r"not a permutation of 0\.\.2"):
        from_permutations([(0, 1, 2), (1, 0)])
    with pytest.raises(InputError, match="at least one"):
        from_permutations([])
    with pytest.raises(InputError, match="at least one"):
        direct_product()
    with pytest.raises(InputError, match="kept up to order"):
        from_permutations([(1, 0, *range(2, 9)), (*range(1, 9), 0)])


# A loop of order 5 (Latin, with identity) that is not associative.
LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (LOOP, "not associative"),
        ([[1, 0], [0, 1]], "element 0 is not the identity"),
        ([[0, 1], [1, 1]], "row 1 of the group table is not a permutation"),
        ([[0, 1, 2], [1, 0, 2], [2, 1, 0]], "row 1|column 1"),
        ([[0, 1]], "shape"),
        ([], "shape"),
        ([[0, 1], [1, 2]], "leads outside 0..1"),
        ([[0.0]], "float64"),
    ],
)
def test_tables_that_are_no_groups(table, message):
    with pytest.raises(InputError, match=message):
        FiniteGroup(table)


def test_user_tables():
    quaternion = dicyclic(2)
    group = FiniteGroup(quaternion.table, elements=list("1ijkabcd"), name="Q")
    assert group.elements[1] == "i" and group.name == "Q"
    assert len(group.subgroup(group.generators)) == 8
    with pytest.raises(InputError, match="generate 4 of 8"):
        FiniteGroup(quaternion.table, generators=[1])
    with pytest.raises(InputError, match="8 distinct elements"):
        FiniteGroup(quaternion.table, elements=[0] * 8)
    with pytest.raises(InputError, match="a generator is 8"):
        FiniteGroup(quaternion.table, generators=[8])


@pytest.mark.parametrize("name", ["S4", "S5", "S3xS3", "A4xZ5", "D6xZ2", "S3xS4"])
def test_renumbering_elements_changes_no_fact(name):
    """Other numbers give other greedy generators, so every closure is taken another way."""
    group = parse(name)
    for seed in range(4):
        order = np.append(0, 1 + np.random.default_rng(seed).permutation(group.order - 1))
        renumbered = FiniteGroup(np.argsort(order)[group.table[np.ix_(order, order)]])
        series = [sorted(order[list(part)].tolist()) for part in renumbered.derived_series]
        assert series == [list(part) for part in group.derived_series]
        assert len(renumbered.conjugacy_classes) == len(group.conjugacy_classes)


def test_derived_subgroup_that_needs_several_rounds_of_conjugation():
    """Flips of five lamps and a turn: the commutators of the two generate all even flips."""
    flip, turn = (1, 0, *range(2, 10)), (*range(2, 10), 0, 1)
    group = from_permutations([flip, turn])
    assert group.order == 2**5 * 5
    first = [0, group.elements.index(flip), group.elements.index(turn)]
    order = np.array(first + [g for g in range(group.order) if g not in first])
    renumbered = FiniteGroup(np.argsort(order)[group.table[np.ix_(order, order)]])
    assert renumbered.generators == (1, 2)
    assert [len(part) for part in renumbered.derived_series] == [160, 16, 1]


def test_equality_and_immutability():
    assert cyclic(2) != symmetric(2) and cyclic(4) == cyclic(4) and cyclic(4) != cyclic(5)
    assert len({symmetric(4), symmetric(4), parse("s4")}) == 1
    with pytest.raises(ValueError, match="read-only"):
        symmetric(3).table[0, 0] = 1
    with pytest.raises(AttributeError):
        symmetric(3).name = "other"
    assert repr(parse("S3")) == "FiniteGroup(S3, order=6)"
    with pytest.raises(InputError, match="numbered from 0 to 5"):
        symmetric(3).product([6], [0])


def test_element_orders_multiply_up():
    """The exponent of S_n is the least common multiple of 1, ..., n."""
    group = symmetric(5)
    assert math.lcm(*(group.element_order(g) for g in range(120))) == 60
