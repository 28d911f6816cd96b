"""Names and paths from strangers: refused in one line, nothing is written outside its folder."""

import json
import os
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automata.att import read_att, write_att
from automata.dfa import DFA
from automata.errors import InputError
from automata.files import usable_path
from automata.serialization import read_json, write_json
from automata.tasks import get_task
from automata.tasks.export import write_words
from statetrack.cli import EXIT_BAD_INPUT, main
from statetrack.experiment import load_experiment
from statetrack.models import load_model
from statetrack.training import Grid, RunConfig, train
from statetrack.training.records import failed_record
from statetrack.training.shards import SHARDS, read_shards, write_shard
from statetrack.training.store import Store

TINY = [
    "task=parity",
    "model=lstm",
    "model.width=4",
    "training.steps=1",
    "training.length=17",
    "training.batch_size=2",
    "training.select_words=2",
    "evaluation.max_length=17",
    "evaluation.num_words=2",
]
RUN = RunConfig.from_pairs(TINY)
EVEN = DFA([[0, 1], [1, 0]], accepting=[0], alphabet="ab")
IMPOSSIBLE = ["a\0b", "\0", "\ud800", "x" * 300, "/".join(["y" * 150] * 30)]
UNUSABLE = [*IMPOSSIBLE, "file/x", "loop/x", "/proc/none/x", "/dev/null/x"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder to work in, beside which nothing may appear."""
    root = tmp_path / "outer" / "root"
    root.mkdir(parents=True)
    (root / "file").write_text("mine")
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    monkeypatch.chdir(root)
    return root


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def named(text, end):
    return text + end if text.count("/") == 0 or end == "" else f"{text}/a{end}"


@pytest.mark.parametrize("text", UNUSABLE, ids=lambda text: ascii(text[:12]))
def test_every_reader_and_writer_refuses_what_no_file_can_be_called(root, text):
    before = everything(root)
    for act in (
        lambda: train(RUN, checkpoint=Path(named(text, ".safetensors"))),
        lambda: load_model(Path(named(text, ".safetensors"))),
        lambda: Store(Path(text)),
        lambda: Store(Path(text), read_only=True),
        lambda: load_experiment(named(text, ".py")),
        lambda: write_words(get_task("parity"), named(text, ".csv"), num_words=2, length=20),
        lambda: get_task("mlregtest", path=named(text, ".att")),
        lambda: read_att(text),
        lambda: write_att(EVEN, text),
        lambda: read_json(text),
        lambda: write_json(EVEN, text),
    ):
        with pytest.raises(InputError) as refusal:
            act()
        assert len(str(refusal.value).splitlines()) == 1
    assert everything(root) == before
    assert (root / "file").read_text() == "mine"


COMMANDS = {
    "train": lambda path: ["train", *TINY, "--checkpoint", f"{path}.safetensors"],
    "text": lambda path: ["train", "model=lstm", "--text", path],
    "data": lambda path: [
        "data",
        "task=parity",
        "--words",
        "3",
        "--length",
        "20",
        "--output",
        path,
    ],
    "analyze": lambda path: ["analyze", f"{path}.safetensors", "--tables"],
    "grid": lambda path: ["grid", f"{path}.py"],
    "results": lambda path: ["results", path],
    "doctor": lambda path: ["doctor", "--device", path],
    "bench": lambda path: ["bench", "scans", "--from", path],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("text", UNUSABLE, ids=lambda text: ascii(text[:12]))
def test_every_command_says_so_in_one_line_with_exit_code_2(root, capsys, command, text):
    before = everything(root)
    assert main(COMMANDS[command](text)) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith("statetrack: ")
    assert len(error) < 12_000
    assert everything(root) == before


def test_what_is_refused_leaves_an_unused_checkpoint_alone(root):
    """A name that is too long for the temporary file beside it is found before the training."""
    with pytest.raises(InputError, match="too long: give names of at most 200 bytes"):
        train(RUN, checkpoint=root / ("x" * 230 + ".safetensors"))


@given(st.text(max_size=120) | st.text(st.sampled_from("ab-_./\\~\0\n %"), max_size=120))
def test_a_grid_name_is_plain_or_refused(name):
    try:
        grid = Grid(name, (RUN,))
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert Path("runs", grid.name).parent == Path("runs")
    assert set(grid.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def hostile_name(rng):
    pieces = [
        "..",
        "/",
        "\\",
        "\0",
        "\n",
        "~",
        "a",
        "B",
        "0",
        "-",
        "_",
        "é",
        "ａ",
        "\u202e",
        ".",
        " ",
    ]
    pieces += ["CON", "x" * 300, "%2e", "$HOME", "\ud800", "А"]
    return "".join(rng.choice(pieces) for _ in range(rng.randrange(6)))


def test_ten_thousand_names_write_nothing_outside(root):
    rng = random.Random(0)
    outer = root.parent
    before = everything(outer)
    num_kept = 0
    for _ in range(10_000):
        try:
            grid = Grid(hostile_name(rng), (RUN,))
        except InputError:
            continue
        (root / grid.name).mkdir(exist_ok=True)
        num_kept += 1
    assert num_kept > 100
    made = set(everything(outer)) - set(before)
    assert all(Path(name).parent == Path("root") for name in made)
    assert all(name == unicodedata.normalize("NFKC", name) for name in made)


def test_a_run_is_a_file_by_its_digest_and_not_by_any_name(root):
    assert set(RUN.run_id) <= set("0123456789abcdef")
    record = failed_record(RUN, "a\0b/../c\n\ud800", "cpu")
    write_shard(root, record)
    assert [one.run_id for one in read_shards(root)] == [RUN.run_id]
    with Store(root / "store") as store:
        store.add(record)
        assert store.statuses() == {RUN.run_id: "failed"}


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(run_id="../../outside"),
        lambda tree: tree.update(run_id=None),
        lambda tree: tree.update(run_id=["a"]),
        lambda tree: tree.pop("summary"),
        lambda tree: tree.update(more=1),
        lambda tree: tree.update(status="done"),
        lambda tree: tree.update(summary=5),
        lambda tree: tree.update(tables=[1]),
        lambda tree: tree.update(tables={"curves": 5}),
        lambda tree: tree.update(provenance="x"),
        lambda tree: tree.update(config=7),
    ],
)
def test_a_shard_from_a_stranger_is_refused_and_kept(root, change):
    write_shard(root, failed_record(RUN, "reason", "cpu"))
    (path,) = (root / SHARDS).iterdir()
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match="is damaged; delete it to run its run again"):
        list(read_shards(root))
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"5", b'"x"'])
def test_a_shard_that_is_no_record_is_refused(root, content):
    (root / SHARDS).mkdir()
    (root / SHARDS / f"{RUN.run_id}.json").write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        list(read_shards(root))


def test_a_folder_behind_a_link_is_used_and_the_link_stays(root):
    """A folder of results may lie on another disk."""
    (root / "link").symlink_to(root / "folder")
    with Store(root / "link") as store:
        assert store.statuses() == {}
    assert (root / "link").is_symlink()
    assert (root / "folder" / "results.sqlite").is_file()


@given(st.text() | st.binary().map(os.fsdecode))
def test_a_usable_path_is_one_that_the_system_takes(text):
    try:
        path = usable_path(text)
    except InputError:
        return
    try:
        os.stat(path)
    except OSError as error:
        assert error.errno in (2, 13, 20)  # missing, not allowed, below a file
