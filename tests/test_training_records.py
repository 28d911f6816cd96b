"""One run to its record, what it was measured with, and what the person who waits is shown."""

import io
import json
import math
import re
import subprocess

import numpy as np
import pytest
import torch

from automata.tasks import get_task
from statetrack import provenance as provenances
from statetrack.models import load_model
from statetrack.provenance import _program_and_machine, provenance
from statetrack.training import RunConfig, evaluate, train
from statetrack.training import progress as progresses
from statetrack.training.execute import execute
from statetrack.training.pack_training import Progress, TrainingStoppedError
from statetrack.training.progress import GridProgress
from statetrack.training.records import RunRecord, failed_record, run_identity
from statetrack.training.transition_tables import transition_tables

TINY = (
    "task=s3",
    "model.width=8",
    "training.steps=6",
    "training.length=18",
    "training.batch_size=4",
    "training.select_every=3",
    "training.select_words=16",
    "evaluation.max_length=70",
    "evaluation.num_words=64",
)


def tiny(model, *pairs):
    return RunConfig.from_pairs([f"model={model}", *TINY, *pairs])


@pytest.fixture(scope="module")
def mru_record():
    return execute(tiny("mru"))


@pytest.mark.parametrize("model", ["diagonal", "householder", "mru", "lstm"])
def test_a_record_holds_what_the_parts_say(model, tmp_path):
    config = tiny(model)
    path = tmp_path / "run.safetensors"
    record = execute(config, checkpoint=path)
    trained = train(config)
    task = get_task("s3")
    report = evaluate(trained.model, task, max_length=70, num_words=64)
    curve = report.to_frame()
    assert record.status == "finished"
    assert record.run_id == config.run_id
    assert RunConfig.model_validate_json(record.config) == config
    assert record.tables["curves"]["length"] == config.evaluation.lengths()
    measured = curve[curve.length.isin(config.evaluation.lengths())]
    for name in ("token_accuracy", "whole_prefix_accuracy", "majority_rate"):
        assert record.tables["curves"][name] == measured[name].tolist()
        if name != "majority_rate":
            assert record.summary[name] == curve[name].iloc[-1]
    assert record.tables["history"]["loss"] == [row["loss"] for row in trained.history]
    assert record.summary["final_loss"] == trained.history[-1]["loss"]
    assert record.summary["num_parameters"] == sum(p.numel() for p in trained.model.parameters())
    linear = model != "lstm"
    assert ("spectra" in record.tables) is linear
    assert ("homomorphism" in record.tables) is linear
    if linear:
        for table, frame in transition_tables(load_model(path), task).items():
            assert record.tables[table] == frame.to_dict(orient="list")


def test_a_record_survives_json(mru_record):
    again = RunRecord.from_json(mru_record.to_json())
    assert again == mru_record
    assert "\n" not in mru_record.to_json()


def test_values_of_a_record_are_plain(mru_record):
    for table in mru_record.tables.values():
        assert len({len(column) for column in table.values()}) == 1
        kinds = {type(value) for column in table.values() for value in column}
        assert kinds <= {int, float, str, bool, type(None)}


def test_a_task_without_a_group_has_spectra_and_no_homomorphism():
    config = tiny("diagonal", "task=random_dfa")
    record = execute(config)
    assert set(record.tables) == {"curves", "thresholds", "history", "spectra"}


def test_a_model_without_transitions_has_no_tables():
    assert transition_tables(torch.nn.Linear(2, 2), get_task("parity")) == {}


def test_a_diverged_training_is_a_failed_record():
    record = execute(tiny("diagonal", "training.learning_rate=1e30"))
    assert record.status == "failed"
    assert re.match(r"loss is (nan|inf) at step \d", record.summary["error"])
    assert record.tables == {}
    assert record.summary["seed"] == 0
    assert record.provenance["device"] == "cpu"


def test_a_stop_is_not_a_record(tmp_path):
    with pytest.raises(TrainingStoppedError):
        execute(tiny("lstm"), checkpoint=tmp_path / "a.safetensors", should_stop=lambda: True)


def test_provenance_says_all_that_a_result_needs(mru_record):
    entry = mru_record.provenance
    assert entry["versions"]["torch"] == torch.__version__
    assert entry["versions"]["numpy"] == np.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["versions"]["python"])
    assert entry["threads"] == torch.get_num_threads()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry["time"])
    assert json.loads(json.dumps(entry)) == entry
    assert {"commit", "uncommitted_changes", "system", "num_processors", "device"} <= set(entry)


def test_the_number_of_threads_is_that_of_the_run():
    """It changes the bits, so it must not be the one of an earlier call."""
    before = torch.get_num_threads()
    try:
        seen = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append(provenance("cpu")["threads"])
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


@pytest.fixture
def git_says(monkeypatch):
    monkeypatch.delenv("STATETRACK_COMMIT", raising=False)
    _program_and_machine.cache_clear()

    def say(answer):
        def run(arguments, **keywords):
            if isinstance(answer, Exception):
                raise answer
            return subprocess.CompletedProcess(arguments, 0, answer[arguments[3]])

        monkeypatch.setattr(provenances.subprocess, "run", run)
        return provenances._git_state()

    yield say
    _program_and_machine.cache_clear()


def test_the_commit_and_its_changes(git_says, monkeypatch):
    assert git_says({"rev-parse": "abc\n", "status": ""}) == ("abc", False)
    assert git_says({"rev-parse": "abc\n", "status": " M x.py\n"}) == ("abc", True)
    assert git_says(FileNotFoundError("git")) == (None, None)
    assert git_says(subprocess.CalledProcessError(128, "git")) == (None, None)
    monkeypatch.setenv("STATETRACK_COMMIT", "f00")
    assert provenances._git_state() == ("f00", False)


def finished(config, **summary):
    values = {
        "task": "s3",
        "label": "householder [-1,1]",
        "seed": 3,
        "solved_step": 200,
        "training_length": 40,
        "token_accuracy": 0.98765,
        "seconds": 12.3,
    }
    curves = {"length": [1, 256]}
    return RunRecord(config, "{}", "finished", values | summary, {}, {"curves": curves})


def test_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    shown = GridProgress(stream)
    with shown.watch("grid", 4, 3):
        shown.finished(finished("a"))
        shown.finished(finished("b", solved_step=None))
        shown.finished(failed_record(tiny("lstm"), "loss is nan [red]", "cpu"))
        shown.note("a [note]")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "grid: 4 runs, 1 already in the store"
    assert lines[1].startswith(
        "[2/4] s3, householder [-1,1], seed 3: solved at step 200, "
        "token accuracy 0.988 at 256 (12 s), about "
    )
    assert "not solved at length 40" in lines[2]
    assert lines[3] == "[4/4] s3, LSTM, seed 0: failed: loss is nan [red]"
    assert lines[4] == "a [note]"


def test_the_time_left_counts_running_work(monkeypatch):
    clock = iter([0.0, 0.0, 30.0, 30.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(progresses.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = GridProgress(stream)
    with shown.watch("grid", 4, 4):
        shown.advanced(Progress("a", 50, 100, 1.0))
        shown.advanced(Progress("b", 50, 100, 1.0))
    # One run's worth of work in 30 s, three to go.
    assert stream.getvalue().splitlines()[
        1
    ] == "[0/4] 1 training, about 210 s left" or math.isclose(
        float(re.search(r"about ([\d.]+) min left", stream.getvalue())[1]), 3.5
    )


def test_a_bar_in_a_terminal_leaves_the_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    shown = GridProgress(stream)
    with shown.watch("grid", 2, 2):
        shown.advanced(Progress("a", 1, 2, 1.0))
        shown.finished(finished("a"))
    assert "householder [-1,1], seed 3: solved" in stream.getvalue()


def test_what_a_task_is_asked_for_are_columns_of_its_run():
    """Else runs of one task that differ by their generators could not be told apart."""
    pairs = ["task.generators=[1, 3]", "task.tokens_per_element=2"]
    row = run_identity(RunConfig.from_pairs(["task=s3", "model=lstm", *pairs]))
    assert row["task.generators"] == "[1, 3]"
    assert row["task.tokens_per_element"] == 2
    assert row["task.supervision"] == "per_prefix"
    assert {type(value) for value in row.values()} <= {str, int, float, bool, type(None)}
