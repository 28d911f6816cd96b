"""Which runs can be trained as one: equal shapes, other numbers."""

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from automata.tasks.automaton_task import AutomatonTask
from statetrack.models.config import model_entry
from statetrack.training.claims import Claim
from statetrack.training.config import RunConfig

OWN_SETTINGS = frozenset(
    {
        "learning_rate",
        "weight_decay",
        "warmup_steps",
        "final_rate_share",
        "beta1",
        "beta2",
        "clip_norm",
        "curriculum",
        "schedule",
        "stop",
        "steps",
    }
)
"""Settings of training that every run of a pack may have of its own."""

MAX_PACK_ON_CPU = 32
MAX_PACK_ON_GPU = 256

Pack = tuple[RunConfig, ...]


def pack_key(config: RunConfig) -> str:
    """Runs with equal keys can be trained as one pack.

    Parameters
    ----------
    config : RunConfig

    Returns
    -------
    str
        What has to be equal, as JSON: sizes of model and task, batch, lengths, rounds. Seeds and
        `OWN_SETTINGS` are left out; so are those parameters of a model that it marks as numbers of
        its own (metadata ``"per_run"`` of the field), and the table of a plain automaton task.
    """
    tree = config.model_dump(mode="json")
    del tree["seed"]
    tree["training"] = {k: v for k, v in tree["training"].items() if k not in OWN_SETTINGS}
    own = {
        one.name
        for one in dataclasses.fields(model_entry(config.model.name).config_class)
        if one.metadata.get("per_run")
    }
    parameters = tree["model"]["parameters"]
    tree["model"]["parameters"] = {k: v for k, v in parameters.items() if k not in own}
    task = config.task.build()
    if isinstance(task, AutomatonTask) and task.is_plain:
        tree["task"] = [
            task.dfa.num_states,
            task.dfa.num_symbols,
            task.num_tokens,
            task.num_classes,
            task.supervision,
        ]
    return json.dumps(tree, sort_keys=True)


Limit = Callable[[str], int]
"""Most runs of a pack of a shape, which is given by its `pack_key`."""
Cost = Callable[[Sequence[RunConfig]], float | None]
"""Estimated seconds of a pack, None where they are not known."""


def partition(
    runs: Iterable[RunConfig], max_size: int, limit: Limit = lambda key: 2**31
) -> list[Pack]:
    """Put runs into packs.

    Parameters
    ----------
    runs : iterable of RunConfig
    max_size : int
        Most runs of a pack.
    limit : callable
        Most runs of a pack of one shape, such as fit the memory.

    Returns
    -------
    list of tuple of RunConfig
        In the order of their first runs; runs of a pack in the given order. Packs of one key are
        of nearly equal size.

    Examples
    --------
    >>> base = ["task=parity", "model=diagonal"]
    >>> runs = [RunConfig.from_pairs([*base, f"seed={seed}"]) for seed in range(5)]
    >>> [len(pack) for pack in partition(runs, max_size=2)]
    [2, 2, 1]
    """
    by_key: dict[str, list[RunConfig]] = {}
    for run in runs:
        by_key.setdefault(pack_key(run), []).append(run)
    return [
        pack for key, group in by_key.items() for pack in _cut(group, min(max_size, limit(key)))
    ]


def _cut(runs: Sequence[RunConfig], max_size: int) -> list[Pack]:
    count = -(-len(runs) // max_size)
    ends = [-(-len(runs) * number // count) for number in range(count + 1)]
    return [tuple(runs[low:high]) for low, high in pairwise(ends)]


def pack_id(pack: Sequence[RunConfig]) -> str:
    """Identity of a pack: its members, in their order."""
    return pack_id_of([run.run_id for run in pack])


def pack_id_of(run_ids: Iterable[str]) -> str:
    """Identity of a pack whose members are given by their run ids."""
    joined = ",".join(run_ids)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def pack_size_for(runs: Sequence[RunConfig], num_packs: int, largest: int) -> int:
    """Most runs of a pack so that there are `num_packs` of them, where there are runs enough.

    Examples
    --------
    >>> base = ["task=parity", "model=diagonal"]
    >>> runs = [RunConfig.from_pairs([*base, f"seed={seed}"]) for seed in range(12)]
    >>> pack_size_for(runs, num_packs=4, largest=32)
    3
    """
    counts = Counter(pack_key(run) for run in runs)
    for size in range(min(largest, max(counts.values())), 1, -1):
        if sum(-(-count // size) for count in counts.values()) >= num_packs:
            return size
    return 1


@dataclass(frozen=True)
class PackJob:
    """One pack for a worker.

    Parameters
    ----------
    runs : tuple of RunConfig
    known : frozenset of str
        Run ids among them that have a record already.
    deaths : int
        How many workers have died of it.
    claim : Claim, optional
        What the worker keeps open meanwhile, so that nobody else takes the pack even where the
        process that claimed it is killed and the worker is not yet.
    """

    runs: Pack
    known: frozenset[str] = frozenset()
    deaths: int = 0
    claim: Claim | None = field(default=None, compare=False, repr=False)

    @property
    def missing(self) -> Pack:
        """Runs that have no record yet."""
        return tuple(run for run in self.runs if run.run_id not in self.known)

    def without(self, run_id: str) -> "PackJob":
        """The same job when one run more has its record."""
        return replace(self, known=self.known | {run_id})

    def after_death(self) -> list["PackJob"]:
        """What to do when a worker died: go on once, then take it apart; nothing for one run."""
        if len(self.missing) <= 1 and self.deaths > 0:
            return []
        if self.deaths == 0:
            return [replace(self, deaths=1)]
        middle = len(self.missing) // 2
        return [
            PackJob(part, deaths=1, claim=self.claim)
            for part in (self.missing[:middle], self.missing[middle:])
        ]

    def to_json(self) -> str:
        """Text that `from_json` reads; the claim is left out."""
        runs = [run.model_dump(mode="json") for run in self.runs]
        return json.dumps({"runs": runs, "known": sorted(self.known), "deaths": self.deaths})

    @classmethod
    def from_json(cls, text: str) -> "PackJob":
        """Read `to_json`."""
        tree = json.loads(text)
        runs = tuple(RunConfig.from_tree(run) for run in tree["runs"])
        return cls(runs, frozenset(tree["known"]), tree["deaths"])


def plan_jobs(
    runs: Sequence[RunConfig],
    known: Collection[str],
    earlier: Iterable[Sequence[str]],
    max_size: int,
    limit: Limit = lambda key: 2**31,
    seconds_of: Cost = lambda pack: None,
) -> list[PackJob]:
    """The packs that are still to be run.

    Parameters
    ----------
    runs : sequence of RunConfig
    known : collection of str
        Run ids with a record.
    earlier : iterable of sequence of str
        Packs of an earlier plan, as run ids: those that are all here stay as they are, so that
        their checkpoints serve.
    max_size, limit
        As for `partition`, for the runs of no earlier pack.
    seconds_of : callable
        Of a pack, or None. The packs of no earlier plan begin with those of unknown cost, then the
        costliest: no worker that takes them in order is left with a long one at the end.
    """
    by_id: Mapping[str, RunConfig] = {run.run_id: run for run in runs}
    kept = [tuple(by_id[one] for one in pack) for pack in earlier if set(pack) <= set(by_id)]
    placed = {run.run_id for pack in kept for run in pack}
    rest = [run for run in runs if run.run_id not in placed | set(known)]
    new = partition(rest, max_size, limit) if rest else []
    costs = [math.inf if (seconds := seconds_of(pack)) is None else seconds for pack in new]
    in_order = sorted(range(len(new)), key=costs.__getitem__, reverse=True)
    packs = [*kept, *(new[place] for place in in_order)]
    jobs = [
        PackJob(pack, frozenset(run.run_id for run in pack if run.run_id in known))
        for pack in packs
    ]
    return [job for job in jobs if job.missing]
