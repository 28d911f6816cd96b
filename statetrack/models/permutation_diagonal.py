"""PD-SSM: the transition is a column-one-hot matrix times a complex diagonal.

``h_t = P(x_t) D(x_t) h_{t-1} + B x_t`` with complex column states (Terzic et al., NeurIPS 2025,
arXiv 2509.22284). ``M(x) = sum_k softmax(S x)_k M_k`` mixes a dictionary, and every column of P is
the one-hot vector of the largest entry of that column of M. Backwards the one-hot vector is the
softmax of the column (straight-through). The authors' code takes rows in place of columns and
learns no initial state; here, as in the paper, P may send several states to one, which a reset
needs, and the initial state is learned, as in the other models.

The scan gets dense matrices. `PermutationDiagonal` does not fit: it needs true permutations, and
the straight-through estimator wants the gradient of every entry of P, which lookups do not have.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import (
    BackboneConfig,
    Preset,
    per_run,
    register_model,
    require_positive,
)
from statetrack.models.dense import Dictionary
from statetrack.models.modules import Projection, RMSNorm, as_complex, at_least_float32
from statetrack.models.ranges import EigenvalueRange
from statetrack.scans import matrix_scan


@dataclass(frozen=True, kw_only=True)
class PermutationDiagonalConfig(BackboneConfig):
    """Parameters of PD-SSM.

    Parameters
    ----------
    complex_diagonal : bool
        Give every entry of D a phase of its own; otherwise states are real.
    eigenvalue_range : str
        "[lo,hi]" of the entries of D without their phase; with real states "[-1,1]" gives signs.
    range_steepness : float
        How fast the ends of the range are reached.
    magnitude_bias : float
        Raw number that entries start from; positive starts near the upper end.
    dictionary_size : int
        Matrices K that are mixed.
    num_heads, head_size : int
        Independent recurrences, and the states N of each; published is one.
    """

    complex_diagonal: bool = True
    eigenvalue_range: str = per_run("[0,1]")
    range_steepness: float = per_run(4.0)
    magnitude_bias: float = 1.0
    dictionary_size: int = 8
    num_heads: int = 1
    head_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dictionary_size", "num_heads", "head_size")
        EigenvalueRange.parse(self.eigenvalue_range, self.range_steepness)

    @property
    def label(self) -> str:
        """Name in legends."""
        field = "" if self.complex_diagonal else f" real {self.eigenvalue_range}"
        return f"PD-SSM N={self.head_size}{field}"


def one_hot_columns(m_NN: Tensor) -> Tensor:
    """One-hot vector of the largest entry of each column; backwards the softmax of the column.

    Parameters
    ----------
    m_NN : Tensor, [..., N, N]

    Examples
    --------
    >>> one_hot_columns(torch.tensor([[2.0, 0.0], [1.0, 3.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    soft = m_NN.softmax(dim=-2)
    row = torch.arange(m_NN.shape[-2], device=m_NN.device).unsqueeze(-1)
    hard = (row == m_NN.argmax(dim=-2, keepdim=True)).to(m_NN.dtype)
    return hard + (soft - soft.detach())


class PermutationDiagonalMixer(nn.Module):
    """Recurrences that move and scale states, with a normalised, scale-free readout.

    Parameters
    ----------
    config : PermutationDiagonalConfig
    """

    def __init__(self, config: PermutationDiagonalConfig) -> None:
        super().__init__()
        heads, size, width = config.num_heads, config.head_size, config.width
        self.heads = heads
        self.parts = 2 if config.complex_diagonal else 1
        self.range = EigenvalueRange.parse(config.eigenvalue_range, config.range_steepness).module()
        self.dictionary = Dictionary(
            width, heads, config.dictionary_size, size, math.sqrt(3 / size)
        )
        self.to_magnitude = two_gelu_layers(width, heads * size)
        nn.init.constant_(self.to_magnitude[-1].bias, config.magnitude_bias)  # type: ignore[arg-type]
        self.to_phase = two_gelu_layers(width, heads * size) if self.parts == 2 else None
        self.to_input = Projection(width, heads * size * self.parts, bias=False)
        self.start = nn.Parameter(torch.randn(heads, size * self.parts))
        self.norm = RMSNorm(size * self.parts, (heads, 1))
        self.output = Projection(heads * size * self.parts, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BHN,) = state
        b_BHTN = self._from_parts(split_heads(self.to_input(x_BTD), self.heads))
        h_BHT1N, after_BH1N = matrix_scan(
            self._matrices(x_BTD).mT, b_BHTN.unsqueeze(-2), before_BHN.unsqueeze(-2)
        )
        y_BHTE = self.norm(self._to_parts(h_BHT1N.squeeze(-2)))
        return self.output(merge_heads(y_BHTE)), (after_BH1N.squeeze(-2),)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token, complex unless D is real."""
        return (expand_state(self._from_parts(self.start), batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Transposed matrices, [B, T, H, N, N]."""
        return self._matrices(x_BTD).mT.transpose(1, 2)

    def _matrices(self, x_BTD: Tensor) -> Tensor:
        """Matrices A = P D that act on column states, [B, H, T, N, N]."""
        columns_BHTNN = one_hot_columns(self.dictionary(x_BTD))
        d_BHTN = self.range.eigenvalue(split_heads(self.to_magnitude(x_BTD), self.heads))
        if self.to_phase is not None:
            turn_BHTN = torch.sigmoid(split_heads(self.to_phase(x_BTD), self.heads))
            angle_BHTN = 2 * math.pi * at_least_float32(turn_BHTN)
            d_BHTN = torch.complex(d_BHTN * angle_BHTN.cos(), d_BHTN * angle_BHTN.sin())
        return columns_BHTNN * d_BHTN.unsqueeze(-2)

    def _from_parts(self, x_E: Tensor) -> Tensor:
        """Real and imaginary halves of the last axis put together."""
        if self.parts == 1:
            return x_E
        return as_complex(x_E)

    def _to_parts(self, h_N: Tensor) -> Tensor:
        """Inverse of `_from_parts`."""
        return h_N if self.parts == 1 else torch.cat([h_N.real, h_N.imag], dim=-1)


def two_gelu_layers(width: int, size: int) -> nn.Sequential:
    """Build two linear maps with a GELU between and twice the output's channels, as published."""
    return nn.Sequential(Projection(width, 2 * size), nn.GELU(), Projection(2 * size, size))


def build(config: PermutationDiagonalConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around PD-SSM mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: PermutationDiagonalMixer(config))


register_model(
    "permutation_diagonal",
    PermutationDiagonalConfig,
    build,
    summary="PD-SSM: one-hot columns times a complex diagonal, by token",
    presets={
        "pd-ssm": Preset(
            {"width": 128, "num_layers": 2, "head_size": 128},
            "Terzic et al. 2025 (arXiv 2509.22284, NeurIPS), code: two blocks, dimension 128",
        ),
    },
)
