"""Groups put together from groups: direct and semidirect products."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.finite_group import FiniteGroup, check_order
from automata.homomorphisms import homomorphism
from automata.validation import IntArray, as_integer_array

__all__ = ["direct_product", "semidirect_product"]


def direct_product(*groups: FiniteGroup) -> FiniteGroup:
    """Return the direct product of groups; the last factor varies fastest.

    Parameters
    ----------
    *groups : FiniteGroup
        At least one.

    Returns
    -------
    FiniteGroup
        Elements are tuples with one element of every factor; the generators are those of the
        factors.

    Examples
    --------
    >>> from automata.groups import cyclic, symmetric
    >>> direct_product(cyclic(2), symmetric(3)).name
    'Z2xS3'
    """
    if not groups:
        raise InputError("direct_product needs at least one group")
    name = "x".join(group.name for group in groups)
    orders = [group.order for group in groups]
    order = math.prod(orders)
    check_order(order, name)
    table = np.zeros((order, order), dtype=np.int64)
    generators: list[int] = []
    numbers = np.arange(order)
    stride = order
    for group in groups:
        stride //= group.order
        part = numbers // stride % group.order
        table += stride * group.table[part[:, None], part]
        generators.extend(stride * generator for generator in group.generators)
    elements = list(itertools.product(*(group.elements for group in groups)))
    return FiniteGroup(table, elements, generators, name)


def semidirect_product(
    normal: FiniteGroup,
    acting: FiniteGroup,
    action: Sequence[ArrayLike],
    name: str | None = None,
) -> FiniteGroup:
    """Return the semidirect product in which one group acts on another by conjugation.

    Parameters
    ----------
    normal : FiniteGroup
        The normal factor N.
    acting : FiniteGroup
        The factor H that acts.
    action : sequence of array_like of int, [normal.order]
        For every generator h of `acting` (in the order of ``acting.generators``) the automorphism
        ``n -> h**-1 n h`` of `normal`, as the images of all its elements.
    name : str, optional

    Returns
    -------
    FiniteGroup
        Elements are pairs ``(n, h)`` that stand for the product *n first, then h*; h varies
        fastest. The generators are those of `normal`, then those of `acting`.

    Raises
    ------
    InputError
        If an image is no automorphism, or the automorphisms do not obey the relations of
        `acting`.

    Notes
    -----
    Actions compose as words do: the automorphism of ``product(g, h)`` is that of g, then that of
    h.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> square = [(2 * n) % 7 for n in range(7)]
    >>> group = semidirect_product(cyclic(7), cyclic(3), [square])
    >>> group.order, len(group.conjugacy_classes), group.is_abelian
    (21, 5, False)
    """
    if name is None:
        name = f"{normal.name}:{acting.name}"
    check_order(normal.order * acting.order, name)
    automorphisms = _extended_action(normal, acting, action)
    # n1 h1 n2 h2 = n1 (h1 n2 h1**-1) h1 h2
    moved = normal.table[:, automorphisms[acting.inverses]]  # [n1, h1, n2]
    table = moved[:, :, :, None] * acting.order + acting.table[None, :, None, :]
    order = normal.order * acting.order
    elements = list(itertools.product(normal.elements, acting.elements))
    generators = [g * acting.order for g in normal.generators] + list(acting.generators)
    return FiniteGroup(table.reshape(order, order), elements, generators, name)


def _extended_action(
    normal: FiniteGroup, acting: FiniteGroup, action: Sequence[ArrayLike]
) -> IntArray:
    """Return the automorphism of every element of `acting`, [acting.order, normal.order]."""
    given = [as_integer_array(images, "an automorphism") for images in action]
    if len(given) != len(acting.generators):
        raise InputError(
            f"action has {len(given)} automorphisms: give one for every generator of "
            f"{acting.name}, {len(acting.generators)} in all"
        )
    for images in given:
        _check_automorphism(normal, images)
    result = np.full((acting.order, normal.order), -1, dtype=np.int64)
    result[0] = np.arange(normal.order)
    frontier = [0]
    while frontier:
        following = []
        for element in frontier:
            for generator, images in zip(acting.generators, given, strict=True):
                target = int(acting.table[element, generator])
                if result[target, 0] < 0:
                    following.append(target)
                    result[target] = images[result[element]]
                elif not np.array_equal(result[target], images[result[element]]):
                    raise InputError(
                        f"the automorphisms do not obey the relations of {acting.name}: its "
                        f"element {target} acts in two ways"
                    )
        frontier = following
    return result


def _check_automorphism(normal: FiniteGroup, images: IntArray) -> None:
    if images.ndim != 1 or sorted(images.tolist()) != list(range(normal.order)):
        raise InputError(
            f"an automorphism of {normal.name} lists the images of its {normal.order} elements, "
            "each element once"
        )
    expected = homomorphism(normal, normal, [int(images[g]) for g in normal.generators])
    wrong = np.flatnonzero(expected != images)
    if len(wrong):
        raise InputError(
            f"the images given are no automorphism of {normal.name}: element {wrong[0]} goes to "
            f"{images[wrong[0]]}, but its generators demand {expected[wrong[0]]}"
        )
