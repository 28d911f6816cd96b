"""What only a GPU shows: the torch strategies there, long chains, words drawn on the device."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from automata.tasks import get_task
from automata.words import uniform_letters as uniform_letters_numpy
from statetrack.scans import (
    diagonal_scan,
    householder_scan,
    launches,
    matrix_scan,
    outer_product_scan,
)
from statetrack.scans.automaton import uniform_letters
from statetrack.training.data import draw_batch

pytestmark = pytest.mark.gpu
LENGTHS = (1, 2, 63, 64, 65, 1009)


def relative_error(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("length", LENGTHS)
def test_diagonal_scan(device, length):
    generator = torch.Generator(device).manual_seed(0)
    a = torch.rand(8, length, 32, device=device, generator=generator) * 2 - 1
    x = torch.randn(8, length, 32, device=device, generator=generator)
    exact, _ = diagonal_scan(a.double(), x.double(), backend="reference")
    assert relative_error(diagonal_scan(a, x)[0], exact) <= max(1e-6, 1e-7 * length**0.5)


@pytest.mark.parametrize("length", LENGTHS)
def test_matrix_scan(device, length):
    generator = torch.Generator(device).manual_seed(0)
    raw = torch.randn(8, length, 8, 8, device=device, generator=generator)
    rotations = torch.linalg.matrix_exp(raw - raw.transpose(-1, -2))
    exact, _ = matrix_scan(rotations.double(), backend="reference")
    assert relative_error(matrix_scan(rotations)[0], exact) <= max(1e-6, 1e-7 * length**0.5)


@pytest.mark.parametrize("length", LENGTHS)
def test_householder_scan(device, length):
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape):
        return torch.randn(4, *shape, device=device, generator=generator)

    q, v = draw(length, 16), draw(length, 2, 16)
    k = normalize(draw(length, 2, 16), dim=-1)
    beta = 2 * torch.sigmoid(draw(length, 2))
    exact, _ = householder_scan(
        q.double(), k.double(), v.double(), beta.double(), backend="reference"
    )
    found, _ = householder_scan(q, k, v, beta)
    assert relative_error(found, exact) <= max(1e-6, 1e-7 * length**0.5)


def test_permutation_and_sign_chains_are_exact_at_a_million_steps(device):
    length = 2**20
    generator = torch.Generator(device).manual_seed(0)
    bits = torch.randint(0, 2, (length, 1), device=device, generator=generator)
    signs, _ = diagonal_scan(1.0 - 2.0 * bits, torch.zeros_like(bits, dtype=torch.float), None)
    assert torch.equal(signs, torch.zeros_like(signs))
    signs, _ = diagonal_scan(
        1.0 - 2.0 * bits, torch.zeros_like(bits, dtype=torch.float), torch.ones(1, device=device)
    )
    assert torch.equal(signs, 1.0 - 2.0 * (bits.cumsum(0) % 2))
    task = get_task("s5")
    word = task.sample(seed=0, batch_size=1, length=length).tokens[0]
    images = np.array(task.group.elements)
    matrices = torch.eye(5, device=device)[torch.from_numpy(images[word]).to(device)]
    states, _ = matrix_scan(matrices)
    expected = torch.from_numpy(images[task.targets_of(word)]).to(device)
    assert torch.equal(states.argmax(-1), expected)
    assert torch.equal(states.sum(-1), torch.ones(length, 5, device=device))


@pytest.mark.parametrize("split", ["train", "selection", "report"])
@pytest.mark.parametrize(("num_symbols", "length"), [(2, 8), (2, 40), (6, 5), (120, 33), (7, 1)])
def test_words_are_the_same_bits(device, split, num_symbols, length):
    expected = uniform_letters_numpy(num_symbols, length, (2**33, 50), seed=7, split=split)
    found = uniform_letters(num_symbols, length, 2**33, 50, seed=7, split=split, device=device)
    assert np.array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize("name", ["parity", "s3", "s5", "random_dfa"])
def test_batches_are_the_same_bits(device, name):
    task = get_task(name)
    options = {"batch_size": 33, "length": 40, "seed": 3, "step": 5}
    for found, expected in zip(
        draw_batch(task, **options, device=device), draw_batch(task, **options), strict=True
    ):
        assert torch.equal(found.cpu(), expected)


def test_same_call_same_bits(device):
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(8, 257, 6, 6, device=device, generator=generator) / 3
    first, _ = matrix_scan(a)
    assert all(torch.equal(matrix_scan(a)[0], first) for _ in range(10))


@pytest.mark.parametrize("decay_axes", [None, 0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_compiled_during_the_forward_pass(monkeypatch, dtype, decay_axes):
    from statetrack.scans.outer_product import kernel_backward

    if not torch.cuda.is_available():
        pytest.skip("compiles for a device")
    device = torch.device("cuda", torch.cuda.current_device())
    monkeypatch.setattr(launches, "FEWEST_PROCESSORS", 1)
    sizes = {None: 20, 0: 21, 1: 22}  # Of no other test, so that these kernels are new.
    shape = (3, 50, sizes[decay_axes])
    q, k, v = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    decay = None if decay_axes is None else torch.rand(shape[: 2 + decay_axes], device=device)
    kernels = (kernel_backward.around_chunks, kernel_backward.chunk_backward)

    def compiled():
        return [len(one.device_caches[device.index][0]) for one in kernels]

    before = compiled()
    outputs, _ = outer_product_scan(q, k, v, decay)
    ahead = list(launches.AHEAD.values())
    assert [one.exception() for one in ahead] == [None, None]
    after = [count + 1 for count in before]
    assert compiled() == after
    outputs.sum().backward()
    assert compiled() == after
    assert launches.AHEAD == {}
