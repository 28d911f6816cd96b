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

    def build() -> nn.Module:
        model = description["config"]["model"]
        return build_model(
            model["name"],
            description["num_tokens"],
            description["num_classes"],
            **model["parameters"],
        )

    try:
        # Without storage: the sizes a description claims cost nothing until tensors fit them.
        with torch.device("meta"):
            claimed = build()
    except (KeyError, TypeError, RuntimeError, OverflowError):
        raise InputError(f"checkpoint {path}: no model of this library described in it") from None
    weights = only_model(Path(path), tensors, description)
    restore_weights(claimed, weights, replace=True)
    with torch.random.fork_rng(devices=[]):
        built = build()
    restore_weights(built, weights)
    return built.eval()
