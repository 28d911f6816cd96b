"""A thousand runs through processes and through Ray, and kills of workers, actors and drivers.

What is compared is the whole table, in values and bits, with that of the same plan undisturbed.
"""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from statetrack.training import run_grid
from statetrack.training.progress import GridProgress
from tests.grid_launcher_process import grid_of
from tests.grid_processes import ROOT, acknowledged, command_line, descendants, wait_for
from tests.launcher_cases import Here, check_complete
from tests.test_training_kills import check_nothing_lost

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds children in /proc"),
]

STEPS = 6
SECONDS_TO_START = 600


def undisturbed(folder, num_runs, pack_size, steps):
    return run_grid(
        grid_of(num_runs, steps),
        folder / "quiet",
        launcher=Here(pack_size),
        progress=GridProgress(io.StringIO()),
    )


def start(folder, launcher, num_runs, pack_size, steps):
    arguments = [str(folder), launcher, str(num_runs), str(pack_size), str(steps)]
    with open(errors_of(folder), "a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.grid_launcher_process", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def errors_of(folder):
    return folder.with_suffix(".err")


def workers_of(pid, launcher):
    mark = b"ray::PackActor" if launcher == "ray" else b"spawn_main"
    return [child for child in descendants(pid) if mark in command_line(child)]


def test_a_thousand_runs_give_the_same_table_through_processes_and_through_ray(tmp_path):
    quiet = undisturbed(tmp_path, 1000, 50, STEPS)
    for launcher in ("local", "ray"):
        folder = tmp_path / launcher
        started = time.monotonic()
        assert start(folder, launcher, 1000, 50, STEPS).wait(900) == 0, (
            tmp_path / f"{launcher}.err"
        ).read_text()
        print(f"1000 runs through {launcher}: {time.monotonic() - started:.1f} s")
        check_complete(folder / "results", quiet)


class Life:
    """One driver from its start until it is killed or has ended."""

    def __init__(self, folder, launcher, *arguments):
        self.folder, self.launcher = folder, launcher
        self.before = len(acknowledged(folder))
        self.process, self.family = start(folder, launcher, *arguments), set()

    def is_over(self):
        return self.process.poll() is not None

    def kill(self, victim, pause):
        """Once new records have come, and a moment later; the name of who was killed, or None."""
        assert wait_for(
            lambda: self.is_over() or len(acknowledged(self.folder)) > self.before, SECONDS_TO_START
        )
        time.sleep(pause)
        workers = workers_of(self.process.pid, self.launcher)
        if self.is_over() or not workers:
            return None
        self.family |= {*descendants(self.process.pid)}
        os.kill(workers[0] if victim == "worker" else self.process.pid, signal.SIGKILL)
        self.before = len(acknowledged(self.folder))
        return f"{self.launcher} {victim}"


def test_nothing_is_lost_by_twenty_kills(tmp_path):
    """Each driver sees one of its workers killed, which costs no pack its plan, then is killed."""
    grid = (100, 5, 20)
    generator = random.Random(20)
    quiet = undisturbed(tmp_path, *grid)
    kills, folders, families = [], [], set()
    while len(kills) < 20:
        if not folders or len(acknowledged(folders[-1])) > grid[0] // 2:
            folders.append(tmp_path / f"attempt-{len(folders)}")
            kept = {}
        life = Life(folders[-1], ("local", "ray")[len(kills) // 2 % 2], *grid)
        for victim in ("worker", "driver"):
            killed = life.kill(victim, generator.uniform(0, 0.5))
            kills += [killed] if killed else []
            check_nothing_lost(folders[-1], kept)
            print(f"{len(kills)} kills, {killed}, {len(kept)} of {grid[0]} runs stored", flush=True)
        families |= life.family
        assert life.process.wait(600) in (0, -signal.SIGKILL), errors_of(folders[-1]).read_text()
    for number, folder in enumerate(folders):
        assert start(folder, ("ray", "local")[number % 2], *grid).wait(600) == 0
        check_complete(folder / "results", quiet)
    assert wait_for(lambda: not any(command_line(pid) for pid in families), SECONDS_TO_START), [
        command_line(pid) for pid in families
    ]
    print(f"{dict(Counter(kills))} in {len(folders)} grids of {grid[0]} runs")


def test_a_lost_node_gives_its_pack_back(tmp_path):
    """A cluster of two nodes; the one that trains is killed as a whole, raylet and all."""
    from ray.cluster_utils import Cluster

    grid = (20, 5, 100)
    quiet = undisturbed(tmp_path, *grid)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        node = cluster.add_node(num_cpus=1)
        folder = tmp_path / "cluster"
        driver = start(folder, f"ray@{cluster.address}", *grid)
        assert wait_for(lambda: acknowledged(folder) or driver.poll() is not None, SECONDS_TO_START)
        time.sleep(1)
        assert driver.poll() is None, errors_of(folder).read_text()
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)
        assert driver.wait(600) == 0, errors_of(folder).read_text()
    finally:
        cluster.shutdown()
    assert "failed" not in (folder / "output.txt").read_text()
    check_complete(folder / "results", quiet)
