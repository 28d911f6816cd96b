"""Linear transformer: attention without softmax, as a sum of outer products.

``S_t = S_{t-1} + phi(k_t) v_t^T``, ``z_t = z_{t-1} + phi(k_t)``, ``y_t = S_t^T phi(q_t) / (z_t .
phi(q_t))`` with ``phi(x) = elu(x) + 1`` (Katharopoulos et al. 2020, arXiv 2006.16236, equations 7
and 16 to 20). Its transitions are identities: it counts, it never forgets or permutes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from statetrack.models.backbone import Backbone, State, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection
from statetrack.scans import outer_product_scan


@dataclass(frozen=True, kw_only=True)
class LinearAttentionConfig(BackboneConfig):
    """Parameters of the linear transformer.

    Parameters
    ----------
    num_heads, head_size : int
        Heads, and the size of keys and values in each.
    """

    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "linear attention"


class LinearAttentionMixer(nn.Module):
    """Heads of linear attention, read through their normaliser.

    Parameters
    ----------
    config : LinearAttentionConfig
    """

    def __init__(self, config: LinearAttentionConfig) -> None:
        super().__init__()
        self.heads, self.size = config.num_heads, config.head_size
        channels = config.num_heads * config.head_size
        self.to_query = Projection(config.width, channels, bias=False)
        self.to_key = Projection(config.width, channels, bias=False)
        self.to_value = Projection(config.width, channels, bias=False)
        self.output = Projection(channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (numerator, normaliser) after the last token."""
        before_BHKV, normaliser_BHK = state
        q_BHTK = elu(split_heads(self.to_query(x_BTD), self.heads)) + 1.0
        k_BHTK = elu(split_heads(self.to_key(x_BTD), self.heads)) + 1.0
        v_BHTV = split_heads(self.to_value(x_BTD), self.heads)
        o_BHTV, after_BHKV = outer_product_scan(q_BHTK, k_BHTK, v_BHTV, initial=before_BHKV)
        z_BHTK = normaliser_BHK.unsqueeze(-2) + k_BHTK.cumsum(dim=-2)
        weight_BHT1 = (q_BHTK * z_BHTK).sum(dim=-1, keepdim=True)
        y_BHTV = o_BHTV / (weight_BHT1 + torch.finfo(x_BTD.dtype).tiny)
        return (
            self.output(merge_heads(y_BHTV)),
            (after_BHKV, normaliser_BHK + k_BHTK.sum(dim=-2)),
        )

    def initial_state(self, batch_size: int) -> State:
        """Zeros, numerator [B, H, K, V] and normaliser [B, H, K]."""
        weight = self.to_key.weight
        return (
            weight.new_zeros(batch_size, self.heads, self.size, self.size),
            weight.new_zeros(batch_size, self.heads, self.size),
        )

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Identities [B, T, H, K, K], for numerator and normaliser alike."""
        identity = torch.eye(self.size, dtype=x_BTD.dtype, device=x_BTD.device)
        return identity.expand(*x_BTD.shape[:-1], self.heads, -1, -1)


def build(config: LinearAttentionConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around linear attention mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: LinearAttentionMixer(config))


register_model(
    "linear_attention",
    LinearAttentionConfig,
    build,
    summary="linear transformer: sums of outer products with a normaliser, no decay",
)
