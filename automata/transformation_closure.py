"""All products of some transformations, in shortlex order of their shortest words."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from automata.errors import InputError
from automata.validation import IntArray, read_only

__all__ = [
    "MAX_CELLS",
    "MAX_ELEMENTS",
    "ShortestWords",
    "TransformationArray",
    "close_under_products",
    "left_multiplication",
    "row_keys",
    "shortest_words",
]

MAX_ELEMENTS: Final = 100_000
MAX_CELLS: Final = 2**25
_CELLS_PER_BATCH: Final = 2**18

TransformationArray: TypeAlias = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class ShortestWords:
    """The shortlex-least word of every element, one letter at a time.

    Attributes
    ----------
    prefix, last : ndarray of int64, [size]
        The element of the word without its last letter, and that letter; -1 for the identity.
    first, suffix : ndarray of int64, [size]
        The first letter, and the element of the word without it; -1 for the identity.
    length : ndarray of int64, [size]
    """

    prefix: IntArray
    last: IntArray
    first: IntArray
    suffix: IntArray
    length: IntArray


def close_under_products(
    generators: IntArray, max_elements: int
) -> tuple[TransformationArray, IntArray]:
    """Enumerate the monoid that transformations generate, identity included.

    Parameters
    ----------
    generators : ndarray of int64, [num_generators, num_points]
        Distinct rows of images.
    max_elements : int

    Returns
    -------
    elements : ndarray of unsigned int, [size, num_points]
        Images; element 0 is the identity, and elements are in shortlex order of the least words
        that give them.
    right : ndarray of int64, [size, num_generators]
        The right Cayley graph: the element times the generator, the element acting first.

    Raises
    ------
    InputError
        If there are more than `max_elements`, or their rows would have more than `MAX_CELLS`
        cells.

    Notes
    -----
    Every element is multiplied by every generator once and looked up by its row (hashing), after
    Froidure, Pin: "Algorithms for computing finite semigroups", 1997, without its savings on
    products, which for transformations cost less than the look-up.

    Examples
    --------
    >>> elements, right = close_under_products(np.array([[1, 0], [0, 0]]), 10)
    >>> elements.tolist(), right.tolist()
    ([[0, 1], [1, 0], [0, 0], [1, 1]], [[1, 2], [0, 2], [3, 2], [2, 2]])
    """
    num_generators, num_points = generators.shape
    width = max(num_generators, num_points)
    compact = generators.astype(np.min_scalar_type(num_points - 1))
    identity = np.arange(num_points, dtype=compact.dtype)[None]
    number = {row_keys(identity)[0]: 0}
    found = [identity]
    targets = []
    batch = max(1, _CELLS_PER_BATCH // (num_generators * num_points))
    for rows in found:
        for start in range(0, len(rows), batch):
            products = compact[:, rows[start : start + batch]].swapaxes(0, 1)
            products = products.reshape(-1, num_points)
            num_known = len(number)
            codes = np.array([number.setdefault(key, len(number)) for key in row_keys(products)])
            targets.append(codes)
            if len(number) > max_elements:
                raise InputError(_too_many(max_elements))
            if len(number) * width > MAX_CELLS:
                raise InputError(
                    f"{len(number)} elements on {num_points} states with {num_generators} "
                    f"generators (so far) pass the limit of {MAX_CELLS} cells: {_WITHOUT_A_LIST}"
                )
            if len(number) > num_known:
                largest_before = np.maximum.accumulate(np.append(num_known - 1, codes[:-1]))
                found.append(products[codes > largest_before])
    elements = np.concatenate(found)
    right = np.concatenate(targets).reshape(len(elements), num_generators)
    read_only(elements)
    read_only(right)
    return elements, right


def row_keys(rows: NDArray[Any]) -> list[bytes]:
    r"""Return the bytes of every row, to look rows up in a dictionary.

    Examples
    --------
    >>> row_keys(np.array([[1, 2], [0, 0]], dtype=np.uint8))
    [b'\x01\x02', b'\x00\x00']
    """
    whole_row = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    keys: list[bytes] = np.ascontiguousarray(rows).view(whole_row)[:, 0].tolist()
    return keys


def shortest_words(right: IntArray) -> ShortestWords:
    """Read the shortlex-least words off a right Cayley graph numbered by them.

    Parameters
    ----------
    right : ndarray of int64, [size, num_generators]
        As `close_under_products` gives it.

    Returns
    -------
    ShortestWords

    Examples
    --------
    >>> words = shortest_words(np.array([[1, 2], [0, 2], [3, 2], [2, 2]]))
    >>> words.prefix.tolist(), words.last.tolist(), words.length.tolist()
    ([-1, 0, 0, 2], [-1, 0, 1, 0], [0, 1, 1, 2])
    """
    size, num_generators = right.shape
    first_seen = np.zeros(size, dtype=np.int64)
    # Of repeated indices the last assignment holds, so the edges are written backwards.
    first_seen[right.reshape(-1)[::-1]] = np.arange(right.size)[::-1]
    prefix, last = np.divmod(first_seen, num_generators)
    first, suffix, length = (np.zeros(size, dtype=np.int64) for _ in range(3))
    for array in (prefix, last, first, suffix):
        array[0] = -1
    for level in _levels(prefix):
        is_letter = prefix[level] == 0
        first[level] = np.where(is_letter, last[level], first[prefix[level]])
        suffix[level] = np.where(is_letter, 0, right[suffix[prefix[level]], last[level]])
        length[level] = length[prefix[level]] + 1
    for array in (prefix, last, first, suffix, length):
        read_only(array)
    return ShortestWords(prefix, last, first, suffix, length)


def left_multiplication(right: IntArray, words: ShortestWords) -> IntArray:
    """Turn a right Cayley graph into the left one.

    Parameters
    ----------
    right : ndarray of int64, [size, num_generators]
    words : ShortestWords

    Returns
    -------
    ndarray of int64, [size, num_generators]
        The generator times the element, the generator acting first.

    Notes
    -----
    ``a (p b) = (a p) b`` for an element ``p b`` with last letter b: linear in the graph.

    Examples
    --------
    >>> graph = np.array([[1, 2], [0, 2], [3, 2], [2, 2]])
    >>> left_multiplication(graph, shortest_words(graph)).tolist()
    [[1, 2], [0, 3], [2, 2], [3, 3]]
    """
    left = np.empty_like(right)
    left[0] = right[0]
    for level in _levels(words.prefix):
        left[level] = right[left[words.prefix[level]], words.last[level][:, None]]
    read_only(left)
    return left


_WITHOUT_A_LIST: Final = (
    "count without a list of elements (count_transition_monoid, with "
    "pip install libsemigroups-pybind11), or ask only for the groups inside (group_divisors)"
)


def _too_many(max_elements: int) -> str:
    size = f"the monoid has more than {max_elements} elements"
    return f"{size}: raise max_elements, or {_WITHOUT_A_LIST}"


def _levels(prefix: IntArray) -> list[slice]:
    """Cut the elements after the identity into runs of words of equal length."""
    levels = []
    start, end = 0, 1
    while end < len(prefix):
        # Prefixes never decrease: the words one letter longer are those that extend this run.
        start, end = end, 1 + int(np.searchsorted(prefix[1:], end))
        levels.append(slice(start, end))
    return levels
