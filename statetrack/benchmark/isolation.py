"""Jobs in a process of their own, so that a crash or a hang costs one job and not the run.

The child reads the jobs as one JSON line and answers with lines of JSON. A job that takes longer
than its limit is stopped together with its process; the jobs after it go on in a new one.
"""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
MAX_RESTARTS = 8
LAST_WORDS = 300
STOPPED = "stopped"


def run_isolated(
    arguments: Sequence[str],
    jobs: Sequence[dict[str, Any]],
    *,
    seconds_for_first: float,
    seconds_for_each: float,
    deadline: float,
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Run jobs one after the other.

    Parameters
    ----------
    arguments : sequence of str
        Command line of the child after the interpreter.
    jobs : sequence of dict
        What JSON can hold.
    seconds_for_first, seconds_for_each : float
        Longest that the first job of a process (imports, tuning) and any other may take.
    deadline : float
        By ``time.monotonic()``: what has not started by then is not run.

    Yields
    ------
    number : int
        Of the job.
    answer : dict or str
        One answer of the job; or, as the last for it, why there are no more.
    """
    first = restarts = 0
    while first < len(jobs):
        if time.monotonic() > deadline or restarts > MAX_RESTARTS:
            why = "too many crashes" if restarts > MAX_RESTARTS else "the time for it was up"
            yield from ((number, f"not run: {why}") for number in range(first, len(jobs)))
            return
        reason: str | None = None
        with _Child(arguments, jobs[first:]) as child:
            current, limit = first, seconds_for_first
            leaving = False
            while current < len(jobs) and reason is None and not leaving:
                left = max(1.0, deadline - time.monotonic())
                answer = child.answer(min(limit, left))
                if left < limit and answer == STOPPED:
                    answer = "stopped: the time for everything was up"
                elif answer == STOPPED:
                    answer = f"stopped after {limit:.0f} s"
                if isinstance(answer, str):
                    reason = answer
                elif answer.get("done"):
                    current, limit = current + 1, seconds_for_each
                    leaving = bool(answer.get("leaving"))
                else:
                    yield current, answer
        if reason is not None:
            yield current, reason
            current += 1
        first, restarts = current, restarts + 1


class _Child:
    """The process, and its answers."""

    def __init__(self, arguments: Sequence[str], jobs: Sequence[dict[str, Any]]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._waiting = b""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._output = self._process.stdout
        try:
            self._process.stdin.write(json.dumps(list(jobs)).encode() + b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it ended at once: `answer` says how

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._output.close()
        self._errors.close()

    def answer(self, seconds: float) -> dict[str, Any] | str:
        """Return the next answer, or why there is none."""
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._waiting:
                if not selector.select(max(0.0, end - time.monotonic())):
                    return STOPPED
                chunk = os.read(self._output.fileno(), 2**16)
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
