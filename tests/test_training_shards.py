"""Shards: what processes leave for the one that has the store."""

import pytest

from automata.errors import InputError
from statetrack.training import run_grid
from statetrack.training.execute import execute_pack
from statetrack.training.shards import SHARDS, merge_shards, read_shards, shard_ids, write_shard
from statetrack.training.store import Store
from tests.grid_processes import small_grid
from tests.launcher_cases import Here, record


def test_shards_are_merged_once(tmp_path):
    with Store(tmp_path) as store:
        write_shard(tmp_path, record("a", loss=1))
        write_shard(tmp_path, record("b", "failed", error="why"))
        before = (tmp_path / SHARDS / "a.json").read_bytes()
        write_shard(tmp_path, record("a", loss=2))
        assert (tmp_path / SHARDS / "a.json").read_bytes() == before
        assert shard_ids(tmp_path) == {"a", "b"}
        assert [one.run_id for one in merge_shards(store, tmp_path)] == ["a", "b"]
        assert shard_ids(tmp_path) == set()
        assert merge_shards(store, tmp_path) == []
        write_shard(tmp_path, record("a", loss=3))  # a kill came between store and unlink
        assert merge_shards(store, tmp_path) == []
        assert shard_ids(tmp_path) == set()
        assert [row.get("loss") for row in store.summaries()] == [1, None]
        write_shard(tmp_path, record("b"))
        merge_shards(store, tmp_path)
        assert store.statuses() == {"a": "finished", "b": "finished"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": "b"}', "\x00" * 50, "null"])
def test_a_damaged_shard_is_named_and_kept(tmp_path, content):
    write_shard(tmp_path, record("b"))
    path = tmp_path / SHARDS / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a\.json is damaged; delete it"):
        list(read_shards(tmp_path))
    assert path.read_text() == content


def test_a_shard_under_another_name_is_damaged(tmp_path):
    write_shard(tmp_path, record("a"))
    (tmp_path / SHARDS / "a.json").rename(tmp_path / SHARDS / "b.json")
    with pytest.raises(InputError, match=r"b\.json is damaged"):
        list(read_shards(tmp_path))


def test_shards_of_a_grid_without_a_collector_are_merged_at_the_next_start(tmp_path):
    grid = small_grid(3)
    (first, *_) = execute_pack(grid.runs)
    Store(tmp_path).close()
    write_shard(tmp_path, first)
    launcher = Here()
    results = run_grid(grid, tmp_path, launcher=launcher)
    assert results.runs.status.tolist() == ["finished"] * 3
    assert first.run_id not in launcher.ran
    assert len(launcher.ran) == 2
