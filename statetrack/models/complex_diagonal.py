"""Complex diagonal linear RNN: eigenvalues in the unit disc or on the unit circle, by token.

``h_t = a(x_t) h_{t-1} + b(x_t)`` with complex numbers: the diagonal form of every model whose
transitions commute. Source: Shakerinava et al. 2026 (arXiv 2603.01959) on what it can track.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm, as_complex, as_real
from statetrack.models.ranges import complex_range
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class ComplexDiagonalConfig(BackboneConfig):
    """Parameters of the complex diagonal linear RNN.

    Parameters
    ----------
    eigenvalue_range : {"disc", "circle"}
        Where the transitions lie.
    range_steepness : float
        How fast moduli reach the ends of the disc.
    num_channels : int
        Complex state size of a layer.
    """

    eigenvalue_range: str = "disc"
    range_steepness: float = 4.0
    num_channels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels")
        complex_range(self.eigenvalue_range, self.range_steepness)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"complex diagonal {self.eigenvalue_range}"


class ComplexDiagonalMixer(nn.Module):
    """One complex diagonal recurrence with a normalised, scale-free readout.

    Parameters
    ----------
    config : ComplexDiagonalConfig
    """

    def __init__(self, config: ComplexDiagonalConfig) -> None:
        super().__init__()
        self.range = complex_range(config.eigenvalue_range, config.range_steepness)
        channels = config.num_channels
        self.to_eigenvalue = Projection(config.width, channels * self.range.raw_numbers)
        self.to_input = Projection(config.width, 2 * channels)
        self.start = nn.Parameter(torch.randn(2 * channels))
        self.norm = RMSNorm(2 * channels)
        self.output = Projection(2 * channels, config.width, bias=False, widens=False)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the complex state after the last token."""
        (before_BN,) = state
        h_BTN, after_BN = diagonal_scan(
            self._eigenvalues(x_BTD), as_complex(self.to_input(x_BTD)), before_BN
        )
        return self.output(self.norm(as_real(h_BTN))), (after_BN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned complex state before the first token."""
        return (expand_state(as_complex(self.start), batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Complex 1 x 1 blocks [B, T, channels, 1, 1]."""
        return self._eigenvalues(x_BTD)[..., None, None]

    def _eigenvalues(self, x_BTD: Tensor) -> Tensor:
        raw_BTE = self.to_eigenvalue(x_BTD)
        return self.range.eigenvalue(raw_BTE.unflatten(-1, (-1, self.range.raw_numbers)))


def build(config: ComplexDiagonalConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around complex diagonal mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: ComplexDiagonalMixer(config))


register_model(
    "complex_diagonal",
    ComplexDiagonalConfig,
    build,
    summary="complex diagonal linear RNN, eigenvalues in the unit disc or on its circle by token",
)
