"""One layer of torch's RNN, GRU or LSTM, by torch itself or by `nonlinear_scan`.

Torch's cells cannot be mapped by `torch.func.vmap`, and each is a call of its own. Where a layer is
mapped, and on a GPU up to the kernel's size, the same weights run through `nonlinear_scan`: a pack
of runs is one launch there, and one run alone is the same arithmetic (cuDNN's rounds to
tensorfloat32 unless it is told not to). A run alone on the CPU is left to torch, whose fused cells
were 1.1 to 5 times as fast.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from statetrack.models.backbone import State
from statetrack.models.config import BackboneConfig
from statetrack.scans import nonlinear_scan
from statetrack.scans.nonlinear import CELLS
from statetrack.scans.nonlinear.launch import MAX_SIZE

Cell = nn.RNN | nn.GRU | nn.LSTM

CLASSES: dict[str, type[Cell]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class CellMixer(nn.Module):
    """A layer of one of torch's cells; the hidden size is the width.

    Parameters
    ----------
    config : BackboneConfig
    kind : {"rnn", "gru", "lstm"}
    """

    def __init__(self, config: BackboneConfig, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.cell: Cell = CLASSES[kind](config.width, config.width, batch_first=True)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token: hidden, and cell of an LSTM."""
        if x_BTD.shape[-2] == 0:
            return x_BTD, state
        has_kernel = x_BTD.device.type == "cuda" and x_BTD.shape[-1] <= MAX_SIZE
        run = self.by_scan if has_kernel or is_mapped(x_BTD) else self.by_torch
        return run(x_BTD, state)

    def initial_state(self, batch_size: int) -> State:
        """Zeros, for every part of the state."""
        weight = next(self.cell.parameters())
        zeros = weight.new_zeros(batch_size, self.cell.hidden_size)
        return tuple(zeros for _ in CELLS[self.kind].state)

    def transitions(self, x_BTD: Tensor) -> None:
        """Return None: the step is not linear in the state."""
        return None

    def maps_cells(self, device: torch.device) -> bool:
        """Whether a pack of these layers is mapped, or runs one after another.

        On the CPU torch's LSTM, which has a fused backward pass, is faster one after another.
        """
        return device.type != "cpu" or self.kind != "lstm"

    def by_torch(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the module of torch."""
        before = tuple(part.unsqueeze(0).contiguous() for part in state)
        y_BTD, after = self.cell(x_BTD, before if self.kind == "lstm" else before[0])
        parts = after if self.kind == "lstm" else (after,)
        return y_BTD, tuple(part.squeeze(0) for part in parts)

    def by_scan(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Run `nonlinear_scan` with the weights of the module."""
        gates = (len(CELLS[self.kind].gates), self.cell.hidden_size)
        weight_ih, weight_hh, bias_ih, bias_hh = self.cell.parameters()
        # The reset gate of a GRU multiplies one of the two.
        joins = self.kind != "gru"
        bias_E = bias_hh + bias_ih if joins else bias_hh
        y_BTD, after_BSD = nonlinear_scan(
            linear(x_BTD, weight_ih, None if joins else bias_ih).unflatten(-1, gates),
            weight_hh.unflatten(0, gates).mT,
            bias_E.unflatten(0, gates),
            torch.stack(state, dim=-2),
            cell=self.kind,
        )
        return y_BTD, after_BSD.unbind(dim=-2)


def is_mapped(x: Tensor) -> bool:
    """Whether a tensor is seen through `torch.func`, where torch's cells have no rule."""
    if torch.compiler.is_compiling():
        return False
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(x))
