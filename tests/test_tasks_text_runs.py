"""Runs on a text: identity by content, loss on the report words, grids, the command line."""

import hashlib
import json
import math
import os

import numpy as np
import pandas as pd
import pytest
import torch

from automata.errors import InputError
from automata.tasks import get_task
from automata.tasks import text as text_module
from statetrack.cli import main
from statetrack.training import RunConfig, evaluate, load_results, run_grid, train
from statetrack.training.execute import execute
from statetrack.training.grid import Grid
from statetrack.training.packs import PackJob
from tests.launcher_cases import Here

TINY = (
    "model.width=16",
    "training.length=12",
    "training.batch_size=8",
    "training.select_words=16",
    "evaluation.max_length=20",
    "evaluation.num_words=64",
    "evaluation.read_transitions=false",
)


@pytest.fixture
def periodic(tmp_path):
    path = tmp_path / "periodic.txt"
    path.write_text("abcabd" * 200)
    return path


def config(path, *pairs, model="diagonal"):
    return RunConfig.from_pairs(
        ["task=text", f"task.path={json.dumps(str(path))}", f"model={model}", *TINY, *pairs]
    )


def test_equal_texts_are_equal_tasks_wherever_they_lie(periodic, tmp_path):
    other = tmp_path / "copy.txt"
    other.write_bytes(periodic.read_bytes())
    one, copy = (get_task("text", path=str(path)) for path in (periodic, other))
    assert one.law == copy.law and one == copy and hash(one) == hash(copy)
    assert one != get_task("text", path=str(other), held_out=0.2)
    other.write_text("abcabe" * 200)
    assert one != get_task("text", path=str(other))
    assert one.facts["file"] == "periodic.txt" and one.facts["num_characters"] == "1200"


def test_a_path_is_needed_and_size_is_limited(periodic, monkeypatch):
    with pytest.raises(InputError, match="task 'text' needs path"):
        get_task("text")
    monkeypatch.setattr(text_module, "MAX_TEXT_BYTES", 1199)
    with pytest.raises(InputError, match="more than 1199 bytes"):
        get_task("text", path=str(periodic))


def test_words_too_long_for_a_part(periodic):
    task = get_task("text", path=str(periodic))
    assert task.sample(batch_size=2, length=59, split="report").tokens.shape == (2, 59)
    with pytest.raises(InputError, match="report part of the text has 60 characters, too few for"):
        task.sample(batch_size=2, length=60, split="report")
    with pytest.raises(InputError, match="unknown split"):
        task.sample(batch_size=2, length=9, split="test")
    # Before anything is trained, since that would be lost.
    for pair in ("training.length=60", "evaluation.max_length=60"):
        with pytest.raises(InputError, match="words of length 60"):
            train(config(periodic, pair))


def test_identity_is_the_content(periodic, tmp_path):
    one = config(periodic)
    digest = hashlib.sha256(periodic.read_bytes()).hexdigest()
    assert one.task.parameters["sha256"] == digest
    tree = json.loads(one.canonical_json())
    assert tree["task"] == {"name": "text", "parameters": {"sha256": digest}}
    moved = tmp_path / "elsewhere" / "moved.txt"
    moved.parent.mkdir()
    moved.write_bytes(periodic.read_bytes())
    assert config(moved).run_id == one.run_id
    assert config(moved, f"task.sha256={digest.upper()}").run_id == one.run_id
    assert config(moved, "task.held_out=0.1").run_id == one.run_id
    assert config(moved, "task.held_out=0.2").run_id != one.run_id
    again = RunConfig.from_tree(json.loads(one.model_dump_json()))
    assert again == one and again.run_id == one.run_id
    with pytest.raises(InputError, match="names one run twice"):
        Grid("twice", (one, config(moved)))
    periodic.write_text("abcabe" * 200)
    assert config(periodic).run_id != one.run_id


def test_a_changed_file_is_refused_with_both_digests(periodic):
    one = config(periodic)
    before = one.task.parameters["sha256"]
    kept = periodic.stat()
    periodic.write_text("abcabe" * 200)
    # Size and time tell nothing.
    os.utime(periodic, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    after = hashlib.sha256(periodic.read_bytes()).hexdigest()
    with pytest.raises(InputError) as refusal:
        one.task.build()
    assert before in str(refusal.value) and after in str(refusal.value)
    with pytest.raises(InputError, match=after):
        RunConfig.from_tree(json.loads(one.model_dump_json()))
    with pytest.raises(InputError, match=after):
        PackJob.from_json(PackJob((one,)).to_json())


def test_a_record_names_the_file_and_not_its_folder(periodic):
    record = execute(config(periodic, "training.steps=2"))
    assert record.status == "finished"
    assert str(periodic.parent) not in record.to_json()
    parameters = json.loads(record.config)["task"]["parameters"]
    assert parameters["path"] == "periodic.txt" and len(parameters["sha256"]) == 64
    plain = RunConfig.from_pairs(["task=parity", "model=mru"])
    assert plain.record_json() == plain.model_dump_json()


class Marginal(torch.nn.Module):
    """Predicts fixed shares, whatever it reads."""

    def __init__(self, shares):
        super().__init__()
        self.logits = torch.tensor(shares).log()

    def forward(self, tokens, state=None):
        return self.logits.expand(*tokens.shape, -1), ()


def test_the_loss_is_the_cross_entropy_of_the_report_words(periodic):
    task = get_task("text", path=str(periodic))
    shares = [0.4, 0.3, 0.2, 0.1]
    curve = evaluate(Marginal(shares), task, max_length=13, num_words=300, seed=2)
    words = task.sample(2, batch_size=300, length=13, split="report")
    expected = -np.log(shares)[words.targets]
    assert curve.loss == pytest.approx(expected.mean(axis=0), rel=1e-6)
    assert curve.mean_loss == pytest.approx(expected.mean(), rel=1e-6)
    frame = curve.to_frame([1, 13])
    assert list(frame)[-1] == "loss" and frame.loss.tolist() == [curve.loss[0], curve.loss[12]]
    with pytest.raises(ValueError, match="read-only"):
        curve.loss_sums[0] = 0.0


def test_other_tasks_have_no_loss_in_their_tables():
    curve = evaluate(Marginal([0.5, 0.5]), get_task("parity"), max_length=5, num_words=20)
    assert curve.loss is None and curve.mean_loss is None and "loss" not in curve.to_frame()


def test_a_periodic_text_is_learned_below_its_unigram_entropy_and_never_solved(periodic):
    record = execute(config(periodic, "training.steps=100", "training.learning_rate=0.02"))
    shares = np.array([2, 2, 1, 1]) / 6
    entropy = -(shares * np.log(shares)).sum()
    assert record.summary["report_loss"] < 0.5 * entropy
    assert record.summary["report_bits"] == record.summary["report_loss"] / math.log(2)
    curve = pd.DataFrame(record.tables["curves"])
    assert curve.loss.mean() == pytest.approx(record.summary["report_loss"])
    assert curve.loss.iloc[0] > curve.loss.iloc[-1]
    assert record.summary["solved_step"] is None


def test_a_text_of_one_answer_is_not_solved_either(tmp_path):
    path = tmp_path / "ab.txt"
    path.write_text("ab" * 400)
    record = execute(config(path, "training.steps=60", "training.learning_rate=0.03"))
    assert record.summary["whole_prefix_accuracy"] == 1.0
    assert record.summary["solved_step"] is None and record.summary["solved_seconds"] is None


def test_a_grid_goes_on_where_the_file_was_moved(periodic, tmp_path):
    def grid(path):
        runs = [config(path, "training.steps=4", f"seed={seed}", model="ffn") for seed in (0, 1)]
        return Grid(
            "moved",
            (
                *runs,
                RunConfig.from_pairs(
                    ["task=parity", "model=ffn", *TINY, "training.length=18", "training.steps=4"]
                ),
            ),
        )

    results = run_grid(grid(periodic), tmp_path / "runs", launcher=Here())
    assert results.runs.status.tolist() == ["finished"] * 3
    assert results.runs.report_loss.notna().tolist() == [True, True, False]
    moved = periodic.rename(tmp_path / "moved.txt")
    again = grid(moved)
    assert not again.missing(dict(zip(results.runs.run_id, results.runs.status, strict=True)))
    assert len(run_grid(again, tmp_path / "runs", launcher=Here()).finished) == 3
    assert load_results(tmp_path / "runs").runs.task.iloc[0] == "text"


def test_the_command_line(periodic, tmp_path, capsys):
    assert main(["train", "--text", str(periodic), "model=ffn", *TINY, "training.steps=4"]) == 0
    shown = capsys.readouterr().out
    run = config(periodic, "training.steps=4", model="ffn")
    assert run.run_id in shown and "bits a character" in shown
    output = tmp_path / "words.csv"
    arguments = ["data", "--text", str(periodic), "--words", "3", "--length", "9"]
    assert main([*arguments, "--output", str(output), "task.held_out=0.2"]) == 0
    assert len(output.read_text().splitlines()) == 4
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "such as --text hamlet.txt" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--text", "nowhere.txt", "model=mru"], "cannot read 'nowhere.txt'"),
        (["train", "--text", "a.txt", "model=mru", "task=s3"], "leave out 'task=s3'"),
        (["train", "--text", "a.txt", "model=mru", "task.path=b"], "leave out 'task.path=b'"),
        (["train", "task=text", "model=mru"], "task 'text' needs path"),
        (["data", "--output", "x.csv"], "no task given"),
    ],
)
def test_refusals_of_the_command_line(arguments, message, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
