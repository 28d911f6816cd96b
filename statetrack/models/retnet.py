"""RetNet: every head forgets at a rate of its own that no token changes.

``S_t = gamma S_{t-1} + (R^t k_t) v_t^T``, ``o_t = S_t^T R^t q_t`` with ``gamma_h = 1 - 2^(-5-h)``
and a fixed rotation R of channel pairs (Sun et al. 2023, arXiv 2307.08621, section 2.1; the
rotation is optional here, and xPos is left out).

The state kept between calls is ``R^-t S_t``. For it the recurrence is the same at every position,
``gamma R^-1 S + k v^T``, so no position count is carried, and its transitions show the eigenvalues
``gamma e^(i theta)`` that the layer has.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from automata.errors import InputError
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.positions import angles, positions, rotate_pairs
from statetrack.scans import outer_product_scan


@dataclass(frozen=True, kw_only=True)
class RetNetConfig(BackboneConfig):
    """Parameters of RetNet.

    Parameters
    ----------
    rotary : bool
        Turn queries and keys by their position.
    num_heads, head_size : int
        Heads, and the size of keys and values in each; even with `rotary`.
    """

    rotary: bool = True
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")
        if self.rotary and self.head_size % 2:
            raise InputError(f"RetNet head_size = {self.head_size}: rotary needs an even number")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "RetNet" if self.rotary else "RetNet without rotary"


class RetNetMixer(nn.Module):
    """Heads of fixed decay with a normalised, gated readout.

    Parameters
    ----------
    config : RetNetConfig
    """

    def __init__(self, config: RetNetConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size, self.rotary = heads, size, config.rotary
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_key = Projection(config.width, heads * size, bias=False)
        self.to_value = Projection(config.width, heads * size, bias=False)
        self.to_gate = Projection(config.width, heads * size, bias=False)
        self.start = nn.Parameter(torch.randn(heads, size, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (state_BHKV,) = state
        q_BHTK = split_heads(self.to_query(x_BTD), self.heads)
        k_BHTK = split_heads(self.to_key(x_BTD), self.heads) / math.sqrt(self.size)
        v_BHTV = split_heads(self.to_value(x_BTD), self.heads)
        length = x_BTD.shape[-2]
        if self.rotary:
            angles_TP = angles(positions(1, length + 1, x_BTD), self.size // 2)
            q_BHTK, k_BHTK = rotate_pairs(q_BHTK, angles_TP), rotate_pairs(k_BHTK, angles_TP)
        decay_BHT = self._decays(x_BTD)[:, None].expand(*q_BHTK.shape[:-1])
        o_BHTV, state_BHKV = outer_product_scan(
            q_BHTK, k_BHTK, v_BHTV, decay_BHT, initial=state_BHKV
        )
        if self.rotary and length:
            state_BHKV = rotate_pairs(state_BHKV.mT, -angles_TP[-1:]).mT
        y_BTE = merge_heads(self.norm(o_BHTV)) * silu(self.to_gate(x_BTD))
        return self.output(y_BTE), (state_BHKV,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Decay times rotation, the same at every token, [B, T, H, K, K]."""
        turn_KK = torch.eye(self.size, dtype=x_BTD.dtype, device=x_BTD.device)
        if self.rotary:
            # Rows of the identity, turned: the transpose of R, which acts on columns from the left.
            turn_KK = rotate_pairs(turn_KK, angles(positions(1, 2, x_BTD), self.size // 2)).mT
        return (self._decays(x_BTD)[:, None, None] * turn_KK).expand(*x_BTD.shape[:-1], -1, -1, -1)

    def _decays(self, like: Tensor) -> Tensor:
        return 1.0 - 2.0 ** (-5.0 - positions(0, self.heads, like))


def build(config: RetNetConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around RetNet mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: RetNetMixer(config))


register_model(
    "retnet", RetNetConfig, build, summary="RetNet: a fixed decay (and rotation) per head"
)
