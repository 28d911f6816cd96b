"""AUSSM: unitary state space whose rotations are chosen by the token.

The generator of every token is skew-symmetric, so in its eigenbasis the transition is diagonal on
the unit circle. Source: Karuvally et al. 2025 (arXiv 2507.05238) and its published code.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, as_complex
from statetrack.models.ranges import UnitCircle
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class AUSSMConfig(BackboneConfig):
    """Parameters of the adaptive unitary state space model.

    Parameters
    ----------
    num_channels, state_size : int
        Channels, and complex numbers of state in each.
    step_rank : int
        Rank of the map from a token to its time steps.
    """

    num_channels: int = 64
    state_size: int = 8
    step_rank: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels", "state_size", "step_rank")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "AUSSM"


class AUSSMMixer(nn.Module):
    """Adaptive unitary recurrence with the gate of its block, without the short convolution.

    With ``v_t = silu(u_t)``, for every channel ``h_t = exp(i A(u_t)) h_{t-1} + Delta_t B v_t`` and
    ``y_t = Re(C h_t) + D v_t``: the angles A come from all channels of the token and, as in the
    published code, do not depend on the time step Delta; B and C are fixed and shared by the
    channels. The state starts from learned numbers instead of zeros.

    Parameters
    ----------
    config : AUSSMConfig
    """

    def __init__(self, config: AUSSMConfig) -> None:
        super().__init__()
        channels, size = config.num_channels, config.state_size
        self.range = UnitCircle()
        self.to_input = Projection(config.width, channels, bias=False)
        self.to_gate = Projection(config.width, channels, bias=False)
        self.to_step_rank = Projection(channels, config.step_rank, bias=False)
        self.to_step = Projection(config.step_rank, channels)
        self.to_angle = Projection(channels, channels * size)
        nn.init.uniform_(self.to_angle.bias, -math.pi, math.pi)
        self.write = nn.Parameter(torch.randn(2 * size) / math.sqrt(2))
        self.read = nn.Parameter(torch.randn(2 * size) / math.sqrt(2))
        self.skip = nn.Parameter(torch.ones(channels))
        self.start = nn.Parameter(torch.randn(channels, 2 * size))
        self.output = Projection(channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the complex state [B, channels, N] after the last token."""
        (before_BCN,) = state
        u_BTC = self.to_input(x_BTD)
        v_BTC = nn.functional.silu(u_BTC)
        step_BTC = nn.functional.softplus(self.to_step(self.to_step_rank(u_BTC)))
        input_BTCN = (step_BTC * v_BTC).unsqueeze(-1) * as_complex(self.write)
        h_BTCN, after_BCN = diagonal_scan(
            self._eigenvalues(u_BTC), input_BTCN, before_BCN, state_axes=2
        )
        y_BTC = (as_complex(self.read) * h_BTCN).sum(dim=-1).real + self.skip * v_BTC
        return self.output(y_BTC * nn.functional.silu(self.to_gate(x_BTD))), (after_BCN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned complex state before the first token."""
        return (expand_state(as_complex(self.start), batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Complex 1 x 1 blocks [B, T, channels * state_size, 1, 1]."""
        return self._eigenvalues(self.to_input(x_BTD)).flatten(-2)[..., None, None]

    def _eigenvalues(self, u_BTC: Tensor) -> Tensor:
        angle_BTE = self.to_angle(u_BTC)
        return self.range.eigenvalue_of_angle(angle_BTE.unflatten(-1, (u_BTC.shape[-1], -1)))


def build(config: AUSSMConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around adaptive unitary mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: AUSSMMixer(config))


register_model(
    "aussm", AUSSMConfig, build, summary="AUSSM: unitary diagonal, rotations chosen by the token"
)
