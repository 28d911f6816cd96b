"""Reversal, concatenation and iteration: brute force over short words, and laws of algebra."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.subsets import subset_construction

few = settings(derandomize=True, max_examples=60, deadline=None)

EMPTY_WORD = DFA([[1, 1], [1, 1]], accepting=[0])
NOTHING = DFA([[0, 0]])
EVERYTHING = DFA([[0, 0]], accepting=[0])


@st.composite
def automata(draw, num_symbols=2, max_states=5):
    num_states = draw(st.integers(1, max_states))
    state = st.integers(0, num_states - 1)
    row = st.lists(state, min_size=num_symbols, max_size=num_symbols)
    table = draw(st.lists(row, min_size=num_states, max_size=num_states))
    return DFA(table, draw(state), draw(st.sets(state)))


def language(dfa, max_length=6):
    """List every accepted word up to a length."""
    words = (
        word
        for length in range(max_length + 1)
        for word in itertools.product(range(dfa.num_symbols), repeat=length)
    )
    return {word for word in words if dfa.accepts(list(word))}


def concatenated(first, second, max_length=6):
    return {u + v for u in first for v in second if len(u + v) <= max_length}


def iterated(words, max_length=6):
    found = {()}
    while True:
        more = found | concatenated(found, words, max_length)
        if more == found:
            return found
        found = more


@given(automata(max_states=7))
@few
def test_reverse_word_by_word(dfa):
    assert language(dfa.reverse()) == {word[::-1] for word in language(dfa)}


@given(automata(), automata())
@few
def test_concatenate_word_by_word(first, second):
    assert language(first.concatenate(second)) == concatenated(language(first), language(second))


@given(automata())
@few
def test_star_word_by_word(dfa):
    assert language(dfa.star()) == iterated(language(dfa))


@given(automata(num_symbols=3, max_states=4), automata(num_symbols=3, max_states=3))
@few
def test_three_letters_word_by_word(first, second):
    a, b = language(first, 4), language(second, 4)
    assert language(first.reverse(), 4) == {word[::-1] for word in a}
    assert language(first.concatenate(second), 4) == concatenated(a, b, 4)
    assert language(first.star(), 4) == iterated(a, 4)


@given(automata(max_states=7))
@few
def test_reversed_twice_is_minimal_and_the_same(dfa):
    """Brzozowski's minimisation."""
    twice = dfa.reverse().reverse()
    assert twice.isomorphic(dfa.minimize())
    assert dfa.reverse() == dfa.reverse().minimize()
    assert dfa.reverse().count_words(9) == dfa.count_words(9)


@given(automata(), automata())
@few
def test_laws_of_boolean_algebra(first, second):
    both, either = first.intersection(second), first.union(second)
    assert first.complement().complement() == first
    assert both.complement().equivalent(first.complement().union(second.complement()))
    assert either.complement().equivalent(first.complement().intersection(second.complement()))
    assert first.difference(second).equivalent(first.intersection(second.complement()))
    assert first.union(both).equivalent(first) and first.intersection(either).equivalent(first)
    lengths = range(8)
    assert [either.count_words(n) + both.count_words(n) for n in lengths] == [
        first.count_words(n) + second.count_words(n) for n in lengths
    ]


@given(automata(), automata(max_states=4))
@few
def test_laws_of_concatenation(first, second):
    assert first.concatenate(EMPTY_WORD).equivalent(first)
    assert EMPTY_WORD.concatenate(first).equivalent(first)
    assert first.concatenate(NOTHING).is_empty() and NOTHING.concatenate(first).is_empty()
    backwards = second.reverse().concatenate(first.reverse())
    assert first.concatenate(second).reverse().equivalent(backwards)


@given(automata(max_states=4), automata(max_states=3), automata(max_states=3))
@few
def test_concatenation_is_associative_and_distributes(first, second, third):
    left = first.concatenate(second).concatenate(third)
    assert left.equivalent(first.concatenate(second.concatenate(third)))
    split = first.concatenate(second).union(first.concatenate(third))
    assert first.concatenate(second.union(third)).equivalent(split)


@given(automata(), automata(max_states=3))
@few
def test_laws_of_star(first, second):
    star = first.star()
    assert star.star().equivalent(star) and star.concatenate(star).equivalent(star)
    assert star.equivalent(EMPTY_WORD.union(first.concatenate(star)))
    assert star.reverse().equivalent(first.reverse().star())
    small = first.minimize()
    either = small.union(second).minimize().star()
    assert either.equivalent(small.star().union(second.star()).minimize().star())


def test_named_languages():
    assert NOTHING.star().equivalent(EMPTY_WORD) and EMPTY_WORD.star().equivalent(EMPTY_WORD)
    assert NOTHING.reverse() == NOTHING and EVERYTHING.reverse() == EVERYTHING
    assert EVERYTHING.concatenate(EVERYTHING).equivalent(EVERYTHING)
    word = DFA.from_regex("aab", alphabet="ab")
    assert word.reverse() == DFA.from_regex("baa", alphabet="ab")
    assert word.star().minimize() == DFA.from_regex("(aab)*", alphabet="ab")


def test_the_initial_state_may_be_met_again():
    """The old initial state rejects, and star must not make it accept halfway through a word."""
    odd = DFA([[1], [0]], accepting=[1])
    assert odd.star().equivalent(DFA([[0]], accepting=[0]))
    loop = DFA([[0, 1], [2, 2], [2, 2]], accepting=[1])
    expected = DFA.from_regex("(a*b)*", alphabet="ab")
    assert loop.star().equivalent(expected)


def test_alphabets_and_outputs():
    named, other = DFA([[0, 0]], alphabet="ab"), DFA([[0, 0]], alphabet="ba")
    for result in (named.reverse(), named.star(), named.concatenate(EMPTY_WORD)):
        assert result.alphabet == ("a", "b")
    assert EMPTY_WORD.concatenate(named).alphabet == ("a", "b")
    with pytest.raises(InputError, match="alphabets"):
        named.concatenate(other)
    moore = DFA([[0, 0]], outputs=[3])
    assert moore.reverse().outputs is moore.star().outputs is None


def test_exponential_reversals_are_exact():
    """The last but n-th letter: n + 2 states forwards, 2 ** (n + 1) backwards."""
    forwards = DFA.from_regex(".{9}a.*", alphabet="ab")
    assert forwards.num_states == 12
    assert forwards.reverse().num_states == 2**10
    assert forwards.reverse().equivalent(DFA.from_regex(".*a.{9}", alphabet="ab"))


def test_subsets_refuse_to_grow_without_limit(monkeypatch):
    forwards = DFA.from_regex(".{5}a.*", alphabet="ab")
    monkeypatch.setattr("automata.subsets.MAX_SUBSETS", 63)
    with pytest.raises(InputError, match="more than 63 subsets of 8 states: take smaller"):
        forwards.reverse()
    monkeypatch.setattr("automata.subsets.MAX_SUBSETS", 64)
    assert forwards.reverse().num_states == 64
    monkeypatch.setattr("automata.subsets.MAX_STEPS", 100)
    with pytest.raises(InputError, match="8 states and 2 symbols takes more than 100 steps"):
        forwards.reverse()


def test_long_chains_do_not_recurse():
    size = 20_000
    counter = DFA([[(q + 1) % size, q] for q in range(size)], accepting=[0])
    assert counter.reverse() == counter
    table, accepting = subset_construction(
        1, [[] for _ in range(size)], [0], [size - 1], [[q + 1] for q in range(size - 1)] + [[]]
    )
    assert table.tolist() == [[1], [1]] and accepting.tolist() == [True, False]


def test_the_subset_construction_with_the_empty_word():
    """The automaton of a*b*c*, with moves on the empty word from block to block."""
    moves = [[([0], [0])], [([1], [1])], [([2], [2])]]
    table, accepting = subset_construction(3, moves, [0], [2], [[1], [2], []])
    assert DFA(table, 0, accepting, "abc").minimize() == DFA.from_regex("a*b*c*", "abc")
    cycle = subset_construction(1, [[], [([0], [0])]], [0], [1], [[1], [0]])
    assert np.array_equal(cycle[0], [[0]]) and cycle[1].tolist() == [True]
