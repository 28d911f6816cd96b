"""Which representation of a group, or of a cover of it, learned matrices are.

Shape suffixes: P tokens, G elements, N state size, D dimension, I irreducible representations.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from statetrack.analysis.covers import Cover, find_cover
from statetrack.analysis.group_matrices import checked_elements, extend_to_group
from statetrack.analysis.homomorphism import Tolerances, mean_separation, table_errors
from statetrack.analysis.intertwiners import match_score
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.named_representations import name_representation
from statetrack.analysis.representation_match import (
    NO_REPRESENTATION,
    IrrepShare,
    RepresentationMatch,
    RepresentationMatches,
    quotient_name,
)
from statetrack.analysis.subspace import (
    orthonormal_rows,
    persistent_subspace,
    represented_subspace,
    restrict,
)
from statetrack.analysis.transitions import Transitions
from statetrack.analysis.unitarising import (
    Unitarised,
    as_real,
    settle,
    unitarise,
)

Rows = Mapping[tuple[int, int], NDArray[Any]]


def match_representation(
    transitions: Transitions | NDArray[Any],
    group: FiniteGroup,
    token_elements: ArrayLike | None = None,
    *,
    basis: Literal["persistent"] | Rows | None = "persistent",
    starts: Rows | None = None,
    covers: int = 8,
    tolerances: Tolerances | None = None,
) -> RepresentationMatches:
    """Say which representation of a group the matrices of every head are.

    Parameters
    ----------
    transitions : Transitions, or ndarray [num_tokens, N, N]
        What `extract_transitions` returns, or the matrices of one head, in row form.
    group : FiniteGroup
        The group tracked.
    token_elements : array of int [num_tokens], optional
        The element of each token; by default token i is element i, of all elements.
    basis : "persistent", mapping of (layer, head) to ndarray [D, N], or None
        Subspace of state rows that is read: by default the directions that outlive long words
        (`persistent_subspace`), or given ones, or the whole state. A mapping must hold every head.
    starts : mapping of (layer, head) to ndarray [K, N], optional
        State rows before the first token, for energies and separations; by default an orthonormal
        basis, as for a matrix state that starts from the identity.
    covers : int
        Largest degree of a cover that is looked for where the matrices are no representation of
        the group itself; 1 for none.
    tolerances : Tolerances, optional
        What counts as nothing.

    Returns
    -------
    RepresentationMatches
        One entry per layer and head.

    Raises
    ------
    InputError
        The tokens do not generate the group, or an array has the wrong shape.

    Notes
    -----
    Where the matrices are no representation on the whole subspace, the part of it is read on which
    products are those of the group (`represented_subspace`), if it tells elements apart:
    `dimension` is then less than `subspace`.

    Per head: the matrix of every element is the product over its shortest word; averaging
    ``M_g M_g^T`` gives an inner product that a representation keeps, and a basis in which it is
    orthogonal (`unitarise`); errors are measured there. Multiplicities are inner products of
    characters, rounded; the score is taken after the best intertwiner (`match_score`) with the
    direct sum of irreducible representations of those multiplicities. Serre, Linear Representations
    of Finite Groups, sections 1.3 and 2.3 to 2.6. O(order^2 D^3) per head. Complex matrices are
    read as real ones of twice the size.

    Examples
    --------
    >>> from automata.characters import real_irreps
    >>> from automata.groups import symmetric
    >>> group = symmetric(3)
    >>> basis = np.array([[1.0, 5.0], [0.0, 2.0]])
    >>> hidden = np.linalg.inv(basis) @ real_irreps(group)[2].matrices @ basis
    >>> head = match_representation(hidden, group).heads[0]
    >>> head.name, head.verdict, head.score > 0.999999
    ('symmetries of a 3-gon', 'faithful', True)
    """
    limits = tolerances or Tolerances()
    if covers < 1:
        raise InputError(f"covers = {covers}: give the largest degree, at least 1")
    elements = checked_elements(
        group, np.arange(group.order) if token_elements is None else token_elements
    )
    heads = []
    for layer, head, matrix_PNN in _heads(transitions):
        place = layer, head
        rows_DN = _basis(matrix_PNN, basis, place, limits)
        match = _read(matrix_PNN, rows_DN, starts, place, group, elements, covers, limits)
        if match.verdict == NO_REPRESENTATION:
            part_DN = _represented_rows(matrix_PNN, rows_DN, group, elements, limits)
            part = _read(matrix_PNN, part_DN, starts, place, group, elements, 1, limits)
            match = part if part.sees else match
        heads.append(replace(match, subspace=len(rows_DN)))
    return RepresentationMatches(group, tuple(heads))


def _represented_rows(
    matrix_PNN: NDArray[Any],
    rows_DN: NDArray[Any],
    group: FiniteGroup,
    elements: NDArray[np.int64],
    limits: Tolerances,
) -> NDArray[Any]:
    """State rows within a subspace on which products are those of the group."""
    matrix_PDD, _ = restrict(matrix_PNN, rows_DN)
    matrix_GDD = extend_to_group(matrix_PDD, group, elements)
    part_KD = represented_subspace(matrix_GDD, group.table, tolerance=limits.represented)
    return part_KD @ rows_DN


def _read(
    matrix_PNN: NDArray[Any],
    rows_DN: NDArray[Any],
    starts: Rows | None,
    place: tuple[int, int],
    group: FiniteGroup,
    elements: NDArray[np.int64],
    covers: int,
    limits: Tolerances,
) -> RepresentationMatch:
    """What the matrices of one head are on a subspace."""
    matrix_PDD, leakage_P = restrict(matrix_PNN, rows_DN)
    start_KD = _start(matrix_PDD, rows_DN, starts, place)
    match = _match(as_real(matrix_PDD), start_KD, group, elements, covers, limits)
    leakage = float(np.sqrt(np.square(leakage_P).mean()))
    return match.placed(*place, matrix_PNN.shape[-1], leakage)


def _match(
    matrix_PDD: NDArray[np.float64],
    start_KD: NDArray[np.float64],
    group: FiniteGroup,
    elements: NDArray[np.int64],
    covers: int,
    limits: Tolerances,
) -> RepresentationMatch:
    cover, acting, found = _unitarised(matrix_PDD, group, elements, covers, limits)
    found, nearest_GDD = settle(found, acting)
    matrix_GDD, size = found.matrices, matrix_PDD.shape[-1]
    error_GG = table_errors(matrix_GDD, acting.table) / math.sqrt(max(1, size))
    error = math.sqrt(float(np.square(error_GG).mean()))
    apart = mean_separation(matrix_GDD) / math.sqrt(max(1, size))
    irreps = RealIrreps.of(acting)
    measured_I = irreps.multiplicities(matrix_GDD)
    close_GDD = matrix_GDD if nearest_GDD is None else nearest_GDD
    number_I = np.clip(np.rint(irreps.multiplicities(close_GDD)), 0, None).astype(np.int64)
    kernel_above = irreps.kernel(number_I)
    kernel = kernel_above if cover is None else _below(cover, kernel_above)
    fits = int(number_I @ irreps.dimensions) == size
    known = name_representation(irreps, number_I)
    distance = math.nan
    if nearest_GDD is not None:
        gap = np.square(matrix_GDD - nearest_GDD).sum(axis=(-2, -1)).mean()
        distance = math.sqrt(float(gap) / max(1, size))
    represents = nearest_GDD is not None and fits and error <= limits.ratio * apart
    if not number_I[1:].any() and apart <= limits.trivial:
        verdict = "trivial"
    elif not represents:
        verdict = NO_REPRESENTATION
    else:
        verdict = "faithful" if len(kernel) == 1 else f"sees {quotient_name(group, kernel)}"
    return RepresentationMatch(
        group=group,
        dimension=size,
        cover=cover,
        error=error,
        max_error=float(error_GG.max()),
        separation=apart,
        condition=found.condition,
        distance=distance,
        irreps=_shares(irreps, measured_I, number_I, close_GDD, start_KD @ found.root, cover),
        kernel=kernel,
        quotient=quotient_name(group, kernel),
        name=known.name,
        automorphism=known.automorphism,
        score=match_score(matrix_GDD, irreps.direct_sum(number_I)) if fits else 0.0,
        verdict=verdict,
        matrices=matrix_GDD,
        nearest=nearest_GDD,
    )


def _unitarised(
    matrix_PDD: NDArray[np.float64],
    group: FiniteGroup,
    elements: NDArray[np.int64],
    covers: int,
    limits: Tolerances,
) -> tuple[Cover | None, FiniteGroup, Unitarised]:
    """Orthogonal matrices of the group, or of a cover where only that is represented."""
    found = unitarise(extend_to_group(matrix_PDD, group, elements))
    error_GG = table_errors(found.matrices, group.table)
    limit = limits.ratio * mean_separation(found.matrices)
    if covers == 1 or math.sqrt(float(np.square(error_GG).mean())) <= limit:
        return None, group, found
    token_PDD = found.inverse_root @ matrix_PDD @ found.root
    cover = find_cover(token_PDD, group, elements, max_degree=covers)
    if cover is None or cover.degree == 1:
        return None, group, found
    above = unitarise(extend_to_group(matrix_PDD, cover.group, cover.token_elements))
    return cover, cover.group, above


def _shares(
    irreps: RealIrreps,
    measured_I: NDArray[np.float64],
    number_I: NDArray[np.int64],
    matrix_GDD: NDArray[np.float64],
    start_KD: NDArray[np.float64],
    cover: Cover | None,
) -> tuple[IrrepShare, ...]:
    """What each irreducible representation has of the state, and how far it tells elements."""
    size = max(float(np.linalg.norm(start_KD)), np.finfo(np.float64).tiny)
    apart = np.arange(irreps.group.order) != 0 if cover is None else cover.projection != 0
    shares = []
    for irrep, character in enumerate(irreps.characters):
        part_KD = start_KD @ irreps.projector(irrep, matrix_GDD)
        moved_G = np.linalg.norm(part_KD @ matrix_GDD[apart] - part_KD, axis=(-2, -1))
        shares.append(
            IrrepShare(
                label=irreps.labels[irrep],
                dimension=character.dimension,
                type=character.type,
                multiplicity=int(number_I[irrep]),
                measured=float(measured_I[irrep]),
                energy=float(np.linalg.norm(part_KD) / size) ** 2,
                separation=float(moved_G.min(initial=math.inf)) / size if apart.any() else 0.0,
            )
        )
    return tuple(shares)


def _below(cover: Cover, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(cover.projection[list(kernel)].tolist())))


def _heads(
    transitions: Transitions | NDArray[Any],
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    if isinstance(transitions, Transitions):
        yield from transitions.heads()
        return
    matrices = np.asarray(transitions)
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise InputError(f"matrices have shape {matrices.shape}: give [num_tokens, N, N]")
    if not np.isfinite(matrices).all():
        raise InputError("matrices hold values that are not finite")
    kind = np.complex128 if np.iscomplexobj(matrices) else np.float64
    yield 0, 0, matrices.astype(kind)


def _basis(
    matrix_PNN: NDArray[Any],
    basis: Literal["persistent"] | Rows | None,
    place: tuple[int, int],
    limits: Tolerances,
) -> NDArray[Any]:
    size = matrix_PNN.shape[-1]
    if basis is None:
        return np.eye(size)
    if isinstance(basis, str):
        if basis != "persistent":
            raise InputError(f"basis must be 'persistent', a mapping or None, not {basis!r}")
        return persistent_subspace(matrix_PNN, tolerance=limits.persistent)
    if place not in basis:
        raise InputError(f"basis lacks layer {place[0]}, head {place[1]}: give every head's rows")
    return orthonormal_rows(basis[place], size)


def _start(
    matrix_PDD: NDArray[Any],
    rows_DN: NDArray[Any],
    starts: Rows | None,
    place: tuple[int, int],
) -> NDArray[np.float64]:
    """State rows before the first token, in the coordinates of the subspace, real."""
    is_complex = np.iscomplexobj(matrix_PDD)
    if starts is None:
        return np.eye(len(rows_DN) * (2 if is_complex else 1))
    if place not in starts:
        raise InputError(f"starts lacks layer {place[0]}, head {place[1]}: give every head's rows")
    start_KN = np.atleast_2d(np.asarray(starts[place]))
    if start_KN.shape[-1] != rows_DN.shape[1]:
        raise InputError(f"state rows have {start_KN.shape[-1]} numbers, not {rows_DN.shape[1]}")
    start_KD = start_KN @ rows_DN.conj().T
    if is_complex:
        return np.concatenate([start_KD.real, np.imag(start_KD)], axis=-1)
    return np.asarray(start_KD, dtype=np.float64)
