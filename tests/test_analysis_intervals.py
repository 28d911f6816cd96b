"""Intervals against laws that are known exactly."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from automata.errors import InputError
from statetrack.analysis import (
    bootstrap_interval,
    median_intervals,
    order_statistic_interval,
    share_interval,
)


def quantile(values, weights, share):
    """Smallest value with at least this share of the weight up to it."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(np.asarray(weights, dtype=float)[order])
    return np.asarray(values)[order][np.searchsorted(total / total[-1], share - 1e-12)]


@pytest.mark.parametrize("statistic", [np.median, np.mean, np.max])
def test_all_resamples_of_four_values(statistic):
    """256 resamples, listed; 20,000 drawn ones have the same quantiles."""
    values = [1.0, 2.0, 4.0, 9.0]
    every = [float(statistic(list(chosen))) for chosen in itertools.product(values, repeat=4)]
    for level in (0.5, 0.8):
        found = bootstrap_interval(values, statistic, level=level, num_resamples=20000)
        expected = (quantile(every, [1] * 256, (1 + side * level) / 2) for side in (-1, 1))
        assert found == pytest.approx(tuple(expected), abs=0.26)


def test_resamples_are_a_function_of_the_seed(monkeypatch):
    values = np.arange(30.0)
    one = bootstrap_interval(values, np.mean, num_resamples=300)
    assert one != bootstrap_interval(values, np.mean, num_resamples=300, seed=1)
    monkeypatch.setattr("statetrack.analysis.intervals._VALUES_PER_CHUNK", 100)
    assert one == bootstrap_interval(values, np.mean, num_resamples=300)


@settings(max_examples=30, deadline=None)
@given(total=st.integers(1, 300), share=st.floats(0, 1), level=st.sampled_from([0.5, 0.9, 0.95]))
def test_shares_have_binomial_and_clopper_pearson_intervals(total, share, level):
    count = round(share * total)
    low, high = share_interval(count, total, level=level)
    weights = stats.binom.pmf(np.arange(total + 1), total, count / total)
    assert low * total == pytest.approx(quantile(np.arange(total + 1), weights, (1 - level) / 2))
    assert high * total == pytest.approx(quantile(np.arange(total + 1), weights, (1 + level) / 2))
    exact = stats.binomtest(count, total).proportion_ci(level, method="exact")
    found = share_interval(count, total, level=level, method="clopper_pearson")
    assert found == pytest.approx((exact.low, exact.high))
    assert exact.low - 1e-9 <= count / total <= exact.high + 1e-9


def test_the_share_is_a_bootstrap():
    right = np.repeat([1.0, 0.0], [180, 20])
    resampled = bootstrap_interval(right, np.mean, num_resamples=20000)
    low, high = share_interval(180, 200)
    assert resampled == pytest.approx((float(low), float(high)), abs=0.0051)


@pytest.mark.parametrize("rank", [1, 7, 40, 60])
def test_the_order_statistic_is_a_bootstrap(rank):
    values = np.random.default_rng(1).integers(0, 200, 60)

    def statistic(resamples, axis):
        return np.sort(resamples, axis=axis)[..., rank - 1]

    resampled = bootstrap_interval(values, statistic, num_resamples=20000)
    exact = order_statistic_interval(values, rank)
    ordered = np.unique(values)
    places = [np.searchsorted(ordered, ends) for ends in (resampled, exact)]
    assert abs(places[0] - places[1]).max() <= 1


def test_an_interval_covers_as_often_as_it_says():
    """300 samples of 50 words each, of which 30 % are right."""
    counts = np.random.default_rng(0).binomial(50, 0.3, 300)
    low, high = share_interval(counts, 50, method="clopper_pearson")
    assert ((low <= 0.3) & (high >= 0.3)).mean() >= 0.93


def test_medians_by_group():
    table = pd.DataFrame(
        {
            "task": ["s3"] * 6 + ["z2"] * 3,
            "label": "LSTM",
            "length": [8, 16] * 3 + [8] * 3,
            "token_accuracy": [1.0, 0.5, 0.9, 0.4, 0.8, 0.6, 1.0, 1.0, 1.0],
        }
    )
    found = median_intervals(table, "token_accuracy", ["task", "label", "length"])
    assert found.values.tolist() == [
        ["s3", "LSTM", 8, 0.9, 0.8, 1.0, 3],
        ["s3", "LSTM", 16, 0.5, 0.4, 0.6, 3],
        ["z2", "LSTM", 8, 1.0, 1.0, 1.0, 3],
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([]), "at least one value"),
        (lambda: bootstrap_interval([1.0], level=1.0), "level = 1.0"),
        (lambda: bootstrap_interval([1.0], num_resamples=0), "num_resamples is 0"),
        (lambda: share_interval(3, 2), "0 <= successes <= totals"),
        (lambda: share_interval(1, 2, method="wilsn"), "unknown method 'wilsn'"),
        (lambda: order_statistic_interval([1, 2], 3), "rank is 3"),
        (lambda: median_intervals(pd.DataFrame({"task": []}), "horizon"), "label, horizon"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
