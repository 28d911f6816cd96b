"""The runs of a pack while it is trained, and what is told of them."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from automata.errors import InputError
from automata.tasks import Task
from statetrack.training.config import RunConfig, TrainingConfig
from statetrack.training.curricula import CURRICULA, History, Stage
from statetrack.training.schedules import SCHEDULES
from statetrack.training.selection import SelectionScore


class Progress(NamedTuple):
    """Where the training of one run stands.

    Attributes
    ----------
    run_id : str
    step, num_steps : int
    loss : float
        The last recorded one, NaN before the first.
    length : int
        Of the words it is trained on now.
    tokens : int
        That it was trained on since this process took it up.
    rows : sequence of dict
        Rows of its history that are new since the last report.
    """

    run_id: str
    step: int
    num_steps: int
    loss: float
    length: int = 0
    tokens: int = 0
    rows: tuple[dict[str, Any], ...] = ()


def stage_after(history: History, settings: TrainingConfig) -> Stage:
    """What a run is trained on next.

    Raises
    ------
    InputError
        Its curriculum gives no words.
    """
    stage = CURRICULA.build(settings.curriculum).stage(history, settings.length)
    if not 1 <= stage.shortest <= stage.length <= 2**20 or stage.supervised < 1:
        raise InputError(f"curriculum {settings.curriculum!r} gives {stage}: expected lengths")
    if stage.most_words < 1:
        raise InputError(
            f"curriculum {settings.curriculum!r} gives {stage.most_words} words: expected one"
        )
    return replace(stage, most_words=stage.words(settings.batch_size))


def last_stage(settings: TrainingConfig) -> Stage:
    """What a run is trained on once its words have the training length."""
    words = dict.fromkeys(("length", "shortest", "supervised"), settings.length)
    scores = dict.fromkeys(("selection_token", "selection_whole_prefix"), 0.0)
    row = {"step": settings.steps, "loss": math.inf, "learning_rate": 0.0, **words, **scores}
    return stage_after([row], settings)


@dataclass
class Member:
    """One run of a pack while it is trained.

    Attributes
    ----------
    config : RunConfig
    task : Task
    step : int
        Steps taken.
    history : list of dict
        One row a round: step, loss, learning_rate, the stage (length, shortest, supervised), and
        the accuracy on the selection words at the training length.
    seconds : float
        Its share of the time spent.
    status : {"training", "finished", "failed", "elsewhere"}
        "elsewhere": its result is known already.
    reason : str
        Why it failed.
    tokens : int
        Trained on since this object was made.
    num_told : int
        Rows of the history that were reported.
    solved_seconds : float, optional
        Time the whole pack had taken when this run was first seen to be solved.
    """

    config: RunConfig
    task: Task
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    status: str = "training"
    reason: str = ""
    tokens: int = 0
    num_told: int = 0
    solved_seconds: float | None = None

    @cached_property
    def run_id(self) -> str:
        """Identity of the run."""
        return self.config.run_id

    @property
    def stage(self) -> Stage:
        """What it is trained on next."""
        return stage_after(self.history, self.config.training)

    @property
    def tokens_of_step(self) -> int:
        """Tokens of its next step."""
        stage = self.stage
        return stage.words(self.config.training.batch_size) * stage.length

    @property
    def last_step(self) -> int:
        """Step at which it is over, as far as its history tells."""
        settings = self.config.training
        return SCHEDULES.build(settings.schedule).last_step(settings, self.history)

    def rates(self, count: int) -> list[float]:
        """Learning rates of its next steps."""
        settings = self.config.training
        schedule = SCHEDULES.build(settings.schedule)
        return [
            settings.learning_rate * schedule.share(step, settings, self.history)
            for step in range(self.step, self.step + count)
        ]

    def row(self, loss: float, score: SelectionScore) -> dict[str, Any]:
        """A row of the history, for the round that has just ended."""
        settings, stage = self.config.training, self.stage
        share = SCHEDULES.build(settings.schedule).share(self.step - 1, settings, self.history)
        return {
            "step": self.step,
            "loss": loss,
            "learning_rate": settings.learning_rate * share,
            "length": stage.length,
            "shortest": stage.shortest,
            "supervised": stage.supervised,
            "selection_token": score.token_accuracy,
            "selection_whole_prefix": score.whole_prefix_accuracy,
        }

    def round_end(self) -> int:
        """Step at which its present round ends."""
        settings = self.config.training
        done = self.history[-1]["step"] if self.history else 0
        return min(done - done % settings.select_every + settings.select_every, self.last_step)

    def description(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "run_id": self.run_id,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "status": self.status,
            "reason": self.reason,
            "solved_seconds": self.solved_seconds,
        }

    def progress(self, done: int = 0) -> Progress:
        """Where it stands `done` steps after the last count; tells every new row once."""
        length = self.stage.length
        rows, self.num_told = tuple(self.history[self.num_told :]), len(self.history)
        return Progress(
            self.run_id,
            self.step + done,
            self.last_step,
            self.history[-1]["loss"] if self.history else math.nan,
            length,
            self.tokens + done * self.tokens_of_step,
            rows,
        )
