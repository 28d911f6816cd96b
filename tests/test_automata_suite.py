"""The suite of random automata: always the same, what it says it is; guessing by counting."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automata import suite as module
from automata.dfa import DFA
from automata.errors import InputError
from automata.monoids import transition_monoid
from automata.stratified import ALGEBRAIC_CLASSES
from automata.suite import automata_suite, guessing_accuracy, suite_digest
from automata.tasks import get_task

ABELIAN = [[1, 2, 0], [3, 0, 1], [0, 4, 2], [4, 1, 3], [2, 3, 4]]
MIXED = [[1, 1, 0], [2, 1, 2], [3, 1, 3], [0, 1, 4], [4, 1, 1]]


def test_it_has_five_different_automata_of_every_class_and_size():
    suite = automata_suite()
    cells = Counter((member.algebraic_class, member.num_states) for member in suite)
    assert set(cells) == set(itertools.product(ALGEBRAIC_CLASSES, (5, 8, 12, 16, 24)))
    assert set(cells.values()) == {5}
    assert len({member.name for member in suite}) == 200
    assert len({(m.algebraic_class, m.dfa.transitions.tobytes()) for m in suite}) == 200
    assert all(member.dfa.transitions.shape == (member.num_states, 3) for member in suite)


def test_its_bits_are_those_of_version_1():
    """Two tables written out, and all by their digest."""
    named = {member.name: member for member in automata_suite()}
    assert named["abelian_group-5-0"].dfa.transitions.tolist() == ABELIAN
    assert named["nonsolvable_mixed-5-0"].dfa.transitions.tolist() == MIXED
    assert suite_digest(automata_suite()).startswith("bcd97d783a7bccfe")


def test_the_task_of_a_member_is_its_automaton():
    for member in automata_suite()[::23]:
        pairs = dict(pair.removeprefix("task.").split("=") for pair in member.task)
        name = pairs.pop("task")
        settings = {key: int(v) if v.isdigit() else v for key, v in pairs.items()}
        task = get_task(name, **settings)
        word = np.random.default_rng(0).integers(0, 3, 50)
        state, states = member.dfa.initial, []
        for letter in word:
            state = member.dfa.transitions[state, letter]
            states.append(state)
        assert task.targets_of(word).tolist() == states


@pytest.mark.parametrize("num_states", [5, 8])
def test_the_classes_are_those_of_the_transition_monoids(num_states):
    holds = {
        "r_trivial": lambda m: m.is_r_trivial,
        "aperiodic": lambda m: m.is_aperiodic,
        "abelian_group": lambda m: m.is_group and m.is_commutative,
        "solvable_group": lambda m: m.is_group and m.is_solvable and not m.is_commutative,
        "solvable_mixed": lambda m: m.is_solvable and not m.is_group,
    }
    checked = 0
    for member in automata_suite():
        if member.num_states != num_states or member.algebraic_class not in holds:
            continue
        monoid = transition_monoid(member.dfa)
        assert holds[member.algebraic_class](monoid), member.name
        checked += 1
    assert checked == 25


def test_other_draws_are_an_error(monkeypatch):
    automata_suite.cache_clear()
    monkeypatch.setattr(module, "NUM_SYMBOLS", 4)
    with pytest.raises(InputError, match="cannot be compared"):
        automata_suite()
    monkeypatch.undo()
    assert len(automata_suite()) == 200


def test_an_unknown_version_is_named():
    with pytest.raises(InputError, match=r"unknown version 2 of the suite: there is \[1\]"):
        automata_suite(2)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_guessing_is_the_best_over_all_words(num_states, num_symbols, seed):
    """Counted over every word: for each position and last letter, the commonest state."""
    table = np.random.default_rng(seed).integers(0, num_states, (num_states, num_symbols))
    dfa = DFA(table, accepting=[])
    for length in (1, 2, 4):
        ends = Counter()
        for word in itertools.product(range(num_symbols), repeat=length):
            state = dfa.initial
            for letter in word:
                state = table[state, letter]
            ends[word[-1], int(state)] += 1
        best = sum(
            max(ends[letter, state] for state in range(num_states)) for letter in range(num_symbols)
        )
        expected = best / num_symbols**length
        assert guessing_accuracy(dfa, length)[-1] == pytest.approx(expected, abs=1e-12)


def test_a_length_below_one_is_refused():
    with pytest.raises(InputError, match="length"):
        guessing_accuracy(automata_suite()[0].dfa, 0)
