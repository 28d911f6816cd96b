"""Exact draws from uniform reals whose digits are looked up only as far as they matter.

Every lane of every Philox block (stream, item, block, lane) stands for one uniform real in
``[0, 1)``, written to base ``2**32``: its digit ``j`` is that lane of the same block in the stream
``stream + 256 * j``. A decision that the first digit leaves open looks at the next one, and so on,
so its law is exact while almost every decision costs one 32-bit word.

References
----------
Knuth, Yao: "The complexity of nonuniform random number generation", 1976. Lemire: "Fast random
integer generation in an interval", ACM Transactions on Modeling and Computer Simulation 29, 2019.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.philox import random_u32
from automata.validation import IntArray

__all__ = ["choose_by_weight", "digits_at", "exact_integers", "locate"]

_STREAMS_PER_DIGIT: Final = 256
_DIGIT: Final = 2**32


def digits_at(
    items: IntArray,
    blocks: ArrayLike,
    lane: int,
    *,
    seed: int,
    split: str,
    stream: int,
    digit: int = 0,
) -> IntArray:
    """Return one digit of one real for every item.

    Parameters
    ----------
    items : ndarray of int64, [num_items]
    blocks : int or array_like of int, [num_items]
    lane : int
        From 0 to 3.
    seed, split, stream
        See `automata.philox.stream_key`; the stream is below 256.
    digit : int

    Returns
    -------
    ndarray of int64, [num_items]
        In ``[0, 2**32)``.

    Examples
    --------
    >>> digits_at(np.array([0, 1]), 0, 2, seed=0, split="train", stream=0)
    array([3159862348, 2980410603])
    """
    stream = stream + _STREAMS_PER_DIGIT * digit
    words = random_u32(items, 1, seed=seed, split=split, stream=stream, first_block=blocks)
    return words[:, lane].astype(np.int64)


def exact_integers(
    bounds: ArrayLike,
    items: IntArray,
    blocks: ArrayLike,
    lane: int,
    *,
    seed: int,
    split: str,
    stream: int,
) -> IntArray:
    """Draw one exactly uniform integer for every item.

    Parameters
    ----------
    bounds : int or array_like of int, [num_items]
        From 1 to 2**32; the integer lies in ``[0, bound)``.
    items, blocks, lane, seed, split, stream
        Where the digits come from (see `digits_at`).

    Returns
    -------
    ndarray of int64, [num_items]

    Notes
    -----
    ``(digit * bound) >> 32``; the few digits that would make some values likelier are dropped and
    the next one is taken.

    Examples
    --------
    >>> exact_integers([2, 10, 10], np.arange(3), 7, 0, seed=0, split="train", stream=16)
    array([0, 7, 0])
    """
    limits = np.broadcast_to(np.asarray(bounds, dtype=np.uint64), items.shape)
    places = np.broadcast_to(np.asarray(blocks, dtype=np.int64), items.shape)
    values = np.zeros(items.shape, dtype=np.int64)
    rows = np.arange(items.size)
    digit = 0
    while rows.size:
        words = digits_at(
            items[rows], places[rows], lane, seed=seed, split=split, stream=stream, digit=digit
        )
        scaled = words.astype(np.uint64) * limits[rows]
        values[rows] = (scaled >> np.uint64(32)).astype(np.int64)
        num_unfair = np.uint64(_DIGIT) % limits[rows]
        rows = rows[(scaled & np.uint64(_DIGIT - 1)) < num_unfair]
        digit += 1
    return values


def locate(digits: int, num_digits: int, weights: Sequence[int], slack: int = 0) -> int | None:
    """Find the cell in which a real lies, if its first digits tell.

    The unit interval is cut into cells proportional to the weights, in order.

    Parameters
    ----------
    digits : int
        The first digits of the real, as an integer to base ``2**32``.
    num_digits : int
    weights : sequence of int
        Not negative, at least one positive.
    slack : int
        The true weights lie within a factor ``1 ± slack / 2**53`` of those given.

    Returns
    -------
    int or None
        The cell; None where more digits, or exact weights, are needed.

    Examples
    --------
    >>> locate(2**31, 1, [1, 1]), locate(2**31 - 1, 1, [1, 1]), locate(2**30, 1, [1, 2])
    (1, 0, 0)
    >>> locate((2**32 - 1) // 3, 1, [1, 2]) is None
    True
    """
    smallest = [weight * (2**53 - slack) for weight in weights]
    largest = [weight * (2**53 + slack) for weight in weights]
    scale = _DIGIT**num_digits
    below_small = below_large = 0
    above_small, above_large = sum(smallest), sum(largest)
    for cell in range(len(weights)):
        below_small, below_large = below_small + smallest[cell], below_large + largest[cell]
        above_small, above_large = above_small - smallest[cell], above_large - largest[cell]
        # The upper edge of the cell lies between these two fractions.
        low_edge, low_total = below_small, below_small + above_large
        high_edge, high_total = below_large, below_large + above_small
        if (digits + 1) * low_total <= low_edge * scale:
            return cell
        if digits * high_total < high_edge * scale:
            return None
    return None


def choose_by_weight(
    weights: Sequence[int],
    items: IntArray,
    blocks: IntArray,
    lane: int,
    *,
    seed: int,
    split: str,
    stream: int,
) -> IntArray:
    """Choose one of a few cells for every item, with exactly these odds.

    Parameters
    ----------
    weights : sequence of int
        Of any size, not negative, at least one positive.
    items, blocks, lane, seed, split, stream
        Where the digits come from (see `digits_at`).

    Returns
    -------
    ndarray of int64, [num_items]

    Examples
    --------
    >>> choose_by_weight([0, 10**40, 1], np.arange(3), np.zeros(3, dtype=np.int64), 0,
    ...                  seed=0, split="train", stream=16)
    array([1, 1, 1])
    """
    total, running = sum(weights), 0
    edges = []
    for weight in weights[:-1]:
        running += weight
        edges.append((running << 32) // total)
    first = digits_at(items, blocks, lane, seed=seed, split=split, stream=stream)
    cells = np.searchsorted(np.array(edges, dtype=np.int64), first, side="right")
    # Only a digit equal to an edge's own first digit leaves the cell open.
    for row in np.flatnonzero(np.isin(first, edges)):
        digits, num_digits = int(first[row]), 1
        while (cell := locate(digits, num_digits, weights)) is None:
            more = digits_at(
                items[row : row + 1],
                blocks[row : row + 1],
                lane,
                seed=seed,
                split=split,
                stream=stream,
                digit=num_digits,
            )
            digits, num_digits = digits * _DIGIT + int(more[0]), num_digits + 1
        cells[row] = cell
    return cells.astype(np.int64)
