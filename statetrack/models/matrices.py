"""Ways to keep the columns of input-dependent matrices in bounds."""

import torch
from torch import Tensor


def normalise_columns(a_NN: Tensor, p: float) -> Tensor:
    """Divide every column by its own p-norm (SD-SSM).

    Parameters
    ----------
    a_NN : Tensor, [..., N, N]
    p : float
        Order of the norm, above 1.
    """
    return a_NN / torch.linalg.vector_norm(a_NN, ord=p, dim=-2, keepdim=True)


def centre_and_normalise(a_NN: Tensor, p: float) -> Tensor:
    """Take each column's mean away, then divide by the largest p-norm of a column (Fan et al.).

    Parameters
    ----------
    a_NN : Tensor, [..., N, N]
    p : float
        Order of the norm, above 1.
    """
    centred = a_NN - a_NN.mean(dim=-2, keepdim=True)
    norms = torch.linalg.vector_norm(centred, ord=p, dim=-2, keepdim=True)
    return centred / norms.amax(dim=-1, keepdim=True)
