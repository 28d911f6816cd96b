"""Rows of a tensor that share a weight, and how they are dealt out to programs.

A weight [..., D] that broadcasts against x [..., D] has one row for many rows of x, a group.
The leading axes of x, in the order in which they lie in memory, are merged into [G1, A, G2, B],
where the weight varies along G1 (a pack) and G2 (heads) and is the same along A and B.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.kernels import (
    axes_in_memory,
    multiprocessors,
    num_items,
    with_unit_stride,
)
from statetrack.scans.launches import Launches

# Products of 16-bit tiles with 32 columns gave wrong numbers in Triton 3.6 on Hopper.
LEAST_COLUMNS = 64
# Numbers of a tile: 16 for each thread of four warps, in registers.
TILE = 2048
PROGRAMS_PER_MULTIPROCESSOR = 8
MOST_PARTS_AT_ONCE = 256
PART_COLUMNS = 16


class MemoryOrder:
    """The order in which the leading axes of a tensor lie in memory.

    Parameters
    ----------
    x : Tensor, [..., D]
        Kept in its own order where it is dense in none.

    Attributes
    ----------
    shape : tuple of int
        Of `x`, in that order.
    """

    def __init__(self, x: Tensor) -> None:
        axes = axes_in_memory(x)
        self._device = x.device
        self._axes = axes if x.permute(axes).is_contiguous() else tuple(range(x.dim()))
        self.shape = tuple(x.shape[axis] for axis in self._axes)

    def lay(self, tensor: Tensor) -> Tensor:
        """A tensor of the same shape, or one that broadcasts, with its axes in this order."""
        ones = (1,) * (len(self._axes) - tensor.dim())
        return tensor.reshape(*ones, *tensor.shape).permute(self._axes)

    def back(self, tensor: Tensor) -> Tensor:
        """What was laid in this order, with its axes where they belong."""
        return tensor.permute([self._axes.index(axis) for axis in range(len(self._axes))])

    def empty(self, dtype: torch.dtype) -> Tensor:
        """Room for such a tensor, laid in this order and contiguous."""
        return torch.empty(self.shape, dtype=dtype, device=self._device)


def empty_rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for a tensor of the shape of x, in the order in which x lies in memory."""
    order = MemoryOrder(x)
    return order.back(order.empty(dtype))


class RowGroups:
    """Groups of the rows of x [..., D] by the row of a weight that they meet.

    Parameters
    ----------
    x : Tensor
    weight : Tensor
        Broadcasts against x; its last axis is that of x.

    Attributes
    ----------
    order : MemoryOrder
        Of x; tensors of its shape are to be laid in it.
    weight : Tensor, [G1, G2, D]
        One row a group, the numbers of a row next to each other.
    count : int
        Number of groups.
    outer, inner_groups, inner : int
        The sizes A, G2 and B above.
    """

    def __init__(self, x: Tensor, weight: Tensor) -> None:
        self.order = MemoryOrder(x)
        *leading, self.size = self.order.shape
        self._shape = tuple(weight.shape)
        weight = self.order.lay(weight)
        self._laid = tuple(weight.shape)
        varies = [wide > 1 for wide in weight.shape[:-1]]
        first = _first_axis_of_the_pattern(leading, varies)
        expanded = weight.expand(*leading[:first], *weight.shape[first:])
        self._expanded = tuple(expanded.shape)
        varies = [True] * first + varies[first:]
        runs = [*([] if _starts_varying(leading, varies) else [1]), *_runs(leading, varies)]
        runs += [1] * (4 - len(runs))
        _, self.outer, self.inner_groups, self.inner = runs
        self.count = num_items(expanded.shape[:-1])
        rows = expanded.reshape(self.count // self.inner_groups, self.inner_groups, self.size)
        self.weight = with_unit_stride(rows)

    @property
    def rows(self) -> int:
        """Rows of one group."""
        return self.outer * self.inner

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """What a kernel needs to find the rows of a group."""
        return self.rows, self.outer, self.inner_groups, self.inner

    @property
    def weight_steps(self) -> tuple[int, int]:
        """From one row of the weight to the next, along G1 and along G2."""
        outer, inner, _ = self.weight.stride()
        return outer, inner

    def laid(self, tensor: Tensor) -> Tensor:
        """A tensor of the shape of x in the order of x in memory, contiguous."""
        return self.order.lay(tensor).contiguous()

    def like_weight(self, gradient: Tensor) -> Tensor:
        """A gradient [groups, D] summed over what was expanded, in the shape of the weight."""
        full = gradient.reshape(self._expanded)
        if self._expanded != self._laid:
            full = full.sum_to_size(self._laid)
        return self.order.back(full).reshape(self._shape).contiguous()


class Tiles:
    """How the rows of every group are cut into tiles, and those dealt out in parts.

    Parameters
    ----------
    groups, rows, size : int
        Groups, rows of each, and numbers of a row.
    columns : int, optional
        Longest piece of a row that is worked on at once; a whole row by default.
    """

    def __init__(self, groups: int, rows: int, size: int, columns: int | None = None) -> None:
        whole = power_of_two(size)
        self.columns = whole if columns is None else min(whole, columns)
        self.rows = min(max(1, TILE // self.columns), power_of_two(rows))
        self.warps = min(16, max(1, self.columns * self.rows // 512))
        self.column_blocks = -(-size // self.columns)
        self.count = -(-rows // self.rows)
        self._groups = groups

    def parts(self, device: torch.device) -> tuple[int, int]:
        """Parts of every group that fill a device, and tiles of a part."""
        return parts_of_tiles(self.count, self._groups * self.column_blocks, device)


def parts_of_tiles(tiles: int, programs: int, device: torch.device) -> tuple[int, int]:
    """Deal out tiles so that `programs` for every part fill a device.

    Returns
    -------
    parts, tiles_a_part : int
    """
    wanted = multiprocessors(device) * PROGRAMS_PER_MULTIPROCESSOR
    parts = max(1, min(tiles, -(-wanted // programs)))
    tiles_a_part = -(-tiles // parts)
    return -(-tiles // tiles_a_part), tiles_a_part


def sum_of_parts(partial: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum [groups, parts, D] over the parts in a fixed order, in a type: [groups, D]."""
    from statetrack.layers.kernels.rows import add_parts

    groups, parts, size = partial.shape
    if parts == 1:
        return partial.squeeze(1).to(dtype)
    rows = min(MOST_PARTS_AT_ONCE, power_of_two(parts))
    columns = min(power_of_two(size), max(PART_COLUMNS, TILE // rows))
    total = torch.empty((groups, size), dtype=dtype, device=partial.device)
    with Launches(partial) as launch:
        launch(
            add_parts, (groups, -(-size // columns)), partial, total, parts, size,
            COLUMNS=columns, ROWS=rows, STATE=kernel_type(partial.dtype), num_warps=4,
        )  # fmt: skip
    return total


def require_broadcast(layer: str, name: str, weight: Tensor, x: Tensor) -> None:
    """Raise `InputError` unless a weight [..., D] broadcasts against x [..., D] without growing it.

    Parameters
    ----------
    layer, name : str
        Of the layer and of the weight, for messages.
    weight, x : Tensor
    """
    fits = (
        x.dim() >= weight.dim() >= 1
        and weight.shape[-1] == x.shape[-1]
        and all(
            one in (1, size)
            for one, size in zip(weight.shape[-2::-1], x.shape[-2::-1], strict=False)
        )
    )
    if not fits:
        raise InputError(
            f"{layer}: {name} {tuple(weight.shape)} does not broadcast against x {tuple(x.shape)} "
            "with the same last axis"
        )


def map_rows(name: str, num_rows: int, differentiates: bool = False) -> Any:
    """Rule of `torch.func.vmap` for an operator of tensors [..., D] and then one weight.

    Parameters
    ----------
    name : str
        Of the operator, without its namespace.
    num_rows : int
        How many tensor arguments come before the weight; they share their leading axes.
    differentiates : bool
        The last result is the gradient of the weight, one for every place of the mapped axis.
    """

    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
        rows = [
            lead(one, dim, info.batch_size)
            for one, dim in zip(arguments[:num_rows], in_dims, strict=False)
        ]
        weight, dim = arguments[num_rows], in_dims[num_rows]
        if dim is not None or differentiates:
            weight = lead(weight, dim, info.batch_size)
            ones = (1,) * (rows[0].dim() - weight.dim())
            weight = weight.reshape(weight.shape[0], *ones, *weight.shape[1:])
        outputs = _operator(name)(*rows, weight, *arguments[num_rows + 1 :])
        if differentiates:
            own = arguments[num_rows].dim() - (0 if in_dims[num_rows] is None else 1)
            shape = (info.batch_size, *weight.shape[weight.dim() - own :])
            outputs = (*outputs[:-1], outputs[-1].reshape(shape))
        return outputs, 0 if isinstance(outputs, Tensor) else (0,) * len(outputs)

    return rule


def map_leading(name: str) -> Any:
    """Rule of `torch.func.vmap` for a named operator whose tensors share any leading axes."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
        outputs = _operator(name)(
            *(
                lead(one, dim, info.batch_size) if isinstance(one, Tensor) else one
                for one, dim in zip(arguments, in_dims, strict=True)
            )
        )
        return outputs, 0 if isinstance(outputs, Tensor) else (0,) * len(outputs)

    return rule


def _operator(name: str) -> Any:
    return getattr(torch.ops.statetrack, name).default


def lead(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """A tensor with its mapped axis in front; one that is not mapped is repeated there."""
    if dim is None:
        return tensor.unsqueeze(0).expand(size, *tensor.shape)
    return tensor.movedim(dim, 0)


def kernel_type(dtype: torch.dtype) -> Any:
    """Type of Triton that a kernel computes in, for inputs of this type."""
    import triton.language as tl

    return tl.float64 if dtype == torch.float64 else tl.float32


def _first_axis_of_the_pattern(leading: Sequence[int], varies: Sequence[bool]) -> int:
    """How many first axes must be expanded so that the rest merges into [G1, A, G2, B]."""
    for first in range(len(leading) + 1):
        as_varying = [True] * first + list(varies[first:])
        runs = len(_runs(leading, as_varying))
        if runs <= (4 if _starts_varying(leading, as_varying) else 3):
            return first
    return len(leading)


def _kept(leading: Sequence[int], varies: Sequence[bool]) -> list[tuple[int, bool]]:
    return [one for one in zip(leading, varies, strict=True) if one[0] != 1]


def _starts_varying(leading: Sequence[int], varies: Sequence[bool]) -> bool:
    kept = _kept(leading, varies)
    return not kept or kept[0][1]


def _runs(leading: Sequence[int], varies: Sequence[bool]) -> list[int]:
    """Sizes of neighbouring axes merged where they are of one kind."""
    merged: list[int] = []
    before: bool | None = None
    for size, kind in _kept(leading, varies):
        if kind == before:
            merged[-1] *= size
        else:
            merged.append(size)
        before = kind
    return merged


def power_of_two(number: int) -> int:
    """The least power of two that is no less, 1 for 0."""
    return 1 << max(0, number - 1).bit_length()
