"""Optimisers of packs: every run has settings of its own, all its parameters lie in one row."""

from typing import Protocol

import torch
from torch import Tensor

SMALLEST = 1e-8


class Optimizer(Protocol):
    num_slots: int

    def update(
        self,
        parameters: Tensor,
        gradient: Tensor,
        slots: Tensor,
        *,
        steps: Tensor,
        rates: Tensor,
        factors: Tensor,
    ) -> None: ...


class AdamW:
    num_slots = 2

    def __init__(self, *, weight_decay, beta1, beta2, decays, shares):
        self.weight_decay, self.beta1, self.beta2 = weight_decay, beta1, beta2
        self.decays, self.shares = decays, shares

    def update(self, parameters, gradient, slots, *, steps, rates, factors):
        b1, b2 = self.beta1.unsqueeze(1), self.beta2.unsqueeze(1)
        gradient = gradient * factors.unsqueeze(1)
        first, second = slots
        rate = rates.unsqueeze(1) * self.shares
        parameters.mul_(1 - rate * self.weight_decay.unsqueeze(1) * self.decays)
        first.mul_(b1).add_((1 - b1) * gradient)
        second.mul_(b2).add_((1 - b2) * gradient * gradient)
        s = steps.double()
        c1 = (1 - self.beta1.double() ** s).float().unsqueeze(1)
        c2 = (1 - self.beta2.double() ** s).sqrt().float().unsqueeze(1)
        parameters.sub_(rate * (first / c1) / (second.sqrt() / c2 + SMALLEST))


def clip_factors(gradient: Tensor, clip_norm: Tensor) -> Tensor:
    return torch.clamp(clip_norm / (gradient.square().sum(dim=1).sqrt() + 1e-6), max=1.0)
