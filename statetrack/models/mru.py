"""Matrix Recurrent Unit: the state is a product of input-dependent matrices.

``H_t = H_{t-1} A(x_t)`` (Levi 2024, mru-lm). The axis of the family is the *input method*
(`mru_matrices`): how the numbers a linear layer computes become the matrix ``A``.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automata.errors import unknown_name
from statetrack.models.backbone import Backbone, State, expand_state, merge_heads, split_heads
from statetrack.models.config import BackboneConfig, Preset, register_model, require_positive
from statetrack.models.modules import Projection, RMSNorm
from statetrack.models.mru_matrices import INPUT_METHODS
from statetrack.scans import ScaledStates, matrix_scan
from statetrack.scans.inputs import in_full_precision

READOUTS = ("normalised", "linear")
INITIALISATIONS = ("small", "identity")


@dataclass(frozen=True, kw_only=True)
class MRUConfig(BackboneConfig):
    """Parameters of the Matrix Recurrent Unit.

    Parameters
    ----------
    input_method : str
        How a token's numbers become its matrix: a name of `mru_matrices.INPUT_METHODS`.
    num_heads, head_size : int
        Heads, and the order n of the n x n state of each.
    additive : bool
        Add a matrix of the token to the state: ``H_t = H_{t-1} A_t + B_t``.
    readout : {"normalised", "linear"}
        All n x n numbers divided by their root mean square, or ``H_t W`` with W [n, readout_size]
        of every head, as published.
    readout_size : int
        Columns of W.
    initialisation : {"small", "identity"}
        Small random input matrices, or all of them the identity and small output weights, as
        published.
    """

    input_method: str = "ldu"
    num_heads: int = 4
    head_size: int = 4
    additive: bool = False
    readout: str = "normalised"
    readout_size: int = 4
    initialisation: str = "small"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "num_heads", "head_size", "readout_size")
        for kind, value, known in (
            ("input_method", self.input_method, INPUT_METHODS),
            ("readout", self.readout, READOUTS),
            ("initialisation", self.initialisation, INITIALISATIONS),
        ):
            if value not in known:
                raise unknown_name(f"MRU {kind}", value, known)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"MRU {self.input_method}" + " + B" * self.additive


class MRUMixer(nn.Module):
    """Heads of cumulative matrix products.

    The scale of a state is carried apart, so that long products stay finite; the normalised readout
    does not see it.

    Parameters
    ----------
    config : MRUConfig
    """

    def __init__(self, config: MRUConfig) -> None:
        super().__init__()
        heads, size = config.num_heads, config.head_size
        self.heads, self.size = heads, size
        self.scale_free_state = config.readout == "normalised" and not config.additive
        self.to_matrix = in_full_precision(INPUT_METHODS[config.input_method].matrix)
        self.to_elements = Projection(config.width, heads * size * size, bias=False)
        nn.init.normal_(self.to_elements.weight, std=0.5 / math.sqrt(config.width * size))
        self.to_addition = (
            Projection(config.width, heads * size * size, bias=False) if config.additive else None
        )
        if config.readout == "normalised":
            self.norm: RMSNorm | None = RMSNorm(size * size, (heads, 1))
            seen = size * size
        else:
            self.norm = None
            self.readout = nn.Parameter(torch.randn(heads, size, config.readout_size) / size)
            seen = size * config.readout_size
        self.output = Projection(heads * seen, config.width, bias=False, widens=False)
        if config.initialisation == "identity":
            nn.init.zeros_(self.to_elements.weight)
            nn.init.normal_(self.output.weight, std=0.02 / math.sqrt(2 * config.num_layers))
            if self.norm is None:
                nn.init.normal_(self.readout, std=0.02 * math.sqrt(size))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        h, after = matrix_scan(
            self._matrices(x_BTD),
            None if self.to_addition is None else self._as_matrices(self.to_addition(x_BTD)),
            initial=ScaledStates(*state),
            rescale=True,
        )
        if self.norm is not None:
            y_BHTE = self.norm(h.values.flatten(-2))
        else:
            seen_BHTNC = h.values @ self.readout.unsqueeze(-3)
            y_BHTE = torch.ldexp(seen_BHTNC, h.log2_scale[..., None, None]).flatten(-2)
        return self.output(merge_heads(y_BHTE)), tuple(after)

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

    def relative_learning_rates(self, length: int) -> dict[str, float]:
        """Published factors of the learning rate, by parameter, for words of `length` tokens.

        A matrix acts on all later outputs, length / 2 on average, and its fan-in is n (mru-lm,
        training script): ``sqrt(2 / length) / n`` for the input map.
        """
        return {"to_elements.weight": math.sqrt(2.0 / length) / self.size}

    def _matrices(self, x_BTD: Tensor) -> Tensor:
        return self.to_matrix(self._as_matrices(self.to_elements(x_BTD)))

    def _as_matrices(self, numbers_BTE: Tensor) -> Tensor:
        return split_heads(numbers_BTE, self.heads).unflatten(-1, (self.size, self.size))


def build(config: MRUConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around MRU mixers."""
    return Backbone(config, num_tokens, num_classes, lambda: MRUMixer(config))


register_model(
    "mru",
    MRUConfig,
    build,
    summary="Matrix Recurrent Unit: products of input matrices",
    presets={
        "shakespeare-char": Preset(
            {
                "width": 384,
                "num_layers": 6,
                "mlp_ratio": 4,
                "num_heads": 6,
                "head_size": 8,
                "readout": "linear",
                "readout_size": 8,
                "initialisation": "identity",
            },
            "mru-lm (Levi 2024), configuration shakespeare-char",
        ),
    },
)
