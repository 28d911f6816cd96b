"""Results as tables: from a store, or from a folder of exported CSV files."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from automata.errors import InputError, unknown_name
from statetrack.atomic_files import write_atomically
from statetrack.training.conditions import NONE, Condition, all_hold
from statetrack.training.store import FILE_NAME, Store

PROVENANCE_NAME = "provenance.json"
OVERVIEW_NAME = "table.csv"
EXPORT_FORMATS = ("csv", "parquet")
_IN_OVERVIEW = ("status", "task", "label")


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

    def require_finished(self) -> pd.DataFrame:
        """Rows of `runs` that are finished; an `InputError` where none is."""
        runs = self.finished
        if runs.empty:
            raise InputError("no run is finished")
        return runs

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


def load_results(
    folder: str | Path,
    where: Iterable[Condition] = (),
    tables: Collection[str] | None = None,
) -> Results:
    """Load the results of a grid.

    Parameters
    ----------
    folder : str or Path
        Holds ``results.sqlite``, or the files that `export_results` wrote.
    where : iterable of Condition
        Of these runs alone. A store is asked for nothing else, so that a few of many cost little.
    tables : collection of str, optional
        These tables alone; all by default. The table of runs is always there.

    Returns
    -------
    Results

    Raises
    ------
    InputError
        Neither is there, the files are damaged, or a condition names an unknown column.
    """
    conditions = list(where)
    path = Path(folder)
    if (path / FILE_NAME).exists():
        with Store(path, read_only=True) as store:
            return results_of(store, conditions, tables)
    results = _load_exported(path)
    if tables is not None:
        kept = {name: frame for name, frame in results.tables.items() if name in tables}
        results = Results(results.runs, kept, results.provenance)
    if conditions:
        results = results.only(list(results.runs.run_id[all_hold(results.runs, conditions)]))
    return results


def _load_exported(path: Path) -> Results:
    if not any((path / f"runs.{kind}").exists() for kind in EXPORT_FORMATS):
        raise InputError(
            f"no results in {path}: expected {FILE_NAME}, runs.csv or runs.parquet there"
        )
    try:
        provenance = json.loads((path / PROVENANCE_NAME).read_text())
        tables = {
            file.stem: _read_table(file)
            for kind in EXPORT_FORMATS
            for file in sorted(path.glob(f"*.{kind}"))
            if file.name != OVERVIEW_NAME
        }
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"results in {path}: {error}") from None
    for name, frame in tables.items():
        if "run_id" not in frame:
            raise InputError(f"results in {path}: {name}.csv has no column run_id")
    runs = tables.pop("runs")
    return Results(runs, tables, provenance)


def _read_table(file: Path) -> pd.DataFrame:
    if file.suffix == ".csv":
        return pd.read_csv(file, dtype={"run_id": str})
    _require_pyarrow()
    return pd.read_parquet(file, engine="pyarrow")


def results_of(
    store: Store, where: Sequence[Condition] = (), tables: Collection[str] | None = None
) -> Results:
    """Tables of an open store: of the runs and by the names that are asked for, or all."""
    run_ids = None
    if where:
        shortlist = {c.column: c.value for c in where if c.relation == "=" and _is_indexed(c)}
        run_ids = store.overview(shortlist)["run_id"] if shortlist else None
    runs = pd.DataFrame(store.summaries(run_ids) or {"run_id": [], "status": []})
    if where:
        if len(runs):
            runs = runs[all_hold(runs, where)]
        if len(runs):
            runs = runs.dropna(axis="columns", how="all").reset_index(drop=True)
        run_ids = runs["run_id"].tolist()
    found = {}
    for name in store.table_names():
        if tables is None or name in tables:
            joined = _joined(store.table(name, run_ids))
            if len(joined):
                found[name] = joined
    return Results(runs, found, _distinct(store.provenances(run_ids)))


def _is_indexed(condition: Condition) -> bool:
    return condition.column in _IN_OVERVIEW and condition.value.lower() != NONE


def _joined(tables: Iterable[tuple[str, Mapping[str, list[Any]]]]) -> pd.DataFrame:
    """One table of the tables of many runs; a column that a run lacks is empty there."""
    ids: list[str] = []
    columns: dict[str, list[Any]] = {}
    for run_id, table in tables:
        before = len(ids)
        length = max((len(values) for values in table.values()), default=0)
        ids += [run_id] * length
        for name in {**columns, **table}:
            column = columns.setdefault(name, [None] * before)
            column += table[name] if name in table else [None] * length
    return pd.DataFrame({"run_id": ids, **columns})


def export_results(results: Results, folder: str | Path, file_format: str = "csv") -> list[Path]:
    """Write every table as CSV or Parquet, the provenance as JSON; `load_results` reads them back.

    Parameters
    ----------
    results : Results
    folder : str or Path
    file_format : {"csv", "parquet"}
        Parquet keeps every digit and needs pyarrow (the extra `data`); CSV has seven.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        The folder cannot be made, the format is unknown, or pyarrow is missing.
    """
    if file_format not in EXPORT_FORMATS:
        raise unknown_name("format", file_format, EXPORT_FORMATS)
    if file_format == "parquet":
        _require_pyarrow()
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {path}: {error.strerror or error}") from None
    written = []
    for name, frame in {"runs": results.runs, **results.tables}.items():
        file = path / f"{name}.{file_format}"
        if file_format == "csv":
            content = frame.to_csv(index=False, float_format="%.7g").encode()
        else:
            content = frame.to_parquet(None, index=False, engine="pyarrow")
        write_atomically(file, content)
        written.append(file)
    file = path / PROVENANCE_NAME
    write_atomically(file, (json.dumps(results.provenance, indent=2) + "\n").encode())
    return [*written, file]


def _require_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise InputError("Parquet files need pyarrow: pip install 'statetrack[data]'")


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
