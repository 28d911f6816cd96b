"""Loggers get every row once and the end; they never cost a result."""

import errno
import io
import json
import math
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from automata.errors import InputError
from statetrack.training import RunConfig, run_grid
from statetrack.training.loggers import (
    LOGS,
    JsonLinesLogger,
    TensorBoardLogger,
    TrackerLogger,
    make_logger,
)
from statetrack.training.pack_members import Progress
from statetrack.training.progress import GridProgress
from statetrack.training.run_logs import RunLogs
from tests.grid_processes import small_grid
from tests.launcher_cases import Here, run_here

CONFIG = RunConfig.from_pairs(["task=parity", "model=diagonal"])
ROWS = [{"step": step, "loss": 1 / step} for step in (10, 20, 30)]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Recorder:
    def __init__(self):
        self.calls, self.closed = [], 0

    def rows(self, run_id, config, rows):
        assert config.run_id == run_id
        self.calls += [(run_id, row["step"]) for row in rows]

    def end(self, run_id, config, status, summary):
        self.calls.append((run_id, status))

    def close(self):
        self.closed += 1


def test_a_grid_hands_every_row_over_once_and_in_order(tmp_path):
    grid, recorder = small_grid(5), Recorder()
    run_grid(grid, tmp_path, launcher=Here(), loggers=[recorder])
    assert recorder.closed == 1
    for run in grid.runs:
        own = [what for run_id, what in recorder.calls if run_id == run.run_id]
        assert own == [2, 4, 6, "finished"]
    assert not (tmp_path / LOGS).exists()


def test_json_lines_are_the_history(tmp_path):
    grid = small_grid(3)
    results = run_grid(grid, tmp_path, launcher=Here())
    for run in grid.runs:
        *rows, end = lines(tmp_path / LOGS / f"{run.run_id}.jsonl")
        history = results.tables["history"].query("run_id == @run.run_id")
        assert rows == history.drop(columns="run_id").to_dict("records")
        assert end["status"] == "finished"
        assert end["seed"] == run.seed


@pytest.mark.parametrize("cut", [0, 1, 5, 30, 60, 61, 10**6])
def test_a_torn_line_is_mended_and_no_row_doubled(tmp_path, cut):
    first = JsonLinesLogger(tmp_path)
    first.rows("a", CONFIG, ROWS[:2])
    path = tmp_path / "a.jsonl"
    path.write_bytes(path.read_bytes()[:cut])
    again = JsonLinesLogger(tmp_path)
    again.rows("a", CONFIG, ROWS[:1])
    again.rows("a", CONFIG, ROWS)
    again.end("a", CONFIG, "finished", {"loss": 0.5})
    assert lines(path) == [*ROWS, {"status": "finished", "loss": 0.5}]


def test_the_end_of_an_earlier_try_is_replaced(tmp_path):
    for status in ("failed", "finished"):
        logger = JsonLinesLogger(tmp_path)
        logger.rows("a", CONFIG, ROWS)
        logger.end("a", CONFIG, status, {})
    assert lines(tmp_path / "a.jsonl") == [*ROWS, {"status": "finished"}]


def test_a_run_without_rows_has_an_end(tmp_path):
    logger = JsonLinesLogger(tmp_path)
    logger.end("a", CONFIG, "failed", {"error": "why"})
    logger.close()
    assert lines(tmp_path / "a.jsonl") == [{"status": "failed", "error": "why"}]


def fake_tracker(name):
    """A module that records calls as wandb and trackio take them."""
    module = ModuleType(name)
    module.calls = []

    def init(project, name, config, **more):
        module.calls.append(("init", project, name, config["seed"], more))
        return SimpleNamespace(
            log=lambda row, step: module.calls.append(("log", name, step, row)),
            finish=lambda: module.calls.append(("finish", name)),
        )

    module.init = init
    return module


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("wandb", {"id": "a", "resume": "allow", "reinit": "create_new"}),
        ("trackio", {"resume": "allow"}),
    ],
)
def test_trackers_through_one_adapter(tmp_path, monkeypatch, name, more):
    module = fake_tracker(name)
    monkeypatch.setitem(sys.modules, name, module)
    logger = make_logger(name, tmp_path, "project")
    assert isinstance(logger, TrackerLogger)
    logger.rows("a", CONFIG, [{"step": 10, "loss": 0.5, "text": "x"}])
    logger.rows("b", CONFIG, [])
    logger.rows("b", CONFIG, ROWS[1:2])
    logger.rows("a", CONFIG, ROWS[2:])
    logger.end("a", CONFIG, "finished", {})
    logger.end("never begun", CONFIG, "failed", {})
    logger.close()
    logger.close()
    assert module.calls == [
        ("init", "project", "a", 0, more),
        ("log", "a", 10, {"loss": 0.5}),
        ("init", "project", "b", 0, more | ({"id": "b"} if "id" in more else {})),
        ("log", "b", 20, {"loss": 1 / 20}),
        ("log", "a", 30, {"loss": 1 / 30}),
        ("finish", "a"),
        ("finish", "b"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_tensorboard(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, log_dir, purge_step):
            calls.append(("open", log_dir, purge_step))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def add_text(self, name, text):
            calls.append((name,))

        def close(self):
            calls.append("close")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    logger = make_logger("tensorboard", tmp_path, "project")
    logger.rows("a", CONFIG, ROWS[:2])
    logger.end("a", CONFIG, "finished", {})
    logger.rows("b", CONFIG, ROWS[2:])
    logger.close()
    assert calls == [
        ("open", str(tmp_path / "tensorboard" / "a"), 10),
        ("config",),
        ("loss", 1 / 10, 10),
        ("loss", 1 / 20, 20),
        ("status",),
        "close",
        ("open", str(tmp_path / "tensorboard" / "b"), 30),
        ("config",),
        ("loss", 1 / 30, 30),
        "close",
    ]


def test_tensorboard_writes_files_that_it_reads(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoardLogger(tmp_path)
    logger.rows("a", CONFIG, ROWS)
    logger.end("a", CONFIG, "finished", {})
    events = accumulators.EventAccumulator(str(tmp_path / "a"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("tensorboard", "torch.utils.tensorboard"),
        ("wandb", "wandb"),
        ("trackio", "trackio"),
    ],
)
def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"logger {name} .*: pip install {name}$"):
        make_logger(name, tmp_path, "project")


def test_an_unknown_logger_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"'wandbb'.*'wandb'"):
        make_logger("wandbb", tmp_path, "project")


@pytest.mark.parametrize("method", ["rows", "end", "close"])
def test_a_logger_that_fails_is_left_out_and_costs_nothing(tmp_path, method):
    def fail(*arguments):
        raise ConnectionError("no route\nto host")

    bad, good, output = Recorder(), Recorder(), io.StringIO()
    setattr(bad, method, fail)
    results = run_grid(
        small_grid(4),
        tmp_path,
        launcher=Here(),
        loggers=[bad, good],
        progress=GridProgress(output),
    )
    assert results.runs.status.tolist() == ["finished"] * 4
    assert len(good.calls) == 16
    said = [line for line in output.getvalue().splitlines() if "no route" in line]
    assert said == ["Recorder failed and is left out: no route to host"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_stops_the_log_alone(tmp_path, monkeypatch, code):
    real = open

    def refuse(path, *arguments, **named):
        if str(path).endswith(".jsonl"):
            raise OSError(code, os.strerror(code))
        return real(path, *arguments, **named)

    monkeypatch.setattr("builtins.open", refuse)
    output = io.StringIO()
    results = run_grid(small_grid(2), tmp_path, launcher=Here(), progress=GridProgress(output))
    assert results.runs.status.tolist() == ["finished"] * 2
    assert output.getvalue().count(os.strerror(code)) == 1


def test_rows_from_a_checkpoint_are_not_handed_over_again():
    recorder = Recorder()
    config = CONFIG
    logs = RunLogs([recorder], {config.run_id: config}, print)

    def told(*steps):
        rows = tuple({"step": step} for step in steps)
        logs.advanced(Progress(config.run_id, 0, 100, math.nan, rows=rows))

    told(10, 20)
    told(10, 20, 30)
    told()
    assert [step for _, step in recorder.calls] == [10, 20, 30]


def test_the_command_line_takes_loggers_by_name(tmp_path, monkeypatch, capsys):
    from statetrack.cli import EXIT_BAD_INPUT, main

    path = tmp_path / "one.py"
    path.write_text(
        '"""One run."""\n'
        "from matplotlib.figure import Figure\n"
        "from statetrack.training import Grid\n"
        "PRESETS = ('small',)\n"
        "def grid(preset):\n"
        "    return Grid.product('one', ['task=parity', 'model=diagonal', 'model.width=8',\n"
        "        'training.steps=4', 'training.length=4', 'training.batch_size=2',\n"
        "        'training.select_words=4', 'evaluation.max_length=6',\n"
        "        'evaluation.num_words=8'], {'seed': [0]})\n"
        "def figure(results):\n"
        "    return Figure()\n"
    )
    module = fake_tracker("wandb")
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setattr("statetrack.training.LocalLauncher.run", lambda _, *run: run_here(*run))
    where = ["grid", str(path), "--output", str(tmp_path / "out")]
    assert main([*where, "--log", "trackio"]) == EXIT_BAD_INPUT
    assert "pip install trackio" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*where, "--log", "wandb", "--log", "jsonl", "--log", "wandb"]) == 0
    assert [call[0] for call in module.calls] == ["init", "log", "finish"]
    assert module.calls[0][1] == "one"
    assert len(list((tmp_path / "out" / LOGS).iterdir())) == 1
