"""Elman network: the tanh recurrence, nonlinear and sequential."""

from dataclasses import dataclass

from statetrack.models.backbone import Backbone
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.torch_cells import CellMixer


@dataclass(frozen=True, kw_only=True)
class RNNConfig(BackboneConfig):
    """Parameters of the tanh network: the backbone's; the hidden size is the width."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "RNN tanh"


class RNNMixer(CellMixer):
    """One layer of torch's tanh RNN (Elman 1990).

    Parameters
    ----------
    config : RNNConfig
    """

    def __init__(self, config: RNNConfig) -> None:
        super().__init__(config, "rnn")


def build(config: RNNConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around tanh layers."""
    return Backbone(config, num_tokens, num_classes, lambda: RNNMixer(config))


register_model("rnn", RNNConfig, build, summary="tanh RNN of torch.nn: nonlinear, sequential")
