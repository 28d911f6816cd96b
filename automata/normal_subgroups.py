"""Normal subgroups: tests, closures, all of them, the minimal ones."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.primes import is_prime
from automata.subgroups import as_members, by_size, element_orders
from automata.validation import IntArray

__all__ = [
    "MAX_NORMAL_SUBGROUPS",
    "check_normal",
    "is_normal",
    "minimal_normal_subgroups",
    "normal_closure",
    "normal_subgroups",
]

MAX_NORMAL_SUBGROUPS: Final = 10_000


def is_normal(group: FiniteGroup, subgroup: Iterable[int]) -> bool:
    """Return whether some elements are a normal subgroup.

    Parameters
    ----------
    group : FiniteGroup
    subgroup : iterable of int

    Returns
    -------
    bool

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> is_normal(symmetric(3), [0, 3, 4]), is_normal(symmetric(3), [0, 1])
    (True, False)
    """
    members = as_members(group, subgroup)
    return group.subgroup(members) == members and _is_closed_under_conjugation(group, members)


def check_normal(group: FiniteGroup, subgroup: Iterable[int]) -> tuple[int, ...]:
    """Return a normal subgroup, sorted, or say why the elements are none.

    Parameters
    ----------
    group : FiniteGroup
    subgroup : iterable of int

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If the elements are no subgroup, or the subgroup is not normal.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> check_normal(symmetric(3), [4, 0, 3])
    (0, 3, 4)
    """
    members = as_members(group, subgroup)
    generated = group.subgroup(members)
    if generated != members:
        raise InputError(
            f"the {len(members)} elements given are no subgroup of {group.name}: they generate "
            f"{len(generated)}"
        )
    if not _is_closed_under_conjugation(group, members):
        raise InputError(
            f"the subgroup of order {len(members)} is not normal in {group.name}: take its "
            "normal_closure"
        )
    return members


def normal_closure(group: FiniteGroup, elements: Iterable[int]) -> tuple[int, ...]:
    """Return the smallest normal subgroup that contains some elements.

    Parameters
    ----------
    group : FiniteGroup
    elements : iterable of int

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> group = symmetric(4)
    >>> len(normal_closure(group, [group.elements.index((1, 0, 3, 2))]))
    4
    """
    members = np.array(as_members(group, elements), dtype=np.int64)
    first = group.table[group.inverses[:, None], members]
    conjugates = group.table[first, np.arange(group.order)[:, None]]
    return group.subgroup(_few_generators(group, np.unique(conjugates)))


def normal_subgroups(group: FiniteGroup) -> tuple[tuple[int, ...], ...]:
    """Return all normal subgroups, by size and then by elements.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    tuple of tuples of int
        The trivial subgroup first, the whole group last.

    Raises
    ------
    InputError
        If there are more than `MAX_NORMAL_SUBGROUPS` (as in large elementary abelian groups).

    Notes
    -----
    Every normal subgroup is a product of normal closures of single elements.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> [len(part) for part in normal_subgroups(symmetric(4))]
    [1, 4, 12, 24]
    """
    closures = sorted(
        {normal_closure(group, cls[:1]) for cls in group.conjugacy_classes[1:]}, key=by_size
    )
    found: dict[tuple[int, ...], None] = {(0,): None}
    queue: list[tuple[int, ...]] = [(0,)]
    for current in queue:  # grows while it is read
        covered = np.zeros(group.order, dtype=np.bool_)
        covered[list(current)] = True
        for closure in closures:
            if covered[list(closure)].all():
                continue
            product = np.unique(group.table[np.ix_(current, closure)])
            joined = tuple(product.tolist())
            if is_prime(len(joined) // len(current)):
                covered[product] = True
            if joined not in found:
                found[joined] = None
                queue.append(joined)
                if len(found) > MAX_NORMAL_SUBGROUPS:
                    raise InputError(
                        f"{group.name} has more than {MAX_NORMAL_SUBGROUPS} normal subgroups: "
                        "take a smaller group"
                    )
    return tuple(sorted(found, key=by_size))


def minimal_normal_subgroups(group: FiniteGroup) -> tuple[tuple[int, ...], ...]:
    """Return the normal subgroups that contain no smaller one but the trivial group.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    tuple of tuples of int
        By size and then by elements; empty for the trivial group.

    Notes
    -----
    A representation is faithful exactly if none of them lies in its kernel.

    Examples
    --------
    >>> from automata.groups import parse
    >>> [len(part) for part in minimal_normal_subgroups(parse("A4xZ5"))]
    [4, 5]
    """
    orders = element_orders(group)
    firsts = [cls[0] for cls in group.conjugacy_classes if is_prime(int(orders[cls[0]]))]
    minimal: list[frozenset[int]] = []
    for closure in sorted({normal_closure(group, [first]) for first in firsts}, key=by_size):
        candidate = frozenset(closure)
        if not any(part <= candidate for part in minimal):
            minimal.append(candidate)
    return tuple(tuple(sorted(part)) for part in minimal)


def _is_closed_under_conjugation(group: FiniteGroup, members: tuple[int, ...]) -> bool:
    inside = np.zeros(group.order, dtype=np.bool_)
    inside[list(members)] = True
    generators = np.array(group.generators, dtype=np.int64)[:, None]
    first = group.table[group.inverses[generators], list(members)]
    return bool(inside[group.table[first, generators]].all())


def _few_generators(group: FiniteGroup, elements: IntArray) -> Iterator[int]:
    """Yield elements that generate what all of them generate, each outside the earlier ones."""
    chosen: list[int] = []
    covered = {0}
    for element in elements.tolist():
        if element not in covered:
            chosen.append(element)
            covered = set(group.subgroup(chosen))
            yield element
