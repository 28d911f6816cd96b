"""Progress of long work for the person who waits: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from statetrack.training.pack_training import Progress
from statetrack.training.records import RunRecord

SECONDS_BETWEEN_LINES = 15.0


class GridProgress:
    """Shows which runs are under way, done and failed, and the time left.

    Parameters
    ----------
    stream : text file, optional
        Standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._shares: dict[str, float] = {}
        self._total = self._done = self._before = 0
        self._started = self._last_line = time.monotonic()

    @contextmanager
    def watch(self, name: str, total: int, missing: int) -> Iterator[None]:
        """Show progress while the body runs."""
        self._total, self._before, self._done = total, total - missing, total - missing
        self._started = self._last_line = time.monotonic()
        there = f", {self._before} already in the store" if self._before else ""
        self._console.print(f"{name}: {total} runs{there}")
        if not self._console.is_terminal or missing == 0:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=self._console, transient=True) as bar:
            self._bar = bar
            self._task = bar.add_task("starting", total=total, completed=self._before)
            try:
                yield
            finally:
                self._bar = None

    def advanced(self, progress: Progress) -> None:
        """Take note of a training's step."""
        self._shares[progress.run_id] = progress.step / progress.num_steps
        completed = self._done + sum(self._shares.values())
        if self._bar is not None and self._task is not None:
            text = f"{len(self._shares)} training"
            self._bar.update(self._task, completed=completed, description=text)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(
                f"[{self._done}/{self._total}] {len(self._shares)} training{self._left()}",
                markup=False,
            )

    def finished(self, record: RunRecord) -> None:
        """Take note of a record that is safe in the store."""
        self._shares.pop(record.run_id, None)
        self._done += 1
        if self._bar is not None and self._task is not None:
            completed = self._done + sum(self._shares.values())
            self._bar.update(self._task, completed=completed)
        self._last_line = time.monotonic()
        self._console.print(
            f"[{self._done}/{self._total}] {_line(record)}{self._left()}", markup=False
        )

    def note(self, text: str) -> None:
        """Print a line for the person."""
        self._console.print(text, markup=False)

    def _left(self) -> str:
        completed = self._done - self._before + sum(self._shares.values())
        if completed <= 0 or self._done >= self._total:
            return ""
        elapsed = time.monotonic() - self._started
        seconds = elapsed / completed * (self._total - self._before - completed)
        return (
            f", about {seconds / 60:.1f} min left"
            if seconds > 90
            else f", about {seconds:.0f} s left"
        )


@contextmanager
def training_progress(stream: TextIO | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show one training: a bar in a terminal, a line every 15 seconds elsewhere.

    Parameters
    ----------
    stream : text file, optional
        Standard error by default.

    Yields
    ------
    callable
        To be called with a `Progress` after every step.
    """
    console = Console(file=stream or sys.stderr, highlight=False)
    if console.is_terminal:
        with Bar(console=console, transient=True) as bar:
            task = bar.add_task("training")
            yield lambda progress: bar.update(
                task, completed=progress.step, total=progress.num_steps
            )
        return
    last = time.monotonic()

    def line(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            console.print(f"step {progress.step} of {progress.num_steps}, loss {progress.loss:.4f}")

    yield line


def _line(record: RunRecord) -> str:
    summary = record.summary
    name = f"{summary['task']}, {summary['label']}, seed {summary['seed']}"
    if record.status == "failed":
        return f"{name}: failed: {summary['error']}"
    solved = summary["solved_step"]
    length = summary["training_length"]
    state = f"solved at step {solved}" if solved else f"not solved at length {length}"
    longest = record.tables["curves"]["length"][-1]
    return (
        f"{name}: {state}, token accuracy {summary['token_accuracy']:.3f} at {longest} "
        f"({summary['seconds']:.0f} s)"
    )
