"""The Householder recurrence token after token on a GPU: its launches."""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.householder.tiles import Problem
from statetrack.scans.kernels import (
    leading_sizes,
    leading_strides,
    multiprocessors,
    num_items,
    with_unit_stride,
)
from statetrack.scans.launches import Launches

MAX_SIZE = 128
CHUNK = 16  # tokens between the states that are kept for the gradient of decays


def run_forward(
    inputs: list[Tensor], o: Tensor, final: Tensor, y: Tensor, states: Tensor, save: bool
) -> None:
    """Fill outputs, final state and, with `save`, what the backward pass needs.

    Parameters
    ----------
    inputs : list of Tensor
        q [..., T, K], k [..., T, R, K], v [..., T, R, V], beta and write [..., T, R], decay
        [..., T, D] with D = 0, 1 or K, initial state [..., K, V].
    o : Tensor, [..., T, V]
        Values innermost in memory.
    final : Tensor, [..., K, V]
        Keys innermost in memory.
    y : Tensor, [..., T, R, V]
        What every factor read, S^T k.
    states : Tensor, [..., C, V, K]
        States before every `CHUNK` tokens, where there are decays.
    """
    from statetrack.scans.householder.kernel_sequential import scan_forward

    inputs = [inputs[0], inputs[1], *map(loadable_ahead, inputs[2:])]
    q, k, v, beta, write, decay, initial = inputs
    initial = with_unit_stride(initial.mT)
    strides = [row_strides(one, own) for one, own in _with_own_axes(inputs[:6])]
    all_strides = [stride for row in strides for stride in row]
    o_strides, initial_strides = row_strides(o, 2), row_strides(initial, 2)
    leading = leading_sizes(v.shape[:-3])
    tiles = problem(k, v, decay, final.dtype).forward()
    mode = min(decay.shape[-1], 2)
    with torch.cuda.device_of(q):
        scan_forward[(num_items(leading) * tiles.blocks(v.shape[-1]),)](
            q, k, v, beta, write, decay, initial, o, final, y, states,
            *leading[1:], *k.shape[-3:-1], *all_strides, *o_strides, *initial_strides,
            K=k.shape[-1], V=v.shape[-1], DECAY=mode, SAVE=save,
            CHUNK=CHUNK if save and mode > 0 else 0, STATE=type_of(final),
            ALIGNED=multiples_of_four(
                [*strides[:3], *strides[5 : 5 + mode // 2], o_strides, initial_strides]
            ),
            **tiles.options(),
        )  # fmt: skip


def run_backward(inputs: list[Tensor], grads: tuple[Tensor, ...]) -> None:
    """Fill the gradients of q, k, v, beta, write, decay and initial state.

    Parameters
    ----------
    inputs : list of Tensor
        As in `run_forward`, then y, states, and the gradients of outputs and final state.
    grads : tuple of Tensor
        Dense, with the last axis innermost, those of beta, write and decay contiguous; that of the
        initial state has keys innermost.
    """
    from statetrack.scans.householder.kernel_sequential_backward import scan_backward
    from statetrack.scans.householder.kernel_sequential_rows import rows_backward

    inputs = [inputs[0], *map(loadable_ahead, inputs[1:])]
    q, k, v, beta, write, decay, initial, y, states, grad_o, grad_final = inputs
    grad_q, grad_k, grad_v, grad_beta, grad_write, grad_decay, grad_initial = grads
    grad_final = with_unit_stride(grad_final.mT)
    state = grad_initial.dtype
    leading = leading_sizes(v.shape[:-3])
    sequences = num_items(leading)
    length, num_factors = k.shape[-3:-1]
    sizes = (*leading[1:], length, num_factors, sequences)
    mode = min(decay.shape[-1], 2)
    chosen = problem(k, v, decay, state)
    tiles = chosen.backward()
    blocks = tiles.blocks(v.shape[-1])

    def room(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=state, device=q.device)

    def parts_of(grad: Tensor) -> Tensor:
        """Room for a part of every block, each in the order of the whole."""
        return grad[None] if blocks == 1 and grad.dtype == state else room(blocks, *grad.shape)

    u, du = room(*v.shape), room(*v.shape)
    summed = (grad_beta, grad_write, grad_decay)
    read, *parts = map(parts_of, (grad_k, *summed))
    strides = [row_strides(one, own) for one, own in _with_own_axes(inputs[:6])]
    all_strides = [stride for row in strides for stride in row]
    o_strides, final_strides = row_strides(grad_o, 2), row_strides(grad_final, 2)
    initial_strides = row_strides(initial, 2)
    of_q, of_k, of_v = row_strides(grad_q, 2), row_strides(grad_k, 3), row_strides(grad_v, 3)
    of_decay = strides[5 : 5 + mode // 2]
    with Launches(q) as launch:
        launch(
            scan_backward, (sequences * blocks,),
            q, k, v, beta, write, decay, y, states, grad_o, grad_final, u, du, grad_v, read,
            *parts, grad_initial, *sizes, *all_strides, *o_strides, *final_strides, *of_k, *of_v,
            K=k.shape[-1], V=v.shape[-1], DECAY=mode, CHUNK=CHUNK if mode > 0 else 0,
            STATE=type_of(grad_initial),
            ALIGNED=multiples_of_four(
                [*strides[:3], *of_decay, o_strides, final_strides, of_k, of_v]
            ),
            **tiles.options(),
        )  # fmt: skip
        tiles = chosen.backward_of_rows()
        launch(
            rows_backward, (sequences * tiles.blocks(k.shape[-1]),),
            k, beta, decay, initial, grad_o, u, du, read, grad_q, grad_k, *sizes,
            *strides[1], *strides[3], *strides[5], *o_strides, *initial_strides, *of_q, *of_k,
            K=k.shape[-1], V=v.shape[-1], BLOCKS=blocks, DECAY=mode, STATE=type_of(grad_initial),
            ALIGNED=multiples_of_four(
                [strides[1], *of_decay, o_strides, initial_strides, of_q, of_k]
            ),
            **tiles.options(),
        )  # fmt: skip
    for grad, part in zip(summed, parts, strict=True):
        if part.data_ptr() != grad.data_ptr():
            grad.copy_(part.sum(0))


def problem(k: Tensor, v: Tensor, decay: Tensor, state: torch.dtype) -> Problem:
    """What the tiles of these inputs are chosen by; shapes as in `run_forward`."""
    return Problem(
        keys=k.shape[-1],
        values=v.shape[-1],
        factors=k.shape[-2],
        decays=decay.shape[-1] > 0,
        state=state,
        sequences=num_items(leading_sizes(v.shape[:-3])),
        multiprocessors=multiprocessors(k.device),
    )


def loadable_ahead(tensor: Tensor) -> Tensor:
    """Float32 for 16-bit numbers: copies to shared memory ahead of time take 4 bytes a lane."""
    return tensor.float() if tensor.element_size() == 2 else tensor


def _with_own_axes(inputs: list[Tensor]) -> list[tuple[Tensor, int]]:
    return list(zip(inputs, (2, 3, 3, 2, 2, 2), strict=True))


def row_strides(tensor: Tensor, own_axes: int) -> list[int]:
    """Strides of the leading axes and of all but the last own one; factors count as their own."""
    return [*leading_strides(tensor, own_axes), *tensor.stride()[tensor.dim() - own_axes : -1]]


def multiples_of_four(rows: list[list[int]]) -> bool:
    """Whether rows start at multiples of 4 elements, so that 4 can be loaded at once."""
    return all(stride % 4 == 0 for row in rows for stride in row)


def type_of(tensor: Tensor) -> Any:
    """Triton's name for the type of a state."""
    import triton.language as tl

    return tl.float64 if tensor.dtype == torch.float64 else tl.float32
