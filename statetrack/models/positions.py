"""Positions as numbers: sinusoids, rotations of channel pairs, slopes of distance penalties.

Everything is computed where it is used, in the type of the numbers it meets or in float32 where
that is narrower: a model converted to float64 has positions of float64, and one in bfloat16, which
cannot tell 256 from 257, has positions of float32.
"""

import torch
from torch import Tensor

BASE = 10000.0


def positions(first: int, end: int, like: Tensor) -> Tensor:
    """Numbers from `first` to before `end`, in the type of `like` or float32, [T]."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.arange(first, end, dtype=dtype, device=like.device)


def angles(positions_T: Tensor, num_pairs: int) -> Tensor:
    """Angles ``t BASE^(-i / num_pairs)``, [T, num_pairs].

    Notes
    -----
    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.5; Su et al. 2021 (arXiv 2104.09864),
    section 3.2.
    """
    index = torch.arange(num_pairs, dtype=positions_T.dtype, device=positions_T.device)
    return positions_T.unsqueeze(-1) * BASE ** (-index / num_pairs)


def sinusoids(positions_T: Tensor, width: int) -> Tensor:
    """Sine and cosine of every angle in turn, [T, width]."""
    turned = angles(positions_T, (width + 1) // 2)
    return torch.stack([turned.sin(), turned.cos()], dim=-1).flatten(-2)[..., :width]


def rotate_pairs(x_TK: Tensor, angles_TP: Tensor) -> Tensor:
    """Turn the channel pairs (0, 1), (2, 3), ... of [..., T, K] by angles [T, K / 2]."""
    even, odd = x_TK[..., 0::2], x_TK[..., 1::2]
    cosine, sine = angles_TP.cos(), angles_TP.sin()
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1)
    return turned.flatten(-2).to(x_TK.dtype)


def distance_slopes(num_heads: int, like: Tensor) -> Tensor:
    """Slopes ``2^(-8 h / H)`` for h = 1 .. H (Press et al. 2021, arXiv 2108.12409, section 3)."""
    head = positions(1, num_heads + 1, like)
    return 2.0 ** (-8.0 * head / num_heads)
