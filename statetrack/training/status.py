"""Where a grid stands, seen from any process, while others run it or not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from statetrack.training.claims import Claims
from statetrack.training.grid import Grid
from statetrack.training.packs import pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.progress import short_number, short_time
from statetrack.training.progress_files import PackProgress, read_progress
from statetrack.training.shards import read_shards
from statetrack.training.store import FILE_NAME, Store

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_BLOCKS = 15.0


@dataclass(frozen=True)
class GridStatus:
    """Where a grid stands.

    Attributes
    ----------
    statuses : dict of str to str
        "finished", "failed", "running" or "missing" by run id, in the grid's order. A run is
        running while a living process has its pack.
    reasons : dict of str to str
        Why each failed run failed.
    packs : dict of str to (int, PackProgress or None)
        By the identity of every pack under way: how many of its runs have no record, and where it
        stood a second ago where that is known.
    num_stale : int
        Stored runs that belong to no run of the grid.
    """

    statuses: dict[str, str]
    reasons: dict[str, str]
    packs: dict[str, tuple[int, PackProgress | None]]
    num_stale: int

    @property
    def is_over(self) -> bool:
        """Whether every run has a record."""
        return not {"running", "missing"} & set(self.statuses.values())

    def count(self, status: str) -> int:
        """How many runs have a status."""
        return list(self.statuses.values()).count(status)


def grid_status(grid: Grid, folder: Path) -> GridStatus:
    """Read where a grid stands; nothing is changed and nobody is kept waiting.

    Parameters
    ----------
    grid : Grid
    folder : Path
        Of its results; it need not exist.

    Raises
    ------
    InputError
        The store or the plan is damaged.
    """
    records = {
        record.run_id: (record.status, record.summary.get("error", ""))
        for record in read_shards(folder)
    }
    if (folder / FILE_NAME).exists():
        with Store(folder, read_only=True) as store:
            rows = store.summaries()
        records |= {row["run_id"]: (row["status"], row.get("error", "")) for row in rows}
    statuses = {
        run_id: records.get(run_id, ("missing", ""))[0]
        for run_id in (run.run_id for run in grid.runs)
    }
    packs = {}
    claims = Claims(folder)
    for pack in PlanFile(folder).earlier():
        identity = pack_id_of(pack)
        under_way = [run_id for run_id in pack if statuses.get(run_id) == "missing"]
        if under_way and claims.is_held(identity):
            statuses |= dict.fromkeys(under_way, "running")
            packs[identity] = (len(under_way), read_progress(folder, identity))
    reasons = {run_id: records[run_id][1] for run_id in statuses if statuses[run_id] == "failed"}
    return GridStatus(statuses, reasons, packs, len(set(records) - set(statuses)))


def status_line(status: GridStatus, title: str) -> str:
    """The counts in one line."""
    names = ["finished", "failed", *(["running"] if status.packs else []), "missing"]
    counts = ", ".join(f"{status.count(name)} {name}" for name in names)
    return f"{title}: {counts}; {status.num_stale} stored runs belong to no run of this preset"


def status_lines(status: GridStatus, title: str) -> list[str]:
    """All of it as plain lines, one a pack under way and one a failed run."""
    lines = [status_line(status, title)]
    for row in _pack_rows(status):
        lines.append(
            "pack " + ", ".join(f"{name} {value}" if name else value for name, value in row)
        )
    lines += [f"failed {run_id}: {reason}" for run_id, reason in status.reasons.items()]
    return lines


def status_tables(status: GridStatus, title: str) -> RenderableType:
    """All of it as tables for a terminal."""
    parts: list[RenderableType] = [Text(status_line(status, title))]
    rows = _pack_rows(status)
    if rows:
        table = Table("pack", *(name or "runs" for name, _ in rows[0][1:]))
        for row in rows:
            table.add_row(*(Text(value) for _, value in row))
        parts.append(table)
    if status.reasons:
        table = Table("failed", "reason")
        for run_id, reason in status.reasons.items():
            table.add_row(Text(run_id), Text(reason))
        parts.append(table)
    return Group(*parts)


def show_status(
    grid: Grid,
    folder: Path,
    stream: TextIO,
    *,
    watch: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print where a grid stands: tables in a terminal, plain lines elsewhere.

    Parameters
    ----------
    grid : Grid
    folder : Path
    stream : text file
    watch : bool
        Go on until every run has a record: a view that renews itself in a terminal, elsewhere new
        lines every 15 seconds where something changed.
    sleep : callable
        Waits for so many seconds.

    Raises
    ------
    InputError
        The store or the plan is damaged.
    """
    title = f"{grid.name} in {folder}"
    console = Console(file=stream, highlight=False, soft_wrap=True)
    status = grid_status(grid, folder)
    if not console.is_terminal:
        shown = status_lines(status, title)
        print("\n".join(shown), file=stream, flush=True)
        while watch and not status.is_over:
            sleep(SECONDS_BETWEEN_BLOCKS)
            status = grid_status(grid, folder)
            lines = status_lines(status, title)
            if lines != shown:
                print("\n".join(lines), file=stream, flush=True)
            shown = lines
        return
    if not watch:
        console.print(status_tables(status, title))
        return
    with Live(status_tables(status, title), console=console, auto_refresh=False) as live:
        while not status.is_over:
            sleep(SECONDS_BETWEEN_LOOKS)
            status = grid_status(grid, folder)
            live.update(status_tables(status, title), refresh=True)


def _pack_rows(status: GridStatus) -> list[list[tuple[str, str]]]:
    """A row a pack under way: names and texts; what is not known is "-"."""
    rows = []
    for identity, (count, progress) in status.packs.items():
        runs = progress.runs if progress is not None else []
        losses = [run.loss for run in runs if run.loss is not None]
        steps = sorted({run.step for run in runs})
        lengths = sorted({run.length for run in runs})
        last = max((run.num_steps for run in runs), default=0)
        left = progress.seconds_left if progress is not None else None
        rows.append(
            [
                ("", identity),
                ("", f"{count} runs"),
                ("step", f"{_span(steps)} of {last}" if runs else "-"),
                ("loss", f"{min(losses):.4f} to {max(losses):.4f}" if losses else "-"),
                ("length", _span(lengths)),
                ("run-steps/s", short_number(progress.steps_per_second) if progress else "-"),
                ("tokens/s", short_number(progress.tokens_per_second) if progress else "-"),
                ("time left", short_time(left) if left is not None else "-"),
            ]
        )
    return rows


def _span(values: list[int]) -> str:
    if not values:
        return "-"
    low, high = values[0], values[-1]
    return str(low) if low == high else f"{low} to {high}"
