"""Schedules of the learning rate: its share of the configured rate at every step."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from automata.errors import InputError
from statetrack.training.curricula import History
from statetrack.training.named_objects import NamedObjects

if TYPE_CHECKING:
    from statetrack.training.config import TrainingConfig


class Schedule(Protocol):
    """Chooses the learning rate, and may end a run."""

    def share(self, step: int, settings: "TrainingConfig", history: History) -> float:
        """Share of the learning rate at a step, which follows the rounds of `history`."""
        ...

    def last_step(self, settings: "TrainingConfig", history: History) -> int:
        """Steps after which the run is over, as far as `history` tells."""
        ...


SCHEDULES: NamedObjects[Schedule] = NamedObjects("schedule")


def register_schedule(name: str, schedule: type[Schedule]) -> None:
    """Make a schedule known by name (see `NamedObjects.register`)."""
    SCHEDULES.register(name, schedule)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine over all steps down to ``final_rate_share``."""

    def share(self, step: int, settings: "TrainingConfig", history: History) -> float:
        """Share of the learning rate at a step."""
        return _warm_up(step, settings) * _cosine(step, settings.steps, settings.final_rate_share)

    def last_step(self, settings: "TrainingConfig", history: History) -> int:
        """All steps of the configuration."""
        return settings.steps


@dataclass(frozen=True)
class Constant:
    """Linear warm-up, then the same rate to the end."""

    def share(self, step: int, settings: "TrainingConfig", history: History) -> float:
        """Share of the learning rate at a step."""
        return _warm_up(step, settings)

    def last_step(self, settings: "TrainingConfig", history: History) -> int:
        """All steps of the configuration."""
        return settings.steps


@dataclass(frozen=True)
class Settling:
    """The full rate while a curriculum grows; a cosine from when it has reached its end.

    Parameters
    ----------
    steps : int
        Steps of the cosine, down to ``final_rate_share``; the run is over after them.
    threshold : float
        Loss at the full training length below which it begins, in nats per position.
    """

    steps: int = 600
    threshold: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(
                f"schedule settling: steps = {self.steps}: expected a whole number >= 1"
            )
        if self.threshold <= 0:
            raise InputError(
                f"schedule settling: threshold = {self.threshold}: expected a number > 0"
            )

    def share(self, step: int, settings: "TrainingConfig", history: History) -> float:
        """Share of the learning rate at a step."""
        since = self._since(settings, history)
        fallen = (
            1.0 if since is None else _cosine(step - since, self.steps, settings.final_rate_share)
        )
        return _warm_up(step, settings) * fallen

    def last_step(self, settings: "TrainingConfig", history: History) -> int:
        """`steps` after the curriculum's end, and never more than the configuration's steps."""
        since = self._since(settings, history)
        return settings.steps if since is None else min(settings.steps, since + self.steps)

    def _since(self, settings: "TrainingConfig", history: History) -> int | None:
        """Step of the first round that ended at the full length with a loss below the threshold."""
        for row in history:
            is_full = row["length"] == row["supervised"] == settings.length
            if is_full and row["loss"] < self.threshold:
                return int(row["step"])
        return None


def _warm_up(step: int, settings: "TrainingConfig") -> float:
    return min(1.0, (step + 1) / max(1, settings.warmup_steps))


def _cosine(step: int, steps: int, final_share: float) -> float:
    falling = 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))
    return final_share + (1.0 - final_share) * falling


register_schedule("cosine", Cosine)
register_schedule("constant", Constant)
register_schedule("settling", Settling)
