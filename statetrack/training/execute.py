"""One run from configuration to record: train, measure, read the transitions."""

import json
from collections.abc import Callable, Mapping, Sequence
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
from statetrack.training.config import RunConfig
from statetrack.training.evaluate import evaluate
from statetrack.training.loop import (
    Progress,
    TrainedModel,
    TrainingFailedError,
    TrainingStoppedError,
    train,
)
from statetrack.training.report_curve import ReportCurve

MAX_REASON = 2000


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
    def finished(
        cls,
        config: RunConfig,
        summary: dict[str, Any],
        curves: Sequence[ReportCurve],
        tables: Mapping[str, pd.DataFrame],
        device: str,
    ) -> "RunRecord":
        """Make the record of a finished run; its curves are those of `evaluate` alone.

        Parameters
        ----------
        config : RunConfig
        summary : dict
        curves : sequence of ReportCurve
            On uniform words first, then on other families.
        tables : mapping of str to DataFrame
            All but the curves.
        device : str

        Raises
        ------
        InputError
            A curve is no `ReportCurve`, such as a score on the selection words; the first is not of
            uniform words; or `tables` brings its own curves.
        """
        joined = dict(curve_tables(curves, config.evaluation.lengths()))
        taken = joined.keys() | {"family_curves"}
        if not taken.isdisjoint(tables):
            raise InputError(f"tables of a record: {sorted(taken)} are made of report curves alone")
        joined |= tables
        return cls(
            config.run_id,
            config.model_dump_json(),
            "finished",
            summary,
            provenance(device),
            {name: frame.to_dict(orient="list") for name, frame in joined.items()},
        )

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
        Tables: ``curves`` (accuracy over length on the report words), ``family_curves`` (the same
        on every family in ``evaluation.families``), ``history`` (training), and for models with
        linear transitions ``spectra``; for word problems ``homomorphism``.
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
        reason = " ".join(str(error).split())
        return failed_record(config, f"{type(error).__name__}: {reason}"[:MAX_REASON], device)


def _measure(config: RunConfig, trained: TrainedModel, device: str) -> RunRecord:
    settings = config.evaluation
    curves = [
        evaluate(
            trained.model,
            trained.task,
            max_length=settings.max_length,
            num_words=settings.num_words,
            family=family,
            seed=settings.seed,
            device=device,
        )
        for family in ("uniform", *settings.families)
    ]
    return finished_record(config, trained, curves, device)


def finished_record(
    config: RunConfig, trained: TrainedModel, curves: Sequence[ReportCurve], device: str
) -> RunRecord:
    """Make the record of a trained and measured model; moves the model to the CPU.

    Parameters
    ----------
    config : RunConfig
    trained : TrainedModel
    curves : sequence of ReportCurve
        On uniform words first, then on every family in ``config.evaluation.families``.
    device : str

    Raises
    ------
    InputError
        As `RunRecord.finished`.
    """
    measured = curve_tables(curves, config.evaluation.lengths())["curves"]
    tables = {"history": pd.DataFrame(trained.history)}
    tables |= transition_tables(trained.model.to("cpu"), trained.task)
    summary = _identity(config) | {
        "num_parameters": sum(p.numel() for p in trained.model.parameters()),
        "state_size": getattr(trained.model, "state_size", None),
        "solved_step": trained.solved_step,
        "final_loss": trained.history[-1]["loss"],
        "token_accuracy": float(measured.token_accuracy.iloc[-1]),
        "whole_prefix_accuracy": float(measured.whole_prefix_accuracy.iloc[-1]),
        "token_horizon": curves[0].horizon(),
        "whole_prefix_horizon": curves[0].horizon(metric="whole_prefix_accuracy"),
        "seconds": round(trained.seconds, 3),
    }
    return RunRecord.finished(config, summary, curves, tables, device)


def curve_tables(curves: Sequence[ReportCurve], lengths: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Tables of report curves: ``curves`` on uniform words, ``family_curves`` on others.

    Parameters
    ----------
    curves : sequence of ReportCurve
    lengths : sequence of int
        Positions that are kept.

    Raises
    ------
    InputError
        A curve is no `ReportCurve`, or the first is not of uniform words.
    """
    for curve in curves:
        if not isinstance(curve, ReportCurve):
            raise InputError(
                f"a record takes what evaluate measured on the report words, a ReportCurve, and "
                f"was given a {type(curve).__name__}"
            )
    if not curves or curves[0].family != "uniform":
        raise InputError("the first curve of a record is the one on uniform words")
    tables = {"curves": curves[0].to_frame(lengths)}
    others = [curve.to_frame(lengths).assign(family=curve.family) for curve in curves[1:]]
    if others:
        tables["family_curves"] = pd.concat(others, ignore_index=True)
    return tables


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


def failed_record(config: RunConfig, reason: str, device: str) -> RunRecord:
    """Record of a run that could not be finished."""
    summary = _identity(config) | {"error": reason}
    return RunRecord(config.run_id, config.model_dump_json(), "failed", summary, provenance(device))


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
