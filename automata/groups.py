"""The named finite groups: cyclic, symmetric, alternating, dihedral, dicyclic, products.

``product(p, q) = table[p, q]`` is *p first, then q*; for permutations
``product(p, q)[i] = q[p[i]]``. Element 0 is the identity.
"""

import itertools
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup, check_order
from automata.validation import IntArray, as_integer

__all__ = [
    "FiniteGroup",
    "alternating",
    "cyclic",
    "dicyclic",
    "dihedral",
    "direct_product",
    "from_permutations",
    "parse",
    "symmetric",
]


def cyclic(n: int) -> FiniteGroup:
    """Return the integers modulo `n` under addition.

    Parameters
    ----------
    n : int
        The order.

    Returns
    -------
    FiniteGroup
        Element ``i`` is the number ``i``; the generator is 1.

    Examples
    --------
    >>> cyclic(3).table
    array([[0, 1, 2],
           [1, 2, 0],
           [2, 0, 1]])
    """
    n = as_integer(n, "the order of a cyclic group", 1)
    check_order(n, f"Z{n}")
    numbers = np.arange(n)
    return FiniteGroup((numbers[:, None] + numbers) % n, None, [1] if n > 1 else [], f"Z{n}")


def symmetric(n: int) -> FiniteGroup:
    """Return all permutations of `n` points, in lexicographic order.

    Parameters
    ----------
    n : int
        Number of points; the order is ``n!``.

    Returns
    -------
    FiniteGroup
        Elements are tuples of images; the generators are the swap of points 0 and 1 and the cycle
        ``0 -> 1 -> ... -> n-1 -> 0``.

    Examples
    --------
    >>> group = symmetric(3)
    >>> [group.elements[g] for g in group.generators]
    [(1, 0, 2), (1, 2, 0)]
    """
    n = as_integer(n, "the number of points", 1)
    check_order(math.factorial(min(n, 20)), f"S{n}")
    swap = [(1, 0, *range(2, n))] if n >= 2 else []
    cycle = [(*range(1, n), 0)] if n >= 3 else []
    return _permutation_group(list(itertools.permutations(range(n))), swap + cycle, f"S{n}")


def alternating(n: int) -> FiniteGroup:
    """Return the even permutations of `n` points, in lexicographic order.

    Parameters
    ----------
    n : int
        Number of points; the order is ``n! / 2`` (1 for n = 1).

    Returns
    -------
    FiniteGroup
        Elements are tuples of images; the generators are the 3-cycle ``0 -> 1 -> 2 -> 0`` and the
        longest cycle of odd length that ends at the last point.

    Examples
    --------
    >>> alternating(4).order
    12
    """
    n = as_integer(n, "the number of points", 1)
    check_order(max(1, math.factorial(min(n, 20)) // 2), f"A{n}")
    elements = [p for p in itertools.permutations(range(n)) if _is_even(p)]
    three_cycle = [(1, 2, 0, *range(3, n))] if n >= 3 else []
    cycle = [(*range(1, n), 0) if n % 2 else (0, *range(2, n), 1)] if n >= 4 else []
    return _permutation_group(elements, three_cycle + cycle, f"A{n}")


def dihedral(n: int) -> FiniteGroup:
    """Return the symmetries of a regular `n`-gon, of order ``2 n``.

    Parameters
    ----------
    n : int
        Number of corners; 1 and 2 give Z2 and Z2 x Z2.

    Returns
    -------
    FiniteGroup
        Element ``(k, e)`` is the product ``r**k s**e`` of a rotation and a reflection with
        ``s r = r**-1 s``; the generators are r and s.

    Examples
    --------
    >>> dihedral(4).elements[:3], dihedral(4).order
    (((0, 0), (1, 0), (2, 0)), 8)
    """
    n = as_integer(n, "the number of corners", 1)
    check_order(2 * n, f"D{n}")
    return _rotations_and_flips(n, 0, [1, n] if n > 1 else [n], f"D{n}")


def dicyclic(n: int) -> FiniteGroup:
    """Return the dicyclic group of order ``4 n``; n = 2 is the quaternion group.

    Parameters
    ----------
    n : int

    Returns
    -------
    FiniteGroup
        Element ``(k, e)`` is ``a**k x**e`` with a of order 2n, ``x**2 = a**n`` and
        ``x a = a**-1 x``; the generators are a and x.

    Examples
    --------
    >>> quaternion = dicyclic(2)
    >>> [quaternion.element_order(g) for g in range(8)]
    [1, 4, 2, 4, 4, 4, 4, 4]
    """
    n = as_integer(n, "n of a dicyclic group", 1)
    check_order(4 * n, f"Dic{n}")
    return _rotations_and_flips(2 * n, n, [1, 2 * n], "Q8" if n == 2 else f"Dic{n}")


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


def from_permutations(
    permutations: Iterable[Sequence[int]], name: str | None = None
) -> FiniteGroup:
    """Return the group that some permutations generate.

    Parameters
    ----------
    permutations : iterable of sequences of int
        Each the images of ``0, ..., n-1``, all of one n.
    name : str, optional

    Returns
    -------
    FiniteGroup
        Elements are tuples of images in lexicographic order; the generators are the permutations
        given, without the identity and repetitions.

    Raises
    ------
    InputError
        If one is no permutation, sizes differ, or the group is too large.

    Examples
    --------
    >>> from_permutations([(1, 0, 2, 3), (0, 1, 3, 2)]).order
    4
    """
    given = [tuple(as_integer(i, "an image", 0) for i in p) for p in permutations]
    if not given or not given[0]:
        raise InputError("give at least one permutation of at least one point")
    num_points = len(given[0])
    for permutation in given:
        if sorted(permutation) != list(range(num_points)):
            raise InputError(
                f"{permutation} is not a permutation of 0..{num_points - 1}: give the images "
                "of all points"
            )
    identity = tuple(range(num_points))
    generators = [p for p in dict.fromkeys(given) if p != identity]
    elements = {identity}
    frontier = [identity]
    while frontier:
        products = {tuple(g[i] for i in p) for p in frontier for g in generators}
        frontier = list(products - elements)
        elements.update(frontier)
        check_order(len(elements), "the group generated (so far)")
    return _permutation_group(sorted(elements), generators, name)


def parse(text: str) -> FiniteGroup:
    """Read a group from its name, whatever the case of its letters.

    Parameters
    ----------
    text : str
        Factors joined by ``x`` (or ``_x_``): ``Zn`` or ``Cn``, ``Sn``, ``An``, ``Dn`` (order 2n),
        ``Dicn`` (order 4n), ``Qm`` (order m, a multiple of 4 from 8), ``V4``; any factor may
        carry a power, as in ``Z2^3``.

    Returns
    -------
    FiniteGroup

    Raises
    ------
    InputError
        If the text is no such name, or the group is too large.

    Examples
    --------
    >>> parse("a4xZ5").order, parse("Q8").name, parse("Z2^3").is_abelian
    (60, 'Q8', True)
    """
    factors: list[FiniteGroup] = []
    for part in re.split(r"[x×]", re.sub(r"[\s_]", "", str(text).lower())):
        match = re.fullmatch(r"(z|c|s|a|d|dic|q|v)([0-9]{1,6})(?:\^([0-9]{1,3}))?", part)
        if match is None:
            raise InputError(
                f"{part!r} in group {text!r} is no group: write Z5, S4, A5, D4, Q8, Dic3 or V4, "
                "joined by x, such as A4xZ5"
            )
        letter, number, power = match[1], int(match[2]), int(match[3] or 1)
        if power < 1 or len(factors) + power > 16:
            raise InputError(f"group {text!r} has {power} factors {part!r}: give 1 to 16 in all")
        factors.extend([_named(letter, number, str(text))] * power)
    return factors[0] if len(factors) == 1 else direct_product(*factors)


def _named(letter: str, number: int, text: str) -> FiniteGroup:
    if letter == "q":
        if number < 8 or number % 4:
            raise InputError(f"Q{number} in group {text!r} is no group: give Q8, Q12, Q16, ...")
        return dicyclic(number // 4)
    if letter == "v":
        if number != 4:
            raise InputError(f"V{number} in group {text!r} is no group: only V4 is")
        return direct_product(cyclic(2), cyclic(2))
    constructors = {
        "z": cyclic,
        "c": cyclic,
        "s": symmetric,
        "a": alternating,
        "d": dihedral,
        "dic": dicyclic,
    }
    return constructors[letter](number)


def _is_even(permutation: Sequence[int]) -> bool:
    inversions = sum(a > b for a, b in itertools.combinations(permutation, 2))
    return inversions % 2 == 0


def _permutation_group(
    elements: list[tuple[int, ...]], generators: list[tuple[int, ...]], name: str | None
) -> FiniteGroup:
    """Build the table of permutations given in lexicographic order, identity first."""
    images = np.array(elements, dtype=np.int64)
    order, num_points = images.shape
    number_of = {element: number for number, element in enumerate(elements)}
    # Products are recognised by their images of a few points that tell all elements apart.
    base = _base_points(images)
    place = num_points ** np.arange(len(base) - 1, -1, -1, dtype=np.int64)
    codes = images[:, base] @ place
    by_code = np.argsort(codes)
    table = np.empty((order, order), dtype=np.int64)
    for first in range(order):
        products = images[:, images[first, base]] @ place
        table[first] = by_code[np.searchsorted(codes, products, sorter=by_code)]
    return FiniteGroup(table, elements, [number_of[g] for g in generators], name)


def _base_points(images: IntArray) -> list[int]:
    """Choose points until their images determine the element."""
    base: list[int] = []
    num_distinct = 1
    for point in range(images.shape[1]):
        if num_distinct == len(images):
            break
        candidate = [*base, point]
        count = len(np.unique(images[:, candidate], axis=0))
        if count > num_distinct:
            base, num_distinct = candidate, count
    return base


def _rotations_and_flips(
    num_rotations: int, flip_square: int, generators: list[int], name: str
) -> FiniteGroup:
    """Build ``r**k s**e``, numbered ``k + num_rotations * e``, with ``s**2 = r**flip_square``."""
    flip, turn = np.divmod(np.arange(2 * num_rotations), num_rotations)
    sign = 1 - 2 * flip
    both = flip[:, None] & flip
    turns = (turn[:, None] + sign[:, None] * turn + flip_square * both) % num_rotations
    table = turns + num_rotations * (flip[:, None] ^ flip)
    elements = list(zip(turn.tolist(), flip.tolist(), strict=True))
    return FiniteGroup(table, elements, generators, name)
