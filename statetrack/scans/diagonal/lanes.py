"""The diagonal recurrence token after token, all channels of all sequences side by side in lanes.

For many channels on a processor: one multiplication with addition a token, forwards and backwards.
Letters: T tokens, L channels of all sequences.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.lanes import room
from statetrack.scans.operators import register_gradient, register_operator

FEWEST_CHANNELS = 1024


def suits(device: torch.device, channels: int) -> bool:
    """Whether lanes are the faster way for so many channels of all sequences."""
    return device.type == "cpu" and channels >= FEWEST_CHANNELS


def diagonal_scan_lanes(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `diagonal_scan_reference`; T steps over contiguous rows."""
    states, final_state = _scan(a, x, initial)
    return states, final_state


def _run(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    outputs = _allocate(a, x, initial)
    states_TL, final_L = _rows(outputs[0]), outputs[1].view(-1)
    a_TL, x_TL = _rows(a), _rows(x)
    before = initial.reshape(-1)
    for t in range(len(x_TL)):
        before = torch.addcmul(x_TL[t], a_TL[t], before, out=states_TL[t])
    final_L.copy_(before)
    return outputs


def _run_backward(
    a: Tensor, initial: Tensor, states: Tensor, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    gradients = _allocate_gradients(a, initial, states)
    grad_a_TL, grad_x_TL, grad_initial_L = (
        _rows(gradients[0]), _rows(gradients[1]), gradients[2].view(-1)
    )  # fmt: skip
    a_TL, states_TL, grad_TL = _rows(a).conj(), _rows(states).conj(), _rows(grad_states)
    adjoint = grad_final.reshape(-1)
    for t in reversed(range(len(a_TL))):
        adjoint = torch.add(grad_TL[t], adjoint, out=grad_x_TL[t])
        before = states_TL[t - 1] if t else initial.reshape(-1).conj()
        torch.mul(adjoint, before, out=grad_a_TL[t])
        adjoint = a_TL[t] * adjoint
    grad_initial_L.copy_(adjoint)
    return gradients


def _rows(tensor: Tensor) -> Tensor:
    """[..., T, D] as [T, channels of all sequences], contiguous."""
    first = tensor.movedim(-2, 0)
    return first.reshape(len(first), first[:1].numel()).contiguous()


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    a, _, initial = inputs
    ctx.save_for_backward(a, initial, output[0])


def _differentiate(
    ctx: Any, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = _scan_backward(
        *ctx.saved_tensors, grad_states, grad_final
    )
    return gradients


def _allocate(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    return _room_for_rows(x), torch.empty(initial.shape, dtype=x.dtype, device=x.device)


def _allocate_gradients(
    a: Tensor, initial: Tensor, states: Tensor, *_gradients: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_initial = torch.empty(initial.shape, dtype=states.dtype, device=states.device)
    return _room_for_rows(a), _room_for_rows(states), grad_initial


def _room_for_rows(like: Tensor) -> Tensor:
    *leading, length, channels = like.shape
    return room((*leading, channels), (length,), like).movedim(-1, -2)


_scan = register_operator(
    "diagonal_scan_lanes(Tensor a, Tensor x, Tensor initial) -> (Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(2, 2, 1),
)
_scan_backward = register_operator(
    "diagonal_scan_lanes_backward(Tensor a, Tensor initial, Tensor states, Tensor grad_states, "
    "Tensor grad_final) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 1, 2, 2, 1),
)
register_gradient(_scan, _scan_backward, _differentiate, _save)
