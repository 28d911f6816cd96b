"""The process that jobs run in: ``python -m statetrack.benchmark.worker MODULE ...``.

It imports torch and the modules that are named before it reads its jobs (see `isolation`), so that
a process can get ready while the one before it still measures.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Answers = Iterator[dict[str, Any]]


def answers_of(job: dict[str, Any]) -> Answers:
    """Do one job.

    Parameters
    ----------
    job : dict
        "kind" is "roofs", "warm", "time" or "check"; the rest is what that needs.

    Yields
    ------
    dict
    """
    import torch

    device = torch.device(job["device"])
    if job["kind"] == "roofs":
        from statetrack.benchmark.roofs import measure_roofs

        yield measure_roofs(device).to_json()
    elif job["kind"] == "check":
        from statetrack.benchmark.doctor_checks import run_check

        yield run_check(job, device)
    else:
        from statetrack.benchmark.cases import Case
        from statetrack.benchmark.measure import measure
        from statetrack.benchmark.peers import CONTESTANTS, peers_from_file

        files = [Path(file) for file in job["peer_files"]]
        contestants = {**CONTESTANTS, **peers_from_file(*files)}
        if job["kind"] == "warm":
            from statetrack.benchmark.warm_up import warm_up

            # Whatever is raised is raised again, and recorded, when it is measured.
            with contextlib.suppress(Exception):
                warm_up(Case.from_json(job["case"]), contestants[job["contestant"]], device)
            return
        yield from measure(
            Case.from_json(job["case"]),
            job["contestant"],
            device,
            seconds=job["seconds"],
            contestants=contestants,
        )


def is_broken(device: str) -> bool:
    """Whether the GPU answers no more in this process, as after an illegal access."""
    import torch

    if torch.device(device).type != "cuda":
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def main() -> None:
    """Read jobs from standard input and answer on standard output, which nobody else gets."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in ("torch", "statetrack.benchmark.measure", *sys.argv[1:]):
        # What cannot be imported is told by the job that needs it.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    for job in json.loads(sys.stdin.readline()):
        for answer in answers_of(job):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        leaving = is_broken(job["device"])
        answers.write(json.dumps({"done": True, "leaving": leaving}) + "\n")
        answers.flush()
        if leaving:
            return


if __name__ == "__main__":
    main()
