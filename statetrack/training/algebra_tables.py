"""What the weights of a trained model say about the algebra it learned, as tables of a run."""

from typing import Any

import pandas as pd
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.analysis import extract_transitions, match_representation, without_scale
from statetrack.analysis.extraction import extract_dfa
from statetrack.analysis.factor_geometry import factor_geometry
from statetrack.analysis.learned_errors import errors_of_model, scaled_horizons
from statetrack.analysis.representation_match import RepresentationMatch
from statetrack.analysis.type_law import commutant_drift


def representation_tables(model: nn.Module, task: Task) -> dict[str, pd.DataFrame]:
    """Which representations the heads of a model are near.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    task : Task

    Returns
    -------
    dict of str to DataFrame
        ``representations``: one row a head, of `match_representation`, with the group and
        drift_directions (dimension of the skew matrices that commute with it); ``irreps``: those
        that occur; ``layers``. None where transitions are not linear or the task is no word
        problem.
    """
    if task.group is None or task.token_elements is None:
        return {}
    try:
        transitions = extract_transitions(model, task)
    except InputError:
        return {}
    basis: Any = "persistent"
    if getattr(model, "scale_free_state", False):
        transitions, basis = without_scale(transitions)
    matches = match_representation(transitions, task.group, task.token_elements, basis=basis)
    heads = matches.to_frame().assign(
        group=task.group.name, drift_directions=[_drift(head) for head in matches.heads]
    )
    irreps = matches.irreps_frame()
    return {
        "representations": heads,
        "irreps": irreps[irreps.multiplicity > 0].reset_index(drop=True),
        "layers": matches.layers_frame(),
    }


def _drift(head: RepresentationMatch) -> int:
    return sum(commutant_drift(share.type, share.multiplicity) for share in head.irreps)


def automaton_tables(model: nn.Module, task: Task) -> dict[str, pd.DataFrame]:
    """The automaton that a model follows: ``automaton``, one row (`extract_dfa`).

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    task : Task
    """
    return {"automaton": extract_dfa(model, task).to_frame()}


def factor_tables(model: nn.Module, task: Task) -> dict[str, pd.DataFrame]:
    """Strengths and keys of Householder factors: ``factors``; none for other models.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    task : Task
    """
    try:
        return {"factors": factor_geometry(model, task, num_words=256)}
    except InputError:
        return {}


ERROR_FACTORS = (1.0, 0.5, 0.25)
ERROR_WORDS = 256


def error_tables(model: nn.Module, task: Task) -> dict[str, pd.DataFrame]:
    """Errors of learned rotations and the horizons that they would have if they were smaller.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    task : Task

    Returns
    -------
    dict of str to DataFrame
        ``learned_errors``, one row: group, error, drift, drift_directions (`LearnedErrors`);
        ``scaled_errors``, of `scaled_horizons`: its row of factor 1 is the model as it is. None for
        a model or task that `errors_of_model` refuses.
    """
    try:
        errors, _ = errors_of_model(model, task)
    except InputError:
        return {}
    row = {
        "group": errors.group.name,
        "error": errors.size,
        "drift": errors.drift_size,
        "drift_directions": errors.drift_directions,
    }
    scaled = scaled_horizons(model, task, ERROR_FACTORS, num_words=ERROR_WORDS)
    return {"learned_errors": pd.DataFrame([row]), "scaled_errors": scaled}
