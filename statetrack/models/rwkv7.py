"""RWKV-7: a diagonal decay minus a removal key, chosen by the token, per head.

In the orientation of Peng et al. 2025 (arXiv 2503.14456), with rows for values, ``S_t = S_{t-1}
(diag(w) - kappa^T (a * kappa)) + v^T k``. Here the state is the transpose, rows for keys, so that
the paper's matrices are the row form of the transitions.

Left out of the published block: the value of the first layer that later layers mix in. Heads are
normalised by their root mean square in place of their variance, as in the other models.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm, at_least_float32
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import low_rank_scan

PUBLISHED_LEARNING_RATES = "[0,1]"
SLOPE_OF_DECAY = math.exp(-0.5)  # 0.606531: decays stay above exp(-0.606531) = 0.545


@dataclass(frozen=True, kw_only=True)
class RWKV7Config(BackboneConfig):
    """Parameters of RWKV-7.

    Parameters
    ----------
    eigenvalue_range : str, optional
        "[lo,hi]" of 1 - a. The removal is then ``w * a * kappa``, which bounds every eigenvalue:
        they are real and between min(lo, 0) and 1. By default a is in (0, 1) and the removal
        ``a * kappa`` as published; eigenvalues then lie between -0.455 and 1.
    range_steepness : float
        How fast the ends of the range are reached.
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    rank : int
        Channels that the decay, the learning rate and the gate pass through.
    learning_rate_bias, decay_bias : float
        Raw numbers that a and w start from; a negative decay bias starts near 1.
    token_shift : bool
        Mix the token before into every projection. It shows a layer its neighbouring tokens.
    output_gate : bool
        Multiply the heads by a gate of the token, as published.
    """

    eigenvalue_range: str | None = None
    range_steepness: float = 4.0
    num_heads: int = 4
    head_size: int = 8
    rank: int = 8
    learning_rate_bias: float = 0.5
    decay_bias: float = -4.0
    token_shift: bool = False
    output_gate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size", "rank")
        EigenvalueRange.parse(self.rates, self.range_steepness)

    @property
    def rates(self) -> str:
        """Range of 1 - a."""
        return self.eigenvalue_range or PUBLISHED_LEARNING_RATES

    @property
    def label(self) -> str:
        """Name in legends."""
        return "RWKV-7" if self.eigenvalue_range is None else f"RWKV-7 {self.eigenvalue_range}"


class LowRankMLP(nn.Module):
    """Two linear maps through few channels, with a function between (`loramlp` of the paper).

    Parameters
    ----------
    width, rank, size : int
        Channels before, between and after.
    function : nn.Module
        What happens between.
    bias : float, optional
        Where the bias starts; no bias by default.
    """

    def __init__(
        self, width: int, rank: int, size: int, function: nn.Module, bias: float | None = None
    ) -> None:
        super().__init__()
        self.down = Projection(width, rank, bias=False)
        self.function = function
        self.up = Projection(rank, size, bias=bias is not None)
        if bias is not None:
            nn.init.constant_(self.up.bias, bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, size]."""
        return self.up(self.function(self.down(x_BTD)))


class RWKV7Mixer(nn.Module):
    """Time mixing of RWKV-7.

    Parameters
    ----------
    config : RWKV7Config
    """

    def __init__(self, config: RWKV7Config) -> None:
        super().__init__()
        heads, size, width, rank = config.num_heads, config.head_size, config.width, config.rank
        self.heads = heads
        self.range = EigenvalueRange.parse(config.rates, config.range_steepness).module()
        self.decayed_removal = config.eigenvalue_range is not None
        self.to_receptance = Projection(width, heads * size, bias=False)
        self.to_key = Projection(width, heads * size, bias=False)
        self.to_value = Projection(width, heads * size, bias=False)
        self.to_decay = LowRankMLP(width, rank, heads * size, nn.Tanh(), config.decay_bias)
        self.to_rate = LowRankMLP(
            width, rank, heads * size, nn.Identity(), config.learning_rate_bias
        )
        self.to_gate = (
            LowRankMLP(width, rank, heads * size, nn.Sigmoid()) if config.output_gate else None
        )
        self.removal_scale = nn.Parameter(torch.full((heads, 1, size), 0.85))
        self.replacement_mix = nn.Parameter(torch.ones(heads, 1, size))
        self.bonus = nn.Parameter(torch.full((heads, 1, size), 0.1))
        self.shift = nn.Parameter(torch.full((6, width), 0.5)) if config.token_shift else None
        self.start = nn.Parameter(torch.randn(heads, size, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        before_BHKV, *last = state
        x_r, x_k, x_v, x_w, x_a, x_g = self._shifted(x_BTD, *last)
        decay_BHTK, removal_BHTK, removed_BHTK, rate_BHTK = self._transition(x_k, x_w, x_a)
        r_BHTK = split_heads(self.to_receptance(x_r), self.heads)
        v_BHTV = split_heads(self.to_value(x_v), self.heads)
        k_BHTK = split_heads(self.to_key(x_k), self.heads)
        k_BHTK = k_BHTK * (1 + self.replacement_mix * (rate_BHTK - 1))
        o_BHTV, after_BHKV = low_rank_scan(
            r_BHTK, removed_BHTK, removal_BHTK, k_BHTK, v_BHTV, decay_BHTK, before_BHKV
        )
        bonus_BHT1 = (r_BHTK * self.bonus * k_BHTK).sum(dim=-1, keepdim=True)
        y_BTE = merge_heads(self.norm(o_BHTV) + bonus_BHT1 * v_BHTV)
        if self.to_gate is not None:
            y_BTE = y_BTE * self.to_gate(x_g)
        after = (after_BHKV, *(torch.cat([one, x_BTD], dim=-2)[..., -1:, :] for one in last))
        return self.output(y_BTE.to(x_BTD.dtype)), after

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token; with a token shift also a token of zeros."""
        start = expand_state(self.start, batch_size)
        if self.shift is None:
            return (start,)
        return start, self.start.new_zeros(batch_size, 1, self.shift.shape[-1])

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """``diag(w) - kappa^T (a * kappa)`` in row form, [B, T, H, K, K]."""
        last = self.initial_state(x_BTD.shape[0])[1:]
        _, x_k, _, x_w, x_a, _ = self._shifted(x_BTD, *last)
        decay_BHTK, removal_BHTK, removed_BHTK, _ = self._transition(x_k, x_w, x_a)
        outer = removal_BHTK.unsqueeze(-1) * removed_BHTK.unsqueeze(-2)
        return (torch.diag_embed(decay_BHTK) - outer).transpose(1, 2)

    def _transition(self, x_k: Tensor, x_w: Tensor, x_a: Tensor) -> tuple[Tensor, ...]:
        """Decay w, removal key kappa, what it takes away, and learning rate a: [B, H, T, K]."""
        raw_BHTK = at_least_float32(split_heads(self.to_decay(x_w), self.heads))
        decay_BHTK = torch.exp(-SLOPE_OF_DECAY * torch.sigmoid(raw_BHTK))
        rate_BHTK = self.range.beta(split_heads(self.to_rate(x_a), self.heads))
        key_BHTK = split_heads(self.to_key(x_k), self.heads)
        removal_BHTK = normalize(key_BHTK * self.removal_scale, dim=-1)
        removed_BHTK = rate_BHTK * removal_BHTK
        if self.decayed_removal:
            removed_BHTK = (decay_BHTK * removed_BHTK).to(x_w.dtype)
        return decay_BHTK, removal_BHTK, removed_BHTK, rate_BHTK

    def _shifted(self, x_BTD: Tensor, *last: Tensor) -> tuple[Tensor, ...]:
        """Inputs of r, k, v, w, a and g: the token, mixed with the one before."""
        if self.shift is None:
            return (x_BTD,) * 6
        before_BTD = torch.cat([last[0], x_BTD], dim=-2)[..., :-1, :]
        return tuple(x_BTD + (before_BTD - x_BTD) * mix_D for mix_D in self.shift)


def build(config: RWKV7Config, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around RWKV-7 mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: RWKV7Mixer(config))


register_model(
    "rwkv7", RWKV7Config, build, summary="RWKV-7: diagonal decay minus a removal key by token"
)
