"""The permutation groups inside an automaton, from the images of its state set.

Words send the set of all states to *image sets*. Two image sets that words send to each other
have the same size, and the words that send a set P onto itself permute it: that group G_P, taken
once for every strongly connected component of image sets, is all there is. A group divides the
transition monoid if and only if it divides some G_P, since the words with ``P w = P`` are a
submonoid that maps onto G_P, and since the maximal subgroup of an idempotent acts on its image
faithfully and as all of G_P does. The monoid itself, which may be much larger, is never listed.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from automata.errors import InputError
from automata.permutation_group import PermutationGroup
from automata.strong_components import strong_components
from automata.transformation_closure import row_keys
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["MAX_IMAGES", "ImageGroup", "image_groups"]

MAX_IMAGES: Final = 1_000_000
_MAX_CELLS: Final = 2**26
_CELLS_PER_BATCH: Final = 2**20


@dataclass(frozen=True)
class ImageGroup:
    """The permutations that words induce on one image set.

    Attributes
    ----------
    points : tuple of int
        The states of the image set, sorted; the group acts on their positions.
    num_images : int
        How many image sets words exchange with this one, itself included.
    group : PermutationGroup
        All permutations that words induce: G_P.
    stable_group : PermutationGroup
        Those that words of every length divisible by some number induce; a normal subgroup with a
        cyclic quotient. All of these are trivial if and only if the monoid is quasi-aperiodic.
    """

    points: tuple[int, ...]
    num_images: int
    group: PermutationGroup
    stable_group: PermutationGroup


def image_groups(transitions: IntArray, max_images: int = MAX_IMAGES) -> tuple[ImageGroup, ...]:
    """Find the permutation group of every class of image sets of at least two states.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]
        A complete table.
    max_images : int
        Refuse automata with more image sets; there may be ``2 ** num_states``.

    Returns
    -------
    tuple of ImageGroup
        In the order in which a breadth-first search from the set of all states meets them. Trivial
        groups are included.

    Raises
    ------
    InputError
        If there are more image sets, or they would take too much memory.

    Examples
    --------
    >>> [(g.points, g.group.name) for g in image_groups(np.array([[1, 0], [2, 0], [0, 2]]))]
    [((0, 1, 2), 'Z3'), ((0, 2), 'Z2')]
    """
    max_images = as_integer(max_images, "max_images", 1)
    maps = np.unique(transitions.T, axis=0)
    images, edges = _images(maps, max_images)
    component = strong_components(edges)
    members = np.argsort(component, kind="stable")
    starts = np.searchsorted(component[members], np.arange(int(component.max()) + 1))
    return tuple(
        _image_group(nodes, images, edges, maps)
        for nodes in np.split(members, starts[1:])
        if images[nodes[0]].sum() > 1
    )


def _images(maps: IntArray, max_images: int) -> tuple[BoolArray, IntArray]:
    """List the image sets as masks, breadth first, and where every map sends them.

    Sets of one state lead only to such sets and are left out (-1).
    """
    num_maps, num_states = maps.shape
    sources = [np.argsort(row, kind="stable") for row in maps]
    targets = [np.unique(row) for row in maps]
    starts = [np.unique(np.sort(row), return_index=True)[1] for row in maps]
    whole = np.ones((1, num_states), dtype=np.bool_)
    number = {row_keys(np.packbits(whole, axis=1))[0]: 0}
    found, edges = [whole], []
    batch = max(1, _CELLS_PER_BATCH // (num_maps * num_states))
    for masks in found:
        for begin in range(0, len(masks), batch):
            part = masks[begin : begin + batch]
            sent = np.zeros((len(part), num_maps, num_states), dtype=np.bool_)
            for symbol in range(num_maps):
                reached = np.logical_or.reduceat(part[:, sources[symbol]], starts[symbol], axis=1)
                sent[:, symbol, targets[symbol]] = reached
            rows = sent.reshape(-1, num_states)
            large = np.flatnonzero(rows.sum(axis=1) > 1)
            codes = np.full(len(rows), -1, dtype=np.int64)
            num_known = len(number)
            keys = row_keys(np.packbits(rows[large], axis=1)) if len(large) else []
            new: list[int] = []
            for row, key in zip(large.tolist(), keys, strict=True):
                codes[row] = number.setdefault(key, len(number))
                if len(number) > num_known + len(new):
                    new.append(row)
            edges.append(codes)
            found.append(rows[new])
            if len(number) > max_images or len(number) * max(num_states, num_maps) > _MAX_CELLS:
                raise InputError(
                    f"words send the {num_states} states to more than "
                    f"{min(max_images, len(number) - 1)} image sets: raise max_images, or "
                    "minimize the automaton first"
                )
    return np.concatenate(found), np.concatenate(edges).reshape(-1, num_maps)


def _image_group(nodes: IntArray, images: BoolArray, edges: IntArray, maps: IntArray) -> ImageGroup:
    """Collect Schreier generators of the loops at the first node of a component."""
    position = np.full(len(images), -1, dtype=np.int64)
    position[nodes] = np.arange(len(nodes))
    inner = np.where(edges[nodes] >= 0, position[edges[nodes]], -1)
    points = np.flatnonzero(images[nodes[0]])
    carriers, distance = _carriers(points, inner, maps)
    loops = [np.zeros((0, 1 + len(points)), dtype=np.int64)]
    batch = max(1, _CELLS_PER_BATCH // maps.shape[1])
    for symbol, row in enumerate(maps):
        for begin in range(0, len(nodes), batch):
            sources = np.arange(begin, min(begin + batch, len(nodes)))
            sources = sources[inner[sources, symbol] >= 0]
            targets = inner[sources, symbol]
            back = np.zeros((len(sources), maps.shape[1]), dtype=np.int64)
            places = np.arange(len(points))[None]
            np.put_along_axis(back, carriers[targets].astype(np.int64), places, axis=1)
            loop = np.take_along_axis(back, row[carriers[sources]], axis=1)
            length = distance[sources] + 1 - distance[targets]
            labelled = np.column_stack([length, loop])
            loops.append(labelled if len(labelled) < 100 else np.unique(labelled, axis=0))
    found = np.concatenate(loops)
    if (found[:, 1:] == np.arange(len(points))).all():
        group = stable_group = PermutationGroup([], len(points))
    else:
        found = np.unique(found, axis=0)
        group = PermutationGroup(found[:, 1:])
        stable_group = _stable_group(group, found[:, 1:], found[:, 0])
    return ImageGroup(tuple(points.tolist()), len(nodes), group, stable_group)


def _carriers(
    points: IntArray, inner: IntArray, maps: IntArray
) -> tuple[NDArray[np.unsignedinteger[Any]], IntArray]:
    """Send the first image set of a component to every other by a shortest word.

    Returns where every point goes, [num_nodes, num_points], and the lengths of the words.
    """
    carriers = np.zeros((len(inner), len(points)), dtype=np.min_scalar_type(maps.shape[1] - 1))
    carriers[0] = points
    distance = np.full(len(inner), -1, dtype=np.int64)
    distance[0] = 0
    frontier = np.zeros(1, dtype=np.int64)
    while frontier.size:
        place, symbol = np.nonzero(inner[frontier] >= 0)
        fresh, first = np.unique(inner[frontier[place], symbol], return_index=True)
        first = first[distance[fresh] < 0]
        fresh = fresh[distance[fresh] < 0]
        sources = frontier[place[first]]
        carriers[fresh] = maps[symbol[first][:, None], carriers[sources]]
        distance[fresh] = distance[sources] + 1
        frontier = fresh
    return carriers, distance


def _stable_group(group: PermutationGroup, loops: IntArray, lengths: IntArray) -> PermutationGroup:
    """Find the permutations paired with length 0 in the group of pairs (permutation, length).

    With t a product of loops whose length is the greatest common divisor d of all lengths, it is
    the normal closure of every loop, of length l, times ``t ** (-l / d)``: modulo that, the group
    of pairs is cyclic, generated by t, and mapped to the lengths one to one.
    """
    divisor = int(np.gcd.reduce(lengths))
    common, power = 0, np.arange(group.degree)
    for row, length in zip(loops, lengths.tolist(), strict=True):
        if common == divisor:
            break
        common, mine, theirs = _bezout(common, length)
        power = _power(row, theirs)[_power(power, mine)]
    reduced = []
    for length in np.unique(lengths).tolist():
        back = _power(power, -length // divisor)
        reduced.append(np.unique(back[loops[lengths == length]], axis=0))
    return group.normal_closure(np.concatenate(reduced))


def _bezout(first: int, second: int) -> tuple[int, int, int]:
    """Return the greatest common divisor d >= 0, and x, y with ``x first + y second = d``."""
    x, next_x, y, next_y = 1, 0, 0, 1
    while second:
        quotient = first // second
        first, second = second, first - quotient * second
        x, next_x = next_x, x - quotient * next_x
        y, next_y = next_y, y - quotient * next_y
    return (first, x, y) if first >= 0 else (-first, -x, -y)


def _power(permutation: IntArray, exponent: int) -> IntArray:
    """Raise a permutation to a power of any sign, by squaring."""
    base = np.argsort(permutation) if exponent < 0 else permutation
    result = np.arange(len(permutation))
    exponent = abs(exponent)
    while exponent:
        if exponent & 1:
            result = base[result]
        base = base[base]
        exponent >>= 1
    return result
