"""Composition factors of permutation groups: the simple groups they are made of."""

import itertools
from typing import Final

import numpy as np

from automata.permutation_group import PermutationGroup

__all__ = ["composition_factors"]

_MAX_SPLIT_ORDER: Final = 2520
# The simple groups that are not cyclic, up to order 5616: there is one of each order.
_SIMPLE_BY_ORDER: Final = {
    60: "A5",
    168: "PSL(2,7)",
    360: "A6",
    504: "PSL(2,8)",
    660: "PSL(2,11)",
    1092: "PSL(2,13)",
    2448: "PSL(2,17)",
    2520: "A7",
}


def composition_factors(group: PermutationGroup) -> tuple[str, ...]:
    """Name the distinct simple groups in a composition series.

    Parameters
    ----------
    group : PermutationGroup

    Returns
    -------
    tuple of str
        Such as ``("Z2", "A5")``; cyclic ones first. A perfect part of order above 2,520 that is
        not alternating is not split and is named by its order.

    Notes
    -----
    The derived series splits off cyclic groups of prime order. What it ends in is perfect; a
    maximal normal subgroup of that, found by adding classes as long as it stays proper, has a
    simple quotient.

    Examples
    --------
    >>> composition_factors(PermutationGroup([[1, 0, 2, 3, 4], [1, 2, 3, 4, 0]]))
    ('Z2', 'A5')
    """
    primes: set[int] = set()
    others: set[str] = set()
    remaining = [group]
    while remaining:
        series = remaining.pop().derived_series
        for larger, smaller in itertools.pairwise(series):
            primes |= _prime_divisors(larger.order // smaller.order, group.degree)
        core = series[-1]
        if core.order > 1:
            name = core.name
            if not (name.startswith("A") and core.degree >= 5):
                if core.order > _MAX_SPLIT_ORDER:
                    others.add(f"perfect group of order {core.order}")
                    continue
                normal = _maximal_normal_subgroup(core)
                name = _SIMPLE_BY_ORDER[core.order // normal.order]
                remaining.append(normal)
            others.add(name)
    return (*(f"Z{p}" for p in sorted(primes)), *sorted(others))


def _maximal_normal_subgroup(group: PermutationGroup) -> PermutationGroup:
    table = group.to_finite_group()
    normal = PermutationGroup([], group.degree)
    for members in table.conjugacy_classes:
        element = np.array(table.elements[members[0]], dtype=np.int64)
        if not normal.contains(element[None])[0]:
            larger = group.normal_closure(np.append(normal.generators, element[None], axis=0))
            if larger.order < group.order:
                normal = larger
    return normal


def _prime_divisors(number: int, largest: int) -> set[int]:
    """Find the primes up to some largest one that divide a number."""
    return {
        p
        for p in range(2, largest + 1)
        if number % p == 0 and all(p % divisor for divisor in range(2, p))
    }
