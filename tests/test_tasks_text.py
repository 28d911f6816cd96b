"""The task `text`: windows of a file, splits, identity by content, loss on the report words."""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.errors import InputError
from automata.philox import SPLITS, Stream, uniform_integers
from automata.tasks import get_task
from automata.tasks import text as text_module
from automata.tasks.text import Text, TextTask, TextWindows, read_text_file
from statetrack.analysis import loss_spikes
from statetrack.cli import main
from statetrack.training import RunConfig, evaluate, load_results, run_grid, train
from statetrack.training.execute import execute, execute_pack
from statetrack.training.grid import Grid
from statetrack.training.packs import PackJob

TINY = (
    "model.width=16",
    "training.length=12",
    "training.batch_size=8",
    "training.select_words=16",
    "evaluation.max_length=20",
    "evaluation.num_words=64",
    "evaluation.read_transitions=false",
)
CHARACTERS = "ab\n é漢😀"


@pytest.fixture
def counted(tmp_path):
    """A text in which every character is another, so that a window tells its place."""
    path = tmp_path / "counted.txt"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 1000))), encoding="utf-8")
    return path


@pytest.fixture
def periodic(tmp_path):
    path = tmp_path / "periodic.txt"
    path.write_text("abcabd" * 200)
    return path


def task_of(content):
    """The task on a text in memory, with a fifth held out."""
    vocabulary = "".join(sorted(set(content)))
    tokens = np.array([vocabulary.index(c) for c in content])
    return TextTask(TextWindows(Text(content, vocabulary, tokens), 0.2), {})


def config(path, *pairs, model="diagonal"):
    return RunConfig.from_pairs(
        ["task=text", f"task.path={json.dumps(str(path))}", f"model={model}", *TINY, *pairs]
    )


def test_tokens_are_characters_in_the_order_of_code_points(tmp_path):
    content = "\ufeffto be\r\nétude 漢 😀\x00\t"
    path = tmp_path / "t.txt"
    path.write_bytes(content.encode())
    text = read_text_file(path)
    assert text.vocabulary == "".join(sorted(set(content)))
    assert "".join(text.vocabulary[token] for token in text.tokens) == content
    assert text.sha256 == hashlib.sha256(content.encode()).hexdigest()


@settings(max_examples=50)
@given(content=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_text_is_read_as_it_is(content):
    text = text_module._decode(content.encode(), "", "file")
    assert text.vocabulary == "".join(sorted(set(content)))
    assert [text.vocabulary[token] for token in text.tokens] == list(content)


def test_many_distinct_characters(tmp_path):
    content = "".join(map(chr, range(0x10000, 0x10000 + 70_000)))
    path = tmp_path / "many.txt"
    path.write_text(content, encoding="utf-8")
    assert read_text_file(path).tokens.tolist() == list(range(70_000))


@settings(max_examples=40)
@given(
    content=st.text(CHARACTERS, min_size=40, max_size=400),
    seed=st.integers(0, 2**32 - 1),
    split=st.sampled_from(SPLITS),
    data=st.data(),
)
def test_words_are_windows_of_their_part_and_targets_the_next_characters(
    content, seed, split, data
):
    task = task_of(content)
    begin, end = task.law.part(split)
    low = data.draw(st.integers(1, end - begin - 1))
    high = data.draw(st.integers(low, end - begin - 1))
    batch = task.sample(seed, batch_size=5, length=(low, high), split=split, step=3)
    assert batch.mask.dtype == bool and (batch.mask == batch.valid).all()
    for tokens, targets, length in zip(batch.tokens, batch.targets, batch.lengths, strict=True):
        assert low <= length <= high
        seen = [task.alphabet[token] for token in tokens[:length]]
        following = task.alphabet[targets[length - 1]]
        assert "".join([*seen, following]) in content[begin:end]
        assert (targets[: length - 1] == tokens[1:length]).all()
        assert (tokens[length:] == task.pad_token).all() and (targets[length:] == 0).all()
    one = task.sample(seed, batch_size=1, length=(low, high), split=split, step=17)
    for alone, rows in zip(one, batch, strict=True):
        assert (alone[0] == rows[2]).all()


@given(size=st.integers(40, 10**6), held_out=st.floats(0.11, 0.9))
def test_the_parts_follow_one_another_and_are_as_large_as_asked(size, held_out):
    law = TextWindows(Text("", "a", np.zeros(size, dtype=np.uint8)), held_out)
    (first, a), (b, c), (d, last) = map(law.part, SPLITS)
    assert (first, a, c, last) == (0, b, d, size)
    assert c - b == last - d
    assert (last - b) / size == pytest.approx(held_out, abs=2 / size)


def test_splits_share_no_character_and_every_place_is_drawn(counted):
    task = get_task("text", path=str(counted), held_out=0.2)
    seen = {}
    for split in SPLITS:
        batch = task.sample(0, batch_size=4000, length=9, split=split)
        seen[split] = set(batch.tokens.ravel().tolist()) | set(batch.targets.ravel().tolist())
    assert {split: (min(s), max(s), len(s)) for split, s in seen.items()} == {
        "train": (0, 799, 800),
        "selection": (800, 899, 100),
        "report": (900, 999, 100),
    }


def test_places_are_the_documented_draws(counted):
    task = get_task("text", path=str(counted))
    batch = task.sample(7, batch_size=40, length=20, split="selection", step=2)
    drawn = uniform_integers(
        30, range(80, 120), 1, seed=7, split="selection", stream=Stream.TEXT_WINDOWS
    )
    assert batch.tokens[:, 0].tolist() == (900 + drawn[:, 0]).tolist()
    assert (np.diff(batch.tokens) == 1).all()
    drawn = task.sample(0, batch_size=20_000, length=40, split="report").tokens[:, 0]
    counts = np.bincount(drawn)[950:]
    assert len(counts) == 10 and abs(counts - 2000).max() < 200


def test_rates_are_exact(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("aababb" * 7 + "b" * 58)
    task = get_task("text", path=str(path), held_out=0.2)
    law = task.class_distribution(11)
    assert task.has_exact_rates and law.sum(axis=1) == pytest.approx(1)
    windows = np.lib.stride_tricks.sliding_window_view(task.law.text.tokens[:80], 12)[:, 1:]
    assert law[:, 1] == pytest.approx(windows.mean(axis=0))
    drawn = task.sample(3, batch_size=20_000, length=11).targets.mean(axis=0)
    assert law[:, 1] == pytest.approx(drawn, abs=0.02)


def test_equal_texts_are_equal_tasks_wherever_they_lie(periodic, tmp_path):
    other = tmp_path / "copy.txt"
    other.write_bytes(periodic.read_bytes())
    one, copy = (get_task("text", path=str(path)) for path in (periodic, other))
    assert one.law == copy.law and one == copy and hash(one) == hash(copy)
    assert one != get_task("text", path=str(other), held_out=0.2)
    other.write_text("abcabe" * 200)
    assert one != get_task("text", path=str(other))
    assert one.facts["file"] == "periodic.txt" and one.facts["num_characters"] == "1200"


def test_white_space_is_shown(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a b\n" * 30)
    table = get_task("text", path=str(path)).explain("a \n")
    assert len(table.splitlines()) == 5 and "'\\n'" in table and "' '" in table


@pytest.mark.parametrize(
    ("content", "parameters", "message"),
    [
        (b"", {}, "is empty: give a text"),
        (b"ab\xff" * 99, {}, "no UTF-8 text: byte 2 cannot be decoded"),
        (b"abc", {}, "the text has 3 characters, and held_out = 0.1 leaves 0 of them"),
        (b"ab" * 99, {"held_out": 0}, "held_out is 0: give a share between 0 and 1"),
        (b"ab" * 99, {"held_out": 1.0}, "held_out is 1.0"),
        (b"ab" * 99, {"held_out": True}, "held_out is True"),
        (b"ab" * 99, {"held_out": math.nan}, "held_out is nan"),
        (b"ab" * 99, {"held_out": "0.1"}, "held_out is '0.1'"),
        (b"abc" * 33, {"held_out": 0.999}, "leaves 1 of them for train"),
        (b"ab" * 99, {"sha256": "0" * 64}, "holds another text than before"),
        (b"ab" * 99, {"sha256": "abc"}, "give 64 hexadecimal digits"),
        (b"ab" * 99, {"sha256": 3}, "sha256 is 3"),
        (b"ab" * 99, {"path": 3}, "path is 3: give the path of a text file"),
        (b"ab" * 99, {"path": "nowhere.txt"}, "cannot read 'nowhere.txt'"),
        (b"ab" * 99, {"path": "."}, "cannot read '.': it is no ordinary file"),
        (b"ab" * 99, {"path": "a\0b"}, "give the path of a file"),
        (b"ab" * 99, {"heldout": 0.2}, "did you mean 'held_out'"),
    ],
)
def test_bad_texts_and_parameters(content, parameters, message, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        get_task("text", **{"path": str(path), **parameters})


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


class Here:
    """Launcher that runs in this process."""

    def pack_size(self, runs):
        return 2

    def run(self, jobs, checkpoints, progress, source=None):
        for job in jobs:
            yield from execute_pack(job.runs, known=job.known)


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


def history(*losses):
    return [{"step": 10 * n, "loss": loss} for n, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([], []),
        ([3.0], []),
        ([3.0, 2.0, 1.0], []),
        ([1.0, 1.5, 1.5], []),
        ([1.0, 1.75, 1.0, 1.75], [20, 40]),
        ([1.0, 1.75, 2.0, 1.75, 1.0], [20]),
        ([1.0, math.nan, 1.0], [20]),
        ([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0], [20, 70]),
    ],
)
def test_loss_spikes(losses, steps):
    found = loss_spikes(history(*losses), rounds=4)
    assert found.step.tolist() == steps
    assert list(found) == ["step", "loss", "lowest", "num_rounds"]


def test_loss_spikes_of_many_runs_and_bad_arguments():
    rows = pd.DataFrame(history(1.0, 2.0))
    both = pd.concat([rows.assign(run_id="b"), rows.assign(run_id="a", loss=1.0)])
    assert loss_spikes(both)[["run_id", "step"]].values.tolist() == [["b", 20]]
    for arguments, message in (
        ({"rise": 0}, "rise = 0"),
        ({"rise": math.nan}, "rise = nan"),
        ({"rounds": 0}, "rounds = 0"),
        ({"rounds": True}, "rounds = True"),
    ):
        with pytest.raises(InputError, match=message):
            loss_spikes(rows, **arguments)
    with pytest.raises(InputError, match="no column 'loss'"):
        loss_spikes([{"step": 1}])


def shakespeare():
    """Tiny Shakespeare, where the environment names it."""
    given = Path(os.environ.get("STATETRACK_TEXT", "nowhere"))
    names = (given, given / "tinyshakespeare.txt", given / "input.txt")
    return next((path for path in names if path.is_file()), None)


@pytest.mark.skipif(shakespeare() is None, reason="STATETRACK_TEXT names no tiny Shakespeare")
def test_tiny_shakespeare():
    task = get_task("text", path=str(shakespeare()))
    assert task.num_tokens == 65 and task.facts["num_characters"] == "1115394"
    assert 0.15 < task.majority_rate(256) < 0.16
    assert task.sample(batch_size=64, length=256, split="report").mask.all()
