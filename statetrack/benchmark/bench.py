"""A whole benchmark: roofs, then every contestant on every case, in one run."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from automata.errors import InputError
from statetrack.benchmark.cases import Case
from statetrack.benchmark.isolation import Child, Limits, run_isolated
from statetrack.benchmark.measure import PASSES, Row, row_of
from statetrack.benchmark.peers import CONTESTANTS, Contestant, peers_from_file
from statetrack.benchmark.results import BenchmarkResults, case_of, with_floors
from statetrack.benchmark.roofs import Roofs
from statetrack.benchmark.warm_up import run_warm_up
from statetrack.benchmark.words import WORD_SOURCES
from statetrack.benchmark.worker import answers_of
from statetrack.provenance import provenance
from statetrack.scans.kernels import why_unavailable

WORKER = ("-m", "statetrack.benchmark.worker")
KERNELS = "statetrack triton"
START_SECONDS, FIRST_SECONDS, EACH_SECONDS = 60.0, 90.0, 60.0


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes
    ----------
    cases : sequence of Case
    device : torch.device
    contestants : sequence of str
        Names in `CONTESTANTS` or of a peer file, in the order in which they run.
    peer_files : sequence of Path
        See `peers_from_file`.
    seconds : float
        Measuring time of one pass.
    minutes : float
        Time after which nothing new starts.
    isolated : bool
        Every contestant in processes of its own, so that one that crashes harms no other.
    compile_first : bool
        See `statetrack.benchmark.warm_up`.
    word_sources : sequence of str
        Names in `WORD_SOURCES`: who draws the words of cases of words.
    """

    cases: Sequence[Case]
    device: torch.device
    contestants: Sequence[str] = tuple(CONTESTANTS)
    peer_files: Sequence[Path] = ()
    seconds: float = 0.1
    minutes: float = 10.0
    isolated: bool = True
    compile_first: bool = False
    word_sources: Sequence[str] = tuple(WORD_SOURCES)


@dataclass(frozen=True)
class Turn:
    """What one contestant has to do.

    Attributes
    ----------
    name : str
    missing : str
        Why it cannot run at all; empty if it can.
    jobs : list of dict
        For `statetrack.benchmark.worker`.
    left_out : list of (Case, str)
        Cases that it does not take, with the reason.
    process : str
        Contestants with the same name share processes.
    imports : str
        Module to import before the first job.
    compiles : bool
        Leaves on disk what it compiles.
    """

    name: str
    missing: str
    jobs: list[dict[str, Any]]
    left_out: list[tuple[Case, str]]
    process: str
    imports: str = ""
    compiles: bool = False


def turns_of(plan: Plan) -> list[Turn]:
    """Who runs what, in order; contestants without any case are left out.

    Parameters
    ----------
    plan : Plan
    """
    known: dict[str, Contestant] = {**CONTESTANTS, **peers_from_file(*plan.peer_files)}
    turns = []
    for name in plan.contestants:
        contestant = known[name]
        missing = contestant.why_missing() or ""
        if name == KERNELS:
            missing = why_unavailable(plan.device) or ""
        cases = [case for case in plan.cases if case.scan in contestant.scans]
        reasons = [contestant.leaves_out(case) for case in cases]
        pairs = list(zip(cases, reasons, strict=True))
        turns.append(
            Turn(
                name,
                missing,
                [_job(plan, name, case) for case, reason in pairs if reason is None],
                [(case, reason) for case, reason in pairs if reason is not None],
                contestant.needs or name,
                contestant.imports,
                bool(contestant.needs) or name == KERNELS,
            )
        )
    words = [case for case in plan.cases if case.scan == "words"]
    for place, name in enumerate(plan.word_sources, start=1):
        source = WORD_SOURCES[name]
        missing = source.why_missing(plan.device) or ""
        jobs = [_job(plan, name, case) for case in words]
        turns.insert(place, Turn(name, missing, jobs, [], "words"))
    return [turn for turn in turns if turn.jobs or turn.left_out]


def _job(plan: Plan, name: str, case: Case) -> dict[str, Any]:
    return {
        "kind": "time",
        "device": str(plan.device),
        "seconds": plan.seconds,
        "peer_files": [str(file) for file in plan.peer_files],
        "contestant": name,
        "case": case.to_json(),
    }


def run_benchmark(plan: Plan, report: Callable[[str], None]) -> BenchmarkResults:
    """Measure everything in a plan.

    Parameters
    ----------
    plan : Plan
    report : callable
        Takes one line at a time for the person who waits.

    Returns
    -------
    BenchmarkResults
        With what had been measured when Ctrl-C was pressed after the roofs were known.
    """
    start = time.monotonic()
    deadline = start + 60 * plan.minutes
    turns = turns_of(plan)

    def say(number: int, text: str) -> None:
        report(f"[{number}/{total}, {time.monotonic() - start:.0f} s] {text}")

    total, done = sum(len(turn.jobs) for turn in turns), 0
    able = [turn for turn in turns if turn.jobs and not turn.missing]
    if plan.compile_first:
        compiled = [turn for turn in able if turn.compiles]
        report("compiling, many at once; nothing is timed meanwhile")
        seconds = run_warm_up((job for turn in compiled for job in turn.jobs), deadline)
        report(f"compiled in {seconds:.0f} s")
    roofs = _roofs(plan, deadline)
    report(describe_roofs(roofs))
    rows: list[Row] = []
    for turn in turns:
        for case, reason in turn.left_out:
            rows += [row_of(case, turn.name, p, "left out", reason=reason) for p in passes_of(case)]
        if turn.missing:
            for case in map(_case_of_job, turn.jobs):
                rows += [
                    row_of(case, turn.name, p, "not available", reason=turn.missing)
                    for p in passes_of(case)
                ]
            done += len(turn.jobs)
            say(done, f"{turn.name}: {turn.missing}")
    measured: list[Row] = []
    interrupted = False
    try:
        for number, row in _measured_rows(plan, able, deadline):
            measured.append(row)
            say(done + number + 1, describe_row(with_floors([row], roofs)[0]))
    except KeyboardInterrupt:
        interrupted = True
        measured += _not_reached(able, measured)
    rows += measured
    order = {case: place for place, case in enumerate(plan.cases)}
    rows.sort(key=lambda row: order[case_of(row)])
    settings = {
        "device": str(plan.device),
        "cases": [case.key for case in plan.cases],
        "contestants": list(plan.contestants),
        "seconds": plan.seconds,
        "minutes": plan.minutes,
        "interrupted": interrupted,
    }
    return BenchmarkResults(provenance(str(plan.device)), settings, roofs, with_floors(rows, roofs))


def _not_reached(turns: list[Turn], measured: list[Row]) -> list[Row]:
    """Rows for all passes that were not measured before the run was stopped."""
    seen = {(case_of(row), row["contestant"], row["pass"]) for row in measured}
    return [
        row_of(case, turn.name, which, "error", reason="not run: stopped from the keyboard")
        for turn in turns
        for case in map(_case_of_job, turn.jobs)
        for which in passes_of(case)
        if (case, turn.name, which) not in seen
    ]


def describe_roofs(roofs: Roofs) -> str:
    """One line on what the machine can do."""
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in roofs.flops.items())
    return (
        f"roofs: copy {roofs.bytes_per_second / 1e9:.0f} GB/s, small kernel "
        f"{1e3 * roofs.small_kernel_ms:.1f} us, products in TFLOP/s: {rates}"
    )


def describe_row(row: Row) -> str:
    """One line on a row."""
    case = case_of(row)
    start = f"{row['contestant']}: {case.key}, {row['pass']}"
    if row["status"] != "ok":
        return f"{start}: {row['status']}: {row['reason']}"
    if "tokens_per_second" in row:
        return f"{start}: {row['tokens_per_second']:.3g} tokens/s"
    return (
        f"{start}: {row['median']:.4g} ms ({row['times_floor']:.3g} times the floor, "
        f"error {row['error']:.1e})"
    )


def _roofs(plan: Plan, deadline: float) -> Roofs:
    job = {"kind": "roofs", "device": str(plan.device)}
    if not plan.isolated:
        return Roofs(**next(answers_of(job)))
    limits = Limits(START_SECONDS, FIRST_SECONDS, deadline)
    for _, answer in run_isolated(WORKER, [job], limits):
        if isinstance(answer, str):
            raise InputError(f"the limits of {plan.device} could not be measured: {answer}")
        return Roofs(**answer)
    raise InputError(f"the limits of {plan.device} could not be measured")


def passes_of(case: Case) -> tuple[str, ...]:
    """Passes of a case; words have no backward pass."""
    return PASSES[:1] if case.scan == "words" else PASSES


def _case_of_job(job: dict[str, Any]) -> Case:
    return Case.from_json(job["case"])


def _measured_rows(plan: Plan, turns: list[Turn], deadline: float) -> Iterator[tuple[int, Row]]:
    """Rows of all jobs, numbered through; for a job that died, what is missing says why."""
    before = 0
    if not plan.isolated:
        for number, job in enumerate(job for turn in turns for job in turn.jobs):
            yield from ((number, row) for row in answers_of(job))
        return
    groups = [list(group) for _, group in itertools.groupby(turns, key=lambda turn: turn.process)]
    commands = [(*WORKER, *filter(None, {turn.imports: 0 for turn in group})) for group in groups]
    waiting = [Child(command) for command in commands[:1]]
    try:
        for place, group in enumerate(groups):
            child = waiting.pop()
            waiting += [Child(command) for command in commands[place + 1 : place + 2]]
            jobs = [
                {**job, "limit": EACH_SECONDS if rank else FIRST_SECONDS}
                for turn in group
                for rank, job in enumerate(turn.jobs)
            ]
            limits = Limits(START_SECONDS, EACH_SECONDS, deadline)
            seen: dict[int, int] = {}
            for number, answer in run_isolated(commands[place], jobs, limits, child):
                if not isinstance(answer, str):
                    seen[number] = seen.get(number, 0) + 1
                    yield before + number, answer
                    continue
                case = _case_of_job(jobs[number])
                name = jobs[number]["contestant"]
                for which in passes_of(case)[seen.get(number, 0) :]:
                    yield before + number, row_of(case, name, which, "error", reason=answer)
            before += len(jobs)
    finally:
        for child in waiting:
            child.close()
