"""RG-LRU, the recurrence of Griffin: a learned decay to a power that the token chooses.

Source: De et al. 2024 (arXiv 2402.19427), equations 1 to 4 and section 2.4.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import diagonal_scan

POWER = 8.0  # the constant c of the paper


@dataclass(frozen=True, kw_only=True)
class RGLRUConfig(BackboneConfig):
    """Parameters of the Real-Gated Linear Recurrent Unit.

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
        return f"RG-LRU {self.eigenvalue_range}"


class RGLRUMixer(nn.Module):
    """RG-LRU with the GeLU branch of Griffin's recurrent block, without the short convolution.

    ``h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t u_t)`` with gates r and i from u and
    ``a_t = stretch(sigmoid(Lambda)^(c r_t))``; ``stretch`` is the affine map of the range (Grazzi
    et al. 2024, arXiv 2411.12537), for [0,1] the identity. The state starts from learned numbers
    instead of zeros.

    Parameters
    ----------
    config : RGLRUConfig
    """

    def __init__(self, config: RGLRUConfig) -> None:
        super().__init__()
        channels = config.num_channels
        self.range = EigenvalueRange.parse(config.eigenvalue_range).module()
        self.to_value = Projection(config.width, channels)
        self.to_gate = Projection(config.width, channels)
        self.to_recurrence_gate = Projection(channels, channels)
        self.to_input_gate = Projection(channels, channels)
        # At r = 1 the decays start uniform in [0.9, 0.999], as published.
        base_N = (0.9 + 0.099 * torch.rand(channels)) ** (1.0 / POWER)
        self.raw_decay = nn.Parameter(torch.logit(base_N))
        self.start = nn.Parameter(torch.randn(channels))
        self.output = nn.Linear(channels, config.width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BN,) = state
        u_BTN = self.to_value(x_BTD)
        a_BTN = self._eigenvalues(u_BTN)
        # The square root has no gradient at 0, which a decay that rounds to 1 would meet.
        rest_BTN = ((1.0 - a_BTN) * (1.0 + a_BTN)).clamp_min(torch.finfo(a_BTN.dtype).eps)
        input_BTN = torch.sqrt(rest_BTN) * torch.sigmoid(self.to_input_gate(u_BTN)) * u_BTN
        h_BTN, after_BN = diagonal_scan(a_BTN, input_BTN, before_BN)
        return self.output(h_BTN * nn.functional.gelu(self.to_gate(x_BTD))), (after_BN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """1 x 1 blocks [B, T, channels, 1, 1]."""
        return self._eigenvalues(self.to_value(x_BTD))[..., None, None]

    def _eigenvalues(self, u_BTN: Tensor) -> Tensor:
        gate_BTN = torch.sigmoid(self.to_recurrence_gate(u_BTN))
        log_base_N = nn.functional.logsigmoid(self.raw_decay)
        return self.range.stretch(torch.exp(POWER * gate_BTN * log_base_N))


def build(config: RGLRUConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around RG-LRU mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: RGLRUMixer(config))


register_model(
    "rg_lru", RGLRUConfig, build, summary="RG-LRU of Griffin: gated real diagonal by token"
)
