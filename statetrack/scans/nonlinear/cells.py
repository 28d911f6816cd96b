"""The cells of nonlinear recurrences: their sizes, and one step of each in torch.

A step takes what the token brings to every gate, ``x``, what the hidden state brings, ``u = h R``
(with a bias where there is one), and the parts of the state; the first part is the hidden state.
Gates and states are in the order of torch.nn and of xLSTM.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of recurrence.

    Attributes
    ----------
    code : int
        Its number in the kernels.
    gates : tuple of str
        Gates in order.
    state : tuple of str
        Parts of the state in order.
    num_kept : int
        Numbers per unit and token that its kernel keeps for the gradient, beside states.
    step : callable
        ``step(x, u, state)``: the state after a token, from a tuple of tensors [..., D] each.
    """

    code: int
    gates: tuple[str, ...]
    state: tuple[str, ...]
    num_kept: int
    step: Callable[[Parts, Parts, Parts], Parts]


def rnn_step(x: Parts, u: Parts, state: Parts) -> Parts:
    """``h = tanh(x + u)``."""
    return (torch.tanh(x[0] + u[0]),)


def gru_step(x: Parts, u: Parts, state: Parts) -> Parts:
    """``n = tanh(x_n + r u_n)``, ``h = (1 - z) n + z h``."""
    reset, update = torch.sigmoid(x[0] + u[0]), torch.sigmoid(x[1] + u[1])
    new = torch.tanh(x[2] + reset * u[2])
    return ((1 - update) * new + update * state[0],)


def lstm_step(x: Parts, u: Parts, state: Parts) -> Parts:
    """``c = f c + i g``, ``h = o tanh(c)``."""
    i, f, g, o = (one + other for one, other in zip(x, u, strict=True))
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def slstm_step(x: Parts, u: Parts, state: Parts) -> Parts:
    """Step of the sLSTM with the forget gate sigmoid(f)."""
    return _slstm(x, u, state, logsigmoid)


def slstm_exponential_step(x: Parts, u: Parts, state: Parts) -> Parts:
    """Step of the sLSTM with the forget gate exp(f)."""
    return _slstm(x, u, state, lambda f: f)


def _slstm(x: Parts, u: Parts, state: Parts, log_forget: Callable[[Tensor], Tensor]) -> Parts:
    """``c = F c + exp(i) tanh(z)``, ``n = F n + exp(i)``, ``h = sigmoid(o) c / n``, stabilised.

    An empty normaliser has nothing to keep: the input alone sets the scale m, or a very small first
    input gate would vanish next to it.
    """
    _hidden, cell, normaliser, stabiliser = state
    z, i, f, o = (one + other for one, other in zip(x, u, strict=True))
    kept = log_forget(f) + stabiliser
    first = normaliser == 0
    after = torch.where(first, i, torch.maximum(kept, i))
    enter = torch.exp(i - after)
    keep = torch.exp(torch.where(first, i, kept) - after)
    cell = keep * cell + enter * torch.tanh(z)
    normaliser = keep * normaliser + enter
    return torch.sigmoid(o) * cell / normaliser, cell, normaliser, after


SLSTM_GATES = ("z", "i", "f", "o")
SLSTM_STATE = ("hidden", "cell", "normaliser", "stabiliser")

CELLS: dict[str, Cell] = {
    "rnn": Cell(0, ("h",), ("hidden",), 1, rnn_step),
    "gru": Cell(1, ("r", "z", "n"), ("hidden",), 4, gru_step),
    "lstm": Cell(2, ("i", "f", "g", "o"), ("hidden", "cell"), 4, lstm_step),
    "slstm": Cell(3, SLSTM_GATES, SLSTM_STATE, 4, slstm_step),
    "slstm_exponential": Cell(4, SLSTM_GATES, SLSTM_STATE, 4, slstm_exponential_step),
}
