"""The diagonal scan against its loop, finite differences, and exact integers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automata.errors import InputError
from statetrack.scans import diagonal_scan

LENGTHS = (0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 101)


def inputs(length, leading=(2,), channels=3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    return (
        draw(*leading, length, channels),
        draw(*leading, length, channels),
        draw(*leading, channels),
    )


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_parallel_is_the_loop(length, leading, dtype):
    a, x, initial = inputs(length, leading, dtype=dtype)
    expected, expected_final = diagonal_scan(a, x, initial, backend="reference")
    states, final = diagonal_scan(a, x, initial, backend="parallel")
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(final, expected_final)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_gradients_are_finite_differences(length, dtype):
    tensors = [t.requires_grad_() for t in inputs(length, dtype=dtype)]
    assert torch.autograd.gradcheck(lambda *t: diagonal_scan(*t), tensors)


def test_second_derivatives_are_finite_differences():
    tensors = [t.requires_grad_() for t in inputs(4, leading=())]
    assert torch.autograd.gradgradcheck(lambda *t: diagonal_scan(*t)[0], tensors)


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_parallel_gradients_are_those_of_the_loop(length):
    results = []
    for backend in ("reference", "parallel"):
        tensors = [t.requires_grad_() for t in inputs(length)]
        states, final = diagonal_scan(*tensors, backend=backend)
        (states.sin().sum() + final.square().sum()).backward()
        results.append([t.grad for t in tensors])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2**31))
def test_two_halves_are_the_whole(left, right, seed):
    a, x, initial = inputs(left + right, seed=seed)
    whole, whole_final = diagonal_scan(a, x, initial)
    first, carried = diagonal_scan(a[:, :left], x[:, :left], initial)
    second, final = diagonal_scan(a[:, left:], x[:, left:], carried)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(final, whole_final)


def test_signs_are_exact_at_any_length():
    bits = torch.randint(0, 2, (4, 2**16), generator=torch.Generator().manual_seed(0))
    a = (1.0 - 2.0 * bits).unsqueeze(-1)
    states, final = diagonal_scan(a, torch.zeros_like(a), torch.ones(1))
    assert torch.equal(states.squeeze(-1), 1.0 - 2.0 * (bits.cumsum(-1) % 2))
    assert torch.equal(final, states[:, -1])


@pytest.mark.parametrize("length", [64, 1024, 16384])
def test_single_precision_error(length):
    generator = torch.Generator().manual_seed(1)
    for a in (
        torch.rand(2, length, 4, generator=generator, dtype=torch.float64) * 2 - 1,
        torch.randint(0, 2, (2, length, 4), generator=generator).double() * 2 - 1,
        torch.full((2, length, 4), 0.999, dtype=torch.float64),
    ):
        x = torch.randn(2, length, 4, generator=generator, dtype=torch.float64)
        exact, _ = diagonal_scan(a.float().double(), x.float().double(), backend="reference")
        found, _ = diagonal_scan(a.float(), x.float())
        error = (found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        assert error <= max(1e-6, 1e-7 * length**0.5)


def test_not_a_number_reaches_exactly_what_depends_on_it():
    a, x, initial = inputs(37, leading=(3,))
    x[1, 20, 2] = torch.nan
    states, _ = diagonal_scan(a, x, initial)
    expected = torch.zeros(3, 37, 3, dtype=torch.bool)
    expected[1, 20:, 2] = True
    assert torch.equal(states.isnan(), expected)


def test_strides_do_not_matter():
    a, x, initial = inputs(24, leading=(4,), channels=6)
    expected, _ = diagonal_scan(a, x, initial)
    strided = a.transpose(0, 1).contiguous().transpose(0, 1)
    wide = torch.zeros(4, 24, 9, dtype=x.dtype)
    wide[..., 2:8] = x
    found, _ = diagonal_scan(strided, wide[..., 2:8], initial)
    assert torch.equal(found, expected)
    one = a[:1].expand(4, -1, -1)
    assert torch.equal(
        diagonal_scan(one, x, initial)[0], diagonal_scan(one.contiguous(), x, initial)[0]
    )


def test_vmap_over_runs_is_run_by_run():
    a, x, initial = inputs(9, leading=(5, 2))
    together = torch.func.vmap(lambda *t: diagonal_scan(*t)[0])(a, x, initial)
    alone = torch.stack([diagonal_scan(*t)[0] for t in zip(a, x, initial, strict=True)])
    torch.testing.assert_close(together, alone)


def test_types():
    a, x, initial = inputs(5, dtype=torch.float32)
    states, final = diagonal_scan(a.bfloat16(), x.bfloat16())
    assert (states.dtype, final.dtype) == (torch.bfloat16, torch.float32)
    states, final = diagonal_scan(a.to(torch.complex64), x)
    assert (states.dtype, final.dtype) == (torch.complex64, torch.complex64)
    empty, final = diagonal_scan(a[:, :0], x[:, :0], initial)
    assert empty.shape == (2, 0, 3)
    assert torch.equal(final, initial)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, x, h: (a[:, :-1], x, h), "same"),
        (lambda a, x, h: (a, x, h[..., :-1]), "initial"),
        (lambda a, x, h: (a[:1].expand(5, -1, -1), x, h), "broadcast"),
        (lambda a, x, h: (a[0, 0], x, h), "expected at least 2 axes"),
    ],
)
def test_bad_shapes_are_named(change, words):
    with pytest.raises(InputError, match=words):
        diagonal_scan(*change(*inputs(4)))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float8_e4m3fn])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_types_are_named(kind, place):
    given = list(inputs(4))
    given[place] = given[place].to(kind)
    name = ("a", "x", "initial")[place]
    message = rf"diagonal_scan: {name} is {kind}, expected one of float32.*use {name}.float\(\)"
    with pytest.raises(InputError, match=message):
        diagonal_scan(*given)


def test_what_is_no_tensor_is_named():
    with pytest.raises(InputError, match=r"a is a list, expected a torch\.Tensor"):
        diagonal_scan([[1.0]], torch.ones(1, 1))


def test_bad_options_are_named():
    a, x, initial = inputs(4)
    with pytest.raises(InputError, match="did you mean 'parallel'"):
        diagonal_scan(a, x, initial, backend="paralel")
    with pytest.raises(InputError, match="did you mean 'ieee'"):
        diagonal_scan(a, x, initial, precision="iee")
    with pytest.raises(InputError, match="needs backend"):
        diagonal_scan(a, x, initial, precision="tf32")


@pytest.mark.parametrize("backend", ["reference", "parallel", "triton"])
def test_channel_and_state_pairs_are_channels_side_by_side(kernel_device, backend):
    a, x, initial = (one.to(kernel_device) for one in inputs(5, channels=12))
    pairs = (a.unflatten(-1, (3, 4)), x.unflatten(-1, (3, 4)), initial.unflatten(-1, (3, 4)))
    states, final = diagonal_scan(*pairs, state_axes=2, backend=backend)
    flat_states, flat_final = diagonal_scan(a, x, initial, backend=backend)
    assert torch.equal(states, flat_states.unflatten(-1, (3, 4)))
    assert torch.equal(final, flat_final.unflatten(-1, (3, 4)))


def test_channel_and_state_pairs_are_checked():
    a, x, initial = inputs(5, channels=12)
    with pytest.raises(InputError, match="state_axes = 3, expected 1"):
        diagonal_scan(a, x, state_axes=3)
    with pytest.raises(InputError, match=r"must end in \[D, N\]"):
        diagonal_scan(a.unflatten(-1, (3, 4)), x.unflatten(-1, (3, 4)), initial, state_axes=2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("length", [37, 40])
def test_kernels_in_chunks_are_the_loop(kernel_device, dtype, length, monkeypatch):
    monkeypatch.setattr("statetrack.scans.diagonal.operator.SHORTEST_CHUNK", 3)
    results = []
    for backend in ("reference", "triton"):
        drawn = inputs(length, (2,), dtype=dtype)
        tensors = [one.to(kernel_device).requires_grad_() for one in drawn]
        states, final = diagonal_scan(*tensors, backend=backend)
        gradients = torch.autograd.grad((states, final), tensors, (states.detach(), final.detach()))
        results.append((states, final, *gradients))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter
def test_an_overflowed_product_of_a_chunk_times_a_zero_state_is_zero(kernel_device, monkeypatch):
    monkeypatch.setattr("statetrack.scans.diagonal.operator.SHORTEST_CHUNK", 40)
    a = torch.full((120, 1), 1e3, device=kernel_device)
    x = torch.zeros_like(a)
    x[-1] = 1.0
    states, _ = diagonal_scan(a, x, backend="triton")
    assert torch.equal(states, x)
