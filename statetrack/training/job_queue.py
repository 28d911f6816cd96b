"""Where a launcher gets its packs from, one whenever a worker is idle."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from statetrack.training.claims import Claim, Claims
from statetrack.training.config import RunConfig
from statetrack.training.packs import PackJob, pack_id_of
from statetrack.training.plan_file import PlanFile

SECONDS_BETWEEN_LOOKS = 0.5


class JobQueue:
    """Packs in a given order.

    Parameters
    ----------
    jobs : iterable of PackJob

    Examples
    --------
    >>> JobQueue([]).take() is None
    True
    """

    def __init__(self, jobs: Iterable[PackJob] = ()) -> None:
        self._jobs = iter(jobs)

    def take(self) -> PackJob | None:
        """The next pack; None where there is none now, though there may be one later."""
        return next(self._jobs, None)

    def poll(self) -> None:
        """To be called about once a second while workers are busy."""

    def __iter__(self) -> Iterator[PackJob]:
        """Packs until there is none."""
        while (job := self.take()) is not None:
            yield job


class ClaimedJobs(JobQueue):
    """Packs of the plan that no other process has, each claimed when it is handed out.

    Parameters
    ----------
    runs : mapping of str to RunConfig
        What this process can run, by run id.
    plan : PlanFile
    claims : Claims
    known : callable
        Run ids that have a record by now; asked after a claim, so that what the last owner of the
        claim recorded is among them.
    begun : callable
        Called with the identity of a pack and its job when it was claimed.
    ended : callable
        Called with the identity of a pack when all its runs have their records.
    """

    def __init__(
        self,
        runs: Mapping[str, RunConfig],
        plan: PlanFile,
        claims: Claims,
        known: Callable[[], Collection[str]],
        begun: Callable[[str, PackJob], None] = lambda identity, job: None,
        ended: Callable[[str], None] = lambda identity: None,
    ) -> None:
        super().__init__()
        self._runs, self._plan, self._claims, self._ask = runs, plan, claims, known
        self._begun, self._ended = begun, ended
        self._known: Collection[str] = frozenset()
        self._held: dict[str, tuple[Claim, set[str]]] = {}
        self._given_up: set[str] = set()
        self._next_look = self._next_poll = 0.0

    def open_runs(self) -> set[str]:
        """Runs without a record, here or elsewhere, that this process has not given up."""
        self._known = self._ask()
        return set(self._runs) - set(self._known) - self._given_up

    def take(self) -> PackJob | None:
        """Claim the next pack that nobody has.

        Raises
        ------
        InputError
            The plan cannot be read, or a claim cannot be made.
        """
        if time.monotonic() < self._next_look:
            return None
        packs = self._plan.current() or []
        for pack in packs:
            identity = pack_id_of(pack)
            if (
                identity in self._held
                or not set(pack) <= set(self._runs)
                or not set(pack) - set(self._known) - self._given_up
            ):
                continue
            claim = self._claims.take(identity)
            if claim is None:
                continue
            if self._plan.current() != packs:  # a new collector came between
                claim.release()
                return None
            job = self._job(pack, claim)
            if job is not None:
                self._begun(identity, job)
                return job
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        return None

    def _job(self, pack: list[str], claim: Claim) -> PackJob | None:
        try:
            self._known = self._ask()
        except BaseException:
            claim.release()
            raise
        missing = set(pack) - set(self._known)
        if not missing:
            claim.release(finished=True)
            return None
        self._held[pack_id_of(pack)] = (claim, missing)
        runs = tuple(self._runs[run_id] for run_id in pack)
        return PackJob(runs, frozenset(set(pack) - missing), claim=claim)

    def poll(self) -> None:
        """See what others have recorded."""
        if time.monotonic() >= self._next_poll:
            self._known = self._ask()
            self._next_poll = time.monotonic() + SECONDS_BETWEEN_LOOKS

    def recorded(self, run_id: str) -> None:
        """Take note that the record of a run is safe; the last of a pack ends its claim."""
        for identity, (claim, missing) in list(self._held.items()):
            missing.discard(run_id)
            if not missing:
                del self._held[identity]
                self._ended(identity)
                claim.release(finished=True)

    def close(self) -> None:
        """End all claims."""
        self.let_go()

    def let_go(self) -> None:
        """End all claims; what a launcher left undone is not taken up again."""
        for claim, missing in self._held.values():
            self._given_up |= missing
            claim.release()
        self._held.clear()
