"""Draws by algebraic class are in their class, and every class is drawn."""

import collections

import pytest

from automata import stratified
from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import from_permutations
from automata.stratified import ALGEBRAIC_CLASSES, possible_classes, stratified_dfa
from automata.tasks import get_task


def permutations_and_resets(dfa):
    letters = [tuple(column) for column in dfa.transitions.T.tolist()]
    moves = [f for f in letters if len(set(f)) == dfa.num_states]
    return moves, [f for f in letters if len(set(f)) == 1]


def group_of(dfa):
    """The group that the permuting letters generate."""
    return from_permutations(permutations_and_resets(dfa)[0])


@pytest.mark.parametrize("num_states", [3, 5, 6])
@pytest.mark.parametrize("name", ["abelian_group", "solvable_group", "nonsolvable_group"])
def test_groups(name, num_states):
    if name not in possible_classes(num_states, 2):
        return
    for seed in range(4):
        draw = stratified_dfa(num_states, 2, seed, algebraic_class=name)
        moves, _ = permutations_and_resets(draw.dfa)
        assert len(moves) == 2 and draw.dfa.num_states == num_states
        group = group_of(draw.dfa)
        assert group.is_abelian == (name == "abelian_group")
        assert group.is_solvable == (name != "nonsolvable_group")


@pytest.mark.parametrize("name", ["solvable_mixed", "nonsolvable_mixed"])
def test_mixes(name):
    for seed in range(6):
        dfa = stratified_dfa(5, 4, seed, algebraic_class=name).dfa
        moves, resets = permutations_and_resets(dfa)
        assert resets and len(moves) + len(resets) == 4
        assert group_of(dfa).is_solvable == (name == "solvable_mixed")


def test_many_points_hold_all_even_permutations():
    """Eight points: the certificate without a table of the group, checked by its order."""
    for seed in range(3):
        dfa = stratified_dfa(8, 2, seed, algebraic_class="nonsolvable_group").dfa
        sympy = pytest.importorskip("sympy.combinatorics")
        letters = [sympy.Permutation(column) for column in dfa.transitions.T.tolist()]
        assert sympy.PermutationGroup(letters).order() in (20160, 40320)


def test_classes_are_equally_likely():
    counts = collections.Counter(stratified_dfa(8, 3, s).algebraic_class for s in range(320))
    assert set(counts) == set(ALGEBRAIC_CLASSES)
    assert min(counts.values()) > 18 and max(counts.values()) < 68


@pytest.mark.parametrize(("num_states", "num_symbols"), [(1, 1), (2, 2), (4, 3), (9, 2), (130, 2)])
def test_every_possible_class_can_be_drawn(num_states, num_symbols):
    for name in possible_classes(num_states, num_symbols):
        draws = [stratified_dfa(num_states, num_symbols, 1, algebraic_class=name) for _ in range(2)]
        assert draws[0] == draws[1] and draws[0].algebraic_class == name
        dfa = draws[0].dfa
        assert dfa.transitions.shape == (num_states, num_symbols) and dfa == dfa.accessible()


def test_hook_and_text():
    draw = stratified_dfa(6, 2, 3, classify=DFA.is_empty)
    assert draw.verified == draw.dfa.is_empty()
    assert stratified_dfa(6, 2, 3).verified is None
    assert str(draw).startswith(draw.algebraic_class) and "6 states" in str(draw)


def test_the_task_tells_its_class():
    task = get_task("random_dfa", num_states=6, num_symbols=3, seed=4)
    name = stratified_dfa(6, 3, 4).algebraic_class
    assert task.facts.items() >= {"kind": "stratified", "algebraic_class": name}.items()
    assert task.card()["algebraic_class"] == name and task.semantics == 2
    task = get_task("random_dfa", kind="nonsolvable_group", num_states=5)
    assert not group_of(task.dfa).is_solvable
    facts = get_task("random_dfa", kind="minimal").facts
    assert facts["kind"] == "minimal" and "algebraic_class" not in facts
    with pytest.raises(InputError, match="did you mean 'stratified'"):
        get_task("random_dfa", kind="stratifed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, 0), "num_states is 0"),
        ((2**20, 2**10, 0), "too many"),
        ((2**24, 2, 0), "too many"),
        ((2, 2**24, 0), "too many"),
        ((2**24 + 1, 1, 0), "num_states is 16777217"),
        ((1, 2**24 + 1, 0), "num_symbols is 16777217"),
        ((5, 2, -1), "seed is -1"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        stratified_dfa(*arguments)


def test_solvable_mixes_of_three_states_may_be_affine():
    draws = [stratified_dfa(3, 3, s, algebraic_class="solvable_mixed").dfa for s in range(20)]
    assert {group_of(dfa).is_abelian for dfa in draws} == {False, True}


def test_trials_without_a_hit_are_an_error(monkeypatch):
    monkeypatch.setattr(stratified, "_MAX_TRIALS", 0)
    with pytest.raises(InputError, match="no such permutations of 11 states in 0 trials"):
        stratified_dfa(11, 2, 17, algebraic_class="nonsolvable_group")


def test_one_state_has_neither_group_nor_memory():
    for num_symbols in (1, 2, 3):
        assert possible_classes(1, num_symbols) == ("r_trivial", "uniform")


def test_bad_class():
    with pytest.raises(InputError, match="did you mean 'solvable_group'"):
        stratified_dfa(5, 2, 0, algebraic_class="solvable_groups")
    with pytest.raises(InputError, match="possible here are r_trivial, abelian_group, uniform"):
        stratified_dfa(4, 1, 0, algebraic_class="nonsolvable_group")
