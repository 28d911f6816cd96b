"""The outer-product recurrence as a loop over time: the truth the other strategies are held to."""

import torch
from torch import Tensor


def outer_product_scan_reference(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute ``S_t = diag(a_t) S_{t-1} + k_t v_t^T`` and ``o_t = S_t^T q_t``, step after step.

    Parameters
    ----------
    q, k : Tensor, [..., T, K]
    v : Tensor, [..., T, V]
    decay : Tensor, [..., T] or [..., T, K], or None
        One factor per token, or one per token and key channel, told apart by the number of axes.
    initial : Tensor, [..., K, V]

    Returns
    -------
    o : Tensor, [..., T, V]
    final_state : Tensor, [..., K, V]
    """
    if decay is not None and decay.dim() < q.dim():
        decay = decay.unsqueeze(-1)
    state = initial
    outputs = []
    for t in range(q.shape[-2]):
        if decay is not None:
            state = decay[..., t, :, None] * state
        state = state + k[..., t, :, None] * v[..., t, None, :]
        outputs.append((q[..., t, :, None] * state).sum(-2))
    return (torch.stack(outputs, dim=-2) if outputs else v), state
