"""Input methods of the Matrix Recurrent Unit: how the numbers of a token become its matrix.

Every method starts from an n x n array of numbers X and gives the identity for X = 0. What differs
is the inverse problem: which matrices some X is mapped to. That decides what the unit can track. A
word problem needs matrices that multiply as the group does, so *SO(n)* below means: any group of
rotations of n-space (a permutation group of degree n - 1 among them, by one more dimension for the
sign), and determinant 1 means: no reflections in n dimensions.

Sources: mru-lm (Levi 2024) for residual, Cayley, LDU, QR and the determinant factor; its notebook
for Householder products and the Newton-Schulz step, here so that both start at the identity.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from statetrack.models.matrix_exponential import matrix_exponential


def _identity_like(x_NN: Tensor) -> Tensor:
    return torch.eye(x_NN.shape[-1], dtype=x_NN.dtype, device=x_NN.device)


def _skew(x_NN: Tensor) -> Tensor:
    lower = torch.tril(x_NN, diagonal=-1)
    return lower - lower.transpose(-1, -2)


def _pivots(x_NN: Tensor) -> Tensor:
    """Positive numbers whose product is 1, from the diagonal."""
    diagonal = torch.diagonal(x_NN, dim1=-2, dim2=-1)
    return torch.exp(diagonal - diagonal.mean(dim=-1, keepdim=True))


def _with_determinant_of_size_one(x_NN: Tensor) -> Tensor:
    """Divide by the n-th root of the size of the determinant."""
    log_size = torch.linalg.slogdet(x_NN).logabsdet / x_NN.shape[-1]
    return x_NN * torch.exp(-log_size)[..., None, None]


def residual_matrix(x_NN: Tensor) -> Tensor:
    """``I + X``: every matrix, singular ones too. Products are unbounded in both directions."""
    return _identity_like(x_NN) + x_NN


def exponential_matrix(x_NN: Tensor) -> Tensor:
    """``exp(S)`` of the skew part S: all of SO(n), so products keep their size.

    Reached many times (angles are periodic). Cannot: reflections, shears, forgetting.
    """
    return matrix_exponential(_skew(x_NN))


def cayley_matrix(x_NN: Tensor) -> Tensor:
    """``(I - S)^-1 (I + S)`` of the skew part S: rotations without the eigenvalue -1, once each.

    Half turns, so parity and every element of even order with such an eigenvalue, are approached as
    S grows and never reached. ``I - S`` is never singular, so nothing waits to see whether it was.
    """
    skew, identity = _skew(x_NN), _identity_like(x_NN)
    return torch.linalg.solve_ex(identity - skew, identity + skew).result


def ldu_matrix(x_NN: Tensor) -> Tensor:
    """Lower times diagonal times upper, pivots positive with product 1.

    Exactly the matrices of determinant 1 whose leading principal minors are all positive. Cannot,
    in the given basis: rotations by a right angle or more, most permutation matrices, -I.
    """
    root = torch.sqrt(_pivots(x_NN))
    lower = torch.tril(x_NN, diagonal=-1) + torch.diag_embed(root)
    upper = torch.triu(x_NN, diagonal=1) + torch.diag_embed(root)
    return lower @ upper


def _upper_with_unit_determinant(x_NN: Tensor) -> Tensor:
    return torch.triu(x_NN, diagonal=1) + torch.diag_embed(_pivots(x_NN))


def qr_exponential_matrix(x_NN: Tensor) -> Tensor:
    """``Q R`` with Q of `exponential_matrix`, R upper triangular, pivots positive: all of SL(n)."""
    return exponential_matrix(x_NN) @ _upper_with_unit_determinant(x_NN)


def qr_cayley_matrix(x_NN: Tensor) -> Tensor:
    """``Q R`` with Q of `cayley_matrix`: SL(n) but for matrices whose Q has the eigenvalue -1."""
    return cayley_matrix(x_NN) @ _upper_with_unit_determinant(x_NN)


def determinant_matrix(x_NN: Tensor) -> Tensor:
    """``(I + X) / |det(I + X)|^(1/n)``: every matrix of determinant 1 or -1.

    Undefined where ``I + X`` is singular, with gradients that grow without bound beside it.
    """
    return _with_determinant_of_size_one(residual_matrix(x_NN))


def householder_matrix(x_NN: Tensor) -> Tensor:
    """``-H_1 ... H_n`` of reflections along the columns of ``I + tril(X, -1)``: dense in SO(n).

    Cannot: rotations that need a reflection along a vector whose leading entry is 0. Orthogonal, so
    products keep their size; no reflections, shears, forgetting.
    """
    identity = _identity_like(x_NN)
    columns = torch.tril(x_NN, diagonal=-1) + identity
    product = -identity
    for number in range(x_NN.shape[-1]):
        column = columns[..., :, number]
        strength = 2.0 / column.square().sum(dim=-1)
        read = product @ column.unsqueeze(-1)
        product = product - strength[..., None, None] * read @ column.unsqueeze(-2)
    return product


def newton_schulz_matrix(x_NN: Tensor) -> Tensor:
    """`ldu_matrix` after one step of Newton and Schulz towards its nearest orthogonal matrix.

    With singular values scaled to mean square 1, ``M <- M (3 I - M^T M) / 2``, then determinant 1
    again. Products grow more slowly than of `ldu_matrix`; what can be reached is as there, bent
    towards rotations by less than a right angle. Singular where a scaled singular value is sqrt(3).
    """
    matrix = ldu_matrix(x_NN)
    size = matrix.square().mean(dim=(-1, -2), keepdim=True) * matrix.shape[-1]
    matrix = matrix * torch.rsqrt(size)
    gram = matrix.transpose(-1, -2) @ matrix
    return _with_determinant_of_size_one(matrix @ (1.5 * _identity_like(x_NN) - 0.5 * gram))


@dataclass(frozen=True)
class InputMethod:
    """One row of the methods.

    Parameters
    ----------
    matrix : callable
        From numbers [..., N, N] to matrices of the same shape.
    orthogonal : bool
        Every matrix is orthogonal: products keep their size.
    determinant : int or None
        Of every matrix; None if it is free, 0 if its size is 1 and its sign is free.
    """

    matrix: Callable[[Tensor], Tensor]
    orthogonal: bool
    determinant: int | None


INPUT_METHODS: dict[str, InputMethod] = {
    "residual": InputMethod(residual_matrix, False, None),
    "exponential": InputMethod(exponential_matrix, True, 1),
    "cayley": InputMethod(cayley_matrix, True, 1),
    "ldu": InputMethod(ldu_matrix, False, 1),
    "qr_exponential": InputMethod(qr_exponential_matrix, False, 1),
    "qr_cayley": InputMethod(qr_cayley_matrix, False, 1),
    "determinant": InputMethod(determinant_matrix, False, 0),
    "householder": InputMethod(householder_matrix, True, 1),
    "newton_schulz": InputMethod(newton_schulz_matrix, False, 0),
}
