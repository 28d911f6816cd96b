"""Exactly uniform integers and permutations from a running source of random words."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from automata.philox import PhiloxSource
from automata.validation import IntArray

__all__ = ["endless_integers", "random_integers", "random_permutation"]


def random_integers(source: PhiloxSource, bound: ArrayLike, count: int) -> IntArray:
    """Draw independent integers below a bound, exactly uniform.

    Parameters
    ----------
    source : PhiloxSource
    bound : int or array_like of int, [count]
        From 1 to 2**32.
    count : int

    Returns
    -------
    ndarray of int64, [count]

    Notes
    -----
    ``(word * bound) >> 32``; the few words that would make some values likelier are drawn again.

    Examples
    --------
    >>> random_integers(PhiloxSource(seed=1, stream=4), 6, 8)
    array([2, 4, 2, 3, 0, 4, 4, 1])
    """
    values = np.empty(count, dtype=np.int64)
    rows = np.arange(count)
    bounds = np.broadcast_to(np.asarray(bound, dtype=np.uint64), (count,))
    num_unfair = np.uint64(2**32) % bounds
    while rows.size:
        scaled = source.words(rows.size).astype(np.uint64) * bounds[rows]
        values[rows] = (scaled >> np.uint64(32)).astype(np.int64)
        rows = rows[(scaled & np.uint64(0xFFFFFFFF)) < num_unfair[rows]]
    return values


def endless_integers(source: PhiloxSource, bound: int, at_once: int = 1024) -> Iterator[int]:
    """Iterate over integers below a bound, for algorithms that take them one by one.

    Parameters
    ----------
    source : PhiloxSource
    bound : int
    at_once : int
        How many are drawn in one go.

    Yields
    ------
    int

    Examples
    --------
    >>> digits = endless_integers(PhiloxSource(seed=1, stream=4), 6)
    >>> [next(digits) for _ in range(4)]
    [2, 4, 2, 3]
    """
    while True:
        yield from random_integers(source, bound, at_once).tolist()


def random_permutation(source: PhiloxSource, size: int) -> IntArray:
    """Draw a permutation, each with the same probability.

    Parameters
    ----------
    source : PhiloxSource
    size : int

    Returns
    -------
    ndarray of int64, [size]

    Notes
    -----
    The order of 64-bit random numbers; should two be equal, all are drawn again.

    Examples
    --------
    >>> random_permutation(PhiloxSource(seed=1, stream=4), 6)
    array([2, 0, 1, 4, 5, 3])
    """
    while True:
        words = source.words(2 * size).astype(np.uint64)
        keys = words[::2] << np.uint64(32) | words[1::2]
        order = np.argsort(keys)
        ranked = keys[order]
        if not (ranked[1:] == ranked[:-1]).any():
            return order
