"""Spikes of the training loss."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from automata.errors import InputError


def loss_spikes(
    history: pd.DataFrame | Iterable[Mapping[str, Any]], *, rise: float = 0.5, rounds: int = 10
) -> pd.DataFrame:
    """Find where the recorded loss jumps up.

    A round is high where its loss is more than `rise` above the lowest of the `rounds` losses
    recorded before it (of as many as there are), or is no number. A spike is one high round, or
    several in a row: however long a loss stays up, it counts once. A loss that never comes back
    down is high until what came before the jump is forgotten, `rounds` later.

    Parameters
    ----------
    history : DataFrame or iterable of mapping
        Rows with step and loss in the order of training, as `statetrack.training.train` returns
        them; with a column run_id, the rows of many runs.
    rise : float
        In nats, above 0.
    rounds : int
        At least 1.

    Returns
    -------
    DataFrame
        One row a spike: run_id where it is given, step (of its first high round), loss (the highest
        of it), lowest (the loss it rose from), num_rounds.

    Raises
    ------
    InputError
        A column is missing, or a parameter is out of range.

    Notes
    -----
    A history holds one loss every ``training.select_every`` steps, that of the step itself: what
    falls between two of them is not seen, so the number of spikes is a lower bound, and numbers of
    runs with different rounds cannot be compared.

    Examples
    --------
    >>> losses = [3.0, 2.5, 2.4, 3.1, 3.3, 2.3, 2.2, 2.9]
    >>> history = [{"step": 100 * i, "loss": loss} for i, loss in enumerate(losses, start=1)]
    >>> loss_spikes(history)[["step", "loss", "lowest", "num_rounds"]].values.tolist()
    [[400.0, 3.3, 2.4, 2.0], [800.0, 2.9, 2.2, 1.0]]
    """
    if not rise > 0:
        raise InputError(f"rise = {rise}: expected a loss in nats above 0")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise InputError(f"rounds = {rounds!r}: expected a whole number >= 1")
    frame = history if isinstance(history, pd.DataFrame) else pd.DataFrame(list(history))
    columns = ["step", "loss", "lowest", "num_rounds"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    for name in ("step", "loss"):
        if name not in frame:
            raise InputError(f"the history has no column {name!r}; it has {list(frame.columns)}")
    if "run_id" not in frame:
        return pd.DataFrame(_spikes(frame, rise, rounds), columns=columns)
    rows = [
        {"run_id": run_id, **spike}
        for run_id, own in frame.groupby("run_id", sort=False)
        for spike in _spikes(own, rise, rounds)
    ]
    return pd.DataFrame(rows, columns=["run_id", *columns])


def _spikes(frame: pd.DataFrame, rise: float, rounds: int) -> list[dict[str, Any]]:
    """Spikes of one run."""
    loss = frame["loss"].reset_index(drop=True)
    lowest = loss.shift(1).rolling(rounds, min_periods=1).min()
    is_high = lowest.notna() & ~(loss <= lowest + rise)
    number = (is_high & ~is_high.shift(1, fill_value=False)).cumsum()
    return [
        {
            "step": int(frame["step"].iloc[places[0]]),
            "loss": float(loss[places].max(skipna=False)),
            "lowest": float(lowest[places[0]]),
            "num_rounds": len(places),
        }
        for _, places in loss.index[is_high].groupby(number[is_high]).items()
    ]
