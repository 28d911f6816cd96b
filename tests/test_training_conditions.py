"""Choosing runs: conditions, and results of the chosen ones alone."""

import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.training import export_results, load_results
from statetrack.training.conditions import Condition
from statetrack.training.records import RunRecord
from statetrack.training.store import Store

ROWS = {
    "a": {"task": "s3", "label": "LSTM", "seed": 0, "solved_step": None, "loss": 0.5},
    "b": {"task": "s3", "label": "MRU ldu", "seed": 1, "solved_step": 300, "loss": 1e-9},
    "c": {"task": "parity", "label": "MRU ldu", "seed": 10, "solved_step": 900, "flag": True},
}


@pytest.fixture(params=["store", "csv", "parquet"])
def folder(request, tmp_path):
    with Store(tmp_path / "store") as store:
        for run_id, row in ROWS.items():
            curve = {"length": [1, 2], "token_accuracy": [1.0, 1 / 3]}
            tables = {"curves": curve} | ({"spectra": {"real": [1.0]}} if run_id == "c" else {})
            store.add(RunRecord(run_id, "{}", "finished", row, {"device": run_id}, tables))
    if request.param == "store":
        return tmp_path / "store"
    export_results(load_results(tmp_path / "store"), tmp_path / "out", request.param)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], "abc"),
        (["task=s3"], "ab"),
        (["task=s3", "label=MRU ldu"], "b"),
        (["label=mru ldu"], ""),
        (["task != s3"], "c"),
        (["seed<10"], "ab"),
        (["seed <= 10", "seed>=1"], "bc"),
        (["seed=1"], "b"),
        (["solved_step=none"], "a"),
        (["solved_step!=none"], "bc"),
        (["solved_step!=300"], "c"),
        (["loss>1e-10"], "ab"),
        (["run_id=b"], "b"),
        (["task=none"], ""),
        (["seed>100"], ""),
    ],
)
def test_the_chosen_runs_and_their_tables(folder, conditions, expected):
    results = load_results(folder, [Condition.parse(text) for text in conditions])
    assert "".join(results.runs["run_id"]) == expected
    assert "".join(results.table("curves")["run_id"].unique()) == expected
    assert [entry["device"] for entry in results.provenance] == list(expected)
    assert len(results.table("spectra")) == ("c" in expected)


def test_tables_by_name(folder):
    assert list(load_results(folder, tables=["curves"]).tables) == ["curves"]
    assert load_results(folder, tables=[]).tables == {}
    assert len(load_results(folder, tables=[]).runs) == 3


def test_parquet_keeps_every_digit(tmp_path, folder):
    export_results(load_results(folder), tmp_path / "again", "parquet")
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "again").tables["curves"], load_results(folder).tables["curves"]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task", "'task' is no condition: give COLUMN=VALUE"),
        ("=s3", "no condition"),
        ("seed<", "no condition"),
        ("sed=3", "unknown column 'sed': did you mean 'seed'"),
        ("seed=many", "column 'seed' holds numbers, and 'many' is none"),
    ],
)
def test_bad_conditions(folder, text, message):
    with pytest.raises(InputError, match=message):
        load_results(folder, [Condition.parse(text)])


def test_formats(tmp_path, folder, monkeypatch):
    results = load_results(folder)
    with pytest.raises(InputError, match="unknown format 'parket': did you mean 'parquet'"):
        export_results(results, tmp_path / "x", "parket")
    monkeypatch.setattr("statetrack.training.results.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'statetrack\[data\]'"):
        export_results(results, tmp_path / "x", "parquet")
