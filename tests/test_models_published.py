"""Mixers against published code: outputs and gradients that it gave, and the layers of torch.

Each file in ``golden/published`` holds weights, inputs, and what the code named there (repository,
commit, file, function) made of them in float64, its single-precision casts widened. What lies
around that function is said in ``around``. Norms and output maps are left out on both sides.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from statetrack.models import build_model

FILES = sorted((Path(__file__).parent / "golden" / "published").glob("*.json"))


def numbers(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mixer_of(name, parameters):
    torch.manual_seed(0)
    return build_model(name, 2, 2, **parameters).double().blocks[0].mixer


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_gradients_are_those_of_published_code(path):
    golden = json.loads(path.read_text())
    mixer = mixer_of(golden["model"], golden["parameters"])
    for name in ("norm", "output"):
        if hasattr(mixer, name):
            setattr(mixer, name, nn.Identity())
    mixer.load_state_dict({name: numbers(value) for name, value in golden["weights"].items()})
    x = numbers(golden["inputs"]).requires_grad_()
    y, _ = mixer(x, mixer.initial_state(len(x)))
    torch.testing.assert_close(y, numbers(golden["outputs"]), rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad(y.square().sum() / 2, x)
    torch.testing.assert_close(gradient, numbers(golden["gradient"]), rtol=1e-10, atol=1e-12)


def test_every_published_file_says_where_it_comes_from():
    assert len(FILES) == 14
    for path in FILES:
        source = json.loads(path.read_text())["source"]
        assert source["repository"].startswith("https://github.com/")
        assert len(source["commit"]) == 40
        assert source["file"] and source["function"] and source["around"]


@pytest.mark.parametrize(("name", "cell"), [("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_gated_cells_are_the_layers_of_torch_with_their_gradients(name, cell):
    mixer, layer = mixer_of(name, {"width": 8}), cell(8, 8).double()
    layer.load_state_dict(mixer.cell.state_dict())
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(3, 11, 8, dtype=torch.float64, generator=generator) for _ in range(2))
    start = [torch.randn(3, 8, dtype=torch.float64, generator=generator) for _ in range(2)]
    state = tuple(start[: len(mixer.initial_state(3))])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, end = mixer(ours, state)
    of_layer = tuple(one.unsqueeze(0) for one in state)
    z, last = layer(theirs.transpose(0, 1), of_layer if name == "lstm" else of_layer[0])
    (y * weight).sum().backward()
    (z.transpose(0, 1) * weight).sum().backward()
    last = last if name == "lstm" else (last,)
    torch.testing.assert_close(y, z.transpose(0, 1))
    torch.testing.assert_close(ours.grad, theirs.grad)
    for one, other in zip(end, last, strict=True):
        torch.testing.assert_close(one, other[0])
    for one, other in zip(mixer.cell.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
