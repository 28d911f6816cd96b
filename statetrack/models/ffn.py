"""No mixing over time at all: the floor that every other model must beat."""

from dataclasses import dataclass

from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.modules import MLP


@dataclass(frozen=True, kw_only=True)
class FFNConfig(BackboneConfig):
    """Parameters of the network without time: the backbone's."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "FFN"


class FFNMixer(nn.Module):
    """A second MLP where the recurrence would be.

    Parameters
    ----------
    config : FFNConfig
    """

    def __init__(self, config: FFNConfig) -> None:
        super().__init__()
        self.mlp = MLP(config.width, config.mlp_ratio * config.width)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D], each of its own token, and the empty state."""
        return self.mlp(x_BTD), state

    def initial_state(self, batch_size: int) -> State:
        """Nothing."""
        return ()

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: there is no state."""
        return None


def build(config: FFNConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network of position-wise maps."""
    return Backbone(config, num_tokens, num_classes, lambda: FFNMixer(config))


register_model("ffn", FFNConfig, build, summary="no mixing over time: the floor")
