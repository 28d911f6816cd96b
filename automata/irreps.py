"""Irreducible representations of finite groups by orthogonal real matrices.

Every one is cut out of a permutation representation, on the right cosets of a cyclic subgroup that
contains it as few times as possible: its isotypic part is the image of the projector
``dim / order * sum_g character(g) P(g)``, and where it occurs several times there, one copy is an
eigenspace of a random symmetric matrix that commutes with the group (as in the MeatAxe of R. A.
Parker, 1984, but over the reals and with the character known). The copy is then given the basis
that Gram-Schmidt makes of the projections of the first cosets, so that matrices do not hang on how
an eigenvector happened to be signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from automata.character_tables import CharacterTable, character_table, random_reals
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.real_characters import RealCharacter, RealType, fixed_dimensions, real_characters
from automata.validation import FloatArray, IntArray, as_integer, read_only

__all__ = ["MAX_ENTRIES", "RealIrrep", "real_irreps"]

MAX_ENTRIES: Final = 2**26  # of all matrices asked for, 512 MiB
_MAX_ATTEMPTS: Final = 8
_TOLERANCE: Final = 1e-10
_ELEMENTS_AT_A_TIME: Final = 512
_FIRST_THRESHOLD: Final = 0.2871  # no quotient of lengths that occurs in practice


@dataclass(frozen=True, eq=False)
class RealIrrep:
    """An irreducible representation by orthogonal matrices; stands for its array of matrices.

    ``irrep[g]``, ``irrep.shape`` and ``numpy.asarray(irrep)`` are those of `matrices`.

    Attributes
    ----------
    matrices : ndarray of float64, [order, dimension, dimension]
        One orthogonal matrix for every element, with
        ``matrices[table[p, q]] = matrices[p] @ matrices[q]``; read-only.
    character : RealCharacter
    """

    matrices: FloatArray
    character: RealCharacter

    @property
    def dimension(self) -> int:
        """Number of rows of the matrices."""
        return self.character.dimension

    @property
    def type(self) -> RealType:
        """The commutant: ``"R"``, ``"C"`` or ``"H"``."""
        return self.character.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of matrices."""
        return self.matrices.shape

    def __array__(
        self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        """Return the matrices."""
        return np.array(self.matrices, dtype=dtype, copy=copy)

    def __getitem__(self, element: SupportsIndex | slice | IntArray) -> FloatArray:
        """Return the matrices of some elements."""
        result: FloatArray = self.matrices[element]
        return result

    def __len__(self) -> int:
        """Return the order of the group."""
        return len(self.matrices)

    def __repr__(self) -> str:
        """Show dimension, type and order."""
        return f"RealIrrep(dimension={self.dimension}, type={self.type!r}, order={len(self)})"


def real_irreps(group: FiniteGroup, which: Sequence[int] | None = None) -> tuple[RealIrrep, ...]:
    """Compute the irreducible representations over the real numbers.

    Parameters
    ----------
    group : FiniteGroup
    which : sequence of int, optional
        Positions in ``real_characters(character_table(group))``; by default all.

    Returns
    -------
    tuple of RealIrrep
        In the order asked for, by default as `real_characters`: the trivial one first.

    Raises
    ------
    InputError
        If the matrices would need more than `MAX_ENTRIES` numbers.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> group = symmetric(3)
    >>> irreps = real_irreps(group)
    >>> [(irrep.dimension, irrep.type) for irrep in irreps]
    [(1, 'R'), (1, 'R'), (2, 'R')]
    >>> p, q = 1, 3
    >>> plane = irreps[2]
    >>> bool(np.allclose(plane[group.table[p, q]], plane[p] @ plane[q]))
    True
    """
    table = character_table(group)
    characters = real_characters(table)
    numbers = range(len(characters)) if which is None else which
    chosen = [
        characters[as_integer(n, "the number of a representation", 0, len(characters) - 1)]
        for n in numbers
    ]
    num_entries = group.order * sum(character.dimension**2 for character in chosen)
    if num_entries > MAX_ENTRIES:
        raise InputError(
            f"the representations of {group.name} have {num_entries} matrix entries: at most "
            f"{MAX_ENTRIES} are computed; ask for fewer with `which`"
        )
    fixed = fixed_dimensions(table, characters)
    positions = {id(character): row for row, character in enumerate(characters)}
    return tuple(
        RealIrrep(_matrices(table, character, fixed[positions[id(character)]]), character)
        for character in chosen
    )


def _matrices(table: CharacterTable, character: RealCharacter, fixed: IntArray) -> FloatArray:
    if table.degrees[character.constituents[0]] == 1:
        matrices = _linear_matrices(table, character)
    else:
        cosets = _Cosets(table, _best_class(table, character, fixed))
        for attempt in range(_MAX_ATTEMPTS):
            matrices = _cut_out(table, character, cosets, attempt)
            if _is_representation(table, character, matrices):
                break
        else:
            raise ArithmeticError(
                f"a representation of {table.group.name} of dimension {character.dimension} did "
                f"not come out in {_MAX_ATTEMPTS} attempts"
            )
    read_only(matrices)
    return matrices


def _linear_matrices(table: CharacterTable, character: RealCharacter) -> FloatArray:
    """Write a character of degree 1 as signs or rotations of the plane."""
    values = table.values[character.constituents[0], table.class_of]
    if character.type == "R":
        return np.array(values.real, dtype=np.float64)[:, None, None]
    rows = [[values.real, values.imag], [-values.imag, values.real]]
    return np.ascontiguousarray(np.array(rows, dtype=np.float64).transpose(2, 0, 1))


def _best_class(table: CharacterTable, character: RealCharacter, fixed: IntArray) -> int:
    """Choose a class whose elements generate the cyclic subgroup to take cosets of.

    The representation occurs ``fixed / dim(commutant)`` times in the permutations of the cosets
    (Frobenius reciprocity): few times is good, then few cosets.
    """
    copies = fixed // _commutant_dimension(character)
    choices = np.flatnonzero(copies > 0)
    return int(min(choices, key=lambda c: (copies[c], table.group.order // table.class_orders[c])))


def _commutant_dimension(character: RealCharacter) -> int:
    return {"R": 1, "C": 2, "H": 4}[character.type]


class _Cosets:
    """The right cosets H x of the cyclic subgroup H of a class, and how elements move them."""

    def __init__(self, table: CharacterTable, class_number: int) -> None:
        group = table.group
        subgroup = np.array(group.subgroup([group.conjugacy_classes[class_number][0]]))
        smallest = group.table[subgroup].min(axis=0)
        self.subgroup: IntArray = subgroup
        self.representatives, coset_of = np.unique(smallest, return_inverse=True)
        self.coset_of: IntArray = coset_of.reshape(-1)

    def moved(self, group: FiniteGroup, elements: IntArray) -> IntArray:
        """Return H x g for all cosets, [num_elements, num_cosets]."""
        moved: IntArray = self.coset_of[group.table[self.representatives[:, None], elements]].T
        return moved


def _cut_out(
    table: CharacterTable, character: RealCharacter, cosets: _Cosets, attempt: int
) -> FloatArray:
    group, dimension = table.group, character.dimension
    projector = _projector(table, character, cosets)
    rank = int(np.rint(np.trace(projector)))
    num_cosets = len(projector)
    starts = random_reals(num_cosets * rank, attempt).reshape(num_cosets, rank)
    basis = np.linalg.qr(projector @ starts)[0]
    basis = np.linalg.qr(projector @ basis)[0]
    if rank > dimension:
        commuting = _random_commuting(group, cosets, attempt)
        reduced = basis.T @ commuting @ basis
        levels, vectors = np.linalg.eigh((reduced + reduced.T) / 2)
        basis = basis @ vectors[:, _most_separate(levels, dimension)]
    basis = basis @ _frame_of_first_rows(basis)
    matrices = np.empty((group.order, dimension, dimension))
    for start in range(0, group.order, _ELEMENTS_AT_A_TIME):
        elements = np.arange(start, min(start + _ELEMENTS_AT_A_TIME, group.order))
        matrices[elements] = basis.T @ basis[cosets.moved(group, elements)]
    matrices[np.abs(matrices) < 1e-14] = 0.0
    matrices[0] = np.eye(dimension)
    return matrices


def _projector(table: CharacterTable, character: RealCharacter, cosets: _Cosets) -> FloatArray:
    """Project the permutations of the cosets onto the isotypic part, [num_cosets, num_cosets]."""
    group = table.group
    by_element = character.values[table.class_of]
    inverses = group.inverses[cosets.representatives]
    projector = np.zeros((len(inverses), len(inverses)))
    for member in cosets.subgroup.tolist():
        # The elements g that move H x to H y are x**-1 h y.
        moving = group.table[group.table[inverses, member][:, None], cosets.representatives]
        projector += by_element[moving]
    # dim / dim(commutant) is d for types R and C and d / 2 for type H, whose character counts the
    # constituent of degree d twice.
    projector *= character.dimension / _commutant_dimension(character) / group.order
    return projector


def _random_commuting(group: FiniteGroup, cosets: _Cosets, attempt: int) -> FloatArray:
    """Return a symmetric matrix that commutes with all permutations of the cosets.

    Its entry at H x, H y depends on the double coset H y x**-1 H alone.
    """
    representatives = cosets.representatives
    within = cosets.coset_of[group.table[representatives[:, None], cosets.subgroup]]
    double_coset = within.min(axis=1)[cosets.coset_of]
    heights = random_reals(len(representatives), _MAX_ATTEMPTS + attempt)[double_coset]
    heights = heights + heights[group.inverses]
    quotients = group.table[representatives, group.inverses[representatives][:, None]]
    commuting: FloatArray = heights[quotients]
    return commuting


def _most_separate(levels: FloatArray, dimension: int) -> slice:
    """Choose of the eigenvalues, `dimension` equal ones each time, those farthest from others."""
    starts = np.arange(0, len(levels), dimension)
    below = levels[starts] - np.append(-np.inf, levels[starts[1:] - 1])
    above = np.append(levels[starts[1:]], np.inf) - levels[starts + dimension - 1]
    best = int(np.minimum(below, above).argmax()) * dimension
    return slice(best, best + dimension)


def _frame_of_first_rows(basis: FloatArray) -> FloatArray:
    """Orthonormalise the first rows that are independent, [dimension, dimension]."""
    dimension = basis.shape[1]
    frame = np.zeros((dimension, 0))
    threshold = _FIRST_THRESHOLD
    while frame.shape[1] < dimension:
        for row in basis:
            for _ in range(2):  # twice is enough
                row = row - frame @ (frame.T @ row)
            length = np.linalg.norm(row)
            if length > threshold * np.linalg.norm(basis[0]):
                frame = np.column_stack([frame, row / length])
            if frame.shape[1] == dimension:
                break
        threshold /= 2
    return frame


def _is_representation(
    table: CharacterTable, character: RealCharacter, matrices: FloatArray
) -> bool:
    """Check the products with generators, orthogonality, and all traces."""
    group = table.group
    products = all(
        np.abs(matrices[group.table[:, g]] - matrices @ matrices[g]).max() < _TOLERANCE
        for g in group.generators
    )
    generators = matrices[list(group.generators)]
    squares = generators @ generators.transpose(0, 2, 1) - np.eye(character.dimension)
    traces = np.trace(matrices, axis1=1, axis2=2) - character.values[table.class_of]
    return products and bool(np.abs(squares).max() < _TOLERANCE > np.abs(traces).max())
