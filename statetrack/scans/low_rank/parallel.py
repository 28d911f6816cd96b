"""The low-rank recurrence as products of dense matrices: few operations, T K (K + V) numbers."""

import torch
from torch import Tensor

from statetrack.scans.matrix.parallel import matrix_scan_parallel


def low_rank_scan_parallel(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    initial: Tensor,
) -> tuple[Tensor, Tensor]:
    """Same contract as `low_rank_scan_reference`.

    With ``H = S^T`` the recurrence is ``H_t = H_{t-1} A_t^T + v_t k_t^T``, a matrix scan.
    """
    diagonal = torch.ones_like(q) if decay is None else decay.expand(q.shape)
    transitions = torch.diag_embed(diagonal) - right.mT @ left
    states, final = matrix_scan_parallel(transitions, v.unsqueeze(-1) * k.unsqueeze(-2), initial.mT)
    return (states @ q.unsqueeze(-1)).squeeze(-1), final.mT
