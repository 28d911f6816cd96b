"""Where a grid stands, seen from any process, while others run it or not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from statetrack.analysis.seeds import with_variants
from statetrack.training.claims import Claims
from statetrack.training.grid import Grid
from statetrack.training.packs import pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.progress_files import PackProgress, read_progress
from statetrack.training.records import run_identity
from statetrack.training.shards import read_shards
from statetrack.training.store import FILE_NAME, Store

STATES = ("solved", "unsolved", "failed", "running", "missing")
_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class RunName:
    """What people call a run.

    Attributes
    ----------
    task, label : str
        The label tells apart what differs by more than the seed.
    seed : int
    """

    task: str
    label: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}, {self.label}, seed {self.seed}"


@dataclass(frozen=True)
class GroupStatus:
    """How many runs of one task and label are where.

    Attributes
    ----------
    task, label : str
    counts : dict of str to int
        By "solved", "unsolved" (finished, but not solved), "failed", "running", "missing".
    """

    task: str
    label: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Failure:
    """Runs that failed for one reason, up to the numbers in it.

    Attributes
    ----------
    reason : str
        Of the first of them.
    run_ids : list of str
    """

    reason: str
    run_ids: list[str]


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
    names : dict of str to RunName
        By run id.
    solved : set of str
        Run ids of those that solved their task.
    seconds : dict of str to float
        How long each finished run took, where that is known.
    """

    statuses: dict[str, str]
    reasons: dict[str, str]
    packs: dict[str, tuple[int, PackProgress | None]]
    num_stale: int
    names: Mapping[str, RunName]
    solved: frozenset[str]
    seconds: dict[str, float]

    @property
    def is_over(self) -> bool:
        """Whether every run has a record."""
        return not {"running", "missing"} & set(self.statuses.values())

    def count(self, status: str) -> int:
        """How many runs have a status."""
        return list(self.statuses.values()).count(status)

    def state(self, run_id: str) -> str:
        """One of "solved", "unsolved", "failed", "running", "missing"."""
        if run_id in self.solved:
            return "solved"
        status = self.statuses[run_id]
        return "unsolved" if status == "finished" else status

    def groups(self) -> list[GroupStatus]:
        """The counts of every task and label, in the grid's order."""
        counts: dict[tuple[str, str], dict[str, int]] = {}
        for run_id in self.statuses:
            name = self.names[run_id]
            group = counts.setdefault((name.task, name.label), dict.fromkeys(STATES, 0))
            group[self.state(run_id)] += 1
        return [GroupStatus(task, label, found) for (task, label), found in counts.items()]

    def slowest(self, count: int) -> list[tuple[str, float]]:
        """Run ids and seconds of the finished runs that took longest."""
        return sorted(self.seconds.items(), key=lambda pair: -pair[1])[:count]

    def failures(self) -> list[Failure]:
        """Failed runs by reason, the most frequent first; its numbers tell nothing apart."""
        found: dict[str, Failure] = {}
        for run_id, reason in self.reasons.items():
            key = _NUMBER.sub("#", reason)
            found.setdefault(key, Failure(reason, [])).run_ids.append(run_id)
        return sorted(found.values(), key=lambda failure: -len(failure.run_ids))


def run_names(grid: Grid) -> dict[str, RunName]:
    """Give every run of a grid the name that people call it by.

    Parameters
    ----------
    grid : Grid

    Returns
    -------
    dict of str to RunName
        By run id.
    """
    runs = pd.DataFrame([run_identity(run) for run in grid.runs])
    rows = with_variants(runs)[["task", "label", "seed"]].itertuples(index=False)
    ids = (run.run_id for run in grid.runs)
    return {
        run_id: RunName(row.task, row.label, int(row.seed))
        for run_id, row in zip(ids, rows, strict=True)
    }


def grid_status(grid: Grid, folder: Path, names: Mapping[str, RunName] | None = None) -> GridStatus:
    """Read where a grid stands; nothing is changed and nobody is kept waiting.

    Parameters
    ----------
    grid : Grid
    folder : Path
        Of its results; it need not exist.
    names : mapping of str to RunName, optional
        From `run_names`, where they are known from an earlier look.

    Raises
    ------
    InputError
        The store or the plan is damaged.
    """
    records: dict[str, tuple[str, dict[str, Any]]] = {
        record.run_id: (record.status, record.summary) for record in read_shards(folder)
    }
    records |= _stored(folder)
    statuses = {run.run_id: records.get(run.run_id, ("missing", {}))[0] for run in grid.runs}
    packs = {}
    claims = Claims(folder)
    for pack in PlanFile(folder).earlier():
        identity = pack_id_of(pack)
        under_way = [run_id for run_id in pack if statuses.get(run_id) == "missing"]
        if under_way and claims.is_held(identity):
            statuses |= dict.fromkeys(under_way, "running")
            packs[identity] = (len(under_way), read_progress(folder, identity))
    known = {run_id: records[run_id][1] for run_id in statuses if run_id in records}
    return GridStatus(
        statuses=statuses,
        reasons={
            run_id: row.get("error") or ""
            for run_id, row in known.items()
            if statuses[run_id] == "failed"
        },
        packs=packs,
        num_stale=len(set(records) - set(statuses)),
        names=run_names(grid) if names is None else names,
        solved=frozenset(
            run_id for run_id, row in known.items() if row.get("solved_step") is not None
        ),
        seconds={
            run_id: row["seconds"]
            for run_id, row in known.items()
            if row.get("seconds") is not None
        },
    )


def _stored(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    if not (folder / FILE_NAME).exists():
        return {}
    with Store(folder, read_only=True) as store:
        overview = store.overview(columns=("run_id", "status", "solved_step", "seconds", "error"))
    rows = (
        dict(zip(overview, values, strict=True)) for values in zip(*overview.values(), strict=True)
    )
    return {row["run_id"]: (row["status"], row) for row in rows}
