"""What the matrix of every token does on the directions that carry memory.

Shape suffixes: P tokens, N state size, D dimension.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from statetrack.analysis.group_matrices import checked_elements
from statetrack.analysis.subspace import persistent_subspace, restrict
from statetrack.analysis.transitions import Transitions

if TYPE_CHECKING:
    from automata.groups import FiniteGroup

_RANK = 0.1


def letter_table(
    transitions: Transitions,
    group: "FiniteGroup | None" = None,
    token_elements: ArrayLike | None = None,
    *,
    tolerance: float = 0.1,
    max_order: int = 64,
) -> pd.DataFrame:
    """Describe every token's matrix on the persistent subspace of its head.

    Parameters
    ----------
    transitions : Transitions
    group : FiniteGroup, optional
        With `token_elements`, adds the order that the token's element has.
    token_elements : array of int [num_tokens], optional
    tolerance : float
        Distance ``|M^m - I|_F / sqrt(D)`` below which m is the order of a matrix.
    max_order : int
        Largest order looked for.

    Returns
    -------
    DataFrame
        One row per layer, head and token: layer, head, token, token_name, dimension (of the
        subspace), rank (of I - M: singular values above 0.1; by Scherk the least number of
        reflections, for an orthogonal matrix), determinant (its modulus, with the sign where it is
        real), orthogonality (Frobenius distance to the nearest orthogonal or unitary matrix over
        sqrt(D)), order (numeric, 0 if none), order_error (``|M^m - I|`` at that order, or the
        smallest), root_error (largest distance of an eigenvalue to a root of unity of that order),
        half_life (tokens after which the slowest fading direction has halved, if only this token
        is read; infinite if it does not fade), and element_order with a group.

    Raises
    ------
    InputError
        Elements that the group does not have.

    Examples
    --------
    >>> from statetrack.analysis.transitions import LayerTransitions
    >>> turn = np.array([[[[0.0, 1.0], [-1.0, 0.0]]]])
    >>> layer = LayerTransitions(0, turn, np.zeros((1, 1)), np.ones(1, dtype=np.int64))
    >>> frame = letter_table(Transitions("turn", ("r",), (layer,)))
    >>> frame[["rank", "order"]].values.tolist(), frame["determinant"].tolist()
    ([[2, 4]], [1.0])
    """
    orders = None
    if group is not None and token_elements is not None:
        elements = checked_elements(group, token_elements)
        orders = [group.element_order(int(element)) for element in elements]
    rows = []
    for layer, head, matrix_PNN in transitions.heads():
        matrix_PDD, _ = restrict(matrix_PNN, persistent_subspace(matrix_PNN))
        for token, matrix_DD in enumerate(matrix_PDD):
            row: dict[str, Any] = {
                "layer": layer,
                "head": head,
                "token": token,
                "token_name": transitions.token_names[token],
                **_describe(matrix_DD, tolerance, max_order),
            }
            if orders is not None:
                row["element_order"] = orders[token]
            rows.append(row)
    return pd.DataFrame(rows)


def numeric_order(matrix: NDArray[Any], tolerance: float, max_order: int) -> tuple[int, float]:
    """Find the least power of a matrix that is the identity.

    Parameters
    ----------
    matrix : ndarray [D, D]
    tolerance : float
        For ``|M^m - I|_F / sqrt(D)``.
    max_order : int

    Returns
    -------
    order : int
        0 if no power up to `max_order` comes that near.
    error : float
        The distance there, or the smallest of all.

    Examples
    --------
    >>> numeric_order(np.array([[-1.0]]), 0.1, 8)
    (2, 0.0)
    """
    size = len(matrix)
    identity, power, nearest = np.eye(size), np.eye(size), math.inf
    for order in range(1, max_order + 1):
        power = power @ matrix
        error = float(np.linalg.norm(power - identity)) / math.sqrt(max(1, size))
        if error < tolerance:
            return order, error
        nearest = min(nearest, error)
    return 0, nearest


def _describe(matrix_DD: NDArray[Any], tolerance: float, max_order: int) -> dict[str, Any]:
    size = len(matrix_DD)
    if size == 0:
        return {
            **{"dimension": 0, "rank": 0, "determinant": 1.0, "orthogonality": 0.0, "order": 1},
            **{"order_error": 0.0, "root_error": 0.0, "half_life": math.inf},
        }
    values = np.linalg.eigvals(matrix_DD)
    singular = np.linalg.svd(matrix_DD, compute_uv=False)
    moved = np.linalg.svd(np.eye(size) - matrix_DD, compute_uv=False)
    order, error = numeric_order(matrix_DD, tolerance, max_order)
    determinant = np.linalg.det(matrix_DD)
    smallest = float(np.abs(values).min())
    root_error = math.nan
    if order:
        turns = np.round(np.angle(values) * order / (2 * np.pi)) / order
        root_error = float(np.abs(values - np.exp(2j * np.pi * turns)).max())
    return {
        "dimension": size,
        "rank": int((moved > _RANK).sum()),
        "determinant": float(
            abs(determinant) if np.iscomplexobj(matrix_DD) else np.real(determinant)
        ),
        "orthogonality": float(np.sqrt(np.square(singular - 1).mean())),
        "order": order,
        "order_error": error,
        "root_error": root_error,
        "half_life": math.log(0.5) / math.log(smallest)
        if 0 < smallest < 1
        else (0.0 if smallest == 0 else math.inf),
    }
