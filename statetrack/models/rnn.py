"""Elman network: the tanh recurrence, nonlinear and sequential."""

from dataclasses import dataclass

from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State
from statetrack.models.config import BackboneConfig, register_model


@dataclass(frozen=True, kw_only=True)
class RNNConfig(BackboneConfig):
    """Parameters of the tanh network: the backbone's; the hidden size is the width."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "RNN tanh"


class RNNMixer(nn.Module):
    """One layer of torch's tanh RNN (Elman 1990), or of another cell with one hidden state.

    Parameters
    ----------
    config : BackboneConfig
    cell_class : type
        `torch.nn.RNN` or `torch.nn.GRU`.
    """

    def __init__(
        self, config: BackboneConfig, cell_class: type[nn.RNN] | type[nn.GRU] = nn.RNN
    ) -> None:
        super().__init__()
        self.cell = cell_class(config.width, config.width, batch_first=True)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        (hidden_BD,) = state
        y_BTD, hidden = self.cell(x_BTD, hidden_BD.unsqueeze(0).contiguous())
        return y_BTD, (hidden.squeeze(0),)

    def initial_state(self, batch_size: int) -> State:
        """Zeros."""
        weight = next(self.cell.parameters())
        return (weight.new_zeros(batch_size, self.cell.hidden_size),)

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: the step is not linear in the state."""
        return None


def build(config: RNNConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around tanh layers."""
    return Backbone(config, num_tokens, num_classes, lambda: RNNMixer(config))


register_model("rnn", RNNConfig, build, summary="tanh RNN of torch.nn: nonlinear, sequential")
