"""Which irreducible representations a set of matrices is made of.

Shape suffixes: G elements, I irreducible representations over the reals, D dimension.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automata.characters import RealCharacter, character_table, real_characters, real_irreps

if TYPE_CHECKING:
    from automata.groups import FiniteGroup

_COMMUTANT = {"R": 1, "C": 2, "H": 4}
_EQUAL = 1e-6


@dataclass(frozen=True, eq=False)
class RealIrreps:
    """The irreducible real representations of a group, by their characters.

    Attributes
    ----------
    group : FiniteGroup
    characters : tuple of RealCharacter
        The trivial one first.
    labels : tuple of str
        "trivial", then dimension and type, as in "3R"; a, b, ... behind it where several share
        both.
    values : ndarray, float64 [I, G]
        The characters at every element.
    """

    group: "FiniteGroup"
    characters: tuple[RealCharacter, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, group: "FiniteGroup") -> "RealIrreps":
        """Compute them.

        Examples
        --------
        >>> from automata.groups import alternating
        >>> RealIrreps.of(alternating(5)).labels
        ('trivial', '3Ra', '3Rb', '4R', '5R')
        """
        table = character_table(group)
        characters = real_characters(table)
        values = np.stack([character.values for character in characters])[:, table.class_of]
        return cls(group, characters, _labels(characters), values)

    def multiplicities(self, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
        """How often each occurs, by inner products of characters; whole for a representation.

        Parameters
        ----------
        matrices : ndarray, float64 [G, D, D]

        Returns
        -------
        ndarray, float64 [I]
            ``<trace M, chi> / <chi, chi>``; the norm of a real irreducible character is 1, 2 or 4
            by its type.
        """
        traces_G = np.trace(matrices, axis1=-2, axis2=-1)
        found: NDArray[np.float64] = self.values @ traces_G / self.group.order / self.norms
        return found

    @property
    def norms(self) -> NDArray[np.float64]:
        """``<chi, chi>``: 1 for real, 2 for complex, 4 for quaternionic type, [I]."""
        return np.array([_COMMUTANT[character.type] for character in self.characters], float)

    @property
    def dimensions(self) -> NDArray[np.int64]:
        """Dimension of each, [I]."""
        return np.array([character.dimension for character in self.characters], dtype=np.int64)

    def projector(self, irrep: int, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Projector of state rows on all copies of one of them.

        Parameters
        ----------
        irrep : int
        matrices : ndarray, float64 [G, D, D]
            A representation.

        Returns
        -------
        ndarray, float64 [D, D]
            ``d / <chi, chi> * mean_g chi(g) M_g``; symmetric when the matrices are orthogonal.
        """
        scale = self.dimensions[irrep] / self.norms[irrep] / self.group.order
        result: NDArray[np.float64] = scale * np.tensordot(self.values[irrep], matrices, axes=1)
        return result

    def kernel(self, multiplicities: NDArray[np.int64]) -> tuple[int, ...]:
        """Elements that act as the identity in a sum of them.

        Parameters
        ----------
        multiplicities : ndarray of int, [I]

        Returns
        -------
        tuple of int
            A normal subgroup.
        """
        character_G = multiplicities @ self.values
        return tuple(np.flatnonzero(character_G > character_G[0] - _EQUAL).tolist())

    def direct_sum(self, multiplicities: NDArray[np.int64]) -> NDArray[np.float64]:
        """Orthogonal block-diagonal matrices of a sum of them.

        Parameters
        ----------
        multiplicities : ndarray of int, [I]

        Returns
        -------
        ndarray, float64 [G, D, D]
        """
        used = np.flatnonzero(multiplicities)
        blocks = real_irreps(self.group, used.tolist())
        size = int(multiplicities @ self.dimensions)
        total = np.zeros((self.group.order, size, size))
        start = 0
        for irrep, number in zip(blocks, multiplicities[used], strict=True):
            for _ in range(int(number)):
                stop = start + irrep.dimension
                total[:, start:stop, start:stop] = irrep.matrices
                start = stop
        return total


def _labels(characters: tuple[RealCharacter, ...]) -> tuple[str, ...]:
    plain = [f"{character.dimension}{character.type}" for character in characters[1:]]
    labels = ["trivial"]
    for place, text in enumerate(plain):
        rank = plain[: place + 1].count(text)
        labels.append(text + _letters(rank) if plain.count(text) > 1 else text)
    return tuple(labels)


def _letters(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text
