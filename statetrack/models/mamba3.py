"""Mamba-3: a real decay times a rotation of pairs, both chosen by the token.

A pair of real numbers turned in its plane is one complex number: the transition is complex
diagonal. Source: Mamba-3 (ICLR 2026), propositions 1 (trapezoidal rule) and 2 to 4 (rotations).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm, as_complex, step_bias
from statetrack.models.ranges import EigenvalueRange, UnitCircle
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class Mamba3Config(BackboneConfig):
    """Parameters of Mamba-3.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of the real decays that the rotations are multiplied by.
    num_heads, head_size : int
        Heads, and the channels of each.
    num_pairs : int
        Rotated pairs of state per channel, half of the real state size.
    """

    eigenvalue_range: str = per_run("[0,1]")
    num_heads: int = 4
    head_size: int = 16
    num_pairs: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size", "num_pairs")
        EigenvalueRange.parse(self.eigenvalue_range)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"Mamba-3 {self.eigenvalue_range}"


class Mamba3Mixer(nn.Module):
    """Single-input single-output Mamba-3 with its gate and its normalised, biased B and C.

    With ``a_t = stretch(exp(-Delta_t A_t)) exp(i Delta_t theta_t)`` and writes ``w_t = B_t u_t``:
    ``h_t = a_t h_{t-1} + (1 - lambda_t) Delta_t a_t w_{t-1} + lambda_t Delta_t w_t`` and
    ``y_t = Re(conj(C_t) h_t) + D u_t``, where ``theta_t = pi tanh(W x_t)`` as in the published code
    and ``A_t = softplus(W x_t)``. The state is h and the write of the token before; h starts
    from learned numbers instead of zeros, the write from zeros.

    Parameters
    ----------
    config : Mamba3Config
    """

    def __init__(self, config: Mamba3Config) -> None:
        super().__init__()
        width, heads, size = config.width, config.num_heads, config.head_size
        pairs = config.num_pairs
        self.heads, self.pairs, self.size = heads, pairs, size
        self.decays = EigenvalueRange.parse(config.eigenvalue_range).module()
        self.rotations = UnitCircle()
        self.to_input = Projection(width, heads * size, bias=False)
        self.to_gate = Projection(width, heads * size, bias=False)
        self.to_step = Projection(width, heads)
        self.to_step.bias = nn.Parameter(step_bias(heads))
        self.to_rate = Projection(width, heads, bias=False)
        self.to_trapezoid = Projection(width, heads, bias=False)
        self.to_frequency = Projection(width, pairs, bias=False)
        self.to_write = Projection(width, 2 * pairs, bias=False)
        self.to_read = Projection(width, 2 * pairs, bias=False)
        self.write_norm, self.read_norm = RMSNorm(2 * pairs), RMSNorm(2 * pairs)
        self.write_bias = nn.Parameter(torch.ones(heads, 2 * pairs))
        self.read_bias = nn.Parameter(torch.ones(heads, 2 * pairs))
        self.skip = nn.Parameter(torch.ones(heads, 1))
        self.start = nn.Parameter(torch.randn(heads * pairs, 2 * size))
        self.output = Projection(heads * size, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the complex state [B, heads * pairs, head size], twice."""
        before_BNP, written_BNP = state
        u_BTHP = self.to_input(x_BTD).unflatten(-1, (self.heads, self.size))
        step_BTH1 = nn.functional.softplus(self.to_step(x_BTD)).unsqueeze(-1)
        a_BTN1 = self._eigenvalues(x_BTD).unsqueeze(-1)
        write_BTHR = self.write_norm(self.to_write(x_BTD)).unsqueeze(-2) + self.write_bias
        read_BTHR = self.read_norm(self.to_read(x_BTD)).unsqueeze(-2) + self.read_bias
        w_BTNP = (as_complex(write_BTHR).unsqueeze(-1) * u_BTHP.unsqueeze(-2)).flatten(-3, -2)
        history_BTNP = torch.cat([written_BNP.unsqueeze(1), w_BTNP], dim=1)
        share_BTH1 = torch.sigmoid(self.to_trapezoid(x_BTD)).unsqueeze(-1)
        now_BTN1 = (share_BTH1 * step_BTH1).repeat_interleave(self.pairs, dim=-2)
        past_BTN1 = ((1.0 - share_BTH1) * step_BTH1).repeat_interleave(self.pairs, dim=-2)
        input_BTNP = now_BTN1 * w_BTNP + past_BTN1 * a_BTN1 * history_BTNP[:, :-1]
        h_BTNP, after_BNP = diagonal_scan(
            a_BTN1.expand(input_BTNP.shape), input_BTNP, before_BNP, state_axes=2
        )
        h_BTHNP = h_BTNP.unflatten(-2, (self.heads, self.pairs))
        product_BTHNP = as_complex(read_BTHR).conj().unsqueeze(-1) * h_BTHNP
        y_BTHP = product_BTHNP.sum(dim=-2).real + self.skip * u_BTHP
        gated_BTE = y_BTHP.flatten(-2) * nn.functional.silu(self.to_gate(x_BTD))
        return self.output(gated_BTE), (after_BNP, history_BTNP[:, -1])

    def initial_state(self, batch_size: int) -> State:
        """Learned complex state before the first token, and nothing written."""
        start_BNP = expand_state(as_complex(self.start), batch_size)
        return start_BNP, torch.zeros_like(start_BNP)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Complex 1 x 1 blocks [B, T, heads * pairs, 1, 1], the same for all channels of a head."""
        return self._eigenvalues(x_BTD)[..., None, None]

    def _eigenvalues(self, x_BTD: Tensor) -> Tensor:
        step_BTH1 = nn.functional.softplus(self.to_step(x_BTD)).unsqueeze(-1)
        rate_BTH1 = nn.functional.softplus(self.to_rate(x_BTD)).unsqueeze(-1)
        decay_BTH1 = self.decays.stretch(torch.exp(-step_BTH1 * rate_BTH1))
        angle_BTHN = step_BTH1 * (math.pi * torch.tanh(self.to_frequency(x_BTD))).unsqueeze(-2)
        return (decay_BTH1 * self.rotations.eigenvalue_of_angle(angle_BTHN)).flatten(-2)


def build(config: Mamba3Config, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around Mamba-3 mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: Mamba3Mixer(config))


register_model(
    "mamba3", Mamba3Config, build, summary="Mamba-3: real decay times rotation of pairs, by token"
)
