"""The chunked kernels of the Householder scan against the loop, launched directly."""

import dataclasses

import pytest
import torch
from torch import Tensor

from statetrack.scans.householder import chunked
from statetrack.scans.householder.reference import householder_scan_reference
from statetrack.scans.kernels import why_unavailable

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAMES = ("q", "k", "v", "beta", "write", "decay", "initial")

pytestmark = pytest.mark.skipif(
    why_unavailable(DEVICE) is not None, reason="Triton kernels cannot run here"
)


def drawn(
    length: int,
    factors: int,
    keys: int,
    values: int,
    decay: int = 0,
    dtype: torch.dtype = torch.float64,
    leading: tuple[int, ...] = (2,),
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length + 100 * factors + keys)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*leading, *shape, generator=generator, dtype=torch.float64)

    k = torch.nn.functional.normalize(normal(length, factors, keys), dim=-1)
    beta = 2 * normal(length, factors).sigmoid()
    beta[..., ::3, :] = 2.0
    beta[..., 1::3, :1] = 0.0
    inputs = [normal(length, keys), k, normal(length, factors, values), beta]
    inputs += [normal(length, factors), normal(length, decay), normal(keys, values)]
    if decay and length > 3:
        inputs[5][..., length // 2, :] = 0.0
    return [tensor.to(DEVICE, dtype) for tensor in inputs]


def forward(inputs: list[Tensor], save: bool = True) -> tuple:
    return chunked.run_chunked_forward(*inputs, save)


def reference(inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    decay = inputs[5] if inputs[5].shape[-1] else None
    return householder_scan_reference(*inputs[:5], decay, inputs[6])


def errors(inputs: list[Tensor], outputs: tuple) -> dict[str, float]:
    """Relative errors of outputs, final state and every gradient against float64."""
    leaves = [tensor.double().requires_grad_() for tensor in inputs]
    o, final = reference(leaves)
    d_o, d_final = torch.randn_like(o), torch.randn_like(final)
    loss = (o * d_o).sum() + (final * d_final).sum()
    used = [leaf for leaf in leaves if leaf.numel() > 0]
    wanted = torch.autograd.grad(loss, used)
    found = chunked.run_chunked_backward(
        tuple(inputs), outputs[2:], d_o.to(outputs[0].dtype), d_final.to(outputs[1].dtype),
    )  # fmt: skip
    pairs = {"o": (outputs[0], o), "final": (outputs[1], final)}
    names = [name for name, leaf in zip(NAMES, leaves, strict=True) if leaf.numel() > 0]
    kept = [one for one, leaf in zip(found, leaves, strict=True) if leaf.numel() > 0]
    pairs |= dict(zip(names, zip(kept, wanted, strict=True), strict=True))
    return {
        name: float((one.double() - other.detach()).norm() / other.detach().norm())
        for name, (one, other) in pairs.items()
    }


@pytest.mark.parametrize("decay", [0, 1])
@pytest.mark.parametrize(
    ("length", "factors", "keys", "values"),
    [(1, 1, 16, 16), (35, 1, 4, 8), (19, 2, 20, 16), (7, 3, 16, 40), (5, 5, 8, 4)],
)
def test_equals_the_loop_with_all_gradients(
    decay: int, length: int, factors: int, keys: int, values: int
):
    inputs = drawn(length, factors, keys, values, decay)
    for name, error in errors(inputs, forward(inputs)).items():
        assert error < 1e-12, name


@pytest.mark.parametrize(("chunk", "decay"), [(32, 0), (64, 1)])
def test_larger_chunks(chunk: int, decay: int, monkeypatch: pytest.MonkeyPatch):
    choose = chunked.choose_tiles
    monkeypatch.setattr(
        chunked, "choose_tiles", lambda *args: dataclasses.replace(choose(*args), chunk=chunk)
    )
    inputs = drawn(45, 3, 16, 16, decay)
    for name, error in errors(inputs, forward(inputs)).items():
        assert error < 1e-12, name


@pytest.mark.parametrize("decay_dtype", [torch.bfloat16, torch.float32])
def test_float32_and_bfloat16(decay_dtype: torch.dtype):
    inputs = drawn(40, 2, 16, 16, 1, torch.float32)
    assert max(errors(inputs, forward(inputs)).values()) < 1e-6
    halves = [tensor.to(torch.bfloat16) for tensor in inputs[:5]]
    inputs = [*halves, inputs[5].to(decay_dtype), inputs[6]]
    outputs = forward(inputs)
    assert outputs[0].dtype == torch.bfloat16
    found = errors(inputs, outputs)
    assert found.pop("final") < 1e-5
    assert max(found.values()) < 2e-2


def test_any_strides_and_a_tensor_used_twice():
    inputs = drawn(21, 2, 8, 16, leading=(2, 3))
    inputs[4] = inputs[3]
    plain = forward(inputs)
    turned = [tensor.transpose(0, 2).contiguous().transpose(0, 2) for tensor in inputs[:6]]
    turned[4] = turned[3]
    wide = torch.zeros(*inputs[1].shape[:-1], 11, dtype=torch.float64, device=DEVICE)
    turned[1] = wide[..., 2:10].copy_(inputs[1])
    outputs = forward([*turned, inputs[6]])
    torch.testing.assert_close(outputs[0], plain[0], rtol=0, atol=0)
    torch.testing.assert_close(outputs[1], plain[1], rtol=0, atol=0)


def test_without_saving_the_outputs_are_the_same():
    inputs = drawn(21, 2, 8, 16)
    o, final, updates, states, _ = forward(inputs, save=False)
    saved = forward(inputs)
    assert torch.equal(o, saved[0])
    assert torch.equal(final, saved[1])
    assert updates.numel() == states.numel() == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter
@pytest.mark.parametrize("name", ["k", "v", "beta", "initial"])
@pytest.mark.parametrize(("value", "decay"), [(float("nan"), 0), (float("inf"), 1)])
def test_what_is_not_finite_reaches_what_depends_on_it(name: str, value: float, decay: int):
    inputs = drawn(19, 2, 16, 16, decay, torch.float32)
    at = NAMES.index(name)
    if name == "initial":
        inputs[at][0, 3, 5] = value
    else:
        inputs[at][0, 10, 1] = value
    outputs = forward(inputs)
    o, final = reference([tensor.double() for tensor in inputs])
    assert torch.equal(outputs[0].isfinite(), o.isfinite())
    assert torch.equal(outputs[1].isfinite(), final.isfinite())
    good = o.isfinite()
    torch.testing.assert_close(outputs[0][good].double(), o[good], rtol=1e-4, atol=1e-4)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    d_o, d_final = torch.ones_like(outputs[0]), torch.ones_like(outputs[1])
    found = chunked.run_chunked_backward(tuple(inputs), outputs[2:], d_o, d_final)
    o, final = reference(leaves)
    used = [leaf for leaf in leaves if leaf.numel() > 0]
    wanted = torch.autograd.grad(o.sum() + final.sum(), used)
    kept = [one for one in found if one.numel() > 0]
    for one, other in zip(kept, wanted, strict=True):
        assert torch.equal(one[1].isfinite(), other[1].isfinite())
        good = one[1].isfinite()
        torch.testing.assert_close(one[1][good], other[1][good], rtol=1e-4, atol=1e-4)


def test_reflections_come_back_exactly():
    """Two equal reflections are the identity, however many factors lie in one chunk."""
    inputs = drawn(64, 1, 16, 16)
    inputs[1] = torch.zeros_like(inputs[1])
    inputs[1][..., 0] = 1.0
    inputs[3] = torch.full_like(inputs[3], 2.0)
    inputs[4] = torch.zeros_like(inputs[4])
    _, final, *_ = forward(inputs, save=False)
    assert torch.equal(final, inputs[6])


@pytest.mark.parametrize("scale", [-1e-30, 1e20])
def test_decays_of_any_size(scale: float):
    """Products of decays that leave the range of quotients go column by column."""
    inputs = drawn(37, 2, 16, 16, 1)
    inputs[5] = inputs[5].clone()
    inputs[5][:, ::4] *= scale
    if scale > 1:
        inputs[5][:, 1::4] /= scale
    for name, error in errors(inputs, forward(inputs)).items():
        assert error < 1e-9, name
