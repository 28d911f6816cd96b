"""S4D: diagonal state space with the same complex transition at every token.

Source: Gu et al. 2022 (arXiv 2206.11893): section 3 (diagonal system, zero-order
hold) and section 4 (S4D-LegS and S4D-Lin).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import InputError, unknown_name
from statetrack.models.backbone import Backbone, State, expand_state
from statetrack.models.config import BackboneConfig, register_model, require_positive
from statetrack.models.modules import as_complex
from statetrack.models.ranges import UnitDisc
from statetrack.scans import diagonal_scan


def frequencies_of_legs(state_size: int) -> Tensor:
    """Positive imaginary parts of the eigenvalues of the normal part of HiPPO-LegS.

    Parameters
    ----------
    state_size : int
        N frequencies, half of the 2 N conjugate eigenvalues ``-1/2 +- i frequency``.

    Returns
    -------
    Tensor of float32, [N]
        In ascending order.

    Notes
    -----
    Source: Gu et al. 2022 (arXiv 2206.11893), section 4: the normal part is ``-1/2 I`` plus a
    skew-symmetric matrix with entries ``sqrt(n + 1/2) sqrt(k + 1/2)``.
    """
    root_N = torch.sqrt(torch.arange(2 * state_size, dtype=torch.float64) + 0.5)
    outer_NN = root_N.unsqueeze(-1) * root_N
    skew_NN = outer_NN.triu(1) - outer_NN.tril(-1)
    return torch.linalg.eigvalsh(-1j * skew_NN)[state_size:].float()


def frequencies_of_linear(state_size: int) -> Tensor:
    """Frequencies ``pi n`` of S4D-Lin, [N]."""
    return math.pi * torch.arange(state_size)


INITIALIZATIONS = {"legs": frequencies_of_legs, "linear": frequencies_of_linear}


@dataclass(frozen=True, kw_only=True)
class S4DConfig(BackboneConfig):
    """Parameters of S4D.

    Parameters
    ----------
    initialization : {"legs", "linear"}
        Frequencies of the eigenvalues at the start of training: S4D-LegS or S4D-Lin.
    state_size : int
        Complex numbers of state per channel, one of each conjugate pair.
    min_step, max_step : float
        Time steps of the channels are drawn between these, uniform in their logarithm.
    """

    initialization: str = "legs"
    state_size: int = 8
    min_step: float = 1e-3
    max_step: float = 1e-1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "state_size")
        if self.initialization not in INITIALIZATIONS:
            raise unknown_name("S4D initialization", self.initialization, INITIALIZATIONS)
        if not 0.0 < self.min_step <= self.max_step < math.inf:
            raise InputError(
                f"S4D steps [{self.min_step:g}, {self.max_step:g}]: expected 0 < min <= max"
            )

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"S4D {self.initialization}"


class S4DMixer(nn.Module):
    """One single-input single-output system per channel, then a linear map over channels.

    The state starts from learned numbers instead of the zeros of the paper.

    Parameters
    ----------
    config : S4DConfig
    """

    def __init__(self, config: S4DConfig) -> None:
        super().__init__()
        width, size = config.width, config.state_size
        self.range = UnitDisc()
        ratio = config.max_step / config.min_step
        self.log_step = nn.Parameter(
            math.log(config.min_step) + math.log(ratio) * torch.rand(width)
        )
        self.log_rate = nn.Parameter(torch.full((width, size), math.log(0.5)))
        frequency_N = INITIALIZATIONS[config.initialization](size)
        self.frequency = nn.Parameter(frequency_N.expand(width, size).clone())
        self.read = nn.Parameter(torch.randn(width, 2 * size) / math.sqrt(2))
        self.start = nn.Parameter(torch.randn(width, 2 * size))
        self.skip = nn.Parameter(torch.randn(width))
        self.output = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the complex state [B, D, N] after the last token."""
        (before_BDN,) = state
        a_DN = self._eigenvalues()
        input_BTDN = ((a_DN - 1.0) / self._generator()) * x_BTD.unsqueeze(-1)
        h_BTDN, after_BDN = diagonal_scan(
            a_DN.expand(input_BTDN.shape), input_BTDN, before_BDN, state_axes=2
        )
        y_BTD = 2 * (as_complex(self.read) * h_BTDN).sum(dim=-1).real + self.skip * x_BTD
        return self.output(nn.functional.gelu(y_BTD)), (after_BDN,)

    def initial_state(self, batch_size: int) -> State:
        """Learned complex state before the first token."""
        return (expand_state(as_complex(self.start), batch_size),)

    def transitions(self, x_BTD: Tensor) -> Tensor:
        """Complex 1 x 1 blocks [B, T, channels * state_size, 1, 1], the same for all tokens."""
        a_E = self._eigenvalues().flatten()
        return a_E.expand(*x_BTD.shape[:-1], *a_E.shape)[..., None, None]

    def _generator(self) -> Tensor:
        return torch.complex(-torch.exp(self.log_rate), self.frequency)

    def _eigenvalues(self) -> Tensor:
        log_step_D1 = self.log_step.unsqueeze(-1)
        angle_DN = torch.exp(log_step_D1) * self.frequency
        return self.range.eigenvalue_of_rate(self.log_rate + log_step_D1, angle_DN)


def build(config: S4DConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around S4D mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: S4DMixer(config))


register_model(
    "s4d", S4DConfig, build, summary="S4D: diagonal state space, the same for all tokens"
)
