"""Names of runs by their settings."""

import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.analysis.run_names import run_names
from statetrack.training import RunConfig
from statetrack.training.records import run_identity

SETTINGS = {
    "DeltaNet": ["model=householder", "model.eigenvalue_range=[0,1]"],
    "DeltaNet [-1,1]": ["model=householder", "model.eigenvalue_range=[-1,1]"],
    "DeltaProduct": [
        "model=householder",
        "model.eigenvalue_range=[-1,1]",
        "model.num_factors=2",
    ],
    "blocks": ["model=block_diagonal", "model.block_norm=none"],
    "LSTM": ["model=lstm"],
}


def rows(named):
    runs = [RunConfig.from_pairs(["task=parity", *pairs]) for pairs in named.values()]
    return pd.DataFrame([{"run_id": run.run_id, **run_identity(run)} for run in runs])


def test_runs_of_settings_get_their_names_in_any_order():
    runs = rows(SETTINGS)
    assert run_names(runs, SETTINGS).tolist() == list(SETTINGS)
    backwards = dict(reversed(SETTINGS.items()))
    assert run_names(runs, backwards).tolist() == list(SETTINGS)


def test_tables_read_back_from_csv_have_the_same_names(tmp_path):
    runs = rows(SETTINGS)
    assert runs["model.num_factors"].dtype == float
    runs.to_csv(tmp_path / "runs.csv", index=False, float_format="%.7g")
    again = pd.read_csv(tmp_path / "runs.csv", dtype={"run_id": str})
    assert run_names(again, SETTINGS).tolist() == list(SETTINGS)


def test_the_index_is_kept():
    runs = rows(SETTINGS).iloc[[4, 0]]
    assert run_names(runs, SETTINGS).to_dict() == {4: "LSTM", 0: "DeltaNet"}


def test_a_run_without_a_name_is_refused():
    runs = rows({"GRU": ["model=gru"]})
    with pytest.raises(InputError, match=f"run {runs.run_id[0]} has the settings of none of"):
        run_names(runs, SETTINGS)
