"""Data out and back: Parquet, CSV, NumPy, the command, and a torch data set for many workers."""

import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.errors import InputError
from automata.groups import parse
from automata.tasks import export, get_task
from automata.tasks.export import write_dataset, write_words
from automata.tasks.word_files import WordFile, composed_left_to_right, read_csv, read_npz
from statetrack.cli import main

few = settings(derandomize=True, max_examples=60, deadline=None)


def rows(parts, lengths):
    return [part[:length].tolist() for part, length in zip(parts, lengths, strict=True)]


@pytest.mark.parametrize(
    ("name", "parameters", "length"),
    [
        ("s5", {}, 20),
        ("parity", {"supervision": "final"}, (3, 40)),
        ("modular_arithmetic", {}, (3, 40)),
        ("reverse_string", {}, 30),
    ],
)
def test_parquet(tmp_path, name, parameters, length, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export, "_TOKENS_PER_CHUNK", 1000)
    task = get_task(name, **parameters)
    path = write_words(task, tmp_path / "w.parquet", num_words=150, length=length, seed=4)
    table = parquet.read_table(path)
    types = {field.name: str(field.type).replace("element", "item") for field in table.schema}
    assert types == {
        "tokens": "list<item: int16>",
        "targets": "list<item: int16>",
        "mask": "list<item: bool>",
        "length": "int32",
        "task": "string",
        "seed": "int64",
        "split": "string",
    }
    batch = task.dataset(150, length, seed=4)
    assert table["length"].to_pylist() == batch.lengths.tolist()
    for column in ("tokens", "targets", "mask"):
        assert table[column].to_pylist() == rows(getattr(batch, column), batch.lengths)
    assert set(table["task"].to_pylist()) == {task.name}
    assert set(table["split"].to_pylist()) == {"train"} and set(table["seed"].to_pylist()) == {4}
    card = json.loads((tmp_path / "w.card.json").read_text())
    assert card["num_words"] == 150 and card["task"]["name"] == task.name
    assert sorted(os.listdir(tmp_path)) == ["w.card.json", "w.parquet"]


def test_hugging_face_loads_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    task = get_task("tomita_4")
    counts = {"train": 50, "report": 20}
    paths = write_dataset(task, tmp_path / "data", num_words=counts, length=(20, 30), seed=2)
    assert [p.name for p in paths][-1] == "card.json"
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == counts
    batch = task.dataset(20, (20, 30), split="report", seed=2)
    assert loaded["report"]["tokens"][:] == rows(batch.tokens, batch.lengths)
    assert loaded["report"]["targets"][:] == rows(batch.targets, batch.lengths)


@pytest.mark.parametrize("length", [9, (2, 20)])
def test_csv_round_trip(tmp_path, length, monkeypatch):
    monkeypatch.setattr(export, "_TOKENS_PER_CHUNK", 100)
    task = get_task("s3")
    path = write_words(task, tmp_path / "s3.csv", num_words=70, length=length, seed=3)
    text = path.read_text()
    assert text.startswith("seed,input,target\n3,") and text.count("\n") == 71
    found = read_csv(path)
    batch = task.dataset(70, length, seed=3)
    assert (found.lengths == batch.lengths).all() and (found.seeds == 3).all()
    assert (found.mask == batch.valid).all()
    assert (found.tokens == np.where(batch.valid, batch.tokens, 0)).all()
    assert (found.targets == batch.targets).all()
    assert composed_left_to_right(found, task.group) is found


@pytest.mark.parametrize("name", ["S3", "A4xZ5", "Q8"])
def test_the_other_order_of_composition(tmp_path, name):
    """A file written by somebody who multiplies on the left, with plain loops."""
    group = parse(name)
    task = get_task("word_problem", group=name)
    words = task.dataset(30, 12).tokens
    lines = ["seed,input,target"]
    for word in words:
        state, targets = 0, []
        for element in word.tolist():
            state = int(group.table[element, state])
            targets.append(state)
        lines.append(f"1,{' '.join(map(str, word))},{' '.join(map(str, targets))}")
    (tmp_path / "left.csv").write_text("\r\n".join(lines) + "\r\n")
    turned = composed_left_to_right(read_csv(tmp_path / "left.csv"), group)
    assert (task.targets_of(turned.tokens) == turned.targets).all()
    assert (turned.tokens == group.inverses[words]).all()


def test_words_of_no_group(tmp_path):
    group = parse("S3")
    words = WordFile(
        np.array([[1, 2]]),
        np.array([[1, 1]]),
        np.ones((1, 2), dtype=bool),
        np.array([2]),
        np.array([0]),
    )
    with pytest.raises(InputError, match="in either order: see position 2"):
        composed_left_to_right(words, group)
    with pytest.raises(InputError, match="token 9 is no element of S3"):
        composed_left_to_right(words._replace(tokens=np.array([[9, 0]])), group)
    with pytest.raises(InputError, match="lack targets"):
        composed_left_to_right(words._replace(mask=np.zeros((1, 2), dtype=bool)), group)


@pytest.mark.parametrize(("name", "length"), [("s3", 20), ("modular_arithmetic", (3, 30))])
def test_npz_round_trip(tmp_path, name, length):
    task = get_task(name)
    path = write_words(
        task, tmp_path / "w.npz", num_words=40, length=length, seed=3, split="report"
    )
    found = read_npz(path)
    batch = task.dataset(40, length, split="report", seed=3)
    assert (found.tokens == np.where(batch.valid, batch.tokens, 0)).all()
    assert (found.targets == batch.targets).all() and (found.mask == batch.mask).all()
    assert (found.lengths == batch.lengths).all() and (found.seeds == 3).all()
    with np.load(path, allow_pickle=False) as archive:
        assert archive["tokens"].dtype == np.int16 and archive["mask"].dtype == np.bool_


BAD_CSV = {
    "": "does not begin",
    "a,b,c\n": "does not begin",
    "seed,input,target\n1,2\n": "line 2 is not",
    "seed,input,target\n1,2,3\n1,2 3,4\n": "line 3 has 2 tokens and 1 targets",
    "seed,input,target\n1,2,x\n": "line 2 is not",
    "seed,input,target\n1,-2,3\n": "line 2 is not",
    "seed,input,target\n1,2  3,3 4\n": "line 2 is not",
    "seed,input,target\n1,,\n": "line 2 is not",
    "seed,input,target\n1,2.5,3\n": "line 2 is not",
    "seed,input,target\n1,'2',3\n": "line 2 is not",
    "seed,input,target\n1,99999999999999999999,3\n": "line 2 is not",
    "seed,input,target\n" + "9" * 5000 + ",1,1\n": "line 2 is not",
    "seed,input,target\n1,٣,1\n": "line 2 is not",
    "seed,input,target\n1,2,3,4\n": "line 2 is not",
}


@pytest.mark.parametrize(("text", "message"), BAD_CSV.items())
def test_bad_csv(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_csv(path)


@given(st.data())
@few
def test_mutated_csv(tmp_path_factory, data):
    text = bytearray(b"seed,input,target\n0,1 2 3,1 0 2\n0,2 2 2,1 0 2\n5,1,1\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.binary(max_size=4) | st.sampled_from([b",", b"\n", b" ", b"9" * 30]))
        text[place : place + data.draw(st.integers(0, 5))] = piece
    path = tmp_path_factory.mktemp("csv") / "mutated.csv"
    path.write_bytes(text)
    try:
        found = read_csv(path)
    except InputError:
        return
    assert found.tokens.shape == found.targets.shape == found.mask.shape
    assert found.lengths.size == 0 or found.lengths.max() <= found.tokens.shape[1]


def test_hostile_sizes(tmp_path, monkeypatch):
    from automata.tasks import word_files

    path = tmp_path / "big.csv"
    path.write_text(
        "seed,input,target\n" + "0,1,1\n" * 30 + "0," + "1 " * 40 + "1," + "0 " * 40 + "0\n"
    )
    assert read_csv(path).tokens.shape == (31, 41)
    monkeypatch.setattr(word_files, "_MAX_TOKENS", 1000)
    with pytest.raises(InputError, match="more than 1000 tokens"):
        read_csv(path)
    monkeypatch.setattr(word_files, "_MAX_LINE_BYTES", 50)
    with pytest.raises(InputError, match="line 32 is too long"):
        read_csv(path)
    monkeypatch.setattr(word_files, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        read_csv(path)
    with pytest.raises(InputError, match="it is no file"):
        read_csv(tmp_path)
    with pytest.raises(InputError, match="it is no file"):
        read_csv(tmp_path / "missing.csv")
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("tokens", "targets", "mask", "lengths", "seed"):
            archive.writestr(f"{name}.npy", bytes(10**6))
    with pytest.raises(InputError, match="unpacks to more than"):
        read_npz(bomb)


@given(st.data())
@few
def test_mutated_npz(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("npz")
    path = write_words(get_task("s3"), folder / "w.npz", num_words=3, length=5)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        found = read_npz(path)
    except InputError:
        return
    assert found.tokens.shape == found.mask.shape


def test_npz_with_objects_is_refused(tmp_path):
    path = tmp_path / "objects.npz"
    arrays = dict.fromkeys(("targets", "mask", "lengths", "seed"), np.zeros(1))
    np.savez(path, tokens=np.array([{}], dtype=object), **arrays)
    with pytest.raises(InputError, match="is no NumPy archive of words"):
        read_npz(path)
    np.savez(path, tokens=np.zeros(2))
    with pytest.raises(InputError, match="does not hold exactly"):
        read_npz(path)


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = write_words(get_task("s3"), tmp_path / "w.csv", num_words=5, length=5)
    before = path.read_bytes()
    with pytest.raises(InputError, match="leaves positions without a target"):
        write_words(get_task("s3", supervision="final"), path, num_words=5, length=5)
    assert path.read_bytes() == before

    def interrupted(*_):
        yield "0,1,1\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "csv_lines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_words(get_task("s3"), path, num_words=5, length=5)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["w.card.json", "w.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "w.parqet"}, "did you mean '.parquet'"),
        ({"path": "w"}, "unknown file format"),
        ({"num_words": 0}, "num_words is 0"),
        ({"split": "test"}, "unknown split"),
        ({"length": (5, 3)}, "longest length is 3"),
        ({"length": 1.5}, "length is 1.5"),
        ({"path": "file/w.csv"}, "cannot write"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    (tmp_path / "file").write_text("")
    options = {"path": "w.csv", "num_words": 5, "length": 9, **arguments}
    path = tmp_path / options.pop("path")
    with pytest.raises(InputError, match=message):
        write_words(get_task("s3"), path, **options)
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_too_many_tokens_for_16_bits(tmp_path):
    with pytest.raises(InputError, match="16-bit"):
        write_words(
            get_task("reverse_string", num_symbols=40000), tmp_path / "x.npz", num_words=2, length=8
        )


def test_without_pyarrow(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(export.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"install statetrack\[data\]"):
        write_words(get_task("s3"), tmp_path / "w.parquet", num_words=2, length=9)
    assert os.listdir(tmp_path) == []


def test_command(tmp_path, capsys):
    pair = ["task=s5", "task.generators=standard"]
    target = tmp_path / "s5.csv"
    assert main(["data", *pair, "--words", "5", "--length", "8-12", "--output", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert read_csv(target).tokens.max() == 1
    bad = [
        (["task=s55x"], "unknown task"),
        (["task=s5", "task.generator=all"], "did you mean 'generators'"),
        (["tsk=s5"], "unknown key 'tsk'"),
        (["task.n=3"], "no task given"),
        (["s5"], "expected key=value"),
    ]
    for pairs, message in bad:
        assert main(["data", *pairs, "--output", str(target)]) == 2
        assert message in capsys.readouterr().err
    assert main(["data", *pair, "--length", "x", "--output", str(target)]) == 2
    assert "is no length" in capsys.readouterr().err
    pytest.importorskip("pyarrow")
    folder = tmp_path / "s5"
    assert main(["data", *pair, "--words", "5", "--length", "20", "--output", str(folder)]) == 0
    assert len(capsys.readouterr().out.split()) == 4 and (folder / "card.json").is_file()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_workers_never_draw_an_item_twice(num_workers):
    from torch.utils.data import DataLoader

    from statetrack.training import TaskDataset

    task = get_task("s5")
    data = TaskDataset(task, batch_size=4, length=20, seed=2, num_steps=7)
    batches = list(DataLoader(data, batch_size=None, num_workers=num_workers))
    assert len(batches) == 7
    expected = task.dataset(28, 20, seed=2)
    tokens = np.concatenate([batch.tokens.numpy() for batch in batches])
    targets = np.concatenate([batch.targets.numpy() for batch in batches])
    assert len({word.tobytes() for word in tokens}) == 28
    assert (tokens == expected.tokens).all() and (targets == expected.targets).all()


def test_ranks_share_the_steps():
    from statetrack.training import TaskDataset

    task = get_task("s5")
    words = []
    for rank in range(3):
        data = TaskDataset(task, batch_size=2, length=20, num_steps=8, rank=rank, num_ranks=3)
        words += [word.tobytes() for batch in data for word in batch.tokens.numpy()]
    assert len(words) == len(set(words)) == 16
    assert set(words) == {word.tobytes() for word in task.dataset(16, 20).tokens}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "s5"}, "is no task"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"length": 0}, "length is 0"),
        ({"split": "test"}, "unknown split"),
        ({"rank": 2, "num_ranks": 2}, "rank is 2"),
        ({"num_steps": -1}, "num_steps is -1"),
    ],
)
def test_bad_data_sets(arguments, message):
    from statetrack.training import TaskDataset

    options = {"task": get_task("s3"), "batch_size": 4, "length": 20, **arguments}
    with pytest.raises(InputError, match=message):
        TaskDataset(options.pop("task"), **options)
