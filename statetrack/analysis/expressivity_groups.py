"""Representations of a group, as they fit into the heads of a layer, and what excludes them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from automata.character_tables import character_table
from automata.finite_group import FiniteGroup
from automata.generated_group import PermutationGroup
from automata.homomorphisms import quotient
from automata.normal_subgroups import minimal_normal_subgroups
from automata.real_characters import real_characters
from automata.subgroups import as_group

MAX_SPLIT: Final = 300
MAX_ORDER: Final = 720
_EQUAL: Final = 1e-6
Group = FiniteGroup | PermutationGroup


@dataclass(frozen=True)
class Part:
    """A real irreducible representation, as the letters see it.

    Parameters
    ----------
    dimension : int
    ranks : tuple of int
        Reflections that make up each letter.
    ranks_of_opposites : tuple of int
        Reflections that make up minus each letter's matrix.
    determinants : tuple of int
    covers : frozenset of int
        Minimal normal subgroups that it does not send to the identity.
    has_minus_one : bool
        Minus the identity is the matrix of an element.
    """

    dimension: int
    ranks: tuple[int, ...]
    ranks_of_opposites: tuple[int, ...]
    determinants: tuple[int, ...]
    covers: frozenset[int]
    has_minus_one: bool

    @property
    def turns_half(self) -> bool:
        """Whether a letter has the eigenvalue -1."""
        return any(rank < self.dimension for rank in self.ranks_of_opposites)


def parts_of(group: FiniteGroup, letters: Sequence[int]) -> tuple[Part, ...]:
    """Real irreducible representations of a group, smallest first."""
    table = character_table(group)
    minimal = minimal_normal_subgroups(group)
    found = []
    for character in real_characters(table):
        values = np.asarray(character.values)[table.class_of]
        size = character.dimension
        fixed, opposite = {}, {}
        for letter in set(letters):
            powers = [0]
            while True:
                following = int(group.table[powers[-1], letter])
                if following == 0:
                    break
                powers.append(following)
            # Twice round, so that the signs of odd powers close up.
            turns = values[powers * 2]
            signs = (-1.0) ** np.arange(len(turns))
            fixed[letter] = round(float(turns.mean()))
            opposite[letter] = round(float((signs * turns).mean()))
        found.append(
            Part(
                size,
                tuple(size - fixed[letter] for letter in letters),
                tuple(size - opposite[letter] for letter in letters),
                tuple((-1) ** opposite[letter] for letter in letters),
                frozenset(
                    i
                    for i, members in enumerate(minimal)
                    if abs(values[members[1]] - size) > _EQUAL
                ),
                bool((np.abs(values + size) < _EQUAL).any()),
            )
        )
    return tuple(sorted(found, key=lambda part: (part.dimension, max(part.ranks, default=0))))


def fits(
    parts: Sequence[Part],
    num_minimal: int,
    heads: int,
    size: int,
    *,
    factors: int | None = None,
    size_of: Callable[[Part], int] = lambda part: part.dimension,
) -> bool:
    """Whether some of the parts are faithful together and fit into the heads.

    Parameters
    ----------
    parts : sequence of Part
        Those that may be used; each stays in one head.
    num_minimal : int
        Minimal normal subgroups of the group.
    heads, size : int
        Heads, and the dimension of each.
    factors : int, optional
        Reflections that a letter may be in one head.
    size_of : callable
        Dimension that a part takes in a head.
    """
    usable = [part for part in parts if size_of(part) <= size]
    if factors is not None:
        usable = [part for part in usable if max(part.ranks, default=0) <= factors]
    everything = frozenset(range(num_minimal))
    for count in (0, 1, 2):
        for chosen in itertools.combinations(usable, count):
            covered = frozenset[int]().union(*(part.covers for part in chosen))
            if covered == everything and _packed(chosen, heads, size, factors, size_of):
                return True
    chosen_list: list[Part] = []
    missing = everything
    while missing:
        best = max(usable, key=lambda part: len(part.covers & missing), default=None)
        if best is None or not best.covers & missing:
            return False
        chosen_list.append(best)
        missing -= best.covers
    return _packed(chosen_list, heads, size, factors, size_of)


def _packed(
    chosen: Sequence[Part],
    heads: int,
    size: int,
    factors: int | None,
    size_of: Callable[[Part], int],
) -> bool:
    """First fit, largest first."""
    if len(chosen) <= heads:
        return True
    room = [size] * heads
    used = [np.zeros(len(chosen[0].ranks), dtype=np.int64) for _ in range(heads)]
    for part in sorted(chosen, key=size_of, reverse=True):
        for head in range(heads):
            ranks = used[head] + np.array(part.ranks, dtype=np.int64)
            if size_of(part) <= room[head] and (factors is None or ranks.max(initial=0) <= factors):
                room[head] -= size_of(part)
                used[head] = ranks
                break
        else:
            return False
    return True


def num_minimal_normal(group: FiniteGroup) -> int:
    """Count the minimal normal subgroups."""
    return len(minimal_normal_subgroups(group)) if group.order > 1 else 0


def frattini_length(group: Group) -> int | None:
    """Length of the series of Frattini subgroups of a 2-group; None for other groups."""
    if group.order & (group.order - 1):
        return None
    if not isinstance(group, FiniteGroup):
        return None
    length = 0
    while group.order > 1:
        # Of a 2-group the squares generate the Frattini subgroup.
        squares = group.table[np.arange(group.order), np.arange(group.order)]
        group = as_group(group, group.subgroup(np.unique(squares).tolist()))
        length += 1
    return length


def is_monolithic(group: Group) -> bool:
    """Whether there is one minimal normal subgroup and it is not abelian."""
    if not isinstance(group, FiniteGroup) or group.order == 1 or group.order > MAX_ORDER:
        return False
    minimal = minimal_normal_subgroups(group)
    return len(minimal) == 1 and not as_group(group, minimal[0]).is_abelian


def least_dimension(group: Group, *, rotations: bool) -> int:
    """Smallest n that is not excluded for heads in O(n), or SO(n), even through covers.

    Subgroups of O(1) products are elementary abelian 2-groups, of SO(2) products abelian, of O(2)
    products metabelian and of SU(2) solvable but for one, the cover of A5. A group with one minimal
    normal subgroup, not abelian, that is a quotient of a subgroup of a product is one of a subgroup
    of a factor: kernels of the projections commute, and no two non-trivial normal subgroups do.
    SO(4) is SU(2) x SU(2) modulo signs, so of these groups it has A5 only.
    """
    if group.order == 1:
        return 0
    if is_monolithic(group) and isinstance(group, FiniteGroup):
        socle = len(minimal_normal_subgroups(group)[0])
        if group.order == 60:
            return 3
        return 4 if socle == 60 and not rotations else 5
    if not group.is_solvable:
        return 3
    if group.is_abelian:
        return 1 if frattini_length(group) == 1 and not rotations else 2
    length = group.derived_length
    return 3 if rotations or (length is not None and length > 2) else 2


def layers_by_factors(
    group: FiniteGroup, factors: int, heads: int, size: int, most: int
) -> int | None:
    """Layers of Householder products that follow all elements of a group by a normal series."""
    if group.order == 1:
        return 0
    if most == 0 or group.order > MAX_SPLIT:
        return None
    parts = parts_of(group, range(group.order))
    count = num_minimal_normal(group)
    if fits(parts, count, heads, size, factors=factors):
        return 1
    best: int | None = None
    for normal in minimal_normal_subgroups(group):
        if len(normal) == group.order:
            continue
        inner = as_group(group, normal)
        first = layers_by_factors(quotient(group, normal).group, factors, heads, size, most - 1)
        then = layers_by_factors(inner, factors, heads, size, 1)
        if first is not None and then is not None and first + then <= most:
            best = first + then if best is None else min(best, first + then)
    return best
