"""LSTM: the nonlinear recurrence that tracks any automaton, and cannot be scanned."""

from dataclasses import dataclass

from torch import Tensor, nn

from statetrack.models.backbone import Backbone, State
from statetrack.models.config import BackboneConfig, register_model


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(BackboneConfig):
    """Parameters of the LSTM: the backbone's; the hidden size is the width."""

    @property
    def label(self) -> str:
        """Name in legends."""
        return "LSTM"


class LSTMMixer(nn.Module):
    """One layer of torch's LSTM (Hochreiter and Schmidhuber 1997).

    Parameters
    ----------
    config : LSTMConfig
    """

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.cell = nn.LSTM(config.width, config.width, batch_first=True)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state (hidden, cell) after the last token."""
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        hidden_BD, cell_BD = state
        y_BTD, (hidden, cell) = self.cell(
            x_BTD, (hidden_BD.unsqueeze(0).contiguous(), cell_BD.unsqueeze(0).contiguous())
        )
        return y_BTD, (hidden.squeeze(0), cell.squeeze(0))

    def initial_state(self, batch_size: int) -> State:
        """Zeros, hidden and cell."""
        weight = next(self.cell.parameters())
        zeros = weight.new_zeros(batch_size, self.cell.hidden_size)
        return zeros, zeros

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: the step is not linear in the state."""
        return None


def build(config: LSTMConfig, num_tokens: int, num_classes: int) -> Backbone:
    """Build the network around LSTM layers."""
    return Backbone(config, num_tokens, num_classes, lambda: LSTMMixer(config))


register_model("lstm", LSTMConfig, build, summary="LSTM of torch.nn: nonlinear, sequential")
