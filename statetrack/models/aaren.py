"""Aaren: attention with a query that no token changes, read off a state of constant size.

``o_t = sum_{s <= t} exp(q . k_s) v_s / sum_{s <= t} exp(q . k_s)`` with a learned query q in every
head, as the recurrence of numerator, denominator and running maximum (Feng et al. 2024, arXiv
2405.13956, section 3). In parallel the maxima are a cumulative maximum (`stabilise`) and the two
sums one `outer_product_scan` with a single key channel.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection
from statetrack.models.stabilised import stabilise
from statetrack.scans import outer_product_scan


@dataclass(frozen=True, kw_only=True)
class AarenConfig(BackboneConfig):
    """Parameters of Aaren.

    Parameters
    ----------
    num_heads, head_size : int
        Heads, and the size of the query, keys and values in each.
    """

    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "Aaren"


class AarenMixer(nn.Module):
    """Heads of softmax attention with one learned query each.

    Parameters
    ----------
    config : AarenConfig
    """

    def __init__(self, config: AarenConfig) -> None:
        super().__init__()
        self.heads, self.size = config.num_heads, config.head_size
        channels = config.num_heads * config.head_size
        self.query = nn.Parameter(torch.randn(config.num_heads, config.head_size))
        self.to_key = Projection(config.width, channels, bias=False)
        self.to_value = Projection(config.width, channels, bias=False)
        self.output = Projection(channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (maximum, numerator, denominator)."""
        maximum_BH, numerator_BHV, denominator_BH = state
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        k_BHTK = split_heads(self.to_key(x_BTD), self.heads)
        score_BHT = (k_BHTK @ self.query.unsqueeze(-1)).squeeze(-1) / math.sqrt(self.size)
        decay_BHT, weight_BHT, maximum_BHT = stabilise(None, score_BHT, maximum_BH)
        v_BHTV = split_heads(self.to_value(x_BTD), self.heads)
        before_BHW = torch.cat([numerator_BHV, denominator_BH.unsqueeze(-1)], dim=-1)
        o_BHTW, after_BH1W = outer_product_scan(
            torch.ones_like(weight_BHT).unsqueeze(-1),
            weight_BHT.unsqueeze(-1),
            torch.cat([v_BHTV, torch.ones_like(v_BHTV[..., :1])], dim=-1),
            decay_BHT,
            initial=before_BHW.unsqueeze(-2),
        )
        y_BTE = merge_heads(o_BHTW[..., :-1] / o_BHTW[..., -1:])
        after_BHW = after_BH1W.squeeze(-2)
        return self.output(y_BTE), (maximum_BHT[..., -1], after_BHW[..., :-1], after_BHW[..., -1])

    def initial_state(self, batch_size: int) -> State:
        """Maximum [B, H], the lowest number there is; numerator [B, H, V] and denominator 0."""
        query = self.query
        lowest = torch.finfo(query.dtype).min
        return (
            query.new_full((batch_size, self.heads), lowest),
            query.new_zeros(batch_size, self.heads, self.size),
            query.new_zeros(batch_size, self.heads),
        )

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Ones [B, T, H, 1, 1]: ``exp(maximum)`` times numerator and denominator are sums."""
        return x_BTD.new_ones(*x_BTD.shape[:-1], self.heads, 1, 1)


def build(config: AarenConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around Aaren mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: AarenMixer(config))


register_model(
    "aaren", AarenConfig, build, summary="Aaren: attention of a learned query as a recurrence"
)
