"""Transformer: causal softmax attention, the parallel model without a recurrence.

Vaswani et al. 2017 (arXiv 1706.03762), section 3.2, with the ways to say where a token is:
sinusoids (section 3.5), learned vectors, rotations of queries and keys (Su et al. 2021, arXiv
2104.09864) and penalties by distance (ALiBi, Press et al. 2021, arXiv 2108.12409).

The state is the keys and values of all tokens so far; its length is the position count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import InputError, unknown_name
from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection
from statetrack.models.positions import angles, distance_slopes, positions, rotate_pairs, sinusoids
from statetrack.models.softmax import causal_attention

POSITIONS = ("none", "sinusoidal", "learned", "rotary", "alibi")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(BackboneConfig):
    """Parameters of the transformer.

    Parameters
    ----------
    position : {"none", "sinusoidal", "learned", "rotary", "alibi"}
        How a layer knows the order of tokens. Sinusoids and learned vectors are added to the
        normalised input of every layer.
    max_length : int
        Longest word with ``position="learned"``; the others have no limit.
    num_heads, head_size : int
        Heads, and the size of keys and values in each; even with ``position="rotary"``.
    """

    position: str = "rotary"
    max_length: int = 512
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "max_length", "num_heads", "head_size")
        if self.position not in POSITIONS:
            raise unknown_name("transformer position", self.position, POSITIONS)
        if self.position == "rotary" and self.head_size % 2:
            raise InputError(
                f"transformer head_size = {self.head_size}: position='rotary' needs an even number"
            )

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"transformer {self.position}"


class TransformerMixer(nn.Module):
    """Heads of causal softmax attention with a cache.

    Parameters
    ----------
    config : TransformerConfig
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.size = config.num_heads, config.head_size
        self.position, self.max_length = config.position, config.max_length
        channels = config.num_heads * config.head_size
        self.to_query = Projection(config.width, channels, bias=False)
        self.to_key = Projection(config.width, channels, bias=False)
        self.to_value = Projection(config.width, channels, bias=False)
        self.output = Projection(channels, config.width, bias=False, widens=False)
        if config.position == "learned":
            self.positions = nn.Parameter(torch.randn(config.max_length, config.width))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (keys, values) after the last token.

        Raises
        ------
        InputError
            More tokens than `max_length` with learned positions.
        """
        keys_BHSK, values_BHSV = state
        first, end = keys_BHSK.shape[-2], keys_BHSK.shape[-2] + x_BTD.shape[-2]
        positions_T = positions(first, end, x_BTD)
        if self.position == "sinusoidal":
            x_BTD = x_BTD + sinusoids(positions_T, x_BTD.shape[-1]).to(x_BTD.dtype)
        elif self.position == "learned":
            if end > self.max_length:
                raise InputError(
                    f"word of {end} tokens: learned positions end at max_length = "
                    f"{self.max_length}; raise it or choose another position"
                )
            x_BTD = x_BTD + self.positions[first:end]
        q_BHTK = split_heads(self.to_query(x_BTD), self.heads)
        k_BHTK = split_heads(self.to_key(x_BTD), self.heads)
        if self.position == "rotary":
            angles_TP = angles(positions_T, self.size // 2)
            q_BHTK, k_BHTK = rotate_pairs(q_BHTK, angles_TP), rotate_pairs(k_BHTK, angles_TP)
        keys_BHSK = torch.cat([keys_BHSK, k_BHTK], dim=-2)
        values_BHSV = torch.cat(
            [values_BHSV, split_heads(self.to_value(x_BTD), self.heads)], dim=-2
        )
        slopes_H = distance_slopes(self.heads, x_BTD) if self.position == "alibi" else None
        y_BHTV = causal_attention(q_BHTK, keys_BHSK, values_BHSV, slopes_H)
        return self.output(merge_heads(y_BHTV)), (keys_BHSK, values_BHSV)

    def initial_state(self, batch_size: int) -> State:
        """No keys and no values, [B, H, 0, K] each."""
        empty = self.to_key.weight.new_zeros(batch_size, self.heads, 0, self.size)
        return empty, empty

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: attention has no state that a token acts on."""
        return None


def build(config: TransformerConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around attention layers."""
    return Backbone(config, num_tokens, num_classes, lambda: TransformerMixer(config))


register_model(
    "transformer",
    TransformerConfig,
    build,
    summary="causal softmax attention with a choice of position encodings",
)
