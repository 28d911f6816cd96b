"""Known constructions, and which of them a set of multiplicities is, up to an automorphism.

Shape suffixes: G elements, I irreducible representations over the reals.
"""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automata.automorphisms import class_automorphisms
from statetrack.analysis.isotypic import RealIrreps

if TYPE_CHECKING:
    from automata.groups import FiniteGroup

_SOLIDS = {12: "a tetrahedron", 24: "a cube", 60: "an icosahedron"}
_FULL_SOLIDS = {24: "a tetrahedron", 48: "a cube", 120: "an icosahedron"}
_EQUAL = 1e-6


@dataclass(frozen=True)
class NamedMatch:
    """What a sum of irreducible representations is known as.

    Attributes
    ----------
    name : str
        Such as "standard" or "2 x rotations of a cube", without trivial parts; where no
        construction fits, the sum of irreducible ones, as in "2R + 3Ra".
    automorphism : tuple of int or None
        Images of the group's generators under an automorphism a such that the matrices found are
        those of the construction at ``a(g)``, up to a basis; None where none is needed.
    """

    name: str
    automorphism: tuple[int, ...] | None


def name_representation(irreps: RealIrreps, multiplicities: NDArray[np.int64]) -> NamedMatch:
    """Recognise a sum of irreducible representations.

    Parameters
    ----------
    irreps : RealIrreps
    multiplicities : ndarray of int, [I]
        Of each; the trivial one is left aside.

    Returns
    -------
    NamedMatch

    Notes
    -----
    An automorphism permutes irreducible representations, so that a construction relabelled by one
    is made of others: of A5's two sets of rotations of an icosahedron, one is the other after the
    outer automorphism. One irreducible representation is named by the geometry of its image;
    sums are compared with `known_characters`.

    Examples
    --------
    >>> from automata.groups import alternating, symmetric
    >>> name_representation(RealIrreps.of(symmetric(4)), np.array([1, 0, 0, 2, 0]))
    NamedMatch(name='2 x symmetries of a tetrahedron', automorphism=None)
    >>> name_representation(RealIrreps.of(alternating(5)), np.array([0, 0, 1, 0, 0]))
    NamedMatch(name='rotations of an icosahedron', automorphism=(52, 17))
    """
    group = irreps.group
    wanted = np.asarray(multiplicities, dtype=np.int64).copy()
    wanted[0] = 0
    copies = math.gcd(*wanted.tolist())
    if copies == 0:
        return NamedMatch("trivial", None)
    wanted //= copies
    prefix = "" if copies == 1 else f"{copies} x "
    moves = [(image, _permuted(irreps, image)) for image in class_automorphisms(group)]
    character_G = wanted @ irreps.values
    for name, known_G in known_characters(irreps):
        for image, _ in moves:
            if np.abs(known_G[image] - character_G).max() < _EQUAL:
                return NamedMatch(prefix + name, _on_generators(group, image))
    # The first in the order of irreps among all that automorphisms make of it.
    image, move = max(moves, key=lambda pair: wanted[pair[1]].tolist())
    used = np.flatnonzero(wanted[move])
    parts = [
        irreps.labels[i] if wanted[move][i] == 1 else f"{wanted[move][i]} x {irreps.labels[i]}"
        for i in used
    ]
    if len(used) == 1:
        parts = [image_name(irreps, int(used[0]))]
    # `move` undoes what the construction went through.
    back = np.argsort(image)
    return NamedMatch(prefix + " + ".join(parts), _on_generators(group, back))


def image_name(irreps: RealIrreps, irrep: int) -> str:
    """Name the image of one irreducible representation by its geometry, where it has one.

    Parameters
    ----------
    irreps : RealIrreps
    irrep : int

    Returns
    -------
    str
        Such as "sign", "rotations of a 5-gon" or "symmetries of a tetrahedron"; its label
        otherwise.

    Examples
    --------
    >>> from automata.groups import parse
    >>> [image_name(RealIrreps.of(parse(name)), -1) for name in ("Z5", "D4", "A4", "Q8")]
    ['rotations of a 5-gon', 'symmetries of a 4-gon', 'rotations of a tetrahedron', 'unit quaternions']
    """  # noqa: E501
    number = irrep % len(irreps.characters)
    character, values_G = irreps.characters[number], irreps.values[number]
    inside = np.flatnonzero(values_G > values_G[0] - _EQUAL).size
    size = irreps.group.order // inside
    match (character.dimension, character.type):
        case (1, "R"):
            return "trivial" if size == 1 else "sign"
        case (2, "C"):
            return f"rotations of a {size}-gon"
        case (2, "R"):
            return f"symmetries of a {size // 2}-gon"
        case (3, "R"):
            turns = _keeps_orientation(irreps, number)
            solids = _SOLIDS if turns else _FULL_SOLIDS
            if size in solids:
                return f"{'rotations' if turns else 'symmetries'} of {solids[size]}"
        case (4, "H"):
            return "unit quaternions"
    return irreps.labels[number]


def known_characters(irreps: RealIrreps) -> list[tuple[str, NDArray[np.float64]]]:
    """Characters of the usual constructions, without their trivial parts.

    Parameters
    ----------
    irreps : RealIrreps

    Returns
    -------
    list of (str, ndarray [G])
        "standard" (permutations of points, where the group's elements are permutations), "pairs of
        points" (of pairs of different points, without that of points; where it is irreducible),
        either "x sign" (each odd permutation negated), "regular"; left out where they are
        irreducible of dimension 3 or less, which `image_name` names.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> [name for name, _ in known_characters(RealIrreps.of(symmetric(5)))]
    ['standard', 'standard x sign', 'pairs of points', 'pairs of points x sign', 'regular']
    """
    group = irreps.group
    known = []
    points = _fixed_points(group)
    if points is not None:
        on_points = [("standard", points - (irreps.values[0] @ points) / group.order)]
        pairs = _fixed_pairs(group, points) - points
        if abs(pairs @ pairs / group.order - 1.0) < _EQUAL:
            on_points.append(("pairs of points", pairs))
        signs = _signs(group)
        for name, values in on_points:
            known.append((name, values))
            if (signs < 0).any():
                known.append((f"{name} x sign", values * signs))
    regular = np.zeros(group.order)
    regular[0] = group.order
    known.append(("regular", regular - 1.0))
    norms = [float(values @ values) / group.order for _, values in known]
    return [
        pair
        for pair, norm in zip(known, norms, strict=True)
        if pair[1][0] > 3 + _EQUAL or norm > 1 + _EQUAL
    ]


def _fixed_points(group: "FiniteGroup") -> NDArray[np.float64] | None:
    elements = group.elements
    if not all(_is_permutation(element) for element in elements):
        return None
    images = np.array(elements, dtype=np.int64)
    return (images == np.arange(images.shape[1])).sum(axis=1).astype(np.float64)


def _fixed_pairs(group: "FiniteGroup", points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many pairs of points each element keeps: both points fixed, or swapped."""
    squares = group.table[np.arange(group.order), np.arange(group.order)]
    swapped = (points[squares] - points) / 2
    return points * (points - 1) / 2 + swapped


def _is_permutation(element: object) -> bool:
    return (
        isinstance(element, tuple)
        and all(isinstance(image, Integral) for image in element)
        and sorted(element) == list(range(len(element)))
    )


def _signs(group: "FiniteGroup") -> NDArray[np.float64]:
    images = np.array(group.elements, dtype=np.int64)
    return np.rint(np.linalg.det(np.eye(images.shape[1])[images]))


def _keeps_orientation(irreps: RealIrreps, irrep: int) -> bool:
    """Whether all determinants are 1, by ``6 det = t^3 - 3 t t2 + 2 t3`` of traces of powers."""
    table, values = irreps.group.table, irreps.values[irrep]
    everyone = np.arange(irreps.group.order)
    squares = table[everyone, everyone]
    cubes = table[squares, everyone]
    determinants = (values**3 - 3 * values * values[squares] + 2 * values[cubes]) / 6
    return bool((determinants > 0).all())


def _permuted(irreps: RealIrreps, image: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the irreducible character that each becomes under an automorphism."""
    moved_IG = irreps.values[:, image]
    gaps_II = np.abs(irreps.values[:, None] - moved_IG[None]).max(axis=-1)
    return gaps_II.argmin(axis=1)


def _on_generators(group: "FiniteGroup", image: NDArray[np.int64]) -> tuple[int, ...] | None:
    if (image == np.arange(group.order)).all():
        return None
    return tuple(int(image[generator]) for generator in group.generators)
