"""LSTM: the nonlinear recurrence that tracks any automaton, and cannot be scanned."""

from dataclasses import dataclass

from statetrack.models.backbone import Backbone
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.torch_cells import CellMixer


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(BackboneConfig):
    """Parameters of the LSTM: the backbone's; the hidden size is the width."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "LSTM"


class LSTMMixer(CellMixer):
    """One layer of torch's LSTM (Hochreiter and Schmidhuber 1997).

    Parameters
    ----------
    config : LSTMConfig
    """

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config, "lstm")


def build(config: LSTMConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around LSTM layers."""
    return Backbone(config, num_tokens, num_classes, lambda: LSTMMixer(config))


register_model("lstm", LSTMConfig, build, summary="LSTM of torch.nn: nonlinear, sequential")
