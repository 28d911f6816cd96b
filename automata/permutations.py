"""Permutations as their images: cycles, parity, cycles that only giants have, random products."""

from collections.abc import Iterator, Sequence

import numpy as np

from automata.philox import PhiloxSource, Stream
from automata.primes import is_prime
from automata.random_draws import endless_integers
from automata.validation import IntArray

__all__ = ["cycle_lengths", "giant_primes", "is_even", "random_products"]


def cycle_lengths(images: Sequence[int]) -> list[int]:
    """Return the length of every cycle, in order of the cycles' smallest points.

    Parameters
    ----------
    images : sequence of int
        The images of ``0, ..., degree - 1``; a list is read faster than an array.

    Returns
    -------
    list of int
        Fixed points are cycles of length 1.

    Examples
    --------
    >>> cycle_lengths([1, 0, 2, 4, 5, 3])
    [2, 1, 3]
    """
    seen = bytearray(len(images))
    lengths = []
    for start in range(len(images)):
        length, point = 0, start
        while not seen[point]:
            seen[point] = 1
            length, point = length + 1, images[point]
        if length:
            lengths.append(length)
    return lengths


def is_even(images: Sequence[int]) -> bool:
    """Return whether a permutation is a product of an even number of swaps.

    Parameters
    ----------
    images : sequence of int

    Returns
    -------
    bool

    Examples
    --------
    >>> is_even([1, 0, 2]), is_even([1, 2, 0])
    (False, True)
    """
    return (len(images) - len(cycle_lengths(images))) % 2 == 0


def giant_primes(degree: int) -> frozenset[int]:
    """Return the lengths of cycles that prove a transitive group to hold all even permutations.

    Parameters
    ----------
    degree : int
        Number of points.

    Returns
    -------
    frozenset of int
        The primes ``p`` with ``degree / 2 < p < degree - 2``; none below degree 8.

    Notes
    -----
    A transitive group with an element that has a cycle of such a length is symmetric or
    alternating (Jordan 1873; Seress: "Permutation group algorithms", 2003, section 10.2). About one
    in ``log(degree) / log(2)`` of the elements of these groups has one; in other transitive groups
    none has.

    Examples
    --------
    >>> giant_primes(7), giant_primes(9)
    (frozenset(), frozenset({5}))
    """
    return frozenset(p for p in range(degree // 2 + 1, degree - 2) if is_prime(p))


def random_products(generators: IntArray, pool_size: int) -> Iterator[IntArray]:
    """Walk through a fixed, endless sequence of products of permutations and their inverses.

    Parameters
    ----------
    generators : ndarray of int64, [num_generators, degree]
        At least one.
    pool_size : int
        At least 2. If it is smaller than the number of generators, only so many of them are used.

    Yields
    ------
    ndarray of int64, [degree]
        Nearly uniform over the group after a few times `pool_size` products.

    Notes
    -----
    Product replacement: Celler, Leedham-Green, Murray, Niemeyer, O'Brien: "Generating random
    elements of a finite group", Communications in Algebra 23, 1995. The same generators give the
    same sequence, so what is computed with it is the same everywhere.

    Examples
    --------
    >>> products = random_products(np.array([[1, 2, 0]]), 2)
    >>> {tuple(next(products).tolist()) for _ in range(20)} == {(0, 1, 2), (1, 2, 0), (2, 0, 1)}
    True
    """
    source = PhiloxSource(seed=0, stream=Stream.PERMUTATION_PRODUCTS)
    places = endless_integers(source, pool_size, 64)
    others = endless_integers(source, pool_size - 1, 64)
    coins = endless_integers(source, 2, 64)
    pool = list(generators[np.linspace(0, len(generators) - 1, pool_size).astype(np.int64)])
    for place, other, is_inverted in zip(places, others, coins, strict=True):
        factor = pool[other + (other >= place)]
        pool[place] = (np.argsort(factor) if is_inverted else factor)[pool[place]]
        yield pool[place]
