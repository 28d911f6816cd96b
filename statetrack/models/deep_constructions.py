"""A word problem that one layer of reflections cannot do, and two can, as weights.

Like `constructions`: one-hot embeddings, and everything else filled in.
"""

import math
from typing import Any

import torch
from torch import nn

from automata.errors import InputError
from statetrack.models.backbone import Backbone
from statetrack.models.config import build_model
from statetrack.models.constructions import SATURATED


def cyclic_by_two_layers(order: int) -> Backbone:
    """Addition modulo `order` by two layers of one reflection a token.

    Parameters
    ----------
    order : int
        Number of letters, and of states.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        An order below 2.

    Notes
    -----
    Grazzi et al. 2024 (arXiv 2411.12537), Theorem 6. A reflection at every token makes the first
    layer's state the parity of the position. A reflection takes a point at angle f to the angle
    theta - f, so with ``theta = (1 - 2 i) pi / m`` for letter i at odd positions and
    ``(1 + 2 i) pi / m`` at even ones the second layer's point stands at ``2 pi s / m`` after an
    even number of tokens with sum s, and at ``(1 - 2 s) pi / m`` after an odd one: two places a
    sum, 2 m in all.

    Examples
    --------
    >>> model = cyclic_by_two_layers(5)
    >>> model(torch.tensor([[1, 4, 3, 3]]))[0].argmax(-1).tolist()
    [[1, 0, 3, 1]]
    """
    if order < 2:
        raise InputError(f"order = {order}: expected a whole number >= 2")
    # Channels: letters; parity; letters at odd, at even positions; the point; the sums.
    parity = order
    pairs = slice(order + 1, 3 * order + 1)
    point = slice(3 * order + 1, 3 * order + 3)
    sums = slice(3 * order + 3, 4 * order + 3)
    width = 4 * order + 3
    model: Any = build_model(
        "householder", order, order, width=width, num_layers=2, mlp_ratio=1, num_factors=1,
        num_heads=2, head_size=2, eigenvalue_range="[-1,1]",
    )  # fmt: skip
    first, second = model.blocks
    unit = _scale(1.0, 2)

    with torch.no_grad():
        _clear(model)
        model.embedding.weight[:, :order] = torch.eye(order)
        model.head.weight[:, sums] = torch.eye(order)
        for block, norm in ((first, 1.0), (second, 2.0 + unit**2)):
            block.mixer.start.copy_(torch.eye(2).expand(2, 2, 2))
            letters = torch.full((2, order), SATURATED) / _scale(norm, width)
            block.mixer.to_beta.weight[:, :order] = letters

        first.mixer.to_key.weight[0, :order] = 1.0
        first.mixer.to_query.weight[0, :order] = 1.0 / _scale(1.0, width)
        first.mixer.output.weight[parity, 0] = 1.0
        # A unit for every letter and parity: above zero where both are there.
        scale = _scale(1.0 + unit**2, width)
        for half, sign in enumerate((-1.0, 1.0)):
            rows = slice(half * order, (half + 1) * order)
            first.mlp.up.weight[rows, :order] = 2 * SATURATED * torch.eye(order) / scale
            first.mlp.up.weight[rows, parity] = 2 * SATURATED * sign / (scale * unit)
            first.mlp.up.bias[rows] = -3 * SATURATED
        first.mlp.down.weight[pairs, : 2 * order] = torch.eye(2 * order) / SATURATED

        sum_of = torch.arange(order)
        odd, even = (1 - 2 * sum_of) * math.pi / order, (1 + 2 * sum_of) * math.pi / order
        normals = torch.cat([odd, even]) / 2 + math.pi / 2
        keys = torch.stack([normals.cos(), normals.sin()])
        second.mixer.to_key.weight[:, pairs] = keys.repeat(2, 1)
        query = torch.eye(2).reshape(4, 1).expand(4, order)
        second.mixer.to_query.weight[:, :order] = query / _scale(2.0 + unit**2, width)
        second.mixer.output.weight[point] = torch.eye(4)[[0, 2]]
        angles = torch.cat([2 * math.pi * sum_of / order, odd])
        places = torch.stack([angles.cos(), angles.sin()], dim=1)
        gap = 1 - math.cos(math.pi / order)
        steep = 4 * SATURATED / gap
        second.mlp.up.weight[: 2 * order, point] = (
            steep * places / (unit * _scale(2.0 + 2 * unit**2, width))
        )
        second.mlp.up.bias[: 2 * order] = -steep * (1 - gap / 2)
        second.mlp.down.weight[sums, : 2 * order] = torch.eye(order).repeat(1, 2)
    built: Backbone = model
    return built


def _scale(squared_norm: float, size: int) -> float:
    """What the norm of `modules.RMSNorm` multiplies a vector of this length with."""
    return 1.0 / math.sqrt(squared_norm / size + 1e-6)


def _clear(model: nn.Module) -> None:
    """Set all weights but the scales of norms to zero."""
    for name, parameter in model.named_parameters():
        if not name.endswith("norm.scale"):
            nn.init.zeros_(parameter)
