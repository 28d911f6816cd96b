"""Automorphisms of a finite group by what they do to its conjugacy classes."""

import functools
import itertools
from typing import Final

import numpy as np

from automata.finite_group import FiniteGroup
from automata.isomorphisms import isomorphisms
from automata.validation import IntArray, read_only

__all__ = ["MAX_TRIED", "class_automorphisms"]

MAX_TRIED: Final = 2000


def class_automorphisms(group: FiniteGroup) -> tuple[IntArray, ...]:
    """List automorphisms, one for every permutation of the conjugacy classes that one makes.

    Characters see an automorphism only through that permutation; an inner one makes none.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    tuple of ndarray of int64, [order]
        The image of every element, read-only; the identity first.

    Notes
    -----
    The first `MAX_TRIED` automorphisms up to conjugacy of one generator are looked at: all of
    them, unless the group has many (an elementary abelian group of order 32 has 9,999,360).

    Examples
    --------
    Only S6 of the symmetric groups has one that moves classes; A5 swaps its two of order 5:

    >>> from automata.groups import parse
    >>> [len(class_automorphisms(parse(name))) for name in ("S5", "S6", "A5", "Z5")]
    [1, 2, 2, 4]
    """
    return _kept(group)


@functools.lru_cache(maxsize=32)
def _kept(group: FiniteGroup) -> tuple[IntArray, ...]:
    class_of = np.empty(group.order, dtype=np.int64)
    for number, members in enumerate(group.conjugacy_classes):
        class_of[list(members)] = number
    firsts = [members[0] for members in group.conjugacy_classes]
    identity = np.arange(group.order)
    found: dict[tuple[int, ...], IntArray] = {tuple(range(len(firsts))): identity}
    for image in itertools.islice(isomorphisms(group, group), MAX_TRIED):
        found.setdefault(tuple(class_of[image[firsts]].tolist()), image)
    for image in found.values():
        read_only(image)
    return tuple(found.values())
