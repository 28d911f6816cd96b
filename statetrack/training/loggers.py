"""Loggers: what every run records while it is trained, in a file or for a program that draws it.

Any object with the methods of `Logger` is one. A logger never costs a result: one that raises is
left out from then on, and the person is told.
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from automata.errors import InputError, unknown_name
from statetrack.training.config import RunConfig

LOGS = "logs"
Row = Mapping[str, Any]


class Logger(Protocol):
    """Takes the rows of a training's history as they come."""

    def rows(self, run_id: str, config: RunConfig, rows: Sequence[Row]) -> None:
        """New rows of a run, each with its "step", in their order.

        After an interruption rows come again from the checkpoint on, the same as before.
        """
        ...

    def end(self, run_id: str, config: RunConfig, status: str, summary: Row) -> None:
        """A run has its record: "finished" or "failed"; no rows come after it."""
        ...

    def close(self) -> None:
        """Nothing comes any more; runs without an end were interrupted."""
        ...


class JsonLinesLogger:
    """One file a run, one line a row; the last line holds the status and the summary.

    A line that a kill cut short is cut off when the run goes on, and rows that are there are not
    written again.

    Parameters
    ----------
    folder : Path
        Made where it is missing.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> config = RunConfig.from_pairs(["task=parity", "model=diagonal"])
    >>> logger = JsonLinesLogger(folder)
    >>> logger.rows("a", config, [{"step": 50, "loss": 0.7}])
    >>> print((folder / "a.jsonl").read_text(), end="")
    {"step": 50, "loss": 0.7}
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._last: dict[str, float] = {}

    def rows(self, run_id: str, config: RunConfig, rows: Sequence[Row]) -> None:
        """Append what is new."""
        if run_id not in self._last:
            self._last[run_id] = self._mend(self._path(run_id))
        new = [row for row in rows if row["step"] > self._last[run_id]]
        if new:
            self._append(run_id, new)
            self._last[run_id] = new[-1]["step"]

    def end(self, run_id: str, config: RunConfig, status: str, summary: Row) -> None:
        """Append the last line."""
        if run_id not in self._last:
            self._mend(self._path(run_id))
        self._append(run_id, [{"status": status, **summary}])
        self._last.pop(run_id, None)

    def close(self) -> None:
        """Nothing is left open."""

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.jsonl"

    def _append(self, run_id: str, rows: Sequence[Row]) -> None:
        with open(self._path(run_id), "ab") as file:
            file.write("".join(json.dumps(dict(row)) + "\n" for row in rows).encode())

    def _mend(self, path: Path) -> float:
        """Cut off a torn last line and the end of an earlier try; the last step there is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return -1.0
        whole, last = 0, -1.0
        for line in lines:
            try:
                last = float(json.loads(line)["step"])
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        os.truncate(path, whole)
        return last


class TensorBoardLogger:
    """Scalars for TensorBoard, one folder a run.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._module = _import("torch.utils.tensorboard", "tensorboard")
        self._folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def rows(self, run_id: str, config: RunConfig, rows: Sequence[Row]) -> None:
        """Write the numbers of every row."""
        if rows and run_id not in self._writers:
            writer = self._module.SummaryWriter(
                log_dir=str(self._folder / run_id), purge_step=rows[0]["step"]
            )
            writer.add_text("config", config.model_dump_json(indent=2))
            self._writers[run_id] = writer
        for row in rows:
            for name, value in _numbers(row).items():
                self._writers[run_id].add_scalar(name, value, row["step"])

    def end(self, run_id: str, config: RunConfig, status: str, summary: Row) -> None:
        """Close the run's files."""
        writer = self._writers.pop(run_id, None)
        if writer is not None:
            writer.add_text("status", status)
            writer.close()

    def close(self) -> None:
        """Close what is open."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


class TrackerLogger:
    """Weights & Biases, trackio, or another module with ``init``, runs with ``log``, ``finish``.

    Parameters
    ----------
    module : module
    project : str
    arguments : callable, optional
        More arguments of ``init``, from the run id.
    """

    def __init__(
        self,
        module: ModuleType,
        project: str,
        arguments: Callable[[str], dict[str, Any]] = lambda run_id: {},
    ) -> None:
        self._module, self._project, self._arguments = module, project, arguments
        self._runs: dict[str, Any] = {}

    def rows(self, run_id: str, config: RunConfig, rows: Sequence[Row]) -> None:
        """Log every row at its step."""
        if rows and run_id not in self._runs:
            self._runs[run_id] = self._module.init(
                project=self._project,
                name=run_id,
                config=config.model_dump(mode="json"),
                **self._arguments(run_id),
            )
        for row in rows:
            self._runs[run_id].log(_numbers(row), step=row["step"])

    def end(self, run_id: str, config: RunConfig, status: str, summary: Row) -> None:
        """Finish the tracker's run."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.finish()

    def close(self) -> None:
        """Finish what is open."""
        for run in self._runs.values():
            run.finish()
        self._runs.clear()


def make_logger(name: str, folder: Path, project: str) -> Logger:
    """A logger by name.

    Parameters
    ----------
    name : {"jsonl", "tensorboard", "wandb", "trackio"}
    folder : Path
        Of the results.
    project : str
        Name for a tracker.

    Raises
    ------
    InputError
        Unknown name, or what it needs is not installed.
    """
    if name not in LOGGERS:
        raise unknown_name("logger", name, LOGGERS)
    return LOGGERS[name](Path(folder), project)


def _wandb(folder: Path, project: str) -> Logger:
    return TrackerLogger(
        _import("wandb", "wandb"),
        project,
        lambda run_id: {"id": run_id, "resume": "allow", "reinit": "create_new"},
    )


def _trackio(folder: Path, project: str) -> Logger:
    module = _import("trackio", "trackio")
    return TrackerLogger(module, project, lambda run_id: {"resume": "allow"})


LOGGERS: dict[str, Callable[[Path, str], Logger]] = {
    "jsonl": lambda folder, project: JsonLinesLogger(folder / LOGS),
    "tensorboard": lambda folder, project: TensorBoardLogger(folder / "tensorboard"),
    "wandb": _wandb,
    "trackio": _trackio,
}


def _import(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"logger {package} needs the package {package}: pip install {package}"
        ) from None


def _numbers(row: Row) -> dict[str, float]:
    return {
        name: value
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float)
    }
