"""Trained models from their checkpoints."""

from pathlib import Path

import torch
from torch import nn

from automata.errors import InputError


def load_model(path: str | Path) -> nn.Module:
    """Build the model of a checkpoint and load its weights, on the CPU.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file that `statetrack.training.train` kept; its sha256 is checked first.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    InputError
        The file is missing, was changed, or is no checkpoint of this library.
    """
    from statetrack.models.config import build_model
    from statetrack.training.checkpoint import load_tensors, only_model, restore_weights

    tensors, description = load_tensors(Path(path))
    try:
        model = description["config"]["model"]
        # Without storage: the sizes a description claims cost nothing until tensors fit them.
        with torch.device("meta"):
            built = build_model(
                model["name"],
                description["num_tokens"],
                description["num_classes"],
                **model["parameters"],
            )
    except (KeyError, TypeError, RuntimeError, OverflowError):
        raise InputError(f"checkpoint {path}: no model of this library described in it") from None
    restore_weights(built, only_model(Path(path), tensors, description), replace=True)
    return built.eval()
