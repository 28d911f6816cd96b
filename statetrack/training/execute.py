"""Runs from configuration to record: train as a pack, measure, read the transitions."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.analysis import (
    eigenvalues,
    extract_transitions,
    homomorphism_error,
    without_scale,
)
from statetrack.models.config import model_config, model_label
from statetrack.provenance import provenance
from statetrack.training.checkpoint import remove_checkpoint
from statetrack.training.config import RunConfig
from statetrack.training.evaluate import evaluate
from statetrack.training.loop import TrainedModel, TrainingFailedError, train
from statetrack.training.pack_training import PackTraining, Progress, TrainingStoppedError
from statetrack.training.packs import pack_id

MAX_REASON = 2000
PACK = "pack-"
END = ".safetensors"


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a run, in plain values that JSON holds.

    Attributes
    ----------
    run_id : str
    config : str
        The configuration as JSON.
    status : {"finished", "failed"}
    summary : dict
        One row for the table of runs.
    provenance : dict
    tables : dict of str to dict
        Tables by name, each a dict of columns.
    """

    run_id: str
    config: str
    status: str
    summary: dict[str, Any]
    provenance: dict[str, Any]
    tables: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.__dict__, allow_nan=True)

    @classmethod
    def from_json(cls, text: str) -> "RunRecord":
        """Read `to_json`."""
        return cls(**json.loads(text))


def execute(
    config: RunConfig,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Train a configuration and measure the model.

    Parameters
    ----------
    config : RunConfig
    device, checkpoint, report, should_stop
        As for `train`.

    Returns
    -------
    RunRecord
        Tables: ``curves`` (accuracy over length on the report words), ``history`` (training),
        and for models with linear transitions ``spectra``; for word problems ``homomorphism``.
        A run that cannot be finished gives a record with status "failed" and the reason.

    Raises
    ------
    TrainingStoppedError
        `should_stop` said so; nothing is lost.
    InputError
        The checkpoint cannot be used.
    """
    try:
        trained = train(
            config, device=device, checkpoint=checkpoint, report=report, should_stop=should_stop
        )
        return _measure(config, trained, device)
    except (TrainingStoppedError, InputError):
        raise
    except TrainingFailedError as failure:
        return failed_record(config, str(failure), device)
    except Exception as error:  # noqa: BLE001 - whatever a run raises costs that run alone
        return failed_record(config, _reason(error), device)


def execute_pack(
    configs: Sequence[RunConfig],
    *,
    known: Collection[str] = (),
    device: str = "cpu",
    checkpoints: Path | None = None,
    report: Callable[[list[Progress]], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RunRecord]:
    """Train a pack and measure its models, each when it has ended.

    Parameters
    ----------
    configs : sequence of RunConfig
        With equal `pack_key`.
    known : collection of str
        Run ids that have a record already: they are not run.
    device : str
    checkpoints : Path, optional
        Folder of checkpoints: one of the pack while it is trained, then one a run.
    report, should_stop
        As for `PackTraining`.

    Yields
    ------
    RunRecord
        As `execute`. Where something goes wrong in the pack as a whole, such as too little memory,
        its halves are run one after the other, down to single runs: what one run raises costs that
        run alone.

    Raises
    ------
    TrainingStoppedError
        `should_stop` said so; nothing is lost.
    InputError
        A checkpoint cannot be used.
    """
    recorded = set(known)
    try:
        for record in _train_and_measure(
            configs, recorded, device, checkpoints, report, should_stop
        ):
            recorded.add(record.run_id)
            yield record
        return
    except (TrainingStoppedError, InputError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a run raises costs that run alone
        if len(configs) == 1:
            yield failed_record(configs[0], _reason(error), device)
            return
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    middle = len(configs) // 2
    for half in (configs[:middle], configs[middle:]):
        if any(config.run_id not in recorded for config in half):
            yield from execute_pack(
                half,
                known=recorded,
                device=device,
                checkpoints=checkpoints,
                report=report,
                should_stop=should_stop,
            )


def _train_and_measure(
    configs: Sequence[RunConfig],
    known: Collection[str],
    device: str,
    checkpoints: Path | None,
    report: Callable[[list[Progress]], None],
    should_stop: Callable[[], bool],
) -> Iterator[RunRecord]:
    place_of_pack = None if checkpoints is None else pack_checkpoint(checkpoints, configs)
    training = PackTraining(
        configs,
        device=device,
        checkpoint=place_of_pack,
        known=known,
        report=report,
        should_stop=should_stop,
    )
    for ended in training.rounds():
        for place in ended:
            member = training.members[place]
            config = member.config
            if config.run_id in known:
                continue
            if member.status == "failed":
                yield failed_record(config, member.reason, device, len(configs))
                continue
            trained = TrainedModel.of_member(training, place)
            if checkpoints is not None:
                trained.save(run_checkpoint(checkpoints, config))
            yield _measure(config, trained, device, len(configs))
    if place_of_pack is not None:
        remove_checkpoint(place_of_pack)


def pack_checkpoint(folder: Path, configs: Sequence[RunConfig]) -> Path:
    """Where a pack under way is kept."""
    return folder / f"{PACK}{pack_id(configs)}{END}"


def run_checkpoint(folder: Path, config: RunConfig) -> Path:
    """Where the weights of a finished run are kept."""
    return folder / f"{config.run_id}{END}"


def _measure(
    config: RunConfig, trained: TrainedModel, device: str, pack_size: int = 1
) -> RunRecord:
    settings = config.evaluation
    curve = evaluate(
        trained.model,
        trained.task,
        max_length=settings.max_length,
        num_words=settings.num_words,
        seed=settings.seed,
        device=device,
    )
    curve = curve[curve.length.isin(settings.lengths())]
    tables = {"curves": curve, "history": pd.DataFrame(trained.history)}
    tables |= transition_tables(trained.model.to("cpu"), trained.task)
    summary = _identity(config) | {
        "num_parameters": sum(p.numel() for p in trained.model.parameters()),
        "state_size": getattr(trained.model, "state_size", None),
        "solved_step": trained.solved_step,
        "final_loss": trained.history[-1]["loss"],
        "token_accuracy": float(curve.token_accuracy.iloc[-1]),
        "whole_prefix_accuracy": float(curve.whole_prefix_accuracy.iloc[-1]),
        "seconds": round(trained.seconds, 3),
    }
    return RunRecord(
        config.run_id,
        config.model_dump_json(),
        "finished",
        summary,
        provenance(device) | {"pack_size": pack_size},
        {name: frame.to_dict(orient="list") for name, frame in tables.items()},
    )


def transition_tables(model: nn.Module, task: Task) -> dict[str, pd.DataFrame]:
    """Eigenvalues of every token's matrix, and how well the matrices multiply like the group.

    Matrices of a model whose readout does not see the size of the state are first divided by their
    size on the dominant block (`without_scale`).

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    task : Task

    Returns
    -------
    dict of str to DataFrame
        ``spectra``, and ``homomorphism`` for word problems; empty for a model without linear
        transitions.
    """
    if not has_linear_transitions(model):
        return {}
    transitions = extract_transitions(model, task)
    basis: Any = "active"
    if getattr(model, "scale_free_state", False):
        transitions, basis = without_scale(transitions)
    tables = {"spectra": eigenvalues(transitions)}
    if task.group is not None and task.token_elements is not None:
        errors = homomorphism_error(transitions, task.group, task.token_elements, basis=basis)
        tables["homomorphism"] = errors.to_frame()
    return tables


def has_linear_transitions(model: nn.Module) -> bool:
    """Whether some layer of the model is linear in its state."""
    transitions: Callable[..., list[torch.Tensor | None]] | None = getattr(
        model, "transitions", None
    )
    if transitions is None:
        return False
    token = torch.zeros(1, 1, dtype=torch.int64)
    return any(layer is not None for layer in transitions(token))


def failed_record(config: RunConfig, reason: str, device: str, pack_size: int = 1) -> RunRecord:
    """Record of a run that could not be finished."""
    summary = _identity(config) | {"error": reason}
    origin = provenance(device) | {"pack_size": pack_size}
    return RunRecord(config.run_id, config.model_dump_json(), "failed", summary, origin)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_REASON]


def _identity(config: RunConfig) -> dict[str, Any]:
    parameters: Mapping[str, Any] = config.model.parameters
    return {
        "task": config.task.name,
        "model": config.model.name,
        "label": model_label(config.model.name, model_config(config.model.name, parameters)),
        "eigenvalue_range": parameters.get("eigenvalue_range"),
        "seed": config.seed,
        "training_length": config.training.length,
        "training_steps": config.training.steps,
        **{f"model.{name}": value for name, value in parameters.items()},
    }
