"""How small a faithful real representation can be, and how many reflections its letters need.

A layer whose transition matrix is a product of n_h generalized Householder matrices can track a
group with a linear read-out if every letter acts, in some faithful real representation, as a
product of at most n_h reflections. By the theorem of Cartan and Dieudonne in the form of P. Scherk
(Proc. Amer. Math. Soc. 1 (1950) 481-491) an orthogonal matrix U is a product of rank(I - U)
reflections and of no fewer. So the number needed is::

    min over faithful real representations rho  max over letters s  rank(I - rho(s))

where ranks add over irreducible parts and each is ``dim - mean of the traces of the powers of s``.
A representation is faithful exactly if no minimal normal subgroup lies in its kernel, and no part
is needed twice.

Read-outs that are not linear may go through a larger group that covers this one and get by with
fewer reflections or dimensions: these numbers bound linear read-outs only.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from automata.character_tables import CharacterTable, character_table
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.normal_subgroups import minimal_normal_subgroups
from automata.real_characters import RealCharacter, fixed_dimensions, real_characters
from automata.validation import BoolArray, IntArray, as_integer, read_only

__all__ = [
    "FaithfulRepresentation",
    "minimal_faithful_representation",
    "minimal_reflections",
    "reflection_ranks",
]

_MAX_STEPS: Final = 200_000
_EQUAL: Final = 1e-9


@dataclass(frozen=True, eq=False)
class FaithfulRepresentation:
    """A faithful real representation as a sum of irreducible ones.

    Attributes
    ----------
    dimension : int
    num_reflections : int
        The largest number of reflections that any of the letters needs.
    irreps : tuple of int
        Its parts, as positions in ``real_characters(character_table(group))`` and in
        ``real_irreps(group)``.
    letters : tuple of int
        The elements that are the letters.
    reflections : tuple of int
        For every letter, the number of reflections whose product it is.
    """

    dimension: int
    num_reflections: int
    irreps: tuple[int, ...]
    letters: tuple[int, ...]
    reflections: tuple[int, ...]


def reflection_ranks(group: FiniteGroup) -> IntArray:
    """Return how many reflections make up an element, in every real irreducible representation.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    ndarray of int64, [num_real_irreps, num_classes]
        The rank of I - rho(s), for rho in the order of `real_characters` and s in the classes.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> reflection_ranks(symmetric(3))
    array([[0, 0, 0],
           [0, 1, 0],
           [0, 1, 2]])
    """
    table = character_table(group)
    return _ranks(table, real_characters(table))


def minimal_faithful_representation(group: FiniteGroup) -> FaithfulRepresentation:
    """Return a faithful real representation of the smallest possible dimension.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    FaithfulRepresentation
        With the generators of the group as letters; of several of one dimension, one with the
        fewest reflections. The trivial group has one of dimension 0.

    Examples
    --------
    >>> from automata.groups import parse
    >>> [minimal_faithful_representation(parse(n)).dimension for n in ("Z5", "Q8", "A5", "S5")]
    [2, 4, 3, 4]
    """
    return _search(group, group.generators, smallest_first=True)


def minimal_reflections(
    group: FiniteGroup, letters: Sequence[int] | None = None
) -> FaithfulRepresentation:
    """Return a faithful real representation whose letters need the fewest reflections.

    Parameters
    ----------
    group : FiniteGroup
    letters : sequence of int, optional
        Elements of the group that occur in words; by default its generators. Give
        ``range(group.order)`` for all elements.

    Returns
    -------
    FaithfulRepresentation
        Of several with equally many reflections, one of the smallest dimension.

    Examples
    --------
    All of A5 moves an icosahedron by rotations, so two reflections are enough; a 5-cycle of S5
    needs four in every faithful representation.

    >>> from automata.groups import alternating, symmetric
    >>> minimal_reflections(alternating(5), range(60)).num_reflections
    2
    >>> minimal_reflections(symmetric(5)).num_reflections
    4
    """
    chosen = group.generators if letters is None else tuple(letters)
    return _search(group, chosen, smallest_first=False)


def _ranks(table: CharacterTable, characters: tuple[RealCharacter, ...]) -> IntArray:
    dimensions = np.array([character.dimension for character in characters])[:, None]
    ranks: IntArray = dimensions - fixed_dimensions(table, characters)
    read_only(ranks)
    return ranks


def _search(
    group: FiniteGroup, letters: Sequence[int], *, smallest_first: bool
) -> FaithfulRepresentation:
    """Search sums of irreducible parts, best first, until one is faithful."""
    letters = tuple(as_integer(s, "a letter", 0, group.order - 1) for s in letters)
    table = character_table(group)
    characters = real_characters(table)
    ranks = _ranks(table, characters)
    letter_classes = table.class_of[list(letters)]
    dimensions = np.array([character.dimension for character in characters])
    costs = np.column_stack([dimensions, ranks[:, np.unique(letter_classes)]])
    # A minimal normal subgroup is the normal closure of any of its elements but the identity.
    minimal = minimal_normal_subgroups(group)
    witnesses = [members[1] for members in minimal]
    values = np.stack([character.values for character in characters])
    seen = np.abs(values[:, table.class_of[witnesses]] - dimensions[:, None]) > _EQUAL
    # Grouped by their prime: the central ones, which span an elementary abelian group.
    central: dict[int, list[int]] = {}
    for column, members in enumerate(minimal):
        if table.class_sizes[table.class_of[members[1]]] == 1:
            central.setdefault(len(members), []).append(column)
    # Ranks of a part, on any element of the span that it does not fix, are its dimension.
    floor = 0
    for prime, columns in central.items():
        span = group.subgroup([witnesses[column] for column in columns])
        if set(table.class_of[list(span[1:])].tolist()) <= set(letter_classes.tolist()):
            needed = _spanning_number(prime, len(columns))
            floor = max(floor, needed * int(dimensions[seen[:, columns].any(axis=1)].min()))
    found = _best_first(seen, costs, central, floor, smallest_first)
    if found is None:
        raise InputError(
            f"{group.name} has too many sums of representations: {_MAX_STEPS} were tried; take a "
            "smaller group or fewer letters"
        )
    chosen = list(found)
    reflections = tuple(ranks[chosen].sum(axis=0)[letter_classes].tolist())
    return FaithfulRepresentation(
        int(dimensions[chosen].sum()), max(reflections, default=0), found, letters, reflections
    )


def _spanning_number(prime: int, num_lines: int) -> int:
    """Return r where the ``(prime**r - 1) / (prime - 1)`` lines of a vector space are counted."""
    number = 0
    while num_lines > 0:
        num_lines //= prime
        number += 1
    return number


def _best_first(
    seen: BoolArray,
    costs: IntArray,
    central: dict[int, list[int]],
    floor: int,
    smallest_first: bool,
) -> tuple[int, ...] | None:
    """Choose rows of `seen` that together cover all columns, of least cost; None: too many steps.

    Costs of chosen rows add; first comes the dimension, then the ranks, of which the largest counts
    before or after the dimension. The next row always covers the first column that is not covered,
    so every choice is reached in one order only. Central elements act as scalars, so a row covers
    at best all but a hyperplane of the lines of one prime: that bounds how many rows must follow.
    `floor` is a lower bound of the largest rank.
    """
    rows = _undominated(seen, costs)
    covering = {row: _bits(seen[row]) for row in rows}
    cost_of = {row: tuple(costs[row].tolist()) for row in rows}
    bounds = []
    for prime, columns in central.items():
        smallest = int(costs[seen[:, columns].any(axis=1), 0].min())
        bounds.append((prime, sum(1 << column for column in columns), smallest))
    everything = (1 << seen.shape[1]) - 1
    heap: list[tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]] = []
    expanded: dict[int, list[tuple[int, ...]]] = {}
    num_steps = 0

    def push(chosen: tuple[int, ...], covered: int, cost: tuple[int, ...]) -> None:
        to_come = 0
        for prime, lines, smallest in bounds:
            num_lines = (~covered & lines).bit_count()
            to_come = max(to_come, smallest * _spanning_number(prime, num_lines))
        dimension, rank = cost[0] + to_come, max((floor, *cost[1:]))
        first, second = (dimension, rank) if smallest_first else (rank, dimension)
        heapq.heappush(heap, ((first, second, -len(chosen), sum(cost)), chosen, covered, cost))

    push((), 0, (0,) * costs.shape[1])
    while heap and num_steps < _MAX_STEPS:
        _, chosen, covered, cost = heapq.heappop(heap)
        if covered == everything:
            return tuple(sorted(chosen))
        better = expanded.setdefault(covered, [])
        if any(all(a <= b for a, b in zip(other, cost, strict=True)) for other in better):
            continue
        better.append(cost)
        first_missing = ~covered & (covered + 1)
        for row in rows:
            if covering[row] & first_missing:
                total = tuple(a + b for a, b in zip(cost, cost_of[row], strict=True))
                push((*chosen, row), covered | covering[row], total)
                num_steps += 1
    return None


def _undominated(seen: BoolArray, costs: IntArray) -> list[int]:
    """Leave out rows for which another one covers as much and costs no more."""
    kept = []
    for row in range(len(seen)):
        as_good = (seen | ~seen[row]).all(axis=1) & (costs <= costs[row]).all(axis=1)
        equal = (seen == seen[row]).all(axis=1) & (costs == costs[row]).all(axis=1)
        equal[:row] = False  # of equal rows the first stays
        if not (as_good & ~equal).any():
            kept.append(row)
    return kept


def _bits(covered: BoolArray) -> int:
    return sum(1 << column for column in np.flatnonzero(covered).tolist())
