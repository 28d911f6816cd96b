"""Train one model: a pack of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.training.checkpoint import (
    holds_pack,
    load_tensors,
    prepare_checkpoint_path,
    restore_weights,
    save_tensors,
)
from statetrack.training.config import RunConfig
from statetrack.training.kept_progress import kept_run
from statetrack.training.pack_training import PackTraining, Progress, initial_model, solved_step


class TrainingFailedError(Exception):
    """The training cannot go on, such as a loss that is not a number."""


@dataclass
class TrainedModel:
    """What `train` returns.

    Attributes
    ----------
    model : torch.nn.Module
    task : Task
    config : RunConfig
    history : list of dict
        One row every ``select_every`` steps: step, loss, learning_rate, what it was trained on
        (length, shortest, supervised), and accuracy on the selection words at the training length.
    seconds : float
        Time spent training, over all sessions; of a pack, this run's share.
    solved_seconds : float, optional
        Time its whole pack had taken when it was first seen to be solved.
    """

    model: nn.Module
    task: Task
    config: RunConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    solved_seconds: float | None = None

    @property
    def solved_step(self) -> int | None:
        """First recorded step with whole-prefix accuracy >= .99 on the selection words.

        None for language models, whatever they reach.
        """
        return None if self.task.is_language_model else solved_step(self.history)

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.history[-1]["step"])

    @classmethod
    def of_member(cls, training: PackTraining, place: int) -> "TrainedModel":
        """A run of a pack that has ended."""
        member = training.members[place]
        return cls(
            training.model_of(place),
            member.task,
            member.config,
            member.history,
            member.seconds,
            member.solved_seconds,
        )

    def save(self, checkpoint: Path) -> None:
        """Keep the weights, and what `statetrack.models.load_model` needs.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        description = {
            "run_id": self.config.run_id,
            "step": self.step,
            "seconds": self.seconds,
            "solved_seconds": self.solved_seconds,
            "history": self.history,
            "config": self.config.model_dump(mode="json"),
            "num_tokens": self.task.num_tokens,
            "num_classes": self.task.num_classes,
        }
        save_tensors(checkpoint, tensors, description)


def train(
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Train the model of a configuration.

    Parameters
    ----------
    config : RunConfig
    device : torch.device or str
    checkpoint : Path, optional
        File to go on from where it exists, and to keep while training (every few seconds and when
        stopped). Going on gives the same bits as never having stopped, on the same device and
        number of threads.
    report : callable
        Called with a `Progress` several times a second.
    should_stop : callable
        Asked at every step; True saves the checkpoint and raises `TrainingStoppedError`.

    Returns
    -------
    TrainedModel

    Raises
    ------
    TrainingFailedError
        The loss is not finite.
    TrainingStoppedError
        `should_stop` said so.
    InputError
        The checkpoint cannot be written, was changed, or holds another run.

    Examples
    --------
    >>> config = RunConfig.from_pairs(["task=parity", "model=diagonal", "training.steps=2"])
    >>> trained = train(config)
    >>> [row["step"] for row in trained.history]
    [2]
    """
    if checkpoint is not None:
        prepare_checkpoint_path(checkpoint)
        trained = load_trained(config, checkpoint, device)
        if trained is not None:
            return trained
    training = PackTraining(
        [config],
        device=device,
        checkpoint=checkpoint,
        report=lambda progress: report(progress[0]),
        should_stop=should_stop,
    )
    for _ in training.rounds():
        pass
    (member,) = training.members
    if member.status == "failed":
        raise TrainingFailedError(member.reason)
    trained = TrainedModel.of_member(training, 0)
    if checkpoint is not None:
        trained.save(checkpoint)
    return trained


def load_trained(
    config: RunConfig, checkpoint: Path, device: torch.device | str
) -> TrainedModel | None:
    """The finished run that a file holds; None where there is no file or the run is under way.

    Raises
    ------
    InputError
        The file was changed, or holds another run.
    """
    if not checkpoint.exists():
        return None
    tensors, description = load_tensors(checkpoint)
    if holds_pack(description):
        return None
    if description.get("run_id") != config.run_id:
        raise InputError(f"checkpoint {checkpoint} holds another run; choose another file")
    kept = kept_run(checkpoint, description)
    model = initial_model(config)
    restore_weights(model, tensors)
    return TrainedModel(
        model.to(device),
        config.task.build(),
        config,
        kept.rows(),
        kept.seconds,
        kept.solved_seconds,
    )
