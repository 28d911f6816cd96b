"""M2RNN: a nonlinear recurrence with a matrix for a state.

``Z_t = tanh(H_{t-1} W + k_t v_t^T)``, ``H_t = f_t H_{t-1} + (1 - f_t) Z_t``, ``y_t = H_t^T q_t +
D v_t`` (Mishra et al. 2026, arXiv 2603.14360; in the form of the authors' code, lm-engine). Every
row of H is a tanh network of V units with the weights W of its head; rows differ in how strongly,
by ``k_t``, a token drives them. The forget gate f is Mamba-2's decay.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.decays import ExponentialDecay
from statetrack.models.modules import Projection, RMSNorm


@dataclass(frozen=True, kw_only=True)
class M2RNNConfig(BackboneConfig):
    """Parameters of M2RNN.

    Parameters
    ----------
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    output_gate : bool
        Multiply outputs by ``silu`` of a linear map of the token, as published.
    """

    num_heads: int = 4
    head_size: int = 8
    output_gate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "M2RNN"


class M2RNNMixer(nn.Module):
    """Heads of nonlinear matrix states, read off by queries and normalised.

    Parameters
    ----------
    config : M2RNNConfig
    """

    def __init__(self, config: M2RNNConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size = heads, size
        channels = heads * size
        self.to_query = Projection(config.width, channels, bias=False)
        self.to_key = Projection(config.width, channels, bias=False)
        self.to_value = Projection(config.width, channels, bias=False)
        self.forget_gate = ExponentialDecay(config.width, heads, 1)
        self.recurrent = nn.Parameter(torch.eye(size).repeat(heads, 1, 1))
        self.skip = nn.Parameter(torch.ones(heads, 1, size))
        self.to_gate = (
            Projection(config.width, channels, bias=False) if config.output_gate else None
        )
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state [B, H, K, V] after the last token."""
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        (h_BHKV,) = state
        q_BHTK = split_heads(self.to_query(x_BTD), self.heads) / math.sqrt(self.size)
        k_BHTK = split_heads(self.to_key(x_BTD), self.heads)
        v_BHTV = split_heads(self.to_value(x_BTD), self.heads)
        f_BHT1 = self.forget_gate(x_BTD)
        outputs = []
        for q_BHK, k_BHK, v_BHV, f_BH1 in zip(
            *(one.unbind(dim=-2) for one in (q_BHTK, k_BHTK, v_BHTV, f_BHT1)), strict=True
        ):
            written_BHKV = k_BHK.unsqueeze(-1) * v_BHV.unsqueeze(-2)
            new_BHKV = torch.tanh(h_BHKV @ self.recurrent + written_BHKV)
            h_BHKV = torch.lerp(new_BHKV, h_BHKV, f_BH1.unsqueeze(-1))
            outputs.append((q_BHK.unsqueeze(-2) @ h_BHKV).squeeze(-2))
        y_BHTV = torch.stack(outputs, dim=-2) + self.skip * v_BHTV
        y_BTE = merge_heads(self.norm(y_BHTV))
        if self.to_gate is not None:
            y_BTE = y_BTE * silu(self.to_gate(x_BTD))
        return self.output(y_BTE), (h_BHKV,)

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H, K, V]."""
        return (self.recurrent.new_zeros(batch_size, self.heads, self.size, self.size),)

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: the step is not linear in the state."""
        return None


def build(config: M2RNNConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around M2RNN mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: M2RNNMixer(config))


register_model("m2rnn", M2RNNConfig, build, summary="M2RNN: matrix state, tanh, sequential")
