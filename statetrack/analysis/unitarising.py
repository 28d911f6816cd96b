"""From matrices that almost multiply like a group to orthogonal ones that do exactly.

Shape suffixes: G elements, N state size, D dimension.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from automata.groups import FiniteGroup

_SMALLEST = 1e-12
_EXACT = 1e-9
_CONVERGED = 1e-12
_STILL = 1e-3
_FLOOR = 1e-4
_MOST_MOVES = 50
_MOST_TURN = 10.0
_SETTLED = 0.99
_MOST_ROUNDS = 20
_ENTRIES_PER_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class Unitarised:
    """Matrices in a basis that is orthonormal for an inner product they all keep.

    Attributes
    ----------
    matrices : ndarray, float64 [G, D, D]
        In row form, ``inverse_root @ M @ root``.
    root, inverse_root : ndarray, float64 [D, D]
        A state row ``h`` has the coordinates ``h @ root``.
    """

    matrices: NDArray[np.float64]
    root: NDArray[np.float64]
    inverse_root: NDArray[np.float64]

    @property
    def condition(self) -> float:
        """Condition number of `root`: how far from orthogonal the given basis was."""
        return float(np.linalg.cond(self.root)) if self.root.size else 1.0

    def moved(self, form: NDArray[np.float64]) -> "Unitarised":
        """Go on to the basis that is orthonormal for a positive form [D, D]."""
        return self.changed(*_roots(form))

    def changed(self, root: NDArray[np.float64], inverse: NDArray[np.float64]) -> "Unitarised":
        """Go on to coordinates ``h @ root``, given the inverse too."""
        return Unitarised(
            inverse @ self.matrices @ root, self.root @ root, inverse @ self.inverse_root
        )


def as_real(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """Write complex matrices as real ones of twice the size.

    Parameters
    ----------
    matrices : ndarray [..., N, N]
        In row form.

    Returns
    -------
    ndarray, float64 [..., N, N] or [..., 2N, 2N]
        Acting on rows ``(Re h, Im h)``; real ones are returned as they are.

    Examples
    --------
    >>> as_real(np.array([[1j]])).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    if not np.iscomplexobj(matrices):
        return np.asarray(matrices, dtype=np.float64)
    upper = np.concatenate([matrices.real, matrices.imag], axis=-1)
    lower = np.concatenate([-matrices.imag, matrices.real], axis=-1)
    real: NDArray[np.float64] = np.concatenate([upper, lower], axis=-2) + 0.0
    return real


def unitarise(matrices: NDArray[np.float64]) -> Unitarised:
    """Change to a basis in which a representation is orthogonal, and noise is smallest.

    ``P = mean_g M_g M_g^T`` is kept by every matrix of a representation, ``M P M^T = P``, so that
    ``P^(-1/2) M P^(1/2)`` is orthogonal (Weyl's trick). With noise, P takes on the proportions of
    the given basis, and noise is large where they are bad. So changes follow that make
    ``sum_g |M_g|^2`` smaller until ``mean M M^T = mean M^T M`` (the minimum, by Kempf and Ness);
    a representation is not moved by them.

    Parameters
    ----------
    matrices : ndarray, float64 [G, D, D]
        One matrix for every element of the group, in row form.

    Returns
    -------
    Unitarised
        Eigenvalues of P below 1e-12 of the largest count as that.

    Examples
    --------
    >>> shear = np.array([[1.0, 5.0], [0.0, 1.0]])
    >>> flip = np.linalg.inv(shear) @ np.diag([1.0, -1.0]) @ shear
    >>> found = unitarise(np.stack([np.eye(2), flip]))
    >>> np.allclose(found.matrices[1] @ found.matrices[1].T, np.eye(2)), round(found.condition, 1)
    (True, 10.1)
    """
    start = Unitarised(matrices, np.eye(matrices.shape[-1]), np.eye(matrices.shape[-1]))
    found = start.moved((matrices @ matrices.swapaxes(-1, -2)).mean(axis=0))
    for _ in range(_MOST_MOVES):
        form_DD = _balancing_form(found.matrices)
        if _spread(form_DD) < _STILL:
            break
        found = found.moved(form_DD)
    return found


def with_least_noise(found: Unitarised, nearest: NDArray[np.float64]) -> Unitarised:
    """Choose, among the bases in which a representation is orthogonal, that of least noise.

    Different irreducible parts may be scaled against each other, and copies of one mixed, without
    any effect on the representation; what couples them by mistake is scaled with them. Here
    ``sum_g |M_g - R_g|^2`` is made smallest over the positive matrices that commute with R.

    Parameters
    ----------
    found : Unitarised
        Matrices near a representation.
    nearest : ndarray, float64 [G, D, D]
        That representation R (`nearest_representation`); it stays what it is.

    Returns
    -------
    Unitarised

    Examples
    --------
    >>> exact = np.stack([np.eye(2), np.diag([1.0, -1.0])])
    >>> noisy = exact + np.array([[0.0, 0.09], [0.01, 0.0]])
    >>> still = Unitarised(noisy, np.eye(2), np.eye(2))
    >>> ((with_least_noise(still, exact).matrices - exact)[0].round(2) + 0.0).tolist()
    [[0.0, 0.03], [0.03, 0.0]]
    """
    adjoint = nearest.swapaxes(-1, -2)
    # What a change of basis near 1 explains is no noise: T with T M_g = R_g T, by averaging.
    turn_DD = (adjoint @ found.matrices).mean(axis=0)
    if np.linalg.cond(turn_DD) < _MOST_TURN:
        found = found.changed(np.linalg.inv(turn_DD), turn_DD)
    for _ in range(_MOST_MOVES):
        noise = found.matrices - nearest
        if float(np.abs(noise).max(initial=0.0)) < _EXACT:
            break
        form_DD = (nearest @ _balancing_form(noise) @ adjoint).mean(axis=0)
        if _spread(form_DD) < _STILL:
            break
        # The whole way is too far where noise couples different parts only.
        ways = [found.moved(form) for form in (form_DD, _roots(form_DD)[0])]
        found = min(ways, key=lambda way: float(np.linalg.norm(way.matrices - nearest)))
    return found


def _balancing_form(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The P with ``P (mean M^T M) P = mean M M^T``: a geometric mean."""
    adjoint, size = matrices.swapaxes(-1, -2), matrices.shape[-1]
    left, right = (matrices @ adjoint).mean(axis=0), (adjoint @ matrices).mean(axis=0)
    floor = _FLOOR * np.trace(left) / max(1, size) * np.eye(size)
    root, inverse = _roots(right + floor)
    middle, _ = _roots(root @ (left + floor) @ root)
    return inverse @ middle @ inverse


def _roots(form_DD: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Square root of a positive matrix, and its inverse."""
    values_D, vectors_DD = np.linalg.eigh((form_DD + form_DD.T) / 2)
    largest = max(float(values_D.max(initial=0.0)), np.finfo(np.float64).tiny)
    scales_D = np.sqrt(np.clip(values_D, _SMALLEST * largest, None))
    return (vectors_DD * scales_D) @ vectors_DD.T, (vectors_DD / scales_D) @ vectors_DD.T


def _spread(form_DD: NDArray[np.float64]) -> float:
    values_D = np.linalg.eigvalsh(form_DD)
    return (
        float(values_D.max(initial=1.0) / values_D.min(initial=1.0)) - 1.0 if len(values_D) else 0.0
    )


def polar_factor(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthogonal matrix nearest to each of some matrices.

    Parameters
    ----------
    matrices : ndarray, float64 [..., D, D]

    Returns
    -------
    ndarray, float64 [..., D, D]

    Examples
    --------
    >>> polar_factor(np.array([[3.0, 0.0], [0.0, -0.5]])).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    left, _, right = np.linalg.svd(matrices)
    nearest: NDArray[np.float64] = left @ right
    return nearest


def nearest_representation(
    matrices: NDArray[np.float64], group: "FiniteGroup", *, max_steps: int = 30
) -> NDArray[np.float64] | None:
    """Find the orthogonal representation near matrices that almost are one.

    Each step replaces ``R_g`` by the polar factor of ``mean_h R_gh R_h^T``, which is ``R_g`` itself
    for a representation (Grove, Karcher and Ruh 1974). It converges quadratically.

    Parameters
    ----------
    matrices : ndarray, float64 [G, D, D]
        Almost orthogonal (`unitarise`), element 0 the identity.
    group : FiniteGroup
        ``table[p, q]`` is p first, then q.
    max_steps : int
        Most steps.

    Returns
    -------
    ndarray, float64 [G, D, D], or None
        None if products are still off by more than 1e-9: then no representation is near.

    Notes
    -----
    O(steps * order^2 * D^3) in blocks of bounded memory.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> angles = np.array([0.0, 0.49, 1.02, 1.5]) * np.pi
    >>> turn = lambda a: np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    >>> found = nearest_representation(np.stack([turn(a) for a in angles]), cyclic(4))
    >>> np.abs(found[1]).round(6).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if matrices.shape[-1] == 0:
        return matrices
    current_GDD = polar_factor(matrices)
    for _ in range(max_steps):
        if _generator_gap(current_GDD, group) < _CONVERGED:
            return current_GDD
        current_GDD = polar_factor(_averages(current_GDD, group))
    return current_GDD if _generator_gap(current_GDD, group) < _EXACT else None


def settle(
    found: Unitarised, group: "FiniteGroup"
) -> tuple[Unitarised, NDArray[np.float64] | None]:
    """Find the nearest representation and the basis of least noise, each given the other.

    Parameters
    ----------
    found : Unitarised
        One matrix for every element.
    group : FiniteGroup

    Returns
    -------
    found : Unitarised
    nearest : ndarray, float64 [G, D, D], or None
        As `nearest_representation`.
    """
    nearest = nearest_representation(found.matrices, group)
    last = np.inf
    for _ in range(_MOST_ROUNDS):
        if nearest is None:
            break
        noise = float(np.linalg.norm(found.matrices - nearest))
        if noise < _EXACT or noise > _SETTLED * last:
            break
        last = noise
        found = with_least_noise(found, nearest)
        nearest = nearest_representation(found.matrices, group)
    return found, nearest


def _generator_gap(matrix_GDD: NDArray[np.float64], group: "FiniteGroup") -> float:
    gaps = [
        np.abs(matrix_GDD @ matrix_GDD[s] - matrix_GDD[group.table[:, s]]).max()
        for s in group.generators
    ]
    return float(max(gaps, default=0.0))


def _averages(matrix_GDD: NDArray[np.float64], group: "FiniteGroup") -> NDArray[np.float64]:
    """``mean_h R_gh R_h^T`` for every g."""
    order, size, _ = matrix_GDD.shape
    right_ED = matrix_GDD.transpose(0, 2, 1).reshape(order * size, size)
    result_GDD = np.empty_like(matrix_GDD)
    rows = max(1, _ENTRIES_PER_BLOCK // (order * size * size))
    for start in range(0, order, rows):
        products = matrix_GDD[group.table[start : start + rows]]
        left = products.transpose(0, 2, 1, 3).reshape(-1, size, order * size)
        result_GDD[start : start + rows] = left @ right_ED / order
    return result_GDD
