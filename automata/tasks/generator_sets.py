"""Which elements of a group are the tokens of its word problem."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from automata.errors import InputError, shown, unknown_name
from automata.finite_group import FiniteGroup
from automata.philox import PhiloxSource, Stream
from automata.random_draws import random_permutation
from automata.validation import IntArray, as_integer

__all__ = ["GENERATOR_SETS", "choose_generators"]

GENERATOR_SETS: Final = ("all", "standard", "swaps", "moves_K", "random_K")
_MAX_TRIALS: Final = 1000


def choose_generators(
    group: FiniteGroup, generators: str | Sequence[int], seed: int = 0
) -> IntArray:
    """Return the elements that serve as tokens.

    Parameters
    ----------
    group : FiniteGroup
    generators : str or sequence of int
        * ``all``: every element;
        * ``standard``: the group's own generators, at most two for symmetric groups;
        * ``swaps``: the identity and every transposition, of a permutation group;
        * ``moves_3``: every permutation that moves at most 3 points, the identity included;
        * ``random_4``: 4 distinct elements, uniform among the sets that generate the group;
        * a sequence: those elements.
    seed : int
        For ``random_K``: 0 <= seed < 2**32.

    Returns
    -------
    ndarray of int64, [num_tokens]

    Raises
    ------
    InputError
        If the name is unknown, does not fit the group, or the elements do not generate it.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> [len(choose_generators(symmetric(5), name)) for name in ("standard", "swaps", "moves_3")]
    [2, 11, 31]
    """
    if isinstance(generators, str):
        chosen = _by_name(group, generators, seed)
    elif isinstance(generators, Iterable):
        chosen = [as_integer(g, "a generator", 0, group.order - 1) for g in generators]
    else:
        raise InputError(f"generators is {shown(generators)}: give a name or a list of elements")
    if not chosen:
        raise InputError(f"{group.name} would have no tokens: give at least one generator")
    generated = len(group.subgroup(chosen))
    if generated != group.order:
        raise InputError(
            f"the tokens generate {generated} of the {group.order} elements of {group.name}: add "
            "generators, or name the smaller group"
        )
    return np.array(chosen, dtype=np.int64)


def _by_name(group: FiniteGroup, name: str, seed: int) -> list[int]:
    if name == "all":
        return list(range(group.order))
    if name == "standard":
        return list(group.generators)
    if name == "swaps":
        moved = _moved_points(group, name)
        return np.flatnonzero((moved == 0) | (moved == 2)).tolist()
    match = re.fullmatch(r"(moves|random)_([0-9]{1,9})", name)
    if match is None:
        raise unknown_name("generator set", name, GENERATOR_SETS)
    count = int(match[2])
    if match[1] == "moves":
        return np.flatnonzero(_moved_points(group, name) <= count).tolist()
    as_integer(count, "the number of random generators", 1, group.order)
    source = PhiloxSource(seed=seed, stream=Stream.GENERATORS, item=group.order << 16 | count)
    for _ in range(_MAX_TRIALS):
        chosen = random_permutation(source, group.order)[:count].tolist()
        if len(group.subgroup(chosen)) == group.order:
            return chosen
    raise InputError(
        f"no {count} elements that generate {group.name} in {_MAX_TRIALS} trials: ask for more"
    )


def _moved_points(group: FiniteGroup, name: str) -> IntArray:
    """Count the points that every permutation moves."""
    first = group.elements[0]
    if not isinstance(first, tuple) or len(first) < 2 or first != tuple(range(len(first))):
        raise InputError(
            f"generators={name!r} needs permutations, and the elements of {group.name} are none: "
            "name a symmetric or alternating group, or give the elements"
        )
    images = np.array(group.elements)
    moved: IntArray = (images != np.arange(images.shape[1])).sum(axis=1)
    return moved
