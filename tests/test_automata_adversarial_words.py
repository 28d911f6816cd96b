"""Periodic words, and the words that cost most on the graph of pairs of states."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.sampling import random_dfa
from automata.words import (
    alternating_letters,
    minimum_mean_cycle,
    pair_adversarial_words,
    periodic_words,
    repeated_letters,
)

few = settings(derandomize=True, max_examples=40, deadline=None)


def test_periods_are_smallest_and_complete():
    for num_symbols, period in ((2, 1), (3, 2), (2, 4), (2, 6), (3, 3)):
        words = periodic_words(num_symbols, 3 * period, period)
        found = set(map(tuple, words.tolist()))
        assert len(found) == len(words)
        for block in itertools.product(range(num_symbols), repeat=period):
            is_power = any(
                period % p == 0 and block == block[:p] * (period // p) for p in range(1, period)
            )
            assert (block * 3 in found) != is_power
    assert (repeated_letters(3, 4) == [[0] * 4, [1] * 4, [2] * 4]).all()
    assert alternating_letters(3, 5).shape == (6, 5)
    assert periodic_words(1, 4, 2).shape == (0, 4) and repeated_letters(1, 3).shape == (1, 3)
    assert periodic_words(2, 0, 2).shape == (2, 0)


def exact_mean(dfa, costs):
    """Karp's algorithm, by loops."""
    reached = dfa.accessible().num_states == dfa.num_states
    assert reached
    pairs = [(p, q) for p in range(dfa.num_states) for q in range(dfa.num_states) if p != q]
    edges = [
        (pair, tuple(dfa.transitions[list(pair), x].tolist()), costs[pair][x])
        for pair in pairs
        for x in range(dfa.num_symbols)
    ]
    edges = [edge for edge in edges if edge[1][0] != edge[1][1]]
    walks = [dict.fromkeys(pairs, 0.0)]
    for _ in pairs:
        best = dict.fromkeys(pairs, np.inf)
        for source, target, cost in edges:
            best[target] = min(best[target], walks[-1][source] + cost)
        walks.append(best)
    size = len(pairs)
    means = [
        max((walks[size][p] - walks[k][p]) / (size - k) for k in range(size))
        for p in pairs
        if np.isfinite(walks[size][p])
    ]
    return min(means, default=None)


@given(
    num_states=st.integers(2, 5),
    num_symbols=st.integers(1, 3),
    seed=st.integers(0, 1000),
    small=st.booleans(),
)
@few
def test_least_mean_against_karp(num_states, num_symbols, seed, small):
    dfa = random_dfa(num_states, num_symbols, seed=seed)
    rng = np.random.default_rng(seed)
    shape = (num_states, num_states, num_symbols)
    costs = rng.integers(-2, 3, shape).astype(float) if small else rng.normal(size=shape)
    cycle, expected = minimum_mean_cycle(dfa, costs), exact_mean(dfa, costs)
    if cycle is None:
        assert expected is None
        return
    assert cycle.mean == pytest.approx(expected, abs=1e-7)
    total = 0.0
    following = np.roll(cycle.pairs, -1, axis=0)
    for pair, letter, target in zip(cycle.pairs, cycle.letters, following, strict=True):
        assert (dfa.transitions[pair, letter] == target).all() and pair[0] != pair[1]
        total += costs[pair[0], pair[1], letter]
    assert total / len(cycle.letters) == pytest.approx(cycle.mean)


def test_words_against_all_words():
    dfa = random_dfa(4, 2, seed=3)
    costs = np.random.default_rng(1).normal(size=(4, 4, 2))
    words, totals = pair_adversarial_words(dfa, 8, costs, num_words=3)
    best = {}
    for start in range(4):
        for word in itertools.product(range(2), repeat=8):
            pair, total = [dfa.initial, start], 0.0
            for letter in word:
                if pair[0] == pair[1]:
                    break
                total += costs[pair[0], pair[1], letter]
                pair = dfa.transitions[pair, letter].tolist()
            best[start] = min(best.get(start, np.inf), total)
    assert totals == pytest.approx(sorted(best[start] for start in range(1, 4)))
    assert words.shape == (3, 8) and words.dtype == np.int64


def test_without_costs_the_word_forgets_last():
    """A counter to 5 that letter 1 resets: the adversary never resets."""
    dfa = DFA([[(q + 1) % 5, 0] for q in range(5)])
    words, totals = pair_adversarial_words(dfa, 12, num_words=2)
    assert not words.any() and (totals == -12).all()
    assert minimum_mean_cycle(dfa).mean == -1.0
    resets = DFA([[0, 1], [0, 1]])
    assert minimum_mean_cycle(resets) is None
    assert pair_adversarial_words(resets, 3)[1].tolist() == [0.0]


def test_bad_input():
    dfa = DFA([[0, 1], [1, 0]])
    with pytest.raises(InputError, match="costs has shape"):
        minimum_mean_cycle(dfa, np.zeros((2, 2)))
    with pytest.raises(InputError, match="not finite"):
        minimum_mean_cycle(dfa, np.full((2, 2, 2), np.nan))
    with pytest.raises(InputError, match="num_words is 2"):
        pair_adversarial_words(dfa, 3, num_words=2)
    with pytest.raises(InputError, match="edges between pairs"):
        minimum_mean_cycle(DFA(np.zeros((6000, 1), dtype=np.int64)))
    with pytest.raises(InputError, match="minimum_mean_cycle instead"):
        pair_adversarial_words(random_dfa(1000, 2, seed=0), 1000)
    with pytest.raises(InputError, match="give a smaller period"):
        periodic_words(2, 5, 40)
    with pytest.raises(InputError, match="period is 0"):
        periodic_words(2, 5, 0)
    with pytest.raises(InputError, match="too many at once"):
        periodic_words(2**10, 2**20, 2)
