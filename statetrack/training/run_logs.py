"""Hands what trainings report to the loggers, every row once, and keeps their errors away."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from statetrack.training.config import RunConfig
from statetrack.training.loggers import Logger, Row
from statetrack.training.pack_members import Progress
from statetrack.training.records import RunRecord


class RunLogs:
    """Loggers of a grid.

    Parameters
    ----------
    loggers : sequence of Logger
    configs : mapping of str to RunConfig
        By run id.
    note : callable
        Tells the person that a logger failed.
    """

    def __init__(
        self,
        loggers: Sequence[Logger],
        configs: Mapping[str, RunConfig],
        note: Callable[[str], None],
    ) -> None:
        self._loggers, self._configs, self._note = list(loggers), configs, note
        self._last: dict[str, float] = {}

    def advanced(self, progress: Progress) -> None:
        """Log the new rows of a run."""
        self._rows(progress.run_id, progress.rows)

    def recorded(self, record: RunRecord) -> None:
        """Log the rest of a run's history and its end."""
        columns = record.tables.get("history", {})
        values = zip(*columns.values(), strict=True)
        self._rows(record.run_id, [dict(zip(columns, row, strict=True)) for row in values])
        self._last.pop(record.run_id, None)
        config = self._configs[record.run_id]
        self._each(lambda one: one.end(record.run_id, config, record.status, record.summary))

    def close(self) -> None:
        """Nothing comes any more."""
        self._each(lambda one: one.close())

    def _rows(self, run_id: str, rows: Sequence[Row]) -> None:
        new = [row for row in rows if row["step"] > self._last.get(run_id, -1)]
        if new:
            self._last[run_id] = new[-1]["step"]
            config = self._configs[run_id]
            self._each(lambda one: one.rows(run_id, config, new))

    def _each(self, act: Callable[[Logger], Any]) -> None:
        for logger in list(self._loggers):
            try:
                act(logger)
            except Exception as error:  # noqa: BLE001 - no logger may cost a result
                self._loggers.remove(logger)
                reason = " ".join(str(error).split()) or type(error).__name__
                self._note(f"{type(logger).__name__} failed and is left out: {reason}")
