"""Comparisons against published examples and against scipy."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from automata.errors import InputError
from statetrack.analysis import compare, compare_controlled, controlled_pairs, holm
from statetrack.analysis.intervals import superiority_interval
from statetrack.analysis.permutations import (
    exchange_shifts,
    p_value,
    shift_interval,
    sign_flip_shifts,
)

# Darwin's cross- and self-fertilised maize, in eighths of an inch (Fisher 1935, section 17).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# Survival of mice in days (Efron, Tibshirani: An Introduction to the Bootstrap, 1993, table 2.1).
TREATED, CONTROL = [94, 197, 16, 38, 99, 141, 23], [52, 104, 146, 10, 51, 30, 40, 27, 46]

values = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=2, max_size=6)


def frame(numbers, **columns):
    return pd.DataFrame({"seed": range(len(numbers)), "x": numbers} | columns)


def test_fishers_test_of_darwins_maize():
    """863 of 32,768 ways to give signs make a sum at least as large; Fisher counted both sides."""
    shifts = sign_flip_shifts(DARWIN)
    assert p_value(shifts, 75) * 2**15 == pytest.approx(1726)
    found = compare(frame(DARWIN), frame([0.0] * 15), "x", by=["seed"])
    assert found.effect == pytest.approx(314 / 15)
    assert found.p_value == pytest.approx(0.05267, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((-0.167, 41.0), abs=1e-3)
    assert found.verdict == "no difference shown"
    assert found.num_pairs == 15


def test_the_mice():
    """Their permutation test drew .132 one-sided from 1,000; scipy lists all 11,440."""
    found = compare(frame(TREATED), frame(CONTROL), "x", by=[])
    assert found.effect == pytest.approx(30.63, abs=5e-3)
    assert found.p_value / 2 == pytest.approx(0.132, abs=0.02)
    exact = stats.permutation_test(
        (TREATED, CONTROL),
        lambda one, other, axis: one.mean(axis) - other.mean(axis),
        vectorized=True,
        n_resamples=np.inf,
    )
    assert found.p_value == pytest.approx(exact.pvalue)


def test_means_of_large_groups_are_drawn_and_agree_with_the_t_test():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.4, 1, 60), rng.normal(0, 1, 50)
    student = stats.ttest_ind(one, other)
    found = compare(frame(one), frame(other), "x", by=[])
    assert found.p_value == pytest.approx(student.pvalue, rel=0.15)
    interval = student.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.03)
    assert found == compare(frame(one), frame(other), "x", by=[])
    paired = compare(frame(one[:50]), frame(other), "x", by=["seed"])
    related = stats.ttest_rel(one[:50], other)
    assert paired.p_value == pytest.approx(related.pvalue, rel=0.15)


@settings(max_examples=25, deadline=None)
@given(one=values, other=values)
def test_exchanging_is_scipys_permutation_test(one, other):
    found = p_value(exchange_shifts(one, other), 5.0)
    exact = stats.permutation_test(
        (one, other),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        vectorized=True,
        n_resamples=np.inf,
    )
    assert found == pytest.approx(exact.pvalue)


@settings(max_examples=25, deadline=None)
@given(differences=values)
def test_flipping_signs_by_listing_all_of_them(differences):
    sums = [
        abs(np.dot(signs, differences))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    share = np.mean(np.asarray(sums) >= abs(sum(differences)) - 1e-9)
    assert p_value(sign_flip_shifts(differences), 5.0) == pytest.approx(share)


@settings(max_examples=25, deadline=None)
@given(one=values, other=values, level=st.sampled_from([0.6, 0.8, 0.95]))
def test_an_interval_holds_what_the_test_does_not_reject(one, other, level):
    """Shift the first group to just inside and just outside of both ends and test again."""
    one, other = np.asarray(one), np.asarray(other)
    low, high = shift_interval(exchange_shifts(one, other), level)
    assert low <= one.mean() - other.mean() <= high
    for end, inward in ((low, 1), (high, -1)):
        if math.isinf(end):
            continue
        for shift, inside in ((end + inward * 1e-3, True), (end - inward * 1e-3, False)):
            rejected = p_value(exchange_shifts(one - shift, other), 5.0) <= 1 - level + 1e-9
            assert rejected is not inside or (inside and low == high)


def test_ranks_are_the_mann_whitney_test():
    rng = np.random.default_rng(2)
    one, other = rng.normal(0.8, 1, 8), rng.normal(0, 1, 9)
    found = compare(frame(one), frame(other), "x", by=[], effect="superiority")
    exact = stats.mannwhitneyu(one, other, method="exact")
    assert found.p_value == pytest.approx(exact.pvalue)
    assert found.effect == pytest.approx(exact.statistic / 72)


def test_pairs_of_which_order_counts_are_the_sign_test():
    one, other = frame([5, 6, 7, 8, 9, 9, 1, 4]), frame([1, 2, 3, 4, 5, 9, 2, 3])
    found = compare(one, other, "x", by=["seed"], effect="superiority")
    exact = stats.binomtest(6, 7)
    assert (found.effect, found.p_value) == (6 / 7, exact.pvalue)
    ends = exact.proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize("counts", [(9, 1, 4, 6), (5, 0, 0, 5), (7, 3, 6, 4)])
def test_truth_values_are_fishers_exact_test(counts):
    solved_one, failed_one, solved_other, failed_other = counts
    one = frame([True] * solved_one + [False] * failed_one)
    other = frame([True] * solved_other + [False] * failed_other)
    found = compare(one, other, "x", by=[])
    tails = [
        stats.fisher_exact([counts[:2], counts[2:]], alternative=side).pvalue
        for side in ("less", "greater")
    ]
    assert found.p_value == pytest.approx(min(1, 2 * min(tails)))


def test_superiority_covers_what_it_says():
    rng = np.random.default_rng(3)
    for first, second, shift in ((5, 5, 1.0), (12, 8, 2.0)):
        true = stats.norm.cdf(shift / math.sqrt(2))
        inside = 0
        for _ in range(400):
            above = rng.normal(shift, 1, first)[:, None] > rng.normal(0, 1, second)
            low, high = superiority_interval(above.mean(), first, second)
            inside += low <= true <= high
        assert 0.92 <= inside / 400 <= 0.99


def test_runs_are_paired_where_they_can_be():
    table = frame(np.arange(8.0), task="s3")
    assert compare(table, table, "x").num_pairs == 8
    assert compare(table, table.iloc[:6], "x").num_left_out == 2
    few = compare(table.iloc[:5], table.iloc[:5], "x")
    assert (few.num_pairs, few.num_runs) == (0, (5, 5))  # 2 ** -4 is no result at level 95 %
    assert compare(table.iloc[:5], table.iloc[:5], "x", level=0.9).num_pairs == 5
    strangers = table.assign(seed=table.seed + 7)
    assert compare(table, strangers, "x").num_pairs == 0
    twice = pd.concat([table, table])
    assert compare(twice, table, "x").num_pairs == 0


def test_sentences_and_verdicts():
    low, high = frame([0.1] * 5), frame([0.9] * 5)
    found = compare(low, high, "x", names=("A", "B"), effect="superiority")
    assert found.sentence == (
        "x of A and B: B is above in 100% of pairs of runs (95% interval 64% to 100%), p = .0079 "
        "over 5 and 5 runs. The difference is real: B is above A."
    )
    assert found.verdict == "second is above"
    few = compare(low.iloc[:2], high.iloc[:2], "x")
    assert few.verdict == "too few runs"
    assert (few.low, few.high) == (-math.inf, math.inf)
    assert "−∞ to ∞" in few.sentence
    assert "smallest p-value they could give is .33" in few.sentence
    same = compare(low, low, "x")
    assert (same.effect, same.p_value, same.verdict) == (0, 1, "no difference shown")
    row = found.to_frame().iloc[0]
    assert (row["verdict"], row["median_first"], row["runs_second"]) == ("second is above", 0.1, 5)


def test_holm_as_published():
    """Holm 1979, section 3: the smallest times n, the next times n - 1, never falling."""
    assert holm([0.01, 0.02, 0.03, 0.04]).tolist() == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.001]).tolist() == pytest.approx([0.9, 0.002])
    assert holm([]).size == 0


@pytest.fixture
def grid():
    """Two ranges times two factors, and an LSTM; five seeds; the range decides."""
    rows = []
    for label, model, bounds, factors in (
        ("n1 [0,1]", "householder", "[0,1]", 1),
        ("n1 [-1,1]", "householder", "[-1,1]", 1),
        ("n2 [0,1]", "householder", "[0,1]", 2),
        ("n2 [-1,1]", "householder", "[-1,1]", 2),
        ("LSTM", "lstm", None, None),
    ):
        for seed in range(5):
            horizon = (10 if bounds == "[0,1]" else 100) + seed
            rows.append(("parity", label, model, bounds, factors, seed, horizon))
    names = ["task", "label", "model", "model.eigenvalue_range", "model.num_factors", "seed"]
    return pd.DataFrame(rows, columns=[*names, "horizon"])


def test_controlled_pairs_differ_by_one_setting(grid):
    pairs = controlled_pairs(grid)
    assert {(pair.first, pair.second, pair.setting) for pair in pairs} == {
        ("n1 [0,1]", "n1 [-1,1]", "model.eigenvalue_range"),
        ("n2 [0,1]", "n2 [-1,1]", "model.eigenvalue_range"),
        ("n1 [0,1]", "n2 [0,1]", "model.num_factors"),
        ("n1 [-1,1]", "n2 [-1,1]", "model.num_factors"),
    }


def test_controlled_comparisons_are_adjusted_within_a_question(grid):
    table = compare_controlled(grid, "horizon").set_index(["setting", "first"])
    ranges = table.loc["model.eigenvalue_range"]
    assert ranges["adjusted_p_value"].tolist() == pytest.approx([4 / 252, 4 / 252])
    assert set(ranges["verdict"]) == {"second is above"}
    assert set(table.loc["model.num_factors", "verdict"]) == {"no difference shown"}
    strict = compare_controlled(grid, "horizon", level=0.99).set_index(["setting", "first"])
    assert set(strict.loc["model.eigenvalue_range", "verdict"]) == {"too few runs"}
    assert compare_controlled(grid[grid.label == "LSTM"], "horizon").empty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare(frame([1]), frame([1]), "y"), "unknown column 'y'"),
        (lambda: compare(frame([]), frame([1]), "x"), "'first' has no runs"),
        (lambda: compare(frame([1]), frame([None, 1]), "x"), "1 of 2 runs of group 'second'"),
        (lambda: compare(frame([1]), frame([1]), "x", effect="median"), "unknown effect 'median'"),
        (lambda: compare(frame([1]), frame([1]), "x", level=95), "level = 95"),
        (lambda: compare(frame([1]), frame([math.inf]), "x"), "finite"),
        (lambda: superiority_interval(1.2, 3, 3), "share = 1.2"),
        (lambda: controlled_pairs(frame([1])), "lacks the column task"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
