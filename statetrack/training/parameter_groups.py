"""How single parameters are treated by an optimiser: weight decay, share of the learning rate."""

import torch
from torch import Tensor, nn

from statetrack.training.config import TrainingConfig


def parameter_settings(model: nn.Module, settings: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Whether weight decay applies, and the share of the learning rate, for every number.

    Only weight matrices decay: no biases, norms, embeddings or initial states. With
    ``published_rates`` the layers say the shares for which their publication scales the rate.

    Parameters
    ----------
    model : torch.nn.Module
    settings : TrainingConfig

    Returns
    -------
    decays : Tensor of bool, [n]
    shares : Tensor of float32, [n]
        In the order of ``model.parameters()``, flat.
    """
    published = _published_shares(model, settings.length) if settings.published_rates else {}
    owners = {
        f"{path}.{name}" if path else name: module
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    decays, shares = [], []
    for name, parameter in model.named_parameters():
        is_matrix = isinstance(owners[name], nn.Linear | nn.RNNBase)
        is_matrix = is_matrix and name.rpartition(".")[2].startswith("weight")
        decays.append(torch.full((parameter.numel(),), is_matrix))
        shares.append(torch.full((parameter.numel(),), published.get(name, 1.0)))
    return torch.cat(decays), torch.cat(shares)


def _published_shares(model: nn.Module, length: int) -> dict[str, float]:
    """Shares of the learning rate by parameter, where a layer has some."""
    return {
        f"{path}.{name}": share
        for path, module in model.named_modules()
        if hasattr(module, "relative_learning_rates")
        for name, share in module.relative_learning_rates(length).items()
    }
