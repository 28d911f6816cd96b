"""Attention whose queries and keys are turned by the word read so far: a non-abelian rotary.

``P_t = P_{t-1} A(x_t)`` is a Matrix Recurrent Unit with orthogonal input matrices; queries and keys
are read in its frame, ``score(t, s) = (P_t q_t) . (P_s k_s) = q_t . (P_s^-1 P_t)^T k_s`` (the
proposal in Levi 2024, mru-lm, to turn queries and keys by the unit). A score therefore depends on
the product ``A(x_{s+1}) ... A(x_t)`` of the tokens between the two alone, wherever they stand; with
commuting rotations of fixed angle this is the rotary embedding (Su et al. 2021, arXiv 2104.09864).

The state is P and the cache of turned keys and of values. P is multiplied on and never
made orthogonal again, so in float32 it drifts: after 4000 tokens ``P P^T`` is off
the identity by 3e-4 with "exponential" and 1e-5 with "cayley" (measured, 8 x 8, initial weights).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import unknown_name
from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection
from statetrack.models.mru_matrices import INPUT_METHODS
from statetrack.models.softmax import causal_attention
from statetrack.scans import matrix_scan
from statetrack.scans.inputs import in_full_precision

ORTHOGONAL_METHODS = tuple(name for name, one in INPUT_METHODS.items() if one.orthogonal)


@dataclass(frozen=True, kw_only=True)
class MRUAttentionConfig(BackboneConfig):
    """Parameters of attention with MRU rotations.

    Parameters
    ----------
    input_method : {"exponential", "cayley", "householder"}
        How a token's numbers become its orthogonal matrix.
    num_heads, head_size : int
        Heads, and the size of keys and values in each, which is the order of the matrices.
    """

    input_method: str = "exponential"
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")
        if self.input_method not in ORTHOGONAL_METHODS:
            raise unknown_name("MRU attention input_method", self.input_method, ORTHOGONAL_METHODS)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"MRU attention {self.input_method}"


class MRUAttentionMixer(nn.Module):
    """Heads of causal softmax attention in the frame of cumulative rotations.

    Parameters
    ----------
    config : MRUAttentionConfig
    """

    def __init__(self, config: MRUAttentionConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size = heads, size
        self.to_matrix = in_full_precision(INPUT_METHODS[config.input_method].matrix)
        self.to_elements = Projection(config.width, heads * size * size, bias=False)
        nn.init.normal_(self.to_elements.weight, std=0.5 / math.sqrt(config.width * size))
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_key = Projection(config.width, heads * size, bias=False)
        self.to_value = Projection(config.width, heads * size, bias=False)
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (rotation, turned keys, values)."""
        rotation_BHKK, keys_BHSK, values_BHSV = state
        p_BHTKK, rotation_BHKK = matrix_scan(self._matrices(x_BTD), initial=rotation_BHKK)
        q_BHTK1 = split_heads(self.to_query(x_BTD), self.heads).unsqueeze(-1)
        k_BHTK1 = split_heads(self.to_key(x_BTD), self.heads).unsqueeze(-1)
        keys_BHSK = torch.cat([keys_BHSK, (p_BHTKK @ k_BHTK1).squeeze(-1)], dim=-2)
        values_BHSV = torch.cat(
            [values_BHSV, split_heads(self.to_value(x_BTD), self.heads)], dim=-2
        )
        y_BHTV = causal_attention((p_BHTKK @ q_BHTK1).squeeze(-1), keys_BHSK, values_BHSV)
        return self.output(merge_heads(y_BHTV)), (rotation_BHKK, keys_BHSK, values_BHSV)

    def initial_state(self, batch_size: int) -> State:
        """Identity [B, H, K, K], no keys and no values, [B, H, 0, K] each."""
        weight = self.to_key.weight
        identity = torch.eye(self.size, dtype=weight.dtype, device=weight.device)
        empty = weight.new_zeros(batch_size, self.heads, 0, self.size)
        return identity.expand(batch_size, self.heads, -1, -1), empty, empty

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """The input matrices, [B, T, H, K, K]: what acts on P; the cache is no linear state."""
        return self._matrices(x_BTD).transpose(1, 2)

    def _matrices(self, x_BTD: Tensor) -> Tensor:
        elements = split_heads(self.to_elements(x_BTD), self.heads)
        return self.to_matrix(elements.unflatten(-1, (self.size, self.size)))


def build(config: MRUAttentionConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around attention with MRU rotations."""
    return Backbone(config, num_tokens, num_classes, lambda: MRUAttentionMixer(config))


register_model(
    "mru_attention",
    MRUAttentionConfig,
    build,
    summary="attention turned by products of input rotations: a non-abelian rotary embedding",
)
