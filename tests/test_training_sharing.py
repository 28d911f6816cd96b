"""Several processes on one grid: every run once, whoever dies, and errors of the disk by name."""

import errno
import fcntl
import io
import json
import os
import random
import signal
import threading
import time

import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.training import claims as claims_module
from statetrack.training import load_results, run_grid
from statetrack.training.claims import Claims, is_locked
from statetrack.training.execute import RunRecord, execute_pack
from statetrack.training.job_queue import ClaimedJobs, JobQueue
from statetrack.training.packs import PackJob, pack_id, pack_id_of
from statetrack.training.plan_file import PLAN, PlanFile
from statetrack.training.progress import GridProgress
from statetrack.training.shards import SHARDS, merge_shards, read_shards, shard_ids, write_shard
from statetrack.training.status import grid_status
from statetrack.training.store import Store, StoreInUseError
from tests.grid_processes import (
    EXECUTED,
    Zygote,
    acknowledged,
    errors,
    is_alive,
    small_grid,
    wait_for,
)
from tests.pack_cases import TIMES


@pytest.fixture(scope="module")
def zygote():
    server = Zygote()
    yield server
    server.close()


class Here:
    """Runs packs in this process, and remembers which."""

    def __init__(self, pack_size=2, before=lambda job: None):
        self.size, self.before, self.ran = pack_size, before, []

    def pack_size(self, runs):
        return self.size

    def run(self, jobs, checkpoints, progress, source=None):
        for job in jobs:
            self.before(job)
            for record in execute_pack(job.runs, known=job.known, checkpoints=checkpoints):
                self.ran.append(record.run_id)
                yield record


def record(run_id, status="finished", **summary):
    values = {"task": "parity", "label": "m", "seed": 0, **summary}
    return RunRecord(run_id, "{}", status, values, {"time": "now"}, {"curves": {"length": [1]}})


# Claims


def test_a_claim_is_held_by_one_until_released(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    claim = first.take("a")
    assert second.take("a") is None
    assert second.is_held("a")
    assert not second.is_held("b")
    second.take("b").release()
    claim.release()
    claim.release()
    assert not second.is_held("a")
    again = second.take("a")
    assert again is not None
    again.release(finished=True)
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["b.lock"]


def test_a_claim_on_a_deleted_file_is_no_claim(tmp_path, monkeypatch):
    """Between opening and locking, the owner may finish and delete the file."""
    claims = Claims(tmp_path)
    owner = claims.take("a")
    real, calls = fcntl.flock, []

    def flock(descriptor, how):
        if not calls:
            owner.release(finished=True)
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(claims_module.fcntl, "flock", flock)
    claim = claims.take("a")
    assert len(calls) == 2
    assert Claims(tmp_path).take("a") is None
    claim.release()


def test_a_claim_outlives_its_owner_in_a_worker(tmp_path):
    claim = Claims(tmp_path).take("a")
    in_worker = os.dup(claim.fileno())
    claim.release()
    assert Claims(tmp_path).take("a") is None
    os.close(in_worker)
    assert not Claims(tmp_path).is_held("a")


def test_a_lock_that_is_not_there_is_free(tmp_path):
    assert not is_locked(tmp_path / "lock")


# Shards


def test_shards_are_merged_once(tmp_path):
    with Store(tmp_path) as store:
        write_shard(tmp_path, record("a", loss=1))
        write_shard(tmp_path, record("b", "failed", error="why"))
        before = (tmp_path / SHARDS / "a.json").read_bytes()
        write_shard(tmp_path, record("a", loss=2))
        assert (tmp_path / SHARDS / "a.json").read_bytes() == before
        assert shard_ids(tmp_path) == {"a", "b"}
        assert [one.run_id for one in merge_shards(store, tmp_path)] == ["a", "b"]
        assert shard_ids(tmp_path) == set()
        assert merge_shards(store, tmp_path) == []
        write_shard(tmp_path, record("a", loss=3))  # a kill came between store and unlink
        assert merge_shards(store, tmp_path) == []
        assert shard_ids(tmp_path) == set()
        assert [row.get("loss") for row in store.summaries()] == [1, None]
        write_shard(tmp_path, record("b"))
        merge_shards(store, tmp_path)
        assert store.statuses() == {"a": "finished", "b": "finished"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": "b"}', "\x00" * 50, "null"])
def test_a_damaged_shard_is_named_and_kept(tmp_path, content):
    write_shard(tmp_path, record("b"))
    path = tmp_path / SHARDS / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a\.json is damaged; delete it"):
        list(read_shards(tmp_path))
    assert path.read_text() == content


def test_a_shard_under_another_name_is_damaged(tmp_path):
    write_shard(tmp_path, record("a"))
    (tmp_path / SHARDS / "a.json").rename(tmp_path / SHARDS / "b.json")
    with pytest.raises(InputError, match=r"b\.json is damaged"):
        list(read_shards(tmp_path))


def test_shards_of_a_grid_without_a_collector_are_merged_at_the_next_start(tmp_path):
    grid = small_grid(3)
    (first, *_) = execute_pack(grid.runs)
    Store(tmp_path).close()
    write_shard(tmp_path, first)
    launcher = Here()
    results = run_grid(grid, tmp_path, launcher=launcher)
    assert results.runs.status.tolist() == ["finished"] * 3
    assert first.run_id not in launcher.ran
    assert len(launcher.ran) == 2


@pytest.mark.parametrize("num_left", [0, 1])
def test_what_was_killed_before_it_let_go_of_a_finished_pack_is_cleared_away(tmp_path, num_left):
    grid = small_grid(2)
    packs = [[run.run_id] for run in grid.runs]
    PlanFile(tmp_path).publish(packs)
    done = packs[: len(packs) - num_left]
    for (run_id,) in done:
        with Store(tmp_path) as store:
            store.add(record(run_id))
        claim = Claims(tmp_path).take(pack_id_of([run_id]))
        claim.release()
        place = tmp_path / "progress" / f"{pack_id_of([run_id])}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text("{}")
    run_grid(grid, tmp_path, launcher=Here(), progress=GridProgress(io.StringIO()))
    assert not list((tmp_path / "claims").iterdir())
    assert not list((tmp_path / "progress").iterdir())


# The plan


def test_a_torn_plan_does_not_hold(tmp_path):
    plan = PlanFile(tmp_path)
    assert plan.current() is None
    assert plan.earlier() == []
    plan.publish([["a"]])
    (tmp_path / PLAN).write_text(json.dumps([["b"]]))
    assert plan.current() is None
    assert plan.earlier() == [["b"]]


@pytest.mark.parametrize("content", ["", "{}", "[[1]]", '[["a"], []]', "[", "\xff"])
def test_a_damaged_plan_is_named(tmp_path, content):
    (tmp_path / PLAN).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"packs\.json: .*delete it to plan the packs anew"):
        PlanFile(tmp_path).earlier()


def test_jobs_are_claimed_when_taken_and_freed_when_recorded(tmp_path):
    grid = small_grid(4)
    ids = [run.run_id for run in grid.runs]
    plan, known = PlanFile(tmp_path), set()
    plan.publish([ids[:2], ids[2:]])
    queues = [
        ClaimedJobs(dict(zip(ids, grid.runs, strict=True)), plan, Claims(tmp_path), lambda: known)
        for _ in range(2)
    ]
    one, two = queues[0].take(), queues[1].take()
    assert [pack_id(one.runs), pack_id(two.runs)] == [pack_id_of(ids[:2]), pack_id_of(ids[2:])]
    assert queues[0].take() is None
    known.add(ids[0])
    queues[0].recorded(ids[0])
    assert Claims(tmp_path).is_held(pack_id_of(ids[:2]))
    known.add(ids[1])
    queues[0].recorded(ids[1])
    assert not Claims(tmp_path).is_held(pack_id_of(ids[:2]))
    known.add(ids[2])
    queues[1].let_go()
    time.sleep(0.6)
    taken = queues[0].take()
    assert taken.known == {ids[2]}
    assert [run.run_id for run in taken.missing] == [ids[3]]
    assert queues[1].open_runs() == set()
    queues[0].close()


def test_nothing_is_taken_from_a_plan_that_is_withdrawn_meanwhile(tmp_path):
    grid = small_grid(2)
    runs = {run.run_id: run for run in grid.runs}
    plan = PlanFile(tmp_path)
    plan.publish([list(runs)])
    claims = Claims(tmp_path)
    take = claims.take

    def take_late(name):
        plan.withdraw()
        return take(name)

    claims.take = take_late
    queue = ClaimedJobs(runs, plan, claims, set)
    assert queue.take() is None
    assert not claims.is_held(pack_id_of(list(runs)))


def test_a_plain_queue_hands_out_every_job():
    jobs = [PackJob((run,)) for run in small_grid(3).runs]
    assert list(JobQueue(jobs)) == jobs


# Processes


def check_complete(folder, num_runs, whole):
    results = load_results(folder / "results").only(whole.runs.run_id.tolist())
    same_values(results, whole)
    assert not list((folder / "results").rglob("*.tmp"))
    for name in ("shards", "claims", "progress"):
        assert not list((folder / "results" / name).glob("*")), name


def same_values(results, whole):
    pd.testing.assert_frame_equal(
        results.runs.drop(columns=TIMES),
        whole.runs.drop(columns=TIMES),
        check_exact=True,
    )
    assert results.tables.keys() == whole.tables.keys()
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(results.tables[name], table, check_exact=True)


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
        check_complete(folder, 30, whole)


def check_executions(folder):
    """Every run was executed once, and every row of its history logged once."""
    executed = (folder / EXECUTED).read_text().split()
    assert len(executed) == len(set(executed)) == 30
    assert {run_id for _, run_id, _ in acknowledged(folder)} == set(executed)
    for run_id in executed:
        text = (folder / "results" / "logs" / f"{run_id}.jsonl").read_text()
        steps = [json.loads(line).get("step") for line in text.splitlines()]
        assert steps == [2, 4, 6, None]


def test_a_joiner_becomes_the_collector_when_that_is_killed(zygote, tmp_path, whole):
    collector = zygote.start(tmp_path, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: acknowledged(tmp_path))
    joiner = zygote.start(tmp_path, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: len({pid for pid, *_ in acknowledged(tmp_path)}) == 2)
    os.kill(collector, signal.SIGKILL)
    assert wait_for(lambda: not is_alive(joiner))
    assert errors(tmp_path) == ""
    check_complete(tmp_path, 30, whole)


def test_the_collector_takes_over_from_a_killed_joiner(zygote, tmp_path, whole):
    collector = zygote.start(tmp_path, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: acknowledged(tmp_path))
    joiner = zygote.start(tmp_path, 30, pack_size=3, seconds_a_run=0.03)
    assert wait_for(lambda: len({pid for pid, *_ in acknowledged(tmp_path)}) == 2)
    os.kill(joiner, signal.SIGKILL)
    assert wait_for(lambda: not is_alive(collector))
    assert errors(tmp_path) == ""
    check_complete(tmp_path, 30, whole)


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


# The disk


FULL, READ_ONLY, REFUSED = errno.ENOSPC, errno.EROFS, errno.EACCES


def failing(monkeypatch, module, name, code, when=lambda *arguments: True):
    real = getattr(module, name)

    def fail(*arguments, **named):
        if when(*arguments):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, fail)


@pytest.fixture
def half_done(tmp_path):
    """A store with one of four runs."""
    run_grid(small_grid(1), tmp_path, launcher=Here())
    return tmp_path


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
@pytest.mark.parametrize(
    ("function", "part"),
    [("fsync", "packs.json"), ("replace", "packs.json"), ("open", "claim")],
)
def test_what_the_disk_refuses_is_named(half_done, monkeypatch, code, function, part):
    if part == "claim":
        failing(monkeypatch, claims_module.os, "open", code, lambda path, *_: "claims" in str(path))
    else:
        failing(monkeypatch, os, function, code)
    with pytest.raises(InputError, match=f"{part}.*{os.strerror(code)}"):
        run_grid(small_grid(4), half_done, launcher=Here())
    monkeypatch.undo()
    assert load_results(half_done).runs.status.tolist() == ["finished"]
    results = run_grid(small_grid(4), half_done, launcher=Here())
    assert results.runs.status.tolist() == ["finished"] * 4
    assert not list(half_done.rglob("*.tmp"))


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_shard_that_cannot_be_written_is_named(tmp_path, monkeypatch, code, function):
    write_shard(tmp_path, record("a"))
    failing(monkeypatch, os, function, code)
    with pytest.raises(InputError, match=rf"shard .*b\.json: {os.strerror(code)}"):
        write_shard(tmp_path, record("b"))
    monkeypatch.undo()
    assert shard_ids(tmp_path) == {"a"}
    assert not list(tmp_path.rglob("*.tmp"))
    write_shard(tmp_path, record("b"))
    assert [one.run_id for one in read_shards(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
def test_progress_that_cannot_be_written_costs_no_run(tmp_path, monkeypatch, code):
    import io

    from statetrack.training import progress_files

    failing(monkeypatch, progress_files, "write_atomically", code)
    output = io.StringIO()

    class Reporting(Here):
        def run(self, jobs, checkpoints, progress, source=None):
            for job in jobs:
                yield from execute_pack(
                    job.runs, report=lambda rows: [progress.advanced(row) for row in rows] and None
                )

    results = run_grid(small_grid(4), tmp_path, launcher=Reporting(), progress=GridProgress(output))
    assert results.runs.status.tolist() == ["finished"] * 4
    lines = [line for line in output.getvalue().splitlines() if os.strerror(code) in line]
    assert len(lines) == 1
    assert "status" in lines[0]
