"""Launchers: packs to workers and records back, over the processes of one machine."""

import builtins
import os
import sys
from pathlib import Path

import pytest

from automata.errors import InputError
from statetrack.devices import choose_devices
from statetrack.training import Grid, LocalLauncher, product, run_grid
from statetrack.training.calibration import Calibration, ShapeCost
from statetrack.training.checkpoint import (
    digest_path,
    load_tensors,
    remove_checkpoint,
    save_tensors,
)
from statetrack.training.launchers import local
from statetrack.training.launchers.checkpoint_mirror import CheckpointMirror, apply_changes
from statetrack.training.launchers.pool import lost, run_packs
from statetrack.training.packs import PackJob, pack_key, partition
from statetrack.training.progress import GridProgress
from statetrack.training.records import failed_record
from tests.launcher_cases import TINY, Here, assert_same_table, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


class Workers:
    """A pool whose workers are done at once, or die the first times they are asked."""

    def __init__(self, room, deaths=0):
        self.room, self.deaths, self.begun, self.busy, self.is_closed = room, deaths, [], [], False

    def num_free(self):
        return self.room - len(self.busy)

    def is_busy(self):
        return bool(self.busy)

    def begin(self, job):
        assert self.num_free() > 0
        self.begun.append(job)
        self.busy.append(job)

    def collect(self, progress):
        job = self.busy.pop(0)
        if self.deaths:
            self.deaths -= 1
            return lost(job, "it died", "cpu")
        return [failed_record(run, "none", "cpu") for run in job.missing], []

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize("deaths", [0, 1, 3])
@pytest.mark.parametrize("room", [1, 3])
def test_every_run_gets_its_record_whoever_dies(room, deaths):
    pool = Workers(room, deaths)
    runs = tiny(8).runs
    jobs = [PackJob(pack) for pack in partition(runs, 2)]
    records = list(run_packs(jobs, pool, GridProgress()))
    assert sorted(record.run_id for record in records) == sorted(run.run_id for run in runs)
    assert pool.is_closed
    assert len(pool.begun) >= len(jobs) + min(deaths, 1)


def test_a_pool_without_room_ends_and_asks_for_no_pack():
    pool = Workers(0)
    jobs = iter([PackJob(tiny(1).runs)])
    assert list(run_packs(jobs, pool, GridProgress())) == []
    assert next(jobs, None) is not None
    assert pool.is_closed


def test_a_pool_is_closed_when_its_caller_gives_up():
    pool = Workers(1)
    records = run_packs([PackJob((run,)) for run in tiny(3).runs], pool, GridProgress())
    next(records)
    records.close()
    assert pool.is_closed
    assert len(pool.begun) == 1


# Several devices


def test_devices_by_name_or_in_turn():
    assert choose_devices(["cpu", "cpu"]) == ("cpu", "cpu")
    with pytest.raises(InputError, match="no device named"):
        choose_devices([])
    with pytest.raises(InputError, match="device 'cuda:99' cannot be used here"):
        choose_devices(["cpu", "cuda:99"])


def test_every_gpu_of_a_machine_gets_a_worker(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    launcher = LocalLauncher()
    assert launcher.devices == ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
    assert (launcher.device, launcher.num_workers) == ("cuda", 4)
    runs = tiny(32).runs
    assert [len(pack) for pack in partition(runs, launcher.pack_size(runs))] == [8] * 4
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert LocalLauncher().devices == ("cuda",)


def test_workers_take_the_devices_in_turn(monkeypatch):
    made = []

    class Worker:
        def __init__(self, device, *arguments):
            made.append(device)
            self.job = None

        def take(self, job):
            self.job = job

    monkeypatch.setattr(local, "_Worker", Worker)
    pool = local._Processes(["cuda:0", "cuda:1"], 3, Path(), None)
    jobs = [PackJob((run,)) for run in tiny(3).runs]
    for job in jobs:
        pool.begin(job)
    assert made == ["cuda:0", "cuda:1", "cuda:0"]
    assert pool.num_free() == 0


@pytest.mark.slow
def test_two_devices_run_a_grid_together(tmp_path):
    grid = tiny(4)
    launcher = LocalLauncher(device=["cpu", "cpu"], pack_size=2)
    assert launcher.num_workers == os.cpu_count()
    results = run_grid(grid, tmp_path / "two", launcher=LocalLauncher(2, ["cpu", "cpu"], 2))
    assert_same_table(results, run_grid(grid, tmp_path / "here", launcher=Here()))


def test_memory_bounds_the_packs_of_each_shape():
    runs = tiny(40).runs
    wide = Grid.of("w", TINY.without() * product({"seed": range(40)})).runs
    key = pack_key(runs[0])
    costs = {key: ShapeCost(100e6, 50e6, 0, 0)}
    launcher = LocalLauncher(2, "cpu", calibration=Calibration("cpu", 10**9, costs))
    assert launcher.limit(key) == 6  # two workers share 800 MB: 100 MB and 50 MB a run each
    assert launcher.limit("another shape") == 2**31
    assert max(map(len, partition(wide, 32, launcher.limit))) == 6
    assert LocalLauncher(2, "cpu", 9, Calibration("cpu", 10**9, costs)).limit(key) == 2**31
    assert ShapeCost(1e12, 1, 0, 0).largest_pack(10**9) == 1


# Checkpoints as messages


def test_a_mirror_says_what_changed_and_another_folder_follows(tmp_path):
    import torch

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    mirror = CheckpointMirror(here)
    for number in range(3):
        save_tensors(here / "a.safetensors", {"x": torch.tensor([number])}, {})
        if number == 1:
            save_tensors(here / "b.safetensors", {"x": torch.tensor([7])}, {})
        changes = mirror.changes()
        assert sorted(changes) == ["a.safetensors", *["b.safetensors"] * (number == 1)]
        apply_changes(there, changes)
        tensors, _ = load_tensors(there / "a.safetensors")  # the digest holds
        assert tensors["x"].tolist() == [number]
    assert mirror.changes() == {}
    remove_checkpoint(here / "a.safetensors")
    assert mirror.changes() == {"a.safetensors": None}
    apply_changes(there, {"a.safetensors": None})
    assert not (there / "a.safetensors").exists()
    assert not digest_path(there / "a.safetensors").exists()
    assert mirror.changes() == {}


@pytest.fixture
def no_package(monkeypatch):
    """Neither ray nor submitit can be imported."""
    real = builtins.__import__

    def refuse(name, *arguments, **named):
        if name.partition(".")[0] in ("ray", "submitit"):
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **named)

    for name in ("ray", "submitit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)


def test_a_missing_package_is_named_with_its_extra(no_package, tmp_path):
    from statetrack.training.launchers.ray import RayLauncher
    from statetrack.training.launchers.slurm import SlurmLauncher

    with pytest.raises(InputError, match=r"needs the package ray: .*statetrack\[ray\]"):
        RayLauncher()
    with pytest.raises(InputError, match=r"needs the package submitit: .*statetrack\[slurm\]"):
        SlurmLauncher(tmp_path)
