"""Eigenvalues, determinants and orthogonality."""

import numpy as np
import pytest

from automata.errors import InputError
from statetrack.analysis import (
    LayerTransitions,
    Transitions,
    determinants,
    eigenvalues,
    orthogonality,
    roots_of_unity,
)


def of_one_head(*matrices):
    stacked = np.stack(matrices)[:, None]
    ones = np.ones(len(matrices), dtype=np.int64)
    layer = LayerTransitions(2, stacked, np.zeros((len(matrices), 1)), ones)
    return Transitions("task", tuple("abcdefgh"[: len(matrices)]), (layer,))


def rotation(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("order", [2, 3, 5, 8])
def test_a_rotation_has_roots_of_unity(order):
    basis = np.random.default_rng(order).normal(size=(2, 2))
    frame = eigenvalues(of_one_head(np.linalg.inv(basis) @ rotation(2 * np.pi / order) @ basis))
    assert frame["layer"].tolist() == [2, 2]
    assert frame["index"].tolist() == [0, 1]
    np.testing.assert_allclose(frame["modulus"], 1, atol=1e-12)
    found = frame["real"].to_numpy() + 1j * frame["imag"].to_numpy()
    roots = roots_of_unity([order])
    assert np.abs(found[:, None] - roots).min(axis=1).max() < 1e-10
    assert sorted(np.abs(frame["angle"])) == pytest.approx([2 * np.pi / order] * 2)


def test_a_householder_factor_has_real_eigenvalues():
    key = np.random.default_rng(0).normal(size=8)
    key /= np.linalg.norm(key)
    frame = eigenvalues(of_one_head(np.eye(8) - 1.7 * np.outer(key, key)))
    assert (frame["imag"] == 0).all()
    assert sorted(frame["real"]) == pytest.approx([-0.7] + [1.0] * 7)


def test_complex_diagonal_channels():
    value = np.exp(2j * np.pi / 3)
    frame = eigenvalues(of_one_head(np.array([[value]]), np.array([[value**2]])))
    assert frame["angle"].to_numpy() == pytest.approx([2 * np.pi / 3, -2 * np.pi / 3])
    assert frame["token_name"].tolist() == ["a", "b"]


def test_determinants():
    frame = determinants(of_one_head(np.diag([2.0, -0.5]), rotation(0.3)))
    assert frame["real"].to_numpy() == pytest.approx([-1, 1])
    assert frame["imag"].to_numpy() == pytest.approx([0, 0])


def test_orthogonality():
    frame = orthogonality(of_one_head(rotation(1.0), np.diag([2.0, 1.0]), np.zeros((2, 2))))
    assert frame["distance"].to_numpy() == pytest.approx([0, np.sqrt(0.5), 1], abs=1e-12)
    assert frame["defect"].to_numpy() == pytest.approx([0, np.sqrt(4.5), 1], abs=1e-12)
    assert frame["largest"].to_numpy() == pytest.approx([1, 2, 0])


def test_roots_of_several_orders_are_distinct():
    assert len(roots_of_unity([1, 2, 3, 6])) == 6
    assert len(roots_of_unity([])) == 0
    with pytest.raises(InputError, match="order 0"):
        roots_of_unity([3, 0])
