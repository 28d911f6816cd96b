"""The group that learned matrices really generate, when it is larger than the group tracked.

Decoders may take several states for one element, so that a model can track a group through a cover
of it: rotations up to sign for instance, whose products come back as minus the identity. Shape
suffixes: P tokens, D dimension.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.group_names import group_name
from statetrack.analysis.group_matrices import checked_elements

if TYPE_CHECKING:
    from automata.validation import IntArray

_MOST_LIFTS = 4096


@dataclass(frozen=True, eq=False)
class Cover:
    """A group with a homomorphism onto the group tracked.

    Attributes
    ----------
    base : FiniteGroup
        The group tracked.
    group : FiniteGroup
        The group that the matrices generate; its elements are pairs of an element of `base` and
        the number of a sheet above it.
    projection : ndarray of int64, [group.order]
        The element of `base` below each.
    token_elements : ndarray of int64, [P]
        The element of `group` that each token stands for.
    minus_one : int or None
        The element above the identity that acts as minus the identity matrix.
    """

    base: FiniteGroup
    group: FiniteGroup
    projection: "IntArray"
    token_elements: "IntArray"
    minus_one: int | None

    @property
    def degree(self) -> int:
        """How many elements lie above each."""
        return self.group.order // self.base.order

    @property
    def name(self) -> str:
        """Name of the covering group where it is a common one, otherwise its order."""
        return group_name(self.group) or f"order {self.group.order}"

    @property
    def prolonged(self) -> tuple[int, ...]:
        """Elements of `base` whose order grows in the cover, whichever lift is taken.

        In a double cover by minus the identity these are the elements whose power returns as -1.
        """
        shortest = np.full(self.base.order, np.iinfo(np.int64).max)
        for element, below in enumerate(self.projection.tolist()):
            shortest[below] = min(shortest[below], self.group.element_order(element))
        orders = [self.base.element_order(element) for element in range(self.base.order)]
        return tuple(np.flatnonzero(shortest > orders).tolist())

    @property
    def splits(self) -> bool | None:
        """Whether the cover holds a copy of `base`, so that signs alone would make it honest.

        None if there are more than 4,096 ways to lift the generators.
        """
        above = [
            np.flatnonzero(self.projection == generator).tolist()
            for generator in self.base.generators
        ]
        if np.prod([len(lifts) for lifts in above]) > _MOST_LIFTS:
            return None
        return any(
            len(self.group.subgroup(lifts)) == self.base.order
            for lifts in itertools.product(*above)
        )


def find_cover(
    matrices: NDArray[np.float64],
    group: FiniteGroup,
    token_elements: ArrayLike,
    *,
    tolerance: float = 0.2,
    max_degree: int = 8,
) -> Cover | None:
    """Find the finite group that the pairs of a token's element and its matrix generate.

    Parameters
    ----------
    matrices : ndarray, float64 [P, D, D]
        Almost orthogonal matrix of every token, in row form.
    group : FiniteGroup
        The group tracked.
    token_elements : array of int [P]
        The element of each token.
    tolerance : float
        Frobenius distance over sqrt(D) below which two products are one. Errors of products grow
        with their length, which is at most the diameter of the Cayley graph.
    max_degree : int
        Most products for one element, on average, before giving up.

    Returns
    -------
    Cover or None
        Of degree 1 when the matrices represent `group` itself; None if the products do not close.

    Notes
    -----
    Breadth-first over products: O(max_degree^2 * order * P * D^3) at most.

    Examples
    --------
    A quarter turn tracks parity, modulo minus one:

    >>> from automata.groups import cyclic
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> cover = find_cover(np.stack([np.eye(2), turn]), cyclic(2), [0, 1])
    >>> cover.name, cover.degree, cover.prolonged, cover.splits
    ('Z4', 2, (1,), False)
    """
    elements = checked_elements(group, token_elements)
    size = matrices.shape[-1]
    scale = np.sqrt(max(1, size))
    below = [0]
    found = [np.eye(size)]
    parents = [(0, 0)]
    above: dict[int, list[int]] = {0: [0]}
    edges: list[list[int]] = []
    while len(edges) < len(found):
        node = len(edges)
        row = []
        for token, element in enumerate(elements.tolist()):
            product = found[node] @ matrices[token]
            image = int(group.table[below[node], element])
            sheets = above.setdefault(image, [])
            gaps = [float(np.linalg.norm(product - found[other])) / scale for other in sheets]
            if gaps and min(gaps) < tolerance:
                row.append(sheets[int(np.argmin(gaps))])
                continue
            if len(found) >= max_degree * group.order:
                return None
            row.append(len(found))
            sheets.append(len(found))
            below.append(image)
            found.append(product)
            parents.append((node, token))
        edges.append(row)
    cover = _as_group(np.array(edges, dtype=np.int64), parents, above, group, below)
    if cover is None:
        return None
    opposite = [
        node for node in above[0] if np.linalg.norm(found[node] + np.eye(size)) / scale < tolerance
    ]
    return Cover(
        base=group,
        group=cover,
        projection=np.array(below, dtype=np.int64),
        token_elements=np.array(edges[0], dtype=np.int64),
        minus_one=opposite[0] if opposite else None,
    )


def _as_group(
    edges: NDArray[np.int64],
    parents: list[tuple[int, int]],
    above: dict[int, list[int]],
    group: FiniteGroup,
    below: list[int],
) -> FiniteGroup | None:
    """Read a Cayley graph as a group; None if it is none, as with noise beyond the tolerance."""
    order = len(edges)
    table = np.empty((order, order), dtype=np.int64)
    table[:, 0] = np.arange(order)
    for node in range(1, order):
        earlier, token = parents[node]
        table[:, node] = edges[table[:, earlier], token]
    pairs = [
        (group.elements[element], above[element].index(node)) for node, element in enumerate(below)
    ]
    generators = list(dict.fromkeys(node for node in edges[0].tolist() if node))
    try:
        return FiniteGroup(table, pairs, generators, f"cover of {group.name}")
    except InputError:
        return None
