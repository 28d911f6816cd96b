"""Groups of matrices over the field of a prime number of elements: GL, SL, PSL, and any others.

The product of P and Q is the matrix product ``P @ Q`` modulo the prime: *p first, then q* for row
vectors. Orders: ``|GL(n, p)|`` is the product of ``p**n - p**i`` for i below n, ``|SL(n, p)|`` a
(p-1)-th of it, and PSL(n, p) is SL(n, p) modulo its gcd(n, p-1) scalars.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.finite_group import MAX_ORDER, FiniteGroup, check_order
from automata.primes import as_prime
from automata.validation import IntArray, as_integer, as_integer_array

__all__ = ["from_matrices", "general_linear", "projective_special_linear", "special_linear"]

_MAX_SIZE: Final = 64


def general_linear(n: int, p: int) -> FiniteGroup:
    """Return all invertible n x n matrices over the integers modulo a prime.

    Parameters
    ----------
    n : int
        Size of the matrices.
    p : int
        A prime.

    Returns
    -------
    FiniteGroup
        Elements are tuples of rows, the identity first and the others in lexicographic order. The
        generators are those of `special_linear` and the diagonal matrix ``(a, 1, ..., 1)`` with
        the smallest primitive root a.

    Examples
    --------
    >>> general_linear(2, 3).order
    48
    """
    n, p = _read_family("GL", n, p)
    _check_family_order("GL", n, p, 1)
    scaling = np.eye(n, dtype=np.int64)
    scaling[0, 0] = _primitive_root(p)
    return _generate([*_transvection_and_cycle(n), scaling], p, [1], f"GL({n},{p})")


def special_linear(n: int, p: int) -> FiniteGroup:
    """Return the n x n matrices of determinant 1 over the integers modulo a prime.

    Parameters
    ----------
    n : int
        Size of the matrices.
    p : int
        A prime.

    Returns
    -------
    FiniteGroup
        Elements are tuples of rows, the identity first and the others in lexicographic order. The
        generators are the identity plus a one at the right of its first row, and the cyclic
        permutation matrix with a sign in its last row that makes the determinant 1.

    Examples
    --------
    >>> group = special_linear(2, 3)
    >>> group.order, [group.elements[g] for g in group.generators]
    (24, [((1, 1), (0, 1)), ((0, 1), (2, 0))])
    """
    n, p = _read_family("SL", n, p)
    _check_family_order("SL", n, p, p - 1)
    return _generate(_transvection_and_cycle(n), p, [1], f"SL({n},{p})")


def projective_special_linear(n: int, p: int) -> FiniteGroup:
    """Return the matrices of determinant 1 modulo a prime, where multiples of a matrix are equal.

    Parameters
    ----------
    n : int
        Size of the matrices.
    p : int
        A prime.

    Returns
    -------
    FiniteGroup
        Elements are tuples of rows, of all equal matrices of determinant 1 the lexicographically
        first; the generators are those of `special_linear`.

    Examples
    --------
    >>> group = projective_special_linear(2, 7)
    >>> group.name, group.order, group.is_solvable
    ('PSL(2,7)', 168, False)
    """
    n, p = _read_family("PSL", n, p)
    _check_family_order("PSL", n, p, (p - 1) * math.gcd(n, p - 1))
    roots = [a for a in range(1, p) if pow(a, n, p) == 1]
    return _generate(_transvection_and_cycle(n), p, roots, f"PSL({n},{p})")


def from_matrices(
    matrices: Iterable[ArrayLike],
    modulus: int,
    *,
    projective: bool = False,
    name: str | None = None,
) -> FiniteGroup:
    """Return the group that some invertible matrices modulo a prime generate.

    Parameters
    ----------
    matrices : iterable of array_like of int, [n, n]
        All of one size; entries are taken modulo the prime.
    modulus : int
        A prime.
    projective : bool, default False
        Whether multiples of a matrix are equal.
    name : str, optional

    Returns
    -------
    FiniteGroup
        Elements are tuples of rows, the identity first and the others in lexicographic order; with
        `projective` the multiple whose first non-zero entry is 1 stands for all. The generators are
        the matrices given, without the identity and repetitions.

    Raises
    ------
    InputError
        If a matrix is not square or singular, sizes differ, the modulus is no prime, or the group
        is too large.

    Examples
    --------
    >>> from_matrices([[[0, 1], [-1, 0]], [[1, 1], [1, -1]]], 3).order
    8
    """
    p = as_prime(modulus, "the modulus")
    given = [as_integer_array(matrix, "a matrix") for matrix in matrices]
    if not given or given[0].ndim == 0 or given[0].size == 0:
        raise InputError("give at least one matrix of at least one row")
    size = as_integer(len(given[0]), "the size of the matrices", 1, _MAX_SIZE)
    for number, matrix in enumerate(given):
        if matrix.shape != (size, size):
            raise InputError(
                f"matrix {number} has shape {matrix.shape}: give [n, n], one n for all"
            )
        if _is_singular(matrix % p, p):
            raise InputError(f"matrix {number} is singular modulo {p}: give invertible matrices")
    return _generate(given, p, list(range(1, p)) if projective else [1], name)


def _read_family(family: str, n: int, p: int) -> tuple[int, int]:
    n = as_integer(n, f"the size of the matrices of {family}(n, p)", 1)
    return n, as_prime(p, f"the number of elements of the field of {family}(n, p)")


def _check_family_order(family: str, n: int, p: int, divisor: int) -> None:
    name = f"{family}({n},{p})"
    if n > 20:
        raise InputError(f"{name} has more than 10**100 elements: take matrices of size 2 or 3")
    order = math.prod(p**n - p**i for i in range(n)) // divisor
    if order > 10**15:
        raise InputError(
            f"{name} has more than 10**{len(str(order)) - 1} elements: tables are kept up to order "
            f"{MAX_ORDER}; take a smaller one"
        )
    check_order(order, name)


def _primitive_root(p: int) -> int:
    return next(a for a in range(1, p) if len({pow(a, i, p) for i in range(p - 1)}) == p - 1)


def _transvection_and_cycle(n: int) -> list[IntArray]:
    """Return generators of SL(n, p): conjugates and commutators give all elementary matrices."""
    if n == 1:
        return [np.eye(1, dtype=np.int64)]
    transvection = np.eye(n, dtype=np.int64)
    transvection[0, 1] = 1
    cycle = np.roll(np.eye(n, dtype=np.int64), 1, axis=1)
    cycle[-1] *= (-1) ** (n - 1)
    return [transvection, cycle]


def _is_singular(matrix: IntArray, p: int) -> bool:
    rest = matrix.copy()
    for column in range(len(rest)):
        pivots = np.flatnonzero(rest[column:, column])
        if not len(pivots):
            return True
        pivot = column + int(pivots[0])
        rest[[column, pivot]] = rest[[pivot, column]]
        row = rest[column] * pow(int(rest[column, column]), -1, p) % p
        rest[column + 1 :] = (rest[column + 1 :] - rest[column + 1 :, [column]] * row) % p
    return False


def _generate(
    matrices: Sequence[IntArray], p: int, scalars: Sequence[int], name: str | None
) -> FiniteGroup:
    """Close matrices under products; of the multiples by `scalars` the first stands for all."""
    factors = np.array(scalars, dtype=np.int64)
    size = len(matrices[0])
    identity = _first_multiples(np.eye(size, dtype=np.int64)[None], factors, p)[0]
    distinct = {_key(m): m for m in _first_multiples(np.stack(matrices) % p, factors, p)}
    distinct.pop(_key(identity), None)
    generators = list(distinct.values())
    # Every element but the identity is an earlier one times a generator; `steps` holds the number
    # of each element times each generator.
    elements, number_of = [identity], {_key(identity): 0}
    origins: list[tuple[int, int]] = [(0, 0)]
    steps: list[list[int]] = []
    for number, element in enumerate(elements):  # grows while it is read
        steps.append([])
        for letter, generator in enumerate(generators):
            product = _first_multiples((element @ generator % p)[None], factors, p)[0]
            key = _key(product)
            if key not in number_of:
                check_order(len(elements) + 1, "the group generated (so far)")
                number_of[key] = len(elements)
                elements.append(product)
                origins.append((number, letter))
            steps[-1].append(number_of[key])
    times = np.array(steps, dtype=np.int64).reshape(len(elements), len(generators))
    table = np.empty((len(elements), len(elements)), dtype=np.int64)
    table[:, 0] = np.arange(len(elements))
    for number, (before, letter) in enumerate(origins[1:], start=1):
        table[:, number] = times[table[:, before], letter]
    flat = np.array(elements).reshape(len(elements), -1)
    ranks = np.lexsort(flat.T[::-1])
    ranks = np.append(0, ranks[ranks != 0])
    renumbered = np.argsort(ranks)
    rows = [tuple(map(tuple, elements[rank].tolist())) for rank in ranks]
    return FiniteGroup(
        renumbered[table[np.ix_(ranks, ranks)]], rows, renumbered[times[0]].tolist(), name
    )


def _key(matrix: IntArray) -> bytes:
    return matrix.tobytes()


def _first_multiples(matrices: IntArray, factors: IntArray, p: int) -> IntArray:
    """Return of the multiples of every matrix the lexicographically first."""
    # Multiples of an invertible matrix differ at its first non-zero entry already.
    flat = matrices.reshape(len(matrices), -1)
    leading = flat[np.arange(len(matrices)), (flat != 0).argmax(axis=1)]
    best = factors[(leading[:, None] * factors % p).argmin(axis=1)]
    multiples: IntArray = matrices * best[:, None, None] % p
    return multiples
