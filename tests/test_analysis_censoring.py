"""Horizons with censored runs, against scipy and a published example."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from automata.errors import InputError
from statetrack.analysis import (
    horizon_distribution,
    run_horizons,
    seeds_solved,
    summarize_horizons,
    with_variants,
)

# Weeks of remission of leukaemia under 6-mercaptopurine and placebo (Freireich et al., Blood 21,
# 1963), + marks a patient who was still well: the example of most textbooks on survival.
TREATED = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def read(text):
    words = text.split()
    return [int(word.rstrip("+")) for word in words], [word.endswith("+") for word in words]


def test_the_published_example():
    found = horizon_distribution(*read(TREATED))
    table = found.to_frame().set_index("length")["beyond"]
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, share in published.items():
        assert table[week] == pytest.approx(share, abs=5e-4)
    assert found.median == 23
    assert (found.num_runs, found.num_censored, found.longest) == (21, 12, 35)
    assert found.quartiles[0] == 13
    assert found.text(found.quartiles[2]) == "≥ 35"
    assert 13 <= found.low < 23 < found.high == math.inf  # published, log-log: 13 to unknown
    placebo = horizon_distribution(*read(PLACEBO))
    assert (placebo.median, placebo.low) == (8, 4)
    assert 11 <= placebo.high <= 12  # published: 11 or 12


@settings(max_examples=50, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12),
)
def test_it_is_scipys_kaplan_meier(runs):
    lengths, censored = (np.asarray(part) for part in zip(*runs, strict=True))
    found = horizon_distribution(lengths, censored, num_resamples=10)
    exact = stats.ecdf(stats.CensoredData.right_censored(lengths, censored)).sf
    assert found.lengths.tolist() == exact.quantiles.tolist()
    assert found.beyond == pytest.approx(exact.probabilities)


def test_without_censoring_it_is_the_empirical_distribution():
    values = np.random.default_rng(0).integers(1, 100, 31)
    found = horizon_distribution(values, np.zeros(31, bool))
    assert found.median == np.median(values)
    assert found.quartiles[0] == np.quantile(values, 0.25, method="inverted_cdf")


def test_runs_measured_less_far_do_not_pull_the_median_down():
    """Half of the runs were stopped at 64; their horizons as numbers would halve the median."""
    horizons, censored = [64] * 10 + [256] * 10, [True] * 10 + [False] * 10
    assert horizon_distribution(horizons, censored).median == 256
    assert np.median(horizons) == 160


def test_the_interval_covers_the_median():
    """200 samples of 30 exponential lifetimes, a third of them censored."""
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        times, limits = rng.exponential(1, 30), rng.exponential(2, 30)
        found = horizon_distribution(
            np.minimum(times, limits), times > limits, num_resamples=500, seed=seed
        )
        inside += found.low <= math.log(2) <= found.high
    assert 0.9 <= inside / 200 <= 0.99


def runs_table(**columns):
    return pd.DataFrame({"run_id": list("abcd"), "task": "s3", "label": "m"} | columns)


def curves_table():
    return pd.DataFrame(
        {
            "run_id": np.repeat(list("abc"), 3),
            "length": [8, 16, 32] * 3,
            "token_accuracy": [1, 1, 1, 1, 1, 0.5, 0.5, 1, 1],
            "whole_prefix_accuracy": [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5],
        }
    )


def test_recorded_horizons_are_taken_where_they_are():
    """Run b fell at 23, which the recorded lengths do not hold; run d has no curve."""
    runs = runs_table(token_horizon=[32, 22, None, 5])
    found = run_horizons(runs, curves_table()).set_index("run_id")
    assert found["horizon"].to_dict() == {"a": 32, "b": 22, "c": 0}
    assert found["censored"].to_dict() == {"a": True, "b": False, "c": False}
    strict = run_horizons(runs, curves_table(), metric="whole_prefix_accuracy")
    assert strict["horizon"].tolist() == [32, 8, 0]
    half = run_horizons(runs, curves_table(), threshold=0.5)
    assert half["horizon"].tolist() == [32, 32, 32]


def test_summaries_by_group():
    reached = run_horizons(runs_table(), curves_table())
    (row,) = summarize_horizons(reached).to_dict("records")
    assert (row["num_runs"], row["num_censored"], row["worst"], row["best"]) == (3, 1, 0, 32)
    assert (row["lower_quartile"], row["median"], row["upper_quartile"]) == (0, 16, math.inf)
    assert summarize_horizons(reached.iloc[:0]).empty


def test_seeds_that_failed_are_not_solved():
    runs = runs_table(solved_step=[100, None, 300, None], status=["finished"] * 3 + ["failed"])
    (row,) = seeds_solved(runs).to_dict("records")
    exact = stats.binomtest(2, 4).proportion_ci(0.95, method="exact")
    assert (row["solved"], row["num_runs"], row["median_step"]) == (2, 4, 200)
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high))


def test_wilsons_interval_is_scipys():
    from statetrack.analysis import share_interval

    for count, total in ((0, 5), (3, 7), (32, 32), (27, 32)):
        exact = stats.binomtest(count, total).proportion_ci(0.9, method="wilson")
        found = share_interval(count, total, level=0.9, method="wilson")
        assert found == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_variants_name_what_varies_within_a_label():
    runs = runs_table(
        **{
            "seed": [0, 1, 0, 1],
            "model.width": 64,
            "training.steps": [10, 10, 20, 20],
            "training.warmup_steps": [1, 1, 2, 2],
            "model.range_steepness": [np.nan, np.nan, 4.0, 4.0],
        }
    )
    found = with_variants(runs)
    assert found["label"].unique().tolist() == ["m, steps 10", "m, steps 20"]
    assert runs["label"].unique().tolist() == ["m"]
    same = with_variants(runs[["run_id", "task", "label", "model.width"]])
    assert same["label"].unique().tolist() == ["m"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: horizon_distribution([], []), "0 horizons and 0 marks"),
        (lambda: horizon_distribution([1, 2], [True]), "2 horizons and 1 marks"),
        (lambda: horizon_distribution([1], [True], level=2), "level = 2"),
        (lambda: seeds_solved(runs_table()), "solved_step"),
        (lambda: summarize_horizons(runs_table()), "horizon, censored"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
