"""Names of small groups that are given as tables."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from automata.finite_group import FiniteGroup
from automata.groups import parse
from automata.isomorphisms import find_isomorphism
from automata.primes import is_prime
from automata.subgroups import element_orders

__all__ = ["MAX_NAMED_ORDER", "group_name"]

MAX_NAMED_ORDER: Final = 200


def group_name(group: FiniteGroup) -> str | None:
    """Name a group up to isomorphism, if it is a common one of order up to `MAX_NAMED_ORDER`.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    str or None
        Products of ``Zn``, ``Sn``, ``An``, ``Dn`` (order 2n), ``Dicn`` (order 4n), ``Q8``, ``Fm``
        (a Frobenius group of order m: the maps ``x -> a x + b`` modulo a prime, a in a subgroup),
        ``SL(2,p)`` and ``PSL(2,7)``. Abelian groups are written with factors that divide each
        other, as in ``Z2xZ6``. None for any other group.

    Examples
    --------
    >>> from automata.groups import from_permutations
    >>> group_name(from_permutations([(1, 2, 3, 0), (2, 1, 0, 3)]))
    'D4'
    """
    if group.order > MAX_NAMED_ORDER:
        return None
    if group.is_abelian:
        counts = Counter(element_orders(group).tolist())
        for factors in _abelian_factors(group.order):
            if counts == _abelian_order_counts(factors):
                return "x".join(f"Z{n}" for n in factors)
    for candidate in _candidates(group.order):
        name = "x".join(candidate)
        if find_isomorphism(_named(name), group) is not None:
            return name
    return None


def _abelian_factors(order: int, divisor: int = 1) -> Iterator[tuple[int, ...]]:
    """List the ways to write an order as ``d_1 * d_2 * ...`` with each d dividing the next."""
    if order == 1:
        yield (1,) if divisor == 1 else ()
        return
    for factor in range(2, order + 1):
        if order % factor == 0 and factor % divisor == 0:
            yield from ((factor, *rest) for rest in _abelian_factors(order // factor, factor))


def _abelian_order_counts(factors: tuple[int, ...]) -> Counter[int]:
    """Count the elements of every order in a product of cyclic groups."""
    counts = Counter({1: 1})
    for n in factors:
        new: Counter[int] = Counter()
        orders = Counter(n // math.gcd(n, k) for k in range(n))
        for (one, many), (other, more) in itertools.product(counts.items(), orders.items()):
            new[math.lcm(one, other)] += many * more
        counts = new
    return counts


def _candidates(order: int) -> Iterator[tuple[str, ...]]:
    """List names, as tuples of factors, that a non-abelian group of some order may have."""
    base = _non_abelian_names(order)
    yield from ((name,) for name, size in base if size == order)
    for (name, size), (other, more) in itertools.combinations_with_replacement(base, 2):
        if size * more == order:
            yield name, other
    for name, size in base:
        if order % size == 0 and size < order:
            for factors in _abelian_factors(order // size):
                yield (name, *(f"Z{n}" for n in factors))


@functools.lru_cache(maxsize=256)
def _non_abelian_names(order: int) -> tuple[tuple[str, int], ...]:
    """List the groups that are no product here whose order divides some order, with theirs."""
    names = [(f"S{n}", math.factorial(n)) for n in range(3, 6)]
    names += [(f"A{n}", math.factorial(n) // 2) for n in range(4, 6)]
    names += [(f"D{n}", 2 * n) for n in range(4, order // 2 + 1)]
    names += [("Q8", 8)] + [(f"Dic{n}", 4 * n) for n in range(3, order // 4 + 1)]
    for prime in filter(is_prime, range(5, order)):
        names += [(f"F{prime * m}", prime * m) for m in range(3, prime) if (prime - 1) % m == 0]
    names += [("SL(2,3)", 24), ("SL(2,5)", 120), ("PSL(2,7)", 168)]
    return tuple((name, size) for name, size in names if order % size == 0)


_named = functools.lru_cache(maxsize=256)(parse)
