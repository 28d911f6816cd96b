"""A grid fills the holes of its store: what is missing, once, in any order of events."""

import multiprocessing
import os
import signal

import pandas as pd
import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.models import config as models
from statetrack.training import Grid, LocalLauncher, RunConfig, load_results, run_grid
from statetrack.training import grid as grids
from statetrack.training.launchers import local
from statetrack.training.packs import PackJob
from statetrack.training.progress import GridProgress
from statetrack.training.store import Store
from tests.launcher_cases import Here, assert_same_table

TINY = (
    "task=parity",
    "model.width=8",
    "training.steps=20",
    "training.length=18",
    "training.batch_size=4",
    "training.select_every=5",
    "training.select_words=16",
    "evaluation.max_length=24",
    "evaluation.num_words=64",
)


def tiny(**axes):
    return Grid.product("tiny", TINY, {"model": ["lstm"], **axes})


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/a", "a b", "a\n", "a\0", "é", "А", "x" * 300, "-" * 256],
)
def test_a_name_that_is_no_folder_is_refused(name):
    with pytest.raises(InputError, match="grid name"):
        Grid(name, tiny().runs)


def test_no_runs_and_equal_runs_are_refused():
    with pytest.raises(InputError, match="has 0 runs"):
        Grid("empty", ())
    (run,) = tiny().runs
    spelled_out = RunConfig.from_pairs(
        [*TINY, "model=lstm", "model.num_layers=1", "training.weight_decay=0.1"]
    )
    with pytest.raises(InputError, match="names one run twice"):
        Grid("twice", (run, spelled_out))
    with pytest.raises(InputError, match="names one run twice"):
        tiny(seed=[0, 1]) + tiny(seed=[1, 2])
    with pytest.raises(InputError, match="names one run twice"):
        tiny(seed=[3, 3])


def test_product_is_all_combinations_the_last_axis_fastest():
    grid = Grid.product("g", ["task=parity"], {"model": ["lstm", "mru"], "seed": range(3)})
    assert [(run.model.name, run.seed) for run in grid.runs] == [
        (model, seed) for model in ("lstm", "mru") for seed in range(3)
    ]
    assert (grid + tiny()).name == "g"
    assert len((grid + tiny()).runs) == 7


def test_an_axis_without_values_or_of_too_many_runs_is_refused(monkeypatch):
    with pytest.raises(InputError, match="axis 'seed' has no values"):
        tiny(seed=[])
    with pytest.raises(InputError, match="has 10000000000 runs"):
        tiny(seed=range(10**5), **{"training.steps": range(1, 10**5 + 1)})
    with pytest.raises(InputError, match="unknown key 'sed'"):
        tiny(sed=[1])


def test_what_is_missing():
    grid = tiny(seed=[0, 1, 2])
    first, second, third = (run.run_id for run in grid.runs)
    statuses = {first: "finished", second: "failed", "stale": "finished"}
    assert [run.run_id for run in grid.missing(statuses)] == [third]
    assert [run.run_id for run in grid.missing(statuses, retry_failed=True)] == [second, third]


def test_a_second_call_runs_nothing_and_a_grown_grid_its_new_runs(tmp_path):
    first = Here(1)
    one = run_grid(tiny(seed=[0, 1]), tmp_path, launcher=first)
    assert len(first.ran) == 2
    second = Here(1)
    two = run_grid(tiny(seed=[0, 1]), tmp_path, launcher=second)
    assert second.ran == []
    pd.testing.assert_frame_equal(one.runs, two.runs)
    third = Here(1)
    grown = run_grid(tiny(seed=[2, 1, 0]), tmp_path, launcher=third)
    assert third.ran == [tiny(seed=[2]).runs[0].run_id]
    assert grown.runs.seed.tolist() == [2, 1, 0]
    assert run_grid(tiny(seed=[1]), tmp_path, launcher=Here(1)).runs.seed.tolist() == [1]


class StoppedAfterOne(Here):
    def run(self, *arguments):
        yield next(super().run(*arguments))
        raise KeyboardInterrupt


def test_an_interruption_keeps_what_is_finished(tmp_path):
    whole = run_grid(tiny(seed=[0, 1, 2]), tmp_path / "whole", launcher=Here(1))
    launchers = [StoppedAfterOne(1), StoppedAfterOne(1), Here(1)]
    for launcher in launchers[:2]:
        with pytest.raises(KeyboardInterrupt):
            run_grid(tiny(seed=[0, 1, 2]), tmp_path / "cut", launcher=launcher)
    cut = run_grid(tiny(seed=[0, 1, 2]), tmp_path / "cut", launcher=launchers[2])
    ran = [run_id for launcher in launchers for run_id in launcher.ran]
    assert ran == [run.run_id for run in tiny(seed=[0, 1, 2]).runs]
    assert_same_table(cut, whole)


def test_a_checkpoint_is_there_for_every_finished_run(tmp_path):
    grid = tiny(seed=[0, 1])
    run_grid(grid, tmp_path, launcher=Here(1))
    found = {path.name for path in (tmp_path / grids.CHECKPOINTS).glob("*.safetensors")}
    assert found == {f"{run.run_id}.safetensors" for run in grid.runs}


class NotANumber(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.full((num_classes,), float("nan")))

    def forward(self, tokens, state=None):
        return self.weight.expand(*tokens.shape, -1), state


def test_a_loss_that_is_not_a_number_is_a_failed_record(tmp_path):
    models.register_model(
        "nan",
        models.BackboneConfig,
        lambda config, num_tokens, num_classes: NotANumber(num_classes),
    )
    grid = Grid.product("tiny", TINY, {"model": ["nan", "lstm"]})
    results = run_grid(grid, tmp_path, launcher=Here(1))
    assert results.runs.status.tolist() == ["failed", "finished"]
    assert results.runs.error[0] == "loss is nan at step 5; try a lower learning rate"
    assert set(results.tables["curves"].run_id) == {grid.runs[1].run_id}
    again, retried = Here(1), Here(1)
    run_grid(grid, tmp_path, launcher=again)
    assert again.ran == []
    run_grid(grid, tmp_path, launcher=retried, retry_failed=True)
    assert retried.ran == [grid.runs[0].run_id]


def test_the_launcher_has_ended_when_run_grid_raises(tmp_path, monkeypatch):
    """No training goes on behind the back of who caught the error."""
    events = []

    class Recorder(Here):
        def run(self, *arguments):
            try:
                yield from super().run(*arguments)
            finally:
                events.append("workers stopped")

    def full(store, record):
        raise InputError("database or disk is full")

    monkeypatch.setattr(Store, "add", full)
    try:
        run_grid(tiny(seed=[0, 1]), tmp_path, launcher=Recorder())
    except InputError:
        assert events == ["workers stopped"]
    else:
        pytest.fail("the error was lost")


class Killer(GridProgress):
    """Kills the worker when the second run has made some steps."""

    def __init__(self, victim, times):
        super().__init__()
        self.victim, self.times, self.killed = victim, times, []

    def advanced(self, progress):
        super().advanced(progress)
        if progress.run_id == self.victim and len(self.killed) < self.times:
            (worker,) = multiprocessing.active_children()
            if worker.pid not in self.killed:
                self.killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_once_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # quicker on a busy core
    grid = tiny(seed=[0, 1], **{"training.steps": [300]})
    killer = Killer(grid.runs[1].run_id, times=1)
    launcher = LocalLauncher(1, "cpu", pack_size=2)
    results = run_grid(grid, tmp_path, launcher=launcher, progress=killer)
    assert len(killer.killed) == 1
    assert results.runs.status.tolist() == ["finished"] * 2


@pytest.mark.slow
def test_a_run_that_kills_its_workers_costs_itself_alone_and_a_retry_goes_on(tmp_path, monkeypatch):
    """The pack goes on once, then is halved down to the run that does it."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # quicker on a busy core
    grid = tiny(seed=[0, 1, 2], **{"training.steps": [300]})
    killer = Killer(grid.runs[1].run_id, times=100)
    launcher = LocalLauncher(1, "cpu", pack_size=3)
    results = run_grid(grid, tmp_path, launcher=launcher, progress=killer)
    assert len(killer.killed) == 4  # of all three, twice; of two; of one
    assert multiprocessing.active_children() == []
    assert results.runs.status.tolist() == ["finished", "failed", "finished"]
    assert results.runs.error[1] == "the worker process died (exit code -9)"
    retry = Here(1)
    retried = run_grid(grid, tmp_path, launcher=retry, retry_failed=True)
    assert retry.ran == [grid.runs[1].run_id]
    assert retried.runs.status.tolist() == ["finished"] * 3
    assert set(retried.tables["curves"].groupby("run_id").size()) == {24}
    assert load_results(tmp_path).finished.run_id.is_unique


def test_a_worker_that_dies_in_the_middle_of_a_message_is_a_failed_record():
    """A kill can cut a long message: `recv_bytes` then raises OSError, not EOFError."""
    ours, theirs = multiprocessing.Pipe()
    worker = object.__new__(local._Worker)
    worker._device, worker.connection = "cpu", ours
    (run,) = tiny().runs
    worker.job = PackJob((run,))

    class Dead:
        exitcode = -9

        def join(self):
            pass

    worker._process = Dead()
    worker._launch = lambda: None
    os.write(theirs.fileno(), (1000).to_bytes(4, "big") + b"half a message")
    theirs.close()
    try:
        assert worker.receive(GridProgress()) == ([], [PackJob((run,), deaths=1)])  # once more
        worker.job = PackJob((run,), deaths=1)
        (record,), again = worker.receive(GridProgress())
    finally:
        ours.close()
    assert again == []
    assert record.status == "failed"
    assert "exit code -9" in record.summary["error"]


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_positive(workers):
    with pytest.raises(InputError, match=f"workers = {workers}"):
        LocalLauncher(workers)


def test_devices_are_checked_before_anything_runs():
    with pytest.raises(InputError, match="device 'cpx' cannot be used here"):
        LocalLauncher(1, "cpx")
    assert LocalLauncher(device="auto").device in ("cpu", "cuda")
    assert LocalLauncher(device="cpu").num_workers == os.cpu_count()
