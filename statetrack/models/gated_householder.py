"""Gated DeltaNet and Gated DeltaProduct: a decay per head before the token's Householder factors.

``S_t = (prod_r (I - beta_r k_r k_r^T)) a_t S_{t-1} + writes``. Gated DeltaNet is ``num_factors =
1`` (Yang et al. 2024, arXiv 2412.06464, the gated delta rule), Gated DeltaProduct more (Siems et
al. 2025, arXiv 2502.10297). The short convolutions of the published blocks, which show a layer its
neighbouring tokens, and the SiLU behind them are left out.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import silu

from statetrack.models.backbone import Backbone, split_heads
from statetrack.models.config import register_model
from statetrack.models.decays import ExponentialDecay, RangedDecay
from statetrack.models.householder import HouseholderConfig, HouseholderMixer
from statetrack.models.modules import Projection
from statetrack.models.ranges import EigenvalueRange


@dataclass(frozen=True, kw_only=True)
class GatedHouseholderConfig(HouseholderConfig):
    """Parameters of Gated DeltaNet and Gated DeltaProduct: those of DeltaProduct, and the gates.

    Parameters
    ----------
    decay_range : str, optional
        "[lo,hi]" of the decays; by default they are ``exp(-exp(A) softplus(W x + b))``, in (0, 1).
    decay_bias : float
        Raw number that decays in a range start from; positive starts near the upper end.
    output_gate : bool
        Multiply the normalised heads by a gate of the token.
    """

    decay_range: str | None = None
    decay_bias: float = 1.0
    output_gate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decay_range is not None:
            EigenvalueRange.parse(self.decay_range, self.range_steepness)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"gated {super().label}{self.decay_label}"

    @property
    def decay_label(self) -> str:
        """The range of decays in a label, nothing for the published ones."""
        return "" if self.decay_range is None else f" decay {self.decay_range}"


class GatedHouseholderMixer(HouseholderMixer):
    """Heads of a Householder recurrence with a decay each.

    Parameters
    ----------
    config : GatedHouseholderConfig
    """

    def __init__(self, config: GatedHouseholderConfig) -> None:
        super().__init__(config)
        self.decay = build_decay(config, 1)
        size = config.num_heads * config.head_size
        self.to_gate = Projection(config.width, size, bias=False) if config.output_gate else None

    def decays(self, x_BTD: Tensor) -> Tensor:
        """Decays of the heads, [B, H, T]."""
        return self.decay(x_BTD).squeeze(-1)

    def readout(self, o_BHTV: Tensor, x_BTD: Tensor) -> Tensor:
        """Normalised heads times the SiLU gate, [B, H, T, V]."""
        if self.to_gate is None:
            return self.norm(o_BHTV)
        return self.norm(o_BHTV) * silu(split_heads(self.to_gate(x_BTD), self.heads))


def build_decay(
    config: GatedHouseholderConfig, size: int, rank: int | None = None
) -> ExponentialDecay | RangedDecay:
    """Build the module that computes `size` decays a head, as published or in the range."""
    if config.decay_range is None:
        return ExponentialDecay(config.width, config.num_heads, size, rank)
    decay_range = EigenvalueRange.parse(config.decay_range, config.range_steepness).module()
    return RangedDecay(config.width, config.num_heads, size, decay_range, config.decay_bias, rank)


def build(config: GatedHouseholderConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around gated Householder mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: GatedHouseholderMixer(config))


register_model(
    "gated_householder",
    GatedHouseholderConfig,
    build,
    summary="Gated DeltaNet (1 factor) and Gated DeltaProduct (more): a decay per head",
)
