"""A grid is a named list of runs; running it fills the holes in its results store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from automata.errors import InputError
from statetrack.training.config import RunConfig
from statetrack.training.loggers import LOGS, JsonLinesLogger, Logger
from statetrack.training.packs import PackJob
from statetrack.training.plan_file import PLAN as PLAN
from statetrack.training.progress import GridProgress
from statetrack.training.records import RunRecord
from statetrack.training.results import Results
from statetrack.training.sharing import CHECKPOINTS as CHECKPOINTS
from statetrack.training.sharing import SharedGrid
from statetrack.training.store import Store, StoreInUseError

MAX_RUNS = 10**6
MAX_NAME = 100


class Launcher(Protocol):
    """Runs configurations somewhere and gives their records back as they are done."""

    def pack_size(self, runs: Sequence[RunConfig]) -> int:
        """Most of these runs that it trains as one pack."""
        ...

    def run(
        self,
        jobs: Iterable[PackJob],
        checkpoints: Path,
        progress: GridProgress,
        source: Path | None = None,
    ) -> Iterator[RunRecord]:
        """Yield one record a missing run of the packs, in any order; `source` as in `Grid`.

        A pack is claimed when it is taken from `jobs`, so one is best taken when it can begin.
        """
        ...


@dataclass(frozen=True)
class Grid:
    """Runs of one experiment.

    Parameters
    ----------
    name : str
        Letters, digits, ``-`` and ``_``; names the folder of results.
    runs : tuple of RunConfig
        All different.
    source : Path, optional
        Python file that registers tasks and models of its own; workers run it before they train.

    Raises
    ------
    InputError
        No run, too many, two equal ones, or a name that cannot be a folder's.

    Examples
    --------
    >>> base = ["task=parity", "model=diagonal"]
    >>> grid = Grid.product("ranges", base, {"model.eigenvalue_range": ["[0,1]", "[-1,1]"],
    ...                                      "seed": [0, 1, 2]})
    >>> len(grid.runs)
    6
    """

    name: str
    runs: tuple[RunConfig, ...]
    source: Path | None = None

    def __post_init__(self) -> None:
        fits = all(c.isascii() and (c.isalnum() or c in "-_") for c in self.name)
        if not fits or not 1 <= len(self.name) <= MAX_NAME:
            raise InputError(
                f"grid name {self.name[:MAX_NAME]!r}: use 1 to {MAX_NAME} letters, digits, '-', '_'"
            )
        if not 1 <= len(self.runs) <= MAX_RUNS:
            raise InputError(
                f"grid {self.name!r} has {len(self.runs)} runs: expected 1 to {MAX_RUNS}"
            )
        seen: dict[str, RunConfig] = {}
        for run in self.runs:
            if run.run_id in seen:
                raise InputError(f"grid {self.name!r} names one run twice: {run.model_dump_json()}")
            seen[run.run_id] = run

    @classmethod
    def product(cls, name: str, base: Iterable[str], axes: Mapping[str, Sequence[Any]]) -> "Grid":
        """All combinations of the values of some keys.

        Parameters
        ----------
        name : str
        base : iterable of str
            ``key=value`` pairs that all runs share (see `RunConfig.from_pairs`).
        axes : mapping of str to sequence
            Values of every key that varies; the last axis varies fastest.
        """
        total = 1
        for key, values in axes.items():
            total *= len(values)
            if total == 0:
                raise InputError(f"grid {name!r}: axis {key!r} has no values")
        if total > MAX_RUNS:
            raise InputError(f"grid {name!r} has {total} runs: expected at most {MAX_RUNS}")
        fixed = list(base)
        return cls(
            name,
            tuple(
                RunConfig.from_pairs(
                    [*fixed, *(f"{key}={value}" for key, value in zip(axes, values, strict=True))]
                )
                for values in product(*axes.values())
            ),
        )

    def __add__(self, other: "Grid") -> "Grid":
        """Runs of both, under the name of the first."""
        return Grid(self.name, self.runs + other.runs, self.source)

    def missing(
        self, statuses: Mapping[str, str], *, retry_failed: bool = False
    ) -> list[RunConfig]:
        """Runs that a store with these statuses does not have yet.

        Parameters
        ----------
        statuses : mapping of str to str
            As `Store.statuses` gives them.
        retry_failed : bool
            Count failed runs as missing.
        """
        done = {"finished"} if retry_failed else {"finished", "failed"}
        return [run for run in self.runs if statuses.get(run.run_id) not in done]


def run_grid(
    grid: Grid,
    folder: str | Path,
    *,
    launcher: Launcher | None = None,
    retry_failed: bool = False,
    progress: GridProgress | None = None,
    loggers: Sequence[Logger] | None = None,
) -> Results:
    """Run what is missing of a grid and return the results of all of it.

    Finished runs are never run again; runs that were cut short go on from their checkpoint.
    Several processes on one machine may call this for the same grid and folder: they share the
    work, and each returns all results.

    Parameters
    ----------
    grid : Grid
    folder : str or Path
        Where the results store and the checkpoints live.
    launcher : Launcher, optional
        A local pool of processes by default.
    retry_failed : bool
        Run failed ones again; not where another process is at work on the grid.
    progress : GridProgress, optional
        Where progress is shown; standard error by default.
    loggers : sequence of Logger, optional
        Take every run's history as it comes; one file a run in ``logs`` by default.

    Returns
    -------
    Results
        Of this grid's runs alone, in the grid's order.

    Raises
    ------
    InputError
        The folder cannot be used, or another process runs another grid in it.
    KeyboardInterrupt
        After the running trainings have kept their checkpoints.
    """
    place = Path(folder)
    shared = SharedGrid(
        grid,
        place,
        launcher,
        progress or GridProgress(),
        [JsonLinesLogger(place / LOGS)] if loggers is None else loggers,
    )
    with closing(shared):
        while True:
            try:
                store = Store(place)
            except StoreInUseError:
                results, retry_failed = shared.join(), False
                if results is not None:
                    return results
                continue
            with store:
                return shared.collect(store, retry_failed=retry_failed)
