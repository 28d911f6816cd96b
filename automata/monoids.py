"""The monoids of automata: what words do to states, as algebra.

The *transition monoid* of an automaton holds the maps on its states that words induce. That of the
minimal automaton is the *syntactic monoid* of the language. Both are over all states (a sink is a
state), and the identity, which the empty word induces, is included in every count.
"""

from automata.dfa import DFA
from automata.errors import InputError
from automata.group_divisors import Complexity, complexity, group_divisors, prime_groups
from automata.monoid import Monoid
from automata.monoid_counts import MonoidCounts, count_monoid
from automata.transformation_closure import MAX_ELEMENTS

__all__ = [
    "MAX_ELEMENTS",
    "Complexity",
    "Monoid",
    "MonoidCounts",
    "complexity",
    "count_transition_monoid",
    "group_divisors",
    "prime_groups",
    "syntactic_monoid",
    "transition_monoid",
]


def transition_monoid(dfa: DFA, max_elements: int = MAX_ELEMENTS) -> Monoid:
    """Return the monoid of all maps on the states that words induce.

    Parameters
    ----------
    dfa : DFA
        All its states count, reached or not.
    max_elements : int
        Refuse larger monoids; n states allow ``n ** n`` elements.

    Returns
    -------
    Monoid

    Raises
    ------
    InputError
        If there are more than `max_elements`, or too many for memory. `count_transition_monoid`
        and `group_divisors` do not list the elements.

    Examples
    --------
    >>> monoid = transition_monoid(DFA([[1, 0], [2, 1], [2, 2]], alphabet="ab"))
    >>> monoid.size, monoid.num_d_classes, monoid.is_r_trivial
    (3, 3, True)
    """
    return Monoid(_checked(dfa).transitions.T, dfa.alphabet, max_elements)


def syntactic_monoid(dfa: DFA, max_elements: int = MAX_ELEMENTS) -> Monoid:
    """Return the syntactic monoid of the language: the transition monoid once minimised.

    Parameters
    ----------
    dfa : DFA
        If it has outputs, they are kept apart as acceptance is.
    max_elements : int
        Refuse larger monoids.

    Returns
    -------
    Monoid

    Raises
    ------
    InputError
        As for `transition_monoid`.

    Examples
    --------
    >>> contains_aa = DFA([[1, 0], [2, 0], [2, 2]], accepting=[2], alphabet="ab")
    >>> monoid = syntactic_monoid(contains_aa)
    >>> monoid.size, monoid.is_j_trivial, monoid.is_locally_testable
    (6, False, True)
    """
    return transition_monoid(_checked(dfa).minimize(), max_elements)


def count_transition_monoid(dfa: DFA) -> MonoidCounts:
    """Count the elements and Green's classes of the transition monoid without listing it.

    Parameters
    ----------
    dfa : DFA
        All its states count.

    Returns
    -------
    MonoidCounts

    Raises
    ------
    InputError
        If the optional package libsemigroups-pybind11 is not installed.

    Examples
    --------
    >>> count_transition_monoid(DFA([[1, 0], [0, 0]])).size  # doctest: +SKIP
    4
    """
    return count_monoid(_checked(dfa).transitions.T)


def _checked(dfa: DFA) -> DFA:
    if not isinstance(dfa, DFA):
        raise InputError(f"{type(dfa).__name__} is no DFA: give an automata.dfa.DFA")
    return dfa
