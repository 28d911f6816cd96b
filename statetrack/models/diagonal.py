"""Diagonal linear RNN: every channel has an eigenvalue of its own, chosen by the token.

``h_t = a(x_t) h_{t-1} + b(x_t)`` with ``a`` in the eigenvalue range. With [0,1] the transitions of
Mamba-like models, with [-1,1] their extension by Grazzi et al. 2024 (arXiv 2411.12537).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class DiagonalConfig(BackboneConfig):
    """Parameters of the diagonal linear RNN.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of the transitions.
    range_steepness : float
        How fast the ends of the range are reached.
    num_channels : int
        State size of a layer.
    """

    eigenvalue_range: str = per_run("[-1,1]")
    range_steepness: float = per_run(4.0)
    num_channels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels")
        EigenvalueRange.parse(self.eigenvalue_range, self.range_steepness)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"diagonal {self.eigenvalue_range}"


class DiagonalMixer(nn.Module):
    """One diagonal recurrence with a normalised, scale-free readout.

    Parameters
    ----------
    config : DiagonalConfig
    """

    def __init__(self, config: DiagonalConfig) -> None:
        super().__init__()
        self.range = EigenvalueRange.parse(config.eigenvalue_range, config.range_steepness).module()
        self.to_eigenvalue = Projection(config.width, config.num_channels)
        self.to_input = Projection(config.width, config.num_channels)
        self.start = nn.Parameter(torch.randn(config.num_channels))
        self.norm = RMSNorm(config.num_channels)
        self.output = Projection(config.num_channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BN,) = state
        a_BTN = self.range.eigenvalue(self.to_eigenvalue(x_BTD))
        h_BTN, after_BN = diagonal_scan(a_BTN, self.to_input(x_BTD), before_BN)
        return self.output(self.norm(h_BTN)), (after_BN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """1 x 1 blocks [B, T, channels, 1, 1]."""
        a_BTN = self.range.eigenvalue(self.to_eigenvalue(x_BTD))
        return a_BTN[..., None, None]


def build(config: DiagonalConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around diagonal mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: DiagonalMixer(config))


register_model(
    "diagonal", DiagonalConfig, build, summary="diagonal linear RNN, eigenvalues by token"
)
