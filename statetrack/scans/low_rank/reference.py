"""The low-rank recurrence as a loop over tokens: the truth for the others."""

import torch
from torch import Tensor


def low_rank_scan_reference(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    initial: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute ``S <- (diag(a) - left right^T) S + k v^T`` and ``o = S^T q``, token after token.

    Parameters
    ----------
    q, k : Tensor, [..., T, K]
    left, right : Tensor, [..., T, P, K]
    v : Tensor, [..., T, V]
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
        removed = left[..., t, :, :].mT @ (right[..., t, :, :] @ state)
        if decay is not None:
            state = decay[..., t, :, None] * state
        state = state - removed + k[..., t, :, None] * v[..., t, None, :]
        outputs.append((q[..., t, None, :] @ state).squeeze(-2))
    return (torch.stack(outputs, dim=-2) if outputs else v), state
