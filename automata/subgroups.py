"""The inside of a finite group: element orders, exponent, centre, all subgroups.

Subgroups are sorted tuples of element numbers, as `FiniteGroup.subgroup` returns them.
"""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.primes import is_prime
from automata.validation import BoolArray, IntArray, as_integer

__all__ = [
    "MAX_ALL_SUBGROUPS_ORDER",
    "all_subgroups",
    "as_group",
    "as_members",
    "by_size",
    "centre",
    "element_orders",
    "exponent",
]

MAX_ALL_SUBGROUPS_ORDER: Final = 120


def element_orders(group: FiniteGroup) -> IntArray:
    """Return the order of every element.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    ndarray of int64, [order]

    Examples
    --------
    >>> from automata.groups import dicyclic
    >>> element_orders(dicyclic(2))
    array([1, 4, 2, 4, 4, 4, 4, 4])
    """
    everyone = np.arange(group.order)
    orders = np.ones(group.order, dtype=np.int64)
    current, active = everyone, everyone
    while True:
        unfinished = current != 0
        current, active = current[unfinished], active[unfinished]
        if not active.size:
            return orders
        orders[active] += 1
        current = group.table[current, active]


def exponent(group: FiniteGroup) -> int:
    """Return the smallest power that sends every element to the identity.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    int

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> exponent(symmetric(5))
    60
    """
    return math.lcm(*np.unique(element_orders(group)).tolist())


def centre(group: FiniteGroup) -> tuple[int, ...]:
    """Return the elements that commute with every element.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from automata.groups import dihedral
    >>> centre(dihedral(4)), centre(dihedral(5))
    ((0, 2), (0,))
    """
    commuting = (group.table == group.table.T).all(axis=1)
    return tuple(np.flatnonzero(commuting).tolist())


def all_subgroups(group: FiniteGroup) -> tuple[tuple[int, ...], ...]:
    """Return all subgroups, by size and then by elements.

    Parameters
    ----------
    group : FiniteGroup
        Of order at most `MAX_ALL_SUBGROUPS_ORDER`.

    Returns
    -------
    tuple of tuples of int

    Notes
    -----
    Cyclic extension: from every subgroup found, the subgroups generated with one more cyclic
    subgroup of prime-power order (J. Neubueser, Numer. Math. 2 (1960) 280-292). Where the larger
    one has prime index over the smaller, nothing lies between and its other elements are skipped.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> len(all_subgroups(symmetric(4)))
    30
    """
    if group.order > MAX_ALL_SUBGROUPS_ORDER:
        raise InputError(
            f"{group.name} has order {group.order}: all subgroups are listed up to order "
            f"{MAX_ALL_SUBGROUPS_ORDER}; for the normal ones take normal_subgroups"
        )
    steps = _prime_power_generators(group)
    found: dict[tuple[int, ...], tuple[int, ...]] = {(0,): ()}  # subgroup -> generators
    queue: list[tuple[int, ...]] = [(0,)]
    for current in queue:  # grows while it is read
        covered = _mask(group, current)
        for step in steps:
            if covered[step]:
                continue
            joined = _join(group, current, found[current], step)
            if is_prime(len(joined) // len(current)):
                covered[list(joined)] = True
            if joined not in found:
                found[joined] = (*found[current], step)
                queue.append(joined)
    return tuple(sorted(found, key=by_size))


def as_group(group: FiniteGroup, subgroup: Iterable[int], name: str | None = None) -> FiniteGroup:
    """Return a subgroup as a group of its own.

    Parameters
    ----------
    group : FiniteGroup
    subgroup : iterable of int
        All elements of the subgroup; the i-th smallest becomes element i.
    name : str, optional

    Returns
    -------
    FiniteGroup
        Its ``elements`` are those of `group`.

    Raises
    ------
    InputError
        If the elements are no subgroup.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> group = symmetric(4)
    >>> as_group(group, group.derived_series[1]).order
    12
    """
    members = as_members(group, subgroup)
    if group.subgroup(members) != members:
        raise InputError(f"the {len(members)} elements given are no subgroup of {group.name}")
    number_of = np.zeros(group.order, dtype=np.int64)
    number_of[list(members)] = np.arange(len(members))
    table = number_of[group.table[np.ix_(members, members)]]
    if name is None:
        name = f"subgroup of order {len(members)} of {group.name}"
    return FiniteGroup(table, [group.elements[m] for m in members], None, name)


def _mask(group: FiniteGroup, members: Iterable[int]) -> BoolArray:
    mask = np.zeros(group.order, dtype=np.bool_)
    mask[list(members)] = True
    return mask


def _normalizes(
    group: FiniteGroup, element: int, inside: BoolArray, members: tuple[int, ...]
) -> bool:
    conjugates = group.table[group.table[group.inverses[element], list(members)], element]
    return bool(inside[conjugates].all())


def _join(
    group: FiniteGroup, members: tuple[int, ...], generators: tuple[int, ...], step: int
) -> tuple[int, ...]:
    """Return the subgroup generated by a subgroup and one more element."""
    inside = _mask(group, members)
    if not _normalizes(group, step, inside, members):
        return group.subgroup((*generators, step))
    joined, power = inside.copy(), step
    while not inside[power]:
        joined[group.table[list(members), power]] = True
        power = int(group.table[power, step])
    return tuple(np.flatnonzero(joined).tolist())


def _prime_power_generators(group: FiniteGroup) -> list[int]:
    """Return one generator, the smallest, of every cyclic subgroup of prime-power order."""
    seen: set[tuple[int, ...]] = set()
    generators = []
    for element, order in enumerate(element_orders(group).tolist()):
        smallest = next((d for d in range(2, order + 1) if order % d == 0), 1)
        if smallest > 1 and smallest ** round(math.log(order, smallest)) == order:
            cyclic_subgroup = group.subgroup([element])
            if cyclic_subgroup not in seen:
                seen.add(cyclic_subgroup)
                generators.append(element)
    return generators


def as_members(group: FiniteGroup, elements: Iterable[int]) -> tuple[int, ...]:
    """Read element numbers: sorted, once each.

    Parameters
    ----------
    group : FiniteGroup
    elements : iterable of int

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> as_members(cyclic(6), [4, 0, 4])
    (0, 4)
    """
    return tuple(sorted({as_integer(e, "an element", 0, group.order - 1) for e in elements}))


def by_size(members: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Sort key of subgroups: by size, then by elements.

    Parameters
    ----------
    members : tuple of int

    Returns
    -------
    tuple

    Examples
    --------
    >>> sorted([(0, 2), (0,), (0, 1)], key=by_size)
    [(0,), (0, 1), (0, 2)]
    """
    return len(members), members
