"""Mamba: selective state space with a real diagonal transition per (channel, state) pair.

Source: Gu and Dao 2023 (arXiv 2312.00752), algorithm 2 and section 3.6; the extended range is the
affine map of Grazzi et al. 2024 (arXiv 2411.12537).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import (
    BackboneConfig,
    Preset,
    per_run,
    register_model,
    require_positive,
)
from statetrack.models.modules import Projection, step_bias
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class MambaConfig(BackboneConfig):
    """Parameters of Mamba.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of the transitions; "[0,1]" is the published model.
    num_channels, state_size : int
        Channels of the selective state space, and numbers of state in each.
    step_rank : int
        Rank of the map from a token to its time steps.
    """

    eigenvalue_range: str = per_run("[0,1]")
    num_channels: int = 64
    state_size: int = 8
    step_rank: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels", "state_size", "step_rank")
        EigenvalueRange.parse(self.eigenvalue_range)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"Mamba {self.eigenvalue_range}"


class MambaMixer(nn.Module):
    """Selective state space with the gate of the Mamba block, without its short convolution.

    ``h_t = stretch(exp(-Delta_t exp(A))) h_{t-1} + Delta_t B_t u_t`` and ``y_t = C_t h_t + D u_t``
    for every channel ``u``; ``stretch`` is the affine map of the range, for [0,1] the identity.
    The state starts from learned numbers instead of the zeros of the paper.

    Parameters
    ----------
    config : MambaConfig
    """

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        channels, size, rank = config.num_channels, config.state_size, config.step_rank
        self.sizes = [rank, size, size]
        self.range = EigenvalueRange.parse(config.eigenvalue_range).module()
        self.to_input = Projection(config.width, channels, bias=False)
        self.to_gate = Projection(config.width, channels, bias=False)
        self.to_selection = Projection(channels, sum(self.sizes), bias=False)
        self.to_step = Projection(rank, channels)
        nn.init.uniform_(self.to_step.weight, -(rank**-0.5), rank**-0.5)
        self.to_step.bias = nn.Parameter(step_bias(channels))
        rate_N = torch.arange(1.0, size + 1)
        self.log_rate = nn.Parameter(torch.log(rate_N).expand(channels, size).clone())
        self.skip = nn.Parameter(torch.ones(channels))
        self.start = nn.Parameter(torch.randn(channels, size))
        self.output = Projection(channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state [B, channels, N] after the last token."""
        (before_BCN,) = state
        u_BTC, step_BTC, write_BTN, read_BTN = self._select(x_BTD)
        input_BTCN = (step_BTC * u_BTC).unsqueeze(-1) * write_BTN.unsqueeze(-2)
        h_BTCN, after_BCN = diagonal_scan(
            self._eigenvalues(step_BTC), input_BTCN, before_BCN, state_axes=2
        )
        y_BTC = (h_BTCN * read_BTN.unsqueeze(-2)).sum(dim=-1) + self.skip * u_BTC
        return self.output(y_BTC * nn.functional.silu(self.to_gate(x_BTD))), (after_BCN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """1 x 1 blocks [B, T, channels * state_size, 1, 1]."""
        _, step_BTC, _, _ = self._select(x_BTD)
        return self._eigenvalues(step_BTC).flatten(-2)[..., None, None]

    def _select(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        u_BTC = nn.functional.silu(self.to_input(x_BTD))
        step_BTR, write_BTN, read_BTN = self.to_selection(u_BTC).split(self.sizes, dim=-1)
        return u_BTC, nn.functional.softplus(self.to_step(step_BTR)), write_BTN, read_BTN

    def _eigenvalues(self, step_BTC: Tensor) -> Tensor:
        return self.range.stretch(torch.exp(-step_BTC.unsqueeze(-1) * torch.exp(self.log_rate)))


def build(config: MambaConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around Mamba mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: MambaMixer(config))


register_model(
    "mamba",
    MambaConfig,
    build,
    summary="Mamba: selective state space, real diagonal by token",
    presets={
        "grazzi-parity": Preset(
            {
                "width": 128,
                "num_layers": 2,
                "num_channels": 256,
                "state_size": 16,
                "step_rank": 8,
                "short_convolution": 4,
                "eigenvalue_range": "[-1,1]",
            },
            "Mamba [-1,1], Grazzi et al. 2025 (arXiv 2411.12537), appendix E.1.2: parity",
        ),
    },
)
