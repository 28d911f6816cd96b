"""Published numbers beside measured ones."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from automata.errors import InputError
from statetrack.analysis import PublishedValue, compare_published
from statetrack.analysis.published import STATISTICS, VERDICTS
from statetrack.analysis.published_axes import published_curves, published_rows


def published(value=1.0, tolerance=0.05, length=64, **fields):
    named = {"model": "LSTM", "task": "parity", "metric": "token_accuracy"}
    return PublishedValue(
        "Somebody et al.", "Table 1", length=length, value=value, tolerance=tolerance,
        **{**named, **fields},
    )  # fmt: skip


def measured(values, length=64, **fields):
    return pd.DataFrame(
        {
            "run_id": [f"run {number}" for number in range(len(values))],
            "model": "LSTM",
            "task": "parity",
            "length": length,
            "token_accuracy": values,
            **fields,
        }
    )


def one(frame, value):
    (row,) = compare_published(frame, [value]).to_dict("records")
    return row


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.sampled_from(STATISTICS),
)
def test_the_verdict_follows_from_the_published_statistic_of_the_seeds(
    values, target, tolerance, statistic
):
    row = one(measured(values), published(target, tolerance, statistic=statistic))
    of_seeds = {"median": np.median, "best": np.max, "worst": np.min, "mean": np.mean}
    distance = of_seeds[statistic](values) - target
    assert row["difference"] == pytest.approx(distance)
    assert row["median"] == pytest.approx(np.median(values))
    assert row["deviation"] == pytest.approx(median_abs_deviation(values), abs=1e-12)
    assert (row["best"], row["num_runs"]) == (max(values), len(values))
    if abs(abs(distance) - tolerance) > 1e-5:
        expected = "reproduced" if abs(distance) < tolerance else "not reproduced"
        assert row["verdict"] == expected


def test_at_the_tolerance_itself_it_is_reproduced():
    assert one(measured([0.95]), published(1.0, 0.05))["verdict"] == "reproduced"
    assert one(measured([0.9499]), published(1.0, 0.05))["verdict"] == "not reproduced"


def test_best_and_median_may_differ_in_verdict():
    seeds = measured([0.2, 0.3, 1.0])
    assert one(seeds, published(1.0, 0.05, statistic="best"))["verdict"] == "reproduced"
    assert one(seeds, published(1.0, 0.05, statistic="median"))["verdict"] == "not reproduced"


def test_the_mean_over_lengths_counts_every_length_once_however_many_were_recorded():
    """Dense records at short lengths must not weigh more than sparse ones at long lengths."""
    recorded = [*range(40, 65), 96, 128, 192, 256]
    curve = pd.DataFrame({"length": recorded, "token_accuracy": [1 / n for n in recorded]})
    frame = curve.assign(run_id="a", model="LSTM", task="parity").iloc[::-1]
    row = one(frame, published(length=(40, 256)))
    by_hand = 0.0
    for length in range(40, 257):
        left = max(n for n in recorded if n <= length)
        right = min(n for n in recorded if n >= length)
        share = 0.0 if left == right else (length - left) / (right - left)
        by_hand += (1 - share) / left + share / right
    assert row["median"] == pytest.approx(by_hand / 217)
    assert row["length"] == "40 to 256"


def test_lengths_without_a_row_or_a_number_are_filled_in_between():
    frame = pd.concat([measured([1.0], 63), measured([math.nan], 64), measured([0.5], 65)])
    assert one(frame, published())["median"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    "frame",
    [
        measured([1.0], 63),
        measured([1.0], 65),
        measured([math.nan]),
        measured([1.0], model="GRU"),
        measured([1.0], task="s3"),
        measured([]),
    ],
    ids=["too short", "too long", "no number", "another model", "another task", "no run"],
)
def test_what_was_not_measured_is_said_to_be_so(frame):
    row = one(frame, published())
    assert (row["verdict"], row["num_runs"]) == ("not measured", 0)
    assert math.isnan(row["median"]) and math.isnan(row["difference"])


def test_runs_that_do_not_reach_the_length_are_left_out():
    frame = pd.concat([measured([0.5, 0.7]), measured([1.0], 32).assign(run_id="short")])
    assert one(frame, published())["num_runs"] == 2


def test_rows_come_in_the_order_of_the_published_values():
    values = [published(task="s3"), published(length=8), published()]
    table = compare_published(measured([1.0]), values)
    assert table["task"].tolist() == ["s3", "parity", "parity"]
    assert table["length"].tolist() == ["64", "8", "64"]
    assert set(table["verdict"]) <= set(VERDICTS)
    nothing = compare_published(measured([1.0]), [])
    assert nothing.empty and nothing.columns.equals(table.columns)


def test_each_protocol_is_compared_on_its_own():
    frame = pd.concat(
        [measured([1.0, 1.0]).assign(protocol="ours"), measured([0.2]).assign(protocol="theirs")]
    )
    table = compare_published(frame, [published()], by="protocol")
    assert table.columns[0] == "protocol"
    shown = table[["protocol", "num_runs", "verdict"]].values.tolist()
    assert shown == [["ours", 2, "reproduced"], ["theirs", 1, "not reproduced"]]
    with pytest.raises(InputError, match="lacks the column\\(s\\) protocol"):
        compare_published(measured([1.0]), [published()], by="protocol")


def test_mistakes_are_named():
    with pytest.raises(InputError, match="lacks the column\\(s\\) scaled_accuracy"):
        compare_published(measured([1.0]), [published(metric="scaled_accuracy")])
    with pytest.raises(InputError, match="unknown statistic 'meann': did you mean 'mean'"):
        published(statistic="meann")
    for wrong in ({"value": math.nan}, {"tolerance": -0.1}, {"tolerance": math.inf}):
        with pytest.raises(InputError, match="expected a finite number"):
            published(**wrong)
    for length in (0, (8, 4)):
        with pytest.raises(InputError, match="expected a length >= 1, or two in order"):
            published(length=length)


def drawn_points(axes, marker="D"):
    """Where the published values stand."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def test_published_points_are_drawn_in_the_panel_of_their_task_and_model():
    values = [published(0.4, length=16), published(0.7, length=(8, 16)), published(task="s3")]
    curves = [measured([0.9, 0.8], length).assign(training_length=8) for length in (8, 16)]
    frame = pd.concat(curves).assign(whole_prefix_accuracy=0.5, majority_rate=0.5)
    other = frame.assign(model="GRU")
    panels = {"one": frame, "none": frame[:0], "two": other}
    figure = published_curves(panels, values, metric="token_accuracy")
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    # The styles of curves have diamonds of their own, where there are four labels; not here.
    assert [drawn_points(axes) for axes in figure.axes] == [[(16.0, 0.4)], []]
    with pytest.raises(InputError, match="no run is finished"):
        published_curves({"none": frame[:0]}, values)


def test_every_seed_stands_beside_the_published_number():
    values = [published(0.4, model="GRU"), published(0.9)]
    frame = pd.concat(
        [measured([1.0, 0.8]).assign(protocol="ours"), measured([0.2]).assign(protocol="theirs")]
    )
    (axes,) = published_rows({"parity": frame}, values, "accuracy").axes
    assert drawn_points(axes) == [(0.4, 0.0), (0.9, 1.0)]
    assert [x for x, _ in drawn_points(axes, "o")] == [0.8, 1.0, 0.2]
    assert [x for x, _ in drawn_points(axes, "|")] == pytest.approx([0.9, 0.2])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["GRU", "LSTM"]
    with pytest.raises(InputError, match="no run is finished"):
        published_rows({"parity": frame[:0]}, values, "accuracy")
