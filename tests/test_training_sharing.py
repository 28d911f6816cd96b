"""Several processes on one grid: every run once, whoever dies."""

import json
import os
import random
import signal
import threading
import time

import pytest

from statetrack.training import run_grid
from statetrack.training.claims import Claims
from statetrack.training.execute import execute_pack
from statetrack.training.packs import pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.shards import write_shard
from statetrack.training.status import grid_status
from statetrack.training.store import Store, StoreInUseError
from tests.grid_processes import EXECUTED, acknowledged, errors, is_alive, small_grid, wait_for
from tests.launcher_cases import Here, check_complete, record


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid of thirty runs, by one process."""
    return run_grid(small_grid(30), tmp_path_factory.mktemp("whole"), launcher=Here(3))


@pytest.mark.parametrize("repeats", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_four_processes_run_every_run_once(zygote, tmp_path, whole, repeats):
    generator = random.Random(repeats)
    for repeat in range(repeats):
        folder = tmp_path / str(repeat)
        pids = []
        for _ in range(4):
            pids.append(zygote.start(folder, 30, pack_size=3, seconds_a_run=0.01))
            time.sleep(generator.uniform(0.0, 0.1))
        assert wait_for(lambda pids=pids: not any(map(is_alive, pids)))
        assert errors(folder) == ""
        ends = [line.split() for line in (folder / "ended.txt").read_text().splitlines()]
        assert sorted(int(pid) for pid, _ in ends) == sorted(pids)
        assert [int(count) for _, count in ends] == [30] * 4
        check_executions(folder)
        check_complete(folder / "results", whole)


def check_executions(folder):
    """Every run was executed once, and every row of its history logged once."""
    executed = (folder / EXECUTED).read_text().split()
    assert len(executed) == len(set(executed)) == 30
    assert {run_id for _, run_id, _ in acknowledged(folder)} == set(executed)
    for run_id in executed:
        text = (folder / "results" / "logs" / f"{run_id}.jsonl").read_text()
        steps = [json.loads(line).get("step") for line in text.splitlines()]
        assert steps == [2, 4, 6, None]


def collector_and_joiner(zygote, folder):
    """Two processes under way, the one with the store first."""
    collector = zygote.start(folder, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: acknowledged(folder))
    joiner = zygote.start(folder, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: len({pid for pid, *_ in acknowledged(folder)}) == 2)
    return collector, joiner


def check_survives(survivor, killed, folder, whole):
    os.kill(killed, signal.SIGKILL)
    assert wait_for(lambda: not is_alive(survivor))
    assert errors(folder) == ""
    check_complete(folder / "results", whole)


def test_a_joiner_becomes_the_collector_when_that_is_killed(zygote, tmp_path, whole):
    collector, joiner = collector_and_joiner(zygote, tmp_path)
    check_survives(joiner, collector, tmp_path, whole)


def test_the_collector_takes_over_from_a_killed_joiner(zygote, tmp_path, whole):
    collector, joiner = collector_and_joiner(zygote, tmp_path)
    check_survives(collector, joiner, tmp_path, whole)


def test_a_process_with_another_grid_is_refused(zygote, tmp_path):
    pid = zygote.start(tmp_path, 30, seconds_a_run=0.2)
    assert wait_for(lambda: acknowledged(tmp_path))
    with pytest.raises(StoreInUseError, match=r"another process, whose plan lacks 2 of these 32"):
        run_grid(small_grid(32), tmp_path / "results", launcher=Here())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid))
    results = run_grid(small_grid(32), tmp_path / "results", launcher=Here())
    assert results.runs.status.tolist() == ["finished"] * 32


def test_packs_of_a_living_joiner_with_a_larger_grid_are_waited_for(tmp_path):
    """The collector died, its joiner has a pack half of which is in the grid of the next one."""
    large, small = small_grid(4), small_grid(3)
    ids = [run.run_id for run in large.runs]
    Store(tmp_path).close()
    PlanFile(tmp_path).publish([ids[:2], ids[2:]])
    claim = Claims(tmp_path).take(pack_id_of(ids[2:]))

    def finish():
        time.sleep(0.3)
        for one in execute_pack(large.runs[2:]):
            write_shard(tmp_path, one)
        claim.release()

    thread = threading.Thread(target=finish)
    thread.start()
    launcher = Here()
    results = run_grid(small, tmp_path, launcher=launcher)
    thread.join()
    assert launcher.ran == ids[:2]
    assert results.runs.status.tolist() == ["finished"] * 3


def test_status_sees_a_grid_under_way(zygote, tmp_path):
    pid = zygote.start(tmp_path, 12, pack_size=4, seconds_a_run=0.05)
    grid, seen = small_grid(12), []

    def look():
        status = grid_status(grid, tmp_path / "results")
        seen.extend(progress for _, progress in status.packs.values() if progress is not None)
        return seen

    assert wait_for(look)
    assert {(run.num_steps, run.length) for progress in seen for run in progress.runs} == {(6, 4)}
    assert wait_for(lambda: not is_alive(pid))
    assert grid_status(grid, tmp_path / "results").count("finished") == 12


def test_failed_runs_are_forgotten_only_when_asked_for(tmp_path):
    grid = small_grid(2)
    with Store(tmp_path) as store:
        store.add(record(grid.runs[0].run_id, "failed", error="why"))
        store.add(record("another", "failed", error="why"))
    launcher = Here()
    run_grid(grid, tmp_path, launcher=launcher)
    assert launcher.ran == [grid.runs[1].run_id]
    results = run_grid(grid, tmp_path, launcher=launcher, retry_failed=True)
    assert results.runs.status.tolist() == ["finished"] * 2
    with Store(tmp_path) as store:
        assert store.statuses()["another"] == "failed"


def test_a_launcher_that_leaves_runs_out_is_not_asked_for_ever(tmp_path):
    class Lazy(Here):
        def run(self, jobs, *arguments):
            next(iter(jobs))
            yield from ()

    assert run_grid(small_grid(4), tmp_path, launcher=Lazy()).runs.empty
