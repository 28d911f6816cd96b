"""The named finite groups, and `parse`, which reads their names.

``product(p, q) = table[p, q]`` is *p first, then q*; for permutations
``product(p, q)[i] = q[p[i]]``, for matrices it is ``P @ Q``. Element 0 is the identity.
"""

import difflib
import re
from collections.abc import Callable
from typing import Final

import numpy as np

from automata.errors import InputError, shown
from automata.finite_group import FiniteGroup, check_order
from automata.group_products import direct_product, semidirect_product
from automata.matrix_groups import (
    from_matrices,
    general_linear,
    projective_special_linear,
    special_linear,
)
from automata.permutation_groups import alternating, frobenius, from_permutations, symmetric
from automata.primes import is_prime
from automata.validation import as_integer

__all__ = [
    "FiniteGroup",
    "alternating",
    "cyclic",
    "dicyclic",
    "dihedral",
    "direct_product",
    "frobenius",
    "from_matrices",
    "from_permutations",
    "general_linear",
    "parse",
    "projective_special_linear",
    "semidirect_product",
    "special_linear",
    "symmetric",
]

_MAX_FACTORS: Final = 16
_FACTOR: Final = re.compile(r"([a-z]+)([0-9]{1,6}|\([0-9]{1,6},[0-9]{1,6}\))(\^[0-9]{1,3})?")


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


def parse(text: str) -> FiniteGroup:
    """Read a group from its name, whatever the case of its letters.

    Parameters
    ----------
    text : str
        Factors joined by ``x`` (or ``_x_``): ``Zn`` or ``Cn``, ``Sn``, ``An``, ``Dn`` (order 2n),
        ``Dicn`` (order 4n), ``Qm`` (order m, a multiple of 4 from 8), ``Fm`` (the Frobenius group
        of order m on a prime number of points), ``V4``, and over the integers modulo a prime
        ``GL(n,p)``, ``SL(n,p)``, ``PSL(n,p)``; any factor may carry a power, as in ``Z2^3``.

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
    >>> parse("F20").order, parse("SL(2,5)").order, parse("psl(2,7)").name
    (20, 120, 'PSL(2,7)')
    """
    factors: list[FiniteGroup] = []
    for part in re.split(r"[x×]", re.sub(r"[\s_]", "", str(text).lower())):
        match = _FACTOR.fullmatch(part)
        families = _FAMILIES if match is None or match[2][0] != "(" else _MATRIX_FAMILIES
        if match is None or match[1] not in families:
            raise InputError(
                f"{shown(part)} in group {shown(text)} is no group{_nearest(part)}: write Z5, S4, "
                "A5, D4, Q8, Dic3, F20, V4, GL(2,3), SL(2,5) or PSL(2,7), joined by x, such as "
                "A4xZ5"
            )
        power = int((match[3] or "^1")[1:])
        if power < 1 or len(factors) + power > _MAX_FACTORS:
            raise InputError(
                f"group {shown(text)} has {power} factors {shown(part)}: give 1 to {_MAX_FACTORS} "
                "in all"
            )
        numbers = [int(number) for number in match[2].strip("()").split(",")]
        group = families[match[1]](*numbers)
        if group is None:
            raise InputError(
                f"{shown(part)} in group {shown(text)} is no group: {_LIMITS[match[1]]}"
            )
        factors.extend([group] * power)
    return factors[0] if len(factors) == 1 else direct_product(*factors)


def _nearest(part: str) -> str:
    """Return a hint with the family whose name is nearest to the letters of a name."""
    match = _FACTOR.fullmatch(part)
    if match is None:
        return ""
    families = _MATRIX_FAMILIES if match[2][0] == "(" else _FAMILIES
    for family in difflib.get_close_matches(match[1], families, n=1, cutoff=0.5):
        written = "Dic" if family == "dic" else family.upper()
        return f" (did you mean {written}{part[len(match[1]) :]}?)"
    return ""


def _quaternion(order: int) -> FiniteGroup | None:
    return dicyclic(order // 4) if order >= 8 and order % 4 == 0 else None


def _klein(order: int) -> FiniteGroup | None:
    return direct_product(cyclic(2), cyclic(2)) if order == 4 else None


def _frobenius_of_order(order: int) -> FiniteGroup | None:
    check_order(order, f"F{order}")
    largest = max((p for p in range(2, order) if order % p == 0 and is_prime(p)), default=None)
    if largest is None or (largest - 1) % (order // largest):
        return None
    return frobenius(largest, order // largest)


_LIMITS: Final = {
    "q": "give Q8, Q12, Q16, ...",
    "v": "only V4 is",
    "f": "Frobenius groups on a prime number p of points have order p m with m > 1 a divisor of "
    "p - 1, such as F20, F21, F42",
}
_FAMILIES: Final[dict[str, Callable[[int], FiniteGroup | None]]] = {
    "z": cyclic,
    "c": cyclic,
    "s": symmetric,
    "a": alternating,
    "d": dihedral,
    "dic": dicyclic,
    "q": _quaternion,
    "f": _frobenius_of_order,
    "v": _klein,
}
_MATRIX_FAMILIES: Final[dict[str, Callable[[int, int], FiniteGroup | None]]] = {
    "gl": general_linear,
    "sl": special_linear,
    "psl": projective_special_linear,
}


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
