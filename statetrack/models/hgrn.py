"""HGRN: forget gates with a learned lower bound that starts higher in upper layers.

Source: Qin et al. 2023 (arXiv 2311.04823), section 3.2, its real part: the paper also turns the
state by an angle that no token changes.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class HGRNConfig(BackboneConfig):
    """Parameters of the Hierarchically Gated Recurrent Network.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of the transitions; "[0,1]" is the published model.
    num_channels : int
        State size of a layer.
    """

    eigenvalue_range: str = per_run("[0,1]")
    num_channels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels")
        EigenvalueRange.parse(self.eigenvalue_range)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"HGRN {self.eigenvalue_range}"


class HGRNMixer(nn.Module):
    """Forget gate with a lower bound, tied input gate, output gate, normalised readout.

    ``f_t = bound + (1 - bound) sigmoid(W x_t)``, ``h_t = stretch(f_t) h_{t-1} + (1 - f_t) c_t``;
    ``stretch`` is the affine map of the range (Grazzi et al. 2024, arXiv 2411.12537), for [0,1] the
    identity. The paper ties the bounds of all layers by a cumulative softmax; here every layer
    learns its own. The state starts from learned numbers instead of zeros, and the readout is
    normalised by its root mean square in place of mean and variance.

    Parameters
    ----------
    config : HGRNConfig
    initial_bound : float
        Lower bound that the forget gates start from, in (0, 1).
    """

    def __init__(self, config: HGRNConfig, initial_bound: float) -> None:
        super().__init__()
        width, channels = config.width, config.num_channels
        self.range = EigenvalueRange.parse(config.eigenvalue_range).module()
        self.to_forget = Projection(width, channels)
        self.to_value = Projection(width, channels)
        self.to_gate = Projection(width, channels)
        raw_bound = math.log(initial_bound / (1.0 - initial_bound))
        self.raw_bound = nn.Parameter(torch.full((channels,), raw_bound))
        self.start = nn.Parameter(torch.randn(channels))
        self.norm = RMSNorm(channels)
        self.output = Projection(channels, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BN,) = state
        forget_BTN = self._forget(x_BTD)
        input_BTN = (1.0 - forget_BTN) * nn.functional.silu(self.to_value(x_BTD))
        h_BTN, after_BN = diagonal_scan(self.range.stretch(forget_BTN), input_BTN, before_BN)
        gated_BTN = torch.sigmoid(self.to_gate(x_BTD)) * h_BTN
        return self.output(self.norm(gated_BTN)), (after_BN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """1 x 1 blocks [B, T, channels, 1, 1]."""
        return self.range.stretch(self._forget(x_BTD))[..., None, None]

    def _forget(self, x_BTD: Tensor) -> Tensor:
        bound_N = torch.sigmoid(self.raw_bound)
        return bound_N + (1.0 - bound_N) * torch.sigmoid(self.to_forget(x_BTD))


def build(config: HGRNConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around HGRN mixers whose lower bounds rise with depth."""
    layers = itertools.count()
    return Backbone(
        config,
        num_tokens,
        num_classes,
        lambda: HGRNMixer(config, (next(layers) + 0.1) / config.num_layers),
    )


register_model(
    "hgrn", HGRNConfig, build, summary="HGRN: real diagonal forget gates with a lower bound"
)
