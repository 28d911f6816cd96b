"""Errors of learned rotations: planted ones are found again, and scaled ones follow the law."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm, null_space

from automata.errors import InputError
from automata.groups import dicyclic, dihedral, symmetric
from automata.tasks import get_task
from statetrack.analysis import predict_horizon
from statetrack.analysis.learned_errors import (
    errors_of_model,
    learned_errors,
    scaled_horizons,
)
from statetrack.analysis.type_law import faithful_irrep, slopes
from statetrack.models import build_model
from statetrack.training.algebra_tables import error_tables
from tests.horizon_cases import noisy_group


def planted(group, size, seed=0, copies=1):
    """Copies of the faithful irreducible representation with random errors, and both factors."""
    one = faithful_irrep(group)
    exact = np.stack([np.kron(np.eye(copies), matrix) for matrix in one])
    normal = np.random.default_rng(seed).standard_normal(exact.shape)
    skew = normal - normal.swapaxes(1, 2)
    skew *= size * np.sqrt(exact.shape[-1]) / np.linalg.norm(skew, axis=(1, 2), keepdims=True)
    return exact, skew, exact @ expm(skew)


@pytest.mark.parametrize(
    ("group", "copies", "directions"),
    [(dihedral(4), 1, 0), (dihedral(4), 2, 1), (dicyclic(2), 1, 3), (dicyclic(3), 1, 3)],
    ids=["D4", "two copies of D4", "Q8", "Dic3"],
)
def test_planted_errors_are_found_up_to_a_change_of_basis(group, copies, directions):
    _, skew, matrices = planted(group, 0.01, copies=copies)
    found = learned_errors(matrices, group)
    assert found.drift_directions == directions
    np.testing.assert_allclose(found.scaled(1.0), matrices, atol=1e-12)
    table = np.asarray(group.table)
    products = found.scaled(0.0)
    assert np.abs(products[:, None] @ products[None] - products[table]).max() < 1e-9
    # what is left once the basis is chosen best is no more than what was planted
    assert 0.3 * 0.01 < found.size < 1.05 * 0.01
    # drift by projection on the commutant's skew matrices, found as a null space
    rows = [
        np.kron(np.eye(matrices.shape[-1]), one.T) - np.kron(one, np.eye(matrices.shape[-1]))
        for one in products
    ]
    size = matrices.shape[-1]
    swap = np.eye(size * size).reshape(size, size, -1).swapaxes(0, 1).reshape(size * size, -1)
    basis = null_space(np.concatenate([*rows, np.eye(size * size) + swap]), rcond=1e-6)
    assert basis.shape[1] == directions
    projected = basis @ (basis.T @ found.errors.mean(axis=0).ravel())
    np.testing.assert_allclose(found.drift.ravel(), projected, atol=1e-9)
    planted_drift = basis @ (basis.T @ skew.mean(axis=0).ravel())
    assert np.linalg.norm(planted_drift) / np.sqrt(size) == pytest.approx(
        found.drift_size, rel=0.05, abs=1e-4
    )


def test_what_is_no_rotation_or_no_group_is_refused():
    _, _, matrices = planted(dihedral(4), 0.01)
    with pytest.raises(InputError, match="no rotations"):
        learned_errors(1.1 * matrices, dihedral(4))
    random = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 3, 3)))[0]
    with pytest.raises(InputError, match="no representation is near"):
        learned_errors(random, symmetric(3))
    task = get_task("word_problem", group="S3", generators="all")
    two_heads = build_model(
        "mru", num_tokens=6, num_classes=6, num_heads=2, width=8, input_method="exponential"
    )
    with pytest.raises(InputError, match="one head"):
        errors_of_model(two_heads, task)
    with pytest.raises(InputError, match="all elements as tokens"):
        errors_of_model(two_heads, get_task("word_problem", group="S3", generators="standard"))
    assert error_tables(two_heads, task) == {}


def test_scaled_errors_follow_the_law_with_the_decoder_of_the_model():
    tables = {}
    for name in ("D4", "Q8"):
        rows = []
        for seed in range(3):
            model, task = noisy_group(name, 0.08, seed)
            frame = scaled_horizons(model, task, (1.0, 0.5, 0.25), num_words=256)
            rows.append(frame.assign(group=name, draw=seed))
        tables[name] = pd.concat(rows)
    fits = slopes(pd.concat(tables.values())).set_index("group")
    assert -2.25 < fits.slope["D4"] < -1.75, fits
    assert -1.15 < fits.slope["Q8"] < -0.85, fits


def test_the_horizon_of_factor_one_is_that_of_the_model():
    model, task = noisy_group("Q8", 0.05)
    frame = scaled_horizons(model, task, (1.0,), num_words=512, threshold=0.9)
    own = predict_horizon(model, task, threshold=0.9, num_words=512)
    assert frame.horizon[0] == pytest.approx(own.length, rel=1e-6)
    tables = error_tables(model, task)
    (row,) = tables["learned_errors"].to_dict("records")
    assert (row["group"], row["drift_directions"]) == ("Q8", 3)
    assert tables["scaled_errors"].error[0] == row["error"]
    assert tables["scaled_errors"].factor.tolist() == [1.0, 0.5, 0.25]
