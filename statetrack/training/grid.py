"""A grid is a named list of runs; running it fills the holes in its results store."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from automata.errors import InputError
from statetrack.training.axes import Axes, fixed, pairs_of, product
from statetrack.training.config import RunConfig
from statetrack.training.loggers import LOGS, JsonLinesLogger, Logger
from statetrack.training.packs import PackJob, plan_jobs
from statetrack.training.plan_file import PLAN as PLAN
from statetrack.training.progress import GridProgress
from statetrack.training.records import RunRecord
from statetrack.training.results import Results
from statetrack.training.sharing import CHECKPOINTS as CHECKPOINTS
from statetrack.training.sharing import SharedGrid
from statetrack.training.store import Store, StoreInUseError

MAX_RUNS = 10**5
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


@runtime_checkable
class KnowsCosts(Protocol):
    """A launcher that knows what a few steps of every shape took."""

    def limit(self, key: str) -> int:
        """Most runs of a pack of the shape with this `pack_key`."""
        ...

    def seconds_of(self, pack: Sequence[RunConfig]) -> float | None:
        """Estimated seconds of a pack, None where that says nothing."""
        ...


def plan_for(
    launcher: Launcher,
    grid: "Grid",
    known: Collection[str],
    earlier: Iterable[Sequence[str]],
) -> list[PackJob]:
    """The packs of a grid that are still to be run, as `plan_jobs` makes them for a launcher."""
    missing = [run for run in grid if run.run_id not in known]
    if not missing:
        return []
    size = launcher.pack_size(missing)
    if not isinstance(launcher, KnowsCosts):
        return plan_jobs(grid.runs, known, earlier, size)
    return plan_jobs(grid.runs, known, earlier, size, launcher.limit, launcher.seconds_of)


@dataclass(frozen=True)
class Grid:
    """Runs of one experiment, in a fixed order.

    Parameters
    ----------
    name : str
        Letters, digits, ``-`` and ``_``; names the folder of results.
    runs : tuple of RunConfig
        All different, at most 100,000.
    source : Path, optional
        Python file that registers tasks and models of its own; workers run it before they train.

    Raises
    ------
    InputError
        No run, too many, two equal ones, or a name that cannot be a folder's.

    Examples
    --------
    >>> from statetrack.training.axes import fixed, product, zipped
    >>> grid = Grid.of(
    ...     "ranges",
    ...     fixed("task=parity", "model=diagonal")
    ...     * product({"model.eigenvalue_range": ["[0,1]", "[-1,1]"]})
    ...     * zipped({"training.length": [20, 40], "training.steps": [300, 600]})
    ...     * product({"seed": range(3)}),
    ... )
    >>> len(grid), [run.seed for run in grid][:4]
    (12, [0, 1, 2, 0])
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
        places: dict[str, int] = {}
        for place, run in enumerate(self.runs, start=1):
            if run.run_id in places:
                raise InputError(
                    f"grid {self.name!r} names one run twice, in places {places[run.run_id]} and "
                    f"{place}: {run.model_dump_json()}"
                )
            places[run.run_id] = place

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.runs)

    def __iter__(self) -> Iterator[RunConfig]:
        """Runs, in the grid's order."""
        return iter(self.runs)

    @classmethod
    def of(cls, name: str, axes: Axes) -> "Grid":
        """Runs of all settings of some axes, in their order.

        Parameters
        ----------
        name : str
        axes : Axes
            See `statetrack.training.axes`.

        Raises
        ------
        InputError
            More settings than a grid may have runs, exclusions not counted, which is found before
            they are listed; no settings; and as `RunConfig.from_pairs` and `Grid`.
        """
        if not isinstance(axes, Axes):
            raise InputError(
                f"grid {name!r}: expected axes, such as fixed('task=s3') * product({{'seed': "
                f"range(3)}}), and was given a {type(axes).__name__}"
            )
        if axes.count > MAX_RUNS:
            raise InputError(f"grid {name!r} has {axes.count} runs: expected at most {MAX_RUNS}")
        try:
            runs = tuple(RunConfig.from_pairs(pairs_of(settings)) for settings in axes)
        except InputError as error:
            raise InputError(f"grid {name!r}: {error}") from None
        if not runs:
            raise InputError(f"grid {name!r} has 0 runs: everything is left out of it")
        return cls(name, runs)

    @classmethod
    def product(cls, name: str, base: Iterable[str], axes: Mapping[str, Sequence[Any]]) -> "Grid":
        """All combinations of the values of some keys.

        Parameters
        ----------
        name : str
        base : iterable of str
            ``key=value`` pairs that all runs share, unless an axis has the same key.
        axes : mapping of str to sequence
            Values of every key that varies; the last axis varies fastest.

        Raises
        ------
        InputError
            As `of`.
        """
        try:
            shared = fixed(*(pair for pair in base if pair.partition("=")[0].strip() not in axes))
            combined = shared * product(axes)
        except InputError as error:
            raise InputError(f"grid {name!r}: {error}") from None
        return cls.of(name, combined)

    def __add__(self, other: "Grid") -> "Grid":
        """Runs of both, under the name of the first."""
        return Grid(self.name, self.runs + other.runs, self.source)

    def missing(
        self, store: Store | Mapping[str, str], *, retry_failed: bool = False
    ) -> list[RunConfig]:
        """Runs that a store does not have yet, in the grid's order.

        Parameters
        ----------
        store : Store or mapping of str to str
            A store, or statuses as `Store.statuses` gives them.
        retry_failed : bool
            Count failed runs as missing.
        """
        statuses = store.statuses() if isinstance(store, Store) else store
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
