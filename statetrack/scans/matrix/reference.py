"""The matrix recurrence as a loop over time: the truth the other strategies are held to."""

import torch
from torch import Tensor


def matrix_scan_reference(a: Tensor, b: Tensor | None, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Compute ``H_t = H_{t-1} A_t + B_t`` one step after the other.

    Parameters
    ----------
    a : Tensor, [..., T, N, N]
    b : Tensor, [..., T, M, N], or None
    initial : Tensor, [..., M, N]

    Returns
    -------
    states : Tensor, [..., T, M, N]
    final_state : Tensor, [..., M, N]
    """
    state = initial
    states = []
    for t in range(a.shape[-3]):
        state = state @ a[..., t, :, :]
        if b is not None:
            state = state + b[..., t, :, :]
        states.append(state)
    if not states:
        return initial.unsqueeze(-3)[..., :0, :, :], initial
    return torch.stack(states, dim=-3), state
