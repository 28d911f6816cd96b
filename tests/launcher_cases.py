"""Grids that run in the process of a test, and tables that are the same whoever ran them."""

from dataclasses import replace

import pandas as pd

from statetrack.training import Grid, fixed, load_results, product
from statetrack.training.execute import RunRecord, execute_pack
from tests.pack_cases import TIMES

TINY = fixed(
    "task=parity",
    "model=lstm",
    "model.width=8",
    "training.steps=20",
    "training.length=18",
    "training.batch_size=4",
    "training.select_every=5",
    "training.select_words=16",
    "evaluation.max_length=24",
    "evaluation.num_words=64",
)


def tiny(count):
    return Grid.of("tiny", TINY * product({"seed": range(count)}))


def run_here(jobs, checkpoints, progress, source=None):
    """Run packs one after the other, and report as a worker does."""

    def report(rows):
        for row in rows:
            progress.advanced(row)

    for job in jobs:
        yield from execute_pack(job.runs, known=job.known, checkpoints=checkpoints, report=report)


class Here:
    """Launcher that runs packs in this process, and remembers which runs."""

    def __init__(self, pack_size=2):
        self.size, self.ran = pack_size, []

    def pack_size(self, runs):
        return self.size

    def run(self, jobs, checkpoints, progress, source=None):
        for record in run_here(jobs, checkpoints, progress, source):
            self.ran.append(record.run_id)
            yield record


def assert_same_table(results, other):
    """Bit for bit, but for times."""
    pd.testing.assert_frame_equal(
        results.runs.drop(columns=TIMES), other.runs.drop(columns=TIMES), check_exact=True
    )
    assert results.tables.keys() == other.tables.keys()
    for name, table in other.tables.items():
        pd.testing.assert_frame_equal(results.tables[name], table, check_exact=True)


def check_complete(folder, whole):
    """A grid is in its store as one process computed it, and nothing waits or is held."""
    results = load_results(folder).only(whole.runs.run_id.tolist())
    assert set(results.runs.status) == {"finished"}
    assert_same_table(replace(results, runs=results.runs[whole.runs.columns]), whole)
    assert not list(folder.rglob("*.tmp"))
    for name in ("shards", "claims", "progress"):
        assert not list((folder / name).glob("*")), name


def record(run_id, status="finished", **summary):
    """What a grid stores of a run."""
    values = {"task": "parity", "label": "m", "seed": 0, **summary}
    return RunRecord(run_id, "{}", status, values, {"time": "now"}, {"curves": {"length": [1]}})
