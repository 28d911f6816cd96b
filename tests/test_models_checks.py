"""The conformance suite finds what it is for, and every model of the registry passes it."""

import pytest
import torch
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.models import ModelCheckError, build_model, check_model
from statetrack.models.checks import CHECKS, CLASSES, TOKENS


class Recurrent(nn.Module):
    """A small model that keeps every promise; the subclasses below break one each."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(TOKENS, CLASSES))

    def read(self, tokens_BT: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(tokens_BT, TOKENS).to(self.table.dtype) @ self.table

    def forward(self, tokens_BT, state=None):
        before = self.initial_state(tokens_BT.shape[0]) if state is None else state
        sums = before[0].unsqueeze(1) + self.read(tokens_BT).cumsum(1)
        last = sums[:, -1] if tokens_BT.shape[1] else before[0]
        return sums, [last]

    def initial_state(self, batch_size):
        return [self.table.new_zeros(batch_size, CLASSES)]

    def step(self, token_B, state):
        logits, state = self(token_B.unsqueeze(1), state)
        return logits[:, 0], state

    @property
    def state_size(self):
        return CLASSES


class WrongShape(Recurrent):
    def forward(self, tokens_BT, state=None):
        logits, state = super().forward(tokens_BT, state)
        return logits[..., :-1], state


class SilentParameter(Recurrent):
    def __init__(self):
        super().__init__()
        self.silent = nn.Parameter(torch.ones(1))


class OtherSteps(Recurrent):
    def step(self, token_B, state):
        logits, state = super().step(token_B, state)
        return 2 * logits, state


class ForgetsTheState(Recurrent):
    def forward(self, tokens_BT, state=None):
        return super().forward(tokens_BT, None)


class LooksAhead(Recurrent):
    def read(self, tokens_BT):
        return super().read(tokens_BT).flip(1)


class Unmappable(Recurrent):
    def read(self, tokens_BT):
        scale = 1.0 if self.table.sum().item() < 1e9 else 2.0
        return scale * super().read(tokens_BT)


class Noisy(Recurrent):
    def read(self, tokens_BT):
        return super().read(tokens_BT) * torch.rand(())


class KeepsSomethingApart(Recurrent):
    def __init__(self):
        super().__init__()
        self.apart = float(torch.rand(()))

    def read(self, tokens_BT):
        return super().read(tokens_BT) * self.apart


class ClimbsTheLoss(Recurrent):
    def read(self, tokens_BT):
        backwards = -self.table + 2 * self.table.detach()
        return torch.nn.functional.one_hot(tokens_BT, TOKENS).to(backwards.dtype) @ backwards


class WrongStateSize(Recurrent):
    @property
    def state_size(self):
        return CLASSES + 1


def test_a_model_that_keeps_every_promise_passes():
    assert check_model(Recurrent) == list(CHECKS)


@pytest.mark.parametrize(
    ("model", "broken"),
    [
        (WrongShape, "shapes"),
        (SilentParameter, "gradients"),
        (OtherSteps, "stepwise"),
        (ForgetsTheState, "cut"),
        (LooksAhead, "causality"),
        (Unmappable, "packs"),
        (Noisy, "determinism"),
        (KeepsSomethingApart, "saving"),
        (ClimbsTheLoss, "learning"),
        (WrongStateSize, "state_size"),
    ],
)
def test_a_broken_promise_is_named(model, broken):
    with pytest.raises(ModelCheckError, match=f"- {broken}:"):
        check_model(model)
    if model is SilentParameter:
        assert "gradients" not in check_model(model, skip=["gradients"])


def test_an_eigenvalue_outside_of_the_range_is_named(monkeypatch):
    def build():
        model = build_model("diagonal", TOKENS, CLASSES, width=8, num_channels=4)
        mixer = model.blocks[0].mixer
        real = mixer.transitions
        mixer.transitions = lambda x: 1.5 * real(x) / real(x).abs().max()
        return model

    with pytest.raises(ModelCheckError, match=r"layer 0 has an eigenvalue of size 1\.5"):
        check_model(build)


def test_an_unknown_check_is_refused():
    with pytest.raises(InputError, match="unknown checks"):
        check_model("diagonal", skip=["speed"])
