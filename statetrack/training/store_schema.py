"""Tables of the results store, and how a store of an earlier version becomes one of this version.

Version 2 adds ``overview``: the few values of every run that are asked for again and again, in
narrow rows, so that a question about 100,000 runs does not read the hundreds of megabytes of all
they hold.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VERSION = 2
OVERVIEW = (
    "run_id",
    "status",
    "task",
    "label",
    "seed",
    "solved_step",
    "token_horizon",
    "seconds",
    "error",
)
RUNS = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    config TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('finished', 'failed')),
    summary TEXT NOT NULL,
    provenance TEXT NOT NULL
);
CREATE TABLE tables (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    columns TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
);
"""
SUMMARISED = """
CREATE TABLE overview (
    place INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE REFERENCES runs (run_id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    task TEXT,
    label TEXT,
    seed INTEGER,
    solved_step INTEGER,
    token_horizon INTEGER,
    seconds REAL,
    error TEXT
);
CREATE INDEX overview_status ON overview (status, run_id);
CREATE INDEX overview_task_label ON overview (task, label, status, solved_step);
CREATE TABLE table_names (name TEXT PRIMARY KEY);
"""
ADD_OVERVIEW = (
    f"INSERT INTO overview ({', '.join(OVERVIEW)}) VALUES ({', '.join('?' for _ in OVERVIEW)})"
)
ADD_TABLE_NAME = "INSERT OR IGNORE INTO table_names VALUES (?)"


def overview_row(run_id: str, status: str, summary: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the overview keeps of a run; None for what its summary lacks, or where it is no number.

    Parameters
    ----------
    run_id, status : str
    summary : mapping of str to value

    Returns
    -------
    tuple
        In the order of `OVERVIEW`.
    """
    return (run_id, status, *(_plain(summary.get(name)) for name in OVERVIEW[2:]))


def overview_columns(
    summaries: Iterable[Mapping[str, Any]], where: Mapping[str, Any], columns: Sequence[str]
) -> dict[str, list[Any]]:
    """Columns of the overview that summaries would have, as `Store.overview` gives them."""
    every = [overview_row(run["run_id"], run["status"], run) for run in summaries]
    places = [(OVERVIEW.index(name), value) for name, value in where.items()]
    rows = [row for row in every if all(row[place] == value for place, value in places)]
    return {name: [row[OVERVIEW.index(name)] for row in rows] for name in columns}


def columns_query(names: Sequence[str], condition: str) -> str:
    """Columns of the overview in the order of their places, each as one JSON array.

    Without a condition the table is read from first to last place, which sorts it.
    """
    arrays = ", ".join(f"json_group_array({name})" for name in names)
    if not condition:
        return f"SELECT {arrays} FROM overview NOT INDEXED"
    chosen = f"SELECT {', '.join(names)} FROM overview {condition} ORDER BY place"
    return f"SELECT {arrays} FROM ({chosen})"


def create(database: sqlite3.Connection) -> None:
    """Make the tables of this version in an empty database, all or none."""
    database.executescript(f"BEGIN; {RUNS} {SUMMARISED} PRAGMA user_version = {VERSION}; COMMIT;")


def migrate(database: sqlite3.Connection) -> None:
    """Bring a store of version 1 to this version, in one transaction: it is one or the other."""
    # executescript would commit what is open, so the statements go one by one.
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in SUMMARISED.split(";"):
            database.execute(statement)
        rows = database.execute("SELECT run_id, status, summary FROM runs ORDER BY rowid")
        database.executemany(
            ADD_OVERVIEW,
            (overview_row(run_id, status, json.loads(text)) for run_id, status, text in rows),
        )
        database.execute("INSERT INTO table_names SELECT DISTINCT name FROM tables")
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # a lone surrogate, as in what a run raised, is no text for SQLite
        return value.encode(errors="backslashreplace").decode()
    return value if isinstance(value, int | float) else None
