"""Learned transition matrices of a run as tables: eigenvalues, homomorphism errors."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn

from automata.tasks import Task
from statetrack.analysis import (
    eigenvalues,
    extract_transitions,
    homomorphism_error,
    without_scale,
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
