"""Recognising small groups: an isomorphism between two tables, and a name for one."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from automata.finite_group import FiniteGroup
from automata.groups import (
    alternating,
    cyclic,
    dicyclic,
    dihedral,
    direct_product,
    from_permutations,
    symmetric,
)
from automata.validation import IntArray

__all__ = ["MAX_NAMED_ORDER", "find_isomorphism", "group_name"]

MAX_NAMED_ORDER: Final = 200


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
    >>> find_isomorphism(dihedral(3), symmetric(3)) is not None
    True
    >>> find_isomorphism(dihedral(4), dicyclic(2)) is None
    True
    """
    prints, others = _fingerprints(first), _fingerprints(second)
    if first.order != second.order or Counter(prints) != Counter(others):
        return None
    by_print: dict[tuple[int, ...], list[int]] = {}
    for element, fingerprint in enumerate(others):
        by_print.setdefault(fingerprint, []).append(element)
    generators = first.generators
    candidates = [by_print[prints[generator]] for generator in generators]
    if candidates:
        representatives = {cls[0] for cls in second.conjugacy_classes}
        candidates[0] = [element for element in candidates[0] if element in representatives]
    tree = _spanning_tree(first)
    pairs = list(itertools.combinations(range(len(generators)), 2))
    wanted = [prints[first.table[generators[i], generators[j]]] for i, j in pairs]
    for chosen in _choices(candidates, pairs, wanted, second, others):
        image = np.zeros(first.order, dtype=np.int64)
        for element, source, generator in tree:
            image[element] = second.table[image[source], chosen[generator]]
        is_homomorphism = all(
            np.array_equal(image[first.table[:, g]], second.table[image, h])
            for g, h in zip(generators, chosen, strict=True)
        )
        if is_homomorphism and len(np.unique(image)) == first.order:
            return image
    return None


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
    >>> group_name(from_permutations([(1, 2, 3, 0), (2, 1, 0, 3)]))
    'D4'
    """
    if group.order > MAX_NAMED_ORDER:
        return None
    if group.is_abelian:
        counts = Counter(print_[0] for print_ in _fingerprints(group))
        for factors in _abelian_factors(group.order):
            if counts == _abelian_order_counts(factors):
                return "x".join(f"Z{n}" for n in factors)
    for name in _candidates(group.order):
        if find_isomorphism(_candidate(name), group) is not None:
            return "x".join(name)
    return None


def _fingerprints(group: FiniteGroup) -> list[tuple[int, ...]]:
    """Describe every element by numbers that isomorphisms keep."""
    table = group.table
    numbers = np.arange(group.order)
    squares = table[numbers, numbers]
    cubes = table[squares, numbers]
    orders = np.array([group.element_order(g) for g in numbers.tolist()])
    class_sizes = np.zeros(group.order, dtype=np.int64)
    for members in group.conjugacy_classes:
        class_sizes[list(members)] = len(members)
    columns = [orders, class_sizes]
    columns += [np.bincount(powers, minlength=group.order) for powers in (squares, cubes)]
    columns += [column[powers] for column in columns[1:4] for powers in (squares, cubes)]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


def _spanning_tree(group: FiniteGroup) -> list[tuple[int, int, int]]:
    """List every element but the identity with an earlier one and the generator that leads on."""
    seen = {0}
    order = [0]
    tree = []
    for source in order:
        for number, generator in enumerate(group.generators):
            element = int(group.table[source, generator])
            if element not in seen:
                seen.add(element)
                order.append(element)
                tree.append((element, source, number))
    return tree


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
    yield from ((name,) for name, _ in base if _ == order)
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
    for prime in (p for p in range(5, order) if all(p % d for d in range(2, p))):
        names += [(f"F{prime * m}", prime * m) for m in range(3, prime) if (prime - 1) % m == 0]
    names += [("SL(2,3)", 24), ("SL(2,5)", 120), ("PSL(2,7)", 168)]
    return tuple((name, size) for name, size in names if order % size == 0)


@functools.lru_cache(maxsize=256)
def _candidate(name: tuple[str, ...]) -> FiniteGroup:
    if len(name) > 1:
        return direct_product(*(_candidate((factor,)) for factor in name))
    text = name[0]
    if text.startswith("SL"):
        return _special_linear(int(text[5]), projective=False)
    if text.startswith("PSL"):
        return _special_linear(int(text[6]), projective=True)
    letters = text.rstrip("0123456789")
    n = int(text[len(letters) :])
    if letters == "F":
        return _frobenius(n)
    if letters == "Q":
        return dicyclic(n // 4)
    constructors = {
        "Z": cyclic,
        "S": symmetric,
        "A": alternating,
        "D": dihedral,
        "Dic": dicyclic,
    }
    return constructors[letters](n)


def _frobenius(order: int) -> FiniteGroup:
    """Build the maps ``x -> a x + b`` modulo the largest prime that divides the order."""
    prime = max(p for p in range(2, order) if order % p == 0 and all(p % d for d in range(2, p)))
    num_factors = order // prime
    factor = next(
        a
        for a in range(2, prime)
        if pow(a, num_factors, prime) == 1
        and all(pow(a, k, prime) != 1 for k in range(1, num_factors))
    )
    points = range(prime)
    return from_permutations(
        [tuple((x + 1) % prime for x in points), tuple(factor * x % prime for x in points)]
    )


def _special_linear(prime: int, projective: bool) -> FiniteGroup:
    """Build the 2 x 2 matrices of determinant 1, acting on vectors or on lines."""
    vectors = [v for v in itertools.product(range(prime), repeat=2) if any(v)]

    def line(vector: tuple[int, int]) -> tuple[int, int]:
        if not projective:
            return vector
        scale = pow(next(x for x in vector if x), -1, prime)
        return vector[0] * scale % prime, vector[1] * scale % prime

    points = list(dict.fromkeys(line((v[0], v[1])) for v in vectors))
    number = {point: index for index, point in enumerate(points)}
    shears = [
        tuple(number[line(((x + y) % prime, y))] for x, y in points),
        tuple(number[line((x, (x + y) % prime))] for x, y in points),
    ]
    return from_permutations(shears)
