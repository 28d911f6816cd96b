"""What works on this machine: versions, backends, and every scan against its reference.

A check is a job for `statetrack.benchmark.worker`, so that a kernel that brings the process down
is one failed check.
"""

import itertools
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from statetrack.benchmark.doctor_checks import Check, jobs_of, name_of
from statetrack.benchmark.isolation import Limits, run_isolated
from statetrack.benchmark.worker import answers_of
from statetrack.provenance import PACKAGES, provenance
from statetrack.scans.kernels import why_unavailable

WORKER = ("-m", "statetrack.benchmark.worker")
MINUTES = 5.0
START_SECONDS, EACH_SECONDS = 60.0, 45.0
BAD_HOPPER = ((3, 4), (3, 7, 1))
HOPPER = (9, 0)


@dataclass(frozen=True)
class Diagnosis:
    """All that the doctor found.

    Attributes
    ----------
    machine : dict of str to str
    backends : dict of str to str
        Why a backend cannot be used, empty where it can.
    checks : list of Check
    advice : list of str
    seconds : float
    """

    machine: dict[str, str]
    backends: dict[str, str]
    checks: list[Check]
    advice: list[str]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Whether no check failed."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "healthy": self.healthy}


def describe_machine(device: torch.device) -> dict[str, str]:
    """Versions and hardware, as they matter to kernels."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in dict.fromkeys((*PACKAGES, "networkx", "scipy", "pyarrow", "ray", "submitit")):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed" if package != "statetrack" else "from sources"
    commit = provenance("cpu")["commit"]
    found |= {"commit": str(commit)} if commit else {}
    found["SQLite"] = sqlite3.sqlite_version
    found["processors"] = f"{os.cpu_count()}, {torch.get_num_threads()} threads of torch"
    found["CUDA of torch"] = str(torch.version.cuda)
    if torch.cuda.is_available():
        one = torch.cuda.get_device_properties(device if device.type == "cuda" else 0)
        found["GPU"] = (
            f"{one.name}, compute capability {one.major}.{one.minor}, "
            f"{one.multi_processor_count} multiprocessors, {one.total_memory / 2**30:.0f} GiB"
        )
    else:
        found["GPU"] = "none that torch sees"
    found["TRITON_INTERPRET"] = os.environ.get("TRITON_INTERPRET", "not set")
    found["checks on"] = str(device)
    return found


def examine(
    device: torch.device,
    report: Callable[[str], None],
    *,
    scans: Sequence[str] | None = None,
    isolated: bool | None = None,
) -> Diagnosis:
    """Check everything that can run on a device.

    Parameters
    ----------
    device : torch.device
    report : callable
        Takes every line as soon as it is known.
    scans : sequence of str, optional
        All by default.
    isolated : bool, optional
        Run checks in another process; by default where kernels run.

    Returns
    -------
    Diagnosis
    """
    start = time.monotonic()
    machine = describe_machine(device)
    for name, value in machine.items():
        report(f"{name:<17} {value}")
    backends = {"reference": "", "parallel": "", "triton": why_unavailable(device) or ""}
    for name, reason in backends.items():
        report(f"backend {name:<9} {f'cannot run: {reason}' if reason else 'can run'}")
    jobs = jobs_of(device, scans)
    isolated = device.type == "cuda" if isolated is None else isolated
    checks = []
    for check in _answers(jobs, isolated):
        checks.append(check)
        report(check.line())
    advice = advise(checks, backends, device)
    return Diagnosis(machine, backends, checks, advice, time.monotonic() - start)


def _answers(jobs: list[dict[str, Any]], isolated: bool) -> Iterator[Check]:
    if not isolated:
        for job in jobs:
            yield from (Check(**answer) for answer in answers_of(job))
        return
    limits = Limits(START_SECONDS, EACH_SECONDS, time.monotonic() + 60 * MINUTES)
    groups = [list(g) for _, g in itertools.groupby(jobs, key=lambda job: job["scan"])]
    with ThreadPoolExecutor(max(1, len(groups))) as pool:
        running = [pool.submit(_isolated, group, limits) for group in groups]
        try:
            for one in running:
                yield from one.result()
        finally:
            limits.stop.set()  # after Ctrl-C: the pool waits for its threads


def _isolated(jobs: list[dict[str, Any]], limits: Limits) -> list[Check]:
    return [
        Check(name_of(jobs[number]), jobs[number]["backend"], False, answer)
        if isinstance(answer, str)
        else Check(**answer)
        for number, answer in run_isolated(WORKER, jobs, limits)
    ]


def advise(checks: Sequence[Check], backends: dict[str, str], device: torch.device) -> list[str]:
    """Say what to do about what was found.

    Parameters
    ----------
    checks : sequence of Check
    backends : dict of str to str
    device : torch.device

    Returns
    -------
    list of str
        Lines; empty when all is well and nothing was left unchecked.
    """
    advice = []
    if backends["triton"]:
        advice.append(
            f"kernels were not checked: {backends['triton']}; everything runs with torch alone, "
            "more slowly (TRITON_INTERPRET=1 checks the kernels' logic on the processor)"
        )
    elif device.type != "cuda":
        advice.append(
            "kernels ran in Triton's interpreter, at tiny sizes: their logic was checked, "
            "their precision and speed were not"
        )
    failed = {check.backend for check in checks if not check.ok}
    if not failed:
        return advice
    if "triton" in failed:
        advice.append("until this is solved: backend='parallel' computes the same without kernels")
        if _has_suspicious_triton(device):
            advice.append(
                "Triton 3.4 to 3.7.0 has made wrong gradients on Hopper GPUs in other libraries "
                "too (flash-linear-attention, issues 640 and 984): try Triton 3.7.1 or newer"
            )
    if "parallel" in failed:
        advice.append("until this is solved: backend='reference' is a plain loop")
    if "reference" in failed:
        advice.append("a plain loop in torch is off: try another version of torch, or device='cpu'")
    advice.append("please report it, with the block below")
    return advice


def _has_suspicious_triton(device: torch.device) -> bool:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != HOPPER:
        return False
    try:
        parts = version("triton").split("+")[0].split(".")
        number = tuple(int(part) for part in parts if part.isdecimal())
    except PackageNotFoundError:
        return False
    return BAD_HOPPER[0] <= number < BAD_HOPPER[1]


def report_block(diagnosis: Diagnosis) -> str:
    """Write what a report needs: machine and failed checks."""
    lines = [f"{name}: {value}" for name, value in diagnosis.machine.items()]
    lines += [check.line() for check in diagnosis.checks if not check.ok]
    return "\n".join(["```", *lines, "```"])
