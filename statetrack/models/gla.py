"""Gated Linear Attention: every channel of the key forgets at a rate chosen by the token.

``S_t = diag(a_t) S_{t-1} + k_t v_t^T``, ``o_t = S_t^T q_t``, ``a_t = sigmoid(W2 W1 x_t)^(1/16)``
(Yang et al. 2023, arXiv 2312.06635, section 4). Other eigenvalue ranges are the affine image ``lo +
(hi - lo) gate`` of that gate (Grazzi et al. 2024, arXiv 2411.12537).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, silu

from automata.errors import InputError
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm, at_least_float32
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import outer_product_scan


@dataclass(frozen=True, kw_only=True)
class GLAConfig(BackboneConfig):
    """Parameters of Gated Linear Attention.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" of the decays; "[0,1]" is the published model.
    range_steepness : float
        Factor inside the sigmoid; 1 is the published model.
    gate_temperature : float
        Root taken of the sigmoid; 16 is the published model. Large ones keep gates near ``hi`` and
        make ``lo`` hard to reach: the gate is e only at a raw number of about temperature * ln e.
    gate_rank : int
        Rank of the map from a token to its gates.
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    """

    eigenvalue_range: str = per_run("[0,1]")
    range_steepness: float = per_run(1.0)
    gate_temperature: float = 16.0
    gate_rank: int = 16
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "gate_rank", "num_heads", "head_size")
        EigenvalueRange.parse(self.eigenvalue_range, self.range_steepness)
        if not 0.0 < self.gate_temperature < math.inf:
            raise InputError(f"gate_temperature {self.gate_temperature:g}: expected a number > 0")

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"GLA {self.eigenvalue_range}"


class GLAMixer(nn.Module):
    """Heads of channelwise gated linear attention with a normalised, gated readout.

    Parameters
    ----------
    config : GLAConfig
    """

    def __init__(self, config: GLAConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size, self.temperature = heads, size, config.gate_temperature
        self.range = EigenvalueRange.parse(config.eigenvalue_range, config.range_steepness).module()
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_key = Projection(config.width, heads * size, bias=False)
        self.to_value = Projection(config.width, heads * size, bias=False)
        self.to_decay = nn.Sequential(
            Projection(config.width, config.gate_rank, bias=False),
            Projection(config.gate_rank, heads * size),
        )
        self.to_gate = Projection(config.width, heads * size, bias=False)
        self.start = nn.Parameter(torch.randn(heads, size, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BHKV,) = state
        o_BHTV, after_BHKV = outer_product_scan(
            split_heads(self.to_query(x_BTD), self.heads) / math.sqrt(self.size),
            split_heads(self.to_key(x_BTD), self.heads),
            split_heads(self.to_value(x_BTD), self.heads),
            self._decays(x_BTD),
            initial=before_BHKV,
        )
        y_BTE = merge_heads(self.norm(o_BHTV)) * silu(self.to_gate(x_BTD))
        return self.output(y_BTE), (after_BHKV,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Diagonal matrices [B, T, H, K, K]."""
        return torch.diag_embed(self._decays(x_BTD).transpose(1, 2))

    def _decays(self, x_BTD: Tensor) -> Tensor:
        raw_BHTK = at_least_float32(split_heads(self.to_decay(x_BTD), self.heads))
        # A root of the sigmoid itself has gradient 0 * inf where the sigmoid underflows.
        log_gate_BHTK = logsigmoid(self.range.steepness * raw_BHTK) / self.temperature
        return self.range.stretch(log_gate_BHTK.exp())


def build(config: GLAConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around GLA mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: GLAMixer(config))


register_model(
    "gla", GLAConfig, build, summary="Gated Linear Attention: a decay per key channel and token"
)
