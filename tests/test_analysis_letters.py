"""Letters, relations, Householder factors, quotients, characters in logits: known values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.characters import real_irreps
from automata.errors import InputError
from automata.groups import alternating, cyclic, parse, symmetric
from automata.normal_subgroups import normal_subgroups
from automata.reflections import reflection_ranks
from automata.tasks import get_task
from statetrack.analysis import (
    LayerTransitions,
    Transitions,
    character_similarity,
    characters_by_length,
    coset_concentration,
    element_means,
    factor_geometry,
    letter_table,
    quotient_accuracy,
    quotient_ladder,
    relation_errors,
)
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.letters import numeric_order
from statetrack.models import build_model
from statetrack.models.constructions import group_by_reflections


def as_transitions(matrices):
    layer = LayerTransitions(
        0, matrices[:, None], np.zeros((len(matrices), 1)), np.ones(len(matrices), dtype=np.int64)
    )
    return Transitions("planted", tuple(map(str, range(len(matrices)))), (layer,))


@pytest.mark.parametrize("name", ["S3", "Q8", "A4", "S4", "A5"])
def test_letters_of_exact_representations(name):
    """Orders are those of the elements, ranks those that characters give (Scherk)."""
    group = parse(name)
    number = len(real_irreps(group)) - 1
    matrices = real_irreps(group)[number].matrices
    frame = letter_table(as_transitions(matrices), group, range(group.order))
    assert (frame["order"] == frame["element_order"]).all()
    assert frame[["order_error", "root_error", "orthogonality"]].to_numpy() == pytest.approx(
        0, abs=1e-7
    )
    assert np.abs(frame["determinant"]).to_numpy() == pytest.approx(1)
    by_class = reflection_ranks(group)[number]
    for members, rank in zip(group.conjugacy_classes, by_class, strict=True):
        assert set(frame.loc[list(members), "rank"]) == {rank}
    assert np.isinf(frame["half_life"]).all() or frame["half_life"].min() > 1e10


def test_letters_that_fade():
    fading = np.stack([np.eye(2), np.diag([-1.0, -(0.5 ** (1 / 50))])])
    frame = letter_table(as_transitions(fading))
    assert frame["half_life"].tolist() == pytest.approx([np.inf, 50])
    assert numeric_order(np.diag([1.0, 0.5]), 0.1, 64)[0] == 0
    assert letter_table(as_transitions(np.zeros((2, 2, 2))))["dimension"].tolist() == [0, 0]


def test_relations_hold_or_return_minus_one():
    s4 = symmetric(4)
    cube = next(r for r in real_irreps(s4) if r.dimension == 3 and np.linalg.det(r[1]) > 0)
    frame = relation_errors(cube.matrices, s4, range(24))
    assert frame["error"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert len(frame) == len(s4.generators) * (len(s4.generators) + 1) // 2
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    frame = relation_errors(turn[None], cyclic(2), [1])
    assert frame.loc[0, "error"] == pytest.approx(2)
    assert frame.loc[0, "sign_error"] == pytest.approx(0)
    assert frame.loc[0, "error_per_letter"] == pytest.approx(1)
    with pytest.raises(InputError, match="from 0 to 0"):
        relation_errors(turn[None], cyclic(2), [1], tokens=[4])
    with pytest.raises(InputError, match="2 matrices and 1 elements"):
        relation_errors(np.stack([turn, turn]), cyclic(2), [1])


def test_factors_of_a_construction_and_of_a_new_model():
    task = get_task("word_problem", group="A5", generators="all")
    frame = factor_geometry(group_by_reflections(alternating(5)), task, num_words=256)
    assert len(frame) == 2 * 60
    assert set(frame["beta"].round(6)) == {0, 2}
    assert set(frame["key_dimension"]) == {3}
    assert frame["share_3"].min() == pytest.approx(1)
    # The identity takes no reflection, every other rotation two.
    assert frame["reflections"].iloc[0] == pytest.approx(59 / 60)
    assert frame["beta_spread"].max() < 1e-6
    fresh = build_model("householder", 60, 60, num_factors=2, num_heads=3, head_size=4)
    assert set(factor_geometry(fresh, task, num_words=256)["head"]) == {0, 1, 2}
    with pytest.raises(InputError, match="no Householder factors"):
        factor_geometry(build_model("diagonal", 2, 2), get_task("parity"))
    with pytest.raises(InputError, match="no word had token"):
        factor_geometry(fresh, task, num_words=1, length=2)


@given(seed=st.integers(0, 1000), name=st.sampled_from(["S3", "Q8", "A4", "S4", "Z6"]))
@settings(max_examples=25, deadline=None)
def test_quotient_accuracy_by_counting(seed, name):
    group = parse(name)
    source = np.random.default_rng(seed)
    said, right = source.integers(0, group.order, size=(2, 50))
    frame = quotient_accuracy(said, right, group)
    normals = sorted(normal_subgroups(group), key=len, reverse=True)[1:]
    for normal, row in zip(normals, frame.itertuples(), strict=True):
        ratio = group.table[group.inverses[right], said]
        hits = [int(r) in normal for r in ratio]
        assert row.accuracy == pytest.approx(np.mean(hits))
        wrong = [hit for hit, s, r in zip(hits, said, right, strict=True) if s != r]
        assert row.given_wrong == pytest.approx(np.mean(wrong))


def test_a_sign_that_survives_shows_in_the_ladder():
    group = symmetric(4)
    signs = np.rint(np.linalg.det(np.eye(4)[np.array(group.elements)]))
    source = np.random.default_rng(0)
    right = source.integers(0, 24, 4000)
    by_sign = {s: np.flatnonzero(signs == s) for s in (-1, 1)}
    said = np.array([source.choice(by_sign[signs[r]]) for r in right])
    frame = quotient_accuracy(said, right, group).set_index("quotient")
    assert frame.loc["Z2", ["accuracy", "given_wrong"]].tolist() == [1, 1]
    assert frame.loc["S4", "accuracy"] == pytest.approx(1 / 12, abs=0.02)
    assert frame.loc["S3", "wrong_chance"] == pytest.approx(3 / 23)
    with pytest.raises(InputError, match="group's elements"):
        quotient_ladder(group_by_reflections(group), get_task("flip_flop"))


@pytest.mark.parametrize("name", ["S3", "Q8", "Z5", "A5"])
def test_characters_in_logits(name):
    """Logits made of one character; and the one-hot answer, which holds d^2 / (|G| - 1) of each."""
    group = parse(name)
    elements = np.arange(group.order)
    quotients = group.table[:, group.inverses]
    irreps = RealIrreps.of(group)
    for number in range(1, len(irreps.characters)):
        frame = character_similarity(irreps.values[number][quotients] + 5.0, elements, group)
        assert frame["similarity"].to_numpy() == pytest.approx(
            np.eye(len(frame))[number - 1], abs=1e-9
        )
    frame = character_similarity(np.eye(group.order), elements, group)
    shares = irreps.dimensions**2 / irreps.norms / (group.order - 1)
    assert frame["share"].to_numpy() == pytest.approx(shares[1:])
    assert frame["share"].sum() == pytest.approx(1.0)
    with pytest.raises(InputError, match="num_words"):
        character_similarity(np.eye(group.order)[:, :-1], elements, group)


def test_characters_of_a_construction_do_not_change_with_length():
    group = symmetric(3)
    task = get_task("word_problem", group="S3", generators="all")
    frame = characters_by_length(group_by_reflections(group), task, (4, 64), num_words=256)
    plane = frame[frame["irrep"] == "2R"]
    # Logits are <x R, x R'>, a matrix entry: by Schur 1 / dimension of its square is the character.
    assert plane["share"].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    assert frame[frame["irrep"] == "1R"]["share"].max() < 1e-6
    with pytest.raises(InputError, match="ascending"):
        characters_by_length(group_by_reflections(group), task, (4, 4))


def test_coset_concentration_of_indicators():
    group = symmetric(4)
    point = np.array([element[0] == 2 for element in group.elements], dtype=float)
    frame = coset_concentration(point[None], group)
    assert frame.loc[0, ["index", "subgroup_order"]].tolist() == [4, 6]
    assert frame.loc[0, "share"] == pytest.approx(1.0)
    assert frame.loc[0, "expected"] == pytest.approx(3 / 23)
    noise = np.random.default_rng(0).normal(size=(200, 24))
    stabiliser = [g for g, element in enumerate(group.elements) if element[0] == 0]
    cosets = {tuple(sorted(group.table[g, stabiliser])) for g in range(24)}
    shares = [
        np.mean([(row[list(c)].mean() - row.mean()) ** 2 for c in cosets]) / row.var()
        for row in noise
    ]
    assert np.mean(shares) == pytest.approx(3 / 23, abs=0.02)
    with pytest.raises(InputError, match="no subgroup"):
        coset_concentration(np.ones((1, 5)), cyclic(5))


def test_hidden_states_are_functions_of_the_element():
    task = get_task("word_problem", group="S3", generators="all")
    means, explained = element_means(group_by_reflections(symmetric(3)), task, 32)
    moving = means.var(axis=1) > 1e-9
    assert moving.any()
    assert explained[moving].min() > 1 - 1e-4
    with pytest.raises(InputError, match="raise num_words"):
        element_means(group_by_reflections(symmetric(3)), task, 4, num_words=2)


def test_relations_are_those_of_the_triangle_groups():
    """S4 by generators of order 2 and 3 with a product of order 4: <a^2, b^3, (ab)^4>."""
    group = symmetric(4)
    a, b = next(
        (a, b)
        for a, b in itertools.product(range(24), repeat=2)
        if (group.element_order(a), group.element_order(b)) == (2, 3)
        and group.element_order(group.table[a, b]) == 4
        and len(group.subgroup([a, b])) == 24
    )
    matrices = real_irreps(group)[3].matrices[[a, b]]
    frame = relation_errors(matrices, group, [a, b])
    assert frame["relation"].tolist() == ["(0)^2", "(1)^3", "(0 1)^4"]
    assert frame["length"].tolist() == [2, 3, 8]
