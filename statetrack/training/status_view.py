"""Where a grid stands, for people: tables in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from statetrack.training.grid import Grid
from statetrack.training.progress import short_number, short_time
from statetrack.training.status import STATES, GridStatus, grid_status, run_names

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_BLOCKS = 15.0
NUM_SLOWEST = 3
MOST_GROUPS = 40
MOST_SEEDS = 8
_BAR_WIDTH = 60
# Colours alone tell nothing: every state has its own sign, and its name stands beside it.
_STYLES = {"solved": "green", "unsolved": "yellow", "failed": "red", "running": "cyan"}
_SIGNS = {"solved": "█", "unsolved": "▓", "failed": "×", "running": "▒", "missing": "·"}
_HEADINGS = {"missing": "left"}


def status_line(status: GridStatus, title: str) -> str:
    """The counts in one line."""
    counts = []
    for name in ["finished", "failed", *(["running"] if status.packs else []), "missing"]:
        solved = f" ({len(status.solved)} solved)" if name == "finished" and status.solved else ""
        counts.append(f"{status.count(name)} {name}{solved}")
    stale = f"{status.num_stale} stored runs belong to no run of this preset"
    return f"{title}: {', '.join(counts)}; {stale}"


def status_lines(status: GridStatus, title: str) -> list[str]:
    """All of it as plain lines: counts, groups, packs under way, the slowest, failed runs."""
    lines = [status_line(status, title)]
    for group in status.groups()[:MOST_GROUPS]:
        counts = ", ".join(f"{n} {name}" for name, n in group.counts.items() if n)
        lines.append(f"group {group.task}, {group.label}: {counts}")
    for row in _pack_rows(status):
        lines.append(
            "pack " + ", ".join(f"{name} {value}" if name else value for name, value in row)
        )
    for run_id, seconds in status.slowest(NUM_SLOWEST):
        lines.append(f"slowest {run_id}: {short_time(seconds)} ({status.names[run_id]})")
    for run_id, reason in status.reasons.items():
        lines.append(f"failed {run_id}: {reason} ({status.names[run_id]})")
    return lines


def status_tables(status: GridStatus, title: str) -> RenderableType:
    """All of it as tables for a terminal."""
    parts: list[RenderableType] = [
        Rule(Text(title, style="bold"), align="left"),
        _bar(status),
        _group_table(status),
    ]
    rows = _pack_rows(status)
    if rows:
        table = _table("Under way", "pack", *(name or "runs" for name, _ in rows[0][1:]))
        for row in rows:
            table.add_row(*(Text(value) for _, value in row))
        parts.append(table)
    slowest = status.slowest(NUM_SLOWEST)
    if slowest:
        table = _table("Slowest", "run", "time", "what")
        for run_id, seconds in slowest:
            table.add_row(run_id, short_time(seconds), Text(str(status.names[run_id])))
        parts.append(table)
    if status.reasons:
        table = _table("Failed", "runs", "reason", "which")
        for failure in status.failures():
            which = _which(status, failure.run_ids)
            table.add_row(str(len(failure.run_ids)), Text(failure.reason, "red"), Text(which))
        parts.append(table)
    if status.num_stale:
        stale = f"{status.num_stale} stored runs belong to no run of this preset"
        parts.append(Text(stale, style="dim"))
    return Group(*(part for block in parts for part in (block, Text())))


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
    names = run_names(grid)
    status = grid_status(grid, folder, names)
    if not console.is_terminal:
        shown = status_lines(status, title)
        print("\n".join(shown), file=stream, flush=True)
        while watch and not status.is_over:
            sleep(SECONDS_BETWEEN_BLOCKS)
            status = grid_status(grid, folder, names)
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
            status = grid_status(grid, folder, names)
            live.update(status_tables(status, title), refresh=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", header_style="dim")
    return table


def _totals(status: GridStatus) -> dict[str, int]:
    totals = dict.fromkeys(STATES, 0)
    for group in status.groups():
        for name, count in group.counts.items():
            totals[name] += count
    return totals


def _bar(status: GridStatus) -> Text:
    """What share of the runs is where, as a strip with its legend."""
    totals = _totals(status)
    total = max(1, sum(totals.values()))
    bar, legend, before, drawn = Text(), Text(), 0, 0
    for name, count in totals.items():
        before += count
        width = round(_BAR_WIDTH * before / total) - drawn
        if count and not width:
            width = 1
        drawn += width
        bar.append(_SIGNS[name] * width, style=_STYLES.get(name, "dim"))
        if count:
            legend.append(f"{_SIGNS[name]} ", style=_STYLES.get(name, "dim"))
            legend.append(f"{count} {_HEADINGS.get(name, name)}   ")
    return Text.assemble(bar, f"  {total} runs\n", legend)


def _group_table(status: GridStatus) -> Table:
    table = _table("Runs", "task", "label")
    for name in STATES:
        table.add_column(_HEADINGS.get(name, name), justify="right", header_style="dim")
    groups = status.groups()
    task = ""
    for group in groups[:MOST_GROUPS]:
        cells = [
            Text(str(group.counts[name]), _STYLES.get(name, ""))
            if group.counts[name]
            else Text("·", "dim")
            for name in STATES
        ]
        table.add_row(Text(group.task if group.task != task else ""), Text(group.label), *cells)
        task = group.task
    if len(groups) > MOST_GROUPS:
        table.add_row("", f"and {len(groups) - MOST_GROUPS} more labels")
    return table


def _which(status: GridStatus, run_ids: Sequence[str]) -> str:
    """Runs by task and label, with their seeds."""
    seeds: dict[str, list[int]] = {}
    for run_id in run_ids:
        name = status.names[run_id]
        seeds.setdefault(f"{name.task}, {name.label}", []).append(name.seed)
    parts = []
    for label, found in seeds.items():
        few = ", ".join(str(seed) for seed in found[:MOST_SEEDS])
        more = f" and {len(found) - MOST_SEEDS} more" if len(found) > MOST_SEEDS else ""
        parts.append(f"{label}: seed{'s' if len(found) > 1 else ''} {few}{more}")
    return "\n".join(parts)


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
