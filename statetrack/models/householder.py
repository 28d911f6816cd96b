"""DeltaNet and DeltaProduct: transitions that are products of generalised Householder matrices.

DeltaNet is ``num_factors = 1`` (Yang et al. 2024, arXiv 2406.06484), DeltaProduct more (Siems et
al. 2025, arXiv 2502.10297). The range holds for every factor: ``1 - beta`` lies in it, erase and
write alike. Left out of the published blocks: the short convolutions, the SiLU behind the
projections, and the normalisation of queries, which the norm of the readout undoes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.layers import unit_norm
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import (
    BackboneConfig,
    Preset,
    per_run,
    register_model,
    require_positive,
)
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import householder_scan


@dataclass(frozen=True, kw_only=True)
class HouseholderConfig(BackboneConfig):
    """Parameters of DeltaNet and DeltaProduct.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of every factor.
    range_steepness : float
        How fast the ends of the range are reached.
    num_factors : int
        Householder factors per token (n_h).
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    beta_bias : float
        Raw number that beta starts from; positive starts near a reflection.
    """

    eigenvalue_range: str = per_run("[-1,1]")
    range_steepness: float = per_run(4.0)
    num_factors: int = 1
    num_heads: int = 4
    head_size: int = 8
    beta_bias: float = per_run(0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_factors", "num_heads", "head_size")
        EigenvalueRange.parse(self.eigenvalue_range, self.range_steepness)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"Householder n_h={self.num_factors} {self.eigenvalue_range}"


class HouseholderMixer(nn.Module):
    """Heads of a Householder recurrence with a normalised, scale-free readout.

    Parameters
    ----------
    config : HouseholderConfig
    """

    def __init__(self, config: HouseholderConfig) -> None:
        super().__init__()
        heads, size, factors = config.num_heads, config.head_size, config.num_factors
        self.heads, self.factors = heads, factors
        self.range = EigenvalueRange.parse(config.eigenvalue_range, config.range_steepness).module()
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_key = Projection(config.width, heads * factors * size, bias=False, widens=False)
        self.to_value = Projection(config.width, heads * factors * size, bias=False)
        self.to_beta = Projection(config.width, heads * factors)
        nn.init.constant_(self.to_beta.bias, config.beta_bias)
        self.start = nn.Parameter(torch.randn(heads, size, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BHKV,) = state
        k_BHTRK, beta_BHTR = self.factors_of(x_BTD)
        v_BHTRV = split_heads(self.to_value(x_BTD), self.heads).unflatten(-1, (self.factors, -1))
        q_BHTK = split_heads(self.to_query(x_BTD), self.heads)
        o_BHTV, after_BHKV = householder_scan(
            q_BHTK,
            k_BHTRK,
            v_BHTRV,
            beta_BHTR,
            decay=self.decays(x_BTD),
            initial=before_BHKV,
        )
        return self.output(merge_heads(self.readout(o_BHTV, x_BTD))), (after_BHKV,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Products of the token's factors in row form, [B, T, H, K, K]."""
        k_BHTRK, beta_BHTR = self.factors_of(x_BTD)
        identity = torch.eye(k_BHTRK.shape[-1], dtype=x_BTD.dtype, device=x_BTD.device)
        product = identity
        for r in range(self.factors):
            key = k_BHTRK[..., r, :]
            outer = key.unsqueeze(-1) * key.unsqueeze(-2)
            product = product @ (identity - beta_BHTR[..., r, None, None] * outer)
        decay = self.decays(x_BTD)
        if decay is not None:
            per_channel = decay if decay.dim() == k_BHTRK.dim() - 1 else decay.unsqueeze(-1)
            product = per_channel.unsqueeze(-1) * product
        return product.transpose(1, 2)

    def decays(self, x_BTD: Tensor) -> Tensor | None:
        """Decays before the factors, [B, H, T] or [B, H, T, K]; None is no decay."""
        return None

    def readout(self, o_BHTV: Tensor, x_BTD: Tensor) -> Tensor:
        """Normalised heads, [B, H, T, V], before the output projection."""
        return self.norm(o_BHTV)

    def factors_of(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Unit keys [B, H, T, R, K] and strengths beta [B, H, T, R] of every token's factors."""
        k_BTHRK = self.to_key(x_BTD).unflatten(-1, (self.heads, self.factors, -1))
        beta_BTHR = self.range.beta(self.to_beta(x_BTD)).unflatten(-1, (self.heads, -1))
        return unit_norm(k_BTHRK).transpose(-3, -4), beta_BTHR.transpose(-2, -3)


def build(config: HouseholderConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around Householder mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: HouseholderMixer(config))


PUBLISHED = {
    "width": 128,
    "head_size": 32,
    "eigenvalue_range": "[-1,1]",
    "range_steepness": 1.0,
    "beta_bias": 0.0,
}

register_model(
    "householder",
    HouseholderConfig,
    build,
    summary="DeltaNet (1 factor) and DeltaProduct (more): Householder products by token",
    presets={
        "grazzi-parity": Preset(
            {**PUBLISHED, "num_layers": 2, "num_heads": 4, "short_convolution": 4},
            "DeltaNet [-1,1], Grazzi et al. 2025 (arXiv 2411.12537), appendix E.1.2: parity",
        ),
        "grazzi-s5": Preset(
            {**PUBLISHED, "num_heads": 4},
            "DeltaNet [-1,1], Grazzi et al. 2025 (arXiv 2411.12537), Figure 4: S5, one layer",
        ),
        "deltaproduct-s3": Preset(
            {**PUBLISHED, "num_heads": 8, "num_factors": 2},
            "Siems et al. 2025 (arXiv 2502.10297), code, state_tracking/README: S3",
        ),
        "deltaproduct-s5": Preset(
            {**PUBLISHED, "num_heads": 8, "num_factors": 4},
            "Siems et al. 2025 (arXiv 2502.10297), Figure 1: S5, one layer",
        ),
    },
)
