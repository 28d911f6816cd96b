"""The parts of the state that carry memory, that the tokens move, and that keep a group's products.

Directions that some token forgets hold nothing for long, directions that every token leaves alone
tell no element from another, and directions in which a model does not follow the group say nothing
of how it does in the others: all of them only blur errors. Shape suffixes: P tokens, G elements,
N state size, D dimension.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automata.errors import InputError

_LOG_ROUNDING = float(np.log(1e-12))


@dataclass(frozen=True, eq=False)
class ActiveSubspace:
    """Subspace of state rows on which a set of matrices acts non-trivially.

    Attributes
    ----------
    basis : ndarray [D, N]
        Orthonormal rows that span it.
    displacements : ndarray, float64 [N]
        Singular values of the stacked differences over sqrt(number of matrices), largest first:
        how far the matrices move each direction, as a root mean square. A non-trivial irreducible
        orthogonal representation moves each of its directions by exactly sqrt(2).
    tolerance : float
        A direction counts when its displacement exceeds ``tolerance * max(1, displacements[0])``.
    """

    basis: NDArray[Any]
    displacements: NDArray[np.float64]
    tolerance: float

    @property
    def dimension(self) -> int:
        """Number of directions D."""
        return int(self.basis.shape[0])


def active_subspace(
    matrices: NDArray[Any],
    *,
    reference: NDArray[Any] | None = None,
    tolerance: float = 0.1,
) -> ActiveSubspace:
    """Find the subspace on which matrices act non-trivially.

    Row form: it is the row space of all ``M_g - M_e`` together. When ``M`` is a representation,
    that space is invariant (``w M_g`` stays in it) and restricting to it loses nothing, whatever
    the basis: a change of basis need not be orthogonal.

    Parameters
    ----------
    matrices : ndarray, real or complex [G, N, N]
        One matrix for every group element, element 0 the identity; or one for every token.
    reference : ndarray [N, N], optional
        The matrix that counts as doing nothing; ``matrices[0]`` by default.
    tolerance : float
        Share of the largest displacement, or of 1 where that is larger, below which a direction
        counts as unmoved. Entries with noise of size s move unused directions by about
        ``s * sqrt(2 N)``. Lower it for exact matrices in an ill-conditioned basis.

    Returns
    -------
    ActiveSubspace
        Orthonormal basis and displacements.

    Raises
    ------
    InputError
        The matrices are not square or the tolerance is negative.

    Notes
    -----
    One singular value decomposition of a [G * N, N] array: O(G N^3).

    Examples
    --------
    >>> flip = np.stack([np.eye(3), np.diag([1.0, -1.0, 1.0])])
    >>> active_subspace(flip).dimension
    1
    """
    _check_square(matrices)
    if tolerance < 0:
        raise InputError(f"tolerance must not be negative, and is {tolerance}")
    fixed_NN = matrices[0] if reference is None else reference
    num_matrices, size, _ = matrices.shape
    stacked = (matrices - fixed_NN).reshape(num_matrices * size, size)
    _, singular_N, right_NN = np.linalg.svd(stacked, full_matrices=False)
    displacements = singular_N / np.sqrt(num_matrices)
    dimension = int((displacements > tolerance * max(1.0, displacements[0])).sum())
    return ActiveSubspace(right_NN[:dimension], displacements, tolerance)


def persistent_subspace(
    matrices: NDArray[Any], *, length: int = 64, tolerance: float = 0.1
) -> NDArray[Any]:
    """Find the state directions that outlive long random words.

    The second moment of a state row, from the identity, is followed exactly over `length`
    independent uniform tokens, ``X <- mean_p M_p^H X M_p``. What is left of it spans the states
    that can be reached from the far past: the image of long words, which every token maps into
    itself. On it a model that tracks a group acts by invertible matrices, while a direction that
    one token resets is gone.

    Parameters
    ----------
    matrices : ndarray, real or complex [num_tokens, N, N]
        Transition of every token, in row form.
    length : int
        Length of the words.
    tolerance : float
        Root mean square amplitude after the word below which a direction counts as forgotten, as
        a share of the largest one where that is below 1. With the defaults a direction that loses
        more than 3.5 % at every token is forgotten. So is one below 1e-6 of the largest, which
        rounding hides.

    Returns
    -------
    ndarray [D, N]
        Orthonormal rows, the longest lived first.

    Raises
    ------
    InputError
        The matrices are not square.

    Notes
    -----
    O(length * num_tokens * N^3).

    Examples
    --------
    >>> keeps, resets = np.diag([1.0, 1.0]), np.diag([-1.0, 0.5])
    >>> np.abs(persistent_subspace(np.stack([keeps, resets])))
    array([[1., 0.]])
    """
    _check_square(matrices)
    size = matrices.shape[-1]
    adjoint = matrices.conj().swapaxes(-1, -2)
    moment_NN = np.eye(size, dtype=matrices.dtype)
    log_scale = 0.0
    for _ in range(length):
        moment_NN = (adjoint @ moment_NN @ matrices).mean(axis=0)
        scale = float(np.trace(moment_NN).real) / size
        if scale == 0:
            return np.zeros((0, size), dtype=matrices.dtype)
        moment_NN = moment_NN / scale
        log_scale += np.log(scale)
    energy_N, vector_NN = np.linalg.eigh(moment_NN)
    log_energy_N = np.log(np.clip(energy_N[::-1], 1e-300, None)) + log_scale
    forgotten = 2 * np.log(tolerance) + min(0.0, float(log_energy_N[0]))
    kept = log_energy_N > max(forgotten, float(log_energy_N[0]) + _LOG_ROUNDING)
    rows: NDArray[Any] = vector_NN[:, ::-1].conj().T[kept]
    return rows


def represented_subspace(
    matrices: NDArray[Any], table: NDArray[Any], *, tolerance: float = 0.2
) -> NDArray[Any]:
    """Find the state directions on which products of matrices are those of a group.

    Rows v with ``v M_p M_q = v M_pq`` for all p and q: every M_p maps them into themselves, since
    ``v M_r M_p M_q = v M_rp M_q = v M_rpq = v M_r M_pq``, and on them the matrices are a
    representation. A model may track a group in two dimensions of its state and do as it likes in
    the others.

    Parameters
    ----------
    matrices : ndarray, real or complex [order, N, N]
        One matrix for every group element, in row form.
    table : ndarray of int [order, order]
        Products of elements.
    tolerance : float
        Root mean square of ``|v (M_p M_q - M_pq)|`` over all pairs, for v of length 1, above which
        a direction counts as not represented. A non-trivial irreducible orthogonal representation
        moves a direction by sqrt(2) in that mean, unrelated orthogonal matrices err by as much.

    Returns
    -------
    ndarray [D, N]
        Orthonormal rows, the smallest error first; unmoved directions are among them.

    Raises
    ------
    InputError
        The matrices are not square.

    Notes
    -----
    O(order^2 N^3).

    Examples
    --------
    A sign, beside a direction that turns by an angle of its own:

    >>> turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    >>> second = np.block([[-np.eye(1), np.zeros((1, 2))], [np.zeros((2, 1)), turn]])
    >>> rows = represented_subspace(np.stack([np.eye(3), second]), np.array([[0, 1], [1, 0]]))
    >>> np.abs(rows)
    array([[1., 0., 0.]])
    """
    _check_square(matrices)
    moment_NN = np.zeros(matrices.shape[1:], dtype=matrices.dtype)
    for first, products in zip(matrices, table, strict=True):
        gap_GNN = first @ matrices - matrices[products]
        moment_NN += (gap_GNN @ gap_GNN.conj().swapaxes(-1, -2)).mean(axis=0)
    energy_N, vector_NN = np.linalg.eigh(moment_NN / len(matrices))
    rows: NDArray[Any] = vector_NN.conj().T[energy_N <= tolerance**2]
    return rows


def orthonormal_rows(basis: NDArray[Any], size: int) -> NDArray[Any]:
    """Orthonormalise the rows of a basis.

    Parameters
    ----------
    basis : ndarray [D, N]
        Linearly independent rows.
    size : int
        The N that is expected.

    Returns
    -------
    ndarray [D, N]
        Orthonormal rows with the same span.

    Raises
    ------
    InputError
        Wrong shape, or rows that depend on one another.
    """
    basis_DN = np.asarray(basis)
    if basis_DN.ndim != 2 or basis_DN.shape[1] != size:
        raise InputError(f"a basis must have shape [D, {size}], not {basis_DN.shape}")
    if basis_DN.shape[0] == 0:
        return basis_DN
    _, singular, right = np.linalg.svd(basis_DN, full_matrices=False)
    if basis_DN.shape[0] > size or singular[-1] <= 1e-10 * singular[0]:
        raise InputError("the rows of the basis are linearly dependent")
    return right


def restrict(
    matrices: NDArray[Any], basis: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Restrict matrices in row form to the span of orthonormal rows.

    Parameters
    ----------
    matrices : ndarray [..., N, N]
        Acting on state rows from the right.
    basis : ndarray [D, N]
        Orthonormal rows.

    Returns
    -------
    restricted : ndarray [..., D, D]
        ``basis @ M @ basis^H``.
    leakage : ndarray, float64 [...]
        ``|basis @ M - restricted @ basis|_F / sqrt(D)``: 0 when the span is invariant, so that
        restricting is exact.
    """
    image = basis @ matrices
    restricted = image @ basis.conj().T
    gap = np.linalg.norm(image - restricted @ basis, axis=(-2, -1))
    return restricted, gap / np.sqrt(max(1, basis.shape[0]))


def _check_square(matrices: NDArray[Any]) -> None:
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise InputError(f"matrices must have shape [number, N, N], not {matrices.shape}")
