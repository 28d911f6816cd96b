"""Isomorphisms between finite groups."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from automata.finite_group import FiniteGroup
from automata.homomorphisms import broken_product, follow_words, spanning_words
from automata.subgroups import element_orders
from automata.validation import IntArray

__all__ = ["find_isomorphism", "isomorphisms"]


def find_isomorphism(first: FiniteGroup, second: FiniteGroup) -> IntArray | None:
    """Find a one-to-one map between groups that keeps products.

    Parameters
    ----------
    first, second : FiniteGroup

    Returns
    -------
    ndarray of int64, [order], or None
        The element of `second` for every element of `first`; None if they are not isomorphic.

    Notes
    -----
    Elements are told apart by their order, the size of their class, and how many square and cube
    roots they and their powers have; then images of the generators of `first` are tried, the
    first one up to conjugacy. Meant for groups with few generators.

    Examples
    --------
    >>> from automata.groups import dicyclic, dihedral, symmetric
    >>> find_isomorphism(dihedral(3), symmetric(3)) is not None
    True
    >>> find_isomorphism(dihedral(4), dicyclic(2)) is None
    True
    """
    return next(isomorphisms(first, second), None)


def isomorphisms(first: FiniteGroup, second: FiniteGroup) -> Iterator[IntArray]:
    """Yield the isomorphisms between groups, the image of the first generator up to conjugacy.

    Parameters
    ----------
    first, second : FiniteGroup

    Yields
    ------
    ndarray of int64, [order]
        The element of `second` for every element of `first`. Every isomorphism is one of these
        followed by a conjugation in `second`.

    Examples
    --------
    The 4 automorphisms of Z5:

    >>> from automata.groups import cyclic
    >>> [image.tolist() for image in isomorphisms(cyclic(5), cyclic(5))][1]
    [0, 2, 4, 1, 3]
    """
    prints, others = _fingerprints(first), _fingerprints(second)
    if first.order != second.order or Counter(prints) != Counter(others):
        return
    by_print: dict[tuple[int, ...], list[int]] = {}
    for element, fingerprint in enumerate(others):
        by_print.setdefault(fingerprint, []).append(element)
    generators = first.generators
    candidates = [by_print[prints[generator]] for generator in generators]
    if candidates:
        representatives = {cls[0] for cls in second.conjugacy_classes}
        candidates[0] = [element for element in candidates[0] if element in representatives]
    words = spanning_words(first)
    pairs = list(itertools.combinations(range(len(generators)), 2))
    wanted = [prints[first.table[generators[i], generators[j]]] for i, j in pairs]
    for chosen in _choices(candidates, pairs, wanted, second, others):
        image = follow_words(words, second, chosen)
        is_homomorphism = broken_product(first, second, chosen, image) is None
        if is_homomorphism and len(np.unique(image)) == first.order:
            yield image


def _fingerprints(group: FiniteGroup) -> list[tuple[int, ...]]:
    """Describe every element by numbers that isomorphisms keep."""
    table = group.table
    numbers = np.arange(group.order)
    squares = table[numbers, numbers]
    cubes = table[squares, numbers]
    class_sizes = np.zeros(group.order, dtype=np.int64)
    for members in group.conjugacy_classes:
        class_sizes[list(members)] = len(members)
    columns = [element_orders(group), class_sizes]
    columns += [np.bincount(powers, minlength=group.order) for powers in (squares, cubes)]
    columns += [column[powers] for column in columns[1:4] for powers in (squares, cubes)]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


def _choices(
    candidates: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int]],
    wanted: Sequence[tuple[int, ...]],
    group: FiniteGroup,
    prints: Sequence[tuple[int, ...]],
    chosen: tuple[int, ...] = (),
) -> Iterator[tuple[int, ...]]:
    """Choose images of generators whose pairwise products have the right fingerprints."""
    if len(chosen) == len(candidates):
        yield chosen
        return
    last = len(chosen)
    checks = [(i, w) for (i, j), w in zip(pairs, wanted, strict=True) if j == last]
    for element in candidates[last]:
        if all(prints[group.table[chosen[i], element]] == print_ for i, print_ in checks):
            yield from _choices(candidates, pairs, wanted, group, prints, (*chosen, element))
