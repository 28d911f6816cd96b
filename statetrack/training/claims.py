"""Claims on packs, so that several processes share a grid and none does what another is doing.

A claim is a lock that the kernel holds for the process and gives up when it dies, however it dies:
nobody has to find out whether the owner of a claim is alive.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from automata.errors import InputError

CLAIMS = "claims"


class Claim:
    """A lock that is held until it is released, here and in processes that were handed it.

    Parameters
    ----------
    path : Path
    descriptor : int
        Of the open, locked file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def fileno(self) -> int:
        """The file descriptor, to hand to a worker: the lock lives as long as one of both."""
        return self._descriptor

    def release(self, *, finished: bool = False) -> None:
        """Let go of it; `finished` also deletes its file, which nobody will need again."""
        if self._descriptor < 0:
            return
        if finished:
            with suppress(OSError):  # an empty file that stays does no harm
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


class Claims:
    """Claims in a folder, by name.

    Parameters
    ----------
    folder : Path
        Of the results; the claims are files in ``claims`` there.

    Examples
    --------
    >>> import tempfile
    >>> claims = Claims(Path(tempfile.mkdtemp()))
    >>> claim = claims.take("pack")
    >>> claims.take("pack") is None, claims.is_held("pack")
    (True, True)
    >>> claim.release(finished=True)
    >>> claims.is_held("pack")
    False
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder) / CLAIMS

    def take(self, name: str) -> Claim | None:
        """Claim something; None where another process has it.

        Raises
        ------
        InputError
            The file of the claim cannot be made.
        """
        path = self._folder / f"{name}.lock"
        try:
            self._folder.mkdir(exist_ok=True)
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    return None
                except OSError:
                    os.close(descriptor)
                    raise
                if _is_at(path, descriptor):
                    return Claim(path, descriptor)
                os.close(descriptor)
        except OSError as error:
            raise InputError(f"claim {path}: {error.strerror or error}") from None

    def was_taken(self, name: str) -> bool:
        """Whether this was claimed once and not finished."""
        return (self._folder / f"{name}.lock").exists()

    def is_held(self, name: str) -> bool:
        """Whether some process has claimed this.

        Raises
        ------
        InputError
            The file of the claim cannot be read.
        """
        return is_locked(self._folder / f"{name}.lock")


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on a file.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"lock {path}: {error.strerror or error}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to the open file, which its last owner may have deleted."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
