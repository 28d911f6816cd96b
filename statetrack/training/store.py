"""The results store: SQLite with every commit synced to disk, opened by one process at a time.

A row is written once, when its run is done; what was acknowledged survives a kill or a power loss.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from automata.errors import InputError
from statetrack.atomic_files import sync_folder
from statetrack.training.records import RunRecord

VERSION = 1
FILE_NAME = "results.sqlite"
LOCK_NAME = "lock"
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "afs", "beegfs", "fuse.sshfs"}
)
SCHEMA = """
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


class StoreInUseError(InputError):
    """Another process has the store open."""


class Store:
    """Results of many runs in one folder.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    read_only : bool
        Read without taking the lock; the folder must hold a store.

    Raises
    ------
    StoreInUseError
        Another process has the store open.
    InputError
        It lies on a network filesystem, it was written by a newer version, or it is no store.

    Examples
    --------
    >>> import tempfile
    >>> with Store(Path(tempfile.mkdtemp())) as store:
    ...     store.statuses()
    {}
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = Path(folder)
        path = self.folder / FILE_NAME
        self._lock: int | None = None
        if read_only and not path.exists():
            raise InputError(f"no results in {self.folder}: expected {FILE_NAME} there")
        if not read_only:
            self._prepare_folder()
        try:
            if not path.exists():
                self._create(path)
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA foreign_keys = ON")
            self._check_version(read_only)
        except sqlite3.Error as error:
            self.close()
            raise InputError(f"results store {path}: {error}") from None
        except InputError:
            self.close()
            raise

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            kind = filesystem_of(self.folder)
            if kind in NETWORK_FILESYSTEMS:
                raise InputError(
                    f"results store {self.folder} lies on a network filesystem ({kind}), where "
                    "SQLite cannot lock; choose a local folder"
                )
            self._lock = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StoreInUseError(
                f"results store {self.folder} is in use by another process; wait for it to end"
            ) from None
        except OSError as error:
            self.close()
            raise InputError(f"results store {self.folder}: {error.strerror or error}") from None

    def _create(self, path: Path) -> None:
        """Make an empty store under another name first, so that no reader finds half of one."""
        new = path.with_name(f".{FILE_NAME}.new")
        try:
            for left in ("", "-wal", "-shm"):
                new.with_name(new.name + left).unlink(missing_ok=True)
            self._database = sqlite3.connect(new, isolation_level=None)
            self._check_version(read_only=False)
            self._database.close()
            os.replace(new, path)
            sync_folder(self.folder)
        except OSError as error:
            raise InputError(f"results store {path}: {error.strerror or error}") from None

    def _check_version(self, read_only: bool) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (num_tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and num_tables:
            raise InputError(f"{self.folder / FILE_NAME} is the database of another program")
        if version == 0 and read_only:
            raise InputError(f"no results in {self.folder} yet")
        if version > VERSION:
            raise InputError(
                f"results store {self.folder} has version {version}, this program reads up to "
                f"{VERSION}; update statetrack"
            )
        if read_only:
            self._database.execute("PRAGMA query_only = ON")
            return
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        if version == 0:
            self._database.executescript(
                f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            )

    def add(self, record: RunRecord) -> None:
        """Write a record; when this returns it is on the disk. A failed run may be replaced.

        Raises
        ------
        InputError
            The run is finished already, or the disk does not take it (earlier results stay).
        """
        row = (
            record.run_id,
            record.config,
            record.status,
            json.dumps(record.summary),
            json.dumps(record.provenance),
        )
        tables = [(record.run_id, name, json.dumps(table)) for name, table in record.tables.items()]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "DELETE FROM runs WHERE run_id = ? AND status = 'failed'", (record.run_id,)
            )
            self._database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", row)
            self._database.executemany("INSERT INTO tables VALUES (?, ?, ?)", tables)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise InputError(f"results store {self.folder}: {error}") from None

    def forget_failed(self, run_ids: Iterable[str]) -> None:
        """Delete the records of runs that failed, so that they are missing again.

        Raises
        ------
        InputError
            The disk does not take it.
        """
        ids = [(run_id,) for run_id in run_ids]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "DELETE FROM runs WHERE run_id = ? AND status = 'failed'", ids
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise InputError(f"results store {self.folder}: {error}") from None

    def statuses(self) -> dict[str, str]:
        """Status of every run in the store, by run id."""
        return dict(self._rows("SELECT run_id, status FROM runs"))

    def summaries(self) -> list[dict[str, Any]]:
        """One dict a run: run_id, status and its summary, in the order they were added."""
        return [
            {"run_id": run_id, "status": status, **json.loads(summary)}
            for run_id, status, summary in self._rows(
                "SELECT run_id, status, summary FROM runs ORDER BY rowid"
            )
        ]

    def provenances(self) -> dict[str, dict[str, Any]]:
        """What every run was measured with, by run id."""
        rows = self._rows("SELECT run_id, provenance FROM runs ORDER BY rowid")
        return {run_id: json.loads(text) for run_id, text in rows}

    def table_names(self) -> list[str]:
        """Names of the tables that some run has."""
        return [name for (name,) in self._rows("SELECT DISTINCT name FROM tables ORDER BY name")]

    def table(self, name: str) -> Iterator[tuple[str, dict[str, list[Any]]]]:
        """Columns of a table, run by run in the order they were added."""
        rows = self._rows(
            "SELECT tables.run_id, columns FROM tables JOIN runs USING (run_id) WHERE name = ? "
            "ORDER BY runs.rowid",
            name,
        )
        for run_id, columns in rows:
            yield run_id, json.loads(columns)

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InputError(f"results store {self.folder} is damaged: {error}") from None

    def close(self) -> None:
        """Close the store and let go of its lock."""
        if hasattr(self, "_database"):
            self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def filesystem_of(folder: Path) -> str:
    """Type of the filesystem a folder lies on, such as "ext4"; "" where it cannot be told."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    target = str(folder.resolve())
    best, kind = "", ""
    for line in mounts:
        _, point, found = line.split()[:3]
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
