"""Causal softmax attention over cached keys and values.

Written out rather than handed to `torch.nn.functional.scaled_dot_product_attention`, whose fused
kernels take no bias by distance and do not all run inside `torch.func.vmap`. It needs T S numbers a
head for T new tokens over S of all.
"""

import math

import torch
from torch import Tensor


def causal_attention(
    q_BHTK: Tensor, k_BHSK: Tensor, v_BHSV: Tensor, slopes_H: Tensor | None = None
) -> Tensor:
    """Outputs [B, H, T, V] of the last T of S tokens, each over itself and what came before.

    Parameters
    ----------
    q_BHTK : Tensor
        Queries of the last T tokens.
    k_BHSK, v_BHSV : Tensor
        Keys and values of all S tokens.
    slopes_H : Tensor, optional
        What a head takes off a score per token of distance.
    """
    length, total = q_BHTK.shape[-2], k_BHSK.shape[-2]
    here_T = torch.arange(total - length, total, device=q_BHTK.device)
    distance_TS = here_T[:, None] - torch.arange(total, device=q_BHTK.device)
    score_BHTS = q_BHTK @ k_BHSK.mT / math.sqrt(q_BHTK.shape[-1])
    if slopes_H is not None:
        score_BHTS = score_BHTS - slopes_H[:, None, None] * distance_TS
    score_BHTS = score_BHTS.masked_fill(distance_TS < 0, -math.inf)
    return score_BHTS.softmax(dim=-1) @ v_BHSV
