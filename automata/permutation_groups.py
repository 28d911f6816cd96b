"""Groups of permutations: symmetric, alternating, Frobenius, and what given permutations generate.

Elements are tuples of images of ``0, ..., n-1`` in lexicographic order (so the identity comes
first), and ``product(p, q)[i] = q[p[i]]``: *p first, then q*.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup, check_order
from automata.primes import as_prime
from automata.validation import IntArray, as_integer

__all__ = ["alternating", "frobenius", "from_permutations", "symmetric"]


def symmetric(n: int) -> FiniteGroup:
    """Return all permutations of `n` points, in lexicographic order.

    Parameters
    ----------
    n : int
        Number of points; the order is ``n!``.

    Returns
    -------
    FiniteGroup
        Elements are tuples of images; the generators are the swap of points 0 and 1 and the cycle
        ``0 -> 1 -> ... -> n-1 -> 0``.

    Examples
    --------
    >>> group = symmetric(3)
    >>> [group.elements[g] for g in group.generators]
    [(1, 0, 2), (1, 2, 0)]
    """
    n = as_integer(n, "the number of points", 1)
    check_order(math.factorial(min(n, 20)), f"S{n}")
    swap = [(1, 0, *range(2, n))] if n >= 2 else []
    cycle = [(*range(1, n), 0)] if n >= 3 else []
    return _permutation_group(list(itertools.permutations(range(n))), swap + cycle, f"S{n}")


def alternating(n: int) -> FiniteGroup:
    """Return the even permutations of `n` points, in lexicographic order.

    Parameters
    ----------
    n : int
        Number of points; the order is ``n! / 2`` (1 for n = 1).

    Returns
    -------
    FiniteGroup
        Elements are tuples of images; the generators are the 3-cycle ``0 -> 1 -> 2 -> 0`` and the
        longest cycle of odd length that ends at the last point.

    Examples
    --------
    >>> alternating(4).order
    12
    """
    n = as_integer(n, "the number of points", 1)
    check_order(max(1, math.factorial(min(n, 20)) // 2), f"A{n}")
    elements = [p for p in itertools.permutations(range(n)) if _is_even(p)]
    three_cycle = [(1, 2, 0, *range(3, n))] if n >= 3 else []
    cycle = [(*range(1, n), 0) if n % 2 else (0, *range(2, n), 1)] if n >= 4 else []
    return _permutation_group(elements, three_cycle + cycle, f"A{n}")


def frobenius(p: int, m: int) -> FiniteGroup:
    """Return the maps ``x -> a x + b`` modulo a prime where ``a**m = 1``, of order ``p m``.

    Parameters
    ----------
    p : int
        A prime, the number of points.
    m : int
        A divisor of ``p - 1``, at least 2: the order of the group of factors a. F20 is
        ``frobenius(5, 4)``; m = 2 gives the dihedral group of order 2p.

    Returns
    -------
    FiniteGroup
        Elements are tuples of images; the generators are ``x -> x + 1`` and ``x -> a x`` with the
        smallest a of order m.

    Examples
    --------
    >>> group = frobenius(5, 4)
    >>> group.name, [group.elements[g] for g in group.generators]
    ('F20', [(1, 2, 3, 4, 0), (0, 2, 4, 1, 3)])
    """
    p = as_prime(p, "the number of points of a Frobenius group")
    m = as_integer(m, "the order of a point's stabilizer", 2)
    if (p - 1) % m:
        raise InputError(
            f"the order of a point's stabilizer is {m}: for {p} points give a divisor of {p - 1}"
        )
    check_order(p * m, f"F{p * m}")
    factors = sorted({pow(a, (p - 1) // m, p) for a in range(1, p)})
    factor = next(a for a in factors if len({pow(a, i, p) for i in range(m)}) == m)
    points = np.arange(p)
    images = (np.array(factors)[:, None, None] * points + points[:, None]) % p
    elements = sorted(map(tuple, images.reshape(-1, p).tolist()))
    turn = (*range(1, p), 0)
    stretch = tuple((factor * points % p).tolist())
    return _permutation_group(elements, [turn, stretch], f"F{p * m}")


def from_permutations(
    permutations: Iterable[Sequence[int]], name: str | None = None
) -> FiniteGroup:
    """Return the group that some permutations generate.

    Parameters
    ----------
    permutations : iterable of sequences of int
        Each the images of ``0, ..., n-1``, all of one n.
    name : str, optional

    Returns
    -------
    FiniteGroup
        Elements are tuples of images in lexicographic order; the generators are the permutations
        given, without the identity and repetitions.

    Raises
    ------
    InputError
        If one is no permutation, sizes differ, or the group is too large.

    Examples
    --------
    >>> from_permutations([(1, 0, 2, 3), (0, 1, 3, 2)]).order
    4
    """
    given = [tuple(as_integer(i, "an image", 0) for i in p) for p in permutations]
    if not given or not given[0]:
        raise InputError("give at least one permutation of at least one point")
    num_points = len(given[0])
    for permutation in given:
        if sorted(permutation) != list(range(num_points)):
            raise InputError(
                f"{permutation} is not a permutation of 0..{num_points - 1}: give the images "
                "of all points"
            )
    identity = tuple(range(num_points))
    generators = [p for p in dict.fromkeys(given) if p != identity]
    elements = {identity}
    frontier = [identity]
    while frontier:
        products = {tuple(g[i] for i in p) for p in frontier for g in generators}
        frontier = list(products - elements)
        elements.update(frontier)
        check_order(len(elements), "the group generated (so far)")
    return _permutation_group(sorted(elements), generators, name)


def _is_even(permutation: Sequence[int]) -> bool:
    inversions = sum(a > b for a, b in itertools.combinations(permutation, 2))
    return inversions % 2 == 0


def _permutation_group(
    elements: list[tuple[int, ...]], generators: list[tuple[int, ...]], name: str | None
) -> FiniteGroup:
    """Build the table of permutations given in lexicographic order, identity first."""
    images = np.array(elements, dtype=np.int64)
    order, num_points = images.shape
    number_of = {element: number for number, element in enumerate(elements)}
    # Products are recognised by their images of a few points that tell all elements apart.
    base = _base_points(images)
    place = num_points ** np.arange(len(base) - 1, -1, -1, dtype=np.int64)
    codes = images[:, base] @ place
    by_code = np.argsort(codes)
    table = np.empty((order, order), dtype=np.int64)
    for first in range(order):
        products = images[:, images[first, base]] @ place
        table[first] = by_code[np.searchsorted(codes, products, sorter=by_code)]
    return FiniteGroup(table, elements, [number_of[g] for g in generators], name)


def _base_points(images: IntArray) -> list[int]:
    """Choose points until their images determine the element."""
    base: list[int] = []
    num_distinct = 1
    for point in range(images.shape[1]):
        if num_distinct == len(images):
            break
        candidate = [*base, point]
        count = len(np.unique(images[:, candidate], axis=0))
        if count > num_distinct:
            base, num_distinct = candidate, count
    return base
