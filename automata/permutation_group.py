"""Permutation groups given by generators, without a list of their elements."""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.finite_group import FiniteGroup, check_order
from automata.groups import from_permutations
from automata.stabilizer_chain import StabilizerChain
from automata.validation import BoolArray, IntArray, as_integer_array, read_only

__all__ = ["MAX_DEGREE", "PermutationGroup"]

MAX_DEGREE: Final = 4096
_MAX_GENERATORS_AS_GIVEN: Final = 4
_RANDOM_ELEMENTS: Final = 60
_POOL_SIZE: Final = 20


class PermutationGroup:
    """The group that permutations of ``0, ..., degree - 1`` generate.

    Permutations act left to right, as everywhere here: ``(p q)[i] = q[p[i]]``. Order and
    membership come from a stabiliser chain; symmetric and alternating groups are recognised
    without one.

    Parameters
    ----------
    generators : array_like of int, [num_generators, degree]
        Rows of images. More than a few are replaced by fewer that generate the same group.
    degree : int, optional
        Needed only for the trivial group given by no generators.

    Raises
    ------
    InputError
        If a row is no permutation, or there are more than `MAX_DEGREE` points.

    Examples
    --------
    >>> group = PermutationGroup([[1, 0, 2, 3, 4], [1, 2, 3, 4, 0]])
    >>> group.order, group.is_solvable, group.name
    (120, False, 'S5')
    """

    def __init__(self, generators: ArrayLike, degree: int | None = None) -> None:
        rows = as_integer_array(generators, "the generators")
        if rows.size == 0 and degree is not None:
            rows = rows.reshape(0, degree)
        if rows.ndim != 2 or not rows.shape[1] or degree not in (None, rows.shape[1]):
            raise InputError(
                f"the generators have shape {rows.shape}: give [num_generators, degree], with "
                "degree at least 1"
            )
        if rows.shape[1] > MAX_DEGREE:
            raise InputError(
                f"a permutation group on {rows.shape[1]} points: up to {MAX_DEGREE} are handled"
            )
        points = np.arange(rows.shape[1])
        wrong = np.flatnonzero((np.sort(rows, axis=1) != points).any(axis=1))
        if len(wrong):
            raise InputError(
                f"generator {wrong[0]} is not a permutation of 0..{len(points) - 1}: give the "
                "images of all points"
            )
        _, first = np.unique(rows, axis=0, return_index=True)
        rows = rows[np.sort(first)]
        self._given = rows[(rows != points).any(axis=1)]

    @property
    def degree(self) -> int:
        """Number of points."""
        return int(self._given.shape[1])

    @functools.cached_property
    def generators(self) -> IntArray:
        """Permutations that generate the group, int64, [num_generators, degree]."""
        rows: IntArray = self._given
        if len(rows) > _MAX_GENERATORS_AS_GIVEN:
            rows = self._few_of_a_giant() if self._giant_witness is not None else _few(rows)
        read_only(rows)
        return rows

    @functools.cached_property
    def order(self) -> int:
        """Number of elements, exact."""
        if self._giant_witness is None:
            return self._chain.order
        half = math.factorial(self.degree) // 2
        return half if all(_is_even(row) for row in self._given) else 2 * half

    @property
    def name(self) -> str:
        """``"S5"``, ``"A5"`` for all permutations or the even ones, ``"Z5"``; else the order."""
        if self.order == 1 or _is_prime(self.order):
            return f"Z{self.order}"
        half = math.factorial(self.degree) // 2
        if self.degree >= 3 and self.order in (half, 2 * half):
            return f"{'A' if self.order == half else 'S'}{self.degree}"
        return f"permutation group of order {self.order}"

    @functools.cached_property
    def is_abelian(self) -> bool:
        """Whether every two elements commute."""
        return all(
            bool((second[first] == first[second]).all())
            for first, second in itertools.combinations(self.generators, 2)
        )

    @functools.cached_property
    def derived_series(self) -> tuple["PermutationGroup", ...]:
        """The group, its commutator subgroup, that one's, ..., until it stops shrinking."""
        series = [self]
        while True:
            following = series[-1].derived_subgroup()
            if following.order == series[-1].order:
                return tuple(series)
            series.append(following)

    @functools.cached_property
    def is_solvable(self) -> bool:
        """Whether the derived series ends in the trivial group."""
        if self.degree < 5:
            return True
        if self._giant_witness is not None or self.order**3 > 24 ** (self.degree - 1):
            return False  # Dixon 1967: a solvable group has order at most 24 ** ((degree - 1) / 3).
        if self.order < 60 or len(_prime_factors(self.order)) <= 2:
            return True  # The smallest other group is A5; Burnside 1904: p**a q**b is solvable.
        return self.derived_series[-1].order == 1

    @property
    def derived_length(self) -> int | None:
        """Steps of the derived series down to the trivial group; None if it never gets there."""
        return len(self.derived_series) - 1 if self.is_solvable else None

    def contains(self, permutations: ArrayLike) -> BoolArray:
        """Tell which permutations belong to the group.

        Parameters
        ----------
        permutations : array_like of int, [num_permutations, degree]

        Returns
        -------
        ndarray of bool, [num_permutations]

        Examples
        --------
        >>> PermutationGroup([[1, 2, 0]]).contains([[2, 0, 1], [1, 0, 2]])
        array([ True, False])
        """
        rows = as_integer_array(permutations, "the permutations")
        if rows.ndim != 2 or rows.shape[1] != self.degree:
            raise InputError(f"the permutations have shape {rows.shape}: give [n, {self.degree}]")
        if (np.sort(rows, axis=1) != np.arange(self.degree)).any():
            raise InputError(f"some rows are no permutations of 0..{self.degree - 1}")
        if self._giant_witness is not None:
            is_symmetric = self.order == math.factorial(self.degree)
            return np.array([is_symmetric or _is_even(row) for row in rows], dtype=np.bool_)
        return self._chain.contains(rows)

    def derived_subgroup(self) -> "PermutationGroup":
        """Return the subgroup that all commutators generate.

        Examples
        --------
        >>> PermutationGroup([[1, 0, 2, 3], [1, 2, 3, 0]]).derived_subgroup().order
        12
        """
        rows = [
            # (first second)^-1 (second first), in that order.
            first[second][np.argsort(second[first])]
            for first, second in itertools.combinations(self.generators, 2)
        ]
        return self.normal_closure(np.array(rows, dtype=np.int64).reshape(-1, self.degree))

    def normal_closure(self, permutations: ArrayLike) -> "PermutationGroup":
        """Return the smallest normal subgroup that contains some of the group's elements.

        Examples
        --------
        >>> PermutationGroup([[1, 0, 2, 3], [1, 2, 3, 0]]).normal_closure([[1, 0, 3, 2]]).order
        4
        """
        closure = PermutationGroup(permutations, self.degree)
        if self._giant_witness is not None and len(closure._given):
            # The normal subgroups of a symmetric group of degree >= 8 are known.
            even = all(_is_even(row) for row in closure._given)
            return _alternating(self.degree) if even else self
        rows = closure.generators
        chain = StabilizerChain(rows)
        waiting = list(rows)
        kept = list(rows)
        for row in waiting:
            for generator in self.generators:
                conjugate = generator[row[np.argsort(generator)]]
                if chain.add(conjugate):
                    kept.append(conjugate)
                    waiting.append(conjugate)
        return PermutationGroup(
            np.array(kept, dtype=np.int64).reshape(-1, self.degree), self.degree
        )

    def to_finite_group(self, name: str | None = None) -> FiniteGroup:
        """List the elements and build the multiplication table.

        Raises
        ------
        InputError
            If the order is above `automata.finite_group.MAX_ORDER`.

        Examples
        --------
        >>> PermutationGroup([[1, 2, 0]]).to_finite_group().elements
        ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        """
        name = self.name if name is None else name
        check_order(self.order, name)
        rows = self.generators.tolist() or [list(range(self.degree))]
        return from_permutations(rows, name)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same set of permutations."""
        if not isinstance(other, PermutationGroup):
            return NotImplemented
        return self is other or (
            self.degree == other.degree
            and self.order == other.order
            and bool(self.contains(other._given).all())
        )

    def __hash__(self) -> int:
        """Hash degree and order."""
        return hash((self.degree, self.order))

    def __repr__(self) -> str:
        """Show name, order and degree."""
        return f"PermutationGroup({self.name}, order={self.order}, degree={self.degree})"

    @functools.cached_property
    def _chain(self) -> StabilizerChain:
        if len(self._given) > _MAX_GENERATORS_AS_GIVEN:
            return StabilizerChain(self.generators)
        return StabilizerChain(self._given)

    @functools.cached_property
    def _giant_witness(self) -> IntArray | None:
        """An element that proves that the group holds all even permutations, if one is found.

        A transitive group with an element one of whose cycles has prime length p with
        ``degree / 2 < p < degree - 2`` is symmetric or alternating (Jordan 1873; Seress 2003,
        section 10.2). Such elements are frequent in these groups and absent from others.
        """
        primes = {p for p in range(self.degree // 2 + 1, self.degree - 2) if _is_prime(p)}
        if not primes or not len(self._given) or not _is_transitive(self._given):
            return None
        for element in itertools.islice(_random_products(self._given), _RANDOM_ELEMENTS):
            if not primes.isdisjoint(_cycle_lengths(element)):
                return element
        return None

    def _few_of_a_giant(self) -> IntArray:
        """Choose generators: the witness, enough for transitivity, and an odd one if there is."""
        assert self._giant_witness is not None
        chosen = self._giant_witness[None]
        for row in self._given:
            if len(_orbits(np.append(chosen, row[None], axis=0))) < len(_orbits(chosen)):
                chosen = np.append(chosen, row[None], axis=0)
        if all(_is_even(row) for row in chosen):
            odd = next((row for row in self._given if not _is_even(row)), None)
            chosen = chosen if odd is None else np.append(chosen, odd[None], axis=0)
        return chosen


def _few(rows: IntArray) -> IntArray:
    """Drop every permutation that the ones kept before already generate."""
    chain = StabilizerChain(rows[:0])
    kept = []
    while len(rows):
        kept.append(rows[0])
        chain.add(rows[0])
        rows = rows[~chain.contains(rows)]
    return np.array(kept)


def _alternating(degree: int) -> PermutationGroup:
    points = list(range(degree))
    longest = [*points[1:], 0] if degree % 2 else [0, *points[2:], 1]
    return PermutationGroup([[1, 2, 0, *points[3:]], longest])


def _random_products(generators: IntArray) -> Iterator[IntArray]:
    """Walk through a fixed sequence of products (product replacement)."""
    rng = np.random.default_rng(0)
    spread = np.linspace(0, len(generators) - 1, _POOL_SIZE).astype(np.int64)
    pool = list(generators[spread])
    for step in itertools.count():
        i, j = rng.choice(len(pool), 2, replace=False)
        pool[i] = pool[j][pool[i]]
        if step > 3 * len(pool):
            yield pool[i]


def _orbits(generators: IntArray) -> list[int]:
    """List the smallest point of every orbit."""
    seen = np.zeros(generators.shape[1], dtype=np.bool_)
    smallest = []
    for point in range(len(seen)):
        if not seen[point]:
            smallest.append(point)
            frontier = np.array([point])
            while frontier.size:
                seen[frontier] = True
                reached = np.unique(generators[:, frontier])
                frontier = reached[~seen[reached]]
    return smallest


def _is_transitive(generators: IntArray) -> bool:
    return len(_orbits(generators)) == 1


def _cycle_lengths(permutation: IntArray) -> set[int]:
    images = permutation.tolist()
    lengths = set()
    seen = bytearray(len(images))
    for point in range(len(images)):
        length = 0
        while not seen[point]:
            seen[point] = 1
            point = images[point]
            length += 1
        if length:
            lengths.add(length)
    return lengths


def _is_even(permutation: IntArray) -> bool:
    images = permutation.tolist()
    seen = bytearray(len(images))
    num_cycles = 0
    for point in range(len(images)):
        num_cycles += not seen[point]
        while not seen[point]:
            seen[point] = 1
            point = images[point]
    return (len(images) - num_cycles) % 2 == 0


def _prime_factors(order: int) -> set[int]:
    """Find the primes that divide the order of a group of permutations of few points."""
    factors, divisor = set(), 2
    while order > 1:
        while order % divisor == 0:
            factors.add(divisor)
            order //= divisor
        divisor += 1
    return factors


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))
