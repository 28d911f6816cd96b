"""Orthogonal change of basis between two representations, and what is left between them.

Shape suffixes: G elements, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

from statetrack.analysis.unitarising import polar_factor

_TRIES = 8


def intertwiner(learned: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find an orthogonal O with ``O learned_g O^T`` near ``known_g``.

    Random matrices T are averaged to ``sum_g known_g T learned_g^T``, which commutes with the two
    when both are representations and is invertible exactly when they are equivalent; the best
    conditioned average is made orthogonal.

    Parameters
    ----------
    learned, known : ndarray, float64 [G, D, D]
        Orthogonal matrices, or nearly.

    Returns
    -------
    ndarray, float64 [D, D]

    Notes
    -----
    O(G D^3), for each of 8 random starts from a fixed seed.

    Examples
    --------
    >>> flip = np.stack([np.eye(2), np.diag([1.0, -1.0])])
    >>> other = np.stack([np.eye(2), np.diag([-1.0, 1.0])])
    >>> np.abs(intertwiner(flip, other)).round(9).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    size = learned.shape[-1]
    source = np.random.default_rng(0)
    best, widest = np.eye(size), -1.0
    for _ in range(_TRIES):
        start = source.standard_normal((size, size))
        mean = (known @ start @ learned.swapaxes(-1, -2)).mean(axis=0)
        singular = np.linalg.svd(mean, compute_uv=False)
        ratio = float(singular[-1] / singular[0]) if size and singular[0] > 0 else 0.0
        if ratio > widest:
            best, widest = polar_factor(mean), ratio
    return best


def match_score(learned: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """How much of a known representation the learned matrices are, in the best basis found.

    Parameters
    ----------
    learned, known : ndarray, float64 [G, D, D]

    Returns
    -------
    float
        ``1 - sum_g |O learned_g O^T - known_g|^2 / sum_g |known_g|^2`` in [0, 1]; 1 is equality.

    Examples
    --------
    >>> flip = np.stack([np.eye(2), np.diag([1.0, -1.0])])
    >>> match_score(flip, flip), match_score(0.9 * flip, flip).__round__(6)
    (1.0, 0.99)
    """
    if learned.shape != known.shape:
        return 0.0
    total = float(np.square(known).sum())
    if total == 0:
        return 1.0
    basis = intertwiner(learned, known)
    rest = float(np.square(basis @ learned @ basis.T - known).sum())
    return max(0.0, 1.0 - rest / total)
