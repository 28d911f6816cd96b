"""Which quotient of a group a set of matrices can tell apart."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from automata.groups import FiniteGroup


def consistent_kernel(
    matrices: NDArray[Any], group: "FiniteGroup", tolerance: float, trivial: float
) -> tuple[int, ...] | None:
    """Elements whose matrix is that of the identity, if they form a normal subgroup.

    Parameters
    ----------
    matrices : ndarray [order, D, D]
        Matrix of every element, element 0 the identity.
    group : FiniteGroup
        The group.
    tolerance : float
        Share of the largest ``|M_g - M_e|_F`` up to which an element counts.
    trivial : float
        If the largest ``|M_g - M_e|_F / sqrt(D)`` is at most this, every element counts.

    Returns
    -------
    tuple of int or None
        The kernel in ascending order; None if those elements form no normal subgroup, so that
        there is no quotient to speak of.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> signs = np.array([1.0, -1.0, 1.0, -1.0])[:, None, None]
    >>> consistent_kernel(signs, cyclic(4), 0.05, 0.01)
    (0, 2)
    """
    distance = np.linalg.norm(matrices - matrices[0], axis=(-2, -1))
    largest = float(distance.max())
    if largest <= trivial * math.sqrt(max(1, matrices.shape[-1])):
        return tuple(range(group.order))
    inside = distance <= tolerance * largest
    return tuple(np.flatnonzero(inside).tolist()) if _is_normal(inside, group) else None


def quotient_name(group: "FiniteGroup", kernel: Sequence[int]) -> str:
    """Name the quotient of a group by a normal subgroup, where its order settles it.

    Parameters
    ----------
    group : FiniteGroup
        The group.
    kernel : sequence of int
        A normal subgroup.

    Returns
    -------
    str
        "1", the group's own name, "Zn" for a cyclic quotient, "Z2xZ2", "S3", or "order n".

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> [quotient_name(cyclic(6), kernel) for kernel in ([0, 2, 4], [0], range(6))]
    ['Z2', 'Z6', '1']
    """
    order = group.order // len(kernel)
    if order == 1:
        return "1"
    if order == group.order:
        return str(group.name)
    table = np.asarray(group.table)
    inside = np.zeros(group.order, dtype=bool)
    inside[list(kernel)] = True
    if max(_order_modulo(table, inside, element) for element in range(group.order)) == order:
        return f"Z{order}"
    return {4: "Z2xZ2", 6: "S3"}.get(order, f"order {order}")


def _order_modulo(table: NDArray[Any], inside: NDArray[np.bool_], element: int) -> int:
    power = element
    order = 1
    while not inside[power]:
        power = int(table[power, element])
        order += 1
    return order


def _is_normal(inside: NDArray[np.bool_], group: "FiniteGroup") -> bool:
    """Whether the cosets of a subset that holds 0 multiply like one element each."""
    table = np.asarray(group.table)
    members = np.flatnonzero(inside)
    if not inside[table[np.ix_(members, members)]].all():
        return False
    left = np.sort(table[:, members], axis=1)
    right = np.sort(table[members, :].T, axis=1)
    return bool((left == right).all())
