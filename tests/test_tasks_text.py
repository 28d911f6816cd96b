"""The task `text`: windows of a file, splits, and texts that are refused."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.errors import InputError
from automata.philox import SPLITS, Stream, uniform_integers
from automata.tasks import get_task
from automata.tasks import text as text_module
from automata.tasks.text import Text, TextTask, TextWindows, read_text_file

CHARACTERS = "ab\n é漢😀"


@pytest.fixture
def counted(tmp_path):
    """A text in which every character is another, so that a window tells its place."""
    path = tmp_path / "counted.txt"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 1000))), encoding="utf-8")
    return path


def task_of(content):
    """The task on a text in memory, with a fifth held out."""
    vocabulary = "".join(sorted(set(content)))
    tokens = np.array([vocabulary.index(c) for c in content])
    return TextTask(TextWindows(Text(content, vocabulary, tokens), 0.2), {})


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
