"""Matrix exponential that a CUDA graph can hold: its operations do not depend on the numbers.

``torch.linalg.matrix_exp`` chooses its polynomial and its squarings on the processor, by the norms
of the matrices, and cannot be captured. Here every matrix takes the same polynomial, and the
squarings that it does not need are computed and dropped.
"""

import math
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.inputs import in_full_precision

# Below these 1-norms the Taylor polynomial of degree 15 has no error above rounding.
# Al-Mohy and Higham 2011, "Computing the action of the matrix exponential", table 3.1.
LARGEST_NORM = {torch.float32: 2.2, torch.float64: 0.64}
SQUARINGS = 9
BLOCK = 4
DEGREE = 4 * BLOCK - 1


def matrix_exponential(x_NN: Tensor) -> Tensor:
    """Exponentials of square matrices.

    Parameters
    ----------
    x_NN : Tensor, [..., N, N]
        float32 or float64.

    Returns
    -------
    Tensor, [..., N, N]
        NaN for a matrix whose 1-norm is above 1,126 in float32 or 327 in float64.

    Raises
    ------
    InputError
        Another type.

    Notes
    -----
    By Taylor's polynomial of degree 15 (Paterson and Stockmeyer 1973) of the matrix divided by a
    power of two, and squarings: 15 products of N x N matrices. The gradient is the corner of the
    exponential of a matrix of twice the size (Mathias 1996), and keeps the matrix alone.

    Examples
    --------
    A quarter turn:

    >>> import math, torch
    >>> from statetrack.models.matrix_exponential import matrix_exponential
    >>> turn = matrix_exponential(torch.tensor([[0.0, -1.0], [1.0, 0.0]]) * math.pi / 2)
    >>> bool((turn - torch.tensor([[0.0, -1.0], [1.0, 0.0]])).abs().max() < 1e-6)
    True
    """
    if x_NN.dtype not in LARGEST_NORM:
        raise InputError(f"matrix_exponential: {x_NN.dtype}: expected float32 or float64")
    return _MatrixExponential.apply(x_NN)


class _MatrixExponential(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x_NN: Tensor) -> Tensor:
        return _by_squaring(x_NN)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_NN: Tensor) -> Tensor:
        (x_NN,) = ctx.saved_tensors
        size = x_NN.shape[-1]
        largest = grad_NN.abs().amax(dim=(-1, -2), keepdim=True)
        largest = torch.where(largest > 0, largest, 1.0)
        flipped = x_NN.transpose(-1, -2)
        upper = torch.cat([flipped, grad_NN / largest], dim=-1)
        lower = torch.cat([torch.zeros_like(flipped), flipped], dim=-1)
        return _by_squaring(torch.cat([upper, lower], dim=-2))[..., :size, size:] * largest


@in_full_precision
def _by_squaring(x_NN: Tensor) -> Tensor:
    norm = x_NN.abs().sum(dim=-2).amax(dim=-1)[..., None, None]
    needed = torch.log2(norm / LARGEST_NORM[x_NN.dtype]).ceil().clamp(min=0)
    result = _taylor(x_NN * torch.exp2(-needed))
    for number in range(SQUARINGS):
        result = torch.where(number < needed, result @ result, result)
    return torch.where(needed <= SQUARINGS, result, torch.nan)


def _taylor(x_NN: Tensor) -> Tensor:
    """``sum_k X^k / k!`` up to `DEGREE`, by powers below `BLOCK` and Horner's rule in X^BLOCK."""
    powers = [torch.eye(x_NN.shape[-1], dtype=x_NN.dtype, device=x_NN.device), x_NN]
    while len(powers) <= BLOCK:
        powers.append(powers[-1] @ x_NN)
    total = _block(powers, DEGREE + 1 - BLOCK)
    for first in range(DEGREE + 1 - 2 * BLOCK, -1, -BLOCK):
        total = total @ powers[BLOCK] + _block(powers, first)
    return total


def _block(powers: list[Tensor], first: int) -> Tensor:
    """``sum_j X^j / (first + j)!`` for j below `BLOCK`."""
    total = powers[0] / math.factorial(first)
    for number in range(1, BLOCK):
        total = total + powers[number] / math.factorial(first + number)
    return total
