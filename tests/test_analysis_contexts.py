"""What transitions depend on, and the additive part of the recurrence."""

import numpy as np
import pytest
import torch
from torch import nn

from automata.errors import InputError
from automata.tasks import get_task
from statetrack.analysis import context_shares, extract_offsets, extract_transitions
from statetrack.models import build_model


@pytest.mark.parametrize("name", ["diagonal", "complex_diagonal", "householder"])
def test_matrix_and_offset_are_the_recurrence(name):
    """``h' = M^T h + b`` for the state after one more token, from any state."""
    task = get_task("s3")
    torch.manual_seed(0)
    model = build_model(name, task.num_tokens, task.num_classes)
    matrices = extract_transitions(model, task).layers[0].matrices
    offsets = extract_offsets(model, task)
    assert offsets.dispersion.max() < 1e-9
    (before,) = model.initial_state(1)[0]
    before = torch.randn(before.shape, dtype=before.dtype)
    for token in range(task.num_tokens):
        _, ((after,),) = model(torch.tensor([[token]]), [(before,)])
        h, b = before[0].numpy(), offsets.tensors[0][token]
        if name == "householder":
            expected = np.einsum("hnm,hnv->hmv", matrices[token], h) + b
        else:
            expected = matrices[token, :, 0, 0] * h + b
        np.testing.assert_allclose(after[0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    frame = offsets.to_frame()
    assert frame["token_name"].tolist()[0] == "e"
    assert frame["norm"].min() > 0


class Planted(nn.Module):
    """Transitions that are functions of the token, of two tokens, or of token and parity."""

    def transitions(self, tokens):
        before = torch.nn.functional.pad(tokens[:, :-1], (1, 0))
        parity = torch.nn.functional.pad(tokens.cumsum(1)[:, :-1], (1, 0)) % 2
        heads = [1.0 + tokens, 1.0 + tokens + 2 * before, 1.0 + tokens + 2 * parity]
        return [None, torch.stack(heads, dim=-1)[..., None, None].double()]


def test_the_context_that_explains_is_found():
    frame = context_shares(Planted(), get_task("parity"))
    assert frame["layer"].tolist() == [1, 1, 1]
    left = frame[["token", "two_tokens", "state"]].to_numpy() < 1e-12
    assert left.tolist() == [[True, True, True], [False, True, False], [False, False, True]]
    # Values 1, 2, 3, 4 alike often: variance 1 within a token, mean square 7.5.
    assert frame["token"].to_numpy()[1:] == pytest.approx([1 / 7.5] * 2, rel=0.05)
    assert frame["two_tokens"][2] == pytest.approx(1 / 7.5, rel=0.05)
    assert frame["pairs"].tolist() == frame["states"].tolist() == [4, 4, 4]


def test_chance_groups_explain_nothing():
    """Noise in groups of two or three positions keeps all its variance."""

    class Noise(nn.Module):
        def transitions(self, tokens):
            source = torch.Generator().manual_seed(0)
            return [torch.randn(*tokens.shape, 1, 2, 2, generator=source, dtype=torch.float64)]

    task = get_task("word_problem", group="S4", generators="all")
    frame = context_shares(Noise(), task, num_words=48)
    assert frame[["token", "two_tokens", "state"]].to_numpy() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: context_shares(nn.Linear(1, 1), t), "no method transitions"),
        (lambda t: context_shares(Planted(), t, length=1), "at least 1 and 2"),
        (lambda t: extract_offsets(build_model("lstm", 2, 2), t), "not linear"),
        (lambda t: extract_offsets(build_model("diagonal", 2, 2), t, layer=4), "no layer 4"),
        (lambda t: context_shares(build_model("lstm", 2, 2), t), "no layer with a linear"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(get_task("parity"))
