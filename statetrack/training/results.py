"""Results as tables: from a store, or from a folder of exported CSV files."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from automata.errors import InputError
from statetrack.atomic_files import write_atomically
from statetrack.training.store import FILE_NAME, Store

PROVENANCE_NAME = "provenance.json"
OVERVIEW_NAME = "table.csv"


@dataclass(frozen=True)
class Results:
    """Tidy tables of a grid.

    Attributes
    ----------
    runs : DataFrame
        One row a run: run_id, status, label, task, seed, ...
    tables : dict of str to DataFrame
        ``curves``, ``history``, ``spectra``, ``homomorphism``; each with a column run_id.
    provenance : list of dict
        Every distinct machine and version the runs were measured with: the number of runs, the time
        of the first and the last, and under "runs" the time of each by run id.
    """

    runs: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    provenance: list[dict[str, Any]]

    @property
    def finished(self) -> pd.DataFrame:
        """Rows of `runs` that are finished."""
        return self.runs[self.runs.status == "finished"]

    def table(self, name: str) -> pd.DataFrame:
        """A table by name, of finished runs; empty with a run_id column when no run has it."""
        return self.tables.get(name, pd.DataFrame({"run_id": pd.Series(dtype=str)}))

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """All tables, finished runs among them, as the figures take them."""
        return {"runs": self.finished, **self.tables}

    def only(self, run_ids: list[str]) -> "Results":
        """The same results for some runs, in the given order."""
        order = {run_id: place for place, run_id in enumerate(run_ids)}

        def chosen(frame: pd.DataFrame) -> pd.DataFrame:
            kept = frame[frame.run_id.isin(order)]
            ranked = kept.sort_values("run_id", key=lambda ids: ids.map(order), kind="stable")
            return ranked.reset_index(drop=True)

        tables = {name: chosen(frame) for name, frame in self.tables.items()}
        return Results(chosen(self.runs), tables, _of_runs(self.provenance, order))


def load_results(folder: str | Path) -> Results:
    """Load the results of a grid.

    Parameters
    ----------
    folder : str or Path
        Holds ``results.sqlite``, or the CSV files that `export_results` wrote.

    Returns
    -------
    Results

    Raises
    ------
    InputError
        Neither is there, or the files are damaged.
    """
    path = Path(folder)
    if (path / FILE_NAME).exists():
        with Store(path, read_only=True) as store:
            return results_of(store)
    if not (path / "runs.csv").exists():
        raise InputError(f"no results in {path}: expected {FILE_NAME} or runs.csv there")
    try:
        provenance = json.loads((path / PROVENANCE_NAME).read_text())
        tables = {
            file.stem: pd.read_csv(file, dtype={"run_id": str})
            for file in sorted(path.glob("*.csv"))
            if file.name != OVERVIEW_NAME
        }
    except (OSError, ValueError) as error:
        raise InputError(f"results in {path}: {error}") from None
    for name, frame in tables.items():
        if "run_id" not in frame:
            raise InputError(f"results in {path}: {name}.csv has no column run_id")
    runs = tables.pop("runs")
    return Results(runs, tables, provenance)


def results_of(store: Store) -> Results:
    """Tables of everything in an open store."""
    summaries = store.summaries()
    runs = pd.DataFrame(summaries or {"run_id": [], "status": []})
    tables = {}
    for name in store.table_names():
        frames = [
            pd.DataFrame(columns).assign(run_id=run_id) for run_id, columns in store.table(name)
        ]
        joined = pd.concat(frames, ignore_index=True)
        tables[name] = joined[["run_id", *(c for c in joined.columns if c != "run_id")]]
    return Results(runs, tables, _distinct(store.provenances()))


def export_results(results: Results, folder: str | Path) -> list[Path]:
    """Write every table as CSV and the provenance as JSON; `load_results` reads them back.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        The folder cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {path}: {error.strerror or error}") from None
    written = []
    for name, frame in {"runs": results.runs, **results.tables}.items():
        file = path / f"{name}.csv"
        write_atomically(file, frame.to_csv(index=False, float_format="%.7g").encode())
        written.append(file)
    file = path / PROVENANCE_NAME
    write_atomically(file, (json.dumps(results.provenance, indent=2) + "\n").encode())
    return [*written, file]


def _distinct(provenances: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Group runs by everything but their time."""
    groups: dict[str, dict[str, Any]] = {}
    for run_id, entry in provenances.items():
        fixed = {key: value for key, value in entry.items() if key != "time"}
        group = groups.setdefault(json.dumps(fixed, sort_keys=True), {**fixed, "runs": {}})
        group["runs"][run_id] = entry.get("time", "")
    return _of_runs(list(groups.values()), provenances)


def _of_runs(entries: list[dict[str, Any]], run_ids: Collection[str]) -> list[dict[str, Any]]:
    """The part of grouped provenance that some runs have."""
    kept = []
    for entry in entries:
        runs = {run_id: entry["runs"][run_id] for run_id in run_ids if run_id in entry["runs"]}
        if runs:
            times = sorted(runs.values())
            span = {"num_runs": len(runs), "first": times[0], "last": times[-1]}
            kept.append({**entry, **span, "runs": runs})
    place = {run_id: number for number, run_id in enumerate(run_ids)}
    return sorted(kept, key=lambda entry: place[next(iter(entry["runs"]))])
