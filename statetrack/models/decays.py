"""Decays: the factors by which a state shrinks, or changes its sign, before a token writes to it.

Letters: B words, T tokens, D width, H heads, C decays of a head (1 or one a channel).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from statetrack.models.backbone import split_heads
from statetrack.models.modules import Projection, at_least_float32
from statetrack.models.ranges import RangeMap

SMALLEST_STEP, LARGEST_STEP = 1e-3, 1e-1
SLOWEST_RATE, FASTEST_RATE = 1.0, 16.0


def decay_projection(width: int, size: int, rank: int | None = None) -> nn.Module:
    """Build a linear map with bias, of full rank or through `rank` channels."""
    if rank is None:
        return Projection(width, size)
    return nn.Sequential(Projection(width, rank, bias=False), Projection(rank, size))


def last_bias(projection: nn.Module) -> Tensor:
    """Bias of what `decay_projection` returned."""
    linear = projection[-1] if isinstance(projection, nn.Sequential) else projection
    bias: Tensor = linear.bias  # type: ignore[assignment]
    return bias


class ExponentialDecay(nn.Module):
    """Positive decays ``exp(-exp(A) softplus(W x + b))``, a rate A per head.

    Parameters
    ----------
    width : int
    num_heads, size : int
        Heads, and decays of each.
    rank : int, optional
        Channels that W passes through; full rank by default.

    Notes
    -----
    Source: Dao and Gu 2024 (Mamba-2, arXiv 2405.21060), taken over by Yang et al. 2024 (arXiv
    2412.06464). Rates start between 1 and 16, steps between 0.001 and 0.1, as in Mamba-2.
    """

    def __init__(self, width: int, num_heads: int, size: int, rank: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.projection = decay_projection(width, num_heads * size, rank)
        rates = torch.empty(num_heads, 1, 1).uniform_(SLOWEST_RATE, FASTEST_RATE)
        self.log_rate = nn.Parameter(rates.log())
        ends = math.log(SMALLEST_STEP), math.log(LARGEST_STEP)
        steps = torch.empty(num_heads * size).uniform_(*ends).exp()
        with torch.no_grad():
            last_bias(self.projection).copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Decays in (0, 1), [B, H, T, C], float32 or wider."""
        raw_BHTC = at_least_float32(split_heads(self.projection(x_BTD), self.num_heads))
        return torch.exp(-at_least_float32(self.log_rate).exp() * softplus(raw_BHTC))


class RangedDecay(nn.Module):
    """Decays in an eigenvalue range, signed where the range is.

    Parameters
    ----------
    width : int
    num_heads, size : int
        Heads, and decays of each.
    eigenvalue_range : RangeMap
    bias : float
        Raw number that decays start from; positive starts near the upper end.
    rank : int, optional
        Channels that the projection passes through; full rank by default.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        size: int,
        eigenvalue_range: RangeMap,
        bias: float,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.range = eigenvalue_range
        self.projection = decay_projection(width, num_heads * size, rank)
        nn.init.constant_(last_bias(self.projection), bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Decays in the range, [B, H, T, C], float32 or wider."""
        raw_BHTC = at_least_float32(split_heads(self.projection(x_BTD), self.num_heads))
        return self.range.eigenvalue(raw_BHTC)
