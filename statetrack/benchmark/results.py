"""The file ``results.json`` of a benchmark: what was measured, on what, with what."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automata.errors import InputError
from automata.files import read_text
from statetrack.atomic_files import write_atomically
from statetrack.benchmark.cases import DTYPES, Case
from statetrack.benchmark.measure import BOTH, PASSES, Row
from statetrack.benchmark.roofs import Roofs, floor_ms

FILE_NAME = "results.json"
SCHEMA = 1


@dataclass(frozen=True)
class BenchmarkResults:
    """All that a table or figure is made of.

    Attributes
    ----------
    provenance : dict
        Program, versions, hardware, time.
    settings : dict
        What was asked for.
    roofs : Roofs
    rows : list of dict
        One for each case, contestant and pass; see `with_floors`.
    """

    provenance: dict[str, Any]
    settings: dict[str, Any]
    roofs: Roofs
    rows: list[Row]

    @property
    def is_interrupted(self) -> bool:
        """Whether the run was stopped from the keyboard."""
        return bool(self.settings.get("interrupted", False))

    @property
    def is_on_gpu(self) -> bool:
        """Whether times are those of a GPU."""
        return bool(self.settings["device"].startswith("cuda"))


def with_floors(rows: list[Row], roofs: Roofs) -> list[Row]:
    """Add "floor" (milliseconds), "limit" and "times_floor" to the rows of scans.

    Parameters
    ----------
    rows : list of dict
    roofs : Roofs

    Returns
    -------
    list of dict
        Copies.
    """
    found = []
    for row in rows:
        if row["scan"] == "words":
            found.append(dict(row))
            continue
        floor, limit = floor_ms(case_of(row), roofs, row["pass"] == BOTH)
        more = {"floor": floor, "limit": limit}
        if row["status"] == "ok":
            more["times_floor"] = row["median"] / floor
        found.append({**row, **more})
    return found


def case_of(row: Row) -> Case:
    """The case of a row."""
    names = ("scan", "sizes", "dtype", "precision", "variant")
    return Case.from_json({name: row[name] for name in names})


def write_results(results: BenchmarkResults, folder: Path) -> Path:
    """Write ``results.json`` whole or not at all.

    Parameters
    ----------
    results : BenchmarkResults
    folder : Path
        Made if it is missing.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The folder cannot be made or written.
    """
    tree = {
        "schema": SCHEMA,
        "provenance": results.provenance,
        "settings": results.settings,
        "roofs": results.roofs.to_json(),
        "rows": results.rows,
    }
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, (json.dumps(finite(tree), indent=1, allow_nan=False) + "\n").encode()
        )
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror}") from None
    return path


def read_results(folder: Path) -> BenchmarkResults:
    """Read what `write_results` wrote.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        No such file, or it is of another kind.
    """
    path = folder / FILE_NAME
    try:
        tree = json.loads(read_text(path))
        if tree["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {tree['schema']}, this version reads {SCHEMA}")
        results = BenchmarkResults(
            tree["provenance"], tree["settings"], Roofs(**tree["roofs"]), list(tree["rows"])
        )
        _check_parts(results)
        for row in results.rows:
            _check_row(row)
        return results
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds no benchmark: {type(error).__name__} {error}") from None


def _check_parts(results: BenchmarkResults) -> None:
    """Raise TypeError unless everything but the rows has the types that tables need."""
    roofs = results.roofs
    if not isinstance(results.settings["device"], str):
        raise TypeError("settings: device is no text")
    if not isinstance(results.provenance.get("versions", {}), dict):
        raise TypeError("provenance: versions is no object")
    _check_numbers("roofs", [roofs.bytes_per_second, roofs.small_kernel_ms, *roofs.flops.values()])


def _check_row(row: Row) -> None:
    """Raise KeyError, TypeError or ValueError unless a row has what tables and figures need."""
    case = case_of(row)
    place = f"row of {row['contestant']!r} on {case.key!r}"
    if case.dtype not in DTYPES or row["pass"] not in PASSES:
        raise ValueError(f"{place}: type {case.dtype!r}, pass {row['pass']!r}")
    if row["status"] != "ok":
        if not isinstance(row["reason"], str):
            raise TypeError(f"{place}: reason is no text")
        return
    names = ["median", "tokens_per_second"]
    if case.scan != "words":
        names = ["median", "low", "high", "floor", "times_floor", "error"]
    _check_numbers(place, [row[name] for name in names])


def _check_numbers(place: str, values: list[Any]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise TypeError(f"{place}: {value!r} where a number from 0 on is expected")


def finite(value: Any) -> Any:
    """Replace numbers that JSON cannot hold by None, at any depth."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
