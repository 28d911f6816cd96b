"""Horizons and summaries of length curves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automata.errors import InputError
from statetrack.analysis import accuracy_table, best_runs, horizon, horizons, summarize_curves


def curve(accuracies, lengths=(8, 16, 32, 64)):
    return pd.DataFrame({"length": lengths, "token_accuracy": accuracies})


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([0.5, 0.5, 0.5, 0.5], 0),
        ([1.0, 1.0, 1.0, 1.0], 64),
        ([1.0, 0.99, 0.98, 0.97], 16),
        ([1.0, 1.0, 0.5, 1.0], 16),
        ([0.5, 1.0, 1.0, 1.0], 0),
        ([1.0, np.nan, 1.0, 1.0], 8),
    ],
    ids=["never", "always", "falls", "gap in the middle", "gap at the start", "missing"],
)
def test_horizon(accuracies, expected):
    assert horizon(curve(accuracies), 0.99) == expected
    assert horizon(curve(accuracies).iloc[::-1], 0.99) == expected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0.01, 1),
)
def test_horizon_is_the_longest_length_of_an_unbroken_prefix(accuracies, threshold):
    lengths = [2**k for k in range(len(accuracies))]
    good = [0] + [
        length
        for position, length in enumerate(lengths)
        if all(value >= threshold for value in accuracies[: position + 1])
    ]
    assert horizon(curve(accuracies, lengths), threshold) == max(good)


def test_horizon_refuses_what_is_not_one_curve():
    with pytest.raises(InputError, match="one run"):
        horizon(curve([1, 1, 1, 1], [8, 8, 16, 32]))
    with pytest.raises(InputError, match="no lengths"):
        horizon(curve([], []))
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        horizon(curve([1, 1, 1, 1]), threshold=0)
    with pytest.raises(InputError, match="lacks the column"):
        horizon(curve([1, 1, 1, 1]), metric="whole_prefix_accuracy")


@pytest.fixture
def results():
    """Two tasks; one label with three seeds, one with one; lengths 8 and 16."""
    runs = pd.DataFrame(
        {
            "run_id": ["a", "b", "c", "d", "e"],
            "task": ["s3", "s3", "s3", "parity", "s3"],
            "label": ["MRU", "MRU", "MRU", "LSTM", "LSTM"],
            "seed": [0, 1, 2, 0, 0],
        }
    )
    accuracy = {"a": (1.0, 0.4), "b": (1.0, 1.0), "c": (0.8, 0.5), "d": (1.0, 0.995)}
    rows = [
        {
            "run_id": run_id,
            "length": length,
            "token_accuracy": value,
            "whole_prefix_accuracy": value / 2,
            "majority_rate": 0.2,
        }
        for run_id, values in accuracy.items()
        for length, value in zip((8, 16), values, strict=True)
    ]
    return runs, pd.DataFrame(rows)


def test_horizons_mark_what_never_failed(results):
    frame = horizons(results[1]).set_index("run_id")
    assert frame["horizon"].to_dict() == {"a": 8, "b": 16, "c": 0, "d": 16}
    assert frame["censored"].to_dict() == {"a": False, "b": True, "c": False, "d": True}


def test_summary_has_median_spread_and_best(results):
    summary = summarize_curves(*results)
    assert summary[["task", "label"]].drop_duplicates().to_numpy().tolist() == [
        ["s3", "MRU"],
        ["parity", "LSTM"],
    ]
    at_16 = summary.query("task == 's3' and metric == 'token_accuracy' and length == 16").iloc[0]
    assert at_16[["median", "best", "worst", "num_runs"]].tolist() == [0.5, 1.0, 0.4, 3]
    assert at_16["deviation"] == pytest.approx(0.1)
    assert at_16["majority_rate"] == pytest.approx(0.2)
    assert len(summary) == 2 * 2 * 2


def test_accuracy_table(results):
    table = accuracy_table(*results, lengths=[16])
    assert table.to_dict("records") == [
        {
            "task": "s3",
            "label": "MRU",
            "seeds": 3,
            "best at 16": 1.0,
            "median at 16": 0.5,
            "best horizon": "≥ 16",
            "median horizon": "8",
        },
        {
            "task": "parity",
            "label": "LSTM",
            "seeds": 1,
            "best at 16": 0.995,
            "median at 16": 0.995,
            "best horizon": "≥ 16",
            "median horizon": "≥ 16",
        },
    ]
    with pytest.raises(InputError, match="length 99 was not measured; there are 8, 16"):
        accuracy_table(*results, lengths=[99])


def test_a_length_of_some_labels_alone_is_missing_of_the_others(results):
    runs, curves = results
    shorter = curves[(curves["run_id"] == "d") | (curves["length"] == 8)]
    table = accuracy_table(runs, shorter, lengths=[8, 16]).set_index("label")
    assert table["median at 8"].tolist() == [1.0, 1.0]
    assert table["best horizon"].tolist() == ["≥ 8", "≥ 16"]
    assert pd.isna(table.at["MRU", "best at 16"]) and pd.isna(table.at["MRU", "median at 16"])
    assert table.at["LSTM", "best at 16"] == 0.995


def test_best_runs(results):
    assert best_runs(*results)["run_id"].tolist() == ["b", "d"]
    assert best_runs(*results, threshold=0.3)["run_id"].tolist() == ["b", "d"]


def test_runs_without_curves(results):
    runs, curves = results
    with pytest.raises(InputError, match="none of the runs"):
        summarize_curves(runs, curves.assign(run_id="z"))
    with pytest.raises(InputError, match="twice"):
        summarize_curves(pd.concat([runs, runs]), curves)
    with pytest.raises(InputError, match="runs lacks the column"):
        summarize_curves(runs.drop(columns="label"), curves)
