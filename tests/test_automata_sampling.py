"""Random automata: published counts, full enumeration, and chi-square tests with fixed seeds."""

import collections
import itertools

import numpy as np
import pytest

from automata.accessible import _trimmed, accessible_from_rank, count_accessible
from automata.dfa import DFA
from automata.errors import InputError
from automata.philox import PhiloxSource
from automata.sampling import random_dfa


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
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        random_dfa(**{"num_states": 3, "num_symbols": 2, "seed": 0, **arguments})


def test_bad_rank():
    with pytest.raises(InputError, match="rank is 216: give an integer from 0 to 215"):
        accessible_from_rank(216, 3, 2)
