"""Representations hidden behind scales, larger blocks and changes of basis are found again."""

import numpy as np
import pytest

from automata.groups import symmetric
from statetrack.analysis import dominant_subspace, homomorphism_error, without_scale
from statetrack.analysis.transitions import LayerTransitions, Transitions

S3 = symmetric(3)


def reflections_and_rotations():
    """The two-dimensional representation of S3, from permutation matrices, in row form."""
    permutations = np.stack([np.eye(3)[list(images)] for images in S3.elements])
    plane = np.linalg.svd(np.ones((1, 3)))[2][1:]
    return plane @ permutations @ plane.T


def hidden(seed, junk=0.1):
    """The representation times a scale per token, beside a small block, in another basis."""
    rng = np.random.default_rng(seed)
    matrices = np.zeros((6, 4, 4))
    matrices[:, :2, :2] = reflections_and_rotations()
    matrices[:, 2:, 2:] = junk * rng.normal(size=(6, 2, 2))
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    scales = np.exp(rng.normal(size=6))
    return scales[:, None, None] * (basis @ matrices @ basis.T)


def transitions_of(matrices):
    layer = LayerTransitions(0, matrices[:, None], np.zeros((6, 1)), np.ones(6, dtype=np.int64))
    return Transitions("s3", tuple("abcdef"), (layer,))


@pytest.mark.parametrize("seed", range(5))
def test_a_representation_up_to_scale_is_found(seed):
    unit, bases = without_scale(transitions_of(hidden(seed)))
    assert bases[0, 0].shape == (2, 4)
    frame = homomorphism_error(unit, S3, np.arange(6), basis=bases).to_frame()
    assert frame.error[0] < 1e-9
    assert frame.separation[0] == pytest.approx(np.sqrt(12 / 5))
    assert frame.verdict[0] == "faithful"


def test_scales_matter_to_the_plain_error():
    frame = homomorphism_error(transitions_of(hidden(0)), S3, np.arange(6)).to_frame()
    assert frame.error[0] > 0.1


def test_block_sizes_are_read_on_the_block():
    unit, _ = without_scale(transitions_of(hidden(3)))
    eigenvalues = np.linalg.eigvals(unit.layers[0].matrices[:, 0])
    largest_two = np.sort(np.abs(eigenvalues), axis=-1)[:, 2:]
    np.testing.assert_allclose(largest_two, 1.0)


def test_all_directions_when_all_grow_alike():
    assert dominant_subspace(reflections_and_rotations()).shape == (2, 2)
    assert dominant_subspace(np.zeros((2, 3, 3))).shape == (3, 3)
