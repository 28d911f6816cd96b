"""Layers of torch's cells: by torch, by the scan, in packs."""

import pytest
import torch
from torch import nn

from statetrack.models import build_model
from statetrack.training.packed_model import PackedModel

NAMES = ("rnn", "gru", "lstm")


def stacked_gradients(pack, tokens):
    parameters = pack.parameters.detach().requires_grad_()
    logits, state = pack(tokens, None, parameters)
    return logits, state, torch.autograd.grad(logits.sin().sum(), parameters)[0]


def models(name, count=3, **options):
    return [build_model(name, 4, 4, width=8, num_layers=2, **options) for _ in range(count)]


@pytest.mark.parametrize("name", NAMES)
def test_the_scan_computes_what_the_cells_of_torch_do(name):
    """Words in two parts, the state of the first carried over."""
    torch.manual_seed(0)
    (model,) = models(name, 1)
    tokens = torch.randint(0, 4, (1, 5, 12))
    parameters = dict(model.named_parameters())

    def mapped(tokens, state=None):
        return torch.func.vmap(
            lambda words: torch.func.functional_call(model, parameters, (words, state))
        )(tokens)

    logits, state = mapped(tokens)
    expected, expected_state = model(tokens[0])
    torch.testing.assert_close(logits[0], expected)
    for layer, other in zip(state, expected_state, strict=True):
        for part, other_part in zip(layer, other, strict=True):
            torch.testing.assert_close(part[0], other_part)
    rest, _ = mapped(tokens, [tuple(part[0] for part in layer) for layer in state])
    torch.testing.assert_close(rest[0], model(tokens[0], expected_state)[0])


@pytest.mark.parametrize("name", (*NAMES, "slstm"))
def test_a_pack_is_its_models_one_after_another(name, device):
    torch.manual_seed(0)
    each = models(name)
    tokens = torch.randint(0, 4, (3, 5, 9), device=device)
    logits, _, gradients = stacked_gradients(PackedModel(each).to(device), tokens)
    for place, model in enumerate(each):
        alone = model.to(device)
        expected, _ = alone(tokens[place])
        torch.testing.assert_close(logits[place], expected, rtol=1e-4, atol=1e-5)
        grads = torch.autograd.grad(expected.sin().sum(), list(alone.parameters()))
        flat = torch.cat([one.flatten() for one in grads])
        torch.testing.assert_close(gradients[place], flat, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "calls"), [("rnn", 0), ("gru", 0), ("lstm", 6)])
def test_on_the_cpu_an_lstm_alone_calls_torch_in_a_pack(monkeypatch, name, calls):
    """As often as there are models and layers; the others are mapped."""
    counted = []
    for cell in (nn.RNN, nn.GRU, nn.LSTM):
        forward = cell.forward

        def count(self, *arguments, _forward=forward):
            counted.append(self)
            return _forward(self, *arguments)

        monkeypatch.setattr(cell, "forward", count)
    PackedModel(models(name))(torch.zeros(3, 2, 4, dtype=torch.int64))
    assert len(counted) == calls


def test_cells_of_torch_in_other_layers_are_not_mapped():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(2, 2, batch_first=True)

        def forward(self, tokens, state=None):
            return self.cell(nn.functional.one_hot(tokens, 2).float())

    each = [Plain() for _ in range(2)]
    tokens = torch.tensor([[[0, 1, 1]], [[1, 0, 1]]])
    logits, _ = PackedModel(each)(tokens)
    for place, model in enumerate(each):
        torch.testing.assert_close(logits[place], model(tokens[place])[0])


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_the_kernel_is_cudnn(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    mixer = build_model(name, 4, 4, width=64).blocks[0].mixer.cuda()
    x = torch.randn(8, 200, 64, device="cuda", requires_grad=True)
    start = mixer.initial_state(8)
    leaves = [x, *mixer.parameters()]
    found, _ = mixer.by_scan(x, start)
    expected, _ = mixer.by_torch(x, start)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    grads = torch.autograd.grad(found.sin().sum(), leaves)
    of_torch = torch.autograd.grad(expected.sin().sum(), leaves)
    for one, other in zip(grads, of_torch, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
