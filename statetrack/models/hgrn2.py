"""HGRN2: a gated linear RNN whose state is expanded by outer products.

``S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t^T``, ``o_t = S_t^T q_t``: the key is what the forget gate
leaves (Qin et al. 2024, arXiv 2404.07904, section 3). The gate is ``b + (1 - b) sigmoid``; the
lower bound b is learned per layer in the paper and a number of the configuration here.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from automata.errors import InputError
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, per_run, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm, at_least_float32
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import outer_product_scan


@dataclass(frozen=True, kw_only=True)
class HGRN2Config(BackboneConfig):
    """Parameters of HGRN2.

    Parameters
    ----------
    eigenvalue_range : str
        "[lo,hi]" that the gate's [0, 1] is mapped to (Grazzi et al. 2024, arXiv 2411.12537);
        "[0,1]" is the published model. Keys are ``1 - f``, so up to 2 with "[-1,1]".
    range_steepness : float
        Factor inside the sigmoid; 1 is the published model.
    lower_bound : float
        Share of the range, from its lower end, that no forget gate enters.
    num_heads, head_size : int
        Heads, and the size of keys (the expansion) and values in each.
    """

    eigenvalue_range: str = per_run("[0,1]")
    range_steepness: float = per_run(1.0)
    lower_bound: float = 0.0
    num_heads: int = 4
    head_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")
        EigenvalueRange.parse(self.eigenvalue_range, self.range_steepness)
        if not 0.0 <= self.lower_bound < 1.0:
            raise InputError(f"lower_bound {self.lower_bound:g}: expected 0 <= lower_bound < 1")

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"HGRN2 {self.eigenvalue_range}"


class HGRN2Mixer(nn.Module):
    """Heads of gated, expanded states with a normalised readout.

    Parameters
    ----------
    config : HGRN2Config
    """

    def __init__(self, config: HGRN2Config) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.lower_bound = heads, config.lower_bound
        self.range = EigenvalueRange.parse(config.eigenvalue_range, config.range_steepness).module()
        self.to_query = Projection(config.width, heads * size, bias=False)
        self.to_forget = Projection(config.width, heads * size)
        self.to_value = Projection(config.width, heads * size, bias=False)
        self.start = nn.Parameter(torch.randn(heads, size, size) / math.sqrt(size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BHKV,) = state
        f_BHTK = self._forget(x_BTD)
        o_BHTV, after_BHKV = outer_product_scan(
            split_heads(silu(self.to_query(x_BTD)), self.heads),
            (1.0 - f_BHTK).to(x_BTD.dtype),
            split_heads(self.to_value(x_BTD), self.heads),
            f_BHTK,
            initial=before_BHKV,
        )
        return self.output(merge_heads(self.norm(o_BHTV))), (after_BHKV,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Diagonal matrices [B, T, H, K, K]."""
        return torch.diag_embed(self._forget(x_BTD).transpose(1, 2))

    def _forget(self, x_BTD: Tensor) -> Tensor:
        raw_BHTK = at_least_float32(split_heads(self.to_forget(x_BTD), self.heads))
        gate_BHTK = torch.sigmoid(self.range.steepness * raw_BHTK)
        return self.range.stretch(self.lower_bound + (1.0 - self.lower_bound) * gate_BHTK)


def build(config: HGRN2Config, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around HGRN2 mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: HGRN2Mixer(config))


register_model(
    "hgrn2", HGRN2Config, build, summary="HGRN2: forget gates whose complement is the key"
)
