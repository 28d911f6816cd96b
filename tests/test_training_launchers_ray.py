"""The launcher of Ray: what it refuses, and a grid whose actor is killed."""

import os
import signal

import pytest

from automata.errors import InputError
from statetrack.training import Grid, fixed, product, run_grid
from statetrack.training.progress import GridProgress
from tests.grid_processes import command_line, descendants
from tests.launcher_cases import TINY, Here, assert_same_table

pytestmark = pytest.mark.usefixtures("one_thread")


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
