"""How well the learned matrices multiply like the group.

Shape suffixes: G elements, P tokens, N state size, D dimension of the subspace read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError
from statetrack.analysis.group_matrices import extend_to_group
from statetrack.analysis.quotients import consistent_kernel, quotient_name
from statetrack.analysis.subspace import (
    active_subspace,
    orthonormal_rows,
    persistent_subspace,
    restrict,
)
from statetrack.analysis.transitions import Transitions

if TYPE_CHECKING:
    from automata.groups import FiniteGroup

_ENTRIES_PER_BLOCK = 2**21


@dataclass(frozen=True)
class HeadHomomorphism:
    """How well one head's matrices represent the group.

    All norms are Frobenius norms over sqrt(dimension), so an orthogonal matrix has norm 1.

    Attributes
    ----------
    layer, head : int
        Where the matrices come from.
    size : int
        Side N of the matrices.
    active_dimension : int
        Dimension of the subspace that carries memory and that the group moves: the
        `active_subspace` within the `persistent_subspace`.
    dimension : int
        Dimension of the space that the errors below are measured on: N, or that of the basis.
    error, max_error : float
        Root mean square, and maximum, of ``|M_p M_q - M_pq|`` over all pairs.
    separation : float
        Root mean square of ``|M_p - M_q|`` over all pairs ``p != q``. The trivial representation
        has error 0 and separation 0: it is a perfect homomorphism that says nothing. Read `ratio`.
    identity_error : float
        ``|M_e - I|``.
    leakage : float
        Root mean square of what leaves the basis; 0 without a basis.
    kernel : tuple of int or None
        Elements that act like the identity, or None if they form no normal subgroup.
    quotient : str
        The group modulo that kernel: what this head can see. Empty without a kernel.
    verdict : str
        One of "trivial", "not a representation", "unclear kernel", "faithful", "sees <quotient>".
    """

    layer: int
    head: int
    size: int
    active_dimension: int
    dimension: int
    error: float
    max_error: float
    separation: float
    identity_error: float
    leakage: float
    kernel: tuple[int, ...] | None
    quotient: str
    verdict: str

    @property
    def ratio(self) -> float:
        """Error over separation; infinite when all elements have the same matrix."""
        return self.error / self.separation if self.separation > 0 else math.inf


@dataclass(frozen=True)
class HomomorphismErrors:
    """Homomorphism errors of every layer and head of a model.

    Attributes
    ----------
    group : str
        Name of the group.
    heads : tuple of HeadHomomorphism
        In the order of layers, then heads.
    """

    group: str
    heads: tuple[HeadHomomorphism, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer and head.

        Returns
        -------
        DataFrame
            Columns layer, head, size, active_dimension, dimension, error, max_error, separation,
            ratio, identity_error, leakage, kernel_order (0: no consistent kernel), quotient,
            verdict.
        """
        rows = [
            {
                "layer": head.layer,
                "head": head.head,
                "size": head.size,
                "active_dimension": head.active_dimension,
                "dimension": head.dimension,
                "error": head.error,
                "max_error": head.max_error,
                "separation": head.separation,
                "ratio": head.ratio,
                "identity_error": head.identity_error,
                "leakage": head.leakage,
                "kernel_order": 0 if head.kernel is None else len(head.kernel),
                "quotient": head.quotient,
                "verdict": head.verdict,
            }
            for head in self.heads
        ]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Tolerances:
    """What counts as nothing when matrices are compared.

    Attributes
    ----------
    persistent : float
        Amplitude after a long word below which a direction counts as forgotten
        (`persistent_subspace`).
    active : float
        Share of the largest displacement below which a direction counts as unmoved.
    kernel : float
        Share of the largest ``|M_g - M_e|`` below which an element counts as acting like the
        identity. A cyclic group of order n needs less than ``sin(pi / n)``.
    trivial : float
        Separation below which all elements count as having the same matrix.
    ratio : float
        Error over separation above which the matrices count as no representation.
    represented : float
        Error of a single direction above which it is left out where the whole is no representation
        (`represented_subspace`); 0 leaves nothing out.
    """

    persistent: float = 0.1
    active: float = 0.1
    kernel: float = 0.05
    trivial: float = 0.01
    ratio: float = 0.1
    represented: float = 0.2


def homomorphism_error(
    transitions: Transitions,
    group: "FiniteGroup",
    token_elements: ArrayLike,
    *,
    basis: Literal["active"] | Mapping[tuple[int, int], NDArray[Any]] | None = None,
    tolerances: Tolerances | None = None,
) -> HomomorphismErrors:
    """Compare products of learned matrices with the whole multiplication table of a group.

    Parameters
    ----------
    transitions : Transitions
        What `extract_transitions` returns.
    group : FiniteGroup
        The group, ``table[p, q]`` meaning p first, then q.
    token_elements : array of int [num_tokens]
        The element of each token. If they are only generators, the other elements get the product
        over their shortest word (`extend_to_group`).
    basis : "active", mapping of (layer, head) to ndarray [D, N], or None
        Measure only on this subspace of state rows: the one that outlives long words and that the
        group moves, or a given one (heads left out of the mapping are measured whole). By default
        on the whole state, where directions that some token forgets count as errors, and unused
        ones dilute error and separation alike by sqrt(D / N).
    tolerances : Tolerances, optional
        What the verdicts rest on. Errors and separations do not depend on them, except through
        ``basis="active"``.

    Returns
    -------
    HomomorphismErrors
        One entry per layer and head.

    Raises
    ------
    InputError
        The tokens do not generate the group, or a basis has the wrong shape.

    Notes
    -----
    O(order^2 N^3) per head, in blocks of bounded memory. Whether n_h Householder factors can hold
    a group's representation: arXiv 2502.10297; how long a noisy one lasts: arXiv 2605.07755.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> from statetrack.analysis.transitions import LayerTransitions
    >>> signs = LayerTransitions(
    ...     0, np.array([[[[1.0]]], [[[-1.0]]]]), np.zeros((2, 1)), np.ones(2, dtype=np.int64))
    >>> errors = homomorphism_error(Transitions("parity", ("0", "1"), (signs,)), cyclic(2), [0, 1])
    >>> errors.to_frame()[["error", "separation", "verdict"]].values.tolist()
    [[0.0, 2.0, 'faithful']]
    """
    limits = tolerances or Tolerances()
    heads = []
    for layer, head, matrix_PNN in transitions.heads():
        element_GNN = extend_to_group(matrix_PNN, group, token_elements)
        active_DN = _active_basis(matrix_PNN, element_GNN, limits)
        if basis is None:
            basis_DN = None
        elif isinstance(basis, str):
            if basis != "active":
                raise InputError(f"basis must be 'active', a mapping or None, not {basis!r}")
            basis_DN = active_DN
        elif (layer, head) in basis:
            basis_DN = orthonormal_rows(basis[layer, head], element_GNN.shape[-1])
        else:
            basis_DN = None
        heads.append(_measure(layer, head, element_GNN, basis_DN, len(active_DN), group, limits))
    return HomomorphismErrors(group.name, tuple(heads))


def _active_basis(
    matrix_PNN: NDArray[Any], element_GNN: NDArray[Any], limits: Tolerances
) -> NDArray[Any]:
    persistent_DN = persistent_subspace(matrix_PNN, tolerance=limits.persistent)
    if len(persistent_DN) == 0:
        return persistent_DN
    restricted_GDD, _ = restrict(element_GNN, persistent_DN)
    return active_subspace(restricted_GDD, tolerance=limits.active).basis @ persistent_DN


def _measure(
    layer: int,
    head: int,
    element_GNN: NDArray[Any],
    basis_DN: NDArray[Any] | None,
    active_dimension: int,
    group: "FiniteGroup",
    limits: Tolerances,
) -> HeadHomomorphism:
    leakage = 0.0
    matrix_GDD = element_GNN
    if basis_DN is not None:
        matrix_GDD, leakage_G = restrict(element_GNN, basis_DN)
        leakage = _root_mean_square(leakage_G)
    dimension = matrix_GDD.shape[-1]
    scale = math.sqrt(max(1, dimension))
    error_GG = table_errors(matrix_GDD, np.asarray(group.table)) / scale
    separation = mean_separation(matrix_GDD) / scale
    identity_gap = np.linalg.norm(matrix_GDD[0] - np.eye(dimension)) / scale
    error = _root_mean_square(error_GG)
    kernel = consistent_kernel(matrix_GDD, group, limits.kernel, limits.trivial)
    quotient = "" if kernel is None else quotient_name(group, kernel)
    if separation <= limits.trivial:
        verdict = "trivial"
    elif error > limits.ratio * separation:
        verdict = "not a representation"
    elif kernel is None:
        verdict = "unclear kernel"
    else:
        verdict = "faithful" if len(kernel) == 1 else f"sees {quotient}"
    return HeadHomomorphism(
        layer=layer,
        head=head,
        size=element_GNN.shape[-1],
        active_dimension=active_dimension,
        dimension=dimension,
        error=error,
        max_error=float(error_GG.max()),
        separation=separation,
        identity_error=float(identity_gap),
        leakage=leakage,
        kernel=kernel,
        quotient=quotient,
        verdict=verdict,
    )


def table_errors(matrix_GDD: NDArray[Any], table: NDArray[Any]) -> NDArray[np.float64]:
    """``|M_p M_q - M_pq|_F`` for every pair of elements, [order, order]."""
    order, dimension, _ = matrix_GDD.shape
    rows = max(1, _ENTRIES_PER_BLOCK // max(1, order * dimension * dimension))
    error_GG = np.empty((order, order))
    for start in range(0, order, rows):
        block = slice(start, start + rows)
        gap = matrix_GDD[block, None] @ matrix_GDD[None] - matrix_GDD[table[block]]
        error_GG[block] = np.linalg.norm(gap, axis=(-2, -1))
    return error_GG


def mean_separation(matrix_GDD: NDArray[Any]) -> float:
    """Root mean square of ``|M_p - M_q|_F`` over all pairs of different elements."""
    order = len(matrix_GDD)
    if order < 2:
        return 0.0
    centred = matrix_GDD - matrix_GDD.mean(axis=0)
    return math.sqrt(2.0 / (order - 1) * float(np.square(np.abs(centred)).sum()))


def _root_mean_square(values: NDArray[Any]) -> float:
    return math.sqrt(float(np.square(values).mean()))
