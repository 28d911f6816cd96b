"""A real `statetrack grid` in a process of its own, stopped by the keyboard or killed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automata.errors import InputError
from statetrack.cli import EXIT_INTERRUPTED, main
from statetrack.experiment import load_experiment
from statetrack.training import LocalLauncher, load_results, run_grid
from statetrack.training.store import Store
from tests.launcher_cases import assert_same_table

ROOT = Path(__file__).parents[1]
EXPERIMENT = '''"""Three small runs.

Do they survive?
"""

from matplotlib.figure import Figure

from statetrack.training import Grid

PRESETS = ("small",)


def grid(preset):
    base = ["task=s3", "model=householder", "model.width=8", "model.num_heads=2",
            "model.head_size=4", "training.steps=250", "training.length=18",
            "training.batch_size=4", "training.select_every=5", "training.select_words=16",
            "evaluation.max_length=24", "evaluation.num_words=64"]
    return Grid.product("small", base, {"seed": range(3)})


def figure(results):
    return Figure()
'''
# Models that a user registers in a script of their own, one of them bad.
SCRIPT = """
import sys
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.lstm import LSTMConfig, build
from statetrack.training import Grid, LocalLauncher, run_grid

def bad(act):
    def build_bad(config, num_tokens, num_classes):
        model = build(LSTMConfig(width=8), num_tokens, num_classes)
        model.register_forward_hook(lambda *arguments: act())
        return model
    return build_bad

def raise_key_error():
    raise KeyError("no such entry")

register_model("raises", BackboneConfig, bad(raise_key_error))
register_model("good", BackboneConfig, bad(lambda: None))

if __name__ == "__main__":
    base = ["task=parity", "training.steps=5", "training.length=18", "training.batch_size=4",
            "training.select_words=16", "evaluation.max_length=24", "evaluation.num_words=64"]
    grid = Grid.product("models", base, {"model": ["raises", "good"]})
    run_grid(grid, sys.argv[1], launcher=LocalLauncher(1, "cpu"))
"""


@pytest.fixture(scope="module", autouse=True)
def threads_that_sleep():
    """Threads of the processes started here that spin while they wait would starve each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        yield


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "small.py"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture(scope="module")
def quiet(experiment, tmp_path_factory):
    """The same grid, never interrupted."""
    grid = load_experiment(experiment).grid("small")
    folder = tmp_path_factory.mktemp("quiet")
    return run_grid(grid, folder, launcher=LocalLauncher(1, "cpu"))


def start(*arguments):
    """Start a process that leads a group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
    )


def command(experiment, folder):
    return ["grid", str(experiment), "--output", str(folder), "--workers", "1", "--device", "cpu"]


def wait_for_a_run(process, folder, seconds=120):
    """Until one run is finished, and some more steps are made."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with Store(folder, read_only=True) as store:
                if store.statuses():
                    return
        except (InputError, sqlite3.Error):
            pass  # not made yet
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no run was finished: {process.communicate()}")


def rows(folder):
    with sqlite3.connect(folder / "results.sqlite") as database:
        found = database.execute(
            "SELECT rowid, run_id, summary FROM runs ORDER BY rowid"
        ).fetchall()
    database.close()
    return found


def members(group):
    """Living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def check_all_ended(group):
    """Python's own resource tracker and workers without a parent need a moment to see it."""
    deadline = time.monotonic() + 10
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(group) == []


def check_nothing_lost(experiment, folder, before, quiet, capsys):
    """Call the command again and compare with the grid that was never interrupted."""
    assert main(command(experiment, folder)) == 0
    capsys.readouterr()
    assert rows(folder)[: len(before)] == before  # same rowid, run id, seconds: not run again
    results = load_results(folder).only(quiet.runs.run_id.tolist())
    assert results.runs.status.tolist() == ["finished"] * 3
    assert_same_table(results, quiet)
    left = [path.name for path in folder.rglob("*.tmp")]
    assert left == []


@pytest.mark.slow
def test_interrupted_by_the_keyboard_and_called_again(experiment, quiet, tmp_path, capsys):
    process = start("-m", "statetrack.cli", *command(experiment, tmp_path))
    wait_for_a_run(process, tmp_path)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10  # C5: SIGINT ends it in less than ten seconds
    assert process.returncode == EXIT_INTERRUPTED, errors
    assert "Traceback" not in errors
    assert "nothing finished is lost" in errors.splitlines()[-1]
    check_all_ended(process.pid)
    before = rows(tmp_path)
    assert 1 <= len(before) < 3
    # The runs that were under way kept their place.
    assert len(list((tmp_path / "checkpoints").glob("pack-*.safetensors"))) == 1
    check_nothing_lost(experiment, tmp_path, before, quiet, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["runner", "worker", "both"])
def test_killed_and_called_again(experiment, quiet, tmp_path, capsys, whom):
    """A killed worker's runs go on; workers whose runner was killed end by themselves."""
    generator = random.Random(whom)
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        process = start("-m", "statetrack.cli", *command(experiment, folder))
        wait_for_a_run(process, folder)
        time.sleep(generator.uniform(0.0, 0.8))
        runner, *workers = sorted(members(process.pid))
        for pid in {"runner": [runner], "worker": workers[-1:], "both": [runner, *workers]}[whom]:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
        check_all_ended(process.pid)
        before = rows(folder)
        assert len(before) == 3 or whom != "worker"
        check_nothing_lost(experiment, folder, before, quiet, capsys)


def test_a_bad_model_costs_its_own_runs_and_says_why(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    process = start(script, tmp_path / "results")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    runs = load_results(tmp_path / "results").runs.set_index("model")
    assert runs.status.to_dict() == {"raises": "failed", "good": "finished"}
    assert runs.error["raises"] == "KeyError: 'no such entry'"
    assert "Traceback" not in errors
