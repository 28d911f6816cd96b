"""TEMP."""

import torch


def cross_entropy(logits, targets, mask):
    losses = (
        torch.nn.functional.cross_entropy(
            logits.float().flatten(0, -2), targets.flatten(), reduction="none"
        )
        .view(mask.shape)
        .flatten(-2)
    )
    weights = mask.flatten(-2).to(losses.dtype)
    return (losses * weights).sum(-1) / weights.sum(-1)
