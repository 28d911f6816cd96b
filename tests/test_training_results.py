"""Results: store to tables to CSV and back, and what is said about their origin."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.report_tables import accuracy_overview
from statetrack.training import export_results, load_results
from statetrack.training.records import RunRecord
from statetrack.training.results import Results, results_of
from statetrack.training.store import Store


def record(run_id, status="finished", provenance=None, tables=None, **summary):
    return RunRecord(
        run_id,
        "{}",
        status,
        {"task": "parity", "label": "diagonal [-1,1]", "seed": 0} | summary,
        {"device": "cpu", "threads": 1, "time": "2026-01-02T00:00:00+00:00"} | (provenance or {}),
        {"curves": {"length": [1, 2, 3], "token_accuracy": [1.0, 0.5, 1 / 3]}}
        if tables is None
        else tables,
    )


def stored(folder, *records):
    with Store(folder) as store:
        for entry in records:
            store.add(entry)
        return results_of(store)


def assert_equal(one, other):
    """Equal tables, to the seven digits of the exported files; no value is an absent one."""
    assert list(one.tables) == list(other.tables)
    for name in ("runs", *one.tables):
        left, right = ((r.runs if name == "runs" else r.tables[name]) for r in (one, other))
        pd.testing.assert_frame_equal(
            left.astype(object).where(left.notna(), None),
            right.astype(object).where(right.notna(), None),
            check_exact=False,
            rtol=1e-6,
            obj=name,
        )
    assert one.provenance == other.provenance


def test_store_and_export_give_the_same_tables(tmp_path):
    results = stored(
        tmp_path / "store",
        record("00aa", eigenvalue_range="[-1,1]", loss=1 / 3, solved_step=100, seconds=1.5),
        record("00ab", "failed", error='it said "no", and\nmore', tables={}),
        record(
            "00ac",
            eigenvalue_range=None,
            loss=1e-30,
            solved_step=None,
            tables={
                "curves": {"length": [1], "token_accuracy": [float("nan")]},
                "spectra": {"token": [0, 1], "real": [-1.0, 1.0], "imag": [0.0, -0.25]},
            },
        ),
    )
    assert results.finished.run_id.tolist() == ["00aa", "00ac"]
    assert results.tables["curves"].run_id.tolist() == ["00aa"] * 3 + ["00ac"]
    assert list(results.named_tables()) == ["runs", "curves", "spectra"]
    assert_equal(load_results(tmp_path / "store"), results)
    written = export_results(results, tmp_path / "new" / "exported")
    assert sorted(path.name for path in written) == [
        "curves.csv",
        "provenance.json",
        "runs.csv",
        "spectra.csv",
    ]
    assert_equal(load_results(tmp_path / "new" / "exported"), results)


def test_parameters_of_the_task_tell_runs_apart(tmp_path):
    """Two groups of one word problem and model are two rows of every table."""
    curve = {"length": [1, 2], "token_accuracy": [1.0, 0.5], "majority_rate": [0.5, 0.5]}
    results = stored(
        tmp_path,
        *(
            replace(
                record(run_id, tables={"curves": curve}, training_length=1),
                config=json.dumps(
                    {"task": {"name": "word_problem", "parameters": {"group": group}}}
                ),
            )
            for run_id, group in [("00aa", "S3"), ("00bb", "A4")]
        ),
    )
    assert results.runs["task.group"].tolist() == ["S3", "A4"]
    assert accuracy_overview(results).label.tolist() == [
        "diagonal [-1,1], group S3",
        "diagonal [-1,1], group A4",
    ]


def test_a_second_export_is_the_same_bytes(tmp_path):
    results = stored(tmp_path / "store", record("00aa", loss=1 / 3))
    first = {path.name: path.read_bytes() for path in export_results(results, tmp_path / "a")}
    again = export_results(load_results(tmp_path / "a"), tmp_path / "b")
    assert {path.name: path.read_bytes() for path in again} == first


@pytest.mark.parametrize("run_id", ["0000000000000012", "1234567890123456", "12345678901e4567"])
def test_a_run_id_of_digits_stays_text(tmp_path, run_id):
    """One in two thousand run ids has no letter, or reads as a number with an exponent."""
    results = stored(tmp_path / "store", record(run_id))
    export_results(results, tmp_path / "exported")
    loaded = load_results(tmp_path / "exported")
    assert loaded.runs.run_id.tolist() == [run_id]
    assert set(loaded.tables["curves"].run_id) == {run_id}


def test_provenances_are_counted(tmp_path):
    def at(hour, **parts):
        return {"time": f"2026-01-01T0{hour}:00:00+00:00"} | parts

    results = stored(
        tmp_path,
        record("a", provenance=at(3)),
        record("b", provenance=at(1)),
        record("c", provenance=at(2, device="cuda")),
        record("d", "failed", provenance=at(5)),
    )
    cpu = {"device": "cpu", "threads": 1, "num_runs": 3}
    assert results.provenance == [
        cpu
        | {"first": "2026-01-01T01:00:00+00:00", "last": "2026-01-01T05:00:00+00:00"}
        | {
            "runs": {
                name: f"2026-01-01T0{hour}:00:00+00:00"
                for name, hour in zip("abd", (3, 1, 5), strict=True)
            }
        },
        cpu
        | {"device": "cuda", "num_runs": 1, "runs": {"c": "2026-01-01T02:00:00+00:00"}}
        | dict.fromkeys(("first", "last"), "2026-01-01T02:00:00+00:00"),
    ]


def test_only_keeps_the_asked_runs_in_the_asked_order(tmp_path):
    results = stored(tmp_path, *(record(run_id) for run_id in "abcd"))
    chosen = results.only(["d", "x", "b"])
    assert chosen.runs.run_id.tolist() == ["d", "b"]
    assert chosen.tables["curves"].run_id.unique().tolist() == ["d", "b"]
    assert len(results.runs) == 4


def test_only_counts_the_provenance_of_the_asked_runs(tmp_path):
    results = stored(tmp_path, record("a"), record("b"), record("c", provenance={"device": "old"}))
    assert [entry["num_runs"] for entry in results.only(["a"]).provenance] == [1]


def test_tables_do_not_depend_on_the_order_in_which_runs_ended(tmp_path):
    """Two workers end in any order: the tables of the grid must be the same bytes."""
    records = [record(run_id, loss=number) for number, run_id in enumerate("abc")]
    exports = []
    for name, order in (("one", (0, 1, 2)), ("two", (2, 0, 1))):
        results = stored(tmp_path / name, *(records[place] for place in order))
        paths = export_results(results.only(["a", "b", "c"]), tmp_path / f"{name}-csv")
        exports.append({path.name: path.read_bytes() for path in paths})
    assert exports[0] == exports[1]


def test_an_absent_table_is_empty(tmp_path):
    results = stored(tmp_path, record("a"))
    assert results.table("homomorphism").empty
    assert list(results.table("homomorphism").columns) == ["run_id"]


def test_an_empty_store_has_no_runs(tmp_path):
    Store(tmp_path).close()
    results = load_results(tmp_path)
    assert results.runs.empty
    assert results.finished.empty
    assert results.only(["a"]).runs.empty


def damage(name, content):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "provenance.json").unlink(),
        lambda folder: (folder / "runs.csv").unlink(),
        damage("provenance.json", b"{"),
        damage("provenance.json", b"\xff"),
        damage("runs.csv", b""),
        damage("runs.csv", b"\xff\xfe\x00"),
        damage("runs.csv", b'a,b\n"'),
        damage("runs.csv", b"status\nfinished\n"),
        damage("curves.csv", b""),
        damage("curves.csv", b"length\n1\n"),
    ],
    ids=[
        "no provenance",
        "no runs",
        "cut json",
        "json not text",
        "empty runs",
        "runs not text",
        "open quote",
        "runs without run_id",
        "empty curves",
        "curves without run_id",
    ],
)
def test_damaged_exports_are_refused(tmp_path, change):
    export_results(stored(tmp_path / "store", record("00aa")), tmp_path / "exported")
    assert isinstance(load_results(tmp_path / "exported"), Results)
    change(tmp_path / "exported")
    with pytest.raises(InputError):
        load_results(tmp_path / "exported")


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"expected results.sqlite, runs.csv or"):
        load_results(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_export_into_a_file_is_refused(tmp_path):
    results = stored(tmp_path / "store", record("00aa"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError):
        export_results(results, tmp_path / "file")


def test_provenance_json_is_plain(tmp_path):
    export_results(stored(tmp_path / "store", record("00aa")), tmp_path)
    (entry,) = json.loads((tmp_path / "provenance.json").read_text())
    assert entry["num_runs"] == 1
