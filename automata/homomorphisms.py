"""Homomorphisms between finite groups, and quotients by normal subgroups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.normal_subgroups import check_normal
from automata.validation import IntArray, as_integer, read_only

__all__ = [
    "Quotient",
    "broken_product",
    "follow_words",
    "homomorphism",
    "kernel",
    "quotient",
    "spanning_words",
]


def homomorphism(source: FiniteGroup, target: FiniteGroup, images: Sequence[int]) -> IntArray:
    """Extend images of generators to a homomorphism.

    Parameters
    ----------
    source, target : FiniteGroup
    images : sequence of int
        For every generator of `source` (in the order of ``source.generators``) an element of
        `target`.

    Returns
    -------
    ndarray of int64, [source.order]
        The image of every element, read-only.

    Raises
    ------
    InputError
        If the images break a relation between the generators.

    Examples
    --------
    The sign of a permutation:

    >>> from automata.groups import cyclic, symmetric
    >>> homomorphism(symmetric(3), cyclic(2), [1, 0])
    array([0, 1, 1, 0, 0, 1])
    """
    if len(images) != len(source.generators):
        raise InputError(
            f"{len(images)} images are given: give one for every generator of {source.name}, "
            f"{len(source.generators)} in all"
        )
    chosen = [as_integer(image, "an image", 0, target.order - 1) for image in images]
    result = follow_words(spanning_words(source), target, chosen)
    broken = broken_product(source, target, chosen, result)
    if broken is not None:
        raise InputError(
            f"the images {tuple(chosen)} define no homomorphism from {source.name} to "
            f"{target.name}: element {broken[0]} times generator {broken[1]} would need two images"
        )
    read_only(result)
    return result


def spanning_words(group: FiniteGroup) -> list[tuple[int, int, int]]:
    """List every element but the identity as an earlier one times a generator, breadth first.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    list of (element, earlier element, position of the generator in ``group.generators``)

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> spanning_words(cyclic(3))
    [(1, 0, 0), (2, 1, 0)]
    """
    seen = bytearray(group.order)
    seen[0] = 1
    order = [0]
    words = []
    columns = group.table[:, list(group.generators)].tolist()
    for earlier in order:
        for position, element in enumerate(columns[earlier]):
            if not seen[element]:
                seen[element] = 1
                order.append(element)
                words.append((element, earlier, position))
    return words


def follow_words(
    words: Sequence[tuple[int, int, int]], target: FiniteGroup, images: Sequence[int]
) -> IntArray:
    """Send every element where its word leads once generators are replaced by their images.

    Parameters
    ----------
    words : sequence of (int, int, int)
        As `spanning_words` gives them.
    target : FiniteGroup
    images : sequence of int
        An element of `target` for every generator.

    Returns
    -------
    ndarray of int64, [len(words) + 1]
        A homomorphism exactly if `broken_product` finds nothing.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> follow_words(spanning_words(cyclic(4)), cyclic(2), [1])
    array([0, 1, 0, 1])
    """
    result = [0] * (len(words) + 1)
    columns = target.table[:, list(images)].tolist()
    for element, earlier, position in words:
        result[element] = columns[result[earlier]][position]
    return np.array(result, dtype=np.int64)


def broken_product(
    source: FiniteGroup, target: FiniteGroup, images: Sequence[int], result: IntArray
) -> tuple[int, int] | None:
    """Find an element and a generator whose product a map does not keep.

    Parameters
    ----------
    source, target : FiniteGroup
    images : sequence of int
        What the map does to the generators of `source`.
    result : ndarray of int64, [source.order]
        The map.

    Returns
    -------
    (int, int) or None
        None if there is none: then the map is a homomorphism.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> broken_product(cyclic(3), cyclic(2), [1], np.array([0, 1, 0]))
    (2, 1)
    """
    for generator, image in zip(source.generators, images, strict=True):
        wrong = np.flatnonzero(result[source.table[:, generator]] != target.table[result, image])
        if len(wrong):
            return int(wrong[0]), generator
    return None


def kernel(images: Iterable[int]) -> tuple[int, ...]:
    """Return the elements that a homomorphism sends to the identity.

    Parameters
    ----------
    images : iterable of int
        The image of every element, as `homomorphism` returns it.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> kernel([0, 1, 1, 0, 0, 1])
    (0, 3, 4)
    """
    return tuple(element for element, image in enumerate(images) if image == 0)


@dataclass(frozen=True, eq=False)
class Quotient:
    """A quotient group and the map onto it.

    Attributes
    ----------
    group : FiniteGroup
        The quotient; its element i stands for the i-th coset, in order of smallest elements, and
        ``group.elements`` holds what that smallest element stands for in the original group.
    projection : ndarray of int64, [order of the original group]
        The coset of every element; a homomorphism.
    normal_subgroup : tuple of int
        What was divided by.
    """

    group: FiniteGroup
    projection: IntArray
    normal_subgroup: tuple[int, ...]


def quotient(group: FiniteGroup, normal_subgroup: Iterable[int]) -> Quotient:
    """Divide a group by a normal subgroup.

    Parameters
    ----------
    group : FiniteGroup
    normal_subgroup : iterable of int
        All elements of the normal subgroup.

    Returns
    -------
    Quotient

    Raises
    ------
    InputError
        If the elements are no normal subgroup.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> from automata.normal_subgroups import normal_subgroups
    >>> group = symmetric(4)
    >>> [quotient(group, part).group.order for part in normal_subgroups(group)]
    [24, 6, 2, 1]
    """
    members = check_normal(group, normal_subgroup)
    cosets = np.sort(group.table[:, list(members)], axis=1)[:, 0]
    representatives, projection = np.unique(cosets, return_inverse=True)
    projection = projection.reshape(-1).astype(np.int64)
    read_only(projection)
    table = projection[group.table[representatives[:, None], representatives]]
    generators = [int(image) for image in projection[list(group.generators)] if image]
    elements = [group.elements[representative] for representative in representatives]
    name = group.name if len(members) == 1 else f"{group.name}/N{len(members)}"
    result = FiniteGroup(table, elements, list(dict.fromkeys(generators)), name)
    return Quotient(result, projection, members)
