"""Planted representations: what is hidden must be found, and nothing else."""

import numpy as np
import pytest

from automata.errors import InputError
from automata.groups import alternating, cyclic, symmetric
from statetrack.analysis import (
    LayerTransitions,
    Tolerances,
    Transitions,
    active_subspace,
    canonical_words,
    extend_to_group,
    homomorphism_error,
    persistent_subspace,
)
from statetrack.analysis.quotients import consistent_kernel, quotient_name


def as_transitions(*heads):
    """Wrap one array [num_tokens, N, N] per head."""
    matrices = np.stack(heads, axis=1)
    tokens = len(matrices)
    layer = LayerTransitions(
        0, matrices, np.zeros(matrices.shape[:2]), np.ones(tokens, dtype=np.int64)
    )
    return Transitions("planted", tuple(map(str, range(tokens))), (layer,))


def permutation_matrices(group):
    """Row form: row i of the identity moves to row p[i]."""
    degree = len(group.elements[0])
    return np.stack([np.eye(degree)[list(element)] for element in group.elements])


def standard_representation(group):
    """The permutation representation on vectors with sum zero: reflections and rotations."""
    matrices = permutation_matrices(group)
    degree = matrices.shape[-1]
    shifted = np.eye(degree) - 1 / degree
    plane = np.linalg.svd(shifted)[2][: degree - 1]
    return plane @ matrices @ plane.T


def padded(matrices, size):
    result = np.tile(np.eye(size), (len(matrices), 1, 1))
    result[:, : matrices.shape[-1], : matrices.shape[-1]] = matrices
    return result


def hidden(matrices, seed, orthogonal):
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=matrices.shape[1:])
    if orthogonal:
        basis = np.linalg.qr(basis)[0]
    return np.linalg.inv(basis) @ matrices @ basis


S3 = symmetric(3)


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_hidden_standard_representation_of_s3(seed, orthogonal):
    planted = hidden(padded(standard_representation(S3), 7), seed, orthogonal)
    limits = Tolerances() if orthogonal else Tolerances(persistent=1e-8, active=1e-8)
    for basis, dimension in ((None, 7), ("active", 2)):
        errors = homomorphism_error(
            as_transitions(planted), S3, range(6), basis=basis, tolerances=limits
        )
        (head,) = errors.heads
        assert head.dimension == dimension
        assert head.active_dimension == 2
        assert head.error < 1e-11
        assert head.max_error < 1e-10
        assert head.identity_error < 1e-11
        assert head.leakage < 1e-11
        assert head.separation > 0.3
        assert head.verdict == "faithful"
        assert head.kernel == (0,)


def test_separation_of_an_orthogonal_representation():
    """By Schur, the mean square distance to another element is 2 n / (n - 1)."""
    errors = homomorphism_error(as_transitions(standard_representation(S3)), S3, range(6))
    assert errors.heads[0].separation == pytest.approx(np.sqrt(2 * 6 / 5))


def test_active_displacements_of_an_orthogonal_representation():
    subspace = active_subspace(hidden(padded(standard_representation(S3), 5), 0, True))
    assert subspace.displacements == pytest.approx([np.sqrt(2)] * 2 + [0] * 3, abs=1e-12)
    np.testing.assert_allclose(subspace.basis @ subspace.basis.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("group", [symmetric(4), alternating(5)], ids=lambda group: group.name)
@pytest.mark.parametrize("scale", [1e-4, 1e-2])
def test_planted_noise_is_measured(group, scale):
    """M_p M_q - M_pq has three independent noises: RMS sqrt(3 N) per entry, over sqrt(N)."""
    exact = padded(permutation_matrices(group), 8)
    noise = scale * np.random.default_rng(1).normal(size=exact.shape)
    errors = homomorphism_error(as_transitions(exact + noise), group, range(group.order))
    expected = scale * np.sqrt(3 * 8)
    assert errors.heads[0].error == pytest.approx(expected, rel=0.1)
    assert errors.heads[0].max_error >= errors.heads[0].error


def test_noise_does_not_widen_the_active_subspace():
    exact = hidden(padded(standard_representation(S3), 16), 5, True)
    noise = 0.01 * np.random.default_rng(2).normal(size=exact.shape)
    (head,) = homomorphism_error(as_transitions(exact + noise), S3, range(6), basis="active").heads
    assert head.dimension == 2
    assert head.leakage < 0.1
    assert head.separation == pytest.approx(np.sqrt(2 * 6 / 5), rel=0.02)
    assert head.verdict == "faithful"


def test_directions_that_a_token_resets_carry_no_memory():
    """Like a trained parity head: token 0 forgets one direction, token 1 reflects another."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    resets = basis @ np.diag([0.3, 1, 1, 1, 1, 1]) @ basis.T
    reflects = basis @ np.diag([1, -0.999, 1, 1, 1, 1]) @ basis.T
    matrices = np.stack([resets, reflects])
    kept = persistent_subspace(matrices)
    assert len(kept) == 5
    np.testing.assert_allclose(kept @ basis[:, 0], 0, atol=1e-6)
    transitions = as_transitions(matrices)
    (whole,) = homomorphism_error(transitions, cyclic(2), [0, 1]).heads
    (active,) = homomorphism_error(transitions, cyclic(2), [0, 1], basis="active").heads
    assert whole.error > 0.1
    assert active.error < 1e-2
    assert (active.dimension, active.verdict) == (1, "faithful")


def test_persistence_of_growing_and_shrinking_states():
    growing = np.diag([3.0, 1.0, 0.5, 0.0])[None]
    kept = persistent_subspace(growing, length=8)
    np.testing.assert_allclose(np.abs(kept), np.eye(4)[:2], atol=1e-12)
    assert len(persistent_subspace(growing, length=2000)) == 1
    shrinking = np.diag([0.5, 0.5, 0.1])[None] * np.exp(0.3j)
    assert persistent_subspace(shrinking, length=2000).shape == (2, 3)
    assert persistent_subspace(np.zeros((2, 3, 3))).shape == (0, 3)


def test_trivial_representation_has_no_separation():
    errors = homomorphism_error(as_transitions(np.tile(np.eye(3), (6, 1, 1))), S3, range(6))
    (head,) = errors.heads
    assert (head.error, head.separation, head.ratio) == (0, 0, np.inf)
    assert head.verdict == "trivial"
    assert head.active_dimension == 0
    frame = homomorphism_error(
        as_transitions(np.tile(np.eye(3), (6, 1, 1))), S3, range(6), basis="active"
    ).to_frame()
    assert frame.loc[0, ["dimension", "kernel_order", "quotient", "verdict"]].tolist() == [
        0,
        6,
        "1",
        "trivial",
    ]


def test_heads_that_see_a_quotient_or_nothing_sensible():
    sign = np.linalg.det(permutation_matrices(S3))[:, None, None]
    random = np.random.default_rng(0).normal(size=(6, 1, 1))
    errors = homomorphism_error(as_transitions(sign, random), S3, range(6))
    assert [head.verdict for head in errors.heads] == ["sees Z2", "not a representation"]
    assert len(errors.heads[0].kernel) == 3
    assert errors.to_frame()["kernel_order"].tolist()[0] == 3


def test_complex_characters_of_a_cyclic_group():
    group = cyclic(5)
    power = np.array(group.elements, dtype=float)
    heads = [np.exp(2j * np.pi * k * power / 5)[:, None, None] for k in (1, 2, 0)]
    errors = homomorphism_error(as_transitions(*heads), group, range(5))
    assert max(head.error for head in errors.heads) < 1e-12
    assert [head.verdict for head in errors.heads] == ["faithful", "faithful", "trivial"]


def test_generators_are_extended_by_shortest_words():
    swap = S3.elements.index((1, 0, 2))
    cycle = S3.elements.index((1, 2, 0))
    exact = hidden(padded(standard_representation(S3), 4), 3, False)
    extended = extend_to_group(exact[[swap, cycle]], S3, [swap, cycle])
    np.testing.assert_allclose(extended, exact, atol=1e-10)
    errors = homomorphism_error(as_transitions(exact[[swap, cycle]]), S3, [swap, cycle])
    assert errors.heads[0].error < 1e-10
    words = canonical_words(S3, [swap, cycle])
    assert words[0] == ()
    assert max(map(len, words)) == 2
    for element, word in enumerate(words):
        product = 0
        for token in word:
            product = S3.table[product, [swap, cycle][token]]
        assert product == element


def test_a_learned_identity_token_is_not_replaced():
    matrices = standard_representation(S3).copy()
    matrices[0] = 0.9 * np.eye(2)
    (head,) = homomorphism_error(as_transitions(matrices), S3, range(6)).heads
    assert head.identity_error == pytest.approx(0.1)
    assert canonical_words(S3, range(6))[0] == (0,)


def test_tokens_of_the_same_element_are_averaged():
    signs = np.array([1.0, -1.0, -0.5])[:, None, None]
    extended = extend_to_group(signs, cyclic(2), [0, 1, 1])
    assert extended.ravel().tolist() == [1.0, -0.75]


def test_a_basis_that_is_not_invariant_leaks():
    matrices = standard_representation(S3)
    line = {(0, 0): np.array([[3.0, 0.0]])}
    (head,) = homomorphism_error(as_transitions(matrices), S3, range(6), basis=line).heads
    assert head.dimension == 1
    assert head.leakage > 0.5
    plane = {(0, 0): np.array([[1.0, 2.0], [0.0, 3.0]])}
    (head,) = homomorphism_error(as_transitions(matrices), S3, range(6), basis=plane).heads
    assert head.leakage < 1e-12
    assert head.error < 1e-12


def test_large_tables_are_cut_into_blocks():
    group = alternating(5)
    matrices = padded(permutation_matrices(group), 30)
    assert homomorphism_error(as_transitions(matrices), group, range(60)).heads[0].error == 0


@pytest.mark.parametrize(
    ("group", "kernel", "name"),
    [
        (symmetric(4), {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}, "S3"),
        (alternating(4), {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}, "Z3"),
    ],
)
def test_names_of_quotients(group, kernel, name):
    indices = [group.elements.index(element) for element in kernel]
    assert quotient_name(group, indices) == name


def test_a_kernel_that_is_no_normal_subgroup_is_refused():
    swap = S3.elements.index((1, 0, 2))
    values = np.ones((6, 1, 1))
    values[[element for element in range(6) if element not in (0, swap)]] = -1
    assert consistent_kernel(values, S3, 0.05, 0.01) is None
    assert homomorphism_error(as_transitions(values), S3, range(6)).heads[0].quotient == ""


@pytest.mark.parametrize(
    ("tokens", "message"),
    [([0, 3], "generate only 2 of the 6"), ([0, 9], "0..5"), ([], "every token")],
)
def test_bad_token_elements(tokens, message):
    with pytest.raises(InputError, match=message):
        canonical_words(S3, [S3.elements.index((1, 0, 2)) if t == 3 else t for t in tokens])


def test_bad_bases_and_shapes():
    planted = as_transitions(standard_representation(S3))
    with pytest.raises(InputError, match=r"shape \[D, 2\]"):
        homomorphism_error(planted, S3, range(6), basis={(0, 0): np.eye(3)})
    with pytest.raises(InputError, match="linearly dependent"):
        homomorphism_error(planted, S3, range(6), basis={(0, 0): np.ones((2, 2))})
    with pytest.raises(InputError, match="'active'"):
        homomorphism_error(planted, S3, range(6), basis="whole")
    with pytest.raises(InputError, match="matrices for 6 tokens, but elements for 2"):
        homomorphism_error(planted, S3, [0, 1])
    with pytest.raises(InputError, match=r"\[number, N, N\]"):
        active_subspace(np.zeros((3, 2)))
    with pytest.raises(InputError, match="negative"):
        active_subspace(np.zeros((3, 2, 2)), tolerance=-1)
