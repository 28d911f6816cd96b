"""Linear machines brought to their smallest form.

A recurrence that is linear in its state and read linearly is a weighted automaton over the reals;
what no word reaches and what no word shows can be cut away exactly. Shape suffixes: P tokens, N
state size, D dimension, K start rows, C outputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automata.errors import InputError


@dataclass(frozen=True, eq=False)
class Realisation:
    """A weighted automaton ``f(w) = start @ M_w1 @ ... @ M_wT @ readout``.

    Attributes
    ----------
    start : ndarray [K, D]
    matrices : ndarray [P, D, D]
    readout : ndarray [D, C]
    reachable_dimension, observable_dimension : int
        Of the machine that was given.
    strengths : ndarray, float64 [min(reachable, observable)]
        Cosines of the principal angles between what is reached and what is seen; those above the
        tolerance are kept.
    reachable : ndarray [R, N]
        Orthonormal rows that span all states that words lead to.
    """

    start: NDArray[Any]
    matrices: NDArray[Any]
    readout: NDArray[Any]
    reachable_dimension: int
    observable_dimension: int
    strengths: NDArray[np.float64]
    reachable: NDArray[Any]

    @property
    def dimension(self) -> int:
        """Number of states of the smallest machine."""
        return int(self.matrices.shape[-1])

    def value(self, word: NDArray[np.int64]) -> NDArray[Any]:
        """Output [K, C] after a word."""
        rows = self.start
        for token in np.asarray(word, dtype=np.int64):
            rows = rows @ self.matrices[token]
        return rows @ self.readout


def krylov_rows(
    start: NDArray[Any], matrices: NDArray[Any], *, tolerance: float = 1e-9
) -> NDArray[Any]:
    """Find an orthonormal basis of all rows that words make of some rows.

    Parameters
    ----------
    start : ndarray [K, N]
    matrices : ndarray [P, N, N]
        In row form.
    tolerance : float
        Length of what is new in a row, as a share of the row, below which it is rounding.

    Returns
    -------
    ndarray [R, N]

    Notes
    -----
    Breadth first; each row that is new is multiplied by every matrix once: O(P R N^2).

    Examples
    --------
    >>> shift = np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    >>> krylov_rows(np.array([[0.0, 2.0, 0.0]]), shift).shape
    (2, 3)
    """
    size = matrices.shape[-1]
    kind = np.result_type(start, matrices, np.float64)
    basis_RN = np.zeros((0, size), dtype=kind)
    queue = list(np.atleast_2d(start).astype(kind))
    while queue and len(basis_RN) < size:
        row_N = queue.pop(0)
        length = np.linalg.norm(row_N)
        if length == 0:
            continue
        rest_N = row_N / length
        for _ in range(2):  # twice is enough
            rest_N = rest_N - (rest_N @ basis_RN.conj().T) @ basis_RN
        new = np.linalg.norm(rest_N)
        if new > tolerance:
            rest_N = rest_N / new
            basis_RN = np.concatenate([basis_RN, rest_N[None]])
            queue.extend(rest_N @ matrices)
    return basis_RN


def minimal_realisation(
    start: NDArray[Any],
    matrices: NDArray[Any],
    readout: NDArray[Any] | None = None,
    *,
    tolerance: float = 1e-9,
) -> Realisation:
    """Cut a linear machine down to what words reach and the readout shows.

    Parameters
    ----------
    start : ndarray [K, N]
        State rows before the first token.
    matrices : ndarray [P, N, N]
        Transition of every token, in row form.
    readout : ndarray [N, C], optional
        Everything is seen by default, so that only what is not reached goes.
    tolerance : float
        Below it directions count as rounding.

    Returns
    -------
    Realisation
        Gives the same outputs after every word.

    Raises
    ------
    InputError
        Shapes that do not fit.

    Notes
    -----
    Schuetzenberger's minimisation: rows reachable forward (`krylov_rows` from the start), columns
    observable backward (from the readout), and the rank of their product, which is that of the
    Hankel matrix; in orthonormal bases it is taken by a singular value decomposition. Affine
    recurrences fit with a constant coordinate. O(P N^3).

    Examples
    --------
    A counter modulo 2 written twice is as good as written once:

    >>> swap = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    >>> twice = np.block([[swap[0], np.zeros((2, 2))], [np.zeros((2, 2)), swap[0]]])[None]
    >>> small = minimal_realisation(np.array([[1.0, 0, 1, 0]]), twice, np.array([[1.0], [0], [0], [0]]))
    >>> small.dimension, small.value(np.array([0, 0])).round(9).tolist()
    (2, [[1.0]])
    """  # noqa: E501
    start_KN = np.atleast_2d(np.asarray(start))
    size = matrices.shape[-1]
    readout_NC = np.eye(size) if readout is None else np.asarray(readout)
    if matrices.ndim != 3 or matrices.shape[1] != size:
        raise InputError(f"matrices have shape {matrices.shape}: give [num_tokens, N, N]")
    if start_KN.shape[1] != size or readout_NC.ndim != 2 or readout_NC.shape[0] != size:
        raise InputError(
            f"start has shape {start_KN.shape} and readout {readout_NC.shape}: "
            f"give [K, {size}] and [{size}, C]"
        )
    forward_RN = krylov_rows(start_KN, matrices, tolerance=tolerance)
    backward_ON = krylov_rows(readout_NC.T, matrices.swapaxes(-1, -2), tolerance=tolerance)
    left, cosines, right = np.linalg.svd(forward_RN @ backward_ON.T, full_matrices=False)
    kept = cosines > tolerance
    roots = np.sqrt(cosines[kept])
    # h ~ (h @ into) with `into` [N, D] seeing what is observable, `out` [D, N] what is reached.
    into = backward_ON.T @ right.conj().T[:, kept] / roots
    out = (left[:, kept] / roots).conj().T @ forward_RN
    return Realisation(
        start=start_KN @ into,
        matrices=out @ matrices @ into,
        readout=out @ readout_NC,
        reachable_dimension=len(forward_RN),
        observable_dimension=len(backward_ON),
        strengths=cosines,
        reachable=forward_RN,
    )
