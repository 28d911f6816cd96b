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
    Breadth-first over products with tokens that generate the group, and more where these do not
    reach the matrices of all: O(max_degree^2 * order * D^3) for each of them.

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
    letters = _generating(group, elements)
    while True:
        sheets = _Sheets(matrices, group, elements, tolerance)
        edges = sheets.closed(letters, max_degree * group.order)
        if edges is None:
            return None
        places = [sheets.find(int(e), m) for e, m in zip(elements, matrices, strict=True)]
        unreached = [token for token, place in enumerate(places) if place is None]
        if not unreached:
            break
        letters = [*letters, unreached[0]]
    cover = _as_group(np.array(edges, dtype=np.int64), letters, sheets, group)
    if cover is None:
        return None
    return Cover(
        base=group,
        group=cover,
        projection=np.array(sheets.below, dtype=np.int64),
        token_elements=np.array(places, dtype=np.int64),
        minus_one=sheets.find(0, -np.eye(matrices.shape[-1])),
    )


class _Sheets:
    """Pairs of an element and a matrix that have been met, numbered from the identity."""

    def __init__(
        self,
        matrices: NDArray[np.float64],
        group: FiniteGroup,
        elements: NDArray[np.int64],
        tolerance: float,
    ) -> None:
        self.matrices, self.group, self.elements = matrices, group, elements
        size = matrices.shape[-1]
        self.limit = tolerance * np.sqrt(max(1, size))
        self.below = [0]
        self.found = [np.eye(size)]
        self.parents = [(0, 0)]
        self.above: dict[int, list[int]] = {0: [0]}

    def find(self, element: int, matrix: NDArray[np.float64]) -> int | None:
        """Number of a pair, or None if it has not been met."""
        sheets = self.above.get(element, [])
        gaps = [float(np.linalg.norm(matrix - self.found[sheet])) for sheet in sheets]
        return sheets[int(np.argmin(gaps))] if gaps and min(gaps) < self.limit else None

    def closed(self, letters: list[int], most: int) -> list[list[int]] | None:
        """Where the letters lead from every pair, breadth first; None beyond `most` pairs."""
        edges: list[list[int]] = []
        while len(edges) < len(self.found):
            node, row = len(edges), []
            for place, token in enumerate(letters):
                product = self.found[node] @ self.matrices[token]
                image = int(self.group.table[self.below[node], self.elements[token]])
                target = self.find(image, product)
                if target is None:
                    if len(self.found) >= most:
                        return None
                    target = len(self.found)
                    self.above.setdefault(image, []).append(target)
                    self.below.append(image)
                    self.found.append(product)
                    self.parents.append((node, place))
                row.append(target)
            edges.append(row)
        return edges


def _generating(group: FiniteGroup, elements: NDArray[np.int64]) -> list[int]:
    """Tokens whose elements generate the group, each outside what the ones before do."""
    letters: list[int] = []
    covered = {0}
    for token, element in enumerate(elements.tolist()):
        if element not in covered:
            letters.append(token)
            covered = set(group.subgroup(elements[letters].tolist()))
    return letters


def _as_group(
    edges: NDArray[np.int64], letters: list[int], sheets: _Sheets, group: FiniteGroup
) -> FiniteGroup | None:
    """Read a Cayley graph as a group; None if it is none, as with noise beyond the tolerance."""
    order = len(edges)
    table = np.empty((order, order), dtype=np.int64)
    table[:, 0] = np.arange(order)
    for node in range(1, order):
        earlier, place = sheets.parents[node]
        table[:, node] = edges[table[:, earlier], place]
    pairs = [
        (group.elements[element], sheets.above[element].index(node))
        for node, element in enumerate(sheets.below)
    ]
    generators = list(dict.fromkeys(node for node in edges[0].tolist() if node))
    try:
        return FiniteGroup(table, pairs, generators, f"cover of {group.name}")
    except InputError:
        return None
