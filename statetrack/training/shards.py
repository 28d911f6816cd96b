"""Records on their way to the store: one file each, written once, merged by who has the store."""

from collections.abc import Iterator
from pathlib import Path

from automata.errors import InputError
from statetrack.atomic_files import write_atomically
from statetrack.training.records import RunRecord
from statetrack.training.store import Store

SHARDS = "shards"


def shard_path(folder: Path, run_id: str) -> Path:
    """Where the record of a run waits to be merged."""
    return folder / SHARDS / f"{run_id}.json"


def write_shard(folder: Path, record: RunRecord) -> None:
    """Write a record; when this returns it is on the disk. One that is there already stays.

    Parameters
    ----------
    folder : Path
        Of the results.
    record : RunRecord
        Of a run whose pack this process has claimed: nobody else writes its record.

    Raises
    ------
    InputError
        The disk does not take it; earlier ones stay.
    """
    path = shard_path(folder, record.run_id)
    try:
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_atomically(path, record.to_json().encode())
    except OSError as error:
        raise InputError(f"shard {path}: {error.strerror or error}") from None


def shard_ids(folder: Path) -> set[str]:
    """Run ids of the records that wait to be merged."""
    return {path.stem for path in _paths(folder)}


def read_shards(folder: Path) -> Iterator[RunRecord]:
    """Records that wait to be merged, by run id.

    Raises
    ------
    InputError
        A file is damaged or cannot be read.
    """
    for path in _paths(folder):
        try:
            record = RunRecord.from_json(path.read_text())
        except FileNotFoundError:
            continue  # merged in the meantime
        except OSError as error:
            raise InputError(f"shard {path}: {error.strerror or error}") from None
        except ValueError:
            record = None
        if record is None or record.run_id != path.stem:
            raise InputError(f"shard {path} is damaged; delete it to run its run again")
        yield record


def merge_shards(store: Store, folder: Path) -> list[RunRecord]:
    """Put the records that wait into the store.

    A file is deleted when its record is safe in the store; a kill between the two costs nothing,
    since a run that is finished in the store keeps its first record.

    Parameters
    ----------
    store : Store
        Open for writing.
    folder : Path

    Returns
    -------
    list of RunRecord
        Those that were new.

    Raises
    ------
    InputError
        A file is damaged, or the disk does not take a record (its file stays).
    """
    statuses: dict[str, str] | None = None
    merged = []
    for record in read_shards(folder):
        statuses = store.statuses() if statuses is None else statuses
        if statuses.get(record.run_id) != "finished":
            store.add(record)
            merged.append(record)
        try:
            shard_path(folder, record.run_id).unlink(missing_ok=True)
        except OSError as error:
            path = shard_path(folder, record.run_id)
            raise InputError(f"shard {path}: {error.strerror or error}") from None
    return merged


def _paths(folder: Path) -> list[Path]:
    return sorted((folder / SHARDS).glob("[!.]*.json"))
