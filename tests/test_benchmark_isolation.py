"""Contestants in processes of their own, and peers from a file."""

import re
import sys
import time

import pytest
import torch

from automata.errors import InputError
from statetrack.benchmark.bench import Plan, run_benchmark, turns_of
from statetrack.benchmark.cases import case, full_cases
from statetrack.benchmark.isolation import Child, Limits, run_isolated
from statetrack.benchmark.measure import BOTH, FORWARD
from statetrack.benchmark.peers import CONTESTANTS, peers_from_file
from statetrack.benchmark.warm_up import warm_up, warm_up_jobs
from tests.benchmark_cases import CPU, TINY, planted, scan_by_loop, scans_of

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
