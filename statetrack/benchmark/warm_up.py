"""Compile first, many at once, measure afterwards: what compilers leave on disk is found again.

Nothing is timed meanwhile. A process that fails here fails again when it is measured, and says why.
"""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from statetrack.benchmark.cases import Case
from statetrack.benchmark.isolation import Limits, run_isolated
from statetrack.benchmark.peers import Contestant
from statetrack.benchmark.scan_rows import inputs_of

WORKER = ("-m", "statetrack.benchmark.worker")
LONGEST = 512
MOST_PROCESSES = 6
START_SECONDS, JOB_SECONDS, MOST_SECONDS = 45.0, 60.0, 75.0

Job = dict[str, Any]


def warm_up(case: Case, contestant: Contestant, device: torch.device) -> None:
    """Call once, forward alone and with the backward pass.

    Parameters
    ----------
    case : Case
    contestant : Contestant
    device : torch.device
    """
    prepared = contestant.prepare(case, inputs_of(case, device, positive=contestant.positive))
    leaves = tuple(prepared.leaves.values())
    with torch.no_grad():
        outputs = prepared.call(*leaves)
    if contestant.forward_only(case) is None:
        for leaf in leaves:
            leaf.requires_grad_()
        outputs = prepared.call(*leaves)
        torch.autograd.grad(outputs, leaves, torch.ones_like(outputs))


def shortened(case: Case) -> Case:
    """The same case with at most `LONGEST` tokens: kernels do not depend on the length.

    Examples
    --------
    >>> from statetrack.benchmark.cases import case
    >>> shortened(case("matrix", "B256 T2048 N16")).key
    'matrix fp32 B256 T512 N16'
    """
    sizes = tuple((key, min(size, LONGEST) if key == "T" else size) for key, size in case.sizes)
    return Case(case.scan, sizes, case.dtype, case.precision, case.variant)


def warm_up_jobs(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs that compile what `jobs` need, in groups that run side by side.

    Parameters
    ----------
    jobs : iterable of dict
        Of `statetrack.benchmark.bench`.

    Returns
    -------
    list of list of dict
        Our kernels spread over some processes, and one process a peer.
    """
    spread = max(1, min(MOST_PROCESSES, (os.cpu_count() or 2) // 2))
    groups: dict[Any, list[Job]] = {}
    known: dict[tuple[str, Case], Job] = {}
    for job in jobs:
        short = shortened(Case.from_json(job["case"]))
        known.setdefault(
            (job["contestant"], short), {**job, "kind": "warm", "case": short.to_json()}
        )
    for number, ((name, _), job) in enumerate(known.items()):
        groups.setdefault(number % spread if name.startswith("statetrack") else name, []).append(
            job
        )
    return list(groups.values())


def run_warm_up(jobs: Iterable[Job], deadline: float) -> float:
    """Compile, and return the seconds that it took.

    Parameters
    ----------
    jobs : iterable of dict
    deadline : float
        By ``time.monotonic()``.
    """
    start = time.monotonic()
    limits = Limits(START_SECONDS, JOB_SECONDS, min(deadline, start + MOST_SECONDS))
    groups = warm_up_jobs(jobs)
    if groups:
        with ThreadPoolExecutor(len(groups)) as pool:
            try:
                list(pool.map(lambda group: list(run_isolated(WORKER, group, limits)), groups))
            finally:
                limits.stop.set()  # after Ctrl-C: the pool waits for its threads
    return time.monotonic() - start
