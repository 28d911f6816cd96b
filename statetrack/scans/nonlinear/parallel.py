"""Nonlinear recurrences with one matrix product a token for all networks, rows and gates."""

import torch
from torch import Tensor

from statetrack.scans.kernels import num_items
from statetrack.scans.nonlinear.cells import Cell


def nonlinear_scan_parallel(
    cell: Cell, x: Tensor, recurrent: Tensor, bias: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `nonlinear_scan_reference`; time stays sequential."""
    *networks, batch, length, num_gates, size = x.shape
    # Time first, so that the numbers of a token lie together; networks in one axis, for bmm.
    count, width = num_items(networks), num_gates * size
    x_TNBE = x.movedim(-3, 0).reshape(length, count, batch, width)
    weights_NDE = recurrent.transpose(-3, -2).reshape(count, size, width)
    bias_N1E = bias.reshape(count, 1, width)
    state = tuple(part.reshape(count, batch, size) for part in initial.unbind(-2))
    hidden = []
    for x_NBE in x_TNBE.unbind(0):
        u_NBE = torch.baddbmm(bias_N1E, state[0], weights_NDE)
        state = cell.step(x_NBE.split(size, -1), u_NBE.split(size, -1), state)
        hidden.append(state[0])
    if not hidden:
        return x[..., 0, :], initial
    outputs = torch.stack(hidden, dim=-2).view(*networks, batch, length, size)
    return outputs, torch.stack(state, dim=-2).view(*networks, batch, len(state), size)
