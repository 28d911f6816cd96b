"""What is kept of a run, in plain values."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from automata.errors import InputError
from statetrack.models.config import model_config, model_label
from statetrack.provenance import provenance
from statetrack.training.config import RunConfig
from statetrack.training.loop import TrainedModel
from statetrack.training.report_curve import ReportCurve
from statetrack.training.transition_tables import transition_tables


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a run, in plain values that JSON holds.

    Attributes
    ----------
    run_id : str
    config : str
        The configuration as JSON; of a file that a task reads, the name alone.
    status : {"finished", "failed"}
    summary : dict
        One row for the table of runs.
    provenance : dict
    tables : dict of str to dict
        Tables by name, each a dict of columns.
    """

    run_id: str
    config: str
    status: Literal["finished", "failed"]
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
        pack_size: int = 1,
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
        pack_size : int
            Runs it was trained with, itself included.

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
            config.record_json(),
            "finished",
            summary,
            provenance(device) | {"pack_size": pack_size},
            {name: frame.to_dict(orient="list") for name, frame in joined.items()},
        )

    @classmethod
    def from_json(cls, text: str) -> "RunRecord":
        """Read `to_json`.

        Raises
        ------
        ValueError
            It is not what `to_json` writes.
        """
        try:
            record = cls(**json.loads(text))
            _RECORD.validate_python(record.__dict__)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"no record: {error}") from None
        return record


_RECORD = TypeAdapter(RunRecord)


def finished_record(
    config: RunConfig,
    trained: TrainedModel,
    curves: Sequence[ReportCurve],
    device: str,
    pack_size: int = 1,
) -> RunRecord:
    """Make the record of a trained and measured model; moves the model to the CPU.

    Parameters
    ----------
    config : RunConfig
    trained : TrainedModel
    curves : sequence of ReportCurve
        On uniform words first, then on every family in ``config.evaluation.families``.
    device : str
    pack_size : int
        Runs it was trained with, itself included.

    Raises
    ------
    InputError
        As `RunRecord.finished`.
    """
    measured = curve_tables(curves, config.evaluation.lengths())["curves"]
    tables = {"history": pd.DataFrame(trained.history)}
    trained.model.to("cpu")
    if config.evaluation.read_transitions:
        tables |= transition_tables(trained.model, trained.task)
    summary = run_identity(config) | {
        "num_parameters": sum(p.numel() for p in trained.model.parameters()),
        "state_size": getattr(trained.model, "state_size", None),
        "solved_step": trained.solved_step,
        "solved_seconds": trained.solved_seconds,
        "final_loss": trained.history[-1]["loss"],
        "token_accuracy": float(measured.token_accuracy.iloc[-1]),
        "whole_prefix_accuracy": float(measured.whole_prefix_accuracy.iloc[-1]),
        "token_horizon": curves[0].horizon(),
        "whole_prefix_horizon": curves[0].horizon(metric="whole_prefix_accuracy"),
        "seconds": round(trained.seconds, 3),
    }
    if (loss := curves[0].mean_loss) is not None:
        summary |= {"report_loss": loss, "report_bits": loss / math.log(2)}
    return RunRecord.finished(config, summary, curves, tables, device, pack_size)


def curve_tables(curves: Sequence[ReportCurve], lengths: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Tables of report curves: ``curves`` and ``thresholds`` on uniform words, ``family_curves``.

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
    tables = {"curves": curves[0].to_frame(lengths), "thresholds": curves[0].thresholds()}
    others = [curve.to_frame(lengths).assign(family=curve.family) for curve in curves[1:]]
    if others:
        tables["family_curves"] = pd.concat(others, ignore_index=True)
    return tables


def failed_record(config: RunConfig, reason: str, device: str, pack_size: int = 1) -> RunRecord:
    """Record of a run that could not be finished."""
    summary = run_identity(config) | {"error": reason}
    origin = provenance(device) | {"pack_size": pack_size}
    return RunRecord(config.run_id, config.record_json(), "failed", summary, origin)


def run_identity(config: RunConfig) -> dict[str, Any]:
    """What a run is, as the first columns of its row: task, model, label, seed, settings.

    Where a file lies is no part of it, and a list is its JSON.
    """
    parameters: Mapping[str, Any] = config.model.parameters
    _, places = config.task.semantics_and_places
    task = {
        f"task.{name}": json.dumps(value) if isinstance(value, list) else value
        for name, value in config.task.parameters.items()
        if name not in places
    }
    return {
        "task": config.task.name,
        "model": config.model.name,
        "label": model_label(config.model.name, model_config(config.model.name, parameters)),
        "eigenvalue_range": parameters.get("eigenvalue_range"),
        "seed": config.seed,
        "training_length": config.training.length,
        "training_steps": config.training.steps,
        **task,
        **{f"model.{name}": value for name, value in parameters.items()},
        **{f"training.{name}": value for name, value in config.training},
    }
