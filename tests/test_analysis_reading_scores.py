"""Scores of readings against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.analysis.reading_scores import adversary_scores, extraction_scores


def test_automata_are_counted_over_models_that_carry_far():
    """Far is four times the training length; another metric and threshold do not count."""
    runs = pd.DataFrame({"run_id": list("abcd"), "training_length": [10, 10, 20, 10]})
    limits = pd.DataFrame(
        {
            "run_id": list("abcd"),
            "metric": "whole_prefix_accuracy",
            "threshold": 0.99,
            "length": [40, 400, 79, 41],
        }
    )
    others = limits.assign(metric="token_accuracy", length=9999)
    automata = pd.DataFrame(
        {
            "run_id": list("abcd"),
            "task": ["s3", "s3", "s3", "z5"],
            "equivalent": [True, False, False, False],
            "distinguishing_word": ["", "0 1", "2", None],
        }
    )
    scores = extraction_scores(runs, pd.concat([others, limits]), automata)
    assert scores.values.tolist() == [
        ["all", 3, 1, "b: 0 1; d: ?"],
        ["s3", 2, 1, "b: 0 1"],
        ["z5", 1, 0, "d: ?"],
    ]
    nobody = extraction_scores(runs, limits, automata, times=1000)
    assert nobody.values.tolist() == [["all", 0, 0, ""]]
    with pytest.raises(InputError, match=r"accuracy = 0\.97: the thresholds are \[0\.99\]"):
        extraction_scores(runs, limits, automata, accuracy=0.97)


def test_adversarial_words_are_scored_group_by_group():
    horizons = pd.DataFrame(
        [
            # group, adversarial, random, period and cycle (predicted, real), certified
            ("S3", 20, 40, 60, 50, np.inf, None, 19),
            ("S3", 40, 40, 60, 80, 50, 62, 40),
            ("Z5", None, None, np.inf, None, np.nan, None, 100),
            ("Z5", 50, None, 49, 49, 1000, None, 4),
        ],
        columns=[
            "group",
            "adversarial_length",
            "first_random_failure",
            "period_predicted",
            "period_length",
            "cycle_predicted",
            "cycle_length",
            "certified",
        ],
    ).assign(longest=99)
    scores = adversary_scores(horizons).set_index("group")
    columns = ["models", "found", "before_random", "periods", "periods_within", "cycles"]
    columns += ["cycles_within", "violations"]
    assert scores.loc["S3", columns].tolist() == [2, 2, 1, 2, 1, 1, 1, 1]
    assert scores.loc["Z5", columns].tolist() == [2, 1, 1, 0, 0, 1, 0, 0]
    assert scores.loc["all", columns].tolist() == [4, 3, 2, 2, 1, 2, 1, 1]
    assert scores.times_earlier.tolist() == [2.0, 1.5, 2.0]
    with pytest.raises(InputError, match="read again: period_predicted"):
        adversary_scores(horizons.drop(columns="period_predicted"))
