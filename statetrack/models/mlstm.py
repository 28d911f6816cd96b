"""mLSTM: the matrix memory of xLSTM, with exponential gates.

``C_t = f_t C_{t-1} + i_t k_t v_t^T``, ``n_t = f_t n_{t-1} + i_t k_t``, ``h_t = C_t^T q_t / max(|n_t
. q_t|, 1)`` with ``i = exp``, ``f = sigmoid`` or ``exp`` (Beck et al. 2024, arXiv 2405.04517,
equations 19 to 27; C is transposed here).

The state is ``(C, n)`` divided by ``exp(m)`` together with the stabiliser m itself. All stabilisers
of a word are found first (`stabilise`), and with the decays and weights rescaled by them the
recurrence is one `outer_product_scan` in which n is one more value channel, for values 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from automata.errors import unknown_name
from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.stabilised import stabilise
from statetrack.scans import outer_product_scan

FORGET_GATES = ("sigmoid", "exponential")


@dataclass(frozen=True, kw_only=True)
class MLSTMConfig(BackboneConfig):
    """Parameters of the mLSTM.

    Parameters
    ----------
    forget_gate : {"sigmoid", "exponential"}
        How raw numbers become forget gates; both are positive, "exponential" may exceed 1.
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    """

    forget_gate: str = "sigmoid"
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")
        if self.forget_gate not in FORGET_GATES:
            raise unknown_name("mLSTM forget_gate", self.forget_gate, FORGET_GATES)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"mLSTM {self.forget_gate}"


class MLSTMMixer(nn.Module):
    """Heads of matrix memory with a normalised, gated readout.

    Parameters
    ----------
    config : MLSTMConfig
    """

    def __init__(self, config: MLSTMConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size, self.forget_gate = heads, size, config.forget_gate
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_key = Projection(config.width, heads * size, bias=False)
        self.to_value = Projection(config.width, heads * size, bias=False)
        self.to_input_gate = Projection(config.width, heads)
        self.to_forget_gate = Projection(config.width, heads)
        if config.forget_gate == "sigmoid":
            with torch.no_grad():
                self.to_forget_gate.bias.copy_(torch.linspace(3.0, 6.0, heads))
        self.to_output_gate = Projection(config.width, heads * size)
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (memory, normaliser, stabiliser) after the last token."""
        memory_BHKV, normaliser_BHK, stabiliser_BH = state
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        decay_BHT, weight_BHT, stabiliser_BHT = stabilise(
            self._log_forget(x_BTD), self.to_input_gate(x_BTD).mT, stabiliser_BH
        )
        k_BHTK = split_heads(self.to_key(x_BTD), self.heads) / math.sqrt(self.size)
        v_BHTV = split_heads(self.to_value(x_BTD), self.heads)
        o_BHTW, after_BHKW = outer_product_scan(
            split_heads(self.to_query(x_BTD), self.heads),
            weight_BHT.unsqueeze(-1) * k_BHTK,
            torch.cat([v_BHTV, torch.ones_like(v_BHTV[..., :1])], dim=-1),
            decay_BHT,
            initial=torch.cat([memory_BHKV, normaliser_BHK.unsqueeze(-1)], dim=-1),
        )
        tiny = torch.finfo(x_BTD.dtype).tiny
        floor_BHT1 = (-stabiliser_BHT).exp().clamp_min(tiny).unsqueeze(-1)
        h_BHTV = o_BHTW[..., :-1] / torch.maximum(o_BHTW[..., -1:].abs(), floor_BHT1)
        y_BTE = torch.sigmoid(self.to_output_gate(x_BTD)) * merge_heads(self.norm(h_BHTV))
        after = after_BHKW[..., :-1], after_BHKW[..., -1], stabiliser_BHT[..., -1]
        return self.output(y_BTE), after

    def initial_state(self, batch_size: int) -> State:
        """Zeros: memory [B, H, K, V], normaliser [B, H, K], stabiliser [B, H]."""
        weight = self.to_key.weight
        return (
            weight.new_zeros(batch_size, self.heads, self.size, self.size),
            weight.new_zeros(batch_size, self.heads, self.size),
            weight.new_zeros(batch_size, self.heads),
        )

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Forget gate times identity, [B, T, H, K, K]: what acts on ``exp(m)`` times C and n."""
        identity = torch.eye(self.size, dtype=x_BTD.dtype, device=x_BTD.device)
        return self._log_forget(x_BTD).exp().mT[..., None, None] * identity

    def _log_forget(self, x_BTD: Tensor) -> Tensor:
        raw_BHT = self.to_forget_gate(x_BTD).mT
        return logsigmoid(raw_BHT) if self.forget_gate == "sigmoid" else raw_BHT


def build(config: MLSTMConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around mLSTM mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: MLSTMMixer(config))


register_model(
    "mlstm", MLSTMConfig, build, summary="mLSTM of xLSTM: matrix memory, exponential gates"
)
