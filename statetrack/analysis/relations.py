"""How well learned matrices satisfy the relations of the group, and by how much per letter.

Shape suffixes: P tokens, D dimension.
"""

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError
from statetrack.analysis.group_matrices import checked_elements

if TYPE_CHECKING:
    from automata.groups import FiniteGroup


def relation_errors(
    matrices: NDArray[np.float64],
    group: "FiniteGroup",
    token_elements: ArrayLike,
    *,
    tokens: ArrayLike | None = None,
) -> pd.DataFrame:
    """Measure what should be the identity: powers of letters, and of products of two.

    Parameters
    ----------
    matrices : ndarray, float64 [num_tokens, D, D]
        In row form, on the directions that carry memory.
    group : FiniteGroup
    token_elements : array of int [num_tokens]
        The element of each token.
    tokens : array of int, optional
        Tokens whose relations are wanted; by default those of the group's generators where all are
        tokens, otherwise all.

    Returns
    -------
    DataFrame
        One row per relation: relation (tokens and powers, as in "(0 3)^4"), length (letters),
        error (``|M_w - I|_F / sqrt(D)``), error_per_letter, sign_error (the same to minus the
        identity: small where a double cover is followed).

    Raises
    ------
    InputError
        Tokens that do not exist.

    Notes
    -----
    For two generators a, b of orders p, q with product of order r these are the relations of the
    triangle group, which present D_n, A4, S4 and A5; of larger groups they are some.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> relation_errors(np.array([[[-1.0]]]), cyclic(2), [1])[["relation", "error"]].values.tolist()
    [['(0)^2', 0.0]]
    """
    elements = checked_elements(group, token_elements)
    if len(matrices) != len(elements):
        raise InputError(f"there are {len(matrices)} matrices and {len(elements)} elements")
    chosen = _tokens(group, elements) if tokens is None else np.asarray(tokens, dtype=np.int64)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(elements):
        raise InputError(f"tokens = {chosen.tolist()}: give numbers from 0 to {len(elements) - 1}")
    words: list[tuple[int, ...]] = [(token,) for token in chosen.tolist()]
    words += list(itertools.combinations(chosen.tolist(), 2))
    size = matrices.shape[-1]
    identity, scale = np.eye(size), math.sqrt(max(1, size))
    rows = []
    for word in words:
        element, product = 0, identity
        for token in word:
            element = int(group.table[element, elements[token]])
            product = product @ matrices[token]
        order = group.element_order(element)
        power = np.linalg.matrix_power(product, order)
        error = float(np.linalg.norm(power - identity)) / scale
        rows.append(
            {
                "relation": f"({' '.join(map(str, word))})^{order}",
                "length": order * len(word),
                "error": error,
                "error_per_letter": error / (order * len(word)),
                "sign_error": float(np.linalg.norm(power + identity)) / scale,
            }
        )
    return pd.DataFrame(rows)


def _tokens(group: "FiniteGroup", elements: NDArray[np.int64]) -> NDArray[np.int64]:
    where = {int(element): token for token, element in reversed(list(enumerate(elements)))}
    if all(generator in where for generator in group.generators):
        return np.array([where[generator] for generator in group.generators], dtype=np.int64)
    return np.arange(len(elements))
