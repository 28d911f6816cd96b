"""Every Triton kernel against the float64 loop, on a GPU or, small, in Triton's interpreter."""

import importlib
import math
import pkgutil
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from automata.errors import InputError
from statetrack import scans
from tests.scan_cases import CASES
from tests.scan_source import ScanCase, Source

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
SHAPES = 500 if ON_GPU else 100
BLOCKS = 25 if ON_GPU else 10
LENGTHS = [1, 2, 15, 16, 17, 31, 33, 64, 127, 257, 1009] if ON_GPU else [1, 2, 3, 15, 16, 17, 19]
# The interpreter runs one sequence after the other.
LEADING = (
    [(), (1,), (3,), (2, 3), (2, 1, 2), (2, 1, 2, 1)]
    if ON_GPU
    else [(), (1,), (2,), (1, 2), (2, 1, 1), (1, 1, 2, 1)]
)


def repeats(case: ScanCase, on_gpu: int, interpreted: int) -> range:
    """Seeds of a test; in the interpreter the cases of an operator share them."""
    return range(on_gpu if ON_GPU else max(2, -(-interpreted // case.share)))


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def settings_of_the_case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in request.getfixturevalue("case").settings.items():
        monkeypatch.setattr(name, value)


def bound(length: int) -> float:
    """Largest relative RMS error of a float32 scan over `length` steps."""
    return max(1e-6, 1e-7 * math.sqrt(length))


def relative_rms(value: Tensor, truth: Tensor) -> float:
    wide = torch.complex128 if truth.is_complex() else torch.float64
    error = (value.detach().to(wide) - truth.detach().to(wide)).abs().double()
    scale = truth.detach().abs().double().square().mean().sqrt()
    return float(error.square().mean().sqrt() / (scale + 1e-30)) if error.numel() else 0.0


def largest_error(value: Tensor, truth: Tensor) -> float:
    """The largest error of one number, of the largest number."""
    wide = torch.complex128 if truth.is_complex() else torch.float64
    if not value.numel():
        return 0.0
    error = (value.detach().to(wide) - truth.detach().to(wide)).abs().max()
    return float(error / (truth.detach().abs().double().max() + 1e-30))


def widened(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().to(torch.complex128 if value.is_complex() else torch.float64)
        for name, value in inputs.items()
    }


def with_gradients(case: ScanCase, inputs: dict[str, Tensor], backend: str, seed: int) -> dict:
    """Outputs, final state and the gradient of every input, for fixed random cotangents."""
    leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
    outputs, final = case.scan(**leaves, backend=backend)
    values = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(one.shape, generator=values).to(DEVICE, one.dtype) for one in (outputs, final)
    ]
    gradients = torch.autograd.grad((outputs, final), tuple(leaves.values()), weights)
    return {"outputs": outputs, "final": final} | {
        f"gradient of {name}": gradient for name, gradient in zip(leaves, gradients, strict=True)
    }


def sensitivity(case: ScanCase, inputs: dict[str, Tensor], name: str, seed: int) -> float:
    """How far one rounding of every input to float32 moves a result.

    Where almost everything cancels, as in a gradient that is a single number, this is more than the
    bound. A computation rounds several times more: the float32 loop was off by up to three times
    it, kernels by up to seven.
    """
    exact = widened(inputs)
    truth = with_gradients(case, exact, "reference", seed)[name]
    squares = []
    for again in range(4):
        source = torch.Generator().manual_seed(again)
        rounded = {
            key: value * (1 + 2**-24 * torch.randn(value.shape, generator=source).to(DEVICE))
            for key, value in exact.items()
        }
        moved = with_gradients(case, rounded, "reference", seed)[name]
        squares.append(relative_rms(moved, truth) ** 2)
    return math.sqrt(sum(squares) / len(squares))


@every_case
@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_shapes_and_layouts_agree_with_the_float64_loop(case: ScanCase, block: int):
    for seed in range(block, SHAPES if ON_GPU else -(-SHAPES // case.share), BLOCKS):
        source = Source(seed, DEVICE, plain_layout=False)
        source.length = source.pick(LENGTHS)
        source.leading = source.pick(LEADING)
        if case.name == "diagonal" and seed % 5 == 4:
            source.dtype = torch.complex64
        inputs = case.draw(source)
        truth = with_gradients(case, widened(inputs), "reference", seed)
        found = with_gradients(case, inputs, "triton", seed)
        for name, value in found.items():
            limit = bound(source.length) * (4 if name.startswith("gradient") else 1)
            limit *= case.error_factor
            error = max(relative_rms(value, truth[name]), largest_error(value, truth[name]) / 5)
            if error > limit:
                limit = 10 * sensitivity(case, inputs, name, seed)
            shapes = {key: tuple(one.shape) for key, one in inputs.items()}
            assert error <= limit, f"seed {seed}, {shapes}: {name} is off by {error:.1e}"


@every_case
def test_gradcheck_on_the_kernels_in_float64(case: ScanCase):
    source = Source(3, DEVICE, torch.float64, leading=(2,), length=4, tiny=True)
    inputs = case.draw(source)
    leaves = [value.detach().requires_grad_() for value in inputs.values()]

    def run(*tensors: Tensor):
        return case.scan(**dict(zip(inputs, tensors, strict=True)), backend="triton")

    assert torch.autograd.gradcheck(run, leaves, nondet_tol=0.0, fast_mode=not ON_GPU)


@every_case
@pytest.mark.parametrize("seed", range(5 if ON_GPU else 2))
def test_the_operators_are_registered_right(case: ScanCase, seed: int):
    leading = LEADING[1 + seed % 3]
    source = Source(seed, DEVICE, leading=leading, length=[3, 2, 0, 1, 5][seed])
    inputs = {name: value.requires_grad_() for name, value in case.draw(source).items()}
    for operator, arguments in case.operators(inputs):
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}


@every_case
def test_compiled_and_mapped_equal_eager(case: ScanCase):
    source = Source(11, DEVICE, leading=(3, 2), length=5)
    inputs = case.draw(source)
    eager = case.scan(**inputs, backend="triton")
    torch.compiler.reset()  # or all cases count against one limit of recompilations
    compiled = torch.compile(
        lambda given: case.scan(**given, backend="triton"), fullgraph=True, backend="aot_eager"
    )(inputs)
    mapped = torch.func.vmap(lambda given: case.scan(**given, backend="triton"))(inputs)
    for want, *others in zip(eager, compiled, mapped, strict=True):
        assert all(torch.equal(want, one) for one in others)


@every_case
def test_gradients_through_a_mapped_scan_equal_eager_ones(case: ScanCase):
    inputs = case.draw(Source(12, DEVICE, leading=(3, 2), length=5))

    def gradients(run) -> list[Tensor]:
        leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
        outputs, final = run(leaves)
        return torch.autograd.grad(outputs.sin().sum() + final.cos().sum(), list(leaves.values()))

    eager = gradients(lambda given: case.scan(**given, backend="triton"))
    mapped = gradients(torch.func.vmap(lambda given: case.scan(**given, backend="triton")))
    assert all(torch.equal(one, other) for one, other in zip(eager, mapped, strict=True))


@every_case
def test_an_argument_that_is_not_mapped_is_shared(case: ScanCase):
    source = Source(13, DEVICE, leading=(2,), length=4)
    inputs = case.draw(source)
    first, *rest = inputs
    stacked = torch.stack([inputs[first], inputs[first].flip(0)])
    mapped, _ = torch.func.vmap(
        lambda one, others: case.scan(**{first: one}, **others, backend="triton"), (0, None)
    )(stacked, {name: inputs[name] for name in rest})
    for place, one in enumerate(stacked):
        alone, _ = case.scan(**{**inputs, first: one}, backend="triton")
        assert torch.equal(mapped[place], alone)


@every_case
def test_second_derivatives_are_refused(case: ScanCase):
    inputs = case.draw(Source(14, DEVICE, leading=(2,), length=3))
    leaves = [value.detach().requires_grad_() for value in inputs.values()]
    outputs, final = case.scan(**dict(zip(inputs, leaves, strict=True)), backend="triton")
    loss = outputs.square().sum() + final.square().sum()
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    with pytest.raises(InputError, match="use backend='parallel'"):
        torch.autograd.grad(sum(one.square().sum() for one in first), leaves)


def cut(case: ScanCase, inputs: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    return {
        name: value.narrow(case.time_axis[name], start, stop - start)
        if name in case.time_axis
        else value
        for name, value in inputs.items()
    }


@every_case
def test_two_halves_with_the_state_carried_are_the_whole(case: ScanCase):
    for seed in repeats(case, 200, 10):
        source = Source(seed, DEVICE, length=0)
        source.length = source.pick(LENGTHS)
        inputs = case.draw(source)
        place = int(source.choice.integers(source.length + 1))
        whole, final = case.scan(**inputs, backend="triton")
        left, state = case.scan(**cut(case, inputs, 0, place), backend="triton")
        right_inputs = cut(case, inputs, place, source.length) | {"initial": state}
        right, last = case.scan(**right_inputs, backend="triton")
        axis = case.output_time_axis or case.time_axis[next(iter(case.time_axis))]
        assert (
            relative_rms(torch.cat([left, right], dim=axis), whole)
            <= bound(source.length) * case.error_factor
        )
        assert relative_rms(last, final) <= bound(source.length) * case.error_factor


@pytest.mark.filterwarnings("ignore:(invalid|overflow).* encountered:RuntimeWarning")
@every_case
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter
def test_a_value_that_is_not_finite_reaches_what_depends_on_it_alone(case: ScanCase):
    for seed in repeats(case, 100, 10):
        source = Source(seed, DEVICE, leading=(3,), length=0)
        source.length = source.pick(LENGTHS[3:])
        inputs = case.draw(source)
        name = source.pick(list(inputs))
        flat = inputs[name].clone()
        place = int(source.choice.integers(flat.numel()))
        value = source.pick([math.nan, math.inf, -math.inf])
        # An infinite weight or state is not a number to products by parts.
        by_parts = ON_GPU and name in ("recurrent", "initial") and "recurrent" in inputs
        flat.view(-1)[place] = math.nan if by_parts else value
        inputs[name] = flat
        truth, _ = case.scan(**widened(inputs), backend="reference")
        found, _ = case.scan(**inputs, backend="triton")
        message = f"seed {seed}: {name} at {place}"
        assert torch.equal(torch.isfinite(found), torch.isfinite(truth)), message


@every_case
def test_no_length_and_no_sequences(case: ScanCase):
    for length, leading in [(0, (2,)), (0, ()), (3, (0,)), (0, (0, 2))]:
        inputs = case.draw(Source(5, DEVICE, length=length, leading=leading))
        found = with_gradients(case, inputs, "triton", 0)
        truth_outputs, truth_final = case.scan(**widened(inputs), backend="reference")
        assert found["outputs"].shape == truth_outputs.shape
        torch.testing.assert_close(found["final"], truth_final.float(), check_dtype=True)


@every_case
def test_the_same_call_gives_the_same_bits(case: ScanCase):
    inputs = case.draw(Source(21, DEVICE, leading=(3,), length=LENGTHS[-1]))
    first = with_gradients(case, inputs, "triton", 0)
    for _ in range(50 if ON_GPU else 2):
        again = with_gradients(case, inputs, "triton", 0)
        assert all(torch.equal(first[name], again[name]) for name in first)


@every_case
def test_rows_do_not_depend_on_their_place_in_the_batch(case: ScanCase):
    inputs = case.draw(Source(22, DEVICE, leading=(4,), length=LENGTHS[-1]))
    forward, _ = case.scan(**inputs, backend="triton")
    backward, _ = case.scan(
        **{name: value.flip(0) for name, value in inputs.items()}, backend="triton"
    )
    assert torch.equal(forward, backward.flip(0))


@every_case
def test_a_chain_of_permutations_and_signs_is_exact(case: ScanCase):
    if case.chain is None:
        pytest.skip("this scan has no chain of exact transitions")
    length = 2**20 if ON_GPU else 48
    inputs = case.chain(Source(31, DEVICE, leading=(2,), length=length))
    found, final = case.scan(**inputs, backend="triton")
    truth, truth_final = case.scan(**widened(inputs), backend="parallel")
    assert torch.equal(found.double(), truth)
    assert torch.equal(final.double(), truth_final)


@every_case
def test_nothing_outside_the_tensors_is_read_or_written(case: ScanCase, monkeypatch):
    margin, sentinel = 64, 12345.0
    rooms = []

    def surrounded(shape, dtype, device, fill):
        count = math.prod(shape)
        room = torch.full((count + 2 * margin,), fill, dtype=dtype, device=device)
        rooms.append((room, count, fill))
        return room[margin : margin + count].view(shape)

    for seed in repeats(case, 50, 5):
        source = Source(seed, DEVICE, length=0)
        source.length = source.pick(LENGTHS)
        inputs = case.draw(source)
        want = with_gradients(case, inputs, "triton", seed)
        padded = {
            name: surrounded(value.shape, value.dtype, DEVICE, math.nan).copy_(value)
            for name, value in inputs.items()
        }
        real_empty, real_like = torch.empty, torch.empty_like

        def empty(*shape, dtype=None, device=None, _real=real_empty, **rest):
            if rest or dtype is None:
                return _real(*shape, dtype=dtype, device=device, **rest)
            sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
            return surrounded(tuple(sizes), dtype, device, sentinel)

        def empty_like(tensor, dtype=None, _real=real_like, **rest):
            if rest or not tensor.is_contiguous():
                return _real(tensor, dtype=dtype, **rest)
            return surrounded(tensor.shape, dtype or tensor.dtype, tensor.device, sentinel)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "empty", empty)
            patch.setattr(torch, "empty_like", empty_like)
            found = with_gradients(case, padded, "triton", seed)
        for name in want:
            assert torch.equal(want[name], found[name])
        for room, count, fill in rooms:
            edges = torch.cat([room[:margin], room[margin + count :]])
            assert bool(torch.isnan(edges).all() if math.isnan(fill) else (edges == fill).all())
        rooms.clear()


@every_case
def test_half_precision_inputs(case: ScanCase):
    if not ON_GPU:
        pytest.skip("the interpreter does not model bfloat16")
    for length in (17, 257, 1009):
        source = Source(length, DEVICE, torch.bfloat16, leading=(3,), length=length)
        inputs = case.draw(source)
        truth = with_gradients(case, widened(inputs), "reference", 1)
        found = with_gradients(case, inputs, "triton", 1)
        assert found["outputs"].dtype == torch.bfloat16
        for name, value in found.items():
            limit = 1e-2 if name.startswith("gradient") else 4e-3
            assert relative_rms(value, truth[name]) <= limit, name


def kernels_of_all_scans() -> dict[str, Any]:
    """Every function of Triton in `statetrack.scans`, those that no launch compiles among them."""
    return {
        f"{module.name}.{name}": kernel
        for module in pkgutil.walk_packages(scans.__path__, f"{scans.__name__}.")
        for name, kernel in vars(importlib.import_module(module.name)).items()
        if hasattr(kernel, "device_caches") and kernel.fn.__module__ == module.name
    }


def compiled(kernels: dict[str, Any]) -> Counter[str]:
    """How many times each was compiled, on any device."""
    return Counter(
        {
            name: sum(len(cache[0]) for cache in kernel.device_caches.values())
            for name, kernel in kernels.items()
        }
    )


@pytest.mark.gpu
@every_case
def test_lengths_and_batches_share_compiled_kernels(case: ScanCase):
    kernels = kernels_of_all_scans()
    for kernel in kernels.values():
        kernel.device_caches.clear()
    results = []
    for length in (1, 2, 16, 17, 1000):
        for batch in (1, 3, 64):
            source = Source(41, DEVICE, leading=(batch,), length=length)
            leaves = {name: one.requires_grad_() for name, one in case.draw(source).items()}
            results.append((case.scan(**leaves, backend="triton"), leaves))
    forward = compiled(kernels)
    for outputs, leaves in results:
        torch.autograd.grad(outputs, tuple(leaves.values()), [torch.ones_like(o) for o in outputs])
    backward = compiled(kernels) - forward
    assert 1 <= forward.total() <= 2, forward
    assert 1 <= backward.total() <= 2, backward
