"""Scans with sequences side by side in lanes, against the float64 loop."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans import diagonal_scan, householder_scan, matrix_scan
from statetrack.scans.diagonal import lanes as diagonal_lanes
from statetrack.scans.householder import lanes as householder_lanes
from statetrack.scans.inputs import choose_backend
from statetrack.scans.lanes import room, to_lanes
from statetrack.scans.matrix import lanes as matrix_lanes
from statetrack.scans.matrix import lanes_rescaled
from tests.scan_cases import CASES
from tests.scan_source import ScanCase, Source
from tests.test_scans_kernels import bound, cut, relative_rms, widened

CPU = torch.device("cpu")
LENGTHS = [1, 2, 3, 16, 17, 33]
LEADING = [(), (1,), (3,), (2, 3), (2, 1, 2), (2, 1, 2, 1)]


def without_inputs(case: ScanCase) -> ScanCase:
    """The same case without `b`, which rescaled states do not take in lanes."""

    def draw(source: Source) -> dict[str, Tensor]:
        return {name: one for name, one in case.draw(source).items() if name != "b"}

    return replace(case, draw=draw)


def has_lanes(case: ScanCase) -> bool:
    plain = case.name.startswith("Householder") and "in chunks" not in case.name
    return plain or case.name in {"diagonal", "small matrix", "large matrix", "rescaled matrix"}


LANES = [
    without_inputs(case) if case.name == "rescaled matrix" else case
    for case in CASES
    if has_lanes(case)
]
every_case = pytest.mark.parametrize("case", LANES, ids=lambda case: case.name)


def with_gradients(
    case: ScanCase, inputs: dict[str, Tensor], backend: str, seed: int
) -> dict[str, Tensor]:
    leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
    results = case.scan(**leaves, backend=backend)
    source = torch.Generator().manual_seed(seed)
    weights = [torch.randn(one.shape, generator=source).to(one.dtype) for one in results]
    gradients = torch.autograd.grad(
        results, tuple(leaves.values()), weights, materialize_grads=True
    )
    return dict(zip(("outputs", "final"), results, strict=True)) | {
        f"gradient of {name}": one for name, one in zip(leaves, gradients, strict=True)
    }


def test_all_recurrences_with_lanes_are_here():
    assert len(LANES) >= 7


@every_case
def test_random_shapes_and_layouts_agree_with_the_float64_loop(case: ScanCase):
    for seed in range(100):
        source = Source(seed, CPU, plain_layout=False)
        source.length, source.leading = source.pick(LENGTHS), source.pick(LEADING)
        if case.name == "diagonal" and seed % 5 == 4:
            source.dtype = torch.complex64
        inputs = case.draw(source)
        truth = with_gradients(case, widened(inputs), "reference", seed)
        loop = with_gradients(case, inputs, "reference", seed)
        for name, value in with_gradients(case, inputs, "lanes", seed).items():
            limit = bound(source.length) * (4 if name.startswith("gradient") else 1)
            limit *= case.error_factor
            # Where almost all cancels, the float32 loop is off by more than the bound as well.
            limit = max(limit, 2 * relative_rms(loop[name], truth[name]))
            shapes = {key: tuple(one.shape) for key, one in inputs.items()}
            error = relative_rms(value, truth[name])
            assert error <= limit, f"seed {seed}, {shapes}: {name} is off by {error:.1e}"


@every_case
def test_gradcheck_in_float64(case: ScanCase):
    inputs = case.draw(Source(3, CPU, torch.float64, leading=(2,), length=4, tiny=True))
    leaves = [value.detach().requires_grad_() for value in inputs.values()]

    def run(*tensors: Tensor) -> Any:
        return case.scan(**dict(zip(inputs, tensors, strict=True)), backend="lanes")

    assert torch.autograd.gradcheck(run, leaves, nondet_tol=0.0)


@every_case
def test_mapped_compiled_and_eager_agree(case: ScanCase):
    inputs = case.draw(Source(12, CPU, leading=(3, 2), length=5))

    def gradients(run: Any) -> list[Tensor]:
        leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
        outputs, final = run(leaves)
        loss = outputs.sin().sum() + final.cos().sum()
        return [outputs, final, *torch.autograd.grad(loss, list(leaves.values()))]

    def scan(given: dict[str, Tensor]) -> Any:
        return case.scan(**given, backend="lanes")

    torch.compiler.reset()
    eager = gradients(scan)
    for run in (
        torch.func.vmap(scan),
        torch.compile(scan, fullgraph=True, backend="aot_eager"),
    ):
        found = gradients(run)
        assert all(torch.equal(one, other) for one, other in zip(eager, found, strict=True))


@every_case
def test_two_halves_with_the_state_carried_are_the_whole(case: ScanCase):
    for seed in range(20):
        source = Source(seed, CPU, length=0)
        source.length = source.pick(LENGTHS)
        inputs = case.draw(source)
        place = int(source.choice.integers(source.length + 1))
        whole, final = case.scan(**inputs, backend="lanes")
        left, state = case.scan(**cut(case, inputs, 0, place), backend="lanes")
        rest = cut(case, inputs, place, source.length) | {"initial": state}
        right, last = case.scan(**rest, backend="lanes")
        axis = case.time_axis[next(iter(case.time_axis))]
        assert relative_rms(torch.cat([left, right], dim=axis), whole) <= bound(source.length)
        assert relative_rms(last, final) <= bound(source.length)


@every_case
def test_a_value_that_is_not_finite_reaches_what_depends_on_it_alone(case: ScanCase):
    for seed in range(40):
        source = Source(seed, CPU, leading=(3,), length=0)
        source.length = source.pick(LENGTHS[2:5])
        inputs = case.draw(source)
        name = source.pick(list(inputs))
        spoilt = inputs[name].clone()
        place = int(source.choice.integers(spoilt.numel()))
        spoilt.view(-1)[place] = source.pick([math.nan, math.inf])
        inputs[name] = spoilt
        truth, _ = case.scan(**widened(inputs), backend="reference")
        found, _ = case.scan(**inputs, backend="lanes")
        assert torch.equal(torch.isfinite(found), torch.isfinite(truth)), (seed, name, place)


@every_case
def test_no_length_and_no_sequences(case: ScanCase):
    for length, leading in [(0, (2,)), (0, ()), (3, (0,)), (0, (0, 2))]:
        inputs = case.draw(Source(5, CPU, length=length, leading=leading))
        found = with_gradients(case, inputs, "lanes", 0)
        outputs, final = case.scan(**widened(inputs), backend="reference")
        assert found["outputs"].shape == outputs.shape
        torch.testing.assert_close(found["final"], final.float(), check_dtype=True)


@every_case
def test_a_chain_of_permutations_and_signs_is_exact(case: ScanCase):
    if case.chain is None:
        pytest.skip("this scan has no chain of exact transitions")
    inputs = case.chain(Source(31, CPU, leading=(2,), length=4096))
    found, final = case.scan(**inputs, backend="lanes")
    truth, truth_final = case.scan(**widened(inputs), backend="parallel")
    assert torch.equal(found.double(), truth)
    assert torch.equal(final.double(), truth_final)


@pytest.mark.parametrize("length", [0, 3])
def test_the_operators_are_registered_right(length: int):
    def normal(*shape: int) -> Tensor:
        return torch.randn(2, 3, *shape, requires_grad=True)

    vectors, matrices = (normal(length, 4), normal(length, 4), normal(4)), normal(length, 4, 4)
    factors = (normal(length, 2, 4), normal(length, 2, 5), normal(length, 2), normal(length, 2))
    calls = [
        (diagonal_lanes._scan, vectors),
        (matrix_lanes._scan, (matrices, normal(length, 3, 4), normal(3, 4))),
        (matrix_lanes._scan, (matrices, normal(length, 0, 4), normal(3, 4))),
        (lanes_rescaled._scan, (matrices, normal(3, 4), torch.zeros(2, 3))),
        *(
            (
                householder_lanes._scan,
                (normal(length, 4), *factors, normal(length, decays), normal(4, 5), save),
            )
            for decays, save in ((0, True), (1, False), (4, True))
        ),
    ]
    for operator, arguments in calls:
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}


def test_second_derivatives_are_refused():
    a, x = (torch.rand(2, 3, 4, requires_grad=True) for _ in range(2))
    states, _ = diagonal_scan(a, x, backend="lanes")
    (first,) = torch.autograd.grad(states.square().sum(), a, create_graph=True)
    with pytest.raises(InputError, match="use backend='parallel'"):
        torch.autograd.grad(first.sum(), a)


def test_complex_numbers_and_inputs_of_scaled_states_are_refused():
    a = torch.zeros(3, 2, 2)
    with pytest.raises(InputError, match="'lanes' takes real inputs only"):
        matrix_scan(a + 0j, backend="lanes")
    with pytest.raises(InputError, match="takes no inputs b with rescale=True"):
        matrix_scan(a, a, rescale=True, backend="lanes")
    keys = torch.zeros(3, 1, 2, dtype=torch.complex64)
    with pytest.raises(InputError, match="'lanes' takes real inputs only"):
        householder_scan(keys[:, 0], keys, keys, keys[..., 0], backend="lanes")


def test_lanes_are_taken_for_many_small_sequences_on_a_processor():
    assert diagonal_lanes.suits(CPU, 64 * 64) and not diagonal_lanes.suits(CPU, 256)
    assert householder_lanes.suits(CPU, 256, 64) and not householder_lanes.suits(CPU, 8, 64)
    assert not householder_lanes.suits(CPU, 256, 64 * 64)
    assert matrix_lanes.suits(CPU, 256, 16) and not matrix_lanes.suits(
        torch.device("meta"), 256, 16
    )
    backends = {"reference": print, "lanes": print, "parallel": print}
    assert choose_backend("scan", backends, "auto", "ieee", CPU, suits_lanes=True) == "lanes"
    assert choose_backend("scan", backends, "auto", "ieee", CPU) == "parallel"


def test_rows_of_lanes_are_views_where_the_memory_allows():
    like = torch.zeros(())
    made = room((2, 3), (5, 4), like)
    assert made.shape == (2, 3, 5, 4)
    lanes = to_lanes(made, 2)
    assert lanes.shape == (5, 4, 6) and lanes.data_ptr() == made.data_ptr()
    given = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(to_lanes(given, 1), given.view(6, 4).T)
