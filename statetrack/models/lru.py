"""Linear Recurrent Unit: complex diagonal, the same transition at every token.

Source: Orvieto et al. 2023 (arXiv 2303.06349), section 3: exponential
parametrisation, ring initialisation and the normalisation gamma.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import Projection, as_complex, as_real
from statetrack.models.ranges import UnitDisc
from statetrack.scans import diagonal_scan


@dataclass(frozen=True, kw_only=True)
class LRUConfig(BackboneConfig):
    """Parameters of the Linear Recurrent Unit.

    Parameters
    ----------
    num_channels : int
        Complex state size of a layer.
    min_modulus, max_modulus : float
        Ring that the initial eigenvalues are drawn from, ``0 <= min < max < 1``.
    max_phase : float
        Largest initial angle, in (0, 2 pi].
    """

    num_channels: int = 64
    min_modulus: float = 0.0
    max_modulus: float = 0.99
    max_phase: float = 2 * math.pi

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_channels")
        if not 0.0 <= self.min_modulus < self.max_modulus < 1.0:
            raise InputError(
                f"LRU ring [{self.min_modulus:g}, {self.max_modulus:g}]: expected "
                "0 <= min_modulus < max_modulus < 1"
            )
        if not 0.0 < self.max_phase <= 2 * math.pi:
            raise InputError(f"LRU max_phase = {self.max_phase:g}: expected a number in (0, 2 pi]")

    @property
    def label(self) -> str:
        """Name in legends."""
        return "LRU"


class LRUMixer(nn.Module):
    """``h_t = lambda h_{t-1} + gamma B x_t``, ``y_t = Re(C h_t) + D x_t``.

    The state starts from learned numbers instead of the zeros of the paper.

    Parameters
    ----------
    config : LRUConfig
    """

    def __init__(self, config: LRUConfig) -> None:
        super().__init__()
        channels, width = config.num_channels, config.width
        self.range = UnitDisc()
        # 1 - u is never 0, so neither the modulus 0 nor the angle 0 has to be taken a logarithm of.
        share_N, turn_N = 1.0 - torch.rand(channels), 1.0 - torch.rand(channels)
        inner, outer = config.min_modulus**2, config.max_modulus**2
        square_N = inner + (outer - inner) * share_N
        self.log_rate = nn.Parameter(torch.log(-0.5 * torch.log(square_N)))
        self.log_angle = nn.Parameter(torch.log(config.max_phase * turn_N))
        self.log_gamma = nn.Parameter(0.5 * torch.log1p(-square_N))
        self.to_input = Projection(width, 2 * channels, bias=False)
        nn.init.normal_(self.to_input.weight, std=1 / math.sqrt(2 * width))
        self.start = nn.Parameter(torch.randn(2 * channels))
        self.output = Projection(2 * channels, width, bias=False, widens=False)
        nn.init.normal_(self.output.weight, std=1 / math.sqrt(channels))
        self.skip = nn.Parameter(torch.randn(width))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the complex state after the last token."""
        (before_BN,) = state
        input_BTN = torch.exp(self.log_gamma) * as_complex(self.to_input(x_BTD))
        a_BTN = self._eigenvalues().expand(input_BTN.shape)
        h_BTN, after_BN = diagonal_scan(a_BTN, input_BTN, before_BN)
        return self.output(as_real(h_BTN)) + self.skip * x_BTD, (after_BN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned complex state before the first token."""
        return (expand_state(as_complex(self.start), batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Complex 1 x 1 blocks [B, T, channels, 1, 1], the same for all tokens."""
        a_N = self._eigenvalues()
        return a_N.expand(*x_BTD.shape[:-1], *a_N.shape)[..., None, None]

    def _eigenvalues(self) -> Tensor:
        return self.range.eigenvalue_of_rate(self.log_rate, torch.exp(self.log_angle))


def build(config: LRUConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around Linear Recurrent Units."""
    return Backbone(config, num_tokens, num_classes, lambda: LRUMixer(config))


register_model(
    "lru", LRUConfig, build, summary="Linear Recurrent Unit: complex diagonal, same for all tokens"
)
