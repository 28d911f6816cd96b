"""A disk that is full, read-only or refuses: named, and no finished run is lost."""

import errno
import io
import os

import pytest

from automata.errors import InputError
from statetrack.training import claims as claims_module
from statetrack.training import load_results, progress_files, run_grid
from statetrack.training.progress import GridProgress
from statetrack.training.shards import read_shards, shard_ids, write_shard
from tests.grid_processes import small_grid
from tests.launcher_cases import Here, record

FULL, READ_ONLY, REFUSED = errno.ENOSPC, errno.EROFS, errno.EACCES


def failing(monkeypatch, module, name, code, when=lambda *arguments: True):
    real = getattr(module, name)

    def fail(*arguments, **named):
        if when(*arguments):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, fail)


@pytest.fixture
def half_done(tmp_path):
    """A store with one of four runs."""
    run_grid(small_grid(1), tmp_path, launcher=Here())
    return tmp_path


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
@pytest.mark.parametrize(
    ("function", "part"),
    [("fsync", "packs.json"), ("replace", "packs.json"), ("open", "claim")],
)
def test_what_the_disk_refuses_is_named(half_done, monkeypatch, code, function, part):
    if part == "claim":
        failing(monkeypatch, claims_module.os, "open", code, lambda path, *_: "claims" in str(path))
    else:
        failing(monkeypatch, os, function, code)
    with pytest.raises(InputError, match=f"{part}.*{os.strerror(code)}"):
        run_grid(small_grid(4), half_done, launcher=Here())
    monkeypatch.undo()
    assert load_results(half_done).runs.status.tolist() == ["finished"]
    results = run_grid(small_grid(4), half_done, launcher=Here())
    assert results.runs.status.tolist() == ["finished"] * 4
    assert not list(half_done.rglob("*.tmp"))


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_shard_that_cannot_be_written_is_named(tmp_path, monkeypatch, code, function):
    write_shard(tmp_path, record("a"))
    failing(monkeypatch, os, function, code)
    with pytest.raises(InputError, match=rf"shard .*b\.json: {os.strerror(code)}"):
        write_shard(tmp_path, record("b"))
    monkeypatch.undo()
    assert shard_ids(tmp_path) == {"a"}
    assert not list(tmp_path.rglob("*.tmp"))
    write_shard(tmp_path, record("b"))
    assert [one.run_id for one in read_shards(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("code", [FULL, READ_ONLY, REFUSED])
def test_progress_that_cannot_be_written_costs_no_run(tmp_path, monkeypatch, code):
    failing(monkeypatch, progress_files, "write_atomically", code)
    output = io.StringIO()
    results = run_grid(small_grid(4), tmp_path, launcher=Here(), progress=GridProgress(output))
    assert results.runs.status.tolist() == ["finished"] * 4
    lines = [line for line in output.getvalue().splitlines() if os.strerror(code) in line]
    assert len(lines) == 1
    assert "status" in lines[0]
