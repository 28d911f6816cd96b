"""kill -9 at random moments: of workers, the collector, joiners, all. Nothing is lost or doubled.

A record is acknowledged when its line was printed. What is compared at the end is the whole table,
in values and bits, with that of the grid that nobody disturbed.
"""

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest

from statetrack.training import load_results, run_grid
from statetrack.training.execute import execute_pack
from tests.grid_processes import Zygote, acknowledged, errors, is_alive, small_grid, wait_for

NUM_RUNS, PACK_SIZE, STEPS = 60, 6, 40
VICTIMS = ("worker", "collector", "joiner", "all")


class Here:
    def pack_size(self, runs):
        return PACK_SIZE

    def run(self, jobs, checkpoints, progress, source=None):
        for job in jobs:
            yield from execute_pack(job.runs, known=job.known, checkpoints=checkpoints)


@pytest.fixture(scope="module")
def zygote():
    server = Zygote()
    yield server
    server.close()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    return run_grid(small_grid(NUM_RUNS, STEPS), tmp_path_factory.mktemp("quiet"), launcher=Here())


def collector_of(folder):
    """Process id of who holds the lock of the store, from the kernel's list; None for nobody."""
    try:
        inode = os.stat(folder / "results" / "lock").st_ino
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[3] == "WRITE" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return None


def holders(folder, pids):
    """Workers: processes that hold a claim of the grid open and are none of `pids`."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(place)
        except OSError:
            continue
        if target.startswith(str(folder / "results" / "claims")):
            found.add(int(place.parts[2]))
    return sorted(found - set(pids))


def stored(folder):
    """(run id, status, summary) of every row; none before there is a store."""
    path = folder / "results" / "results.sqlite"
    if not path.exists():
        return []
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute("SELECT run_id, status, summary FROM runs").fetchall()
    finally:
        database.close()


def check_nothing_lost(folder, kept):
    """What was acknowledged is in the store or waits in a shard; rows never change."""
    rows = stored(folder)
    assert len({run_id for run_id, *_ in rows}) == len(rows)
    waiting = {path.stem for path in (folder / "results" / "shards").glob("[!.]*.json")}
    for _, run_id, _ in acknowledged(folder):
        assert run_id in {row[0] for row in rows} | waiting
    for run_id, status, summary in rows:
        assert kept.setdefault(run_id, (status, summary)) == (status, summary)


def check_complete(folder, quiet):
    results = load_results(folder / "results").only(quiet.runs.run_id.tolist())
    assert results.runs.status.tolist() == ["finished"] * NUM_RUNS
    pd.testing.assert_frame_equal(
        results.runs.drop(columns="seconds")[quiet.runs.columns.drop("seconds")],
        quiet.runs.drop(columns="seconds"),
        check_exact=True,
    )
    assert results.tables.keys() == quiet.tables.keys()
    for name, table in quiet.tables.items():
        pd.testing.assert_frame_equal(results.tables[name], table, check_exact=True)
    assert not list((folder / "results").rglob("*.tmp"))
    for name in ("shards", "claims", "progress"):
        assert not list((folder / "results" / name).glob("*")), name


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert wait_for(lambda: not any(map(is_alive, pids)), 30)


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_nothing_is_lost_or_doubled(zygote, quiet, tmp_path, kills):
    generator = random.Random(kills)
    done, attempt, slowest = 0, 0, 0.0
    while done < kills:
        attempt += 1
        folder, kept = tmp_path / str(attempt), {}
        alive = []
        killed_a_worker = set()
        while done < kills:
            while len(alive) < 2:
                alive.append(
                    zygote.start(
                        folder, NUM_RUNS, pack_size=PACK_SIZE, steps=STEPS, in_workers=True
                    )
                )
            before = collector_of(folder)
            started = time.monotonic()
            assert wait_for(
                lambda: collector_of(folder) is not None or not any(map(is_alive, alive)), 60
            )
            if before is None:
                slowest = max(slowest, time.monotonic() - started)
            time.sleep(generator.uniform(0.0, 0.6))
            alive = [pid for pid in alive if is_alive(pid)]
            if not alive:
                break
            victim = VICTIMS[done % len(VICTIMS)]
            collector = collector_of(folder)
            targets = {
                "worker": holders(folder, alive)[:1],
                "collector": [pid for pid in alive if pid == collector],
                "joiner": [pid for pid in alive if pid != collector],
                "all": [*alive, *holders(folder, alive)],
            }[victim]
            if victim == "worker" and killed_a_worker & set(alive):
                # A pack whose workers die twice is taken apart, which changes its bits.
                targets = alive[:1]
            elif victim == "worker":
                killed_a_worker |= set(alive)
            if not targets:
                targets = alive[:1]
            kill(targets)
            done += 1
            assert errors(folder) == ""
            check_nothing_lost(folder, kept)
            alive = [pid for pid in alive if is_alive(pid)]
        assert wait_for(lambda: not any(map(is_alive, alive)))
        last = zygote.start(folder, NUM_RUNS, pack_size=PACK_SIZE, steps=STEPS, in_workers=True)
        assert wait_for(lambda: not is_alive(last))
        assert errors(folder) == ""
        check_nothing_lost(folder, kept)
        check_complete(folder, quiet)
    assert slowest < 5
