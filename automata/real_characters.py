"""Characters of the irreducible representations over the real numbers.

By Frobenius and Schur (Sitzungsber. Akad. Wiss. Berlin (1906) 186-208) a complex irreducible
representation of degree d gives one real irreducible representation, whose commutant is

- R, the real numbers: itself, of dimension d, if its indicator is 1;
- C, the complex numbers: it and its conjugate together, of dimension 2d, if its indicator is 0;
- H, the quaternions: it taken twice, of dimension 2d, if its indicator is -1.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from automata.character_tables import CharacterTable
from automata.validation import FloatArray, IntArray, read_only

__all__ = ["RealCharacter", "RealType", "fixed_dimensions", "real_characters"]

RealType: TypeAlias = Literal["R", "C", "H"]


@dataclass(frozen=True, eq=False)
class RealCharacter:
    """The character of one irreducible representation over the real numbers.

    Attributes
    ----------
    values : ndarray of float64, [num_classes]
        Traces, for the classes in the order of ``group.conjugacy_classes``.
    dimension : int
    type : {"R", "C", "H"}
        The commutant: real numbers, complex numbers or quaternions.
    constituents : tuple of int
        Rows of the character table: one, or for type C a pair of conjugates. A representation of
        type H contains its one constituent twice.
    """

    values: FloatArray
    dimension: int
    type: RealType
    constituents: tuple[int, ...]


def real_characters(table: CharacterTable) -> tuple[RealCharacter, ...]:
    """Return the characters of all real irreducible representations.

    Parameters
    ----------
    table : CharacterTable

    Returns
    -------
    tuple of RealCharacter
        In the order of their first constituents in the table; the trivial one first.

    Examples
    --------
    >>> from automata.character_tables import character_table
    >>> from automata.groups import parse
    >>> reals = real_characters(character_table(parse("SL(2,3)")))
    >>> [(real.dimension, real.type) for real in reals]
    [(1, 'R'), (2, 'C'), (4, 'H'), (4, 'C'), (3, 'R')]
    """
    result = []
    covered: set[int] = set()
    for row, indicator in enumerate(table.indicators.tolist()):
        if row in covered:
            continue
        values = table.values[row].real
        kind: RealType = "R"
        constituents: tuple[int, ...] = (row,)
        if indicator == 0:
            distances = np.abs(table.values - table.values[row].conj()).max(axis=1)
            constituents = (row, int(distances.argmin()))
            kind = "C"
        elif indicator == -1:
            kind = "H"
        values = values * (1 if kind == "R" else 2)
        read_only(values)
        covered.update(constituents)
        result.append(RealCharacter(values, int(np.rint(values[0])), kind, constituents))
    return tuple(result)


def fixed_dimensions(table: CharacterTable, characters: tuple[RealCharacter, ...]) -> IntArray:
    """Return the dimension of the space that an element of every class leaves fixed.

    Parameters
    ----------
    table : CharacterTable
    characters : tuple of RealCharacter

    Returns
    -------
    ndarray of int64, [num_characters, num_classes]
        The mean of the traces of all powers of the element.

    Examples
    --------
    >>> from automata.character_tables import character_table
    >>> from automata.groups import symmetric
    >>> table = character_table(symmetric(3))
    >>> fixed_dimensions(table, real_characters(table))
    array([[1, 1, 1],
           [1, 0, 1],
           [2, 1, 0]])
    """
    values = np.stack([character.values for character in characters])
    representatives = np.array([members[0] for members in table.group.conjugacy_classes])
    totals = np.zeros_like(values)
    current = np.zeros_like(representatives)
    for power in range(int(table.class_orders.max())):
        running = table.class_orders > power
        totals[:, running] += values[:, table.class_of[current[running]]]
        current = table.group.table[current, representatives]
    return np.rint(totals / table.class_orders).astype(np.int64)
