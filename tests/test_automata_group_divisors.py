"""Groups inside automata, permutation groups, names and complexity: sympy, tables, brute force."""

import itertools
import math

import numpy as np
import pytest
from sympy.combinatorics import Permutation
from sympy.combinatorics import PermutationGroup as SympyGroup

from automata.accessible import accessible_from_rank, count_accessible
from automata.dfa import DFA
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.group_names import find_isomorphism, group_name
from automata.groups import from_permutations, parse, symmetric
from automata.image_groups import image_groups
from automata.monoids import (
    complexity,
    group_divisors,
    prime_groups,
    syntactic_monoid,
    transition_monoid,
)
from automata.permutation_group import PermutationGroup
from automata.prime_groups import composition_factors
from automata.sampling import random_dfa


def structures(num_states, num_symbols, step=1):
    for rank in range(0, count_accessible(num_states, num_symbols), step):
        yield accessible_from_rank(rank, num_states, num_symbols)


def cycle(*points, degree):
    images = list(range(degree))
    for point, target in zip(points, (*points[1:], points[0]), strict=True):
        images[point] = target
    return images


def word_problem(group):
    """The automaton that multiplies by generators or the identity, its states the elements."""
    return DFA(group.table[:, [0, *group.generators]], accepting=[0])


def random_groups(count, seed):
    """Groups of several kinds: random, intransitive, by few transpositions, wreath products."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        degree = int(rng.integers(1, 11))
        rows = []
        for _ in range(int(rng.integers(1, 4))):
            row = np.arange(degree)
            half = degree // 2
            if number % 4 == 0:
                row = rng.permutation(degree)
            elif number % 4 == 1:
                row = np.append(rng.permutation(half), half + rng.permutation(degree - half))
            elif number % 4 == 2:
                for _ in range(2):
                    pair = rng.integers(0, degree, 2)
                    row[pair] = row[pair[::-1]]
            else:
                blocks = rng.permutation(half)
                flips = rng.integers(0, 2, half)
                row[: 2 * half : 2] = 2 * blocks + flips
                row[1 : 2 * half : 2] = 2 * blocks + 1 - flips
            rows.append(row.tolist())
        yield degree, rows


def test_permutation_groups_against_sympy():
    for degree, rows in random_groups(160, seed=5):
        ours = PermutationGroup(rows)
        theirs = SympyGroup([Permutation(row) for row in rows])
        assert ours.order == theirs.order(), rows
        assert ours.is_abelian == theirs.is_abelian and ours.is_solvable == theirs.is_solvable
        orders = [group.order for group in ours.derived_series]
        assert orders == [group.order() for group in theirs.derived_series()]
        assert ours.derived_length == (len(orders) - 1 if orders[-1] == 1 else None)
        others = np.array(list(itertools.islice(itertools.permutations(range(degree)), 50)))
        expected = [theirs.contains(Permutation(row)) for row in others.tolist()]
        assert ours.contains(others).tolist() == expected
        assert PermutationGroup(ours.generators, degree) == ours


@pytest.mark.parametrize(
    ("generators", "order"),
    [
        ([cycle(*range(12), degree=12), cycle(0, 1, degree=12)], math.factorial(12)),
        ([cycle(*range(11), degree=11), cycle(0, 1, 2, degree=11)], math.factorial(11) // 2),
        ([cycle(*range(200), degree=200), cycle(3, 4, degree=200)], math.factorial(200)),
        ([cycle(*range(500), degree=500)], 500),
        # M11 and M12 of Mathieu, primitive and multiply transitive, but not giants.
        ([cycle(*range(11), degree=11), [0, 1, 6, 9, 5, 3, 10, 2, 8, 4, 7]], 7920),
        (
            [
                cycle(*range(11), degree=12),
                [0, 1, 6, 9, 5, 3, 10, 2, 8, 4, 7, 11],
                [11, 10, 5, 7, 8, 2, 9, 3, 4, 6, 1, 0],
            ],
            95040,
        ),
        # Z2 wr S16, and S10 x S10 side by side.
        (
            [
                cycle(0, 1, degree=32),
                [(i + 2) % 32 for i in range(32)],
                [2, 3, 0, 1, *range(4, 32)],
            ],
            2**16 * math.factorial(16),
        ),
        (
            [
                cycle(*range(10), degree=20),
                cycle(0, 1, degree=20),
                cycle(*range(10, 20), degree=20),
                cycle(10, 11, degree=20),
            ],
            math.factorial(10) ** 2,
        ),
    ],
)
def test_orders_of_larger_groups(generators, order):
    group = PermutationGroup(generators)
    assert group.order == order
    assert group.is_solvable == (order == 500)
    assert group.contains(generators).all()
    assert PermutationGroup(group.normal_closure(generators).generators).order == order


def test_derived_groups_of_giants():
    group = PermutationGroup([cycle(*range(9), degree=9), cycle(0, 1, degree=9)])
    even = group.derived_subgroup()
    assert group.name == "S9" and even.name == "A9" and even.derived_subgroup() == even
    assert group.derived_length is None
    assert not even.contains([cycle(0, 1, degree=9)])[0] and group.contains([cycle(0, 1, degree=9)])
    many = PermutationGroup([cycle(i, j, degree=9) for i, j in itertools.combinations(range(9), 2)])
    assert many == group and len(many.generators) <= 9 and hash(many) == hash(group)


NAMES = [
    *("Z1", "Z2", "Z12", "Z2xZ6", "Z2xZ2xZ2", "Z3xZ3", "S3", "D4", "Q8", "D5", "D6", "Dic3", "A4"),
    *("S3xZ3", "S4", "A4xZ2", "S3xZ4", "S4xZ2", "S3xS3", "D4xZ2", "A5", "A4xZ5", "S5", "A5xZ2"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_found_again(name):
    group = parse(name)
    order = np.append(0, 1 + np.random.default_rng(1).permutation(group.order - 1))
    place = np.argsort(order)
    shuffled = FiniteGroup(place[group.table[np.ix_(order, order)]])
    assert group_name(shuffled) == name
    image = find_isomorphism(group, shuffled)
    assert image is not None
    assert (image[group.table] == shuffled.table[np.ix_(image, image)]).all()


def test_other_names():
    affine = [[(x + 1) % 7 for x in range(7)], [3 * x % 7 for x in range(7)]]
    assert group_name(from_permutations(affine)) == "F42"
    assert group_name(from_permutations([affine[0], [2 * x % 7 for x in range(7)]])) == "F21"
    fano = [cycle(*range(7), degree=7), [0, 2, 1, 6, 4, 5, 3]]
    simple = PermutationGroup(fano)
    assert simple.order == 168 and group_name(simple.to_finite_group()) == "PSL(2,7)"
    assert group_name(symmetric(6)) is None
    assert find_isomorphism(symmetric(6), symmetric(6)) is not None
    # Same order and class sizes of elements, but not isomorphic: D4 and Q8, two of order 16.
    assert find_isomorphism(parse("D4"), parse("Q8")) is None
    assert find_isomorphism(parse("Z4xZ4"), parse("Q8xZ2")) is None


def test_composition_factors():
    def factors(*rows):
        return composition_factors(PermutationGroup(list(rows)))

    assert factors(cycle(*range(30), degree=30)) == ("Z2", "Z3", "Z5")
    assert factors(cycle(*range(7), degree=7), cycle(0, 1, degree=7)) == ("Z2", "A7")
    assert factors(cycle(*range(7), degree=7), [0, 2, 1, 6, 4, 5, 3]) == ("PSL(2,7)",)
    regular = [parse("A5").table[:, g].tolist() for g in parse("A5").generators]
    assert factors(*regular) == ("A5",)
    # SL(2,5) on the 24 vectors: a perfect group whose centre has order 2.
    vectors = [v for v in itertools.product(range(5), repeat=2) if any(v)]
    shears = [
        [vectors.index(((x + y) % 5, y)) for x, y in vectors],
        [vectors.index((x, (x + y) % 5)) for x, y in vectors],
    ]
    assert PermutationGroup(shears).order == 120 and factors(*shears) == ("Z2", "A5")
    two = [cycle(*p, degree=10) for p in ([0, 1, 2, 3, 4], [0, 1, 2], [5, 6, 7, 8, 9], [5, 6, 7])]
    assert factors(*two) == ("perfect group of order 3600",)
    assert factors(list(range(4))) == ()


@pytest.mark.parametrize("step", [1, 17])
def test_image_groups_against_the_monoid(step):
    """All structures of up to three states, and every 17th of four."""
    sizes = [(1, 2), (2, 2), (2, 3), (3, 2)] if step == 1 else [(4, 2)]
    for num_states, num_symbols in sizes:
        for transitions in structures(num_states, num_symbols, step):
            monoid = transition_monoid(DFA(transitions))
            groups = image_groups(transitions)
            assert monoid.is_aperiodic == all(g.group.order == 1 for g in groups)
            assert monoid.is_quasi_aperiodic == all(g.stable_group.order == 1 for g in groups)
            assert monoid.is_aperiodic == (group_divisors(DFA(transitions)) == ())
            # Every G_P is the maximal subgroup of an idempotent, or a part of one it divides.
            orders = [g.group.order for g in groups]
            for subgroup in monoid.maximal_subgroups:
                assert subgroup.order in orders
            largest = max((s.order for s in monoid.maximal_subgroups), default=1)
            assert max(orders, default=1) <= largest


def test_image_groups_are_what_words_induce():
    """Brute force: collect the permutations of P over all elements of the monoid."""
    for transitions in structures(4, 2, step=97):
        elements = transition_monoid(DFA(transitions)).elements.tolist()
        for found in image_groups(transitions):
            points = list(found.points)
            induced = {
                tuple(points.index(row[p]) for p in points)
                for row in elements
                if {row[p] for p in points} == set(points)
            }
            assert found.group.order == len(induced)
            assert found.group.contains(sorted(induced)).all()


def test_larger_automata_against_their_monoids():
    for seed in range(12):
        dfa = random_dfa(7, 2, seed=seed)
        monoid = transition_monoid(dfa)
        assert monoid.is_aperiodic == (not group_divisors(dfa))
        assert monoid.is_solvable == all(g.is_solvable for g in group_divisors(dfa))
        quasi = all(g.stable_group.order == 1 for g in image_groups(dfa.transitions))
        assert monoid.is_quasi_aperiodic == quasi


@pytest.mark.parametrize("name", ["Z60", "A4xZ5", "A5", "Q8", "F20", "S5"])
def test_word_problems_hold_just_their_group(name):
    affine = [[(x + 1) % 5 for x in range(5)], [2 * x % 5 for x in range(5)]]
    group = from_permutations(affine) if name == "F20" else parse(name)
    (found,) = group_divisors(word_problem(group))
    assert found.name == name and found.order == group.order
    assert isinstance(found, FiniteGroup) and find_isomorphism(group, found) is not None


def test_divisors_of_mixed_automata():
    """S5 acting on five states, with a reset: everything below comes too."""
    transitions = np.array([cycle(*range(5), degree=5), cycle(0, 1, degree=5), [0, 0, 2, 3, 4]]).T
    groups = group_divisors(DFA(transitions))
    assert [g.name for g in groups] == ["S5", "S4", "S3", "Z2"]
    assert prime_groups(DFA(transitions)) == ("Z2", "Z3", "A5")
    assert prime_groups(DFA([[1, 0], [1, 0]])) == ()
    big = np.array([cycle(*range(9), degree=9), cycle(0, 1, degree=9)]).T
    (only,) = group_divisors(DFA(big))
    assert isinstance(only, PermutationGroup) and only.name == "S9"
    assert not only.is_solvable and prime_groups(DFA(big)) == ("Z2", "A9")


def test_a_monoid_far_too_large_to_list():
    """Six states under all maps would be 46,656 elements; sixteen random ones have more."""
    dfa = random_dfa(16, 2, seed=0)
    assert [g.name for g in group_divisors(dfa)][:2] == ["S5", "S4"]
    assert complexity(dfa).label == "NC1-complete"


@pytest.mark.parametrize(
    ("dfa", "label", "condition"),
    [
        (word_problem(parse("Z2")), "ACC0", "ACC0 != NC1"),
        (word_problem(parse("Z60")), "ACC0", "ACC0 != NC1"),
        (word_problem(parse("A4xZ5")), "ACC0", "ACC0 != NC1"),
        (word_problem(parse("A5")), "NC1-complete", "TC0 != NC1"),
        (word_problem(parse("S5")), "NC1-complete", "TC0 != NC1"),
        (word_problem(symmetric(3)), "ACC0", "ACC0 != NC1"),
        (DFA([[1, 0], [1, 0]], accepting=[1]), "AC0", None),
        (DFA([[1, 1], [0, 0]], accepting=[1]), "AC0", None),
        (DFA([[0]]), "AC0", None),
    ],
)
def test_complexity(dfa, label, condition):
    for of in ("states", "language"):
        found = complexity(dfa, of=of)
        assert (found.label, found.conditional_on) == (label, condition)
        assert str(found) == label and found.reason and found.lower_bound


def test_complexity_of_states_and_of_the_language():
    """Whether a letter was seen is easy, although the states also count modulo 2."""
    table = [[1, 2], [0, 3], [3, 2], [2, 3]]
    seen_b = DFA(table, accepting=[2, 3])
    assert complexity(seen_b).label == "ACC0"
    assert complexity(seen_b, of="language").label == "AC0"
    assert syntactic_monoid(seen_b).is_aperiodic
    assert "modulo 2" in complexity(seen_b).reason
    # States that no word reaches do not count, unlike in the monoid.
    unreached = DFA([[0, 0], [2, 1], [1, 2]])
    assert complexity(unreached).label == "AC0" and len(group_divisors(unreached)) == 1
    assert "length alone" in complexity(DFA([[1, 1], [0, 0]])).reason


def test_complexity_agrees_with_the_monoid():
    for transitions in [*structures(3, 2, 2), *structures(4, 2, 101)]:
        monoid = transition_monoid(DFA(transitions))
        assert (complexity(DFA(transitions)).label == "AC0") == monoid.is_quasi_aperiodic


def test_too_many_images_are_refused():
    with pytest.raises(InputError, match="more than 50 image sets: raise max_images"):
        group_divisors(random_dfa(20, 2, seed=1), max_images=50)
    with pytest.raises(InputError, match="max_images is 0"):
        group_divisors(DFA([[0]]), max_images=0)


def test_memory_for_chains_is_refused(monkeypatch):
    monkeypatch.setattr("automata.stabilizer_chain._MAX_CELLS", 100)
    rows = [[1, 0, *range(2, 20)], [(i + 2) % 20 for i in range(20)], [2, 3, 0, 1, *range(4, 20)]]
    with pytest.raises(InputError, match="chain of more than 100 cells"):
        _ = PermutationGroup(rows).order


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PermutationGroup([]), "shape"),
        (lambda: PermutationGroup([[0, 1]], degree=3), "shape"),
        (lambda: PermutationGroup([[0, 0]]), "generator 0 is not a permutation of 0..1"),
        (lambda: PermutationGroup([[0, 1], [1, 2]]), "generator 1 is not"),
        (
            lambda: PermutationGroup(np.zeros((1, 5000), int)),
            "on 5000 points: up to 4096 are handled",
        ),
        (lambda: PermutationGroup([[0, 1]]).contains([0, 1]), "shape"),
        (lambda: PermutationGroup([[0, 1]]).contains([[0, 0]]), "no permutations"),
        (
            lambda: PermutationGroup(
                [cycle(*range(9), degree=9), cycle(0, 1, degree=9)]
            ).to_finite_group(),
            "S9 has order 362880",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()
