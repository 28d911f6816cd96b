"""Which runs share a pack, and jobs that outlive deaths and other launchers."""

import pytest

from automata.errors import InputError
from statetrack.training import Grid, LocalLauncher, run_grid
from statetrack.training import grid as grids
from statetrack.training.execute import execute_pack
from statetrack.training.pack_training import TrainingStoppedError
from statetrack.training.packs import PackJob, pack_key, pack_size_for, partition, plan_jobs
from tests.pack_cases import Interruption, run_of, runs_of, seeds


def test_equal_keys():
    key = pack_key(run_of("diagonal"))
    for run in runs_of("diagonal"):
        assert pack_key(run) == key
    for own in ("model.eigenvalue_range=[0,1]", "model.range_steepness=1.0"):
        assert pack_key(run_of("diagonal", own)) == key, own
    for change in (
        "model.width=16",
        "model.num_layers=2",
        "training.length=11",
        "training.batch_size=5",
        "training.select_every=6",
        "training.select_words=17",
        "training.projections=bfloat16",
        "training.published_rates=true",
        "evaluation.max_length=13",
        "task=s4",
        "task.supervision=final",
    ):
        assert pack_key(run_of("diagonal", change)) != key, change
    # The same table size, tokens and classes; another group.
    one, other = (run_of("diagonal", f"task={task}") for task in ("z6", "s3"))
    assert pack_key(one) == pack_key(other)
    listed = ["task=dyck_1"]
    assert pack_key(run_of("diagonal", *listed)) != key


def test_partition():
    few, many = seeds(3, "model.width=4"), seeds(10)
    mixed = [run for pair in zip(many[:3], few, strict=True) for run in pair] + many[3:]
    packs = partition(mixed, max_size=4)
    assert [len(pack) for pack in packs] == [4, 3, 3, 3]
    assert [run for pack in packs[:3] for run in pack] == many
    assert packs[3] == tuple(few)
    assert partition([], 4) == []


@pytest.mark.parametrize(
    ("count", "num_packs", "largest", "size"),
    [
        (12, 4, 32, 3),
        (12, 4, 2, 2),
        (12, 1, 32, 12),
        (12, 12, 32, 1),
        (12, 100, 32, 1),
        (1, 4, 8, 1),
    ],
)
def test_pack_size_for(count, num_packs, largest, size):
    assert pack_size_for(seeds(count), num_packs, largest) == size


def test_a_job_survives_json_and_names_what_is_missing():
    runs = tuple(runs_of("householder"))
    job = PackJob(runs, frozenset({runs[1].run_id}), deaths=1)
    again = PackJob.from_json(job.to_json())
    assert again == job
    assert [run.run_id for run in again.runs] == [run.run_id for run in runs]
    assert again.missing == (runs[0], runs[2], runs[3])
    assert again.without(runs[0].run_id).missing == (runs[2], runs[3])


def test_after_deaths_a_job_goes_on_once_and_is_then_taken_apart():
    runs = tuple(seeds(4))
    job = PackJob(runs, frozenset({runs[0].run_id}))
    (once,) = job.after_death()
    assert (once.runs, once.known, once.deaths) == (runs, job.known, 1)
    first, second = once.after_death()
    assert (first.runs, second.runs) == (runs[1:2], runs[2:])
    assert first.after_death() == []
    assert [part.runs for part in second.after_death()] == [runs[2:3], runs[3:]]
    done = PackJob(runs, frozenset(run.run_id for run in runs), deaths=1)
    assert done.after_death() == []


def test_an_earlier_plan_is_kept():
    runs = seeds(6)
    ids = [run.run_id for run in runs]
    earlier = [[ids[4], ids[1]], [ids[0], "of another grid"]]
    jobs = plan_jobs(runs, known={ids[4], ids[5]}, earlier=earlier, max_size=2)
    assert jobs[0] == PackJob((runs[4], runs[1]), frozenset({ids[4]}))
    assert [job.runs for job in jobs[1:]] == [(runs[0], runs[2]), (runs[3],)]
    assert plan_jobs(runs, set(ids), earlier, 2) == []


def test_a_grid_goes_on_with_the_packs_it_had(tmp_path):
    """Although another launcher would make others."""

    class Launcher:
        def __init__(self, size, stop):
            self.size, self.stop, self.jobs = size, stop, []

        def pack_size(self, runs):
            return self.size

        def run(self, jobs, checkpoints, progress, source=None):
            for job in jobs:
                self.jobs.append(job)
                stop = Interruption(*self.stop)
                try:
                    yield from execute_pack(
                        job.runs, known=job.known, checkpoints=checkpoints, should_stop=stop
                    )
                except TrainingStoppedError:
                    raise KeyboardInterrupt from None

    grid = Grid("packs", tuple(runs_of("diagonal")))
    whole = run_grid(grid, tmp_path / "whole", launcher=Launcher(4, ()))
    cut = Launcher(4, (42,))
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid, tmp_path / "cut", launcher=cut)
    last = Launcher(1, ())
    results = run_grid(grid, tmp_path / "cut", launcher=last)
    assert [len(job.runs) for job in last.jobs] == [4]
    assert len(last.jobs[0].known) == 1  # the one that was over early
    assert results.runs.status.tolist() == ["finished"] * 4
    for name, table in whole.tables.items():
        assert results.tables[name].equals(table), name
    (tmp_path / "cut" / grids.PLAN).write_text("no json")
    assert run_grid(grid, tmp_path / "cut", launcher=last).runs.status.tolist() == ["finished"] * 4
    with pytest.raises(InputError, match=r"packs\.json: .*; delete it to plan the packs anew"):
        run_grid(grid + Grid("more", tuple(seeds(5)[4:])), tmp_path / "cut", launcher=last)


def test_the_local_launcher_sizes_its_packs():
    assert LocalLauncher(2, "cpu").pack_size(seeds(12)) == 3
    assert LocalLauncher(1, "cpu").pack_size(seeds(3)) == 2
    assert LocalLauncher(1, "cpu", pack_size=7).pack_size(seeds(12)) == 7
    with pytest.raises(InputError, match="pack_size = 0"):
        LocalLauncher(1, "cpu", pack_size=0)
