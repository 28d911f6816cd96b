"""The benchmark: cases, floors, checks before times, isolation, results there and back, drawing."""

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from automata.errors import InputError
from statetrack.benchmark.bench import Plan, run_benchmark, turns_of
from statetrack.benchmark.cases import Case, case, full_cases, of_scans, quick_cases, tiny_cases
from statetrack.benchmark.checks import bound_of, relative_error, same_bits, truth
from statetrack.benchmark.figure import draw_figure, panels_of
from statetrack.benchmark.isolation import Child, Limits, run_isolated
from statetrack.benchmark.measure import BOTH, FORWARD, PASSES, measure, row_of
from statetrack.benchmark.peers import (
    CONTESTANTS,
    PEERS,
    Contestant,
    Prepared,
    channels_then_time,
    ours,
    peers_from_file,
)
from statetrack.benchmark.report import peer_ratio, write_table
from statetrack.benchmark.results import (
    BenchmarkResults,
    read_results,
    with_floors,
    write_results,
)
from statetrack.benchmark.roofs import Roofs, floor_ms
from statetrack.benchmark.scan_rows import SCANS, exact_inputs, inputs_of
from statetrack.benchmark.timing import time_calls
from statetrack.benchmark.warm_up import warm_up, warm_up_jobs

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
ROOFS = Roofs(4e12, 0.004, {"fp32": 50e12, "tf32": 360e12, "bf16": 800e12})
TINY = case("diagonal", "B3 D4 T8")


def scans_of(cases):
    return [one for one in cases if one.scan in SCANS]


# Cases and floors


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


def scan_by_loop(a, x):
    state, states = torch.zeros_like(x[..., 0]), []
    for t in range(x.shape[-1]):
        state = a[..., t] * state + x[..., t]
        states.append(state)
    return torch.stack(states, -1)


def log_scan(g, x):
    return scan_by_loop(g.exp().mT, x.mT).mT


def planted(name, call, **more):
    return {
        name: Contestant(name, ("diagonal",), lambda case, inputs: Prepared(call, inputs), **more)
    }


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


# Processes of their own

CHILD = """
import json, os, sys, time
for job in json.loads(sys.stdin.readline()):
    if job["do"] == "crash":
        print("about to crash", file=sys.stderr); sys.stderr.flush(); os.abort()
    if job["do"] == "hang":
        time.sleep(60)
    print(json.dumps({"did": job["do"], "by": os.getpid()}), flush=True)
    print(json.dumps({"done": True, "leaving": job["do"] == "leave"}), flush=True)
    if job["do"] == "leave":
        break
"""


def isolated(*what, seconds=30.0, minutes=1.0):
    answers = run_isolated(
        ["-c", CHILD],
        [{"do": one} for one in what],
        Limits(0.0, seconds, time.monotonic() + 60 * minutes),
    )
    return [(number, a if isinstance(a, str) else a["did"]) for number, a in answers]


def test_jobs_run_in_order_in_one_process():
    assert isolated("a", "b", "c") == [(0, "a"), (1, "b"), (2, "c")]


def test_a_crash_costs_its_job_alone_and_leaves_its_last_words():
    first, second, third = isolated("a", "crash", "c")
    assert (first, third) == ((0, "a"), (2, "c"))
    assert second[0] == 1
    assert "ended with code -6: about to crash" in second[1]


def test_a_hang_is_stopped():
    start = time.monotonic()
    assert isolated("hang", "b", seconds=2.0) == [(0, "stopped after 2 s"), (1, "b")]
    assert time.monotonic() - start < 20


def test_a_process_that_leaves_costs_no_job():
    assert isolated("a", "leave", "c") == [(0, "a"), (1, "leave"), (2, "c")]


def test_nothing_starts_after_the_deadline():
    assert isolated("a", minutes=-1) == [(0, "not run: the time for it was up")]


def test_many_crashes_end_the_attempts():
    found = isolated(*["crash"] * 12)
    assert len(found) == 12
    assert found[-1][1] == "not run: too many crashes"


def test_a_process_that_was_started_before_is_used_and_ended():
    limits = Limits(0.0, 30.0, time.monotonic() + 60)
    child = Child(["-c", CHILD])
    (answer,) = (a for _, a in run_isolated(["-c", "broken"], [{"do": "a"}], limits, child))
    assert answer["by"] == child._process.pid
    assert child._process.poll() is not None
    unused = Child(["-c", CHILD])
    assert list(run_isolated(["-c", CHILD], [], limits, unused)) == []
    assert unused._process.poll() is not None


def test_a_stop_ends_the_process_that_runs_and_starts_no_other():
    limits = Limits(0.0, 30.0, time.monotonic() + 60)
    start, answers = time.monotonic(), []
    jobs = [{"do": "a"}, {"do": "hang"}, {"do": "c"}]
    for _, answer in run_isolated(["-c", CHILD], jobs, limits):
        answers.append(answer)
        limits.stop.set()
    assert [answer["did"] for answer in answers] == ["a"]
    assert list(run_isolated(["-c", CHILD], jobs, limits)) == []
    assert time.monotonic() - start < 20


def test_a_job_can_have_a_limit_of_its_own():
    limits = Limits(5.0, 1.0, time.monotonic() + 60)
    jobs = [{"do": "a"}, {"do": "hang", "limit": 1.5}]
    answers = [answer for _, answer in run_isolated(["-c", CHILD], jobs, limits)]
    assert answers[1] == "stopped after 2 s"


PEER_FILE = """
import os
import torch
from statetrack.benchmark.peers import Contestant, Prepared


def crash(case, inputs):
    print("the peer prints on standard output")
    os.abort()


def loop(case, inputs):
    def call(a, x):
        state, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            state = a[:, t] * state + x[:, t]
            states.append(state)
        print("noise")
        return torch.stack(states, 1)

    return Prepared(call, inputs)


PEERS = [
    Contestant("crashing", ("diagonal",), crash, needs="torch"),
    Contestant("loop", ("diagonal",), loop, needs="torch", imports="torch.fft"),
]
"""


@pytest.fixture
def peer_file(tmp_path):
    path = tmp_path / "my_peers.py"
    path.write_text(PEER_FILE)
    return path


def test_peers_from_a_file(peer_file, tmp_path):
    assert list(peers_from_file(peer_file)) == ["crashing", "loop"]
    with pytest.raises(InputError, match="the name 'crashing' is taken"):
        peers_from_file(peer_file, peer_file)
    other = tmp_path / "none.py"
    other.write_text("PEERS = ['loop']")
    with pytest.raises(InputError, match="expected PEERS"):
        peers_from_file(other)


@pytest.mark.slow
def test_a_run_survives_a_peer_that_crashes(peer_file):
    lines = []
    names = ["crashing", "loop", "statetrack parallel", "accelerated_scan scalar"]
    cases = [TINY, case("words", "B4 T20", variant="s3")]
    plan = Plan(cases, CPU, names, [peer_file], 0.001, compile_first=True)
    results = run_benchmark(plan, lines.append)
    found = {
        (row["contestant"], row["pass"]): row for row in results.rows if row["scan"] == "diagonal"
    }
    assert "ended with code -6" in found["crashing", FORWARD]["reason"]
    assert found["crashing", BOTH]["status"] == "error"
    for name in ("loop", "statetrack parallel"):
        assert found[name, BOTH]["status"] == "ok"
        assert found[name, BOTH]["times_floor"] > 0
    assert found["accelerated_scan scalar", FORWARD]["status"] == "not available"
    assert any(re.fullmatch(r"compiled in \d+ s", line) for line in lines)
    assert any("loop: diagonal fp32 B3 D4 T8, forward+backward: " in line for line in lines)
    assert results.provenance["device"] == "cpu"


def test_compiling_first_takes_every_kernel_once_and_times_nothing():
    names = ("statetrack triton", "statetrack parallel", "crashing")
    sizes = [case("diagonal", f"B64 D512 T{t}") for t in (512, 1000, 4096)]
    jobs = [
        {"contestant": name, "case": one.to_json(), "kind": "time"}
        for name in names
        for one in sizes
    ]
    groups = warm_up_jobs(jobs)
    found = [
        (job["contestant"], job["case"]["sizes"]["T"], job["kind"]) for g in groups for job in g
    ]
    assert sorted(found) == sorted((name, 512, "warm") for name in names)
    assert ["crashing"] in [[job["contestant"] for job in group] for group in groups]


def test_warming_up_calls_forward_and_backward():
    modes = []

    def call(a, x):
        modes.append(torch.is_grad_enabled())
        return scan_by_loop(a.mT, x.mT).mT

    (peer,) = planted("mine", call).values()
    warm_up(TINY, peer, CPU)
    assert modes == [False, True]


def test_turns_say_who_cannot_run():
    names = tuple(CONTESTANTS)
    turns = {turn.name: turn for turn in turns_of(Plan(scans_of(full_cases()), CPU, names))}
    assert turns["accelerated_scan warp"].missing or "accelerated_scan" in sys.modules
    lengths = {case["T"] for case, _ in turns["accelerated_scan warp"].left_out}
    assert 1000 in lengths
    assert not any(turn.jobs == [] and turn.left_out == [] for turn in turns.values())


# Results, table, figure


def made_up():
    rows = []
    for one in (
        *(case("diagonal", f"B64 D512 T{t}") for t in (512, 4096)),
        *(case("matrix", f"B256 T2048 N{n}") for n in (8, 16, 32)),
    ):
        for name, times in (
            ("statetrack triton", 1.2),
            ("statetrack parallel", 9.0),
            ("peer", 3.0),
        ):
            for which in PASSES:
                ms = times * floor_ms(one, ROOFS, which == BOTH)[0]
                rows.append(
                    row_of(
                        one,
                        name,
                        which,
                        "ok",
                        median=ms,
                        low=ms,
                        high=ms,
                        eager=ms,
                        how="eager" if name == "peer" else "graph",
                        repeats=9,
                        error=1e-7,
                        ours=name != "peer",
                        positive=name == "peer",
                    )
                )
        rows.append(row_of(one, "slow", FORWARD, "error", reason="RuntimeError: out of memory"))
        rows.append(row_of(one, "absent", FORWARD, "not available", reason="not installed"))
        rows.append(row_of(one, "odd", FORWARD, "left out", reason="T is odd"))
    one = case("words", "B64 T64", variant="s5")
    rows.append(row_of(one, "numpy", FORWARD, "ok", median=1.0, tokens_per_second=4.2e7))
    rows.append(row_of(one, "torch", FORWARD, "wrong", reason="letters differ", error=math.inf))
    settings = {"device": "cuda", "cases": [], "contestants": []}
    made = {"device": "MADE UP", "commit": "f00", "time": "now", "versions": {"torch": "2.11"}}
    return BenchmarkResults(made, settings, ROOFS, with_floors(rows, ROOFS))


def test_results_there_and_back(tmp_path):
    results = made_up()
    path = write_results(results, tmp_path / "new" / "folder")
    text = path.read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    again = read_results(path.parent)
    assert again.roofs == results.roofs
    assert len(again.rows) == len(results.rows)
    assert write_table(again) == write_table(results)


def test_broken_results_are_named(tmp_path):
    with pytest.raises(InputError, match=r"results\.json"):
        read_results(tmp_path)
    for text in ("{", "[]", '{"schema": 1}', '{"schema": 7}', "null", "[" * 100_000):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InputError, match=r"results\.json"):
            read_results(tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        write_results(made_up(), tmp_path / "results.json")


def damage(place, value):
    """Set one value in a tree of results; `place` is a path of keys."""

    def change(tree):
        for key in place[:-1]:
            tree = tree[key]
        if value is None:
            del tree[place[-1]]
        else:
            tree[place[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        damage(["rows", 0], "text"),
        damage(["rows", 0, "median"], None),
        damage(["rows", 0, "median"], "fast"),
        damage(["rows", 0, "times_floor"], None),
        damage(["rows", 0, "dtype"], "float33"),
        damage(["rows", 0, "sizes"], [1]),
        damage(["rows", 0, "pass"], "sideways"),
        damage(["rows", 0, "status"], "wrong"),
        damage(["settings"], "none"),
        damage(["settings", "device"], 3),
        damage(["provenance"], []),
        damage(["provenance", "versions"], "new"),
        damage(["roofs", "bytes_per_second"], "much"),
        damage(["roofs", "flops"], 1),
    ],
)
def test_damaged_results_are_named(tmp_path, change):
    path = write_results(made_up(), tmp_path)
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=r"results\.json holds no benchmark"):
        read_results(tmp_path)


def test_the_ratio_is_to_the_fastest_peer():
    rows = made_up().rows
    assert peer_ratio(rows[0], rows) == pytest.approx(3.0 / 1.2)
    assert peer_ratio(rows[0], rows[:2]) is None


def test_the_table_says_all():
    table = write_table(made_up())
    assert "# Scans on MADE UP" in table
    line = next(line for line in table.splitlines() if "diagonal fp32 B64 D512 T512" in line)
    cells = [cell.strip() for cell in line.split("|")]
    expected = 1.2 * floor_ms(case("diagonal", "B64 D512 T512"), ROOFS, False)[0]
    assert cells[2:7] == ["statetrack triton", f"{expected:.4g}", "1.2", "1.0e-07", "2.5"]
    assert "peer +~" in table
    assert "slow (diagonal fp32 B64 D512 T512 forward and 4 more): error: RuntimeError" in table
    assert "absent: not available: not installed" in table
    assert "odd" not in table
    assert "4.2e+07" in table
    assert "says nothing about speed" not in table
    widths = {len(line) for line in table.splitlines() if line.startswith("| ") and "case" in line}
    assert len(widths) <= 3


def test_the_figure_has_a_panel_a_scan_and_the_floor_in_each():
    results = made_up()
    assert [panel.letter for panel in panels_of(results)] == ["T", "N"]
    figure = draw_figure(results)
    axes = figure.axes
    assert len(axes) == 4
    for one in axes:
        assert one.get_xscale() == one.get_yscale() == "log"
        assert len(one.lines) == 4
    assert axes[0].get_ylabel() == "forward, ms"
    assert axes[2].get_ylabel() == "forward + backward, ms"
    assert [text.get_text() for text in axes[0].texts] == ["1.2×", "1.2×"]
    assert [tick.get_text() for tick in axes[3].get_xticklabels()] == ["8", "16", "32"]


def test_large_multiples_have_no_exponent():
    rows = [{**row, "times_floor": 1234.5} if "floor" in row else row for row in made_up().rows]
    results = made_up()
    figure = draw_figure(BenchmarkResults(results.provenance, results.settings, ROOFS, rows))
    assert figure.axes[0].texts[0].get_text() == "1234×"


def test_a_figure_of_nothing_is_refused():
    results = made_up()
    empty = BenchmarkResults(results.provenance, results.settings, ROOFS, [])
    with pytest.raises(InputError, match="no timed scan"):
        draw_figure(empty)


def test_a_processor_is_timed_by_its_clock():
    timing = time_calls([lambda: time.sleep(0.002)], CPU, 0.01)
    assert timing.how == "processor"
    assert 2.0 <= timing.low <= timing.median <= timing.high


def test_all_but_the_figure_needs_torch_alone():
    """The machine with the GPU may have no more: no pydantic, no pandas."""
    code = (
        "import sys\n"
        "for name in ('pydantic', 'pandas', 'seaborn', 'matplotlib', 'rich', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "import statetrack.benchmark.bench, statetrack.benchmark.doctor, statetrack.cli\n"
        "import statetrack.benchmark.report, statetrack.benchmark.worker\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
