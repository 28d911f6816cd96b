"""`matrix_exponential` beside torch's own, SciPy's, and exponentials of eigenvalues by NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from automata.errors import InputError
from statetrack.models import build_model
from statetrack.models.matrix_exponential import LARGEST_NORM, SQUARINGS, matrix_exponential
from statetrack.models.mru_matrices import INPUT_METHODS


def drawn(seed: int, shape: tuple[int, ...], norm: float, dtype: torch.dtype) -> torch.Tensor:
    """Skew matrices whose 1-norms are `norm`."""
    x = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    x = x - x.transpose(-1, -2)
    return x * (norm / x.abs().sum(dim=-2).amax(dim=-1)[..., None, None])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0.0, 300.0))
def test_float64_is_the_exponential_of_the_eigenvalues(seed, size, norm):
    x = drawn(seed, (3, size, size), norm, torch.float64)
    angles, vectors = np.linalg.eigh(1j * x.numpy())
    truth = vectors * np.exp(-1j * angles)[..., None, :] @ vectors.conj().swapaxes(-1, -2)
    error = np.abs(matrix_exponential(x).numpy() - truth).max()
    assert error <= 1e-14 * max(1.0, norm) * size


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0.0, 30.0))
def test_float32_is_float64(seed, size, norm):
    x = drawn(seed, (3, size, size), norm, torch.float32)
    truth = torch.linalg.matrix_exp(x.double())
    ours = (matrix_exponential(x) - truth).abs().max()
    theirs = (torch.linalg.matrix_exp(x) - truth).abs().max()
    assert ours <= max(2 * theirs, 1e-6 * max(1.0, norm))


def test_matrices_that_are_not_skew():
    x = torch.randn(5, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(matrix_exponential(x), torch.linalg.matrix_exp(x))
    torch.testing.assert_close(matrix_exponential(x), torch.from_numpy(expm(x.numpy())))


def test_matrices_of_a_batch_do_not_touch_each_other():
    norms = [0.0, 0.1, 3.0, 100.0]
    x = torch.cat([drawn(7, (1, 4, 4), norm, torch.float64) for norm in norms])
    together = matrix_exponential(x)
    for place, one in enumerate(x):
        torch.testing.assert_close(together[place], matrix_exponential(one), rtol=0, atol=1e-13)
    assert torch.equal(together[0], torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("norm", [0.1, 5.0, 60.0])
def test_gradients(norm):
    x = drawn(3, (2, 3, 3), norm, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(matrix_exponential, x)
    weight = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for scale in (1e-30, 1.0, 1e30, 0.0):
        (ours,) = torch.autograd.grad(matrix_exponential(x), x, weight * scale)
        (theirs,) = torch.autograd.grad(torch.linalg.matrix_exp(x), x, weight)
        torch.testing.assert_close(ours, theirs * scale, rtol=1e-9, atol=1e-10 * scale)


def test_vmap_over_runs_is_run_by_run():
    x = drawn(5, (3, 2, 4, 4), 4.0, torch.float64)

    def total(one):
        return matrix_exponential(one).square().sin().sum()

    mapped = torch.vmap(torch.func.grad(total))(x)
    torch.testing.assert_close(mapped, torch.stack([torch.func.grad(total)(one) for one in x]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_too_large_is_not_a_number(dtype):
    limit = LARGEST_NORM[dtype] * 2**SQUARINGS
    assert torch.isfinite(matrix_exponential(drawn(1, (3, 3), 0.99 * limit, dtype))).all()
    assert torch.isnan(matrix_exponential(drawn(1, (3, 3), 1.01 * limit, dtype))).all()
    assert torch.isnan(matrix_exponential(torch.full((2, 2), torch.inf, dtype=dtype))).all()


def test_other_types_are_named():
    with pytest.raises(InputError, match=r"bfloat16.*float32"):
        matrix_exponential(torch.zeros(2, 2, dtype=torch.bfloat16))


@pytest.mark.parametrize("method", [name for name, one in INPUT_METHODS.items() if one.orthogonal])
def test_matrices_of_a_model_stay_exact_under_autocast(method):
    torch.manual_seed(0)
    model = build_model("mru", 3, 3, width=16, num_heads=2, head_size=4, input_method=method)
    x = 3.0 * torch.randn(2, 5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        matrices = model.blocks[0].mixer.transitions(x)
    assert matrices.dtype == torch.float32
    gram = matrices @ matrices.transpose(-1, -2)
    torch.testing.assert_close(gram, torch.eye(4).expand_as(gram), rtol=0, atol=5e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_holds_it():
    x = drawn(6, (8, 4, 4), 3.0, torch.float32).cuda().requires_grad_()
    truth = torch.autograd.grad(torch.linalg.matrix_exp(x).sum(), x)[0]
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.autograd.grad(matrix_exponential(x).sum(), x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        (found,) = torch.autograd.grad(matrix_exponential(x).sum(), x)
    graph.replay()
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)
