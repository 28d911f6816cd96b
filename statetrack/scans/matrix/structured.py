"""Transitions that are cheaper than a dense matrix: block-diagonal, and permutation times diagonal.

Legend: G blocks of order n, M rows a state, N columns, T time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.inputs import require, require_numbers, shape_of


@dataclass(frozen=True)
class BlockDiagonal:
    """Block-diagonal transitions: N / n times cheaper than dense ones.

    Parameters
    ----------
    blocks : Tensor, [..., T, G, n, n]
        The blocks from the first columns to the last; N = G n.
    """

    blocks: Tensor

    def __post_init__(self) -> None:
        require_numbers("BlockDiagonal", blocks=self.blocks)
        require(
            self.blocks.dim() >= 4 and self.blocks.shape[-1] == self.blocks.shape[-2],
            f"BlockDiagonal: blocks has shape {shape_of(self.blocks)}, expected [..., T, G, n, n]",
        )

    def dense(self) -> Tensor:
        """The same transitions as [..., T, N, N]."""
        count, order = self.blocks.shape[-3:-1]
        same = torch.eye(count, dtype=self.blocks.dtype, device=self.blocks.device)
        spread = self.blocks.unsqueeze(-2) * same[:, None, :, None]
        return spread.reshape(*self.blocks.shape[:-3], count * order, count * order)


@dataclass(frozen=True)
class PermutationDiagonal:
    """Transitions that permute columns and scale them: ``H_t[:, j] = H_{t-1}[:, p_t(j)] d_t[j]``.

    Parameters
    ----------
    permutation : Tensor of int, [..., T, N]
        ``p_t``; every row holds each of 0..N-1 once.
    scale : Tensor, [..., T, N]
        ``d_t``, any sign, zero allowed. Leading axes broadcast.
    checked : bool
        True says that the rows are known to be permutations and skips the check, which waits for
        the GPU and cannot run inside `torch.compile` or `torch.func.vmap`.

    Raises
    ------
    InputError
        Shapes or types that do not fit, or a row that is no permutation.
    """

    permutation: Tensor
    scale: Tensor
    checked: bool = False

    def __post_init__(self) -> None:
        index, scale = self.permutation, self.scale
        require_numbers("PermutationDiagonal", scale=scale)
        require(
            not (index.is_floating_point() or index.is_complex() or index.dtype == torch.bool),
            f"PermutationDiagonal: permutation has type {index.dtype}, expected integers",
        )
        require(
            index.dim() >= 2 and scale.dim() >= 2 and index.shape[-2:] == scale.shape[-2:],
            f"PermutationDiagonal: permutation {shape_of(index)} and scale {shape_of(scale)} must "
            "end in the same [T, N]",
        )
        require(
            index.device == scale.device,
            f"PermutationDiagonal: permutation lies on {index.device}, scale on {scale.device}; "
            "move them to one device",
        )
        if self.checked:
            return
        size = index.shape[-1]
        wrong = (index.sort(-1).values != torch.arange(size, device=index.device)).any(-1)
        if bool(wrong.any()):
            place = tuple(wrong.nonzero()[0].tolist())
            raise InputError(
                f"PermutationDiagonal: permutation[{', '.join(map(str, place))}] = "
                f"{index[place].tolist()} is no permutation of 0..{size - 1}"
            )

    def dense(self) -> Tensor:
        """The same transitions as [..., T, N, N]: entry (p(j), j) is d_j."""
        identity = torch.eye(self.scale.shape[-1], dtype=self.scale.dtype, device=self.scale.device)
        return identity[self.permutation.long()].transpose(-1, -2) * self.scale.unsqueeze(-2)


def permuted_reference(
    permutation: Tensor, scale: Tensor, b: Tensor | None, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Loop over time; a scan with permutation-times-diagonal transitions.

    Parameters
    ----------
    permutation, scale : Tensor, [..., T, N]
    b : Tensor, [..., T, M, N], or None
    initial : Tensor, [..., M, N]
    """
    state = initial
    states = []
    for t in range(scale.shape[-2]):
        state = _move(state, permutation[..., t, :], scale[..., t, :])
        if b is not None:
            state = state + b[..., t, :, :]
        states.append(state)
    if not states:
        return initial.unsqueeze(-3)[..., :0, :, :], initial
    return torch.stack(states, dim=-3), state


def permuted_parallel(
    permutation: Tensor, scale: Tensor, b: Tensor | None, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract by odd-even reduction: a product of two transitions costs N lookups."""
    if scale.shape[-2] == 0:
        return initial.unsqueeze(-3)[..., :0, :, :], initial
    states = _reduce(permutation, scale, b, initial)
    return states, states[..., -1, :, :]


def _move(state: Tensor, permutation: Tensor, scale: Tensor) -> Tensor:
    """Columns of [..., M, N] taken in the order [..., N] and scaled."""
    index = permutation.unsqueeze(-2).expand(*permutation.shape[:-1], *state.shape[-2:])
    return torch.take_along_dim(state, index, dim=-1) * scale.unsqueeze(-2)


def _reduce(permutation: Tensor, scale: Tensor, b: Tensor | None, initial: Tensor) -> Tensor:
    length = scale.shape[-2]
    pairs = length // 2
    even_p, even_d = permutation[..., 0::2, :], scale[..., 0::2, :]
    even_b = None if b is None else b[..., 0::2, :, :]
    before = initial.unsqueeze(-3)
    if length > 1:
        odd_p, odd_d = permutation[..., 1::2, :], scale[..., 1::2, :]
        pair_p = torch.take_along_dim(even_p[..., :pairs, :], odd_p, dim=-1)
        pair_d = torch.take_along_dim(even_d[..., :pairs, :], odd_p, dim=-1) * odd_d
        pair_b = None
        if b is not None and even_b is not None:
            pair_b = _move(even_b[..., :pairs, :, :], odd_p, odd_d) + b[..., 1::2, :, :]
        odd = _reduce(pair_p, pair_d, pair_b, initial)
        before = torch.cat([before, odd[..., : even_d.shape[-2] - 1, :, :]], dim=-3)
    even = _move(before, even_p, even_d)
    if even_b is not None:
        even = even + even_b
    if length == 1:
        return even
    states = torch.stack([even[..., :pairs, :, :], odd], dim=-3).flatten(-4, -3)
    return states if length % 2 == 0 else torch.cat([states, even[..., -1:, :, :]], dim=-3)


BACKENDS = {"reference": permuted_reference, "parallel": permuted_parallel}
