"""Matrices that are known up to a positive factor only.

Where a readout does not see the size of the state, a token's matrix times any positive number is
the same token. What long products do then shows on the block of directions that grows fastest: the
others vanish beside it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from statetrack.analysis.subspace import restrict
from statetrack.analysis.transitions import Transitions

_STEPS = 200
_SMALLEST = 1e-12
_GAP = 5.0


def dominant_subspace(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the directions that long random words make largest.

    The second moment of a state row is followed over 200 independent uniform tokens,
    ``X <- mean_p M_p^T X M_p / trace``; the block ends where the ratio between consecutive
    eigenvalues of what is left is first above 5.

    Parameters
    ----------
    matrices : ndarray, float64 [num_tokens, N, N]
        Transition of every token, in row form.

    Returns
    -------
    ndarray, float64 [D, N]
        Orthonormal rows, 1 <= D <= N; all of them when every direction grows alike.

    Notes
    -----
    O(num_tokens N^3).

    Examples
    --------
    >>> turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    >>> dominant_subspace(np.stack([5 * turn, turn])).shape
    (2, 3)
    """
    size = matrices.shape[-1]
    # Each token is brought to unit size first, so that loud tokens do not decide alone.
    norms = np.linalg.norm(matrices, axis=(-2, -1), keepdims=True)
    unit = matrices / np.where(norms > 0, norms, 1.0)
    moment = np.eye(size) / size
    for _ in range(_STEPS):
        moment = (unit.swapaxes(-1, -2) @ moment @ unit).mean(axis=0)
        trace = np.trace(moment)
        if trace == 0:
            return np.eye(size)
        moment /= trace
    energies, vectors = np.linalg.eigh(moment)
    energies = np.clip(energies[::-1], _SMALLEST, None)
    ratios = energies[:-1] / energies[1:]
    gaps = np.flatnonzero(ratios > _GAP)
    dimension = int(gaps[0]) + 1 if gaps.size else size
    rows: NDArray[np.float64] = vectors[:, ::-1].T[:dimension]
    return rows


def without_scale(
    transitions: Transitions,
) -> tuple[Transitions, dict[tuple[int, int], NDArray[np.float64]]]:
    """Divide every token's matrix by its size on the dominant block of its head.

    The size is ``|det|**(1 / D)`` of the matrix restricted to the D directions of the block, so
    that a representation up to scale becomes one with determinants of modulus 1.

    Parameters
    ----------
    transitions : Transitions
        Real matrices.

    Returns
    -------
    transitions : Transitions
        The same with matrices divided.
    bases : dict of (layer, head) to ndarray [D, N]
        The dominant blocks, as `homomorphism_error` takes them.

    Examples
    --------
    >>> from statetrack.analysis.transitions import LayerTransitions
    >>> signs = np.array([[[[3.0]]], [[[-0.5]]]])
    >>> layer = LayerTransitions(0, signs, np.zeros((2, 1)), np.ones(2, dtype=np.int64))
    >>> unit, _ = without_scale(Transitions("parity", ("0", "1"), (layer,)))
    >>> unit.layers[0].matrices.ravel().round(6).tolist()
    [1.0, -1.0]
    """
    bases: dict[tuple[int, int], NDArray[np.float64]] = {}
    layers = []
    for layer in transitions.layers:
        matrices = layer.matrices.copy()
        for head in range(matrices.shape[1]):
            basis = dominant_subspace(matrices[:, head])
            restricted, _ = restrict(matrices[:, head], basis)
            sizes = np.abs(np.linalg.det(restricted)) ** (1 / len(basis))
            matrices[:, head] /= np.where(sizes > 0, sizes, 1.0)[:, None, None]
            bases[layer.layer, head] = basis
        layers.append(replace(layer, matrices=matrices))
    return replace(transitions, layers=tuple(layers)), bases
