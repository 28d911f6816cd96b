"""One contestant on one case: checked before it is timed, and refused by name."""

import math
import time

import pytest
import torch

from statetrack.benchmark.cases import case, full_cases, tiny_cases
from statetrack.benchmark.checks import bound_of, relative_error, same_bits, truth
from statetrack.benchmark.measure import PASSES, measure
from statetrack.benchmark.peers import PEERS, Contestant, Prepared, channels_then_time, ours
from statetrack.benchmark.scan_rows import SCANS, inputs_of
from statetrack.benchmark.timing import time_calls
from tests.benchmark_cases import CPU, TINY, planted, scan_by_loop, scans_of

# Checks


def test_relative_error():
    assert relative_error(torch.tensor([math.nan, 1.0]), torch.ones(2)) == math.inf
    assert relative_error(torch.ones(3), torch.ones(2)) == math.inf
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "slstm"])
def test_cells_of_torch_compute_the_nonlinear_scan(cell):
    one = case("nonlinear", "B2 W2 D5 T6", variant=cell)
    rows = list(measure(one, "torch.nn one by one", CPU, seconds=0.001))
    assert {row["status"] for row in rows} == ({"left out"} if cell == "slstm" else {"ok"})
    assert all(row["error"] < 1e-6 for row in rows if row["status"] == "ok")


def test_bits():
    zero = torch.tensor([0.0, math.nan])
    assert same_bits(zero, zero.clone())
    assert not same_bits(zero, torch.tensor([-0.0, math.nan]))
    assert not same_bits(torch.ones(1, dtype=torch.complex64), 2 * torch.ones(1) + 0j)


def test_bounds_are_those_of_the_design():
    assert bound_of(TINY).outputs == 1e-6
    long = case("diagonal", "B1 D1 T40000")
    assert bound_of(long).outputs == pytest.approx(2e-5)
    assert bound_of(long).gradients == pytest.approx(8e-5)


def test_long_truth_is_that_of_the_loop():
    long = case("diagonal", "B2 D3 T600")
    inputs = inputs_of(long, CPU)
    outputs, gradients = truth(long, inputs, torch.ones(2, 600, 3))
    wide = {name: tensor.double().requires_grad_() for name, tensor in inputs.items()}
    loop = SCANS["diagonal"].scan(long)(**wide, backend="reference")[0]
    expected = torch.autograd.grad(loop.sum(), list(wide.values()))
    assert relative_error(outputs, loop.detach()) < 1e-14
    for found, one in zip(gradients.values(), expected, strict=True):
        assert relative_error(found, one) < 1e-14


# One contestant on one case


def log_scan(g, x):
    return scan_by_loop(g.exp().mT, x.mT).mT


def rows_of(contestants, one=TINY):
    (name,) = contestants
    rows = list(measure(one, name, CPU, seconds=0.001, contestants=contestants))
    assert [row["pass"] for row in rows] == list(PASSES)
    return rows


def test_a_right_peer_in_another_layout_is_timed():
    peer = Contestant("mine", ("diagonal",), channels_then_time(lambda: scan_by_loop))
    for row in rows_of({"mine": peer}):
        assert row["status"] == "ok", row
        assert row["error"] < 1e-6
        assert 0 < row["low"] <= row["median"] <= row["high"]


def test_a_peer_with_logarithms_of_positive_decays_is_timed():
    def prepare(one, inputs):
        leaves = {"a": inputs["a"].log(), "x": inputs["x"]}
        return Prepared(
            log_scan, leaves, gradient=lambda name, g, leaf: g / leaf.exp() if name == "a" else g
        )

    peer = Contestant("mine", ("diagonal",), prepare, positive=True)
    forward, both = rows_of({"mine": peer})
    assert forward["status"] == both["status"] == "ok"
    assert both["positive"]
    assert both["errors"].keys() == {"a", "x"}


def test_wrong_outputs_are_refused_and_not_timed():
    forward, both = rows_of(planted("wrong", lambda a, x: 1.1 * scan_by_loop(a.mT, x.mT).mT))
    for row in (forward, both):
        assert row["status"] == "wrong"
        assert "outputs are off by 1.0e-01, at most 5.0e-02" in row["reason"]
        assert "median" not in row


def test_not_a_number_is_refused():
    forward, _ = rows_of(planted("wrong", lambda a, x: x * math.nan))
    assert forward["status"] == "wrong"


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 0.5


def test_wrong_gradients_are_refused_after_the_forward_pass_was_timed():
    call = lambda a, x: scan_by_loop(WrongGradient.apply(a).mT, x.mT).mT  # noqa: E731
    forward, both = rows_of(planted("wrong", call))
    assert forward["status"] == "ok"
    assert both["status"] == "wrong"
    assert "the gradient of a is off by 5.0e-01" in both["reason"]
    assert "median" not in both


def test_ours_are_held_to_the_bound_of_the_design():
    """An error that a peer may have is refused in a backend of ours."""
    call = lambda a, x: (1 + 1e-4) * scan_by_loop(a.mT, x.mT).mT  # noqa: E731
    assert rows_of(planted("peer", call))[0]["status"] == "ok"
    assert rows_of(planted("our", call, ours=True))[0]["status"] == "wrong"


def test_a_planted_wrong_backend_is_refused(monkeypatch):
    from statetrack.scans import diagonal

    right = diagonal.BACKENDS["parallel"]

    def wrong(*arguments):
        states, final = right(*arguments)
        return states * (1 + 1e-5), final

    monkeypatch.setitem(diagonal.BACKENDS, "parallel", wrong)
    forward, both = rows_of({"statetrack parallel": ours("parallel")})
    assert (forward["status"], both["status"]) == ("wrong", "wrong")


def test_what_a_peer_raises_is_its_result():
    def call(a, x):
        raise RuntimeError("no\nluck " + "x" * 1000)

    for row in rows_of(planted("failing", call)):
        assert row["status"] == "error"
        assert row["reason"].startswith("RuntimeError: no luck x")
        assert len(row["reason"]) <= 400
    forward, both = rows_of(planted("half", lambda a, x: scan_by_loop(a.mT, x.mT).mT.detach()))
    assert forward["status"] == "ok"
    assert both["status"] == "error"


def test_a_backward_pass_can_be_left_out():
    peer = planted("half", lambda a, x: scan_by_loop(a.mT, x.mT).mT, forward_only=lambda one: "no")
    forward, both = rows_of(peer)
    assert (forward["status"], both["status"], both["reason"]) == ("ok", "left out", "no")


def test_missing_packages_and_cases_left_out_are_said():
    rows = rows_of(planted("absent", None, needs="no_such_package"))
    assert {row["status"] for row in rows} == {"not available"}
    assert "no_such_package is not installed" in rows[0]["reason"]
    rows = rows_of(planted("picky", None, leaves_out=lambda one: "too small"))
    assert [(row["status"], row["reason"]) for row in rows] == [("left out", "too small")] * 2


@pytest.mark.parametrize("one", scans_of(tiny_cases()), ids=lambda one: one.key)
@pytest.mark.parametrize("backend", ["reference", "parallel"])
def test_every_scan_passes_its_check(backend, one):
    for row in rows_of({f"statetrack {backend}": ours(backend)}, one):
        assert row["status"] == "ok", row


@pytest.mark.parametrize("name", ["numpy", "statetrack torch"])
def test_words_are_counted(name):
    one = case("words", "B4 T20", variant="parity")
    (row,) = measure(one, name, CPU, seconds=0.001)
    assert row["status"] == "ok", row
    assert row["tokens_per_second"] == pytest.approx(80 / (1e-3 * row["median"]))


def test_peers_name_scans_that_exist():
    for peer in PEERS.values():
        assert set(peer.scans) <= {one.scan for one in full_cases()}
        assert peer.needs or peer.name.startswith("torch")


def test_a_processor_is_timed_by_its_clock():
    timing = time_calls([lambda: time.sleep(0.002)], CPU, 0.01)
    assert timing.how == "processor"
    assert 2.0 <= timing.low <= timing.median <= timing.high
