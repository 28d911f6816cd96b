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
    """The full rate while words are short; a cosine from when a curriculum has made them longer.

    Parameters
    ----------
    steps : int
        Steps of the cosine, down to ``final_rate_share``; the run is over after them.
    length : int
        Words of so many letters begin it; 0 for the training length.
    """

    steps: int = 600
    length: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("length", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"schedule settling: {name} = {getattr(self, name)}: expected a whole number "
                    f">= {least}"
                )

    def share(self, step: int, settings: "TrainingConfig", history: History) -> float:
        """Share of the learning rate at a step."""
        since = self._since(settings, history)
        if since is None:
            return _warm_up(step, settings)
        fallen = _cosine(step - since, self.steps, settings.final_rate_share)
        return _warm_up(step, settings) * fallen

    def last_step(self, settings: "TrainingConfig", history: History) -> int:
        """`steps` after the beginning of the cosine, at most the configuration's steps."""
        since = self._since(settings, history)
        return settings.steps if since is None else min(settings.steps, since + self.steps)

    def _since(self, settings: "TrainingConfig", history: History) -> int | None:
        """Step after the first round of words that are long enough, all of which counted."""
        length = self.length or settings.length
        for row in history:
            if min(row["length"], row["supervised"]) >= length:
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
