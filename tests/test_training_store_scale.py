"""The results store: stores of version 1, and questions about very many runs."""

import hashlib
import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from automata.errors import InputError
from statetrack.training import load_results
from statetrack.training import store_schema as schema
from statetrack.training.conditions import Condition
from statetrack.training.records import RunRecord
from statetrack.training.store import FILE_NAME, Store

OLD = Path(__file__).parent / "golden" / "store_version_1.sqlite"
OPENS_SECONDS, ANSWERS_SECONDS = 1.0, 0.2  # what the documentation promises of 100,000 runs
PATIENCE = 5  # times as long on a machine that does other things too


@pytest.fixture
def old(tmp_path):
    """A store as version 1 of the program left it: three runs finished, one failed."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copyfile(OLD, folder / FILE_NAME)
    return folder


def contents(store):
    return (
        store.statuses(),
        store.solved(),
        store.overview(),
        store.overview({"status": "failed"}),
        store.overview({"task": "parity"}, columns=("seed", "run_id")),
        repr(store.summaries()),
        store.provenances(),
        store.table_names(),
        repr(list(store.table("curves"))),
    )


def version(folder):
    with sqlite3.connect(folder / FILE_NAME) as database:
        (found,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    return found


def test_an_old_store_is_read_as_it_is(old):
    before = (old / FILE_NAME).read_bytes()
    with Store(old, read_only=True) as store:
        statuses = store.statuses()
        assert list(statuses.values()) == ["finished"] * 3 + ["failed"]
        overview = store.overview()
        assert overview["run_id"] == list(statuses)
        assert [step is None for step in overview["solved_step"]] == [False, True, False, True]
        assert len(store.solved()) == 2
        assert overview["error"][3].startswith("loss is nan")
    assert (old / FILE_NAME).read_bytes() == before
    assert len(load_results(old).finished) == 3


def test_opened_for_writing_it_becomes_a_new_one_with_the_same_answers(old):
    with Store(old, read_only=True) as store:
        before = contents(store)
    with Store(old) as store:
        assert contents(store) == before
        store.add(RunRecord("new", "{}", "finished", {"task": "s3", "solved_step": 7}, {}))
        assert store.statuses()["new"] == "finished"
        assert "new" in store.solved()
    assert version(old) == schema.VERSION
    with Store(old) as store:
        assert len(store.overview()["run_id"]) == 5


def test_a_migration_that_ends_half_way_has_not_begun(old, monkeypatch):
    """Whatever statement it stops at; the next opening does all of it."""
    with Store(old, read_only=True) as store:
        before = contents(store)
    seen = []

    def stop(run_id, status, summary):
        seen.append(run_id)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return schema_row(run_id, status, summary)

    schema_row = schema.overview_row
    monkeypatch.setattr(schema, "overview_row", stop)
    with pytest.raises(KeyboardInterrupt):
        Store(old)
    monkeypatch.undo()
    assert version(old) == 1
    with Store(old, read_only=True) as store:
        assert contents(store) == before
    with Store(old) as store:
        assert contents(store) == before


def test_a_damaged_summary_is_an_input_error(old):
    with sqlite3.connect(old / FILE_NAME) as database:
        database.execute("UPDATE runs SET summary = '{' WHERE rowid = 2")
    database.close()
    for _ in range(2):
        with pytest.raises(InputError, match=r"old.*damaged"):
            Store(old)
    assert version(old) == 1


def test_the_overview_follows_what_is_added_replaced_and_forgotten(tmp_path):
    def record(run_id, status, **summary):
        return RunRecord(run_id, "{}", status, {"task": "s3", "seed": 1} | summary, {})

    with Store(tmp_path) as store:
        store.add(record("a", "failed", error="loss is nan"))
        store.add(record("b", "finished", solved_step=5, seconds=float("nan"), label=["odd"]))
        store.add(record("a", "finished", token_horizon=40))
        assert store.statuses() == {"b": "finished", "a": "finished"}
        assert store.overview({"seed": 1})["token_horizon"] == [None, 40]
        assert store.overview()["seconds"] == [None, None]
        assert store.overview()["label"] == [None, None]
        store.add(record("c", "failed", error="no memory"))
        assert store.overview({"status": "failed"})["error"] == ["no memory"]
        store.forget_failed(["c"])
        assert store.overview({"status": "failed"})["run_id"] == []
        with pytest.raises(InputError, match="unknown column 'tsk'"):
            store.overview({"tsk": "s3"})
        with pytest.raises(InputError, match="unknown column 'sed'"):
            store.overview(columns=("sed",))
        assert store.overview(columns=()) == {}
        assert store.overview(columns=("label", "run_id"))["run_id"] == ["b", "a"]
        assert store.overview({"seed": 1}, columns=("status", "run_id")) == {
            "status": ["finished"] * 2,
            "run_id": ["b", "a"],
        }


def many_runs(count):
    """Rows of the tables runs and tables: 5 tasks, 20 labels; one run in a thousand failed."""
    provenance = json.dumps({"device": "cpu", "time": "2026-01-01T00:00:00+00:00"})
    padding = {f"training.setting_{number}": number / 7 for number in range(20)}
    curve = json.dumps({"length": list(range(40)), "token_accuracy": [0.5] * 40})
    for number in range(count):
        run_id = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        summary = {"task": f"task {number % 5}", "label": f"label {number % 20}", "seed": number}
        failed = number % 1000 == 999
        if failed:
            summary["error"] = "loss is nan"
        else:
            summary |= {"solved_step": number if number % 3 else None, "seconds": number / 10}
        status = "failed" if failed else "finished"
        yield run_id, status, summary | padding, provenance, curve


def fill(folder, count):
    """As many `Store.add`, in one transaction: a hundred thousand synced commits take minutes."""
    with Store(folder) as store:
        database = store._database
        database.execute("BEGIN")
        for run_id, status, summary, provenance, curve in many_runs(count):
            row = (run_id, "{}", status, json.dumps(summary), provenance)
            database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", row)
            database.execute(schema.ADD_OVERVIEW, schema.overview_row(run_id, status, summary))
            if status == "finished":
                database.execute("INSERT INTO tables VALUES (?, 'curves', ?)", (run_id, curve))
        database.execute(schema.ADD_TABLE_NAME, ("curves",))
        database.execute("COMMIT")


def fastest(work):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_questions_about_very_many_runs_are_answered_at_once(tmp_path, count):
    fill(tmp_path, count)
    assert fastest(lambda: Store(tmp_path).close()) < PATIENCE * OPENS_SECONDS
    with Store(tmp_path, read_only=True) as store:
        some = list(store.statuses())[:: count // 100]
        questions = {
            "statuses": store.statuses,
            "solved": store.solved,
            "failures": lambda: store.overview({"status": "failed"}),
            "all columns": store.overview,
            "solved, slowest, failed": lambda: store.overview(
                columns=("run_id", "status", "solved_step", "seconds", "error")
            ),
            "one run": lambda: store.summaries(some[:1]),
            "one label": lambda: store.overview({"task": "task 1", "label": "label 6"}),
            "a hundred runs": lambda: store.summaries(some),
            "a hundred curves": lambda: list(store.table("curves", some)),
            "names of tables": store.table_names,
        }
        answers = {name: ask() for name, ask in questions.items()}
        taken = {name: fastest(ask) for name, ask in questions.items()}
        print({name: f"{seconds:.3f} s" for name, seconds in taken.items()})
        order = store.overview(columns=("label", "task"))["label"]
        assert max(taken.values()) < PATIENCE * ANSWERS_SECONDS, taken
    assert len(answers["statuses"]) == count
    assert len(answers["failures"]["run_id"]) == count // 1000
    assert answers["all columns"]["label"] == [f"label {number % 20}" for number in range(count)]
    assert order == [f"label {number % 20}" for number in range(count)]
    assert len(answers["one label"]["run_id"]) == count // 20
    assert [run["run_id"] for run in answers["a hundred runs"]] == some
    assert len(answers["a hundred curves"]) == 100
    chosen = [Condition.parse(text) for text in ("task=task 1", "label=label 6", "seed<2000")]
    results = load_results(tmp_path, chosen)
    assert results.runs["seed"].tolist() == list(range(6, 2000, 20))
    assert len(results.table("curves")) == 40 * 100
