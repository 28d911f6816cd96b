"""The groups inside an automaton, and what they say about its circuit complexity."""

import functools
import math
from dataclasses import dataclass
from typing import Final

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.finite_group import FiniteGroup
from automata.group_names import find_isomorphism, group_name
from automata.image_groups import MAX_IMAGES, image_groups
from automata.permutation_group import PermutationGroup
from automata.prime_groups import composition_factors

__all__ = ["MAX_LISTED_ORDER", "Complexity", "complexity", "group_divisors", "prime_groups"]

MAX_LISTED_ORDER: Final = 720
_SUBJECTS: Final = ("states", "language")


def group_divisors(
    dfa: DFA, max_images: int = MAX_IMAGES
) -> tuple[FiniteGroup | PermutationGroup, ...]:
    """Return the permutation groups inside an automaton, without enumerating its monoid.

    A group divides the transition monoid if and only if it divides one of these. There are none
    if and only if the monoid is aperiodic; it is solvable if and only if they all are.

    Parameters
    ----------
    dfa : DFA
        All its states count, reached or not; what is accepted does not matter.
    max_images : int
        Refuse automata whose state set has more images under words than this.

    Returns
    -------
    tuple of FiniteGroup or PermutationGroup
        Non-trivial groups that words induce on images of the state set, by descending order; for
        isomorphic ones the first. Up to order `MAX_LISTED_ORDER` they are tables, named where the
        name is known, and elements are permutations of the positions in the image; larger ones
        are given by generators. Both have ``order``, ``name``, ``is_abelian``, ``is_solvable``
        and ``derived_length``.

    Raises
    ------
    InputError
        If there are too many images.

    Notes
    -----
    See `automata.image_groups`. This gives the prime groups of the Krohn-Rhodes theorem without a
    decomposition (`prime_groups`). Eilenberg: "Automata, languages, and machines", volume B, 1976;
    Egri-Nagy, Nehaniv: "Computational holonomy decomposition of transformation semigroups",
    arXiv 1508.06345.

    Examples
    --------
    >>> swap_cycle_reset = DFA([[1, 1, 0], [0, 2, 0], [2, 3, 0], [3, 0, 0]])
    >>> [group.name for group in group_divisors(swap_cycle_reset)]
    ['S4']
    """
    kept: list[FiniteGroup | PermutationGroup] = []
    for image_group in image_groups(_checked(dfa).transitions, max_images):
        if image_group.group.order > 1:
            group = _as_table(image_group.group)
            if not any(_are_isomorphic(group, other) for other in kept):
                kept.append(group)
    return tuple(sorted(kept, key=lambda group: -group.order))


def prime_groups(dfa: DFA, max_images: int = MAX_IMAGES) -> tuple[str, ...]:
    """Name the simple groups that divide the transition monoid's groups as composition factors.

    Parameters
    ----------
    dfa : DFA
        All its states count.
    max_images : int
        As for `group_divisors`.

    Returns
    -------
    tuple of str
        Cyclic groups of prime order first, as ``"Z2"``; then others, as ``"A5"``; a part that is
        too large to split as ``"perfect group of order ..."``.

    Examples
    --------
    >>> prime_groups(DFA([[1, 1, 0], [0, 2, 0], [2, 3, 0], [3, 0, 0]]))
    ('Z2', 'Z3')
    """
    names = {
        name
        for image_group in image_groups(_checked(dfa).transitions, max_images)
        for name in composition_factors(image_group.group)
    }
    return tuple(sorted(names, key=lambda name: (name[0] != "Z", len(name), name)))


@dataclass(frozen=True)
class Complexity:
    """Which constant-depth circuits can follow an automaton.

    Attributes
    ----------
    label : {"AC0", "ACC0", "NC1-complete"}
        The smallest of the three classes that is known to hold the problem.
    reason : str
        What about the automaton decides it.
    lower_bound : str
        What is proved, or believed under `conditional_on`, about smaller classes.
    conditional_on : str or None
        The unproved separation on which the last part of `lower_bound` rests.
    """

    label: str
    reason: str
    lower_bound: str
    conditional_on: str | None

    def __str__(self) -> str:
        """Return the label."""
        return self.label


def complexity(dfa: DFA, of: str = "states", max_images: int = MAX_IMAGES) -> Complexity:
    """Classify the circuit complexity of an automaton by the groups inside.

    Parameters
    ----------
    dfa : DFA
    of : {"states", "language"}
        ``states``: finding the state after a word, from the initial state. ``language``: deciding
        acceptance (and outputs, if there are any): the automaton is minimised first.
    max_images : int
        As for `group_divisors`.

    Returns
    -------
    Complexity

    Raises
    ------
    InputError
        If `of` is unknown, or there are too many images.

    Notes
    -----
    AC0 (constant depth, unbounded fan-in) if and only if the monoid is quasi-aperiodic:
    Barrington, Compton, Straubing, Thérien: "Regular languages in NC1", 1992, resting on Furst,
    Saxe, Sipser 1984. In ACC0 (with counters modulo constants) if it is solvable: Barrington,
    Thérien: "Finite monoids and the fine structure of NC1", 1988. Otherwise complete for NC1 under
    AC0 reductions: Barrington: "Bounded-width polynomial-size branching programs recognize exactly
    those languages in NC1", 1989. The classes are nested, AC0 in ACC0 in TC0 in NC1; only the
    first inclusion is known to be proper.

    Examples
    --------
    >>> parity = complexity(DFA([[0, 1], [1, 0]], accepting=[1]))
    >>> parity.label, parity.conditional_on
    ('ACC0', 'ACC0 != NC1')
    >>> str(complexity(DFA([[1, 1], [0, 0]], accepting=[1])))
    'AC0'
    """
    if of not in _SUBJECTS:
        raise unknown_name("subject of complexity", of, _SUBJECTS)
    dfa = _checked(dfa)
    dfa = dfa.minimize() if of == "language" else dfa.accessible()
    groups = image_groups(dfa.transitions, max_images)
    unsolvable = [g.group for g in groups if not g.group.is_solvable]
    if unsolvable:
        largest = max(unsolvable, key=lambda group: group.order)
        return Complexity(
            "NC1-complete",
            f"a group inside is not solvable: {_as_table(largest).name}",
            "complete for NC1 under AC0 reductions; outside TC0 and ACC0 if these are smaller",
            "TC0 != NC1",
        )
    orders = [g.stable_group.order for g in groups if g.stable_group.order > 1]
    if orders:
        divisors = _prime_divisors(math.lcm(*orders))
        moduli = ", ".join(str(p) for p in divisors)
        return Complexity(
            "ACC0",
            f"all groups inside are solvable; words of one length still count modulo {moduli}",
            "outside AC0; not complete for NC1 if ACC0 is smaller",
            "ACC0 != NC1",
        )
    if any(g.group.order > 1 for g in groups):
        reason = "words of one length induce no group: all counting is of the length alone"
    else:
        reason = "no groups inside"
    return Complexity("AC0", reason, "none: AC0 is the smallest class considered", None)


def _checked(dfa: DFA) -> DFA:
    if not isinstance(dfa, DFA):
        raise InputError(f"{type(dfa).__name__} is no DFA: give an automata.dfa.DFA")
    return dfa


@functools.lru_cache(maxsize=1024)
def _as_table(group: PermutationGroup) -> FiniteGroup | PermutationGroup:
    if group.order > MAX_LISTED_ORDER:
        return group
    table = group.to_finite_group()
    name = group_name(table)
    return table if name is None else group.to_finite_group(name)


def _are_isomorphic(
    first: FiniteGroup | PermutationGroup, second: FiniteGroup | PermutationGroup
) -> bool:
    """Compare groups; large ones only as sets of permutations."""
    if isinstance(first, FiniteGroup) and isinstance(second, FiniteGroup):
        return first.order == second.order and (
            first is second or find_isomorphism(first, second) is not None
        )
    return first == second


def _prime_divisors(number: int) -> list[int]:
    divisors, divisor = [], 2
    while number > 1:
        if number % divisor == 0:
            divisors.append(divisor)
        while number % divisor == 0:
            number //= divisor
        divisor += 1
    return divisors
