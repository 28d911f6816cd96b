"""The plan of a grid on the disk: which runs make a pack, for all processes that share the grid."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from automata.errors import InputError
from statetrack.atomic_files import remove_temporaries, write_atomically

PLAN = "packs.json"
Packs = list[list[str]]


class PlanFile:
    """Packs as lists of run ids.

    The collector writes it. A digest beside it says that it holds; a collector withdraws that
    first, so that nobody begins with packs that it is about to change.

    Parameters
    ----------
    folder : Path

    Examples
    --------
    >>> import tempfile
    >>> plan = PlanFile(Path(tempfile.mkdtemp()))
    >>> plan.publish([["a", "b"], ["c"]])
    >>> plan.current()
    [['a', 'b'], ['c']]
    >>> plan.withdraw()
    >>> plan.current() is None, plan.earlier()
    (True, [['a', 'b'], ['c']])
    """

    def __init__(self, folder: Path) -> None:
        self._path = Path(folder) / PLAN
        self._digest = self._path.with_name(f"{PLAN}.sha256")

    def earlier(self) -> Packs:
        """Packs of the last plan, whether it holds or not; none where there is no plan.

        Raises
        ------
        InputError
            The file is damaged or cannot be read.
        """
        try:
            return _packs(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise self._refusal(error) from None

    def current(self) -> Packs | None:
        """Packs of the plan that holds; None while a collector makes one.

        Raises
        ------
        InputError
            The file is damaged or cannot be read.
        """
        try:
            content, digest = self._path.read_bytes(), self._digest.read_text()
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            return _packs(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise self._refusal(error) from None

    def withdraw(self) -> None:
        """Say that no plan holds.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        try:
            for path in (self._path, self._digest):
                remove_temporaries(path)
            self._digest.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{self._digest}: {error.strerror or error}") from None

    def publish(self, packs: Sequence[Sequence[str]]) -> None:
        """Write a plan, which holds from then on.

        Raises
        ------
        InputError
            The disk does not take it.
        """
        content = json.dumps([list(pack) for pack in packs]).encode()
        try:
            write_atomically(self._path, content)
            write_atomically(self._digest, hashlib.sha256(content).hexdigest().encode())
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or error}") from None

    def _refusal(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(f"{self._path}: {reason}; delete it to plan the packs anew")


def _packs(content: bytes) -> Packs:
    packs = json.loads(content)
    if not (
        isinstance(packs, list)
        and all(isinstance(pack, list) and pack for pack in packs)
        and all(isinstance(run_id, str) for pack in packs for run_id in pack)
    ):
        raise ValueError("expected lists of run ids")
    return packs
