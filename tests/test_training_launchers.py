"""Launchers: packs to workers and records back, over processes, Ray and Slurm's job arrays."""

import builtins
import os
import signal
import stat
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from automata.errors import InputError
from statetrack.devices import choose_devices
from statetrack.training import Grid, LocalLauncher, fixed, load_results, product, run_grid
from statetrack.training.calibration import Calibration, ShapeCost
from statetrack.training.checkpoint import (
    digest_path,
    load_tensors,
    remove_checkpoint,
    save_tensors,
)
from statetrack.training.execute import execute_pack, pack_checkpoint
from statetrack.training.launchers import local
from statetrack.training.launchers.checkpoint_mirror import CheckpointMirror, apply_changes
from statetrack.training.launchers.element import Element
from statetrack.training.launchers.pool import lost, run_packs
from statetrack.training.launchers.slurm_resources import SlurmResources
from statetrack.training.packs import PackJob, pack_id, pack_key, partition
from statetrack.training.progress import GridProgress
from statetrack.training.records import failed_record
from statetrack.training.shards import shard_ids, write_shard
from tests.grid_processes import command_line, descendants, wait_for
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


def tiny(count, name="tiny"):
    return Grid.of(name, TINY * product({"seed": range(count)}))


class Here:
    """Runs packs in this process."""

    def __init__(self, size=2):
        self.size = size

    def pack_size(self, runs):
        return self.size

    def run(self, jobs, checkpoints, progress, source=None):
        for job in jobs:
            yield from execute_pack(job.runs, known=job.known, checkpoints=checkpoints)


def assert_same_table(results, other):
    pd.testing.assert_frame_equal(
        results.runs.drop(columns=TIMES), other.runs.drop(columns=TIMES), check_exact=True
    )
    assert results.tables.keys() == other.tables.keys()
    for name, table in other.tables.items():
        pd.testing.assert_frame_equal(results.tables[name], table, check_exact=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As workers have, and workers whose threads sleep: quicker on a busy core."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# The loop over packs and workers


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


# Ray


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


def test_what_takes_long_to_import_is_not_imported_before_it_is_used():
    """Every worker pays for it, though it never draws a figure."""
    import subprocess

    code = (
        "import sys, statetrack.cli, statetrack.grid_command\n"
        "import statetrack.training.launchers.ray, statetrack.training.launchers.slurm\n"
        "print({'ray', 'submitit', 'matplotlib', 'PIL', 'scipy.stats'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_workers": 0}, "workers = 0"),
        ({"pack_size": 0}, "pack_size = 0"),
        ({"processors": 0}, "processors = 0"),
        ({"device": "cuda:1"}, "Ray places the workers"),
    ],
)
def test_ray_refuses_before_it_starts(arguments, says):
    from statetrack.training.launchers.ray import RayLauncher

    with pytest.raises(InputError, match=says):
        RayLauncher(**arguments)


@pytest.fixture(scope="module")
def ray_here():
    """A cluster of two processors on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


SOURCE = """
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.lstm import LSTMConfig, build


def mine(config, num_tokens, num_classes):
    return build(LSTMConfig(width=8), num_tokens, num_classes)


register_model("mine", BackboneConfig, mine)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_ray_actors_run_a_grid_and_outlive_a_kill(ray_here, tmp_path, monkeypatch):
    """An actor is killed when its pack is under way; the table is that of an undisturbed grid."""
    from statetrack.source_files import import_file
    from statetrack.training.launchers.ray import RayLauncher

    source = tmp_path / "mine.py"
    source.write_text(SOURCE)
    import_file(source)
    axes = product({"model": ["mine"], "seed": range(4)})
    pairs = dict(next(iter(TINY))) | {"training.steps": 300}
    base = fixed(*(f"{key}={value}" for key, value in pairs.items() if not key.startswith("model")))
    grid = Grid("tiny", Grid.of("tiny", base * axes).runs, source)

    class Killer(GridProgress):
        killed = 0

        def advanced(self, progress):
            super().advanced(progress)
            if not self.killed and progress.step > 50:
                self.killed += 1
                (actor,) = [
                    pid for pid in descendants(os.getpid()) if b"PackActor" in command_line(pid)
                ]
                os.kill(actor, signal.SIGKILL)

    killer = Killer()
    launcher = RayLauncher(1, device="cpu", pack_size=2)
    results = run_grid(grid, tmp_path / "ray", launcher=launcher, progress=killer)
    assert killer.killed == 1
    assert_same_table(results, run_grid(grid, tmp_path / "here", launcher=Here()))
    for run in grid:
        assert (tmp_path / "ray" / "checkpoints" / f"{run.run_id}.safetensors").exists()
    assert not list((tmp_path / "ray" / "checkpoints").glob("pack-*"))


# Slurm


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"minutes": 0}, "minutes = 0"),
        ({"gpus": -1}, "gpus = -1"),
        ({"num_elements": 0}, "num_elements = 0"),
        ({"memory_gb": 0}, "memory_gb = 0"),
    ],
)
def test_resources_are_checked(arguments, says):
    with pytest.raises(InputError, match=says):
        SlurmResources(**arguments)


def test_an_element_survives_its_file(tmp_path):
    jobs = tuple(PackJob(pack, frozenset({pack[0].run_id})) for pack in partition(tiny(4).runs, 2))
    element = Element(tmp_path, jobs, "cpu", 2)
    again = Element.read(element.write())
    assert again == element
    assert again.name == element.name
    assert element.name != Element(tmp_path, jobs[:1], "cpu", 2).name


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Commands of Slurm that keep the text they are given; the state of every job is in a file."""
    commands = tmp_path / "commands"
    commands.mkdir()
    (tmp_path / "state").write_text("PENDING")
    scripts = {
        "srun": "exit 1",
        "sbatch": f'cp "$1" {tmp_path}/script; echo Submitted batch job 12',
        "sacct": f'echo "JobID|State|NodeList"; s=$(cat {tmp_path}/state); '
        'for i in "" _0 _1; do echo "12$i|$s|n"; done',
    }
    for name, body in scripts.items():
        path = commands / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return tmp_path


def test_the_batch_file_asks_for_what_was_given(fake_slurm):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from statetrack.training.launchers.slurm import SlurmLauncher

    resources = SlurmResources(
        minutes=90,
        partition="gpu",
        account="maths",
        gpus=1,
        processors=4,
        memory_gb=16,
        parallelism=3,
    )
    launcher = SlurmLauncher(fake_slurm / "shared", resources)
    packs = partition(tiny(8).runs, 4)
    launcher.submit([Element(launcher.folder, (PackJob(pack),)) for pack in packs])
    lines = (fake_slurm / "script").read_text().splitlines()
    flags = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH --")}
    assert {
        "job-name=statetrack",
        "time=90",
        "partition=gpu",
        "account=maths",
        "gpus-per-node=1",
        "cpus-per-task=4",
        "mem=16GB",
        "array=0-1%2",
        "signal=USR2@90",
        "open-mode=append",
    } <= flags
    (command,) = [line for line in lines if line.startswith("srun")]
    assert f"-m submitit.core._submit {fake_slurm}/shared/jobs" in command
    assert sys.executable in command


def test_slurm_without_slurm_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from statetrack.training.launchers.slurm import SlurmLauncher

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"launcher 'slurm'.*srun"):
        SlurmLauncher(tmp_path / "shared")


class Impatient(GridProgress):
    """Stops the process that collects when the array is submitted, as Ctrl-C does."""

    def note(self, text):
        super().note(text)
        if text.startswith("submitted"):
            raise KeyboardInterrupt


def test_an_array_goes_on_when_its_collector_stops_and_is_found_again(fake_slurm):
    """Elements that wait in the queue are not submitted twice; what they left is taken."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from submitit.slurm.slurm import SlurmJob

    from statetrack.training.launchers.slurm import SlurmLauncher

    grid, shared = tiny(4), fake_slurm / "shared"

    def launcher():
        SlurmJob.watcher.clear()
        return SlurmLauncher(
            shared, SlurmResources(num_elements=2), pack_size=2, seconds_between_looks=0.05
        )

    with pytest.raises(KeyboardInterrupt):
        run_grid(grid, fake_slurm / "out", launcher=launcher(), progress=Impatient())
    (fake_slurm / "script").unlink()

    class Cluster(GridProgress):
        """The cluster runs the elements while the second collector waits."""

        ran = 0

        def note(self, text):
            super().note(text)
            if "of an earlier start goes on" in text:
                self.ran += 1
                if self.ran == 2:
                    for path in sorted((shared / "elements").glob("*/element.json")):
                        for job in Element.read(path).jobs:
                            for record in execute_pack(
                                job.runs, checkpoints=shared / "checkpoints"
                            ):
                                shared.joinpath("shards").mkdir(exist_ok=True)
                                write_shard(shared, record)
                    (fake_slurm / "state").write_text("COMPLETED")

    cluster = Cluster()
    results = run_grid(grid, fake_slurm / "out", launcher=launcher(), progress=cluster)
    assert cluster.ran == 2
    assert not (fake_slurm / "script").exists(), "submitted again"
    assert_same_table(results, run_grid(grid, fake_slurm / "here", launcher=Here()))
    for run in grid:
        assert (fake_slurm / "out" / "checkpoints" / f"{run.run_id}.safetensors").exists()
    grown = tiny(5)  # the next array clears away what the first one left
    with pytest.raises(KeyboardInterrupt):
        run_grid(grown, fake_slurm / "out", launcher=launcher(), progress=Impatient())
    assert shard_ids(shared) == set()
    assert len(list((shared / "elements").iterdir())) == 1


def test_an_array_that_ends_before_it_begins_is_told(fake_slurm):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from submitit.slurm.slurm import SlurmJob

    from statetrack.training.launchers.slurm import SlurmLauncher

    SlurmJob.watcher.clear()
    (fake_slurm / "state").write_text("CANCELLED")
    launcher = SlurmLauncher(
        fake_slurm / "shared", SlurmResources(), pack_size=2, seconds_between_looks=0.05
    )
    with pytest.raises(InputError, match=r"ended \(CANCELLED\).*no pack of it had begun"):
        run_grid(tiny(4), fake_slurm / "out", launcher=launcher)


def test_a_pack_that_ends_its_job_twice_is_halved_and_then_failed(fake_slurm):
    """The element is run by hand: it claims the pack and is gone."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from submitit.slurm.slurm import SlurmJob

    from statetrack.training.claims import Claims
    from statetrack.training.launchers.slurm import SlurmLauncher

    SlurmJob.watcher.clear()
    shared, grid = fake_slurm / "shared", tiny(2)
    (fake_slurm / "state").write_text("FAILED")
    sbatch = fake_slurm / "commands" / "sbatch"
    sbatch.write_text("#!/bin/sh\necho Submitted batch job 12\n")
    begun = []

    class Node(GridProgress):
        def note(self, text):
            super().note(text)
            SlurmJob.watcher.clear()
            for path in sorted((shared / "elements").glob("*/element.json")):
                for job in Element.read(path).jobs:
                    if text.startswith("submitted"):
                        claim = Claims(shared).take(pack_id(job.runs))
                        claim.release()
                        begun.append(len(job.runs))

    launcher = SlurmLauncher(
        shared, SlurmResources(num_elements=1), pack_size=2, seconds_between_looks=0.01
    )
    results = run_grid(grid, fake_slurm / "out", launcher=launcher, progress=Node())
    assert results.runs.status.tolist() == ["failed", "failed"]
    assert "Slurm job 12 ended (" in results.runs.error[0]
    assert begun[0] == 2
    assert begun[-1] == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # submitit's
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_requeued_element_goes_on_from_its_checkpoint(tmp_path):
    """End to end with submitit's local executor: the signal of the queue, then the same table."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from statetrack.training.launchers.slurm import SlurmLauncher

    shared = tmp_path / "shared"
    axes = dict(next(iter(TINY))) | {"training.steps": 1200, "training.select_every": 50}
    base = fixed(*(f"{key}={value}" for key, value in axes.items()))
    grid = Grid.of("tiny", base * product({"seed": range(4)}))

    class Queue(GridProgress):
        """Says once, in the middle of a pack, that the time of the job is up."""

        told = 0

        def advanced(self, progress):
            super().advanced(progress)
            if self.told == 0 and 0 < progress.step < 1000:
                (controller, *_) = [
                    int(path.name.split("_")[0]) for path in (shared / "jobs").glob("*_log.out")
                ]
                children = Path(f"/proc/{controller}/task/{controller}/children").read_text()
                os.kill(int(children.split()[0]), signal.SIGUSR2)
                self.told += 1

    queue = Queue()
    launcher = SlurmLauncher(
        shared,
        SlurmResources(num_elements=1, minutes=30),
        pack_size=2,
        cluster="local",
        seconds_between_looks=0.1,
    )
    results = run_grid(grid, tmp_path / "out", launcher=launcher, progress=queue)
    assert queue.told == 1
    assert wait_for(lambda: list((shared / "jobs").glob("*_result.pkl")), 60)
    log = "".join(path.read_text() for path in (shared / "jobs").glob("*_log.*"))
    assert "Requeued job" in log
    assert_same_table(results, run_grid(grid, tmp_path / "here", launcher=Here()))
    assert load_results(tmp_path / "out").finished.run_id.is_unique
    assert not list((shared / "checkpoints").glob("*.safetensors"))
    assert pack_checkpoint(tmp_path / "out" / "checkpoints", grid.runs[:2]).exists() is False
