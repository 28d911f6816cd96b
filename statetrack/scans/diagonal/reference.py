"""The diagonal recurrence as a loop over time: the truth the other strategies are held to."""

import torch
from torch import Tensor


def diagonal_scan_reference(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Compute ``h_t = a_t h_{t-1} + x_t`` one step after the other.

    Parameters
    ----------
    a, x : Tensor, [..., T, D]
    initial : Tensor, [..., D]

    Returns
    -------
    states : Tensor, [..., T, D]
    final_state : Tensor, [..., D]
    """
    state = initial
    states = []
    for t in range(x.shape[-2]):
        state = a[..., t, :] * state + x[..., t, :]
        states.append(state)
    return (torch.stack(states, dim=-2) if states else x), state
