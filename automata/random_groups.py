"""Random automata whose letters permute the states, with or without resets among them."""

from typing import Final, NamedTuple

import numpy as np

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.groups import parse
from automata.philox import PhiloxSource
from automata.random_draws import random_integers, random_permutation
from automata.reachability import breadth_first_order
from automata.validation import IntArray

__all__ = [
    "GroupAction",
    "contains_alternating",
    "random_affine",
    "random_group",
    "random_mixed",
    "random_permutations",
    "read_action",
]

_MAX_TRIALS: Final = 2_000
_WORDS_TRIED: Final = 64


class GroupAction(NamedTuple):
    """A group acting on states: row ``g`` holds the images of all states under element ``g``."""

    group: FiniteGroup
    images: IntArray


def read_action(group: str | FiniteGroup | None, num_states: int) -> GroupAction:
    """Let a group act on a number of states: on itself, or on the points that it permutes.

    Parameters
    ----------
    group : str or FiniteGroup
        A name that `automata.groups.parse` reads, or a group.
    num_states : int
        The group's order, or the number of points that its elements permute.

    Returns
    -------
    GroupAction

    Raises
    ------
    InputError
        If the group is missing or has no such action, or not all points can be reached.

    Examples
    --------
    >>> read_action("S4", 4).images.shape, read_action("S4", 24).images.shape
    ((24, 4), (24, 24))
    """
    if isinstance(group, str):
        group = parse(group)
    if not isinstance(group, FiniteGroup):
        raise InputError(f"group is {group!r}: give a name such as 'A4xZ5' or a FiniteGroup")
    if num_states == group.order:
        # A state is the product so far, and an element multiplies it from the right.
        return GroupAction(group, np.ascontiguousarray(group.table.T))
    points = group.elements[0]
    if not isinstance(points, tuple) or points != tuple(range(num_states)):
        raise InputError(
            f"{group.name} has no action on {num_states} states here: give its order "
            f"{group.order}, or the number of points that it permutes"
        )
    images = np.array(group.elements, dtype=np.int64)
    if len(np.unique(images[:, 0])) != num_states:
        raise InputError(
            f"{group.name} does not move point 0 to all {num_states} points: give num_states "
            f"{group.order}, its order"
        )
    return GroupAction(group, images)


def random_permutations(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw a transitive permutation automaton: independent uniform permutations, kept if so.

    Parameters
    ----------
    num_states, num_symbols : int
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        Every structure up to isomorphism has the same probability, since a transitive one has
        ``(num_states - 1)!`` namings that keep the initial state 0.

    Examples
    --------
    >>> random_permutations(3, 2, PhiloxSource(seed=1, stream=34)).shape
    (3, 2)
    """
    if num_symbols == 1:
        # Only the cycle is transitive.
        return ((np.arange(num_states) + 1) % num_states).reshape(-1, 1)
    for _ in range(_MAX_TRIALS):
        table = _stack([random_permutation(source, num_states) for _ in range(num_symbols)])
        if _is_accessible(table):
            return table
    raise InputError(f"no transitive tuple of permutations in {_MAX_TRIALS} trials")


def random_group(action: GroupAction, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw letters that generate a group: independent uniform elements, kept if they do.

    Parameters
    ----------
    action : GroupAction
    num_symbols : int
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]

    Raises
    ------
    InputError
        If none of many draws generates the group: it needs more letters.

    Examples
    --------
    >>> random_group(read_action("S3", 3), 2, PhiloxSource(seed=1, stream=37)).shape
    (3, 2)
    """
    elements = _generating_tuple(action.group, num_symbols, source)
    return np.ascontiguousarray(action.images[elements].T)


def random_affine(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw a solvable permutation automaton: maps ``q -> u q + b`` modulo the number of states.

    Parameters
    ----------
    num_states, num_symbols : int
        At least 3 states and 2 symbols.
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        Factors ``u`` are uniform units, shifts ``b`` uniform, and the tuple is kept if it is
        transitive and not commutative. The group is an extension of one abelian group by another.

    Examples
    --------
    >>> random_affine(5, 2, PhiloxSource(seed=1, stream=40)).shape
    (5, 2)
    """
    units = np.flatnonzero(np.gcd(np.arange(num_states), num_states) == 1)
    points = np.arange(num_states)
    for _ in range(_MAX_TRIALS):
        factors = units[random_integers(source, len(units), num_symbols)]
        shifts = random_integers(source, num_states, num_symbols)
        table = (points[:, None] * factors + shifts) % num_states
        if _is_accessible(table) and not _commutes(table):
            return table
    raise InputError(
        f"no affine maps of {num_states} states in {_MAX_TRIALS} trials: give at least 3 states "
        "and 2 symbols"
    )


def random_mixed(
    num_states: int,
    num_symbols: int,
    source: PhiloxSource,
    *,
    reset_probability: float,
    action: GroupAction | None,
) -> IntArray:
    """Draw a planted mix: every letter is a reset with some probability, else a permutation.

    Parameters
    ----------
    num_states, num_symbols : int
        At least 2 of each.
    source : PhiloxSource
    reset_probability : float
        Rounded to a multiple of ``2**-32``.
    action : GroupAction, optional
        Where permutations come from; by default all permutations of the states.

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        Which letters reset is drawn first, at least one and not all; resets go to a uniform state.
        Without a group the permutations are uniform over transitive tuples. With one they are
        uniform elements, and the whole draw is repeated until they generate it.

    Examples
    --------
    >>> table = random_mixed(
    ...     3, 3, PhiloxSource(seed=1, stream=38), reset_probability=0.5, action=None
    ... )
    >>> sorted(len(set(column)) for column in table.T.tolist())
    [1, 1, 3]
    """
    if num_states < 2 or num_symbols < 2:
        raise InputError(
            f"{num_states} states and {num_symbols} symbols cannot mix resets and permutations: "
            "give at least 2 of each"
        )
    if not 0 < reset_probability < 1:
        raise InputError(f"reset_probability is {reset_probability}: give a number between 0 and 1")
    threshold = int(reset_probability * 2**32)
    for _ in range(_MAX_TRIALS):
        is_reset = source.words(num_symbols) < threshold
        num_moves = num_symbols - int(is_reset.sum())
        if not 0 < num_moves < num_symbols:
            continue
        if action is None:
            moves = random_permutations(num_states, num_moves, source)
        else:
            elements = random_integers(source, action.group.order, num_moves)
            if len(action.group.subgroup(elements.tolist())) < action.group.order:
                continue
            moves = action.images[elements].T
        table = np.empty((num_states, num_symbols), dtype=np.int64)
        table[:, ~is_reset] = moves
        table[:, is_reset] = random_integers(source, num_states, num_symbols - num_moves)
        return table
    raise InputError(
        f"no {num_symbols} letters with a reset among them were found in {_MAX_TRIALS} trials: "
        "give more symbols or another reset_probability"
    )


def contains_alternating(permutations: IntArray, source: PhiloxSource) -> bool:
    """Whether random products show that a transitive group holds every even permutation.

    Parameters
    ----------
    permutations : ndarray of int64, [num_states, num_symbols]
        At least 8 states; together transitive.
    source : PhiloxSource
        Decides which products are tried.

    Returns
    -------
    bool
        True is a proof, False is not.

    Notes
    -----
    A transitive group of degree ``n`` with an element that has a cycle of prime length ``p``,
    ``n / 2 < p < n - 2``, contains the alternating group (Jordan; see Seress: "Permutation Group
    Algorithms", 2003, section 10.2). Such cycles are common: about one permutation in
    ``log(n) / log(2)`` has one.

    Examples
    --------
    >>> cycle, swap = np.roll(np.arange(9), -1), np.array([1, 0, *range(2, 9)])
    >>> contains_alternating(np.stack([cycle, swap], axis=1), PhiloxSource(seed=1, stream=34))
    True
    """
    num_states, num_symbols = permutations.shape
    primes = {p for p in range(num_states // 2 + 1, num_states - 2) if _is_prime(p)}
    product = np.arange(num_states)
    for letter in random_integers(source, num_symbols, _WORDS_TRIED * num_states.bit_length()):
        product = permutations[product, letter]
        if primes & set(_cycle_lengths(product)):
            return True
    return False


def _generating_tuple(group: FiniteGroup, size: int, source: PhiloxSource) -> IntArray:
    for _ in range(_MAX_TRIALS):
        elements = random_integers(source, group.order, size)
        if len(group.subgroup(elements.tolist())) == group.order:
            return elements
    raise InputError(
        f"none of {_MAX_TRIALS} draws of {size} elements generates {group.name}: give more symbols"
    )


def _stack(letters: list[IntArray]) -> IntArray:
    return np.stack(letters, axis=1)


def _is_accessible(table: IntArray) -> bool:
    return len(breadth_first_order(table, 0)) == len(table)


def _commutes(table: IntArray) -> bool:
    letters = range(table.shape[1])
    return all(
        bool((table[table[:, a], b] == table[table[:, b], a]).all())
        for a in letters
        for b in letters
    )


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))


def _cycle_lengths(permutation: IntArray) -> list[int]:
    images = permutation.tolist()
    seen = bytearray(len(images))
    lengths = []
    for start in range(len(images)):
        length, point = 0, start
        while not seen[point]:
            seen[point] = 1
            length, point = length + 1, images[point]
        if length:
            lengths.append(length)
    return lengths
