"""Monoids against brute force over all pairs of elements, published counts, and known languages."""

import copy
import itertools
import math

import numpy as np
import pytest

from automata.accessible import accessible_from_rank, count_accessible
from automata.dfa import DFA
from automata.errors import InputError
from automata.monoid import Monoid
from automata.monoids import (
    complexity,
    group_divisors,
    syntactic_monoid,
    transition_monoid,
)
from automata.strong_components import cycle_phases, strong_components

FULL = {n: [[*range(1, n), 0], [1, 0, *range(2, n)], [0, 0, *range(2, n)]] for n in range(2, 7)}


def structures(num_states, num_symbols, step=1):
    for rank in range(0, count_accessible(num_states, num_symbols), step):
        yield accessible_from_rank(rank, num_states, num_symbols)


SMALL = [*structures(1, 2), *structures(2, 2), *structures(2, 3), *structures(3, 2)]
SAMPLE = list(structures(4, 2, step=61))


class BruteForce:
    """All products as tuples, the whole multiplication table, and textbook definitions."""

    def __init__(self, transitions):
        letters = [tuple(column) for column in transitions.T.tolist()]
        identity = tuple(range(len(transitions)))
        self.elements = [identity]
        for element in self.elements:
            for letter in letters:
                product = tuple(letter[q] for q in element)
                if product not in self.elements:
                    self.elements.append(product)
        number = {element: index for index, element in enumerate(self.elements)}
        rows = np.array(self.elements)
        self.table = np.array(
            [[number[tuple(q)] for q in rows[:, p].tolist()] for p in self.elements]
        )
        self.letters = [number[letter] for letter in letters]
        semigroup = set(self.letters)
        while True:
            larger = semigroup | {int(self.table[s, a]) for s in semigroup for a in self.letters}
            if larger == semigroup:
                break
            semigroup = larger
        self.semigroup = np.array(sorted(semigroup))
        self.omega = np.array([self.idempotent_power(x) for x in range(len(self.elements))])
        self.idempotents = [x for x in range(len(self.elements)) if self.table[x, x] == x]

    def idempotent_power(self, x):
        power = x
        while self.table[power, power] != power:
            power = int(self.table[power, x])
        return power

    def holds(self, identity, variables, domain=None):
        """Check an equation for all values of its variables at once."""
        size = len(self.elements)
        domain = np.arange(size) if domain is None else domain
        values = np.meshgrid(*[domain] * variables, indexing="ij")

        def times(*factors):
            product = factors[0]
            for factor in factors[1:]:
                product = self.table[product, factor]
            return product

        left, right = identity(times, self.omega, *values)
        return bool((left == right).all())

    def quasi_aperiodic(self):
        """Walk through the sets of elements that words of length 1, 2, 3, ... give."""
        levels = [frozenset(self.letters)]
        while True:
            new = frozenset(int(self.table[x, a]) for x in levels[-1] for a in self.letters)
            if new in levels:
                break
            levels.append(new)
        # Every set that comes back may be the stable one; none may hold a group element.
        start = levels.index(new)
        period = len(levels) - start
        length = period * math.ceil((start + 1) / period)
        stable = levels[start + (length - 1 - start) % period]
        return all(self.table[self.omega[x], x] == self.omega[x] for x in stable)

    def locally_testable(self):
        for e in self.idempotents:
            if e in self.semigroup:
                local = np.unique(self.table[self.table[e, self.semigroup], e])
                products = self.table[np.ix_(local, local)]
                if (products != products.T).any() or (np.diag(products) != local).any():
                    return False
        return True

    def nilpotent(self):
        s = self.semigroup
        zeros = [z for z in s if (self.table[z, s] == z).all() and (self.table[s, z] == z).all()]
        return len(zeros) == 1 and bool((self.omega[s] == zeros[0]).all())

    def properties(self):
        s = self.semigroup
        right_trivial = self.holds(lambda t, w, x, y: (t(w[t(x, y)], x), w[t(x, y)]), 2)
        left_trivial = self.holds(lambda t, w, x, y: (t(y, w[t(x, y)]), w[t(x, y)]), 2)
        return {
            "is_group": len(self.idempotents) == 1,
            "is_aperiodic": self.holds(lambda t, w, x: (t(w[x], x), w[x]), 1),
            "is_commutative": self.holds(lambda t, w, x, y: (t(x, y), t(y, x)), 2),
            "is_solvable": True,  # Groups on at most four points are.
            "is_band": self.holds(lambda t, w, x: (t(x, x), x), 1),
            "is_r_trivial": right_trivial,
            "is_l_trivial": left_trivial,
            "is_j_trivial": right_trivial and left_trivial,
            "is_da": self.holds(lambda t, w, x, y: (t(w[t(x, y)], x, w[t(x, y)]), w[t(x, y)]), 2),
            "is_synchronising": any(len(set(element)) == 1 for element in self.elements),
            "is_nilpotent": self.nilpotent(),
            "is_definite": self.holds(lambda t, w, x, y: (t(y, w[x]), w[x]), 2, s),
            "is_reverse_definite": self.holds(lambda t, w, x, y: (t(w[x], y), w[x]), 2, s),
            "is_generalised_definite": self.holds(
                lambda t, w, x, y: (t(w[x], y, w[x]), w[x]), 2, s
            ),
            "is_locally_testable": self.locally_testable(),
            "is_quasi_aperiodic": self.quasi_aperiodic(),
        }

    def green(self):
        """Classes as equal sets of multiples."""
        table = self.table
        right = [frozenset(row) for row in table.tolist()]
        left = [frozenset(column) for column in table.T.tolist()]
        both = [frozenset(table[list(ideal)].reshape(-1).tolist()) for ideal in left]
        return {
            "r_class": right,
            "l_class": left,
            "h_class": list(zip(right, left, strict=True)),
            "d_class": both,
        }


def same_partition(numbers, labels):
    return len(set(numbers)) == len(set(labels)) == len(set(zip(numbers, labels, strict=True)))


@pytest.mark.parametrize("tables", [SMALL, SAMPLE], ids=["all small", "sample of 4 states"])
def test_every_property_against_its_identity(tables):
    seen = dict.fromkeys(Monoid([[0]]).properties(), 0)
    for transitions in tables:
        ours = Monoid(transitions.T).properties()
        assert ours == BruteForce(transitions).properties(), transitions
        for name, holds in ours.items():
            seen[name] += holds
    assert tables is SAMPLE or all(count > 0 for count in seen.values()), seen


def test_da_against_its_identity_in_three_variables():
    def identity(times, omega, x, y, z):
        power = omega[times(x, y, z)]
        return times(power, y, power), power

    for transitions in SMALL[::3]:
        assert Monoid(transitions.T).is_da == BruteForce(transitions).holds(identity, 3)


@pytest.mark.parametrize("tables", [SMALL[::2], SAMPLE[::3]], ids=["small", "4 states"])
def test_elements_products_and_green_classes(tables):
    for transitions in tables:
        monoid, brute = Monoid(transitions.T), BruteForce(transitions)
        assert [tuple(row) for row in monoid.elements.tolist()] == brute.elements
        everyone = np.arange(monoid.size)
        assert (monoid.product(everyone[:, None], everyone) == brute.table).all()
        assert (monoid.right_cayley_graph == brute.table[:, brute.letters]).all()
        assert (monoid.left_cayley_graph == brute.table[brute.letters].T).all()
        assert monoid.letters.tolist() == brute.letters
        assert monoid.idempotents.tolist() == brute.idempotents
        assert monoid.ranks.tolist() == [len(set(element)) for element in brute.elements]
        assert np.flatnonzero(monoid.semigroup).tolist() == brute.semigroup.tolist()
        for kind, labels in brute.green().items():
            assert same_partition(getattr(monoid.green, kind).tolist(), labels)
        regular = {
            label for x, label in enumerate(brute.green()["d_class"]) if x in brute.idempotents
        }
        assert monoid.num_regular_d_classes == len(regular)


def test_words_are_shortlex_least():
    for transitions in [*SMALL[::9], *SAMPLE[::20]]:
        monoid = Monoid(transitions.T)
        first_word = {}
        num_letters = transitions.shape[1]
        longest = int(monoid.word_lengths.max())
        for length in range(min(longest, 9) + 1):
            words = np.array(list(itertools.product(range(num_letters), repeat=length)))
            words = words.reshape(num_letters**length, length).astype(np.int64)
            for word, element in zip(words.tolist(), monoid.evaluate(words).tolist(), strict=True):
                first_word.setdefault(element, word)
        for element, word in first_word.items():
            assert monoid.word(element) == word and monoid.word_lengths[element] == len(word)
        assert list(first_word) == list(range(len(first_word)))


def test_counts_of_aperiodic_and_permutation_automata():
    """All accessible structures of 1 to 4 states; permutation automata are counted by M. Hall."""
    counts = []
    for num_states in range(1, 5):
        tables = list(structures(num_states, 2))
        monoids = [Monoid(transitions.T) for transitions in tables]
        counts.append(
            (
                len(tables),
                sum(m.is_aperiodic for m in monoids),
                sum(m.is_group for m in monoids),
                max(m.size for m in monoids),
            )
        )
    assert counts == [(1, 1, 1, 1), (12, 5, 3, 4), (216, 39, 13, 24), (5248, 455, 71, 176)]
    three_letters = [Monoid(transitions.T) for transitions in structures(2, 3)]
    assert sum(m.is_aperiodic for m in three_letters) == 19
    assert sum(m.is_group for m in three_letters) == 7


def test_full_transformation_monoids():
    """OEIS A000312 and A000248; D-classes by rank, L-classes by image, R-classes by kernel."""
    bell = {2: 2, 3: 5, 4: 15, 5: 52, 6: 203}
    idempotents = {2: 3, 3: 10, 4: 41, 5: 196, 6: 1057}
    for n, letters in FULL.items():
        full = Monoid(letters)
        assert full.size == n**n and full.num_idempotents == idempotents[n]
        assert full.num_d_classes == full.num_regular_d_classes == n
        assert full.num_l_classes == 2**n - 1 and full.num_r_classes == bell[n]
        assert [g.order for g in full.maximal_subgroups] == [
            math.factorial(k) for k in range(n, 1, -1)
        ]
        assert full.is_solvable == (n < 5) and not full.is_aperiodic and full.is_synchronising
    assert Monoid(FULL[5]).num_h_classes == 456


@pytest.mark.parametrize(
    ("name", "dfa", "expected"),
    [
        ("ends in a", DFA([[1, 0], [1, 0]], 0, [1]), "is_definite"),
        ("starts with a", DFA([[1, 2], [1, 1], [2, 2]], 0, [1]), "is_reverse_definite"),
        ("just ab", DFA([[1, 3], [3, 2], [3, 3], [3, 3]], 0, [2]), "is_nilpotent"),
        ("has aa", DFA([[1, 0], [2, 0], [2, 2]], 0, [2]), "is_locally_testable"),
        ("has a", DFA([[1, 0], [1, 1]], 0, [1]), "is_j_trivial"),
        ("even length", DFA([[1, 1], [0, 0]], 0, [0]), "is_group"),
        ("first a before b", DFA([[1, 2, 0], [1, 1, 1], [2, 2, 2]], 0, [1]), "is_r_trivial"),
        ("last of a, b is a", DFA([[1, 2, 0], [1, 2, 1], [1, 2, 2]], 0, [1]), "is_l_trivial"),
    ],
)
def test_textbook_languages(name, dfa, expected):
    """What holds for each, by definition of the language."""
    holds = {
        "ends in a": "aperiodic band l_trivial da synchronising definite generalised_definite "
        "locally_testable quasi_aperiodic solvable",
        "starts with a": "aperiodic band r_trivial da reverse_definite generalised_definite "
        "locally_testable quasi_aperiodic solvable",
        "just ab": "aperiodic r_trivial l_trivial j_trivial da synchronising nilpotent definite "
        "reverse_definite generalised_definite locally_testable quasi_aperiodic solvable",
        "has aa": "aperiodic synchronising locally_testable quasi_aperiodic solvable",
        "has a": "aperiodic commutative band r_trivial l_trivial j_trivial da synchronising "
        "locally_testable quasi_aperiodic solvable",
        "even length": "group commutative quasi_aperiodic solvable",
        "first a before b": "aperiodic band r_trivial da quasi_aperiodic solvable",
        "last of a, b is a": "aperiodic band l_trivial da synchronising quasi_aperiodic solvable",
    }[name].split()
    monoid = syntactic_monoid(dfa)
    assert getattr(monoid, expected)
    found = {key.removeprefix("is_") for key, value in monoid.properties().items() if value}
    assert found == set(holds)


def test_mixed_groups_and_lengths():
    """Count a modulo 2 and the length modulo 3: of each length both parities occur."""
    counter = DFA([[(q + 5) % 6, (q + 2) % 6] for q in range(6)])
    assert not transition_monoid(counter).is_quasi_aperiodic
    rotation = DFA([[(q + 1) % 6, (q + 1) % 6] for q in range(6)])
    assert transition_monoid(rotation).is_quasi_aperiodic
    # a-cycles of length 2 and b-cycles of length 3, with a zero: stable only at length 6.
    zero = 6
    table = [[1, 3], [2, zero], [1, zero], [zero, 4], [zero, 5], [zero, 3], [zero, zero]]
    branching = transition_monoid(DFA(table))
    assert branching.is_quasi_aperiodic and not branching.is_aperiodic
    assert BruteForce(np.array(table)).quasi_aperiodic()


def test_letters_that_act_alike_or_not_at_all():
    monoid = Monoid([[0, 1, 2], [1, 2, 0], [0, 1, 2], [1, 2, 0]], alphabet="wxyz")
    assert monoid.size == 3 and monoid.letters.tolist() == [0, 1, 0, 1]
    assert monoid.right_cayley_graph.tolist() == [[0, 1, 0, 1], [1, 2, 1, 2], [2, 0, 2, 0]]
    assert monoid.word(2) == [1, 1] and monoid.evaluate("zwz") == 2
    assert monoid.has_identity_word and monoid.evaluate([]) == 0
    assert monoid.evaluate(np.array([[1, 3], [2, 0]])).tolist() == [2, 0]
    assert not Monoid([[0, 0]]).has_identity_word and Monoid([[0]]).has_identity_word
    one = Monoid([[0], [0]])
    assert one.size == 1 and all(one.properties().values())


def test_order_of_letters_gives_the_order_of_elements():
    letters = [[2, 2, 2], [0, 0, 0], [1, 1, 1]]
    assert Monoid(letters).elements.tolist() == [[0, 1, 2], *letters]


def test_syntactic_monoid_is_of_the_minimal_automaton():
    redundant = DFA([[1, 2], [2, 3], [3, 0], [0, 1]], accepting=[0, 2], alphabet="ab")
    assert transition_monoid(redundant).size == 4
    monoid = syntactic_monoid(redundant)
    assert monoid.size == 2 and monoid.alphabet == ("a", "b")
    moore = DFA([[1, 2], [2, 3], [3, 0], [0, 1]], outputs=[0, 1, 2, 3])
    assert syntactic_monoid(moore).size == 4


def test_long_thin_monoid():
    """One letter, a tail of 500 and a cycle of 499 states: no recursion, words of length 998."""
    chain = Monoid([[*range(1, 999), 500]])
    assert chain.size == 500 + 499 and chain.num_idempotents == 2
    assert chain.num_d_classes == 501 and chain.word(998) == [0] * 998
    assert chain.product(998, 998) == chain.evaluate([0] * 1996)
    assert [g.order for g in chain.maximal_subgroups] == [499]


def test_copies():
    monoid = Monoid(FULL[3], alphabet="abc")
    twin = copy.deepcopy(monoid)
    assert type(twin) is Monoid and twin is not monoid and twin.alphabet == monoid.alphabet
    assert (twin.elements == monoid.elements).all()
    assert twin == monoid and hash(twin) == hash(monoid)
    assert monoid != Monoid(FULL[3]) and monoid != Monoid(FULL[4], alphabet="abc") and monoid != 3
    assert repr(monoid) == "Monoid(size=27, num_symbols=3, num_points=3)"
    for array in (monoid.elements, monoid.idempotents, monoid.right_cayley_graph, monoid.ranks):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_too_many_elements_are_refused_at_once():
    eight = DFA(np.array([[*range(1, 8), 0], [1, 0, *range(2, 8)], [0, 0, *range(2, 8)]]).T)
    with pytest.raises(InputError, match=r"more than 100000 elements: raise max_.*pip install lib"):
        transition_monoid(eight)
    with pytest.raises(InputError, match="more than 26 elements"):
        Monoid(FULL[3], max_elements=26)
    assert Monoid(FULL[3], max_elements=27).size == 27
    assert [group.name for group in group_divisors(eight)] == [
        *("S8", "S7", "S6", "S5", "S4", "S3", "Z2")
    ]


def test_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr("automata.transformation_closure.MAX_CELLS", 60)
    with pytest.raises(InputError, match="pass the limit of 60 cells"):
        Monoid(FULL[3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Monoid([]), "letters has shape"),
        (lambda: Monoid([0, 1]), "letters has shape"),
        (lambda: Monoid([[0, 1], [2, 0]]), "letters lead outside 0..1"),
        (lambda: Monoid([[0, -1]]), "letters lead outside"),
        (lambda: Monoid([[0.5]]), "float64"),
        (lambda: Monoid([[0], [0, 1]]), "ragged"),
        (lambda: Monoid([[0]], alphabet="ab"), "alphabet has 2 symbols"),
        (lambda: Monoid([[0]], max_elements=0), "max_elements is 0"),
        (lambda: Monoid([[0]]).word(1), "element is 1"),
        (lambda: Monoid([[0]]).product(0, 1), "numbered from 0 to 0"),
        (lambda: Monoid([[0]], alphabet="a").evaluate("b"), "not in the alphabet"),
        (lambda: transition_monoid([[0, 1]]), "list is no DFA"),
        (lambda: syntactic_monoid(None), "NoneType is no DFA"),
        (lambda: group_divisors("S5"), "str is no DFA"),
        (lambda: complexity(DFA([[0]]), of="state"), "unknown subject.*did you mean 'states'"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_components_and_phases():
    graph = np.array([[1, -1], [2, 3], [0, -1], [4, -1], [3, -1], [-1, -1]])
    component = strong_components(graph)
    assert component.tolist() == [0, 0, 0, 1, 1, 2]
    phase, period = cycle_phases(graph, component)
    assert period.tolist() == [3, 2, 0] and phase.tolist() == [0, 1, 2, 0, 1, 0]
    ring = np.array([[(i + 1) % 30_000] for i in range(30_000)])
    assert strong_components(ring).max() == 0
