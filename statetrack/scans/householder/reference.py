"""The Householder recurrence as a loop over tokens and factors: the truth for the others."""

import torch
from torch import Tensor


def householder_scan_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor | None,
    initial: Tensor,
) -> tuple[Tensor, Tensor]:
    """Per token: decay the state, apply its R factors one after the other, read it.

    Parameters
    ----------
    q : Tensor, [..., T, K]
    k : Tensor, [..., T, R, K]
    v : Tensor, [..., T, R, V]
    beta, write : Tensor, [..., T, R]
    decay : Tensor, [..., T, 1] or [..., T, K], or None
    initial : Tensor, [..., K, V]

    Returns
    -------
    outputs : Tensor, [..., T, V]
    final_state : Tensor, [..., K, V]
    """
    state = initial
    outputs = []
    for t in range(q.shape[-2]):
        if decay is not None:
            state = decay[..., t, :, None] * state
        for r in range(k.shape[-2]):
            key, value = k[..., t, r, :], v[..., t, r, :]
            read = (key.unsqueeze(-2) @ state).squeeze(-2)
            update = write[..., t, r, None] * value - beta[..., t, r, None] * read
            state = state + key.unsqueeze(-1) * update.unsqueeze(-2)
        outputs.append((q[..., t, None, :] @ state).squeeze(-2))
    return (torch.stack(outputs, dim=-2) if outputs else v[..., 0, :]), state
