"""The low-rank scan against its loop, the Householder scan, finite differences."""

import pytest
import torch

from automata.errors import InputError
from statetrack.scans import householder_scan, low_rank_scan


def inputs(length, rank=2, leading=(2,), keys=5, values=4, decay="none", seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*leading, *shape, dtype=torch.float64, generator=generator)

    tensors = {
        "q": draw(length, keys),
        "left": draw(length, rank, keys) / keys,
        "right": draw(length, rank, keys),
        "k": draw(length, keys),
        "v": draw(length, values),
        "initial": draw(keys, values),
    }
    if decay != "none":
        factors = torch.tanh(draw(length) if decay == "head" else draw(length, keys))
        tensors["decay"] = torch.where(factors.abs() < 0.1, 0.0, factors)
    return tensors


def results(tensors, backend, device="cpu"):
    leaves = {name: one.to(device).requires_grad_() for name, one in tensors.items()}
    outputs, final = low_rank_scan(**leaves, backend=backend)
    (outputs.sin().sum() + final.square().sum()).backward()
    return [outputs, final, *(one.grad for one in leaves.values())]


@pytest.mark.parametrize("length", [0, 1, 2, 7, 16, 33])
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_parallel_is_the_loop(length, decay):
    tensors = inputs(length, rank=1 + length % 3, decay=decay)
    expected = low_rank_scan(**tensors, backend="reference")
    for one, other in zip(low_rank_scan(**tensors), expected, strict=True):
        torch.testing.assert_close(one, other)
    if length > 0:
        for one, other in zip(
            results(tensors, "parallel"), results(tensors, "reference"), strict=True
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", ["reference", "parallel"])
def test_gradients_are_finite_differences(backend):
    tensors = inputs(3, leading=(), keys=3, values=2, decay="channel")
    leaves = [one.requires_grad_() for one in tensors.values()]

    def run(*given):
        return low_rank_scan(**dict(zip(tensors, given, strict=True)), backend=backend)

    assert torch.autograd.gradcheck(run, leaves)


def test_one_householder_factor_has_rank_one():
    tensors = inputs(20, rank=1)
    key, beta = tensors["k"], torch.rand(2, 20, dtype=torch.float64)
    scaled = beta.unsqueeze(-1) * key
    found = low_rank_scan(
        tensors["q"], scaled, key, scaled, tensors["v"], initial=tensors["initial"]
    )
    expected = householder_scan(
        tensors["q"], key.unsqueeze(-2), tensors["v"].unsqueeze(-2), beta.unsqueeze(-1),
        initial=tensors["initial"],
    )  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("length", "rank", "decay", "keys", "values"),
    [(19, 1, "channel", 3, 2), (17, 2, "head", 3, 2), (2, 4, "none", 20, 18)],
)
def test_kernel_is_the_loop_over_many_tokens_and_blocks(
    kernel_device, length, rank, decay, keys, values
):
    tensors = inputs(length, rank, (1,), keys, values, decay)
    found = results(tensors, "triton", kernel_device)
    for one, other in zip(found, results(tensors, "reference", kernel_device), strict=True):
        torch.testing.assert_close(one, other)


def test_bad_shapes_are_named(kernel_device):
    tensors = inputs(4)
    with pytest.raises(InputError, match="left or right has shape"):
        low_rank_scan(**(tensors | {"left": torch.zeros(4, 5)}))
    with pytest.raises(InputError, match=r"must end in \[T, K\], \[T, P, K\]"):
        low_rank_scan(**(tensors | {"left": torch.zeros(2, 4, 3, 5)}))
    with pytest.raises(InputError, match="decay has shape"):
        low_rank_scan(**tensors, decay=torch.zeros(2, 7))
    with pytest.raises(InputError, match="initial has shape"):
        low_rank_scan(**(tensors | {"initial": torch.zeros(5, 5)}))
    on_device = {name: one.to(kernel_device) for name, one in inputs(2, rank=5).items()}
    with pytest.raises(InputError, match="P = 5, the kernel takes"):
        low_rank_scan(**on_device, backend="triton")
