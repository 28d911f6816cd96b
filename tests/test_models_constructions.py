"""Constructions run ten thousand random letters, and chosen words, without an error."""

import numpy as np
import pytest
import torch

from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import (
    FiniteGroup,
    alternating,
    cyclic,
    dicyclic,
    dihedral,
    parse,
    symmetric,
)
from automata.sampling import random_dfa
from statetrack.models.constructions import (
    automaton_by_columns,
    group_by_matrices,
    group_by_reflections,
    parity_by_sign,
    permutation_matrices,
    reflections_of,
)
from statetrack.models.deep_constructions import cyclic_by_two_layers

STEPS = 10_000


def words_against(num_letters: int) -> np.ndarray:
    """Random letters; every letter on and on; two letters in turns, [words, STEPS]."""
    source = np.random.default_rng(0)
    words = [source.integers(num_letters, size=STEPS)]
    words += [np.full(STEPS, letter) for letter in source.permutation(num_letters)[:3]]
    for _ in range(3):
        pair = source.integers(num_letters, size=2)
        words.append(np.resize(np.repeat(pair, source.integers(1, 4, size=2)), STEPS))
    return np.stack(words)


def errors_of(model, group: FiniteGroup, letters) -> int:
    """Wrong states on all words, in float32."""
    words = words_against(len(letters))
    targets = np.zeros_like(words)
    state = np.zeros(len(words), dtype=int)
    for t, column in enumerate(np.asarray(letters)[words].T):
        state = group.table[state, column]
        targets[:, t] = state
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(words))
    assert logits.dtype == torch.float32
    return int((logits.argmax(-1).numpy() != targets).sum())


def swaps_of(group: FiniteGroup) -> list[int]:
    fixed = [sum(i == p for i, p in enumerate(one)) for one in group.elements]
    return [g for g, count in enumerate(fixed) if count == len(group.elements[0]) - 2]


def test_parity():
    assert errors_of(parity_by_sign(), cyclic(2), [0, 1]) == 0


@pytest.mark.parametrize(
    ("group", "factors"),
    [
        (cyclic(2), 1),
        (cyclic(3), 2),
        (cyclic(60), 2),
        (dihedral(5), 2),
        (symmetric(3), 2),
        (symmetric(4), 2),
        (alternating(5), 2),
        (symmetric(5), 4),
        (dicyclic(2), 4),
        (parse("A4xZ5"), 4),
    ],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_all_elements_as_letters_by_reflections(group: FiniteGroup, factors: int):
    model = group_by_reflections(group)
    assert model.blocks[0].mixer.factors == factors
    assert errors_of(model, group, range(group.order)) == 0


def test_a_dihedral_group_by_one_reflection_a_letter():
    group = dihedral(7)
    flips = [g for g in range(group.order) if g and group.table[g, g] == 0]
    model = group_by_reflections(group, flips)
    assert model.blocks[0].mixer.factors == 1
    assert errors_of(model, group, flips) == 0


def test_s5_by_one_swap_a_letter_and_by_permutation_matrices():
    group = symmetric(5)
    swaps = swaps_of(group)
    model = group_by_reflections(group, swaps)
    assert model.blocks[0].mixer.factors == 1
    assert errors_of(model, group, swaps) == 0
    model = group_by_reflections(group, matrices=permutation_matrices(group))
    assert model.blocks[0].mixer.factors == 4
    assert errors_of(model, group, range(120)) == 0


def test_a5_by_one_reflection_a_letter_through_h3():
    group = alternating(5)
    half_turns = [g for g in range(60) if g and group.table[g, g] == 0]
    plain = group_by_reflections(group, half_turns)
    assert plain.blocks[0].mixer.factors == 2
    model = group_by_reflections(group, half_turns, up_to_sign=True)
    assert model.blocks[0].mixer.factors == 1
    assert errors_of(model, group, half_turns) == 0


@pytest.mark.parametrize(
    "group", [cyclic(7), symmetric(4), alternating(5), symmetric(5)], ids=lambda g: g.name
)
def test_matrices_by_an_mru(group: FiniteGroup):
    assert errors_of(group_by_matrices(group), group, range(group.order)) == 0


@pytest.mark.parametrize(
    "dfa",
    [
        DFA.from_regex("(a|b)*abb", alphabet="ab"),
        DFA([[0, 0, 1], [1, 0, 1]]),
        random_dfa(12, 3, seed=1),
        random_dfa(40, 2, seed=2),
    ],
    ids=["ends in abb", "flip-flop", "12 states", "40 states"],
)
def test_any_automaton_by_one_hot_columns(dfa: DFA):
    words = words_against(dfa.num_symbols)
    with torch.no_grad():
        logits, _ = automaton_by_columns(dfa)(torch.from_numpy(words))
    assert (logits.argmax(-1).numpy() == dfa.trace(words)[:, 1:]).all()


@pytest.mark.parametrize("order", [2, 3, 5, 12, 60])
def test_a_cyclic_group_by_two_layers_of_one_reflection(order: int):
    model = cyclic_by_two_layers(order)
    assert model.blocks[0].mixer.factors == 1
    words = words_against(order)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(words))
    assert (logits.argmax(-1).numpy() == words.cumsum(axis=1) % order).all()


def test_reflections_make_the_matrix_and_are_as_few_as_its_rank():
    source = np.random.default_rng(1)
    for size in (1, 2, 3, 5):
        for _ in range(20):
            matrix = np.linalg.qr(source.standard_normal((size, size)))[0]
            keys = reflections_of(matrix)
            product = np.eye(size)
            for key in keys:
                product = product @ (np.eye(size) - 2 * np.outer(key, key))
            np.testing.assert_allclose(product, matrix, atol=1e-12)
            assert len(keys) == np.linalg.matrix_rank(np.eye(size) - matrix, tol=1e-6)
    assert len(reflections_of(np.eye(4))) == 0


def test_bad_input_is_named():
    group = symmetric(3)
    with pytest.raises(InputError, match="order = 1"):
        cyclic_by_two_layers(1)
    with pytest.raises(InputError, match=r"expected \[6, d, d\]"):
        group_by_reflections(group, matrices=np.eye(3))
    with pytest.raises(InputError, match="not faithful: 6"):
        group_by_reflections(group, matrices=np.ones((6, 1, 1)))
    with pytest.raises(InputError, match="not orthogonal"):
        group_by_matrices(group, matrices=2 * permutation_matrices(group))
    with pytest.raises(InputError, match="do not multiply"):
        group_by_matrices(group, matrices=permutation_matrices(group)[::-1])
    with pytest.raises(InputError, match="not permutations"):
        permutation_matrices(parse("Q8"))
