"""Finite groups as Cayley tables."""

import functools
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.validation import IntArray, as_integer, as_integer_array, read_only

__all__ = ["MAX_ORDER", "FiniteGroup", "check_order"]

MAX_ORDER: Final = 5040


def check_order(order: int, name: str) -> None:
    """Refuse a group whose table would be too large, before memory is taken.

    Parameters
    ----------
    order : int
    name : str
        How the error calls the group.

    Raises
    ------
    InputError
        Above `MAX_ORDER`.

    Examples
    --------
    >>> check_order(120, "S5")
    """
    if order > MAX_ORDER:
        raise InputError(
            f"{name} has order {order}: tables are kept up to order {MAX_ORDER}; take a smaller one"
        )


class FiniteGroup:
    """A finite group given by its multiplication table.

    Elements are numbered; element 0 is the identity and ``table[p, q]`` is *p first, then q*.
    Objects are immutable, hashable, and equal when table, elements and generators are equal.

    Parameters
    ----------
    table : array_like of int, [order, order]
    elements : sequence of hashable, optional
        What the numbers stand for; by default the numbers themselves.
    generators : sequence of int, optional
        Elements that generate the group; by default found greedily.
    name : str, optional

    Raises
    ------
    InputError
        If the table is no group table with identity 0, naming what fails; if the generators
        generate less.

    Notes
    -----
    Associativity is checked by Light's test, O(order**2 * num_generators).

    Examples
    --------
    >>> klein = FiniteGroup([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    >>> klein.order, klein.is_abelian, klein.generators
    (4, True, (1, 2))
    """

    def __init__(
        self,
        table: ArrayLike,
        elements: Sequence[Hashable] | None = None,
        generators: Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        self._table = _read_table(table)
        order = len(self._table)
        self._elements: tuple[Hashable, ...] = tuple(range(order) if elements is None else elements)
        if len(set(self._elements)) != order or len(self._elements) != order:
            raise InputError(f"a group of order {order} needs {order} distinct elements")
        self._name = f"group of order {order}" if name is None else name
        self._inverses: IntArray = np.argmin(self._table, axis=1).astype(np.int64)
        read_only(self._inverses)
        if generators is None:
            self._generators = self._greedy_generators(np.arange(order))
        else:
            self._generators = tuple(as_integer(g, "a generator", 0, order - 1) for g in generators)
            generated = len(self.subgroup(self._generators))
            if generated != order:
                raise InputError(
                    f"the generators {self._generators} generate {generated} of {order} elements"
                )
        self._check_associativity()

    @property
    def order(self) -> int:
        """Number of elements."""
        return self._inverses.size

    @property
    def table(self) -> IntArray:
        """The product of every pair, int64, [order, order]."""
        return self._table

    @property
    def inverses(self) -> IntArray:
        """The inverse of every element, int64, [order]."""
        return self._inverses

    @property
    def elements(self) -> tuple[Hashable, ...]:
        """What each number stands for (for permutation groups the tuple of images)."""
        return self._elements

    @property
    def generators(self) -> tuple[int, ...]:
        """Elements that generate the group."""
        return self._generators

    @property
    def name(self) -> str:
        """Name, such as ``"S5"``."""
        return self._name

    @functools.cached_property
    def conjugacy_classes(self) -> tuple[tuple[int, ...], ...]:
        """The conjugacy classes, each sorted, in order of their smallest element."""
        everyone = np.arange(self.order)
        seen = np.zeros(self.order, dtype=np.bool_)
        classes = []
        for element in range(self.order):
            if not seen[element]:
                conjugates = np.unique(self._table[self._table[self._inverses, element], everyone])
                seen[conjugates] = True
                classes.append(tuple(conjugates.tolist()))
        return tuple(classes)

    @functools.cached_property
    def derived_series(self) -> tuple[tuple[int, ...], ...]:
        """The group, its commutator subgroup, that one's, ..., until it stops shrinking."""
        series = [tuple(range(self.order))]
        while True:
            following = self._derived_subgroup(series[-1])
            if len(following) == len(series[-1]):
                return tuple(series)
            series.append(following)

    @functools.cached_property
    def is_abelian(self) -> bool:
        """Whether every two elements commute."""
        return bool((self._table == self._table.T).all())

    @property
    def is_solvable(self) -> bool:
        """Whether the derived series ends in the trivial group."""
        return len(self.derived_series[-1]) == 1

    @property
    def derived_length(self) -> int | None:
        """Steps of the derived series down to the trivial group; None if it never gets there."""
        return len(self.derived_series) - 1 if self.is_solvable else None

    def product(self, first: ArrayLike, second: ArrayLike) -> IntArray:
        """Multiply elements, `first` and then `second`, over broadcast axes.

        Examples
        --------
        >>> from automata.groups import cyclic
        >>> int(cyclic(5).product(3, 4))
        2
        """
        left = as_integer_array(first, "the first element")
        right = as_integer_array(second, "the second element")
        for numbers in (left, right):
            if numbers.size and (numbers.min() < 0 or numbers.max() >= self.order):
                raise InputError(f"elements are numbered from 0 to {self.order - 1}")
        result: IntArray = self._table[left, right]
        return result

    def subgroup(self, elements: Iterable[int]) -> tuple[int, ...]:
        """Return the elements of the subgroup that some elements generate, sorted.

        Examples
        --------
        >>> from automata.groups import cyclic
        >>> cyclic(6).subgroup([4])
        (0, 2, 4)
        """
        generators = np.array(list(elements), dtype=np.int64)
        seen = np.zeros(self.order, dtype=np.bool_)
        frontier = np.zeros(1, dtype=np.int64)
        seen[0] = True
        while frontier.size:
            products = np.unique(self._table[frontier[:, None], generators])
            frontier = products[~seen[products]]
            seen[frontier] = True
        return tuple(np.flatnonzero(seen).tolist())

    def element_order(self, element: int) -> int:
        """Return the smallest positive power of an element that is the identity.

        Examples
        --------
        >>> from automata.groups import cyclic
        >>> cyclic(6).element_order(4)
        3
        """
        current = as_integer(element, "element", 0, self.order - 1)
        power = 1
        while current:
            current = int(self._table[current, element])
            power += 1
        return power

    def __eq__(self, other: object) -> bool:
        """Whether table, elements and generators are equal."""
        if not isinstance(other, FiniteGroup):
            return NotImplemented
        return self is other or (
            self._elements == other._elements
            and self._generators == other._generators
            and np.array_equal(self._table, other._table)
        )

    def __hash__(self) -> int:
        """Hash table and generators."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self._table.tobytes(), self._generators))

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild through the constructor, so that copies are checked and read-only too."""
        return type(self), (self._table, self._elements, self._generators, self._name)

    def __repr__(self) -> str:
        """Show name and order."""
        return f"FiniteGroup({self._name}, order={self.order})"

    def _greedy_generators(self, members: IntArray) -> tuple[int, ...]:
        """Collect members, each the smallest outside what the ones before generate."""
        generators: list[int] = []
        covered = {0}
        for member in members.tolist():
            if member not in covered:
                generators.append(member)
                covered = set(self.subgroup(generators))
        return tuple(generators)

    def _derived_subgroup(self, members: tuple[int, ...]) -> tuple[int, ...]:
        """Close the commutators of generators under conjugation and products."""
        gens = np.array(self._greedy_generators(np.array(members)), dtype=np.int64)
        table, inverses = self._table, self._inverses
        left = table[inverses[gens][:, None], inverses[gens]]
        right = table[gens[:, None], gens]
        current = self.subgroup(np.unique(table[left, right]).tolist())
        while True:
            elements = np.array(current, dtype=np.int64)
            conjugates = table[table[inverses[gens][:, None], elements], gens[:, None]]
            closed = self.subgroup(
                self._greedy_generators(np.unique(np.append(elements, conjugates)))
            )
            if len(closed) == len(current):
                return closed
            current = closed

    def _check_associativity(self) -> None:
        for generator in self._generators:
            left = self._table[self._table[:, generator]]
            right = self._table[:, self._table[generator]]
            wrong = np.argwhere(left != right)
            if len(wrong):
                first, last = wrong[0].tolist()
                raise InputError(
                    f"the table is not associative: (p q) r and p (q r) differ for "
                    f"p, q, r = {first}, {generator}, {last}"
                )


def _read_table(table: ArrayLike) -> IntArray:
    values = as_integer_array(table, "the group table").copy()
    order = len(values) if values.ndim else 0
    if values.ndim != 2 or values.shape != (order, order) or order == 0:
        raise InputError(f"the group table has shape {values.shape}: give [order, order]")
    check_order(order, "the group")
    identity = np.arange(order)
    if not (np.array_equal(values[0], identity) and np.array_equal(values[:, 0], identity)):
        raise InputError("element 0 is not the identity of the table: number the elements so")
    if values.min() < 0 or values.max() >= order:
        raise InputError(f"the group table leads outside 0..{order - 1}: give element numbers")
    for lines, line in ((values, "row"), (values.T, "column")):
        found = np.zeros((order, order), dtype=np.bool_)
        found[identity[:, None], lines] = True
        wrong = np.flatnonzero(~found.all(axis=1))
        if len(wrong):
            raise InputError(
                f"{line} {wrong[0]} of the group table is not a permutation of 0..{order - 1}"
            )
    read_only(values)
    return values
