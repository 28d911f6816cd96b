"""Cases of the benchmark, their floors and their inputs."""

import json

import pytest
import torch

from automata.errors import InputError
from statetrack.benchmark.cases import Case, case, full_cases, of_scans, quick_cases, tiny_cases
from statetrack.benchmark.roofs import Roofs, floor_ms
from statetrack.benchmark.scan_rows import SCANS, exact_inputs, inputs_of
from tests.benchmark_cases import CPU, ROOFS, TINY, scans_of


def test_a_case_is_the_same_after_json():
    for one in [*full_cases(), *quick_cases(), *tiny_cases()]:
        assert Case.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_keys_tell_cases_apart():
    for cases in (full_cases(), quick_cases(), tiny_cases()):
        assert len({one.key for one in cases}) == len(cases)
        assert {one.scan for one in cases} >= {*SCANS, "words"}


def test_an_unknown_scan_is_named():
    with pytest.raises(InputError, match="unknown scan 'diagnal': did you mean 'diagonal'"):
        of_scans(full_cases(), ["diagnal"])


# performance.md, section 4, at its roofs: bytes of B64 D512 and of 256 matrices, T = 2048.
@pytest.mark.parametrize(
    ("one", "roofs", "forward", "both"),
    [
        (case("diagonal", "B64 D512 T4096"), 4.3e12, 0.37, 1.0),
        (case("diagonal", "B64 D512 T4096", "bfloat16"), 4.3e12, 0.187, 0.5),
        (case("matrix", "B256 T2048 N32"), 4.25e12, 1.0, 3.03),
        (case("matrix", "B256 T2048 N64"), 4.25e12, 5.39, 16.2),
        (case("householder", "B64 H4 K64 V64 R1 T512"), 4.25e12, 0.063, 0.19),
    ],
    ids=lambda value: value.key if isinstance(value, Case) else "",
)
def test_floors_by_hand(one, roofs, forward, both):
    limits = Roofs(roofs, 0.004, {"fp32": 51e12, "tf32": 364e12, "bf16": 795e12})
    assert floor_ms(one, limits, False)[0] == pytest.approx(forward, rel=0.02)
    assert floor_ms(one, limits, True)[0] == pytest.approx(both, rel=0.02)


def test_the_floor_is_the_larger_of_bytes_and_operations():
    assert floor_ms(case("matrix", "B256 T2048 N4"), ROOFS, False)[1] == "bytes"
    assert floor_ms(case("matrix", "B256 T2048 N64"), ROOFS, False)[1] == "operations"
    assert floor_ms(case("matrix", "B256 T2048 N64", precision="tf32"), ROOFS, False)[1] == "bytes"


@pytest.mark.parametrize("one", scans_of(tiny_cases()), ids=lambda one: one.key)
def test_the_least_traffic_is_that_of_the_tensors(one):
    inputs = inputs_of(one, CPU)
    outputs, _ = SCANS[one.scan].scan(one)(**inputs)
    read = sum(tensor.numel() for tensor in inputs.values())
    work = SCANS[one.scan].work(one)
    assert work.numbers == read + outputs.numel()
    # Backward: inputs and the gradient of outputs in, gradients out. The diagonal scan reads its
    # states in the place of x; the matrix scan reads them too.
    states = outputs.numel() if one.scan == "matrix" else 0
    assert work.numbers_both - work.numbers == 2 * read + outputs.numel() + states


# Inputs


@pytest.mark.parametrize("scan", SCANS)
def test_inputs_are_a_function_of_the_seed(scan):
    one = next(c for c in tiny_cases() if c.scan == scan)
    first, again = inputs_of(one, CPU, initial=True), inputs_of(one, CPU, initial=True)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = inputs_of(one, CPU, initial=True, seed=1)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_positive_inputs_have_no_negative_transition():
    assert inputs_of(TINY, CPU)["a"].min() < 0
    positive = inputs_of(TINY, CPU, positive=True)["a"]
    assert positive.min() > 0
    assert torch.equal(positive, inputs_of(TINY, CPU)["a"].abs())


@pytest.mark.parametrize("scan", SCANS)
def test_exact_inputs_are_exact_in_float32(scan):
    row = SCANS[scan]
    sizes = (("B", 2), ("T", 200), *row.small.items())
    one = Case(scan, sizes, variant=row.variants[-1])
    inputs = exact_inputs(one, CPU)
    wide = {name: tensor.double() for name, tensor in inputs.items()}
    for found, expected in zip(row.scan(one)(**inputs), row.scan(one)(**wide), strict=True):
        assert torch.equal(found.double(), expected)
        assert torch.equal(expected, expected.round())
        assert expected.abs().max() > 0
