"""Eigenvalues, determinants and orthogonality of learned transitions.

Shape suffixes: P tokens, H heads, N state size.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automata.errors import InputError
from statetrack.analysis.transitions import LayerTransitions, Transitions


def eigenvalues(transitions: Transitions) -> pd.DataFrame:
    """Eigenvalues of the transition of every token.

    Parameters
    ----------
    transitions : Transitions
        What `extract_transitions` returns.

    Returns
    -------
    DataFrame
        One row per eigenvalue: layer, head, token, token_name, index (from the largest modulus
        down, then by angle), real, imag, modulus, angle (radians in (-pi, pi]).

    Notes
    -----
    Costs O(num_tokens * heads * N^3) for a layer. A symmetric matrix is treated as such, so that
    its eigenvalues are exactly real (one Householder factor with any range is symmetric). Which
    eigenvalues a model can reach decides what it can track: arXiv 2411.12537.

    Examples
    --------
    >>> quarter_turn = np.array([[[[0.0, 1.0], [-1.0, 0.0]]]])
    >>> layer = LayerTransitions(0, quarter_turn, np.zeros((1, 1)), np.ones(1, dtype=np.int64))
    >>> frame = eigenvalues(Transitions("turn", ("r",), (layer,)))
    >>> frame["imag"].tolist()
    [-1.0, 1.0]
    """
    parts = []
    for entry in transitions.layers:
        value_PHN = _sorted_eigenvalues(entry.matrices)
        frame = _entry_frame(transitions, entry, value_PHN.shape)
        flat = value_PHN.ravel()
        parts.append(
            frame.assign(real=flat.real, imag=flat.imag, modulus=np.abs(flat), angle=np.angle(flat))
        )
    return _in_order(parts, "index")


def determinants(transitions: Transitions) -> pd.DataFrame:
    """Determinant of the transition of every token.

    Parameters
    ----------
    transitions : Transitions
        What `extract_transitions` returns.

    Returns
    -------
    DataFrame
        layer, head, token, token_name, real, imag, modulus. A product of modulus below 1 forgets,
        a negative real determinant is a reflection.
    """
    parts = []
    for entry in transitions.layers:
        value_PH = np.linalg.det(entry.matrices)
        flat = value_PH.ravel()
        parts.append(
            _entry_frame(transitions, entry, value_PH.shape).assign(
                real=flat.real, imag=np.imag(flat), modulus=np.abs(flat)
            )
        )
    return _in_order(parts)


def orthogonality(transitions: Transitions) -> pd.DataFrame:
    """How far the transition of every token is from orthogonal (unitary when complex).

    Parameters
    ----------
    transitions : Transitions
        What `extract_transitions` returns.

    Returns
    -------
    DataFrame
        layer, head, token, token_name, then, from the singular values s of the matrix:

        - distance: ``sqrt(mean (s - 1)^2)``, the Frobenius distance to the nearest orthogonal
          matrix over sqrt(N);
        - defect: ``|M M^H - I|_F / sqrt(N)``;
        - largest, smallest: the extreme singular values.
    """
    parts = []
    for entry in transitions.layers:
        singular_PHN = np.linalg.svd(entry.matrices, compute_uv=False)
        parts.append(
            _entry_frame(transitions, entry, singular_PHN.shape[:2]).assign(
                distance=np.sqrt(np.square(singular_PHN - 1).mean(-1)).ravel(),
                defect=np.sqrt(np.square(np.square(singular_PHN) - 1).mean(-1)).ravel(),
                largest=singular_PHN[..., 0].ravel(),
                smallest=singular_PHN[..., -1].ravel(),
            )
        )
    return _in_order(parts)


def roots_of_unity(orders: Iterable[int]) -> NDArray[np.complex128]:
    """Where the eigenvalues of a representation of a finite group must lie.

    Parameters
    ----------
    orders : iterable of int
        Orders of group elements: an element of order m has m-th roots of unity as eigenvalues.

    Returns
    -------
    ndarray, complex128
        The distinct roots of all orders, by angle from 0 up.

    Raises
    ------
    InputError
        An order below 1.

    Examples
    --------
    >>> roots_of_unity([2, 1]).real.tolist()
    [1.0, -1.0]
    """
    numbers = sorted(set(orders))
    if numbers and numbers[0] < 1:
        raise InputError(f"an element cannot have order {numbers[0]}")
    turns = sorted({Fraction(k, order) for order in numbers for k in range(order)})
    return np.exp(2j * np.pi * np.array([float(turn) for turn in turns]))


def _sorted_eigenvalues(matrix_PHNN: NDArray[Any]) -> NDArray[np.complex128]:
    adjoint = np.conj(np.swapaxes(matrix_PHNN, -1, -2))
    scale = np.abs(matrix_PHNN).max(axis=(-2, -1), initial=0.0)
    gap = np.abs(matrix_PHNN - adjoint).max(axis=(-2, -1), initial=0.0)
    value_PHN = np.linalg.eigvals(matrix_PHNN).astype(np.complex128)
    symmetric = gap <= 1e-6 * scale
    value_PHN[symmetric] = np.linalg.eigvalsh(matrix_PHNN[symmetric])
    order = np.lexsort((np.angle(value_PHN), -np.round(np.abs(value_PHN), 9)), axis=-1)
    return np.take_along_axis(value_PHN, order, axis=-1)


def _entry_frame(
    transitions: Transitions, entry: LayerTransitions, shape: tuple[int, ...]
) -> pd.DataFrame:
    token, head, *rest = (axis.ravel() for axis in np.indices(shape))
    columns: dict[str, Any] = {
        "layer": entry.layer,
        "head": head,
        "token": token,
        "token_name": np.array(transitions.token_names)[token],
    }
    if rest:
        columns["index"] = rest[0]
    return pd.DataFrame(columns)


def _in_order(parts: list[pd.DataFrame], *extra: str) -> pd.DataFrame:
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values(["layer", "head", "token", *extra], ignore_index=True)
