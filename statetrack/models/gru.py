"""GRU: gates around the tanh recurrence, nonlinear and sequential."""

from dataclasses import dataclass

from statetrack.models.backbone import Backbone
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.torch_cells import CellMixer


@dataclass(frozen=True, kw_only=True)
class GRUConfig(BackboneConfig):
    """Parameters of the GRU: the backbone's; the hidden size is the width."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "GRU"


class GRUMixer(CellMixer):
    """One layer of torch's GRU (Cho et al. 2014, arXiv 1406.1078).

    Parameters
    ----------
    config : GRUConfig
    """

    def __init__(self, config: GRUConfig) -> None:
        super().__init__(config, "gru")


def build(config: GRUConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around GRU layers."""
    return Backbone(config, num_tokens, num_classes, lambda: GRUMixer(config))


register_model("gru", GRUConfig, build, summary="GRU of torch.nn: nonlinear, sequential")
