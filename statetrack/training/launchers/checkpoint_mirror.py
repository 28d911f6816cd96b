"""Checkpoints of a worker without a shared filesystem: what changed, as bytes for a message."""

from collections.abc import Mapping
from pathlib import Path

from statetrack.training.checkpoint import remove_checkpoint, write_checkpoint
from statetrack.training.execute import END

Changes = dict[str, bytes | None]
"""Content of checkpoints by name; None for those that are gone."""


class CheckpointMirror:
    """Sees what changes among the checkpoints in a folder that this process alone writes.

    Parameters
    ----------
    folder : Path

    Examples
    --------
    >>> import tempfile
    >>> mirror = CheckpointMirror(Path(tempfile.mkdtemp()))
    >>> mirror.changes()
    {}
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int]] = {}

    def changes(self) -> Changes:
        """What is new or gone since the last call."""
        found = {}
        for path in self._folder.glob(f"[!.]*{END}"):
            status = path.stat()
            found[path.name] = (status.st_mtime_ns, status.st_ino)
        changed: Changes = {
            name: (self._folder / name).read_bytes()
            for name, mark in found.items()
            if self._seen.get(name) != mark
        }
        gone: Changes = dict.fromkeys(self._seen.keys() - found.keys())
        self._seen = found
        return changed | gone


def apply_changes(folder: Path, changes: Mapping[str, bytes | None]) -> None:
    """Make the same changes in another folder.

    Parameters
    ----------
    folder : Path
    changes : mapping of str to bytes or None
        As `CheckpointMirror.changes` gives them.

    Raises
    ------
    InputError
        A checkpoint cannot be written.
    """
    for name, content in changes.items():
        path = folder / Path(name).name
        if content is None:
            remove_checkpoint(path)
        else:
            write_checkpoint(path, content)
