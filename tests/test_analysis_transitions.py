"""Extraction of the transition of every token from a model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from automata.errors import InputError
from automata.groups import cyclic, direct_product
from automata.tasks import get_task
from statetrack.analysis import extract_transitions
from statetrack.analysis.naming import element_name, token_names


class TableModel(nn.Module):
    """Transitions looked up in a table [num_tokens, heads, N, N], after a layer without any."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table)

    def transitions(self, tokens):
        return [None, self.table[tokens]]


class ContextModel(nn.Module):
    """A 1x1 transition that is the sign of the token before: not a function of the token."""

    def transitions(self, tokens):
        before = torch.nn.functional.pad(tokens[:, :-1], (1, 0))
        constant = torch.full(tokens.shape, 3.0)
        return [torch.stack([1.0 - 2.0 * before, constant], dim=-1)[..., None, None]]


@pytest.fixture
def s3():
    return get_task("s3")


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_table_of_the_model_comes_back(s3, dtype):
    table = torch.randn(6, 2, 3, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    transitions = extract_transitions(TableModel(table), s3)
    (layer,) = transitions.layers
    assert layer.layer == 1
    assert (layer.num_heads, layer.size) == (2, 3)
    assert layer.matrices.dtype == (np.complex128 if dtype.is_complex else np.float64)
    np.testing.assert_allclose(layer.matrices, table.numpy(), rtol=1e-6)
    assert layer.dispersion.max() < 1e-12
    assert transitions.token_names[0] == "e"
    assert sorted(transitions.token_names)[:3] == ["(0 1 2)", "(0 1)", "(0 2 1)"]


def test_arrays_cannot_be_changed(s3):
    layer = extract_transitions(TableModel(torch.randn(6, 1, 2, 2)), s3).layer(1)
    with pytest.raises(ValueError, match="read-only"):
        layer.matrices[0] = 0


def test_frame_has_one_row_per_head_and_token(s3):
    frame = extract_transitions(TableModel(torch.eye(2).repeat(6, 3, 1, 1)), s3).to_frame()
    assert len(frame) == 18
    assert frame["norm"].to_numpy() == pytest.approx(1.0)
    assert frame["context_free"].all()
    assert frame[["layer", "head", "token"]].apply(tuple, axis=1).is_monotonic_increasing


def test_context_shows_as_dispersion():
    layer = extract_transitions(ContextModel(), get_task("parity"), num_words=256).layers[0]
    mean = layer.matrices[:, 0, 0, 0]
    assert np.all(np.abs(mean) < 0.2)
    np.testing.assert_allclose(layer.dispersion[:, 0], 1 - mean**2, atol=1e-12)
    assert layer.dispersion[:, 1].max() < 1e-12
    frame = extract_transitions(ContextModel(), get_task("parity")).to_frame()
    assert frame.groupby("head")["context_free"].all().tolist() == [False, True]


def test_padding_is_left_out():
    tokens = np.array([[0, 1, 2, 2], [1, 0, 1, 0]])
    task = SimpleNamespace(
        name="padded",
        num_tokens=2,
        group=None,
        token_elements=None,
        dfa=None,
        sample=lambda **_: SimpleNamespace(tokens=tokens, lengths=np.array([2, 4])),
    )
    table = torch.tensor([1.0, -1.0, float("nan")]).reshape(3, 1, 1, 1)
    layer = extract_transitions(TableModel(table), task).layer(1)
    assert layer.matrices.ravel().tolist() == [1.0, -1.0]
    assert layer.occurrences.tolist() == [3, 3]


def test_words_are_drawn_until_every_token_was_seen():
    task = get_task("s5")
    table = torch.arange(120.0).reshape(120, 1, 1, 1)
    layer = extract_transitions(TableModel(table), task, num_words=8, length=8 * 4).layer(1)
    assert layer.occurrences.min() >= 1
    np.testing.assert_allclose(layer.matrices.ravel(), np.arange(120.0))


def test_the_mode_of_the_model_is_restored(s3):
    model = TableModel(torch.randn(6, 1, 2, 2))
    model.train()
    extract_transitions(model, s3)
    assert model.training
    assert model.table.grad is None


class WithoutMatrices(nn.Module):
    def transitions(self, tokens):
        return [None, None]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(1, 1), "no method transitions"),
        (WithoutMatrices(), "no layer with a linear transition"),
        (TableModel(torch.full((6, 1, 1, 1), float("inf"))), "layer 1 .* not finite"),
        (TableModel(torch.zeros(6, 1, 2, 3)), r"shape \(.*2, 3\)"),
    ],
)
def test_models_that_cannot_be_read_are_named(s3, model, message):
    with pytest.raises(InputError, match=message):
        extract_transitions(model, s3)


def test_other_bad_input(s3):
    model = TableModel(torch.zeros(6, 1, 1, 1))
    with pytest.raises(InputError, match="at least 1"):
        extract_transitions(model, s3, num_words=0)
    with pytest.raises(InputError, match="layer 0 has no linear transition"):
        extract_transitions(model, s3).layer(0)


def test_names_of_tokens():
    assert token_names(get_task("parity")) == ("0", "1")
    product = direct_product(cyclic(2), cyclic(3))
    assert len({element_name(element) for element in product.elements}) == 6
    assert element_name((1, 2, 0, 4, 3)) == "(0 1 2)(3 4)"
