"""Nonlinear recurrences as a loop over tokens: the truth for the others."""

import torch
from torch import Tensor

from statetrack.scans.nonlinear.cells import Cell


def nonlinear_scan_reference(
    cell: Cell, x: Tensor, recurrent: Tensor, bias: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute ``state = step(x, h R + bias, state)``, token after token.

    Parameters
    ----------
    cell : Cell
    x : Tensor, [..., B, T, G, D]
    recurrent : Tensor, [..., G, D, D]
    bias : Tensor, [..., G, D]
    initial : Tensor, [..., B, S, D]

    Returns
    -------
    hidden : Tensor, [..., B, T, D]
    final_state : Tensor, [..., B, S, D]
    """
    state = initial.unbind(-2)
    hidden = []
    for x_BGD in x.unbind(-3):
        u_BGD = torch.einsum("...bd,...gde->...bge", state[0], recurrent) + bias.unsqueeze(-3)
        state = cell.step(x_BGD.unbind(-2), u_BGD.unbind(-2), state)
        hidden.append(state[0])
    outputs = torch.stack(hidden, dim=-2) if hidden else x[..., 0, :]
    return outputs, torch.stack(state, dim=-2)
