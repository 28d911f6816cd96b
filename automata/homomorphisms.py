"""Homomorphisms between finite groups, and quotients by normal subgroups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.normal_subgroups import check_normal
from automata.validation import IntArray, as_integer, read_only

__all__ = ["Quotient", "homomorphism", "kernel", "quotient"]


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
    result = np.full(source.order, -1, dtype=np.int64)
    result[0] = 0
    frontier = np.zeros(1, dtype=np.int64)
    while frontier.size:
        reached = []
        for generator, image in zip(source.generators, chosen, strict=True):
            products = source.table[frontier, generator]
            new = result[products] < 0
            result[products[new]] = target.table[result[frontier[new]], image]
            reached.append(products[new])
        frontier = np.unique(np.concatenate(reached)) if reached else frontier[:0]
    for generator, image in zip(source.generators, chosen, strict=True):
        wrong = np.flatnonzero(result[source.table[:, generator]] != target.table[result, image])
        if len(wrong):
            raise InputError(
                f"the images {tuple(chosen)} define no homomorphism from {source.name} to "
                f"{target.name}: element {wrong[0]} times generator {generator} would need two "
                "images"
            )
    read_only(result)
    return result


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
