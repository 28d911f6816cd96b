"""The matrix recurrence token after token, sequences side by side in lanes (see `scans.lanes`).

For small matrices of many sequences on a processor. Letters: T tokens, M rows and N columns of a
state, L sequences. A scan without inputs has `b` with no rows, [..., T, 0, N].
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.lanes import pay, room, to_lanes
from statetrack.scans.operators import register_gradient, register_operator

LARGEST_STATE = 128
OWN_AXES = (3, 3, 2)


def suits(device: torch.device, sequences: int, state_size: int) -> bool:
    """Whether lanes are the faster way for so many sequences and so many numbers of a state."""
    return pay(device, sequences) and state_size <= LARGEST_STATE


def matrix_scan_lanes(a: Tensor, b: Tensor | None, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `matrix_scan_reference`, for real inputs; T N steps over rows of lanes."""
    states, final_state = _scan(a, a.detach()[..., :0, :] if b is None else b, initial)
    return states, final_state


def _run(a: Tensor, b: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    outputs = _allocate(a, b, initial)
    states_TMNL, final_MNL = to_lanes(outputs[0], 3), to_lanes(outputs[1], 2)
    a_TNNL, b_TMNL, state = (
        to_lanes(one, own) for one, own in zip((a, b, initial), OWN_AXES, strict=True)
    )
    for t in range(len(a_TNNL)):
        state = multiply(state, a_TNNL[t], states_TMNL[t])
        if b_TMNL.shape[1] > 0:
            state.add_(b_TMNL[t])
    final_MNL.copy_(state)
    return outputs


def _run_backward(
    a: Tensor, b: Tensor, initial: Tensor, states: Tensor, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of transitions, inputs and initial state; of `b` the shape counts."""
    gradients = _allocate_gradients(a, b, initial)
    grad_a_TNNL, grad_b_TMNL, grad_initial_MNL = (
        to_lanes(one, own) for one, own in zip(gradients, OWN_AXES, strict=True)
    )
    a_TNNL, initial_MNL = to_lanes(a, 3), to_lanes(initial, 2)
    states_TMNL, grad_TMNL = to_lanes(states, 3), to_lanes(grad_states, 3)
    back_TNNL = a_TNNL.transpose(1, 2)
    adjoint, total = to_lanes(grad_final, 2), torch.empty_like(initial_MNL)
    for t in reversed(range(len(a_TNNL))):
        torch.add(grad_TMNL[t], adjoint, out=total)
        if grad_b_TMNL.shape[1] > 0:
            grad_b_TMNL[t] = total
        before = states_TMNL[t - 1] if t else initial_MNL
        multiply(before.transpose(0, 1), total, grad_a_TNNL[t])
        adjoint = multiply(total, back_TNNL[t], torch.empty_like(total))
    grad_initial_MNL.copy_(adjoint)
    return gradients


def multiply(left_MKL: Tensor, right_KNL: Tensor, out_MNL: Tensor) -> Tensor:
    """Products of matrices, lane by lane, written to `out_MNL`."""
    if len(right_KNL) == 0:
        return out_MNL.zero_()
    torch.mul(left_MKL[:, 0].unsqueeze(1), right_KNL[0], out=out_MNL)
    for k in range(1, len(right_KNL)):
        out_MNL.addcmul_(left_MKL[:, k].unsqueeze(1), right_KNL[k])
    return out_MNL


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[0])


def _differentiate(
    ctx: Any, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = _scan_backward(
        *ctx.saved_tensors, grad_states, grad_final
    )
    return gradients


def _allocate(a: Tensor, b: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    leading, state_shape = a.shape[:-3], initial.shape[-2:]
    states = room(leading, (a.shape[-3], *state_shape), initial)
    return states, room(leading, state_shape, initial)


def _allocate_gradients(
    a: Tensor, b: Tensor, initial: Tensor, *_rest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    leading = a.shape[:-3]
    found = (
        room(leading, one.shape[one.dim() - own :], initial)
        for one, own in zip((a, b, initial), OWN_AXES, strict=True)
    )
    return tuple(found)  # type: ignore[return-value]


_scan = register_operator(
    "matrix_scan_lanes(Tensor a, Tensor b, Tensor initial) -> (Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=OWN_AXES,
)
_scan_backward = register_operator(
    "matrix_scan_lanes_backward(Tensor a, Tensor b, Tensor initial, Tensor states, "
    "Tensor grad_states, Tensor grad_final) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(*OWN_AXES, 3, 3, 2),
)
register_gradient(_scan, _scan_backward, _differentiate, _save)
