"""Train one model: draw, step, look at the selection words, keep a checkpoint."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn, optim
from torch.nn.functional import cross_entropy

from automata.errors import InputError
from automata.tasks import Task
from statetrack.training.checkpoint import (
    load_tensors,
    prepare_checkpoint_path,
    restore_training,
    save_tensors,
    training_tensors,
)
from statetrack.training.config import RunConfig, TrainingConfig
from statetrack.training.data import TensorBatch, draw_batch
from statetrack.training.selection import select

SECONDS_BETWEEN_CHECKPOINTS = 5.0
SOLVED = 0.99


class Progress(NamedTuple):
    """Where a training stands; the loss is the last recorded one, NaN before the first."""

    step: int
    num_steps: int
    loss: float


class TrainingStoppedError(Exception):
    """The caller asked to stop; the checkpoint holds everything to go on from."""


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
        One row every ``select_every`` steps: step, loss, learning_rate, and accuracy on the
        selection words at the training length.
    seconds : float
        Time spent training, over all sessions.
    """

    model: nn.Module
    task: Task
    config: RunConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def solved_step(self) -> int | None:
        """First recorded step with whole-prefix accuracy >= .99 on the selection words."""
        for row in self.history:
            if row["selection_whole_prefix"] >= SOLVED:
                return int(row["step"])
        return None


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
        Called with a `Progress` after every step.
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
    settings = config.training
    task = config.task.build()
    if checkpoint is not None:
        prepare_checkpoint_path(checkpoint)
    model = initial_model(config).to(device)
    optimizer = build_optimizer(model, settings)
    trained = TrainedModel(model, task, config)
    step = _resume(checkpoint, trained, optimizer, config)
    started = saved = time.perf_counter()
    already = trained.seconds

    def keep() -> None:
        trained.seconds = already + time.perf_counter() - started
        if checkpoint is not None:
            moments = optimizer if step < settings.steps else None
            save_tensors(checkpoint, training_tensors(model, moments), _description(trained, step))

    while step < settings.steps:
        if should_stop():
            keep()
            raise TrainingStoppedError(f"stopped at step {step} of {settings.steps}")
        rate = learning_rate(settings, step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        batch = draw_batch(
            task,
            batch_size=settings.batch_size,
            length=settings.length,
            seed=config.seed,
            step=step,
            device=device,
        )
        loss = training_step(model, optimizer, batch, settings.clip_norm)
        step += 1
        if step % settings.select_every == 0 or step == settings.steps:
            value = float(loss)
            if not math.isfinite(value):
                raise TrainingFailedError(
                    f"loss is {value} at step {step}; try a lower learning rate"
                )
            trained.history.append(
                {"step": step, "loss": value, "learning_rate": rate}
                | _selection(model, task, config, device)
            )
        latest = trained.history[-1]["loss"] if trained.history else math.nan
        report(Progress(step, settings.steps, latest))
        if time.perf_counter() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            saved = time.perf_counter()
            keep()
    keep()
    return trained


def initial_model(config: RunConfig) -> nn.Module:
    """Fresh model; its weights depend on the seed alone, torch's global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return config.model.build(config.task.build())


def build_optimizer(model: nn.Module, settings: TrainingConfig) -> optim.Optimizer:
    """AdamW that decays weight matrices only: no biases, norms, embeddings or initial states.

    Every group has the share of the learning rate that it takes, under "share".
    """
    shares = _published_shares(model, settings.length) if settings.published_rates else {}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {
        (settings.weight_decay, 1.0): [],
        (0.0, 1.0): [],
    }
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_matrix = isinstance(module, nn.Linear | nn.RNNBase) and name.startswith("weight")
            share = shares.get(f"{path}.{name}", 1.0)
            kind = (settings.weight_decay if is_matrix else 0.0, share)
            groups.setdefault(kind, []).append(parameter)
    return optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "share": share}
            for (decay, share), parameters in groups.items()
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
    )


def _published_shares(model: nn.Module, length: int) -> dict[str, float]:
    """Shares of the learning rate by parameter, where a layer has some."""
    return {
        f"{path}.{name}": share
        for path, module in model.named_modules()
        if hasattr(module, "relative_learning_rates")
        for name, share in module.relative_learning_rates(length).items()
    }


def learning_rate(settings: TrainingConfig, step: int) -> float:
    """Rate of a step: linear warm-up, then a cosine down to the final share."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
    share = settings.final_rate_share + (1.0 - settings.final_rate_share) * cosine
    return settings.learning_rate * warm * share


def training_step(
    model: nn.Module, optimizer: optim.Optimizer, batch: TensorBatch, clip_norm: float
) -> torch.Tensor:
    """One step of the optimiser; the mean loss over supervised positions, not yet synchronised."""
    logits, _ = model(batch.tokens)
    losses = cross_entropy(logits.flatten(0, -2), batch.targets.flatten(), reduction="none")
    weights = batch.mask.flatten().to(losses.dtype)
    loss = (losses * weights).sum() / weights.sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.detach()


def _selection(
    model: nn.Module, task: Task, config: RunConfig, device: torch.device | str
) -> dict[str, float]:
    settings = config.training
    score = select(
        model,
        task,
        length=settings.length,
        num_words=settings.select_words,
        seed=config.seed,
        device=device,
    )
    return {
        "selection_token": score.token_accuracy,
        "selection_whole_prefix": score.whole_prefix_accuracy,
    }


def _description(trained: TrainedModel, step: int) -> dict[str, Any]:
    """What a checkpoint says of itself: enough to go on, and for `load_model`."""
    return {
        "run_id": trained.config.run_id,
        "step": step,
        "seconds": trained.seconds,
        "history": trained.history,
        "config": trained.config.model_dump(mode="json"),
        "num_tokens": trained.task.num_tokens,
        "num_classes": trained.task.num_classes,
    }


def _resume(
    checkpoint: Path | None,
    trained: TrainedModel,
    optimizer: optim.Optimizer,
    config: RunConfig,
) -> int:
    """Go on from a checkpoint of the same run where there is one; the step to go on at."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    tensors, description = load_tensors(checkpoint)
    if description.get("run_id") != config.run_id:
        raise InputError(f"checkpoint {checkpoint} holds another run; choose another file")
    restore_training(trained.model, optimizer, tensors)
    trained.history = description["history"]
    trained.seconds = description["seconds"]
    return int(description["step"])
