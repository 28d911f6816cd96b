"""Green's relations of a finite monoid, from its two Cayley graphs."""

from dataclasses import dataclass

import numpy as np

from automata.strong_components import number_by_first, strong_components
from automata.validation import IntArray, read_only

__all__ = ["GreenClasses", "green_classes"]


@dataclass(frozen=True)
class GreenClasses:
    """The classes of every element, each kind numbered by its smallest element.

    Attributes
    ----------
    r_class : ndarray of int64, [size]
        Equal where two elements are products of each other with something on the right.
    l_class : ndarray of int64, [size]
        The same on the left.
    h_class : ndarray of int64, [size]
        Equal where both are.
    d_class : ndarray of int64, [size]
        The smallest relation that holds both; in a finite monoid also J: two elements are
        products of each other with something on either side.
    """

    r_class: IntArray
    l_class: IntArray
    h_class: IntArray
    d_class: IntArray

    @property
    def num_r_classes(self) -> int:
        """Number of R-classes."""
        return int(self.r_class.max()) + 1

    @property
    def num_l_classes(self) -> int:
        """Number of L-classes."""
        return int(self.l_class.max()) + 1

    @property
    def num_h_classes(self) -> int:
        """Number of H-classes."""
        return int(self.h_class.max()) + 1

    @property
    def num_d_classes(self) -> int:
        """Number of D-classes."""
        return int(self.d_class.max()) + 1


def green_classes(right: IntArray, left: IntArray) -> GreenClasses:
    """Compute Green's relations.

    Parameters
    ----------
    right, left : ndarray of int64, [size, num_generators]
        The Cayley graphs.

    Returns
    -------
    GreenClasses

    Notes
    -----
    R and L are the strongly connected components of the right and the left graph; D joins R- and
    L-classes that meet. Linear time. Green: "On the structure of semigroups", 1951.

    Examples
    --------
    The four transformations of two points: the two bijections, and the two constants.

    >>> classes = green_classes(
    ...     np.array([[1, 2], [0, 2], [3, 2], [2, 2]]), np.array([[1, 2], [0, 3], [2, 2], [3, 3]])
    ... )
    >>> classes.d_class.tolist(), classes.num_r_classes, classes.num_l_classes
    ([0, 0, 1, 1], 2, 3)
    """
    r_class = strong_components(right)
    l_class = strong_components(left)
    pairs = r_class * (int(l_class.max()) + 1) + l_class
    h_class = number_by_first(pairs)
    _, representatives = np.unique(h_class, return_index=True)
    d_class = _joined(r_class[representatives], l_class[representatives])[h_class]
    for classes in (r_class, l_class, h_class, d_class):
        read_only(classes)
    return GreenClasses(r_class, l_class, h_class, d_class)


def _joined(first: IntArray, second: IntArray) -> IntArray:
    """Number the finest partition coarser than two, by smallest member (union-find)."""
    offset = int(first.max()) + 1
    parent = list(range(offset + int(second.max()) + 1))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in zip(first.tolist(), (offset + second).tolist(), strict=True):
        parent[root(one)] = root(other)
    return number_by_first(np.array([root(one) for one in first.tolist()], dtype=np.int64))
