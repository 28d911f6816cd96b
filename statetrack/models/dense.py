"""Selective dense state-space model: the transition is a mix of a dictionary of dense matrices.

``h_t = A(x_t) h_{t-1} + B x_t`` with column states, ``A(x) = sum_k softmax(S x)_k A_k``, every
column then divided by its p-norm (Terzic et al., AAAI 2025, arXiv 2412.19350, and their code). The
initial state is learned, as in the other models; published is zero.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.block_diagonal import require_norm_order
from statetrack.models.config import BackboneConfig, Preset, register_model, require_positive
from statetrack.models.matrices import normalise_columns
from statetrack.models.modules import Projection, RMSNorm
from statetrack.scans import matrix_scan


@dataclass(frozen=True, kw_only=True)
class DenseConfig(BackboneConfig):
    """Parameters of the selective dense state-space model.

    Parameters
    ----------
    dictionary_size : int
        Matrices K that are mixed.
    norm_order : float
        The p of the norm of columns.
    num_heads, head_size : int
        Independent recurrences, and the order N of the matrices of each; published is one.
    """

    dictionary_size: int = 6
    norm_order: float = 1.2
    num_heads: int = 1
    head_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dictionary_size", "num_heads", "head_size")
        require_norm_order(self.norm_order)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"SD-SSM K={self.dictionary_size} N={self.head_size}"


class Dictionary(nn.Module):
    """Matrices of a token: softmax mixes of learned ones, the same weights for all entries.

    Parameters
    ----------
    width : int
    num_heads, dictionary_size, size : int
        Heads, matrices of each, and their order.
    spread : float
        Entries start uniform in [-spread, spread].
    """

    def __init__(
        self, width: int, num_heads: int, dictionary_size: int, size: int, spread: float
    ) -> None:
        super().__init__()
        self.heads = num_heads
        self.select = Projection(width, num_heads * dictionary_size)
        self.matrices = nn.Parameter(
            torch.empty(num_heads, dictionary_size, size, size).uniform_(-spread, spread)
        )

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Mixed matrices, [B, H, T, N, N]."""
        weights_BHTK = split_heads(self.select(x_BTD), self.heads).softmax(dim=-1)
        return torch.einsum("...htk,hknm->...htnm", weights_BHTK, self.matrices)


class DenseMixer(nn.Module):
    """Dense linear recurrences with a normalised, scale-free readout.

    Parameters
    ----------
    config : DenseConfig
    """

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        heads, size, width = config.num_heads, config.head_size, config.width
        self.heads, self.norm_order = heads, config.norm_order
        self.dictionary = Dictionary(
            width, heads, config.dictionary_size, size, math.sqrt(3 / size)
        )
        self.to_input = Projection(width, heads * size, bias=False)
        self.start = nn.Parameter(torch.randn(heads, size))
        self.norm = RMSNorm(size, (heads, 1))
        self.output = Projection(heads * size, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BHN,) = state
        b_BHTN = split_heads(self.to_input(x_BTD), self.heads)
        h_BHT1N, after_BH1N = matrix_scan(
            self._matrices(x_BTD).mT, b_BHTN.unsqueeze(-2), before_BHN.unsqueeze(-2)
        )
        y_BHTN = self.norm(h_BHT1N.squeeze(-2))
        return self.output(merge_heads(y_BHTN)), (after_BH1N.squeeze(-2),)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Transposed matrices, [B, T, H, N, N]."""
        return self._matrices(x_BTD).mT.transpose(1, 2)

    def _matrices(self, x_BTD: Tensor) -> Tensor:
        """Matrices A that act on column states, [B, H, T, N, N]."""
        return normalise_columns(self.dictionary(x_BTD), self.norm_order)


def build(config: DenseConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around dense mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: DenseMixer(config))


register_model(
    "dense",
    DenseConfig,
    build,
    summary="SD-SSM: dense transitions mixed from a dictionary",
    presets={
        "sd-ssm": Preset(
            {"head_size": 64, "norm_order": 1.2},
            "Terzic et al. 2025 (SD-SSM, AAAI), code: state 64",
        ),
    },
)
