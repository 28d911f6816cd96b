"""Random automata by algebraic class: the class is drawn first, then an automaton built in it.

A uniform random automaton is synchronising with near certainty, and what groups it holds are small
and solvable; a benchmark of such draws hardly tests state tracking. Here every class that exists at
the given size is equally likely, and known by construction.

=======================  ==========================================================================
``r_trivial``            partially ordered: cycles are single states that stay
``aperiodic``            a cascade of flip-flops, no counter inside
``abelian_group``        translations of a cyclic group
``solvable_group``       affine maps modulo the number of states, not commutative
``nonsolvable_group``    permutations that generate every even permutation of at least five states
``solvable_mixed``       affine maps or translations, and at least one reset
``nonsolvable_mixed``    the permutations of ``nonsolvable_group``, and at least one reset
``uniform``              a uniform accessible structure, whose class is not looked at
=======================  ==========================================================================

Names tell what the construction makes sure of: a draw of ``aperiodic`` may happen to be R-trivial.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from automata.accessible import uniform_accessible
from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.generated_group import PermutationGroup
from automata.philox import PhiloxSource, Stream
from automata.random_aperiodic import flip_flop_cascade, partially_ordered
from automata.random_draws import random_integers
from automata.random_groups import contains_alternating, random_affine, random_permutations
from automata.sampling import with_random_accepting
from automata.validation import IntArray, as_integer

__all__ = ["ALGEBRAIC_CLASSES", "StratifiedDraw", "possible_classes", "stratified_dfa"]

_MAX_TRIALS: Final = 1000
_MAX_CASCADE_STATES: Final = 128
_MAX_TABLE: Final = 2**22
_MAX_KEPT: Final = 2**12


class StratifiedDraw(NamedTuple):
    """A random automaton and the class that it was drawn from.

    Attributes
    ----------
    dfa : DFA
    algebraic_class : str
        One of `ALGEBRAIC_CLASSES`.
    verified : object
        What the hook of `stratified_dfa` returned; None without one.
    """

    dfa: DFA
    algebraic_class: str
    verified: object = None

    def __str__(self) -> str:
        """Show the class and the sizes."""
        return (
            f"{self.algebraic_class} automaton with {self.dfa.num_states} states and "
            f"{self.dfa.num_symbols} symbols"
        )


def stratified_dfa(
    num_states: int,
    num_symbols: int,
    seed: int,
    *,
    algebraic_class: str | None = None,
    classify: Callable[[DFA], object] | None = None,
) -> StratifiedDraw:
    """Draw an algebraic class, then an automaton of that class.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        0 <= seed < 2**32. The result is a pure function of the arguments before the hook.
    algebraic_class : str, optional
        By default uniform over `possible_classes`.
    classify : callable, optional
        A hook: called with the automaton, for instance to compute its class anew; the result is
        kept in ``verified``.

    Returns
    -------
    StratifiedDraw
        The automaton has exactly `num_states` states, all accessible, in breadth-first order, and
        uniform accepting states. As a tracker of states it has its class; the minimal automaton of
        its language may be smaller and simpler.

    Raises
    ------
    InputError
        On an unknown class, or one without automata of this size.

    Examples
    --------
    >>> print(stratified_dfa(6, 2, seed=3))
    solvable_mixed automaton with 6 states and 2 symbols
    >>> print(stratified_dfa(6, 2, 3, algebraic_class="abelian_group"))
    abelian_group automaton with 6 states and 2 symbols
    """
    num_states = as_integer(num_states, "num_states", 1, 2**24)
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 2**24)
    if num_states * num_symbols > _MAX_TABLE:
        raise InputError(
            f"{num_states} states and {num_symbols} symbols are too many: the table may have up "
            f"to {_MAX_TABLE} cells"
        )
    possible = possible_classes(num_states, num_symbols)
    source = _source(num_states, num_symbols, seed)
    drawn = possible[int(random_integers(source, len(possible), 1)[0])]
    if algebraic_class is None:
        algebraic_class = drawn
    elif algebraic_class not in ALGEBRAIC_CLASSES:
        raise unknown_name("algebraic class", algebraic_class, ALGEBRAIC_CLASSES)
    elif algebraic_class not in possible:
        raise InputError(
            f"no automaton with {num_states} states and {num_symbols} symbols is drawn in class "
            f"{algebraic_class!r}: possible here are {', '.join(possible)}"
        )
    small = num_states * num_symbols <= _MAX_KEPT
    law = _kept if small else _automaton
    dfa = law(num_states, num_symbols, seed, algebraic_class)
    return StratifiedDraw(dfa, algebraic_class, None if classify is None else classify(dfa))


def _automaton(num_states: int, num_symbols: int, seed: int, algebraic_class: str) -> DFA:
    source = _source(num_states, num_symbols, seed)
    random_integers(source, len(possible_classes(num_states, num_symbols)), 1)  # the class
    table = _LAWS[algebraic_class](num_states, num_symbols, source)
    return with_random_accepting(table, seed, _item(num_states, num_symbols))


_kept = lru_cache(maxsize=1024)(_automaton)


def _source(num_states: int, num_symbols: int, seed: int) -> PhiloxSource:
    item = _item(num_states, num_symbols)
    return PhiloxSource(seed=seed, stream=Stream.ALGEBRAIC_CLASS, item=item)


def _item(num_states: int, num_symbols: int) -> int:
    return num_states << 32 | num_symbols


def possible_classes(num_states: int, num_symbols: int) -> tuple[str, ...]:
    """List the classes that have automata of a size, as far as they are built here.

    Parameters
    ----------
    num_states, num_symbols : int

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> possible_classes(2, 1)
    ('r_trivial', 'abelian_group', 'uniform')
    >>> set(ALGEBRAIC_CLASSES) - set(possible_classes(8, 2))
    {'nonsolvable_mixed'}
    """
    at_least = {
        "r_trivial": (1, 1),
        "aperiodic": (2, 2),
        "abelian_group": (2, 1),
        "solvable_group": (3, 2),
        "nonsolvable_group": (5, 2),
        "solvable_mixed": (2, 2),
        "nonsolvable_mixed": (5, 3),
        "uniform": (1, 1),
    }
    return tuple(
        name
        for name, (states, symbols) in at_least.items()
        if num_states >= states
        and num_symbols >= symbols
        and (name != "aperiodic" or num_states <= _MAX_CASCADE_STATES)
    )


def _translations(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Add a uniform number for each letter, kept if together they generate all."""
    while True:
        shifts = random_integers(source, num_states, num_symbols)
        if np.gcd.reduce(np.append(shifts, num_states)) == 1:
            return (np.arange(num_states)[:, None] + shifts) % num_states


def _nonsolvable(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw transitive permutations, kept once they are seen not to be solvable."""
    for _ in range(_MAX_TRIALS):
        table = random_permutations(num_states, num_symbols, source)
        if num_states >= 8:
            if contains_alternating(table, source):
                return table
        elif PermutationGroup(table.T).order >= _EVEN_PERMUTATIONS[num_states]:
            return table
    raise InputError(f"no such permutations of {num_states} states in {_MAX_TRIALS} trials")


def _with_resets(
    num_states: int,
    num_symbols: int,
    source: PhiloxSource,
    min_moves: int,
    law: Callable[[int, int, PhiloxSource], IntArray],
) -> IntArray:
    """Let uniformly many letters permute, uniform ones of all, and the rest reset."""
    num_moves = min_moves + int(random_integers(source, num_symbols - min_moves, 1)[0])
    order = np.argsort(random_integers(source, 2**32, num_symbols), kind="stable")
    table = np.empty((num_states, num_symbols), dtype=np.int64)
    table[:, order[:num_moves]] = law(num_states, num_moves, source)
    table[:, order[num_moves:]] = random_integers(source, num_states, num_symbols - num_moves)
    return table


def _solvable_mixed(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    return _with_resets(num_states, num_symbols, source, 1, _solvable)


def _nonsolvable_mixed(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    return _with_resets(num_states, num_symbols, source, 2, _nonsolvable)


def _solvable(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    is_affine = num_states >= 3 and num_symbols >= 2 and int(random_integers(source, 2, 1)[0])
    return (random_affine if is_affine else _translations)(num_states, num_symbols, source)


_EVEN_PERMUTATIONS: Final = {5: 60, 6: 360, 7: 2520}
_LAWS: Final[dict[str, Callable[[int, int, PhiloxSource], IntArray]]] = {
    "r_trivial": partially_ordered,
    "aperiodic": flip_flop_cascade,
    "abelian_group": _translations,
    "solvable_group": random_affine,
    "nonsolvable_group": _nonsolvable,
    "solvable_mixed": _solvable_mixed,
    "nonsolvable_mixed": _nonsolvable_mixed,
    "uniform": uniform_accessible,
}
ALGEBRAIC_CLASSES: Final = tuple(_LAWS)
