"""Sequences side by side: the layout in which a processor runs many short scans.

With the sequences in the last axis every step of a scan is a few operations over contiguous rows,
one sequence a lane of the vector unit, whatever the size of a state.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from statetrack.scans.kernels import num_items

FEWEST_SEQUENCES = 96


def pay(device: torch.device, sequences: int) -> bool:
    """Whether sequences are so many that steps one after the other beat fewer, larger products."""
    return device.type == "cpu" and sequences >= FEWEST_SEQUENCES


def to_lanes(tensor: Tensor, own_axes: int) -> Tensor:
    """Rows of lanes.

    Parameters
    ----------
    tensor : Tensor, [..., own axes]
    own_axes : int
        Number of trailing axes that are no leading ones.

    Returns
    -------
    Tensor, [own axes, sequences]
        Contiguous; a view where the memory is laid out so, as that of `room`.
    """
    count = tensor.dim() - own_axes
    last = tensor.movedim(tuple(range(count)), tuple(range(own_axes, own_axes + count)))
    return last.reshape(*last.shape[:own_axes], num_items(last.shape[own_axes:])).contiguous()


def room(leading: Sequence[int], own: Sequence[int], like: Tensor) -> Tensor:
    """Uninitialised [leading, own axes] that lies as lanes in memory; type and device of `like`."""
    lanes = torch.empty((*own, *leading), dtype=like.dtype, device=like.device)
    return lanes.movedim(tuple(range(len(own))), tuple(range(len(leading), lanes.dim())))
