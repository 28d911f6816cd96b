"""Matrix Recurrent Unit: the state is a product of input-dependent matrices.

``H_t = H_{t-1} A(x_t)`` (Levi 2024, mru-lm). The axis of the family is the *input method*: how
the numbers a linear layer computes become the matrix ``A``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import unknown_name
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import RMSNorm
from statetrack.scans import ScaledStates, matrix_scan


def residual_matrix(x_NN: Tensor) -> Tensor:
    """Identity plus the input: GL(n), determinant free, products unbounded."""
    return torch.eye(x_NN.shape[-1], dtype=x_NN.dtype, device=x_NN.device) + x_NN


def exponential_matrix(x_NN: Tensor) -> Tensor:
    """Exponential of the skew part: all of SO(n), so products keep their size."""
    lower = torch.tril(x_NN, diagonal=-1)
    return torch.linalg.matrix_exp(lower - lower.transpose(-1, -2))


def cayley_matrix(x_NN: Tensor) -> Tensor:
    """Cayley map of the skew part: rotations without the eigenvalue -1."""
    lower = torch.tril(x_NN, diagonal=-1)
    skew = lower - lower.transpose(-1, -2)
    identity = torch.eye(x_NN.shape[-1], dtype=x_NN.dtype, device=x_NN.device)
    return torch.linalg.solve(identity - skew, identity + skew)


def ldu_matrix(x_NN: Tensor) -> Tensor:
    """Lower times diagonal times upper with determinant 1: a dense part of SL(n)."""
    diagonal = torch.diagonal(x_NN, dim1=-2, dim2=-1)
    root = torch.exp(0.5 * (diagonal - diagonal.mean(dim=-1, keepdim=True)))
    lower = torch.tril(x_NN, diagonal=-1) + torch.diag_embed(root)
    upper = torch.triu(x_NN, diagonal=1) + torch.diag_embed(root)
    return lower @ upper


INPUT_METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "residual": residual_matrix,
    "exponential": exponential_matrix,
    "cayley": cayley_matrix,
    "ldu": ldu_matrix,
}


@dataclass(frozen=True, kw_only=True)
class MRUConfig(BackboneConfig):
    """Parameters of the Matrix Recurrent Unit.

    Parameters
    ----------
    input_method : {"residual", "exponential", "cayley", "ldu"}
        How a token's numbers become its matrix.
    num_heads, head_size : int
        Heads, and the order n of the n x n state of each.
    """

    input_method: str = "ldu"
    num_heads: int = 4
    head_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size")
        if self.input_method not in INPUT_METHODS:
            raise unknown_name("MRU input_method", self.input_method, INPUT_METHODS)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"MRU {self.input_method}"


class MRUMixer(nn.Module):
    """Heads of cumulative matrix products with a normalised, scale-free readout.

    Parameters
    ----------
    config : MRUConfig
    """

    scale_free_state = True

    def __init__(self, config: MRUConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size = heads, size
        self.to_matrix = INPUT_METHODS[config.input_method]
        self.to_elements = nn.Linear(config.width, heads * size * size, bias=False)
        nn.init.normal_(self.to_elements.weight, std=0.5 / math.sqrt(config.width * size))
        self.norm = RMSNorm(size * size, (heads, 1))
        self.output = nn.Linear(heads * size * size, config.width, bias=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        h, after = matrix_scan(self._matrices(x_BTD), initial=ScaledStates(*state), rescale=True)
        return self.output(merge_heads(self.norm(h.values.flatten(-2)))), tuple(after)

    def initial_state(self, batch_size: int) -> State:
        """Identity in every head, with its scale 2**0."""
        weight = self.to_elements.weight
        identity = torch.eye(self.size, dtype=weight.dtype, device=weight.device)
        start_HNN = identity.expand(self.heads, -1, -1)
        return (
            expand_state(start_HNN, batch_size),
            weight.new_zeros(batch_size, self.heads),
        )

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """The input matrices themselves, [B, T, H, N, N]."""
        return self._matrices(x_BTD).transpose(1, 2)

    def _matrices(self, x_BTD: Tensor) -> Tensor:
        elements = split_heads(self.to_elements(x_BTD), self.heads)
        return self.to_matrix(elements.unflatten(-1, (self.size, self.size)))


def build(config: MRUConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around MRU mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: MRUMixer(config))


register_model("mru", MRUConfig, build, summary="Matrix Recurrent Unit: products of input matrices")
