"""Stop rules: when a run is over before its steps are."""

from dataclasses import dataclass
from typing import Protocol

from automata.errors import InputError
from statetrack.training.curricula import History
from statetrack.training.named_objects import NamedObjects

SOLVED = 0.99
"""Whole-prefix accuracy at the training length, on the selection words, of a solved task."""


class StopRule(Protocol):
    """Says whether a run is over."""

    def is_over(self, history: History) -> bool:
        """Whether to stop after the last round of `history` (rows as in `Curriculum.stage`)."""
        ...


STOP_RULES: NamedObjects[StopRule] = NamedObjects("stop rule")


def register_stop_rule(name: str, rule: type[StopRule]) -> None:
    """Make a stop rule known by name (see `NamedObjects.register`)."""
    STOP_RULES.register(name, rule)


@dataclass(frozen=True)
class Budget:
    """All steps."""

    def is_over(self, history: History) -> bool:
        """Never before the steps are over."""
        return False


@dataclass(frozen=True)
class Solved:
    """When the task is solved on the selection words.

    Parameters
    ----------
    rounds : int
        Rounds in a row that have to be so.
    """

    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"stop rule solved: rounds = {self.rounds}: expected >= 1")

    def is_over(self, history: History) -> bool:
        """Whether the last rounds all end with a whole-prefix accuracy of at least .99."""
        last = history[-self.rounds :]
        return len(last) == self.rounds and all(
            row["selection_whole_prefix"] >= SOLVED for row in last
        )


@dataclass(frozen=True)
class Plateau:
    """When the loss has stopped falling.

    Parameters
    ----------
    rounds : int
        Rounds in which it did not fall.
    by : float
        Share of the lowest loss before by which it has to fall.
    """

    rounds: int = 20
    by: float = 0.01

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"stop rule plateau: rounds = {self.rounds}: expected >= 1")
        if not 0 <= self.by < 1:
            raise InputError(f"stop rule plateau: by = {self.by}: expected 0 to 1")

    def is_over(self, history: History) -> bool:
        """Whether the lowest loss of the last rounds is no lower than the one before them."""
        if len(history) <= self.rounds:
            return False
        before = min(row["loss"] for row in history[: -self.rounds])
        lately = min(row["loss"] for row in history[-self.rounds :])
        return bool(lately > before * (1.0 - self.by))


register_stop_rule("budget", Budget)
register_stop_rule("solved", Solved)
register_stop_rule("plateau", Plateau)
