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

import pytest

from statetrack.training import run_grid
from tests.grid_processes import acknowledged, errors, is_alive, small_grid, wait_for
from tests.launcher_cases import Here, check_complete

pytestmark = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="asks Linux who holds a lock"
)

NUM_RUNS, PACK_SIZE, STEPS = 60, 6, 12
VICTIMS = ("worker", "collector", "joiner", "all")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    return run_grid(
        small_grid(NUM_RUNS, STEPS), tmp_path_factory.mktemp("quiet"), launcher=Here(PACK_SIZE)
    )


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


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert wait_for(lambda: not any(map(is_alive, pids)), 30)


class Attempt:
    """One grid in a folder, from its first process until it is complete."""

    def __init__(self, zygote, folder):
        self._zygote, self.folder = zygote, folder
        self.alive, self.kept, self.slowest_start = [], {}, 0.0
        self._bereaved = set()

    def start(self):
        """Two processes; where both are new, how long it takes until one collects."""
        are_new = not self.alive
        while len(self.alive) < 2:
            pid = self._zygote.start(
                self.folder, NUM_RUNS, pack_size=PACK_SIZE, steps=STEPS, in_workers=True
            )
            self.alive.append(pid)
        started = time.monotonic()
        assert wait_for(lambda: collector_of(self.folder) or not self.any_alive())
        if are_new:
            self.slowest_start = max(self.slowest_start, time.monotonic() - started)

    def any_alive(self):
        self.alive = [pid for pid in self.alive if is_alive(pid)]
        return bool(self.alive)

    def kill(self, victim):
        collector, workers = collector_of(self.folder), holders(self.folder, self.alive)
        if victim == "worker":
            if not workers or self._bereaved & set(self.alive):
                # A pack whose workers die twice is taken apart, which may change its bits.
                victim = "all"
            self._bereaved |= set(self.alive)
        kill(
            {
                "worker": workers[:1],
                "collector": [pid for pid in self.alive if pid == collector],
                "joiner": [pid for pid in self.alive if pid != collector],
                "all": [*self.alive, *workers],
            }[victim]
            or self.alive[:1]
        )
        self.check_nothing_lost()

    def finish(self, quiet):
        """The next start alone completes the grid."""
        assert wait_for(lambda: not self.any_alive())
        self.alive = [
            self._zygote.start(
                self.folder, NUM_RUNS, pack_size=PACK_SIZE, steps=STEPS, in_workers=True
            )
        ]
        assert wait_for(lambda: not self.any_alive())
        self.check_nothing_lost()
        check_complete(self.folder / "results", quiet)

    def check_nothing_lost(self):
        assert errors(self.folder) == ""
        check_nothing_lost(self.folder, self.kept)


@pytest.mark.parametrize(
    ("kills", "pause"), [(10, 0.25), pytest.param(200, 0.6, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1800)
def test_nothing_is_lost_or_doubled(zygote, quiet, tmp_path, kills, pause):
    generator = random.Random(kills)
    done = attempts = 0
    slowest = 0.0
    while done < kills:
        attempts += 1
        attempt = Attempt(zygote, tmp_path / str(attempts))
        while done < kills:
            attempt.start()
            time.sleep(generator.uniform(0.0, pause))
            if not attempt.any_alive():
                break
            attempt.kill(VICTIMS[done % len(VICTIMS)])
            done += 1
        attempt.finish(quiet)
        slowest = max(slowest, attempt.slowest_start)
    print(f"{done} kills in {attempts} grids, slowest start {slowest:.2f} s")
    assert slowest < 5
