"""Jobs in a process of their own, so that a crash or a hang costs one job and not the run.

The child reads the jobs as one JSON line and answers with lines of JSON. A job that takes longer
than its limit is stopped together with its process; the jobs after it go on in a new one.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
MAX_RESTARTS = 8
LAST_WORDS = 300
STOPPED = "stopped"
LOOK_UP_SECONDS = 0.2


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds.

    Attributes
    ----------
    start : float
        Of a process, before its first job: imports.
    job : float
        Of a job that does not say "limit" itself.
    deadline : float
        By ``time.monotonic()``: what has not started by then is not run.
    stop : threading.Event
        Once set, every process that runs under these limits is ended, and none starts.
    """

    start: float
    job: float
    deadline: float
    stop: threading.Event = field(default_factory=threading.Event)


def run_isolated(
    arguments: Sequence[str],
    jobs: Sequence[dict[str, Any]],
    limits: Limits,
    child: "Child | None" = None,
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Run jobs one after the other.

    Parameters
    ----------
    arguments : sequence of str
        Command line of the child after the interpreter.
    jobs : sequence of dict
        What JSON can hold; "limit" is the most seconds that the job may take.
    limits : Limits
    child : Child, optional
        A process that was started before with the same arguments, to be used first.

    Yields
    ------
    number : int
        Of the job.
    answer : dict or str
        One answer of the job; or, as the last for it, why there are no more.
    """
    first = restarts = 0
    while first < len(jobs):
        if time.monotonic() > limits.deadline or restarts > MAX_RESTARTS:
            why = "too many crashes" if restarts > MAX_RESTARTS else "the time for it was up"
            yield from ((number, f"not run: {why}") for number in range(first, len(jobs)))
            break
        reason: str | None = None
        if limits.stop.is_set():
            break
        with child or Child(arguments) as running:
            child = None
            running.send(jobs[first:])
            current, limit = first, limits.start + jobs[first].get("limit", limits.job)
            leaving = False
            while current < len(jobs) and reason is None and not leaving:
                left = max(1.0, limits.deadline - time.monotonic())
                answer = running.answer(min(limit, left), limits.stop)
                if limits.stop.is_set():
                    return
                if answer == STOPPED:
                    late = "stopped: the time for everything was up"
                    reason = late if left < limit else f"stopped after {limit:.0f} s"
                elif isinstance(answer, str):
                    reason = answer
                elif answer.get("done"):
                    current += 1
                    leaving = bool(answer.get("leaving"))
                    if current < len(jobs):
                        limit = jobs[current].get("limit", limits.job)
                else:
                    yield current, answer
        if reason is not None:
            yield current, reason
            current += 1
        first, restarts = current, restarts + 1
    if child is not None:
        child.close()


class Child:
    """A process that does jobs.

    Parameters
    ----------
    arguments : sequence of str
        Its command line after the interpreter. It may import what it needs before it reads
        its jobs, while another is still at work.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._waiting = b""

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def send(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Let it begin."""
        given = self._process.stdin
        if given is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended: `answer` says how
                given.write(json.dumps(list(jobs)).encode() + b"\n")
                given.close()

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def answer(self, seconds: float, stop: threading.Event | None = None) -> dict[str, Any] | str:
        """Return the next answer, or why there is none; waits no longer once `stop` is set."""
        end = time.monotonic() + seconds
        output = self._process.stdout
        if output is None:
            return "the process has no output"
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._waiting:
                left = end - time.monotonic()
                if not selector.select(max(0.0, min(left, LOOK_UP_SECONDS))):
                    if left <= LOOK_UP_SECONDS or (stop is not None and stop.is_set()):
                        return STOPPED
                    continue
                chunk = os.read(output.fileno(), 2**16)
                if not chunk:
                    return self._end()
                self._waiting += chunk
        line, _, self._waiting = self._waiting.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> str:
        code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 4000))
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f"the process ended with code {code}: {last.strip()[:LAST_WORDS]}"
