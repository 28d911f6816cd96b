"""Planted truth: representations behind a change of basis, noise, covers and relabellings."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.characters import character_table, real_irreps
from automata.errors import InputError
from automata.groups import alternating, cyclic, from_permutations, parse, symmetric
from statetrack.analysis import LayerTransitions, Transitions, match_representation, without_scale
from statetrack.analysis.covers import find_cover
from statetrack.analysis.homomorphism import Tolerances
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.planted import (
    PLANTED_GROUPS,
    plant_representation,
    planted_markdown,
    planted_table,
)
from statetrack.analysis.subspace import represented_subspace
from statetrack.analysis.unitarising import as_real, nearest_representation, unitarise
from tests.representation_cases import only, turn


@pytest.mark.parametrize("name", PLANTED_GROUPS)
def test_planted_representations_are_found(name):
    """Multiplicities always, score without noise, error within a tenth of the planted one."""
    for row in planted_table([name], seeds=[0]).itertuples():
        assert row.found
        if row.noise == 0:
            assert row.score > 1 - 1e-9
            assert row.error < 1e-7
            assert row.residual < 1e-8
        else:
            assert row.error == pytest.approx(row.planted_error, rel=0.1)
            assert row.score > 0.98


def test_planted_error_follows_its_law():
    """Three independent noises of N numbers each: ``noise * sqrt(3 N)``."""
    planted = plant_representation(parse("S5"), noise=1e-3, seed=3)
    size = planted.matrices.shape[-1]
    assert planted.error == pytest.approx(1e-3 * np.sqrt(3 * size), rel=0.02)


@pytest.mark.slow
def test_the_table_in_the_docs_is_what_the_code_finds():
    page = Path(__file__).parent.parent / "docs" / "representations.md"
    assert planted_markdown(planted_table()) in page.read_text(encoding="utf-8")


@given(
    name=st.sampled_from(["Z4", "Z7", "S3", "D4", "Q8", "A4", "Z2xZ2"]),
    seed=st.integers(0, 10_000),
    exponent=st.floats(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_the_answer_does_not_depend_on_the_basis(name, seed, exponent):
    group = parse(name)
    plain = plant_representation(group, seed=seed)
    bent = plant_representation(group, seed=seed, condition=10**exponent)
    first, second = only(plain.matrices, group), only(bent.matrices, group, basis=None)
    assert first.multiplicities == second.multiplicities == plain.multiplicities
    assert first.kernel == second.kernel
    assert (first.name, first.verdict) == (second.name, second.verdict)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(["S3", "Q8", "A4", "Z6"]))
@settings(max_examples=15, deadline=None)
def test_noise_is_measured_alike_in_every_basis(seed, name):
    group = parse(name)
    errors = []
    for condition in (1.0, 300.0):
        planted = plant_representation(group, condition=condition, noise=3e-3, seed=seed)
        errors.append(only(planted.matrices, group, basis=None).error)
    assert errors[0] == pytest.approx(errors[1], rel=0.03)
    assert errors[0] <= planted.error * 1.01


@pytest.mark.parametrize("name", ["Z5", "Q8", "SL(2,3)"])
def test_real_multiplicities_against_complex_ones(name):
    """The published inner product over complex rows, of a matrix group nobody cut into parts."""
    group = parse(name)
    regular = np.zeros((group.order,) * 3)
    for g in range(group.order):
        regular[g, np.arange(group.order), group.table[:, g]] = 1
    head = only(regular, group)
    table = character_table(group)
    traces = [group.order if members == (0,) else 0 for members in group.conjugacy_classes]
    by_row = table.multiplicities(traces)
    irreps = RealIrreps.of(group)
    for share, character in zip(head.irreps, irreps.characters, strict=True):
        complex_number = by_row[character.constituents[0]]
        assert share.multiplicity == complex_number // (2 if share.type == "H" else 1)
        assert share.energy == pytest.approx(
            share.multiplicity * share.dimension / group.order, abs=1e-9
        )
    assert head.name == "regular"
    assert head.verdict == "faithful"
    assert sum(share.multiplicity * share.dimension for share in head.irreps) == group.order


def test_projectors_are_orthogonal_and_complete():
    planted = plant_representation(symmetric(4), [2, 1, 1, 0, 1])
    found = unitarise(planted.matrices)
    irreps = RealIrreps.of(symmetric(4))
    parts = [irreps.projector(i, found.matrices) for i in range(5)]
    np.testing.assert_allclose(sum(parts), np.eye(8), atol=1e-9)
    for i, j in itertools.product(range(5), repeat=2):
        np.testing.assert_allclose(parts[i] @ parts[j], parts[i] * (i == j), atol=1e-9)
    assert [round(np.trace(part)) for part in parts] == [2, 1, 2, 0, 3]


def test_scale_that_the_readout_does_not_see():
    """An MRU's matrices are known up to positive factors: divided by them, they are read."""
    planted = plant_representation(alternating(4), [0, 0, 1], seed=1)
    factors = np.geomspace(0.2, 7, 12)[:, None, None, None]
    layer = LayerTransitions(
        0, factors * planted.matrices[:, None], np.zeros((12, 1)), np.ones(12, dtype=np.int64)
    )
    scaled = Transitions("a4", tuple(map(str, range(12))), (layer,))
    unit, bases = without_scale(scaled)
    head = match_representation(unit, alternating(4), basis=bases).heads[0]
    assert (head.name, head.verdict) == ("rotations of a tetrahedron", "faithful")
    assert head.score > 1 - 1e-9


def test_tokens_outside_what_the_first_ones_reach():
    """Two tokens for one element, one of them with a sign: only together they make the cover."""
    flip = np.diag([1.0, -1.0])
    tokens = np.stack([np.eye(2), -flip, flip, -np.eye(2)])
    cover = find_cover(tokens, cyclic(2), [0, 1, 1, 0])
    assert cover.degree == 2
    assert cover.name == "Z2xZ2"
    assert cover.splits
    assert cover.minus_one == cover.token_elements[3]
    assert cover.projection[cover.token_elements].tolist() == [0, 1, 1, 0]


def test_what_does_not_close_is_no_representation():
    generic = np.stack([turn(1.0), turn(0.3)])
    head = only(generic, cyclic(2), [0, 1], basis=None)
    assert head.verdict == "not a representation"
    assert head.cover is None
    assert find_cover(generic, cyclic(2), [0, 1]) is None
    noise = np.random.default_rng(0).normal(size=(6, 4, 4))
    assert only(noise, symmetric(3), basis=None).verdict == "not a representation"


def beside_unrelated_turns(seed, condition=1.0):
    """The dihedral group of a pentagon, three fixed directions, four that follow no group."""
    source = np.random.default_rng(seed)
    turns = [turn(2 * np.pi * k / 5) for k in range(5)]
    plane = np.stack([*turns, *(one @ np.diag([1.0, -1.0]) for one in turns)])
    group = from_permutations([(1, 2, 3, 4, 0), (0, 4, 3, 2, 1)])
    corners = np.stack([np.cos(0.4 * np.pi * np.arange(5)), np.sin(0.4 * np.pi * np.arange(5))], -1)
    by_element = [
        next(one for one in plane if np.allclose(corners @ one, corners[list(element)]))
        for element in group.elements
    ]
    junk = scipy.stats.ortho_group.rvs(4, size=10, random_state=source)
    blocks = zip(by_element, junk, strict=True)
    apart = np.stack([scipy.linalg.block_diag(one, np.eye(3), other) for one, other in blocks])
    bend = scipy.stats.ortho_group.rvs(9, random_state=source) * np.geomspace(1, condition, 9)
    return group, np.linalg.inv(bend) @ apart @ bend, bend[:5]


@pytest.mark.parametrize(("seed", "condition"), [(0, 1.0), (1, 1.0), (2, 30.0)])
def test_a_representation_beside_unrelated_directions_is_found(seed, condition):
    group, matrices, planted = beside_unrelated_turns(seed, condition)
    rows = represented_subspace(matrices, group.table)
    assert scipy.linalg.subspace_angles(rows.T, planted.T).max() < 1e-6
    whole = only(matrices, group, basis=None, tolerances=Tolerances(represented=0.0))
    assert (whole.verdict, whole.dimension) == ("not a representation", 9)
    part = only(matrices, group, basis=None)
    assert (part.verdict, part.dimension, part.subspace) == ("faithful", 5, 9)
    assert part.name == "symmetries of a 5-gon"
    assert part.multiplicities[0] == 3
    assert part.error < 1e-6
    assert part.leakage < 1e-6


@given(seed=st.integers(0, 2**16), noise=st.floats(0, 0.03))
@settings(max_examples=10, deadline=None)
def test_noise_leaves_the_represented_part_where_it_is(seed, noise):
    group, matrices, planted = beside_unrelated_turns(seed)
    bent = matrices + noise / 3 * np.random.default_rng(seed).normal(size=matrices.shape)
    part = only(bent, group, basis=None)
    assert part.verdict == "faithful"
    rows = represented_subspace(bent, group.table)
    assert len(rows) == 5
    assert scipy.linalg.subspace_angles(rows.T, planted.T).max() <= 10 * noise + 1e-6


def test_nearest_representation_against_the_known_answer():
    """In the plane it is the rotation by the mean angle error, found by averages of angles."""
    source = np.random.default_rng(2)
    errors = 0.05 * source.normal(size=7)
    errors[0] = 0.0
    learned = np.stack([turn(2 * np.pi * k / 7 + e) for k, e in enumerate(errors)])
    nearest = nearest_representation(learned, cyclic(7))
    np.testing.assert_allclose(nearest[1], turn(2 * np.pi / 7), atol=1e-9)
    assert nearest_representation(source.normal(size=(7, 2, 2)), cyclic(7)) is None


def test_complex_matrices_are_read_as_real_ones():
    group = cyclic(5)
    values = np.exp(2j * np.pi * np.arange(5) * 2 / 5)[:, None, None]
    head = only(values, group)
    assert (head.dimension, head.formula) == (2, "2Cb")
    assert head.name == "rotations of a 5-gon"
    assert head.automorphism is not None
    product = as_real(values[1] @ values[3])
    np.testing.assert_allclose(product, as_real(values[1]) @ as_real(values[3]), atol=1e-12)
    row = np.array([[1.0 + 2.0j]])
    head = only(values, group, starts={(0, 0): row})
    assert sum(share.energy for share in head.irreps) == pytest.approx(1.0)


def test_starts_decide_what_is_seen():
    """A state that starts in one isotypic part sees nothing of the other."""
    group = symmetric(3)
    both = np.zeros((6, 3, 3))
    both[:, 0, 0] = real_irreps(group)[1][:, 0, 0]
    both[:, 1:, 1:] = real_irreps(group)[2].matrices
    head = only(both, group, basis=None, starts={(0, 0): np.array([[3.0, 0.0, 0.0]])})
    energies = {share.label: share.energy for share in head.irreps}
    assert energies["1R"] == pytest.approx(1.0)
    assert energies["2R"] == pytest.approx(0.0)
    separations = {share.label: share.separation for share in only(both, group).irreps}
    assert separations["1R"] == pytest.approx(0, abs=1e-12)
    # A reflection moves an orthonormal basis of the plane by 2, of a whole norm of sqrt(3).
    assert separations["2R"] == pytest.approx(2 / np.sqrt(3))


def test_layers_see_together_what_channels_see_apart():
    """Z6 by a sign and a cube root of unity: neither is faithful, both together are."""
    powers = np.arange(6)
    channels = np.stack([np.exp(2j * np.pi * powers * k / 6) for k in (3, 2, 0)], axis=1)[
        ..., None, None
    ]
    layer = LayerTransitions(0, channels, np.zeros((6, 3)), np.ones(6, dtype=np.int64))
    matches = match_representation(Transitions("z6", tuple("012345"), (layer,)), cyclic(6))
    assert [head.verdict for head in matches.heads] == ["sees Z2", "sees Z3", "trivial"]
    assert matches.layers_frame().loc[0, ["heads", "quotient"]].tolist() == [2, "Z6"]
    assert len(matches.irreps_frame()) == 3 * 4


def test_generators_alone_are_enough():
    planted = plant_representation(symmetric(4), [1, 0, 0, 1, 0], condition=10)
    letters = list(symmetric(4).generators)
    head = only(planted.matrices[letters], symmetric(4), letters, basis=None)
    assert head.multiplicities == (1, 0, 0, 1, 0)
    assert head.score > 1 - 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match_representation(np.zeros((3, 2)), cyclic(3)), r"\[num_tokens, N, N\]"),
        (lambda: match_representation(np.zeros((3, 2, 2)), cyclic(2)), "matrices for 3 tokens"),
        (lambda: match_representation(np.full((2, 1, 1), np.nan), cyclic(2)), "not finite"),
        (lambda: match_representation(np.ones((2, 1, 1)), cyclic(2), basis="all"), "'persistent'"),
        (lambda: match_representation(np.ones((2, 1, 1)), cyclic(2), basis={}), "basis lacks"),
        (lambda: match_representation(np.ones((2, 1, 1)), cyclic(2), starts={}), "starts lacks"),
        (lambda: match_representation(np.ones((2, 1, 1)), cyclic(2), covers=0), "at least 1"),
        (lambda: match_representation(np.ones((1, 1, 1)), cyclic(2), [0]), "generate only"),
        (lambda: plant_representation(cyclic(2), [1]), "give 2 numbers, of trivial, 1R"),
        (lambda: plant_representation(cyclic(2), condition=0.5), "at least 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_states_that_are_all_forgotten_are_trivial():
    head = only(np.zeros((2, 3, 3)), cyclic(2))
    assert (head.dimension, head.verdict, head.name) == (0, "trivial", "trivial")
