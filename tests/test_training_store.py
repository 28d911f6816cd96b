"""The results store: what it acknowledged is there, whatever happens to the process."""

import errno
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
from statetrack.training import load_results
from statetrack.training import store as stores
from statetrack.training.records import RunRecord
from statetrack.training.store import FILE_NAME, VERSION, Store, filesystem_of

ROOT = Path(__file__).parents[1]

# On every line of its input it forks a writer, which adds rows as fast as it can and prints each
# number once the store has acknowledged it; when the writer is dead it prints "dead".
WRITERS = """
import os, sys
from pathlib import Path
from statetrack.training.records import RunRecord
from statetrack.training.store import Store

def write():
    with Store(Path(sys.argv[1])) as store:
        number = len(store.statuses())
        os.write(1, f"open {os.getpid()}\\n".encode())
        while True:
            table = {"length": list(range(50)), "token_accuracy": [number / 7] * 50}
            store.add(RunRecord(f"{number:016x}", "{}", "finished", {"number": number},
                                {"time": "now"}, {"curves": table}))
            os.write(1, f"{number}\\n".encode())
            number += 1

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            write()
        finally:
            os._exit(3)
    _, status = os.waitpid(pid, 0)
    os.write(1, f"dead {os.WTERMSIG(status)}\\n".encode())
"""


def record(run_id, status="finished", **summary):
    return RunRecord(
        run_id,
        '{"seed": 0}',
        status,
        {"task": "parity", **summary},
        {"device": "cpu", "time": "2026-01-01T00:00:00+00:00"},
        {"curves": {"length": [1, 2], "token_accuracy": [0.1, float("nan")]}},
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def test_what_was_added_is_read_back_in_order(folder):
    with Store(folder) as store:
        store.add(record("b", loss=0.1 + 0.2, nothing=None, text="[-1,1] é \n"))
        store.add(record("a", "failed", error="why"))
    for read_only in (False, True):
        with Store(folder, read_only=read_only) as store:
            assert store.statuses() == {"b": "finished", "a": "failed"}
            first, second = store.summaries()
            assert first == {
                "run_id": "b",
                "status": "finished",
                "task": "parity",
                "loss": 0.1 + 0.2,
                "nothing": None,
                "text": "[-1,1] é \n",
            }
            assert second["error"] == "why"
            assert store.table_names() == ["curves"]
            assert [run_id for run_id, _ in store.table("curves")] == ["b", "a"]
            assert dict(store.table("curves"))["b"]["length"] == [1, 2]
            assert store.provenances()["a"]["device"] == "cpu"


def test_every_commit_is_synced(folder):
    with Store(folder) as store:
        database = store._database
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_finished_run_is_never_replaced(folder):
    with Store(folder) as store:
        store.add(record("a", loss=1))
        for status in ("finished", "failed"):
            with pytest.raises(InputError):
                store.add(record("a", status, loss=2))
        store.add(record("b"))
        assert [row.get("loss") for row in store.summaries()] == [1, None]


def test_a_failed_run_may_be_replaced(folder):
    with Store(folder) as store:
        store.add(record("a", "failed", error="first"))
        store.add(record("a", "failed", error="second"))
        store.add(record("a", loss=3))
        assert store.statuses() == {"a": "finished"}
        assert len(list(store.table("curves"))) == 1
        with pytest.raises(InputError):
            store.add(record("a", "failed"))


def test_an_unknown_status_is_refused(folder):
    with Store(folder) as store:
        with pytest.raises(InputError):
            store.add(record("a", "running"))
        assert store.statuses() == {}


def test_a_record_that_cannot_be_written_leaves_the_store_usable(folder):
    with Store(folder) as store:
        with pytest.raises((TypeError, ValueError, InputError)):
            store.add(record("a", value=object()))
        store.add(record("b"))
        assert store.statuses() == {"b": "finished"}


def test_a_second_opening_is_refused_and_a_reader_is_not(folder):
    with Store(folder) as store:
        store.add(record("a"))
        with pytest.raises(InputError, match=r"results.*is in use by another process"):
            Store(folder)
        with Store(folder, read_only=True) as reader:
            assert reader.statuses() == {"a": "finished"}
            store.add(record("b"))
            assert reader.statuses() == {"a": "finished", "b": "finished"}
    with Store(folder) as store:
        assert set(store.statuses()) == {"a", "b"}


def test_a_reader_cannot_write(folder):
    with Store(folder) as store:
        store.add(record("a"))
    with Store(folder, read_only=True) as reader, pytest.raises(InputError, match="readonly"):
        reader.add(record("b"))
    with Store(folder) as store:
        assert store.statuses() == {"a": "finished"}


def test_a_reader_makes_nothing(tmp_path):
    with pytest.raises(InputError, match="no results in"):
        Store(tmp_path / "nothing", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_version_is_refused(folder, read_only):
    Store(folder).close()
    with sqlite3.connect(folder / FILE_NAME) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(InputError, match=f"version {VERSION + 1}.*update statetrack"):
        Store(folder, read_only=read_only)
    with pytest.raises(InputError, match="update statetrack"):  # and the lock was let go
        Store(folder, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_refused_and_kept(folder, content, read_only):
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=FILE_NAME):
        Store(folder, read_only=read_only)
    assert (folder / FILE_NAME).read_bytes() == content


def test_the_database_of_another_program_is_refused_and_kept(folder):
    folder.mkdir()
    with sqlite3.connect(folder / FILE_NAME) as database:
        database.execute("CREATE TABLE photographs (name TEXT)")
    database.close()
    with pytest.raises(InputError):
        Store(folder)
    with pytest.raises(InputError):
        load_results(folder)


def test_a_new_store_is_found_whole_or_not_at_all(folder, monkeypatch):
    def interrupted(database):
        with pytest.raises(InputError, match=f"expected {FILE_NAME} there"):
            Store(folder, read_only=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(stores, "create", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store(folder)
    monkeypatch.undo()
    for end in ("", "-wal", "-shm"):
        (folder / f".{FILE_NAME}.new{end}").write_bytes(b"half of one" * 500)
    with Store(folder) as store:
        assert store.statuses() == {}
    assert {path.name for path in folder.iterdir()} == {FILE_NAME, stores.LOCK_NAME}


def test_an_empty_file_reads_as_no_results(folder):
    """What a kill between creating the file and its tables leaves."""
    folder.mkdir()
    (folder / FILE_NAME).touch()
    try:
        results = load_results(folder)
    except InputError:
        pass  # saying so in one line is as good
    else:
        assert results.runs.empty
    with Store(folder) as store:
        assert store.statuses() == {}


def test_damaged_pages_are_an_input_error(folder):
    with Store(folder) as store:
        for number in range(50):
            store.add(record(f"{number:04d}", text="x" * 500))
    path = folder / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(InputError):
        load_results(folder)


def test_a_network_filesystem_is_refused_by_name(folder, monkeypatch):
    monkeypatch.setattr(stores, "filesystem_of", lambda place: "nfs4")
    with pytest.raises(InputError, match=r"network filesystem \(nfs4\).*local folder"):
        Store(folder)


def test_the_filesystem_is_that_of_the_innermost_mount(tmp_path, monkeypatch):
    mounts = "a / ext4 rw 0 0\nb /data nfs4 rw 0 0\nc /data/local xfs rw 0 0\nd /dat tmpfs rw 0 0\n"
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda p, *a: mounts if str(p) == "/proc/mounts" else real(p, *a)
    )
    found = [
        filesystem_of(Path(p)) for p in ("/", "/data", "/data/x", "/data/local/y", "/database")
    ]
    assert found == ["ext4", "nfs4", "nfs4", "xfs", "ext4"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="file"):
            Store(place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_is_refused(folder):
    with Store(folder) as store:
        store.add(record("a"))
    folder.chmod(0o555)
    try:
        with pytest.raises(InputError, match="results"):
            Store(folder / "new")
    finally:
        folder.chmod(0o755)


def test_a_lock_that_cannot_be_made_is_named(folder, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(stores.os, "open", refuse)
    with pytest.raises(InputError, match=r"results: Read-only file system"):
        Store(folder)


def test_a_full_disk_costs_the_new_row_alone(folder):
    """SQLite's own page limit stands in for the disk: it fails as a full disk does."""
    with Store(folder) as store:
        store.add(record("a"))
        (pages,) = store._database.execute("PRAGMA page_count").fetchone()
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(InputError, match="full"):
            store.add(record("b", text="x" * 10**6))
        assert store.statuses() == {"a": "finished"}
        store._database.execute(f"PRAGMA max_page_count = {pages + 1000}")
        store.add(record("b", text="x" * 10**6))
    with Store(folder, read_only=True) as store:
        assert set(store.statuses()) == {"a", "b"}


@pytest.fixture
def start_writer(folder):
    """Start a writer in another process: its process id, and where it prints."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITERS, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as zygote:

        def start():
            zygote.stdin.write("go\n")
            zygote.stdin.flush()
            word, pid = zygote.stdout.readline().split()
            assert word == "open"
            return int(pid), zygote.stdout

        yield start
        zygote.stdin.close()


def kill(pid, output):
    """Kill a writer; the numbers that it had said were safe."""
    os.kill(pid, signal.SIGKILL)
    numbers = []
    for line in output:
        if line.startswith("dead"):
            assert line == f"dead {int(signal.SIGKILL)}\n"
            return numbers
        numbers.append(int(line))
    raise AssertionError("the writers ended")


def test_another_process_is_refused_until_the_first_is_killed(folder, start_writer):
    pid, output = start_writer()
    with pytest.raises(InputError, match="in use by another process"):
        Store(folder)
    kill(pid, output)
    Store(folder).close()


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_acknowledged_rows_survive_kill_9(folder, start_writer, kills):
    generator = random.Random(kills)
    acknowledged, said = 0, 0
    for _ in range(kills):
        pid, output = start_writer()
        seen = [int(output.readline()) for _ in range(generator.randrange(4))]
        time.sleep(generator.uniform(0.0, 0.02))
        numbers = seen + kill(pid, output)
        assert numbers == list(range(acknowledged, acknowledged + len(numbers)))
        said += len(numbers)
        acknowledged += len(numbers)
        with Store(folder, read_only=True) as store:
            stored = list(store.statuses())
            tables = dict(store.table("curves"))
            assert store._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # The last row may be on the disk without its acknowledgement.
        assert 0 <= len(stored) - acknowledged <= 1
        assert stored == [f"{number:016x}" for number in range(len(stored))]
        assert all(tables[run_id]["length"] == list(range(50)) for run_id in stored)
        acknowledged = len(stored)
    assert said >= kills
