"""The launcher of Slurm: batch files, arrays that outlive their collector, requeued elements."""

import functools
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from automata.errors import InputError
from statetrack.training import Grid, fixed, load_results, product, run_grid
from statetrack.training.execute import execute_pack, pack_checkpoint
from statetrack.training.launchers.element import Element
from statetrack.training.launchers.slurm_resources import SlurmResources
from statetrack.training.packs import PackJob, pack_id, partition
from statetrack.training.progress import GridProgress
from statetrack.training.shards import shard_ids, write_shard
from tests.grid_processes import wait_for
from tests.launcher_cases import TINY, Here, assert_same_table, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.fixture
def make_launcher(fake_slurm):
    """Launchers on the fake Slurm, each as in a process that has asked for no state yet."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    from submitit.slurm.slurm import SlurmJob

    from statetrack.training.launchers.slurm import SlurmLauncher

    def make(**resources):
        SlurmJob.watcher.clear()
        return SlurmLauncher(
            fake_slurm / "shared",
            SlurmResources(**resources),
            pack_size=2,
            seconds_between_looks=0.05,
        )

    return make


def test_the_batch_file_asks_for_what_was_given(fake_slurm, make_launcher):
    launcher = make_launcher(
        minutes=90,
        partition="gpu",
        account="maths",
        gpus=1,
        processors=4,
        memory_gb=16,
        parallelism=3,
    )
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


def test_an_array_goes_on_when_its_collector_stops_and_is_found_again(fake_slurm, make_launcher):
    """Elements that wait in the queue are not submitted twice; what they left is taken."""
    grid, shared = tiny(4), fake_slurm / "shared"
    launcher = functools.partial(make_launcher, num_elements=2)
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


def test_an_array_that_ends_before_it_begins_is_told(fake_slurm, make_launcher):
    (fake_slurm / "state").write_text("CANCELLED")
    with pytest.raises(InputError, match=r"ended \(CANCELLED\).*no pack of it had begun"):
        run_grid(tiny(4), fake_slurm / "out", launcher=make_launcher())


def test_a_pack_that_ends_its_job_twice_is_halved_and_then_failed(fake_slurm, make_launcher):
    """The element is run by hand: it claims the pack and is gone."""
    from submitit.slurm.slurm import SlurmJob

    from statetrack.training.claims import Claims

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

    launcher = make_launcher(num_elements=1)
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
