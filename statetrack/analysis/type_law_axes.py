"""Horizons over errors of trained models beside the slopes of the type law, drawn on one Axes."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from statetrack.analysis.type_law import fitted_slopes, scaled_slopes

COLORS = {"D4": "#0072B2", "D6": "#009E73", "Q8": "#D55E00", "Dic3": "#CC79A7"}
"""Of groups, from the palette of Okabe and Ito."""

_OUT: dict[str, Any] = {
    "color": "0.4",
    "linestyle": ":",
    "marker": "x",
    "markersize": 4,
    "linewidth": 0.7,
}


def slope_guides(axes: Axes, right: float = 0.3) -> None:
    """Draw the two slopes that are predicted as broad grey lines.

    Parameters
    ----------
    axes : Axes
    right : float
        Error at which both end. Their heights are near those of trained models, and no prediction.
    """
    for slope, height, start in ((-2, 1.25, 1.1e-3), (-1, 1.7, 6e-5)):
        x = np.array([start, right])
        y = height * x**slope
        axes.plot(x, y, color="0.86", linewidth=5, solid_capstyle="butt", zorder=0)
        axes.annotate(
            f"slope −{-slope}",
            (x[0], y[0]),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=6.5,
            color="0.35",
        )


def horizons_over_error(frame: pd.DataFrame, axes: Axes, cap: int) -> None:
    """Draw a point a model and a line a kind, fitted over its models.

    Parameters
    ----------
    frame : DataFrame
        group (of `COLORS`), drift_directions, draw (its seed), error, horizon (infinite beyond the
        cap: drawn there, and in no fit), part and size (hollow where they differ), carries (false:
        crosses, in no line of the legend but their own).
    axes : Axes
    cap : int
        Longest horizon looked for.
    """
    used, out = frame[frame.carries], frame[~frame.carries]
    for own in frame.itertuples():
        style = _style(own.group, own.drift_directions)
        face = style["color"] if own.part == own.size else "white"
        style |= {"linestyle": "", "markerfacecolor": face, "markeredgewidth": 0.7}
        if np.isinf(own.horizon):
            style["marker"] = "^"
        axes.plot(own.error, min(own.horizon, cap), **(style if own.carries else style | _OUT))
    known = frame[np.isfinite(frame.horizon)]
    fits = fitted_slopes(known)
    for kind in _kinds(used):
        style, fit, own = _style(*kind), _of(fits, kind), _of(known, kind)
        for line in fit.itertuples():
            ends = np.array([own.error.min(), own.error.max()])
            height = np.exp(line.intercept) * ends**line.slope
            axes.plot(ends, height, **(style | {"marker": ""}))
        axes.plot([], [], label=_label(kind, fit, len(_of(used, kind))), **style)
    if (used.part < used["size"]).any():
        hollow: dict[str, Any] = {"color": "0.3", "markerfacecolor": "white", "markersize": 3.4}
        axes.plot([], [], "s", label="hollow: a part of the state represents", **hollow)
    if np.isinf(used.horizon).any():
        axes.plot([], [], "^", color="0.3", markersize=3.4, label=f"farther than {cap:,} letters")
    _name_left_out(axes, len(out))


def horizons_of_scaled_errors(frame: pd.DataFrame, axes: Axes) -> None:
    """Draw a line a model, over its own errors times some factors.

    Parameters
    ----------
    frame : DataFrame
        As for `scaled_slopes`, and carries (false: dotted and grey).
    axes : Axes
    """
    for _, one in frame.groupby("draw"):
        style = _style(one.group.iloc[0], one.drift_directions.iloc[0])
        style |= {"marker": ".", "markersize": 2.5} if one.carries.all() else _OUT
        axes.plot(one.error, one.horizon, **(style | {"linewidth": 0.7}))
    used = frame[frame.carries]
    fits = scaled_slopes(used)
    for kind in _kinds(used):
        label = _label(kind, _of(fits, kind), _of(used, kind).draw.nunique())
        axes.plot([], [], label=label, **(_style(*kind) | {"marker": ""}))
    _name_left_out(axes, frame.draw.nunique() - used.draw.nunique())


def _style(group: str, drift: int) -> dict[str, Any]:
    """Solid lines and squares where nothing adds up, dashed ones and circles where errors do."""
    line, marker = ("--", "o") if drift else ("-", "s")
    return {"color": COLORS[group], "linestyle": line, "marker": marker, "markersize": 3.4}


def _kinds(frame: pd.DataFrame) -> list[tuple[str, int]]:
    pairs = frame[["group", "drift_directions"]].drop_duplicates()
    return sorted((str(group), int(drift)) for group, drift in pairs.itertuples(index=False))


def _of(frame: pd.DataFrame, kind: tuple[str, int]) -> pd.DataFrame:
    return frame[(frame.group == kind[0]) & (frame.drift_directions == kind[1])]


def _label(kind: tuple[str, int], fit: pd.DataFrame, count: int) -> str:
    if fit.empty:
        return f"{kind[0]}, {kind[1]}: no fit ({count})"
    (own,) = fit.itertuples()
    interval = f"[{own.low:.2f}, {own.high:.2f}]" if np.isfinite(own.low) else "no interval"
    return f"{kind[0]}, {kind[1]}: {own.slope:.2f} {interval} ({own.models})".replace("-", "−")


def _name_left_out(axes: Axes, count: int) -> None:
    if count:
        axes.plot([], [], **_OUT, label=f"representation not in use ({count})")
