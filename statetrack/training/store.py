"""The results store: SQLite with every commit synced to disk, opened by one process at a time.

A row is written once, when its run is done; what was acknowledged survives a kill or a power loss.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from automata.errors import InputError, unknown_name
from automata.files import usable_path
from statetrack.atomic_files import sync_folder
from statetrack.training.records import RunRecord
from statetrack.training.store_schema import (
    ADD_OVERVIEW,
    ADD_TABLE_NAME,
    OVERVIEW,
    VERSION,
    columns_query,
    create,
    migrate,
    overview_columns,
    overview_row,
)

FILE_NAME = "results.sqlite"
LOCK_NAME = "lock"
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "afs", "beegfs", "fuse.sshfs"}
)


class StoreInUseError(InputError):
    """Another process has the store open."""


class Store:
    """Results of many runs in one folder.

    A store of an earlier version is brought to this one when it is opened for writing; a reader
    takes it as it is.

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
        self.folder = usable_path(folder, "results store")
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
        except BaseException:
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
            create(self._database)
        elif version < VERSION:
            self._migrate()

    def _migrate(self) -> None:
        try:
            migrate(self._database)
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"results store {self.folder} is damaged: {error}") from None

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
            self._database.execute(
                ADD_OVERVIEW, overview_row(record.run_id, record.status, record.summary)
            )
            self._database.executemany("INSERT INTO tables VALUES (?, ?, ?)", tables)
            self._database.executemany(ADD_TABLE_NAME, [(name,) for name in record.tables])
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise InputError(f"results store {self.folder}: {error}") from None

    def add_tables(self, run_id: str, tables: Mapping[str, Mapping[str, list[Any]]]) -> None:
        """Write tables that were read of a finished run later, all or none.

        Parameters
        ----------
        run_id : str
        tables : mapping of str to dict
            Columns by table; none that the run has already.

        Raises
        ------
        InputError
            The run is not in the store or has such a table, or the disk does not take it.
        """
        rows = [(run_id, name, json.dumps(table)) for name, table in tables.items()]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO tables VALUES (?, ?, ?)", rows)
            self._database.executemany(ADD_TABLE_NAME, [(name,) for name in tables])
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
        """Status of every run in the store, by run id, in the order they were added."""
        if self._is_old():
            return dict(self._rows("SELECT run_id, status FROM runs ORDER BY rowid"))
        (every,) = self._columns(["run_id"])
        (failed,) = self._columns(["run_id"], "WHERE status = 'failed'")
        found = dict.fromkeys(every, "finished")
        return found | dict.fromkeys(failed, "failed")

    def solved(self) -> set[str]:
        """Run ids of the runs that solved their task."""
        if self._is_old():
            overview = self.overview()
            pairs = zip(overview["run_id"], overview["solved_step"], strict=True)
            return {run_id for run_id, step in pairs if step is not None}
        (solved,) = self._columns(["run_id"], "WHERE solved_step IS NOT NULL")
        return set(solved)

    def overview(
        self, where: Mapping[str, object] | None = None, columns: Sequence[str] = OVERVIEW
    ) -> dict[str, list[Any]]:
        """Columns of the most asked-for values of every run, in the order they were added.

        Parameters
        ----------
        where : mapping of str to value, optional
            Values that columns must have, such as ``{"task": "s3"}``.
        columns : sequence of str
            These alone: of 100,000 runs each takes about 0.02 s.

        Returns
        -------
        dict of str to list
            run_id, status, task, label, seed, solved_step, token_horizon, seconds, error; None
            where a run has no such value, or where it is no number.

        Raises
        ------
        InputError
            No such column.
        """
        wanted = dict(where or {})
        for name in (*wanted, *columns):
            if name not in OVERVIEW:
                raise unknown_name("column", name, OVERVIEW)
        if self._is_old():
            return overview_columns(self.summaries(), wanted, columns)
        condition = f"WHERE {' AND '.join(f'{name} = ?' for name in wanted)}" if wanted else ""
        found = self._columns(columns, condition, *wanted.values()) if columns else []
        return dict(zip(columns, found, strict=True))

    def _columns(self, names: Sequence[str], where: str = "", *values: object) -> list[list[Any]]:
        """Columns of the overview, each as one JSON text: several times faster than row by row."""
        ((*texts,),) = self._rows(columns_query(names, where), *values)
        return [json.loads(text) for text in texts]

    def summaries(self, run_ids: Collection[str] | None = None) -> list[dict[str, Any]]:
        """One dict a run: run_id, status, summary, parameters of its task; in the order added.

        Parameters
        ----------
        run_ids : collection of str, optional
            Of these runs alone.
        """
        chosen, values = _among(run_ids)
        rows = self._rows(
            "SELECT run_id, status, summary, json_extract(config, '$.task.parameters') "
            f"FROM runs WHERE {chosen} ORDER BY rowid",
            *values,
        )
        return [
            {
                "run_id": run_id,
                "status": status,
                **json.loads(summary),
                **{f"task.{name}": value for name, value in json.loads(task or "{}").items()},
            }
            for run_id, status, summary, task in rows
        ]

    def provenances(self, run_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """What every run, or each of some, was measured with, by run id."""
        chosen, values = _among(run_ids)
        rows = self._rows(
            f"SELECT run_id, provenance FROM runs WHERE {chosen} ORDER BY rowid", *values
        )
        return {run_id: json.loads(text) for run_id, text in rows}

    def table_names(self) -> list[str]:
        """Names of the tables that some run has."""
        names = (
            "SELECT DISTINCT name FROM tables" if self._is_old() else "SELECT * FROM table_names"
        )
        return [name for (name,) in self._rows(f"{names} ORDER BY name")]

    def table(
        self, name: str, run_ids: Collection[str] | None = None
    ) -> Iterator[tuple[str, dict[str, list[Any]]]]:
        """Columns of a table, run by run in the order they were added.

        Parameters
        ----------
        name : str
        run_ids : collection of str, optional
            Of these runs alone.
        """
        chosen, values = _among(run_ids)
        rows = self._rows(
            "SELECT tables.run_id, columns FROM tables JOIN runs USING (run_id) "
            f"WHERE {chosen} AND name = ? ORDER BY runs.rowid",
            *values,
            name,
        )
        for run_id, columns in rows:
            yield run_id, json.loads(columns)

    def _is_old(self) -> bool:
        """Whether a reader has a store of version 1 before it, without overview."""
        return bool(self._rows("PRAGMA user_version")[0][0] < VERSION)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
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


def _among(run_ids: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    """A condition on runs, and its values."""
    if run_ids is None:
        return "TRUE", ()
    return "runs.run_id IN (SELECT value FROM json_each(?))", (json.dumps(list(run_ids)),)


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
