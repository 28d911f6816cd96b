"""Block-diagonal linear RNN: every block is a dense matrix, chosen by the token.

``h_t = A(x_t) h_{t-1} + v(x_t)`` with column states (Fan, Chi and Rudnicky 2024, arXiv 2309.07412,
and their code): an MLP gives the blocks; the mean of each column is taken away, then the block is
divided by the largest p-norm of its columns.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from automata.errors import InputError, unknown_name
from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, Preset, register_model, require_positive
from statetrack.models.matrices import centre_and_normalise
from statetrack.models.modules import Projection, RMSNorm
from statetrack.scans import BlockDiagonal, matrix_scan

NORMS = ("columns", "none")


@dataclass(frozen=True, kw_only=True)
class BlockDiagonalConfig(BackboneConfig):
    """Parameters of the block-diagonal linear RNN.

    Parameters
    ----------
    num_blocks, block_size : int
        Blocks, and the order b of each; the state has num_blocks * block_size channels.
    block_norm : {"columns", "none"}
        "columns" centres columns and divides by the largest of their norms, "none" takes the
        MLP's numbers as they are: nothing then bounds products.
    norm_order : float
        The p of the norm.

    Notes
    -----
    A column of p-norm 1 and mean 0 does not bound eigenvalues by 1: the centred swap of two states
    has the eigenvalue -1.12 at p = 1.2, centred permutations of 8 states stay below 0.75.
    """

    num_blocks: int = 8
    block_size: int = 8
    block_norm: str = "columns"
    norm_order: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_blocks", "block_size")
        if self.block_norm not in NORMS:
            raise unknown_name("block_norm", self.block_norm, NORMS)
        if self.block_norm == "columns" and self.block_size < 2:
            raise InputError("block_size = 1 with centred columns leaves nothing; expected >= 2")
        require_norm_order(self.norm_order)

    @property
    def label(self) -> str:
        """Name in legends."""
        norm = "" if self.block_norm == "columns" else f" norm {self.block_norm}"
        return f"block-diagonal {self.block_size}x{self.block_size}{norm}"


def require_norm_order(value: float) -> None:
    """Raise `InputError` unless `value` is the p of a smooth p-norm."""
    if not 1.0 < value < float("inf"):
        raise InputError(f"norm_order = {value!r}: expected a finite number > 1, such as 1.2")


class BlockDiagonalMixer(nn.Module):
    """Blocks of a linear recurrence with a normalised, scale-free readout.

    Parameters
    ----------
    config : BlockDiagonalConfig
    """

    def __init__(self, config: BlockDiagonalConfig) -> None:
        super().__init__()
        blocks, size, width = config.num_blocks, config.block_size, config.width
        self.shape = (blocks, size, size)
        self.normalise = (
            partial(centre_and_normalise, p=config.norm_order)
            if config.block_norm == "columns"
            else nn.Identity()
        )
        self.to_blocks = two_layers(width, width * size, blocks * size * size)
        self.to_value = two_layers(width, width, blocks * size)
        self.start = nn.Parameter(torch.randn(blocks, size))
        self.norm = RMSNorm(blocks * size)
        self.output = Projection(blocks * size, width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        (before_BGN,) = state
        h_BT1N, after_B1N = matrix_scan(
            BlockDiagonal(self._blocks(x_BTD).mT),
            self.to_value(x_BTD).unsqueeze(-2),
            before_BGN.flatten(-2).unsqueeze(-2),
        )
        after_BGN = after_B1N.squeeze(-2).unflatten(-1, self.shape[:2])
        return self.output(self.norm(h_BT1N.squeeze(-2))), (after_BGN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned state before the first token."""
        return (expand_state(self.start, batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Transposed blocks, [B, T, G, b, b]."""
        return self._blocks(x_BTD).mT

    def _blocks(self, x_BTD: Tensor) -> Tensor:
        """Blocks A that act on column states, [B, T, G, b, b]."""
        return self.normalise(self.to_blocks(x_BTD).unflatten(-1, self.shape))


def two_layers(width: int, hidden: int, size: int) -> nn.Sequential:
    """Build two linear maps with a ReLU between, as in the published code."""
    return nn.Sequential(Projection(width, hidden), nn.ReLU(), Projection(hidden, size))


def build(config: BlockDiagonalConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around block-diagonal mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: BlockDiagonalMixer(config))


register_model(
    "block_diagonal",
    BlockDiagonalConfig,
    build,
    summary="block-diagonal linear RNN (Fan et al.): dense blocks by token",
    presets={
        "fan-sum": Preset(
            {"width": 64, "num_layers": 1, "num_blocks": 8, "block_size": 8},
            "Fan et al. 2024 (arXiv 2309.07412), code: Sum",
        ),
    },
)
