"""Where the packs under way stand, as small files for whoever asks from another process."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from statetrack.atomic_files import remove_temporaries, write_atomically
from statetrack.training.pack_members import Progress
from statetrack.training.throughput import Throughput

PROGRESS = "progress"
SECONDS_BETWEEN_WRITES = 1.0


@dataclass(frozen=True)
class RunProgress:
    """Where one run under way stood.

    Attributes
    ----------
    run_id : str
    step, num_steps, length : int
        Steps, and the length of its words.
    loss : float or None
        The last recorded one.
    """

    run_id: str
    step: int
    num_steps: int
    length: int
    loss: float | None


@dataclass(frozen=True)
class PackProgress:
    """Where one pack stood when its file was written.

    Attributes
    ----------
    time : float
        Seconds since 1970.
    runs : list of RunProgress
        Those under way.
    steps_per_second, tokens_per_second : float
        Of all its runs together.
    """

    time: float
    runs: list[RunProgress]
    steps_per_second: float
    tokens_per_second: float

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None before it is known."""
        steps = sum(run.num_steps - run.step for run in self.runs)
        return steps / self.steps_per_second if self.steps_per_second > 0 else None


def read_progress(folder: Path, identity: str) -> PackProgress | None:
    """The file of a pack; None where there is none that can be read."""
    try:
        tree: dict[str, Any] = json.loads(_path(folder, identity).read_text())
        return PackProgress(**tree | {"runs": [RunProgress(**run) for run in tree["runs"]]})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


class ProgressFiles:
    """Writes the file of every pack that this process runs, at most once a second.

    A file that cannot be written costs the view from outside alone: it is said once.

    Parameters
    ----------
    folder : Path
        Of the results; the files are in ``progress`` there.
    note : callable
        Tells the person.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        folder: Path,
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._note, self._clock = Path(folder), note, clock
        self._packs: dict[str, _Pack] = {}
        self._pack_of: dict[str, str] = {}
        self._works = True

    def begin(self, identity: str, run_ids: Sequence[str]) -> None:
        """A pack that this process has claimed; what is left of an earlier owner is deleted."""
        self._packs[identity] = _Pack(Throughput(self._clock), Throughput(self._clock))
        self._pack_of |= dict.fromkeys(run_ids, identity)
        self._try(lambda: self._delete(identity))

    def advanced(self, progress: Progress) -> None:
        """Take note of a training's step."""
        identity = self._pack_of.get(progress.run_id)
        if identity is None:
            return
        pack = self._packs[identity]
        pack.runs[progress.run_id] = RunProgress(
            progress.run_id,
            progress.step,
            progress.num_steps,
            progress.length,
            None if math.isnan(progress.loss) else progress.loss,
        )
        pack.steps.note(progress.run_id, progress.step)
        pack.tokens.note(progress.run_id, progress.tokens)
        now = self._clock()
        if now - pack.written >= SECONDS_BETWEEN_WRITES:
            pack.written = now
            self._try(lambda: self._write(identity, pack))

    def recorded(self, run_id: str) -> None:
        """A run that is under way no longer."""
        identity = self._pack_of.pop(run_id, None)
        if identity is not None:
            self._packs[identity].runs.pop(run_id, None)

    def end(self, identity: str) -> None:
        """A pack whose runs have all ended."""
        self._packs.pop(identity, None)
        self._try(lambda: self._delete(identity))

    def _write(self, identity: str, pack: "_Pack") -> None:
        content = asdict(
            PackProgress(
                time.time(),
                list(pack.runs.values()),
                pack.steps.per_second,
                pack.tokens.per_second,
            )
        )
        path = _path(self._folder, identity)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(content).encode(), durable=False)

    def _delete(self, identity: str) -> None:
        path = _path(self._folder, identity)
        path.unlink(missing_ok=True)
        remove_temporaries(path)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            if self._works:
                reason = error.strerror or error
                self._note(f"{self._folder / PROGRESS}: {reason}; `statetrack status` may be late")
            self._works = False


class _Pack:
    def __init__(self, steps: Throughput, tokens: Throughput) -> None:
        self.steps, self.tokens = steps, tokens
        self.runs: dict[str, RunProgress] = {}
        self.written = -math.inf


def _path(folder: Path, identity: str) -> Path:
    return folder / PROGRESS / f"{identity}.json"
