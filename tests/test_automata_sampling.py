"""Random automata: published counts, full enumeration, and chi-square tests with fixed seeds."""

import collections
import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from automata.accessible import _trimmed, accessible_from_rank, count_accessible
from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import cyclic, dicyclic
from automata.minimal_counts import accessible_tables, count_minimal
from automata.philox import PhiloxSource
from automata.regbench import RegBenchLaw, regbench_dfa
from automata.sampling import KINDS, random_dfa


def test_published_counts():
    """Almeida, Moreira, Reis: initially connected automata without final states."""
    two_letters = [1, 12, 216, 5248, 160675, 5931540, 256182290]
    three_letters = [1, 56, 7965, 2128064, 914929500, 576689214816]
    four_letters = [1, 240, 243000, 642959360, 3508208993750]
    for num_symbols, counts in ((2, two_letters), (3, three_letters), (4, four_letters)):
        found = [count_accessible(n, num_symbols) for n in range(1, len(counts) + 1)]
        assert found == counts
    assert [count_accessible(n, 1) for n in range(1, 6)] == [1, 2, 3, 4, 5]


def brute_force(num_states, num_symbols):
    """All accessible structures up to isomorphism, from all complete tables."""
    found = set()
    cells = num_states * num_symbols
    for letters in itertools.product(range(num_states), repeat=cells):
        dfa = DFA(np.array(letters).reshape(num_states, num_symbols)).accessible()
        if dfa.num_states == num_states:
            found.add(dfa)
    return found


@pytest.mark.parametrize(("num_states", "num_symbols"), [(1, 3), (2, 2), (2, 3), (3, 2), (4, 1)])
def test_ranks_enumerate_every_structure_once(num_states, num_symbols):
    count = count_accessible(num_states, num_symbols)
    by_rank = [DFA(accessible_from_rank(r, num_states, num_symbols)) for r in range(count)]
    assert len(set(by_rank)) == count
    assert set(by_rank) == brute_force(num_states, num_symbols)


def chi_square(counts, num_cells, num_draws):
    expected = num_draws / num_cells
    missing = num_cells - len(counts)
    return sum((c - expected) ** 2 for c in counts.values()) / expected + missing * expected


def test_uniform_over_all_216():
    draws = 6480
    counts = collections.Counter(
        random_dfa(3, 2, seed=s).transitions.tobytes() for s in range(draws)
    )
    # 215 degrees of freedom: between the quantiles 1e-4 and 1 - 1e-4.
    assert 144 < chi_square(counts, 216, draws) < 300


def test_trimming_is_uniform_over_all_216():
    """The method for many states, run where everything can be listed."""
    source = PhiloxSource(seed=5, stream=4)
    draws = 4320
    # One batch of trials gives one draw; small batches keep this fast.
    counts = collections.Counter(
        _trimmed(3, 2, source, cells_per_batch=96).tobytes() for _ in range(draws)
    )
    assert 144 < chi_square(counts, 216, draws) < 300


def uniform_p_value(kind, num_states, num_symbols, support, draws):
    """Chi-square of drawn automata against the uniform law on a list of keys."""
    dfas = (random_dfa(num_states, num_symbols, seed=s, kind=kind) for s in range(draws))
    with_accepting = kind == "minimal"
    counts = collections.Counter(
        d.transitions.tobytes() + (d.accepting.tobytes() if with_accepting else b"") for d in dfas
    )
    assert set(counts) <= set(support)
    return chi2.sf(chi_square(counts, len(support), draws), len(support) - 1)


@pytest.mark.parametrize(
    ("num_states", "draws"), [(2, 1200), pytest.param(3, 10280, marks=pytest.mark.slow)]
)
def test_minimal_ones_are_uniform(num_states, draws):
    """Over all 24 and 1028 of them."""
    support = []
    for tables in accessible_tables(num_states, 2):
        for table, mask in itertools.product(tables, range(2**num_states)):
            accepting = (mask >> np.arange(num_states)) & 1 == 1
            if DFA(table, 0, accepting).minimize().num_states == num_states:
                support.append(table.tobytes() + accepting.tobytes())
    assert len(support) == count_minimal(num_states, 2)
    assert uniform_p_value("minimal", num_states, 2, support, draws) > 1e-4


def is_permutation_automaton(table):
    return all(len(set(column)) == len(table) for column in table.T.tolist())


def is_strongly_connected(table):
    return all(DFA(table, q).accessible().num_states == len(table) for q in range(len(table)))


@pytest.mark.parametrize(
    ("kind", "property_of", "num_states", "count"),
    [
        ("permutation", is_permutation_automaton, 3, 13),
        ("permutation", is_permutation_automaton, 4, 71),
        ("strongly_connected", is_strongly_connected, 3, None),
    ],
)
def test_uniform_over_a_class(kind, property_of, num_states, count):
    """Permutation automata are the subgroups of index n of the free group (M. Hall: 13, 71)."""
    listed = np.concatenate(list(accessible_tables(num_states, 2)))
    support = [table.tobytes() for table in listed if property_of(table)]
    assert count in (None, len(support))
    assert uniform_p_value(kind, num_states, 2, support, 30 * len(support)) > 1e-4


def transition_maps(dfa):
    """All maps of states that words make, by brute force."""
    letters = [tuple(column) for column in dfa.transitions.T.tolist()]
    found, frontier = set(letters), letters
    while frontier:
        products = {tuple(b[q] for q in a) for a in frontier for b in letters}
        frontier = list(products - found)
        found |= products
    return found


def is_aperiodic(maps):
    for f in maps:
        power = f
        for _ in f:
            power = tuple(f[q] for q in power)
        if tuple(f[q] for q in power) != power:
            return False
    return True


@pytest.mark.parametrize("num_symbols", [1, 2, 3])
def test_aperiodic_ones_have_no_counter(num_symbols):
    seen_not_r_trivial = False
    for num_states, seed in itertools.product((2, 5, 8), range(6)):
        dfa = random_dfa(num_states, num_symbols, seed=seed, kind="aperiodic")
        assert dfa.num_states == num_states
        assert is_aperiodic(transition_maps(dfa))
        seen_not_r_trivial |= has_long_cycle(dfa)
    assert seen_not_r_trivial or num_symbols == 1


def has_long_cycle(dfa):
    """Whether two states reach each other."""
    reach = [set(DFA(dfa.transitions, q).trace([]).tolist()) for q in range(dfa.num_states)]
    for _ in range(dfa.num_states):
        reach = [
            set.union({q}, *(reach[t] for t in dfa.transitions[q].tolist()))
            for q in range(dfa.num_states)
        ]
    return any(p != q and q in reach[p] for q in range(dfa.num_states) for p in reach[q])


@pytest.mark.parametrize("num_symbols", [1, 2, 4])
def test_r_trivial_ones_have_no_cycle(num_symbols):
    for num_states, seed in itertools.product((1, 2, 6, 40), range(5)):
        dfa = random_dfa(num_states, num_symbols, seed=seed, kind="r_trivial")
        assert dfa.num_states == num_states and not has_long_cycle(dfa)


def group_order(table):
    return len(transition_maps(DFA(table)))


@pytest.mark.parametrize(
    ("group", "num_states", "order"),
    [
        ("S4", 4, 24),
        ("S4", 24, 24),
        ("A5", 5, 60),
        ("Z6", 6, 6),
        ("D5", 10, 10),
        (dicyclic(2), 8, 8),
    ],
)
def test_given_groups(group, num_states, order):
    for seed in range(3):
        dfa = random_dfa(num_states, 2, seed=seed, kind="group", group=group)
        assert dfa == dfa.accessible() and dfa.num_states == num_states
        assert group_order(dfa.transitions) == order


def test_mixed_ones_hold_resets_and_their_group():
    for seed in range(8):
        dfa = random_dfa(6, 4, seed=seed, kind="mixed", group="S3", reset_probability=0.3)
        sizes = [len(set(column)) for column in dfa.transitions.T.tolist()]
        assert set(sizes) == {1, 6}
        moves = dfa.transitions[:, np.array(sizes) == 6]
        assert group_order(moves) == 6
        free = random_dfa(5, 3, seed=seed, kind="mixed")
        assert set(len(set(c)) for c in free.transitions.T.tolist()) == {1, 5}


def test_regbench_automata():
    law = RegBenchLaw()
    num_symbols_seen = set()
    for seed in range(40):
        dfa = regbench_dfa(seed)
        assert dfa.num_symbols == law.vocabulary_size == 18
        assert dfa == dfa.minimize() and dfa.num_states <= 13
        assert int((~dfa.accepting).sum()) == 1
        sink = int(np.flatnonzero(~dfa.accepting)[0])
        degrees = (dfa.transitions != sink).sum(axis=1)[dfa.accepting]
        assert degrees.min() >= 1 and degrees.max() <= 3
        num_symbols_seen.add(int((dfa.transitions != sink).any(axis=0).sum()))
    assert len(num_symbols_seen) > 5
    small = random_dfa(6, 4, seed=1, kind="regbench")
    assert small.num_states <= 7 and small.num_symbols == 4
    with pytest.raises(InputError, match="the largest num_states is 3"):
        RegBenchLaw(num_states=(4, 3))
    with pytest.raises(InputError, match="vocabulary_size is 5"):
        RegBenchLaw(vocabulary_size=5)
    with pytest.raises(InputError, match="another one to go to"):
        RegBenchLaw(num_states=(1, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_pure_functions_of_their_arguments(kind):
    group = {"group": "S3"} if kind == "group" else {}
    draws = [random_dfa(6, 2, seed=s, kind=kind, **group) for s in range(8)]
    assert draws == [random_dfa(6, 2, seed=s, kind=kind, **group) for s in range(8)]
    assert all(d == d.accessible() for d in draws) and len(set(draws)) > 4
    if kind == "strongly_connected":
        assert all(is_strongly_connected(d.transitions) for d in draws)


def test_accepting_states_are_uniform():
    draws = 1600
    counts = collections.Counter(random_dfa(4, 2, seed=s).accepting.tobytes() for s in range(draws))
    assert chi_square(counts, 16, draws) < 45  # 15 degrees of freedom, p ~ 1e-4


@pytest.mark.parametrize(
    ("num_states", "num_symbols"), [(1, 1), (1, 2), (7, 1), (50, 2), (51, 2), (60, 1), (300, 3)]
)
def test_accessible_complete_and_repeatable(num_states, num_symbols):
    dfa = random_dfa(num_states, num_symbols, seed=11)
    assert dfa.transitions.shape == (num_states, num_symbols)
    assert dfa == dfa.accessible() == random_dfa(num_states, num_symbols, seed=11)
    if num_states > 7:
        assert dfa != random_dfa(num_states, num_symbols, seed=12)


def test_a_thousand_states():
    dfa = random_dfa(1000, 2, seed=0)
    assert dfa.num_states == 1000 and dfa.accessible() == dfa
    assert 400 < dfa.accepting.sum() < 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_states": 0}, "num_states is 0"),
        ({"num_symbols": 0}, "num_symbols is 0"),
        ({"num_states": 2.0}, "num_states is 2.0: give an integer"),
        ({"seed": -1}, "seed is -1"),
        ({"kind": "acessible"}, "did you mean 'accessible'"),
        ({"num_states": 2**20, "num_symbols": 17}, "too many"),
        ({"num_states": 2**24, "num_symbols": 2}, "too many"),
        ({"num_states": 2, "num_symbols": 2**24}, "too many"),
        ({"kind": "permutation", "num_states": 2**23, "num_symbols": 3}, "too many"),
        ({"kind": "aperiodic", "num_states": 129}, "drawn up to 128 states"),
        ({"kind": "group"}, "group is None: give a name"),
        ({"kind": "group", "group": "S4"}, "give its order 24, or the number of points"),
        ({"kind": "group", "group": cyclic(4)}, "has no action on 3 states"),
        ({"kind": "group", "group": "Z2xZ2xZ2", "num_states": 8}, "give more symbols"),
        ({"kind": "mixed", "num_symbols": 1}, "at least 2 of each"),
        ({"kind": "mixed", "reset_probability": 1.0}, "a number between 0 and 1"),
        ({"kind": "mixed", "group": "S3", "num_states": 6}, "with a reset among them"),
        ({"kind": "regbench", "num_states": 1}, "another one to go to"),
        ({"group": "S3"}, "takes no group"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        random_dfa(**{"num_states": 3, "num_symbols": 2, "seed": 0, **arguments})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["num_states", "num_symbols"])
@pytest.mark.parametrize("number", [0, 2**24 + 1])
def test_sizes_out_of_range_are_named_for_every_kind(kind, name, number):
    with pytest.raises(InputError, match=f"{name} is {number}: "):
        random_dfa(**{"num_states": 3, "num_symbols": 2, "seed": 0, "kind": kind, name: number})


def test_with_one_letter_the_cycle_alone_is_strongly_connected():
    for num_states in (1, 2, 7):
        dfa = random_dfa(num_states, 1, seed=3, kind="strongly_connected")
        assert dfa.transitions.tolist() == [[(q + 1) % num_states] for q in range(num_states)]


class Words:
    """In the place of a `PhiloxSource`: batches that are given."""

    def __init__(self, *batches):
        self.batches = iter(batches)

    def words(self, count):
        batch = next(self.batches)
        assert batch.size == count
        return batch


def test_trimming_drops_the_words_that_favour_a_state_and_no_other():
    """Of 2**32 words for 5 states word 0 is one too many; 0xCCCCCCCD is the first of state 4."""
    middle = (np.arange(5) * 2**32 // 5 + 2**31 // 5).astype(np.uint32)
    unfair = middle[[0, 2, 1, 1, 3, 1, 0, 0, 0, 0]]
    fair = middle[[1, 4, 2, 4, 2, 2, 3, 3, 0, 0]]
    unfair[0], fair[1] = 0, 0xCCCCCCCD
    table = _trimmed(4, 2, Words(unfair, fair), cells_per_batch=10)
    assert table.tolist() == [[1, 2], [3, 2], [0, 0], [3, 3]]


def test_bad_rank():
    with pytest.raises(InputError, match="rank is 216: give an integer from 0 to 215"):
        accessible_from_rank(216, 3, 2)
