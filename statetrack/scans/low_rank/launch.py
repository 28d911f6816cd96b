"""Launches of the low-rank kernels."""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.householder.sequential import (
    loadable_ahead,
    multiples_of_four,
    row_strides,
    type_of,
)
from statetrack.scans.householder.tiles import Tiles, choose_tiles
from statetrack.scans.kernels import leading_sizes, num_items, with_unit_stride
from statetrack.scans.launches import Launches

MAX_RANK = 4
CHUNK = 16  # tokens between the states that are kept for the gradient of decays
OWN_AXES = (2, 3, 3, 2, 2, 2)


def run_forward(
    inputs: list[Tensor], o: Tensor, final: Tensor, x: Tensor, states: Tensor, save: bool
) -> None:
    """Fill outputs, final state and, with `save`, what the backward pass needs.

    Parameters
    ----------
    inputs : list of Tensor
        q [..., T, K], left and right [..., T, P, K], k [..., T, K], v [..., T, V], decay
        [..., T, D] with D = 0, 1 or K, initial state [..., K, V].
    o : Tensor, [..., T, V]
    final : Tensor, [..., K, V]
        Keys innermost in memory.
    x : Tensor, [..., T, P, V]
        What every token read, S^T right.
    states : Tensor, [..., C, V, K]
        States before every `CHUNK` tokens, where there are decays.
    """
    from statetrack.scans.low_rank.kernel import scan_forward

    *tensors, initial = map(loadable_ahead, inputs)
    q, _left, right, _k, v, decay = tensors
    initial = with_unit_stride(initial.mT)
    strides = [row_strides(one, own) for one, own in zip(tensors, OWN_AXES, strict=True)]
    tiles = _tiles(q.shape[-1], v.shape[-1], final.dtype)
    leading = leading_sizes(v.shape[:-2])
    mode = min(decay.shape[-1], 2)
    rows = [*strides[: 5 + mode // 2], row_strides(initial, 2)]
    with torch.cuda.device_of(q):
        scan_forward[(num_items(leading) * tiles.blocks(v.shape[-1]),)](
            *tensors, initial, o, final, x, states, *leading[1:], v.shape[-2],
            *(stride for row in strides for stride in row), *row_strides(initial, 2),
            SAVE=save, CHUNK=CHUNK if save and mode > 0 else 0, ALIGNED=multiples_of_four(rows),
            **_options(tiles, q, right, v, decay, final),
        )  # fmt: skip


def run_backward(inputs: list[Tensor], grads: tuple[Tensor, ...]) -> None:
    """Fill the gradients of q, left, right, k, v, decay and initial state.

    Parameters
    ----------
    inputs : list of Tensor
        As in `run_forward`, then x, states, and the gradients of outputs and final state.
    grads : tuple of Tensor
        Contiguous, but for that of the initial state, which has keys innermost.
    """
    from statetrack.scans.low_rank.kernel_backward import rows_backward, scan_backward

    *tensors, initial, x, states, grad_o, grad_final = map(loadable_ahead, inputs)
    q, left, right, k, v, decay = tensors
    grad_q, grad_left, grad_right, grad_k, grad_v, grad_decay, grad_initial = grads
    grad_final = with_unit_stride(grad_final.mT)
    leading = leading_sizes(v.shape[:-2])
    sequences = num_items(leading)
    sizes = (*leading[1:], v.shape[-2])
    mode = min(decay.shape[-1], 2)
    tiles = _tiles(q.shape[-1], v.shape[-1], grad_initial.dtype, two_states=mode > 0)
    blocks = tiles.blocks(v.shape[-1])

    def room(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=grad_initial.dtype, device=q.device)

    dx = room(*x.shape)
    parts = [room(blocks, *one.shape) for one in (left, k, decay)]
    strides = [row_strides(one, own) for one, own in zip(tensors, OWN_AXES, strict=True)]
    o_strides, final_strides = row_strides(grad_o, 2), row_strides(grad_final, 2)
    initial_strides = row_strides(initial, 2)
    rows = strides[: 5 + mode // 2]
    with Launches(q) as launch:
        launch(
            scan_backward, (sequences * blocks,),
            *tensors, x, states, grad_o, grad_final, dx, grad_v, *parts, grad_initial, *sizes,
            sequences, *(stride for row in strides for stride in row), *o_strides, *final_strides,
            CHUNK=CHUNK if mode > 0 else 0,
            ALIGNED=multiples_of_four([*rows, o_strides, final_strides]),
            **_options(tiles, q, right, v, decay, grad_initial),
        )  # fmt: skip
        tiles = _tiles(v.shape[-1], q.shape[-1], grad_initial.dtype)
        launch(
            rows_backward, (sequences * tiles.blocks(q.shape[-1]),),
            left, k, v, decay, initial, grad_o, x, dx, grad_q, grad_right, *sizes, *strides[1],
            *strides[3], *strides[4], *strides[5], *o_strides, *initial_strides,
            ALIGNED=multiples_of_four([strides[1], *rows[3:], o_strides, initial_strides]),
            **_options(tiles, q, right, v, decay, grad_initial),
        )  # fmt: skip
    for grad, part in zip((grad_left, grad_k, grad_decay), parts, strict=True):
        grad.copy_(part[0] if blocks == 1 else part.sum(0))


def _tiles(num_rows: int, num_columns: int, state: torch.dtype, two_states: bool = False) -> Tiles:
    """Sizes of a tile: 32 columns where the registers hold them, fewer where states are small."""
    columns = 32 if num_rows <= 64 and not two_states else 16
    if num_rows <= 32:
        columns = 8 if num_rows <= 16 else 16
    return choose_tiles(num_rows, num_columns, 1, state, rows=16, columns=columns)


def _options(
    tiles: Tiles, q: Tensor, right: Tensor, v: Tensor, decay: Tensor, state: Tensor
) -> dict[str, Any]:
    """Compile-time arguments that all kernels share."""
    return {
        "K": q.shape[-1],
        "V": v.shape[-1],
        "ROWS": tiles.rows,
        "COLS": tiles.columns,
        "PARTS": tiles.parts,
        "RANK": right.shape[-2],
        "DECAY": min(decay.shape[-1], 2),
        "STATE": type_of(state),
        "num_warps": 1,
        "num_stages": 1,
    }
