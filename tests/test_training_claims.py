"""Claims on packs, and the plan that says which packs there are."""

import fcntl
import io
import json
import os
import time

import pytest

from automata.errors import InputError
from statetrack.training import claims as claims_module
from statetrack.training import run_grid
from statetrack.training.claims import Claims, is_locked
from statetrack.training.job_queue import ClaimedJobs, JobQueue
from statetrack.training.packs import PackJob, pack_id, pack_id_of
from statetrack.training.plan_file import PLAN, PlanFile
from statetrack.training.progress import GridProgress
from statetrack.training.store import Store
from tests.grid_processes import small_grid
from tests.launcher_cases import Here, record


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
