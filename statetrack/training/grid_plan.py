"""What a grid will do, for the person who is about to start it."""

from collections.abc import Sequence
from dataclasses import dataclass

from statetrack.training.calibration import Calibration
from statetrack.training.config import RunConfig
from statetrack.training.packs import Pack, pack_key
from statetrack.training.progress import short_number, short_time


@dataclass(frozen=True)
class GridPlan:
    """Packs that are to be run, where, and what they cost.

    Attributes
    ----------
    name : str
    num_runs : int
        Of the whole grid.
    packs : tuple of tuple of RunConfig
        Of the runs that are missing.
    where : str
        Such as "2 workers on cpu".
    num_workers : int
    calibration : Calibration, optional
    """

    name: str
    num_runs: int
    packs: tuple[Pack, ...]
    where: str
    num_workers: int
    calibration: Calibration | None = None

    @property
    def num_missing(self) -> int:
        """Runs that are to be run."""
        return sum(len(pack) for pack in self.packs)

    def seconds_of(self, pack: Sequence[RunConfig]) -> float | None:
        """As of `Calibration`; None where nothing was measured."""
        return self.calibration.seconds_of(pack) if self.calibration else None

    @property
    def device_seconds(self) -> float | None:
        """Estimated time of all packs one after the other; None where no shape was measured.

        Packs of shapes that were not measured count as much a run-step as the others do on average.
        """
        known = [(pack, self.seconds_of(pack)) for pack in self.packs]
        measured = [(pack, seconds) for pack, seconds in known if seconds is not None]
        if not measured:
            return None
        total = sum(seconds for _, seconds in measured)
        steps = sum(run.training.steps for pack, _ in measured for run in pack)
        unknown = sum(
            run.training.steps for pack, seconds in known if seconds is None for run in pack
        )
        return total * (1 + unknown / steps)

    @property
    def seconds(self) -> float | None:
        """Estimated time until the end: packs in order, each to the first free worker."""
        total = self.device_seconds
        if total is None:
            return None
        ends = [0.0] * self.num_workers
        guess = total / max(1, self.num_missing)
        for pack in self.packs:
            seconds = self.seconds_of(pack)
            first = ends.index(min(ends))
            ends[first] += guess * len(pack) if seconds is None else seconds
        return max(ends)

    def lines(self) -> list[str]:
        """The plan in words."""
        before = self.num_runs - self.num_missing
        there = f", {before} already in the store" if before else ""
        lines = [f"{self.name}: {self.num_runs} runs{there}, {self.num_missing} to run"]
        if not self.packs:
            return lines
        sizes = sorted({len(pack) for pack in self.packs})
        span = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
        shapes = len({pack_key(pack[0]) for pack in self.packs})
        lines.append(
            f"{_count(len(self.packs), 'pack')} of {span} run{'' if span == '1' else 's'}, "
            f"{_count(shapes, 'shape')}, on {self.where}"
        )
        return [*lines, *self._costs(shapes)]

    def _costs(self, shapes: int) -> list[str]:
        if self.calibration is None:
            return []
        costs = self.calibration.costs
        own = {pack_key(pack[0]): pack for pack in sorted(self.packs, key=len)}
        needed = [
            costs[key].bytes_fixed + costs[key].bytes_per_run * len(pack)
            for key, pack in own.items()
            if key in costs
        ]
        if not needed or self.seconds is None or self.device_seconds is None:
            return ["no shape could be measured: no estimate of time and memory"]
        return [
            f"memory: at most {short_number(max(needed))}B a pack, measured in packs of 2 "
            f"and 4; {short_number(self.calibration.free_bytes)}B are free",
            f"time: about {short_time(self.seconds)} ({short_time(self.device_seconds)} of one "
            f"worker), from a few steps of {len(needed)} of {_count(shapes, 'shape')}; every "
            "training to its last step, measuring the models not counted",
        ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
