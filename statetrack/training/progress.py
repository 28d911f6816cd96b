"""Progress of long work for the person who waits: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from statetrack.training.pack_members import Progress
from statetrack.training.records import RunRecord
from statetrack.training.throughput import Throughput

SECONDS_BETWEEN_LINES = 15.0


class GridProgress:
    """Shows how many runs are under way, done and solved, the speed, and the time left.

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
        self._tokens = Throughput(lambda: self._now)
        self._listeners: Sequence[Callable[[Progress], None]] = ()
        self._total = self._done = self._before = self._solved = 0
        self._now = self._started = self._last_line = time.monotonic()

    @contextmanager
    def watch(
        self,
        name: str,
        total: int,
        missing: int,
        *,
        solved: int = 0,
        listeners: Sequence[Callable[[Progress], None]] = (),
    ) -> Iterator[None]:
        """Show progress while the body runs.

        Parameters
        ----------
        name : str
        total, missing : int
            Runs of the grid, and those among them that have no record.
        solved : int
            Runs with a record that are solved.
        listeners : sequence of callable
            They are called with every `Progress` too.
        """
        self._total, self._before, self._done = total, total - missing, total - missing
        self._solved, self._listeners = solved, listeners
        self._shares.clear()
        self._now = self._started = self._last_line = time.monotonic()
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
        self._now = time.monotonic()
        self._shares[progress.run_id] = progress.step / progress.num_steps
        self._tokens.note(progress.run_id, progress.tokens)
        for listener in self._listeners:
            listener(progress)
        if self._bar is not None:
            self._redraw()
        elif self._now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = self._now
            text = f"[{self._done}/{self._total}] {self._state()}{self._left()}"
            self._console.print(text, markup=False)

    def finished(self, record: RunRecord) -> None:
        """Take note of a record that is safe in the store, or on its way there on the disk."""
        self._now = self._last_line = time.monotonic()
        self._shares.pop(record.run_id, None)
        self._done += 1
        self._solved += record.summary.get("solved_step") is not None
        if self._bar is not None:
            self._redraw()
        self._console.print(
            f"[{self._done}/{self._total}] {_line(record)}{self._left()}", markup=False
        )

    def counted(self, done: int) -> None:
        """Take note of how many runs have a record by now, those of other processes included."""
        self._done = max(self._done, done)

    def _redraw(self) -> None:
        if self._bar is not None and self._task is not None:
            completed = self._done + sum(self._shares.values())
            self._bar.update(self._task, completed=completed, description=self._state())

    def _state(self) -> str:
        rate = self._tokens.per_second
        parts = [
            f"{len(self._shares)} training",
            f"{self._solved} solved" if self._solved else "",
            f"{short_number(rate)} tokens/s" if rate else "",
        ]
        return ", ".join(part for part in parts if part)

    def note(self, text: str) -> None:
        """Print a line for the person."""
        self._console.print(text, markup=False)

    def _left(self) -> str:
        completed = self._done - self._before + sum(self._shares.values())
        if completed <= 0 or self._done >= self._total:
            return ""
        elapsed = self._now - self._started
        seconds = elapsed / completed * (self._total - self._before - completed)
        return f", about {short_time(seconds)} left"


def short_number(value: float) -> str:
    """Three figures and a unit.

    Examples
    --------
    >>> [short_number(value) for value in (7.0, 950, 12_345, 3.21e8)]
    ['7', '950', '12.3k', '321M']
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def short_time(seconds: float) -> str:
    """Seconds up to a minute and a half, then minutes, then hours.

    Examples
    --------
    >>> [short_time(value) for value in (12.3, 600, 36_000)]
    ['12 s', '10.0 min', '10.0 h']
    """
    if seconds > 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds > 90 else f"{seconds:.0f} s"


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
    if "report_loss" in summary:
        state = f"loss {summary['report_loss']:.3f} on the report words"
    longest = record.tables["curves"]["length"][-1]
    return (
        f"{name}: {state}, token accuracy {summary['token_accuracy']:.3f} at {longest} "
        f"({summary['seconds']:.0f} s)"
    )
