"""Processes that share a grid: one collects, the others join.

The collector holds the lock of the results store and writes the plan, which says which runs make a
pack. All of them, the collector too, claim packs and run them. A joiner writes each record to a
file of its own; the collector merges these, and waits for packs that living joiners have claimed.
Whoever dies loses its claims, so that another takes its packs up where the checkpoint is; when it
was the collector, a joiner that finds nothing left to do becomes the collector.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

from automata.errors import InputError
from statetrack.atomic_files import remove_temporaries
from statetrack.training.checkpoint import digest_path
from statetrack.training.claims import Claims, is_locked
from statetrack.training.execute import CHECKPOINTS as CHECKPOINTS
from statetrack.training.execute import pack_checkpoint, run_checkpoint
from statetrack.training.job_queue import SECONDS_BETWEEN_LOOKS, ClaimedJobs
from statetrack.training.launchers.local import LocalLauncher
from statetrack.training.loggers import Logger
from statetrack.training.packs import PackJob, pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.progress import GridProgress
from statetrack.training.progress_files import ProgressFiles
from statetrack.training.records import RunRecord
from statetrack.training.results import Results, results_of
from statetrack.training.run_logs import RunLogs
from statetrack.training.shards import merge_shards, shard_ids, shard_path, write_shard
from statetrack.training.store import LOCK_NAME, Store, StoreInUseError

if TYPE_CHECKING:
    from statetrack.training.grid import Grid, Launcher


class SharedGrid:
    """A grid in a folder, for one process among those that run it.

    Parameters
    ----------
    grid : Grid
    folder : Path
    launcher : Launcher, optional
        A local pool of processes by default.
    progress : GridProgress
    loggers : sequence of Logger
    plan : PlanFile, optional
        Of the packs that this process may run; the folder's by default.
    """

    def __init__(
        self,
        grid: "Grid",
        folder: Path,
        launcher: "Launcher | None",
        progress: GridProgress,
        loggers: Sequence[Logger],
        plan: PlanFile | None = None,
    ) -> None:
        self._grid, self._folder, self._shown = grid, folder, progress
        self._given_launcher = launcher
        self._runs = {run.run_id: run for run in grid.runs}
        self._claims, self._plan = Claims(folder), plan or PlanFile(folder)
        self._files = ProgressFiles(folder, progress.note)
        self._logs = RunLogs(loggers, self._runs, progress.note)

    def collect(self, store: Store, *, retry_failed: bool) -> Results:
        """Run what is missing, with the store open, and merge what joiners bring.

        Raises
        ------
        InputError
            Something in the folder is damaged or cannot be written.
        """
        merge_shards(store, self._folder)
        if retry_failed:
            store.forget_failed(self._runs)
        known = {run_id for run_id in store.statuses() if run_id in self._runs}

        def look() -> Collection[str]:
            for record in merge_shards(store, self._folder):
                known.add(record.run_id)
                if record.run_id in self._runs:
                    self._shown.finished(record)
            return known

        def keep(record: RunRecord) -> None:
            store.add(record)
            known.add(record.run_id)

        with self._watch(store, known):
            self._clear_finished(store)
            if len(known) < len(self._runs):
                self._make_plan(look)
                self._work(look, keep, lambda: False)
                self._clear_finished(store)
        return self._results(store)

    def _clear_finished(self, store: Store) -> None:
        """Delete what was killed after the last record of a pack and before its claim ended.

        A damaged plan says nothing of that; it is refused where runs are left.
        """
        try:
            packs = self._plan.earlier()
        except InputError:
            return
        stored = set(store.statuses())
        for pack in packs:
            identity = pack_id_of(pack)
            if set(pack) <= stored and self._claims.was_taken(identity):
                claim = self._claims.take(identity)
                if claim is not None:
                    self._files.end(identity)
                    claim.release(finished=True)

    def join(self) -> Results | None:
        """Help the process that has the store open.

        Returns
        -------
        Results or None
            None where nobody has the store open any more and this process should collect.

        Raises
        ------
        InputError
            The other process runs another grid, or something cannot be read or written.
        """
        while (packs := self._plan.current()) is None:
            if self._is_left():
                return None
            time.sleep(SECONDS_BETWEEN_LOOKS)
        known = self._known_to_joiners()
        strange = len(set(self._runs) - known - {run_id for pack in packs for run_id in pack})
        if strange and not self._is_left():
            raise StoreInUseError(
                f"results store {self._folder} is in use by another process, whose plan lacks "
                f"{strange} of these {len(self._runs)} runs; wait for it to end"
            )

        def look() -> Collection[str]:
            known = self._known_to_joiners()
            self._shown.counted(len(known & set(self._runs)))
            return known

        with self._reader() as store, self._watch(store, known):
            self._shown.note("another process collects the results of this grid; helping it")
            self._work(look, lambda record: write_shard(self._folder, record), self._is_left)
            while set(self._runs) - set(store.statuses()):
                if self._is_left():
                    return None
                time.sleep(SECONDS_BETWEEN_LOOKS)
            return self._results(store)

    def leave_records(self, known: Collection[str]) -> None:
        """Run the packs of the plan, where nobody has a store, and leave every record as a shard.

        Parameters
        ----------
        known : collection of str
            Run ids with a record elsewhere.

        Raises
        ------
        InputError
            Something in the folder is damaged or cannot be written.
        """

        def look() -> Collection[str]:
            return shard_ids(self._folder) | set(known)

        missing = len(set(self._runs) - set(look()))
        with self._shown.watch(
            self._grid.name, len(self._runs), missing, listeners=(self._files.advanced,)
        ):
            self._work(look, lambda record: write_shard(self._folder, record), lambda: False)

    def close(self) -> None:
        """Tell the loggers that nothing comes any more."""
        self._logs.close()

    def _reader(self) -> Store:
        return Store(self._folder, read_only=True)

    def _watch(self, store: Store, known: Collection[str]) -> AbstractContextManager[None]:
        solved = len(store.solved() & set(self._runs))
        return self._shown.watch(
            self._grid.name,
            len(self._runs),
            len(set(self._runs) - set(known)),
            solved=solved,
            listeners=(self._files.advanced, self._logs.advanced),
        )

    def _results(self, store: Store) -> Results:
        return results_of(store).only(list(self._runs))

    def _is_left(self) -> bool:
        """Whether nobody has the store open."""
        return not is_locked(self._folder / LOCK_NAME)

    def _known_to_joiners(self) -> set[str]:
        """Run ids with a record: shards first, for a merged one is in the store by then."""
        found = shard_ids(self._folder)
        with self._reader() as store:
            return found | set(store.statuses())

    def _make_plan(self, look: Callable[[], Collection[str]]) -> None:
        """Publish the packs of an earlier plan that serve, and new ones for the other runs."""
        self._plan.withdraw()
        earlier = self._plan.earlier()
        for pack in earlier:
            if set(pack) & set(self._runs) and not set(pack) <= set(self._runs):
                if self._claims.is_held(pack_id_of(pack)):
                    self._shown.note("waiting for a pack of another grid with some of these runs")
                while self._claims.is_held(pack_id_of(pack)):
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        known = look()
        if set(self._runs) - set(known):
            from statetrack.training.grid import plan_for

            jobs = plan_for(self._launcher, self._grid, known, earlier)
            self._plan.publish([[run.run_id for run in job.runs] for job in jobs])

    @property
    def _launcher(self) -> "Launcher":
        if self._given_launcher is None:
            self._given_launcher = LocalLauncher()
        return self._given_launcher

    def _work(
        self,
        look: Callable[[], Collection[str]],
        keep: Callable[[RunRecord], None],
        is_left: Callable[[], bool],
    ) -> None:
        """Run packs until every run has a record somewhere, or this process is left alone."""
        queue = ClaimedJobs(
            self._runs, self._plan, self._claims, look, self._begin, self._files.end
        )
        with closing(queue):
            while queue.open_runs():
                for record in self._launcher.run(
                    queue, self._folder / CHECKPOINTS, self._shown, self._grid.source
                ):
                    keep(record)
                    self._files.recorded(record.run_id)
                    self._logs.recorded(record)
                    self._shown.finished(record)
                    queue.recorded(record.run_id)
                queue.let_go()
                if not queue.open_runs() or is_left():
                    return
                time.sleep(SECONDS_BETWEEN_LOOKS)

    def _begin(self, identity: str, job: PackJob) -> None:
        """Clear away what a killed owner of this pack left half written."""
        checkpoints = self._folder / CHECKPOINTS
        files = [pack_checkpoint(checkpoints, job.runs)]
        files += [run_checkpoint(checkpoints, run) for run in job.missing]
        try:
            for path in files:
                remove_temporaries(path)
                remove_temporaries(digest_path(path))
            for run in job.missing:
                remove_temporaries(shard_path(self._folder, run.run_id))
        except OSError as error:
            raise InputError(f"{self._folder}: {error.strerror or error}") from None
        self._files.begin(identity, [run.run_id for run in job.missing])
