"""What `match_representation` finds, one entry a head, as tables."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automata.finite_group import FiniteGroup
from automata.group_names import group_name
from automata.homomorphisms import quotient
from statetrack.analysis.covers import Cover
from statetrack.analysis.homomorphism import table_errors
from statetrack.analysis.naming import element_name

NO_REPRESENTATION = "not a representation"
"""Verdict on matrices whose products are not those of the group."""


@dataclass(frozen=True)
class IrrepShare:
    """What one irreducible real representation has in a head.

    Attributes
    ----------
    label : str
        "trivial", or dimension and type, with a letter where several share both.
    dimension : int
    type : {"R", "C", "H"}
        Its commutant: real numbers, complex numbers or quaternions.
    multiplicity : int
        How often it occurs.
    measured : float
        The same from the characters of the learned matrices, before rounding.
    energy : float
        Share of the squared norm of the start rows that lies in it.
    separation : float
        Smallest distance between the states of two elements as this part alone shows them, over
        the norm of the start rows; 0 if some elements look alike.
    """

    label: str
    dimension: int
    type: str
    multiplicity: int
    measured: float
    energy: float
    separation: float


@dataclass(frozen=True, eq=False)
class RepresentationMatch:
    """The representation that one head's matrices are near.

    Errors are Frobenius norms over sqrt(dimension), in the basis where the nearest representation
    is orthogonal.

    Attributes
    ----------
    group : FiniteGroup
        The group tracked.
    dimension : int
        Dimension that was read, twice that of a complex state.
    cover : Cover or None
        The group that the matrices generate, where that is a proper cover of `group`; all that
        follows is then about the cover's elements and representations, but `kernel` and
        `quotient`.
    error, max_error : float
        Root mean square and maximum of ``|M_p M_q - M_pq|`` over all pairs.
    separation : float
        Root mean square of ``|M_p - M_q|`` over ``p != q``.
    condition : float
        Condition number of the basis that was given.
    distance : float
        Root mean square distance to the nearest representation; NaN if none is near.
    irreps : tuple of IrrepShare
        The trivial one first.
    kernel : tuple of int
        Elements of `group` that the matrices cannot tell from the identity.
    quotient : str
        `group` modulo the kernel.
    name : str
        The construction it is, without trivial parts (`name_representation`).
    automorphism : tuple of int or None
        Images of the generators under the automorphism that relates the two, if one is needed.
    score : float
        `match_score` with the direct sum of irreducible representations: 1 for equality.
    verdict : str
        "trivial", "not a representation", "faithful", or "sees <quotient>".
    matrices : ndarray, float64 [order, dimension, dimension]
        The learned matrix of every element of the group or cover, in the orthonormal basis.
    nearest : ndarray or None
        The nearest representation, like `matrices`.
    layer, head, size : int
        Where the matrices come from, and their side.
    leakage : float
        Root mean square of what leaves the subspace read.
    subspace : int
        Dimension of the subspace looked at. Where `dimension` is less (and the state not complex),
        the matrices are a representation on that part alone.
    """

    group: FiniteGroup
    dimension: int
    cover: Cover | None
    error: float
    max_error: float
    separation: float
    condition: float
    distance: float
    irreps: tuple[IrrepShare, ...]
    kernel: tuple[int, ...]
    quotient: str
    name: str
    automorphism: tuple[int, ...] | None
    score: float
    verdict: str
    matrices: NDArray[np.float64]
    nearest: NDArray[np.float64] | None
    layer: int = 0
    head: int = 0
    size: int = 0
    leakage: float = 0.0
    subspace: int = 0

    @property
    def sees(self) -> bool:
        """Whether it is a representation that tells elements apart."""
        return self.verdict not in ("trivial", NO_REPRESENTATION)

    @property
    def multiplicities(self) -> tuple[int, ...]:
        """How often each irreducible representation occurs, the trivial one first."""
        return tuple(share.multiplicity for share in self.irreps)

    @property
    def residual(self) -> float:
        """Largest distance of a measured multiplicity from the whole number it was taken for."""
        return max(abs(share.measured - share.multiplicity) for share in self.irreps)

    @property
    def formula(self) -> str:
        """The sum of irreducible representations, such as "2 x trivial + 3R"."""
        parts = [
            share.label if share.multiplicity == 1 else f"{share.multiplicity} x {share.label}"
            for share in self.irreps
            if share.multiplicity
        ]
        return " + ".join(parts) or "0"

    def placed(self, layer: int, head: int, size: int, leakage: float) -> "RepresentationMatch":
        """The same with the place that the matrices come from."""
        return replace(self, layer=layer, head=head, size=size, leakage=leakage)


@dataclass(frozen=True, eq=False)
class RepresentationMatches:
    """The representations of all heads of a model.

    Attributes
    ----------
    group : FiniteGroup
        The group tracked.
    heads : tuple of RepresentationMatch
        In the order of layers, then heads.
    """

    group: FiniteGroup
    heads: tuple[RepresentationMatch, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer and head.

        Returns
        -------
        DataFrame
            Columns layer, head, size, subspace, dimension, representation (the sum of irreducible
            ones), name, verdict, score, error, max_error, separation, distance, residual,
            condition, leakage, kernel_order, quotient, cover, cover_degree (1 for none),
            automorphism.
        """
        rows = [
            {
                "layer": head.layer,
                "head": head.head,
                "size": head.size,
                "subspace": head.subspace,
                "dimension": head.dimension,
                "representation": head.formula,
                "name": head.name,
                "verdict": head.verdict,
                "score": head.score,
                "error": head.error,
                "max_error": head.max_error,
                "separation": head.separation,
                "distance": head.distance,
                "residual": head.residual,
                "condition": head.condition,
                "leakage": head.leakage,
                "kernel_order": len(head.kernel),
                "quotient": head.quotient,
                "cover": "" if head.cover is None else head.cover.name,
                "cover_degree": 1 if head.cover is None else head.cover.degree,
                "automorphism": str(head.automorphism or ""),
            }
            for head in self.heads
        ]
        return pd.DataFrame(rows)

    def irreps_frame(self) -> pd.DataFrame:
        """Return one row per head and irreducible representation.

        Returns
        -------
        DataFrame
            Columns layer, head, irrep, dimension, type, multiplicity, measured, energy,
            separation, and the verdict on the head.
        """
        rows: list[dict[str, Any]] = []
        for head in self.heads:
            for share in head.irreps:
                rows.append(
                    {
                        "layer": head.layer,
                        "head": head.head,
                        "irrep": share.label,
                        "dimension": share.dimension,
                        "type": share.type,
                        "multiplicity": share.multiplicity,
                        "measured": share.measured,
                        "energy": share.energy,
                        "separation": share.separation,
                        "verdict": head.verdict,
                    }
                )
        return pd.DataFrame(rows)

    def layers_frame(self) -> pd.DataFrame:
        """Return what the heads of every layer see together.

        Returns
        -------
        DataFrame
            Columns layer, heads (those that are representations and not trivial), kernel_order,
            quotient (the group modulo the intersection of their kernels).
        """
        rows = []
        for layer in dict.fromkeys(head.layer for head in self.heads):
            own = [head for head in self.heads if head.layer == layer]
            seeing = [head for head in own if head.sees]
            kernel = set(range(self.group.order)).intersection(*(head.kernel for head in seeing))
            rows.append(
                {
                    "layer": layer,
                    "heads": len(seeing),
                    "kernel_order": len(kernel),
                    "quotient": quotient_name(self.group, tuple(sorted(kernel))),
                }
            )
        return pd.DataFrame(rows)


def product_errors(match: RepresentationMatch) -> pd.DataFrame:
    """Error of the product of every two elements of a head, for a heat map.

    Parameters
    ----------
    match : RepresentationMatch

    Returns
    -------
    DataFrame
        Columns first, second (names of elements, of the cover where there is one), error
        (``|M_p M_q - M_pq|_F / sqrt(dimension)``).

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> from statetrack.analysis.representations import match_representation
    >>> signs = np.array([[[1.0]], [[-0.9]]])
    >>> product_errors(match_representation(signs, cyclic(2)).heads[0])["error"].round(2).tolist()
    [0.0, 0.0, 0.0, 0.19]
    """
    acting = match.group if match.cover is None else match.cover.group
    names = [element_name(element) for element in acting.elements]
    error_GG = table_errors(match.matrices, acting.table) / np.sqrt(max(1, match.dimension))
    first, second = np.indices(error_GG.shape)
    labels = np.array(names)
    return pd.DataFrame(
        {
            "first": labels[first.ravel()],
            "second": labels[second.ravel()],
            "error": error_GG.ravel(),
        }
    )


def quotient_name(group: FiniteGroup, kernel: tuple[int, ...]) -> str:
    """Name the quotient by a normal subgroup, by its order where it has no common name.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> quotient_name(cyclic(6), (0, 3)), quotient_name(cyclic(6), tuple(range(6)))
    ('Z3', '1')
    """
    if len(kernel) in (1, group.order):
        return group.name if len(kernel) == 1 else "1"
    found = quotient(group, kernel).group
    return group_name(found) or f"order {found.order}"
