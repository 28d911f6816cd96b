"""How good predictions of the horizon are: rank correlation and distance on a log scale."""

import math

import numpy as np
import pandas as pd

from automata.errors import InputError

COLUMNS = ("group", "predictor", "predicted", "measured", "censored")


def horizon_scores(frame: pd.DataFrame) -> pd.DataFrame:
    """Score predictors, over all models together and within every group.

    Parameters
    ----------
    frame : DataFrame
        One row a model and predictor: group, predictor, predicted (missing where it says nothing),
        measured, censored (the model was not seen to fail: `measured` is a lower bound).

    Returns
    -------
    DataFrame
        predictor, group ("all" for all together), models, censored, missing, spearman (of predicted
        and measured lengths; censored models count with the length they reached), median_log10 and
        bias_log10 (median size, and median, of log10 of predicted over measured, over models that
        were seen to fail).

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> frame = pd.DataFrame({"group": "S3", "predictor": "weights", "predicted": [10.0, 100.0],
    ...                       "measured": [10, 10], "censored": [False, True]})
    >>> horizon_scores(frame)[["predictor", "group", "models", "median_log10"]].values.tolist()
    [['weights', 'all', 2, 0.0], ['weights', 'S3', 2, 0.0]]
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"the table of horizons lacks the column(s) {', '.join(missing)}")
    rows = []
    for predictor, own in frame.groupby("predictor", sort=False):
        for group, part in [("all", own), *own.groupby("group", sort=False)]:
            rows.append({"predictor": predictor, "group": group, **_scores(part)})
    return pd.DataFrame(rows)


def _scores(part: pd.DataFrame) -> dict[str, float]:
    from scipy.stats import spearmanr  # takes a while to import

    known = part[part["predicted"].notna() & (part["predicted"] > 0) & (part["measured"] > 0)]
    seen = known[~known["censored"].astype(bool)]
    ratio = np.log10(seen["predicted"].astype(float) / seen["measured"].astype(float))
    varies = known["predicted"].nunique() > 1 and known["measured"].nunique() > 1
    rank = spearmanr(known["predicted"], known["measured"]).statistic if varies else math.nan
    return {
        "models": len(part),
        "censored": int(part["censored"].sum()),
        "missing": len(part) - len(known),
        "spearman": float(rank),
        "median_log10": float(ratio.abs().median()),
        "bias_log10": float(ratio.median()),
    }
