"""Errors of learned rotations: which representation they are near, what adds up, how they scale.

The matrices of a trained model are ``R(g) exp(X_g)`` with the nearest representation R. Of the
errors of a random word only the mean over letters adds up, and of it only the part that commutes
with R. With X_g multiplied by a factor, and the model's own decoder, the horizon is a function of
the size of the errors alone: their directions and the decoder stay as they were learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.linalg import expm, logm
from torch import nn

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.validation import FloatArray, IntArray, read_only
from statetrack.analysis.affine import AffineRecurrence, read_affine, require_plain, with_matrices
from statetrack.analysis.horizon_prediction import crossing, share_right
from statetrack.analysis.letter_products import horizon_lengths, word_states
from statetrack.analysis.type_law import drift_directions
from statetrack.analysis.unitarising import nearest_representation

if TYPE_CHECKING:
    from automata.tasks import Task

_ROTATION = 1e-4
"""Largest entry of ``M M^T - I`` of a rotation that was computed in float32."""


@dataclass(frozen=True, eq=False)
class LearnedErrors:
    """Rotations as a representation times errors, ``M_g = R_g exp(X_g)``.

    Attributes
    ----------
    group : FiniteGroup
    representation : ndarray, float64 [order, N, N]
        The nearest orthogonal representation R, in row form.
    errors : ndarray, float64 [order, N, N]
        Skew matrices X.
    """

    group: FiniteGroup
    representation: FloatArray
    errors: FloatArray

    def __post_init__(self) -> None:
        read_only(self.representation)
        read_only(self.errors)

    @property
    def size(self) -> float:
        """Root mean square over elements of ``|X_g|_F / sqrt(N)``."""
        return _size(self.errors)

    @property
    def drift(self) -> FloatArray:
        """What uniform random letters add up, a letter: the commuting part of mean X, [N, N]."""
        mean = self.errors.mean(axis=0)
        turned: FloatArray = self.representation.swapaxes(1, 2) @ mean @ self.representation
        return turned.mean(axis=0)

    @property
    def drift_size(self) -> float:
        """``|drift|_F / sqrt(N)``: zero if nothing but multiples of I commutes with R."""
        return _size(self.drift)

    @property
    def drift_directions(self) -> int:
        """Dimension of the skew matrices that commute with R."""
        return drift_directions(self.group, self.representation)

    def scaled(self, factor: float) -> FloatArray:
        """Rotations with the errors multiplied by a factor, [order, N, N]."""
        matrices: FloatArray = self.representation @ expm(factor * self.errors)
        return matrices


def learned_errors(matrices: FloatArray, group: FiniteGroup) -> LearnedErrors:
    """Split rotations into the nearest representation and errors.

    Parameters
    ----------
    matrices : ndarray, float64 [order, N, N]
        In row form, one of every element.
    group : FiniteGroup

    Returns
    -------
    LearnedErrors

    Raises
    ------
    InputError
        The matrices are not orthogonal, or no representation is near.

    Notes
    -----
    `nearest_representation` in the basis given; O(order^2 N^3) a step of it.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> angles = np.array([0.0, 0.51, 1.02, 1.53]) * np.pi
    >>> turns = np.array([[[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]] for a in angles])
    >>> found = learned_errors(turns, cyclic(4))
    >>> found.drift_directions, round(found.drift_size / np.pi, 6)
    (1, 0.015)
    """
    identity = np.eye(matrices.shape[-1])
    if not np.abs(matrices @ matrices.swapaxes(-1, -2) - identity).max() < _ROTATION:
        raise InputError("learned_errors: the matrices are no rotations: M M^T is not I")
    nearest = nearest_representation(matrices, group)
    if nearest is None:
        raise InputError("learned_errors: no representation is near these matrices")
    gap = nearest.swapaxes(1, 2) @ matrices
    logs = np.stack([np.real(logm(one)) for one in gap])
    return LearnedErrors(group, nearest, (logs - logs.swapaxes(1, 2)) / 2)


def errors_of_model(model: nn.Module, task: "Task") -> tuple[LearnedErrors, AffineRecurrence]:
    """Errors of a model whose state is one matrix that every letter rotates, and its recurrence.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU, of one layer and one head, such as an MRU with `exponential` input.
    task : Task
        Word problem of a group with every element as one token.

    Raises
    ------
    InputError
        The model or the task is of another kind, or no representation is near.
    """
    group, elements = task.group, task.token_elements
    if group is None or elements is None or sorted(elements) != list(range(group.order)):
        raise InputError("errors_of_model: expected a word problem with all elements as tokens")
    recurrence = read_affine(model, task.num_tokens)
    if recurrence.matrices.shape[1] != 1 or np.abs(recurrence.offsets).max() > 0:
        raise InputError("errors_of_model: expected one head, whose state is only multiplied")
    token_of = np.argsort(np.asarray(elements))
    return learned_errors(recurrence.matrices[token_of, 0], group), recurrence


def scaled_horizons(
    model: nn.Module,
    task: "Task",
    factors: Sequence[float] = (1.0, 0.5, 0.25, 0.125),
    *,
    threshold: float = 0.75,
    num_words: int = 512,
    cap: int = 2**20,
    seed: int = 0,
) -> pd.DataFrame:
    """Horizons of a trained model with its own errors made smaller.

    Parameters
    ----------
    model, task
        As for `errors_of_model`.
    factors : sequence of float
        What the learned X are multiplied by; 1 is the model as it is.
    threshold : float
        Token accuracy that ends a horizon.
    num_words, cap, seed : int
        Words followed, longest length, seed of the words.

    Returns
    -------
    DataFrame
        factor, error (`LearnedErrors.size` times the factor), horizon (missing where it is beyond
        `cap`).

    Raises
    ------
    InputError
        As `errors_of_model`.

    Notes
    -----
    Random words are followed by doubling (`word_states`) and read by the decoder of the model, in
    float64, as `predict_horizon` does.
    """
    errors, recurrence = errors_of_model(model, task)
    plain = require_plain(task, "scaled_horizons")
    elements: IntArray = np.asarray(task.token_elements, dtype=np.int64)
    lengths = horizon_lengths(cap)
    rows = []
    for factor in factors:
        matrices = errors.scaled(factor)[elements][:, None]
        changed = with_matrices(recurrence, matrices, recurrence.offsets)
        found: list[float] = []
        for words in word_states(changed, plain.dfa, lengths, num_words=num_words, seed=seed):
            found.append(share_right(changed, plain, words))
            if found[-1] < threshold:
                break
        seen = np.array(lengths[: len(found)], dtype=np.int64)
        rows.append((factor, factor * errors.size, crossing(seen, np.array(found), threshold)))
    return pd.DataFrame(rows, columns=["factor", "error", "horizon"]).astype({"horizon": float})


def _size(matrices: FloatArray) -> float:
    squares = np.square(matrices).sum(axis=(-2, -1)) / matrices.shape[-1]
    return float(np.sqrt(squares.mean()))
