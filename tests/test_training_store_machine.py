"""Any sequence of events on a store of results leaves it as a dictionary would be."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from automata.errors import InputError
from statetrack.training.records import RunRecord
from statetrack.training.shards import merge_shards, shard_ids, write_shard
from statetrack.training.store import FILE_NAME, Store, StoreInUseError
from statetrack.training.store_health import check_store

RUN_IDS = [f"{number:016x}" for number in range(6)]


def record(run_id, status, number):
    tables = {"curves": {"length": [number]}} if status == "finished" else {}
    return RunRecord(run_id, "{}", status, {"seed": number, "task": "t"}, {"n": number}, tables)


class StoreMachine(RuleBasedStateMachine):
    """Adds, replaces, forgets, merges, closes, loses its process, and is read meanwhile."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[str, RunRecord] = {}  # in the order of the rows
        self.waiting: dict[str, RunRecord] = {}
        self.later: dict[str, set[str]] = {}
        self.store: Store | None = None

    @initialize()
    def begin(self):
        self.store = Store(self.folder)

    @rule(run_id=st.sampled_from(RUN_IDS), status=st.sampled_from(["finished", "failed"]),
          number=st.integers(0, 9))  # fmt: skip
    def add(self, run_id, status, number):
        one = record(run_id, status, number)
        if self.model.get(run_id) and self.model[run_id].status == "finished":
            with pytest.raises(InputError):
                self.store.add(one)
            return
        self.store.add(one)
        self.model.pop(run_id, None)
        self.model[run_id] = one

    @rule(run_ids=st.sets(st.sampled_from(RUN_IDS)))
    def forget_failed(self, run_ids):
        self.store.forget_failed(run_ids)
        for run_id in run_ids:
            if run_id in self.model and self.model[run_id].status == "failed":
                del self.model[run_id]

    @rule(run_id=st.sampled_from(RUN_IDS), name=st.sampled_from(["read", "curves"]))
    def add_tables(self, run_id, name):
        known = self.model.get(run_id)
        has = set(known.tables) | self.later.get(run_id, set()) if known else set()
        if known is None or name in has:
            with pytest.raises(InputError):
                self.store.add_tables(run_id, {name: {"x": [1]}})
        elif known.status == "finished":
            self.store.add_tables(run_id, {name: {"x": [1]}})
            self.later.setdefault(run_id, set()).add(name)

    @rule(run_id=st.sampled_from(RUN_IDS), number=st.integers(0, 9))
    def a_joiner_writes_a_shard(self, run_id, number):
        if run_id not in self.model:
            write_shard(self.folder, record(run_id, "finished", number))
            self.waiting.setdefault(run_id, record(run_id, "finished", number))

    @precondition(lambda self: self.waiting)
    @rule()
    def merge(self):
        merge_shards(self.store, self.folder)
        for run_id in sorted(self.waiting):
            kept = self.model.get(run_id)
            if kept is None or kept.status == "failed":
                self.model.pop(run_id, None)
                self.model[run_id] = self.waiting[run_id]
        self.waiting = {}
        assert shard_ids(self.folder) == set()

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store(self.folder)

    @rule()
    def lose_the_process(self):
        """What a kill leaves: a write-ahead log, and a transaction that was not committed."""
        crashed = Path(tempfile.mkdtemp())
        self.store._database.execute("BEGIN IMMEDIATE")
        self.store._database.execute("DELETE FROM runs")
        shutil.copytree(self.folder, crashed, dirs_exist_ok=True)
        self.store._database.execute("ROLLBACK")
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder = crashed
        self.store = Store(self.folder)

    @rule()
    def a_second_owner_is_refused(self):
        with pytest.raises(StoreInUseError):
            Store(self.folder)

    @invariant()
    def every_reader_sees_the_model(self):
        if self.store is None:
            return
        with Store(self.folder, read_only=True) as reader:
            for store in (self.store, reader):
                assert store.statuses() == {k: one.status for k, one in self.model.items()}
                seeds = store.overview(columns=("run_id", "seed"))
                assert dict(zip(seeds["run_id"], seeds["seed"], strict=True)) == {
                    k: one.summary["seed"] for k, one in self.model.items()
                }
                assert dict(store.table("curves")) == {
                    k: one.tables["curves"]
                    for k, one in self.model.items()
                    if one.status == "finished"
                }
                assert {k: v["n"] for k, v in store.provenances().items()} == {
                    k: one.provenance["n"] for k, one in self.model.items()
                }

    def teardown(self):
        if self.store is not None:
            health = check_store(self.folder)
            assert health.ok, health.found
            self.store.close()
            with sqlite3.connect(self.folder / FILE_NAME) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        shutil.rmtree(self.folder)


@pytest.mark.parametrize(
    ("machines", "steps"), [(15, 20), pytest.param(1000, 50, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(3600)
def test_a_store_is_a_dictionary_whatever_happens(machines, steps):
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(max_examples=machines, stateful_step_count=steps, deadline=None),
    )
