"""Kimi Delta Attention: the gated delta rule with a decay per channel.

``S_t = (I - beta k k^T) diag(a_t) S_{t-1} + beta k v^T`` (Kimi Team 2025, arXiv 2510.26692). Decays
and the optional output gate pass through ``head_size`` channels, as published; the short
convolutions are left out. More than one factor is no published model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, split_heads
from statetrack.models.config import register_model
from statetrack.models.gated_householder import GatedHouseholderConfig, build_decay
from statetrack.models.householder import HouseholderMixer
from statetrack.models.modules import Projection


@dataclass(frozen=True, kw_only=True)
class KDAConfig(GatedHouseholderConfig):
    """Parameters of Kimi Delta Attention: those of Gated DeltaNet."""

    @property
    def label(self) -> str:
        """Name in legends."""
        factors = f" n_h={self.num_factors}" if self.num_factors > 1 else ""
        return f"KDA{factors} {self.eigenvalue_range}{self.decay_label}"


class KDAMixer(HouseholderMixer):
    """Heads of a Householder recurrence with a decay per key channel.

    Parameters
    ----------
    config : KDAConfig
    """

    def __init__(self, config: KDAConfig) -> None:
        super().__init__(config)
        rank, size = config.head_size, config.num_heads * config.head_size
        self.decay = build_decay(config, config.head_size, rank)
        self.to_gate = (
            nn.Sequential(Projection(config.width, rank, bias=False), Projection(rank, size))
            if config.output_gate
            else None
        )

    def decays(self, x_BTD: Tensor) -> Tensor:
        """Decays of the key channels, [B, H, T, K]."""
        return self.decay(x_BTD)

    def readout(self, o_BHTV: Tensor, x_BTD: Tensor) -> Tensor:
        """Normalised heads times the sigmoid gate, [B, H, T, V]."""
        if self.to_gate is None:
            return self.norm(o_BHTV)
        return self.norm(o_BHTV) * torch.sigmoid(split_heads(self.to_gate(x_BTD), self.heads))


def build(config: KDAConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around KDA mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: KDAMixer(config))


register_model(
    "kda", KDAConfig, build, summary="Kimi Delta Attention: delta rule, a decay per channel"
)
