"""Whether folders of results are whole: what `statetrack doctor` says of them."""

import fcntl
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from automata.errors import InputError
from statetrack.training.checkpoint import load_tensors
from statetrack.training.plan_file import PlanFile
from statetrack.training.records import RunRecord
from statetrack.training.shards import read_shards, shard_ids
from statetrack.training.sharing import CHECKPOINTS
from statetrack.training.store import (
    FILE_NAME,
    LOCK_NAME,
    NETWORK_FILESYSTEMS,
    Store,
    filesystem_of,
)
from statetrack.training.store_schema import VERSION


@dataclass(frozen=True)
class StoreHealth:
    """What was found in one folder.

    Attributes
    ----------
    folder : str
    ok : bool
    found : str
        What is there, or all that is wrong.
    """

    folder: str
    ok: bool
    found: str

    def line(self) -> str:
        """One line."""
        return f"{'ok' if self.ok else 'FAILED':<7} store {self.folder:<48} {self.found}"


def store_folders(place: Path) -> list[Path]:
    """Folders of results at a place and right below it, sorted.

    Parameters
    ----------
    place : Path
        A folder of results, or a folder of such folders.

    Examples
    --------
    >>> store_folders(Path("no such folder"))
    []
    """
    try:
        candidates = [place, *sorted(path for path in place.iterdir() if path.is_dir())]
    except OSError:
        return []
    return [folder for folder in candidates if (folder / FILE_NAME).is_file()]


def check_new_store(place: Path) -> StoreHealth:
    """Make a store, write a result, open it again, and delete all of it.

    Parameters
    ----------
    place : Path
        Where, in a folder of its own; in the system's temporary folder where `place` is none.

    Returns
    -------
    StoreHealth
    """
    parent = place if place.is_dir() else Path(tempfile.gettempdir())
    kind = filesystem_of(parent) or "filesystem unknown"
    name = f"(new, in {parent})"
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".doctor-") as folder:
            with Store(Path(folder)) as store:
                store.add(RunRecord("0", "{}", "finished", {}, {}))
            with Store(Path(folder), read_only=True) as store:
                written = store.statuses()
    except (InputError, OSError) as error:
        return StoreHealth(name, False, str(error))
    ok = written == {"0": "finished"}
    return StoreHealth(name, ok, f"{kind}: {'can' if ok else 'can not'} be written and read")


def check_store(folder: Path) -> StoreHealth:
    """Read everything a folder of results holds, without changing it.

    The database is checked page by page, records and plan are read, and every checkpoint is
    compared with its sha256.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    StoreHealth
        Not ok if anything is damaged, or the folder lies where SQLite cannot lock.
    """
    try:
        wrong = list(_wrong(folder))
        with Store(folder, read_only=True) as store:
            statuses = list(store.statuses().values())
    except InputError as error:
        return StoreHealth(str(folder), False, str(error))
    if wrong:
        return StoreHealth(str(folder), False, "; ".join(wrong))
    parts = [f"{statuses.count('finished')} finished", f"{statuses.count('failed')} failed"]
    waiting, checkpoints = len(shard_ids(folder)), len(_checkpoints(folder))
    parts += [f"{waiting} records to be merged"] if waiting else []
    parts += [f"{checkpoints} checkpoints"] if checkpoints else []
    parts += ["a process is at work"] if _is_in_use(folder) else []
    return StoreHealth(str(folder), True, ", ".join(parts))


def _wrong(folder: Path) -> Iterator[str]:
    kind = filesystem_of(folder)
    if kind in NETWORK_FILESYSTEMS:
        yield f"lies on a network filesystem ({kind}), where SQLite cannot lock: move it"
    Store(folder, read_only=True).close()  # it is a store, and of a version that can be read
    for line in _damages(folder / FILE_NAME):
        yield f"results store {folder} is damaged: {line}"
    for read in (lambda: list(read_shards(folder)), PlanFile(folder).earlier):
        try:
            read()
        except InputError as error:
            yield str(error)
    for path in _checkpoints(folder):
        try:
            load_tensors(path)
        except InputError as error:
            yield f"{error}; delete it to train its run anew"


def _damages(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as database:
        try:
            database.execute("PRAGMA query_only = ON")
            pages = database.execute("PRAGMA integrity_check(3)").fetchall()
            yield from (line for (line,) in pages if line != "ok")
            if database.execute("PRAGMA foreign_key_check").fetchall():
                yield "some tables belong to no run"
            if database.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                missing = "run_id NOT IN (SELECT run_id FROM overview)"
                if database.execute(f"SELECT 1 FROM runs WHERE {missing} LIMIT 1").fetchall():
                    yield "the overview lacks runs"
            for column in ("summary", "provenance"):
                for run_id, text in database.execute(f"SELECT run_id, {column} FROM runs"):
                    if not _is_object(text):
                        yield f"the {column} of run {run_id} cannot be read"
        except (sqlite3.Error, UnicodeDecodeError) as error:
            yield str(error)


def _is_object(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / CHECKPOINTS).glob("*.safetensors"))


def _is_in_use(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
