"""Character tables of finite groups, computed from the Cayley table alone.

The class sums of a group act on its class functions as commuting normal operators whose common
eigenvectors are the irreducible characters (W. Burnside, Theory of Groups of Finite Order, 1911,
section 223; the same structure that J. D. Dixon, Numer. Math. 10 (1967) 446-450, and G. J. A.
Schneider, J. Symbolic Comput. 9 (1990) 601-606, diagonalise modulo a prime). Here one random
Hermitian combination of the class sums is diagonalised in floating point. Nothing of that survives
in the result: the degree and, for one element of every maximal cyclic subgroup, the multiplicity of
every root of unity as an eigenvalue are whole numbers; they are rounded, the rounding is checked,
and all values are summed from them anew. So tables are the same numbers on every machine, to the
last rounding of a sum of roots of unity.
"""

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.philox import PhiloxSource, Stream
from automata.subgroups import element_orders
from automata.validation import ComplexArray, FloatArray, IntArray, as_integer, read_only

__all__ = ["MAX_CLASSES", "CharacterTable", "character_table", "random_reals"]

MAX_CLASSES: Final = 1024
_MAX_ATTEMPTS: Final = 8
_MAX_KEPT_ORDER: Final = 1000  # a group of this order takes 8 MB
_INTEGER_TOLERANCE: Final = 1e-4
_SNAP: Final = 1e-12
_EQUAL: Final = 1e-9  # 2 - 2 cos(2 pi / 5040) is 1.6e-6


@dataclass(frozen=True, eq=False)
class CharacterTable:
    """The irreducible complex characters of a finite group.

    Attributes
    ----------
    group : FiniteGroup
    values : ndarray of complex128, [num_irreps, num_classes]
        Rows: the trivial character first, then by degree, then by values, larger real parts first
        and then larger imaginary parts. Columns: as ``group.conjugacy_classes``.
    degrees : ndarray of int64, [num_irreps]
        Dimension of every irreducible representation.
    indicators : ndarray of int64, [num_irreps]
        Frobenius-Schur indicators: 1 real, 0 complex, -1 quaternionic.
    class_sizes, class_orders : ndarray of int64, [num_classes]
        Number of elements of every class, and their order.
    class_of : ndarray of int64, [order]
        The class of every element.
    """

    group: FiniteGroup
    values: ComplexArray
    degrees: IntArray
    indicators: IntArray
    class_sizes: IntArray
    class_orders: IntArray
    class_of: IntArray

    def multiplicities(self, character: ArrayLike) -> IntArray:
        """Return how often every irreducible representation occurs in one with this character.

        Parameters
        ----------
        character : array_like, [num_classes]
            Traces of a representation, one for every class.

        Returns
        -------
        ndarray of int64, [num_irreps]

        Raises
        ------
        InputError
            If the values are no character.

        Examples
        --------
        Permutations of four points fix 4, 2, 1, 0, 0 of them:

        >>> from automata.groups import symmetric
        >>> table = character_table(symmetric(4))
        >>> [int(order) for order in table.class_orders]
        [1, 2, 3, 2, 4]
        >>> table.multiplicities([4, 2, 1, 0, 0])
        array([1, 0, 0, 1, 0])
        """
        traces = np.asarray(character, dtype=np.complex128)
        if traces.shape != self.class_sizes.shape:
            raise InputError(
                f"the character has shape {traces.shape}: give one trace for each of the "
                f"{len(self.class_sizes)} classes"
            )
        found = (self.values.conj() @ (self.class_sizes * traces)) / self.group.order
        rounded = np.rint(found.real).astype(np.int64)
        off = np.abs(found - rounded).max()
        if off > _INTEGER_TOLERANCE or rounded.min() < 0:
            raise InputError(
                f"the values are no character of {self.group.name}: multiplicities would be "
                f"{np.round(found, 3).tolist()}"
            )
        return rounded

    def kernel(self, irrep: int) -> tuple[int, ...]:
        """Return the elements that an irreducible representation sends to the identity matrix.

        Parameters
        ----------
        irrep : int
            Row of the table.

        Returns
        -------
        tuple of int

        Examples
        --------
        >>> from automata.groups import symmetric
        >>> len(character_table(symmetric(4)).kernel(1))
        12
        """
        row = as_integer(irrep, "the number of the representation", 0, len(self.degrees) - 1)
        trivially = np.abs(self.values[row] - self.degrees[row]) < _EQUAL
        return tuple(np.flatnonzero(trivially[self.class_of]).tolist())

    def __str__(self) -> str:
        """Lay the table out as text, with sizes and orders of the classes above."""
        rows = [
            ["size", "", *map(str, self.class_sizes.tolist())],
            ["order", "", *map(str, self.class_orders.tolist())],
        ]
        for number, (row, indicator) in enumerate(zip(self.values, self.indicators, strict=True)):
            kind = {1: "R", 0: "C", -1: "H"}[int(indicator)]
            rows.append([f"X{number}", kind, *map(_written, row.tolist())])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(lines)


def character_table(group: FiniteGroup) -> CharacterTable:
    """Compute the character table of a finite group.

    Parameters
    ----------
    group : FiniteGroup
        With at most `MAX_CLASSES` conjugacy classes.

    Returns
    -------
    CharacterTable
        Kept for the last small groups asked for; arrays are read-only.

    Raises
    ------
    InputError
        If there are more classes.

    Notes
    -----
    Time O(order * num_classes + num_classes**3).

    Examples
    --------
    >>> from automata.groups import dicyclic
    >>> print(character_table(dicyclic(2)))
     size     1   2   1   2   2
    order     1   4   2   4   4
       X0  R  1   1   1   1   1
       X1  R  1   1   1  -1  -1
       X2  R  1  -1   1   1  -1
       X3  R  1  -1   1  -1   1
       X4  H  2   0  -2   0   0
    """
    if group.order <= _MAX_KEPT_ORDER:
        return _kept_table(group)
    if _count_classes(group) > MAX_CLASSES:
        raise InputError(
            f"{group.name} has {_count_classes(group)} conjugacy classes: character tables are "
            f"computed up to {MAX_CLASSES}; take a smaller group"
        )
    return _compute(group)


def random_reals(count: int, item: int) -> FloatArray:
    """Return reproducible numbers between -1 and 1, for choices that do not change a result.

    Parameters
    ----------
    count : int
    item : int
        Another number, other draws.

    Returns
    -------
    ndarray of float64, [count]

    Examples
    --------
    >>> bool((abs(random_reals(100, 0)) <= 1).all())
    True
    """
    words = PhiloxSource(seed=0, stream=Stream.ALGEBRA, item=item).words(count)
    reals: FloatArray = words / 2.0**31 - 1.0
    return reals


@functools.lru_cache(maxsize=32)
def _kept_table(group: FiniteGroup) -> CharacterTable:
    return _compute(group)


def _compute(group: FiniteGroup) -> CharacterTable:
    classes = group.conjugacy_classes
    class_of = np.empty(group.order, dtype=np.int64)
    for number, members in enumerate(classes):
        class_of[list(members)] = number
    sizes = np.array([len(members) for members in classes], dtype=np.int64)
    representatives = np.array([members[0] for members in classes], dtype=np.int64)
    orders = element_orders(group)[representatives]
    powers = _class_powers(group, class_of, representatives, orders)
    for attempt in range(_MAX_ATTEMPTS):
        values = _try_once(group, class_of, sizes, representatives, orders, powers, attempt)
        if values is not None:
            break
    else:
        raise ArithmeticError(
            f"the character table of {group.name} did not come out in {_MAX_ATTEMPTS} attempts"
        )
    values = values[_row_order(values)]
    degrees = np.rint(values[:, 0].real).astype(np.int64)
    squares = class_of[group.table[representatives, representatives]]
    indicators = np.rint((values[:, squares] @ sizes).real / group.order).astype(np.int64)
    for array in (values, degrees, indicators, sizes, orders, class_of):
        read_only(array)
    return CharacterTable(group, values, degrees, indicators, sizes, orders, class_of)


def _count_classes(group: FiniteGroup) -> int:
    """Count classes by Burnside's lemma: pairs that commute, divided by the order."""
    return int((group.table == group.table.T).sum()) // group.order


def _class_powers(
    group: FiniteGroup, class_of: IntArray, representatives: IntArray, orders: IntArray
) -> IntArray:
    """Return the class of every power of every representative, [num_classes, largest order]."""
    powers = np.zeros((len(representatives), int(orders.max())), dtype=np.int64)
    current = np.zeros_like(representatives)
    for power in range(powers.shape[1]):
        powers[:, power] = class_of[current]
        current = group.table[current, representatives]
    return powers


def _try_once(
    group: FiniteGroup,
    class_of: IntArray,
    sizes: IntArray,
    representatives: IntArray,
    orders: IntArray,
    powers: IntArray,
    attempt: int,
) -> ComplexArray | None:
    """Diagonalise one random class sum; None if what comes out does not round to characters."""
    eigenvectors = _common_eigenvectors(group, class_of, sizes, representatives, attempt)
    # The eigenvector of an irreducible character is sqrt(class size / order) times its values.
    approximate = eigenvectors.T * np.sqrt(group.order / sizes)
    degrees = approximate[:, [0]]
    if np.abs(degrees).min() < 0.5:
        return None
    approximate = approximate * (np.abs(degrees) / degrees)
    values = _exact_values(approximate, orders, powers)
    if values is None or int(np.rint((values[:, 0].real ** 2).sum())) != group.order:
        return None
    products = (values * sizes) @ values.conj().T / group.order
    if np.abs(products - np.eye(len(sizes))).max() > 1e-9:
        return None
    return values


def _common_eigenvectors(
    group: FiniteGroup,
    class_of: IntArray,
    sizes: IntArray,
    representatives: IntArray,
    attempt: int,
) -> ComplexArray:
    num_classes = len(sizes)
    draws = random_reals(2 * num_classes, attempt)
    weights = (draws[:num_classes] + 1j * draws[num_classes:]) / np.sqrt(sizes)
    inverse_class = class_of[group.inverses[representatives]]
    weights = weights + weights[inverse_class].conj()
    element_weights = weights[class_of]
    # Column t of the operator: sum over x of weight(x) at the class of x**-1 z, z in class t.
    operator = np.empty((num_classes, num_classes), dtype=np.complex128)
    for column, representative in enumerate(representatives.tolist()):
        others = class_of[group.table[group.inverses, representative]]
        real = np.bincount(others, element_weights.real, num_classes)
        imaginary = np.bincount(others, element_weights.imag, num_classes)
        operator[:, column] = real + 1j * imaginary
    scale = np.sqrt(sizes)
    hermitian = operator * scale / scale[:, None]
    vectors: ComplexArray = np.linalg.eigh((hermitian + hermitian.conj().T) / 2)[1]
    return vectors


def _exact_values(
    approximate: ComplexArray, orders: IntArray, powers: IntArray
) -> ComplexArray | None:
    """Round the multiplicities of eigenvalues, and sum the values from them; None if they do not.

    On a cyclic subgroup of order o a character is ``x**i -> sum_j m_j zeta**(i j)`` with zeta a
    primitive o-th root of unity and m_j whole and not negative.
    """
    values = np.zeros_like(approximate)
    done = np.zeros(len(orders), dtype=np.bool_)
    for number in np.argsort(-orders, kind="stable").tolist():
        if done[number]:
            continue
        order = int(orders[number])
        cycle = powers[number, :order]
        found = np.fft.fft(approximate[:, cycle], axis=1) / order
        counts = np.rint(found.real)
        if np.abs(found - counts).max() > _INTEGER_TOLERANCE or counts.min() < 0:
            return None
        exponents = np.arange(order)
        values[:, cycle] = counts @ _roots_of_unity(order)[np.outer(exponents, exponents) % order]
        done[cycle] = True
    return _snapped(values)


def _roots_of_unity(order: int) -> ComplexArray:
    angles = 2 * np.pi * np.arange(order) / order
    roots = np.cos(angles) + 1j * np.sin(angles)
    return _snapped(2 * roots) / 2


def _snapped(values: ComplexArray) -> ComplexArray:
    """Put parts within rounding of a whole number onto it, without a negative zero."""
    parts = []
    for part in (values.real, values.imag):
        whole = np.rint(part)
        parts.append(np.where(np.abs(part - whole) < _SNAP, whole, part) + 0.0)
    snapped: ComplexArray = parts[0] + 1j * parts[1]
    return snapped


def _row_order(values: ComplexArray) -> list[int]:
    keys = [
        (row[0].real, [(-part.real, -part.imag) for part in np.round(row, 9).tolist()])
        for row in values
    ]
    return sorted(range(len(values)), key=keys.__getitem__)


def _written(value: complex) -> str:
    real, imaginary = f"{value.real:.4g}", f"{value.imag:+.4g}i"
    if value.imag == 0:
        return real
    return imaginary.lstrip("+") if value.real == 0 else real + imaginary
