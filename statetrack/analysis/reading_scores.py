"""What the readings of many trained models come to: automata, adversarial words, certificates."""

import numpy as np
import pandas as pd

from automata.errors import InputError

WITHIN = 0.25
LEAST_PREDICTED = 50
NEEDED = (
    "group",
    "longest",
    "first_random_failure",
    "adversarial_length",
    "period_predicted",
    "period_length",
    "cycle_predicted",
    "cycle_length",
    "certified",
)


def extraction_scores(
    runs: pd.DataFrame,
    thresholds: pd.DataFrame,
    automata: pd.DataFrame,
    *,
    times: float = 4.0,
    accuracy: float = 0.99,
) -> pd.DataFrame:
    """Count the models that carry far whose extracted automaton is the true one.

    Parameters
    ----------
    runs : DataFrame
        run_id, training_length.
    thresholds : DataFrame
        Of the runs, as `ReportCurve.thresholds` with run_id.
    automata : DataFrame
        run_id and what `extract_dfa` found: task, equivalent, distinguishing_word.
    times : float
        Models count that reach the accuracy at every length up to this many training lengths.
    accuracy : float
        Whole-prefix accuracy; one of the thresholds.

    Returns
    -------
    DataFrame
        One row a task, after "all": task, models, same (of which the automaton is the true one),
        failures (run id and a shortest word that tells both apart, one run after the other).

    Raises
    ------
    InputError
        The accuracy is none of the thresholds.

    Examples
    --------
    >>> runs = pd.DataFrame({"run_id": ["a", "b"], "training_length": [10, 10]})
    >>> thresholds = pd.DataFrame({"run_id": ["a", "b"], "metric": "whole_prefix_accuracy",
    ...                            "threshold": 0.99, "length": [40, 39]})
    >>> automata = pd.DataFrame({"run_id": ["a", "b"], "task": "parity",
    ...                          "equivalent": [False, True], "distinguishing_word": ["1 1", ""]})
    >>> extraction_scores(runs, thresholds, automata).values.tolist()
    [['all', 1, 0, 'a: 1 1'], ['parity', 1, 0, 'a: 1 1']]
    """
    kind = (thresholds.metric == "whole_prefix_accuracy") & (thresholds.threshold == accuracy)
    if not kind.any():
        known = sorted(set(thresholds.threshold))
        raise InputError(f"accuracy = {accuracy}: the thresholds are {known}")
    reached = runs[["run_id", "training_length"]].merge(thresholds[kind], on="run_id")
    far = reached.run_id[reached.length >= times * reached.training_length]
    seen = automata[automata.run_id.isin(far)]
    rows = []
    for task, own in [("all", seen), *seen.groupby("task", sort=False)]:
        wrong = own[~own.equivalent.astype(bool)]
        failures = wrong.run_id + ": " + wrong.distinguishing_word.fillna("?").astype(str)
        rows.append(
            {
                "task": task,
                "models": len(own),
                "same": len(own) - len(wrong),
                "failures": "; ".join(failures),
            }
        )
    return pd.DataFrame(rows)


def adversary_scores(horizons: pd.DataFrame) -> pd.DataFrame:
    """Score words that break models, their predicted lengths, and certificates.

    Parameters
    ----------
    horizons : DataFrame
        One row a model, of `horizon_tables`.

    Returns
    -------
    DataFrame
        One row a group, after "all": group; models; found (with an adversarial word); before_random
        (it fails before the first of all report words); times_earlier (median of the ratio; models
        whose report words are all right count with one letter more than the longest); periods (of
        which the first repeated block was predicted to fail, at 50 letters or later),
        periods_within (it did within 25 % of the prediction); cycles, cycles_within (the same of
        the cheapest cycle, to first order); violations (certified as far as a word known to fail).

    Raises
    ------
    InputError
        A column is missing, as in what earlier versions have read.

    Examples
    --------
    >>> horizons = pd.DataFrame({
    ...     "group": "S3", "adversarial_length": [20.0, 30.0], "first_random_failure": [40.0, None],
    ...     "longest": 89, "cycle_predicted": [60.0, 10.0], "cycle_length": [50.0, 30.0],
    ...     "period_predicted": [90.0, 70.0], "period_length": [None, 70.0], "certified": [4, 30]})
    >>> scores = adversary_scores(horizons).iloc[0]
    >>> scores[["models", "found", "before_random", "times_earlier"]].astype(float).tolist()
    [2.0, 2.0, 2.0, 2.5]
    >>> kinds = ["periods", "periods_within", "cycles", "cycles_within", "violations"]
    >>> scores[kinds].astype(int).tolist()
    [2, 1, 1, 1, 1]
    """
    missing = [name for name in NEEDED if name not in horizons]
    if missing:
        raise InputError(f"the horizons lack column(s) to be read again: {', '.join(missing)}")
    return pd.DataFrame(
        [
            {"group": group, **_adversaries(own)}
            for group, own in [("all", horizons), *horizons.groupby("group", sort=False)]
        ]
    )


def _adversaries(own: pd.DataFrame) -> dict[str, float]:
    adversarial = own.adversarial_length.astype(float)
    random = own.first_random_failure.astype(float)
    ratio = random.fillna(own.longest + 1) / adversarial
    known_to_fail = np.fmin(adversarial, random)
    return {
        "models": len(own),
        "found": int(adversarial.notna().sum()),
        "before_random": int((ratio > 1).sum()),
        "times_earlier": float(ratio.median()),
        **_within(own, "period"),
        **_within(own, "cycle"),
        "violations": int((own.certified >= known_to_fail).sum()),
    }


def _within(own: pd.DataFrame, kind: str) -> dict[str, int]:
    predicted = own[f"{kind}_predicted"].astype(float)
    counted = np.isfinite(predicted) & (predicted >= LEAST_PREDICTED)
    error = (own[f"{kind}_length"].astype(float) / predicted - 1).abs()
    return {
        f"{kind}s": int(counted.sum()),
        f"{kind}s_within": int((counted & (error <= WITHIN)).sum()),
    }
