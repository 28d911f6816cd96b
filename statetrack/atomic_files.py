"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write to a temporary file, sync, rename, and sync the folder.

    Parameters
    ----------
    path : Path
    content : bytes
    durable : bool
        False leaves the syncing out: whole all the same, but a power loss may take it.

    Raises
    ------
    OSError
        It cannot be written; nothing is left of it, and what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(path: Path) -> None:
    """Delete what killed processes left of writing a file; only for who alone may write it.

    Raises
    ------
    OSError
        A file cannot be deleted.
    """
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)
