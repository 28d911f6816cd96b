"""sLSTM: the LSTM of xLSTM with exponential gates and a normaliser, sequential.

Beck et al. 2024 (arXiv 2405.04517). Pre-activations z, i, f, o each see the token and the hidden
state before: ``c_t = F c_{t-1} + exp(i) tanh(z)``, ``n_t = F n_{t-1} + exp(i)`` and
``h_t = sigmoid(o) c_t / n_t``, where F is sigmoid(f) or exp(f). A stabiliser m keeps both factors
at most 1 and cancels in ``c / n``. The convolution of the published block is left out.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import InputError, unknown_name
from statetrack.models.backbone import Backbone, State
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.scans import nonlinear_scan

FORGET_GATES = ("sigmoid", "exponential")
NUM_GATES = 4


@dataclass(frozen=True, kw_only=True)
class SLSTMConfig(BackboneConfig):
    """Parameters of the sLSTM; the hidden size is the width.

    Parameters
    ----------
    num_heads : int
        Blocks of the recurrent weights; must divide the width.
    forget_gate : {"sigmoid", "exponential"}
    """

    num_heads: int = 4
    forget_gate: str = "sigmoid"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads")
        if self.width % self.num_heads:
            raise InputError(f"num_heads = {self.num_heads} does not divide width = {self.width}")
        if self.forget_gate not in FORGET_GATES:
            raise unknown_name("forget_gate", self.forget_gate, FORGET_GATES)

    @property
    def label(self) -> str:
        """Name in legends."""
        return "sLSTM" if self.forget_gate == "sigmoid" else "sLSTM exponential"


class SLSTMMixer(nn.Module):
    """One layer of sLSTM cells, heads normalised as in the published block.

    Parameters
    ----------
    config : SLSTMConfig
    """

    def __init__(self, config: SLSTMConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.width // config.num_heads
        self.heads, self.size = heads, size
        self.cell = "slstm_exponential" if config.forget_gate == "exponential" else "slstm"
        self.to_gates = Projection(config.width, NUM_GATES * config.width)
        self.recurrent = nn.Parameter(torch.randn(heads, size, NUM_GATES, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads,))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (hidden, cell, normaliser, stabiliser)."""
        gates_BTHGE = self.to_gates(x_BTD).unflatten(-1, (self.heads, NUM_GATES, self.size))
        hidden_HBTE, after_HBSE = nonlinear_scan(
            gates_BTHGE.movedim(-3, -5),
            self.recurrent.transpose(-3, -2),
            initial=torch.stack(state, dim=-2).transpose(-4, -3),
            cell=self.cell,
        )
        after_BHSE = after_HBSE.transpose(-4, -3)
        return self.norm(hidden_HBTE.movedim(-4, -2)).flatten(-2), after_BHSE.unbind(dim=-2)

    def initial_state(self, batch_size: int) -> State:
        """Zeros, four times [B, H, E]."""
        zeros = self.recurrent.new_zeros(batch_size, self.heads, self.size)
        return zeros, zeros, zeros, zeros

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: the step is not linear in the state."""
        return None


def build(config: SLSTMConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around sLSTM layers."""
    return Backbone(config, num_tokens, num_classes, lambda: SLSTMMixer(config))


register_model("slstm", SLSTMConfig, build, summary="sLSTM of xLSTM: exponential gates, sequential")
