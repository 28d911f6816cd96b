"""Curricula: what a run is trained on next, as a function of how it has gone so far.

A curriculum is asked between rounds of steps. It is a pure function of the run's history, so going
on from a checkpoint needs nothing of its own, and runs of one pack follow each their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from automata.errors import InputError
from statetrack.training.named_objects import NamedObjects

History = Sequence[Mapping[str, Any]]

LARGEST_BATCH = 2**20


@dataclass(frozen=True, order=True)
class Stage:
    """The words of one round of steps.

    Parameters
    ----------
    length : int
        Letters per word.
    shortest : int
        Below `length`, every word has a length of its own, uniform between the two.
    supervised : int
        Only the first so many positions count in the loss.
    most_words : int
        A step takes the first so many of its words at most.
    """

    length: int
    shortest: int
    supervised: int
    most_words: int = field(default=LARGEST_BATCH, repr=False)

    @classmethod
    def whole(cls, length: int, most_words: int = LARGEST_BATCH) -> "Stage":
        """Words of one length, every position counts."""
        return cls(length, length, length, most_words)

    def words(self, batch_size: int) -> int:
        """Words of a step of a run with this batch size."""
        return min(self.most_words, batch_size)


class Curriculum(Protocol):
    """Chooses the next stage."""

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round.

        Parameters
        ----------
        history : sequence of mapping
            A row a round so far: step, loss (of its last step), length, shortest, supervised, and
            the scores on the selection words.
        length : int
            The run's training length, which the curriculum leads up to.
        """
        ...


CURRICULA: NamedObjects[Curriculum] = NamedObjects("curriculum")


def register_curriculum(name: str, curriculum: type[Curriculum]) -> None:
    """Make a curriculum known by name (see `NamedObjects.register`)."""
    CURRICULA.register(name, curriculum)


@dataclass(frozen=True)
class Fixed:
    """The training length from the first step to the last.

    Examples
    --------
    >>> Fixed().stage([], 40)
    Stage(length=40, shortest=40, supervised=40)
    """

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round."""
        return Stage.whole(length)


@dataclass(frozen=True)
class Uniform:
    """Every word has a length of its own, uniform up to the training length.

    Parameters
    ----------
    shortest : int
        Smallest length.

    Notes
    -----
    As in Deletang et al. 2023 (arXiv 2207.02098), where the words of one batch share the length.
    """

    shortest: int = 1

    def __post_init__(self) -> None:
        _require(self, "shortest", self.shortest >= 1, "a whole number >= 1")

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round."""
        return Stage(length, min(self.shortest, length), length)


@dataclass(frozen=True)
class Doubling:
    """Short words first, twice as long each time the loss falls below a threshold.

    Parameters
    ----------
    start : int
        First length.
    threshold : float
        In nats per position.
    tokens : int
        Most tokens of a step, of one word at least: fewer words where they are long. 0 for the
        batch size at any length.

    Examples
    --------
    >>> Doubling(start=4).stage([{"length": 4, "loss": 0.05}], 40).length
    8
    >>> Doubling(tokens=4096).stage([{"length": 32, "loss": 0.05}], 128).words(256)
    64
    """

    start: int = 4
    threshold: float = 0.1
    tokens: int = 0

    def __post_init__(self) -> None:
        _require(self, "start", self.start >= 1, "a whole number >= 1")
        _require(self, "threshold", self.threshold > 0, "a number > 0")
        _require(self, "tokens", self.tokens >= 0, "a whole number >= 0")

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round."""
        letters = _grown(
            history, "length", self.start, length, self.threshold, lambda last: 2 * last
        )
        if not self.tokens:
            return Stage.whole(letters)
        return Stage.whole(letters, max(1, self.tokens // letters))


@dataclass(frozen=True)
class Growing:
    """Words of `start` letters until they are learned, then `by` letters more each time.

    Parameters
    ----------
    start, by : int
    threshold : float
        Loss below which the words grow, in nats per position.
    """

    start: int = 4
    by: int = 1
    threshold: float = 0.1

    def __post_init__(self) -> None:
        _require(self, "start", self.start >= 1, "a whole number >= 1")
        _require(self, "by", self.by >= 1, "a whole number >= 1")
        _require(self, "threshold", self.threshold > 0, "a number > 0")

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round."""
        return Stage.whole(
            _grown(
                history, "length", self.start, length, self.threshold, lambda last: last + self.by
            )
        )


@dataclass(frozen=True)
class Prefix:
    """Words of the training length, of which a growing prefix is supervised.

    Parameters
    ----------
    start, by : int
        Positions at first, and how many more each time.
    threshold : float
        Loss below which the prefix grows, in nats per position.

    Notes
    -----
    As in the code of Siems et al. 2025 (arXiv 2502.10297): one more position when the loss of an
    epoch is below 0.3.
    """

    start: int = 1
    by: int = 1
    threshold: float = 0.3

    def __post_init__(self) -> None:
        _require(self, "start", self.start >= 1, "a whole number >= 1")
        _require(self, "by", self.by >= 1, "a whole number >= 1")
        _require(self, "threshold", self.threshold > 0, "a number > 0")

    def stage(self, history: History, length: int) -> Stage:
        """Stage of the next round."""
        supervised = _grown(
            history, "supervised", self.start, length, self.threshold, lambda last: last + self.by
        )
        return Stage(length, length, supervised)


def _grown(history: History, key: str, start: int, end: int, threshold: float, grow: Any) -> int:
    """The value of the last round, grown where its loss was low enough, at most `end`."""
    if not history:
        return min(start, end)
    last = history[-1]
    value = int(last[key])
    return min(int(grow(value)), end) if last["loss"] < threshold else value


def _require(curriculum: object, name: str, holds: bool, expected: str) -> None:
    if not holds:
        kind = type(curriculum).__name__.lower()
        value = getattr(curriculum, name)
        raise InputError(f"curriculum {kind}: {name} = {value}: expected {expected}")


register_curriculum("fixed", Fixed)
register_curriculum("uniform", Uniform)
register_curriculum("doubling", Doubling)
register_curriculum("growing", Growing)
register_curriculum("prefix", Prefix)
