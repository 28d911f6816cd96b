"""Matrix products that carry their scale, token after token, sequences side by side in lanes.

For small matrices of many sequences on a processor, without inputs. Letters: T tokens, M rows and
N columns of a state, L sequences.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.inputs import require
from statetrack.scans.lanes import room, to_lanes
from statetrack.scans.matrix.lanes import multiply
from statetrack.scans.matrix.rescaled import ScaledStates, normalise
from statetrack.scans.operators import register_gradient, register_operator

OWN_AXES = (3, 2, 0)


def rescaled_lanes(
    a: Tensor, b: Tensor | None, initial: ScaledStates
) -> tuple[ScaledStates, ScaledStates]:
    """Same contract as `rescaled_reference`, for real transitions and no inputs.

    Raises
    ------
    InputError
        Inputs `b`.
    """
    require(
        b is None,
        "matrix_scan: backend 'lanes' takes no inputs b with rescale=True; use backend='parallel'",
    )
    states = ScaledStates(*_scan(a, *normalise(*initial))[:2])
    if a.shape[-3] == 0:
        return states, initial
    return states, ScaledStates(states.values[..., -1, :, :], states.log2_scale[..., -1])


def _run(a: Tensor, initial: Tensor, initial_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values and scales of all states, and the power of two taken out of every product."""
    outputs = _allocate(a, initial, initial_scale)
    values_TMNL, scales_TL, powers_TL = (
        to_lanes(one, own) for one, own in zip(outputs, (3, 1, 1), strict=True)
    )
    a_TNNL, state, scale_L = (
        to_lanes(one, own) for one, own in zip((a, initial, initial_scale), OWN_AXES, strict=True)
    )
    a_TNNL, given_TL = _normalise(a_TNNL)
    for t in range(len(a_TNNL)):
        state = multiply(state, a_TNNL[t], values_TMNL[t])
        largest_L = _largest(state)
        power_L = powers_TL[t].copy_(torch.frexp(largest_L).exponent)
        state.mul_(_two_to(-power_L))
        total_L = scale_L + given_TL[t] + power_L
        scale_L = scales_TL[t].copy_(total_L.masked_fill_(~(largest_L > 0), -torch.inf))
    return outputs


def _run_backward(
    a: Tensor, initial: Tensor, values: Tensor, powers: Tensor, grad_values: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of transitions and of the values of the initial state."""
    gradients = _allocate_gradients(a, initial)
    grad_a_TNNL, grad_initial_MNL = to_lanes(gradients[0], 3), to_lanes(gradients[1], 2)
    a_TNNL, given_TL = _normalise(to_lanes(a, 3))
    values_TMNL, grad_TMNL = to_lanes(values, 3), to_lanes(grad_values, 3)
    initial_MNL, factors_TL = to_lanes(initial, 2), _two_to(-to_lanes(powers, 1))
    back_TNNL = a_TNNL.transpose(1, 2)
    adjoint, total = torch.zeros_like(initial_MNL), torch.empty_like(initial_MNL)
    for t in reversed(range(len(a_TNNL))):
        torch.add(grad_TMNL[t], adjoint, out=total).mul_(factors_TL[t])
        before = values_TMNL[t - 1] if t else initial_MNL
        multiply(before.transpose(0, 1), total, grad_a_TNNL[t])
        multiply(total, back_TNNL[t], adjoint)
    grad_a_TNNL.mul_(_two_to(-given_TL)[:, None, None])
    grad_initial_MNL.copy_(adjoint)
    return gradients


def _normalise(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices [..., M, N, L] with the largest entry in [1/2, 1), and the powers taken out."""
    powers = torch.frexp(_largest(matrices)).exponent.to(matrices.dtype)
    return matrices * _two_to(-powers)[..., None, None, :], powers


def _largest(matrices: Tensor) -> Tensor:
    return matrices.abs().amax(dim=(-3, -2))


def _two_to(powers: Tensor) -> Tensor:
    return torch.ldexp(torch.ones_like(powers), powers)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    a, initial, _ = inputs
    values, scales, powers = output
    ctx.mark_non_differentiable(scales, powers)
    ctx.save_for_backward(a, initial, values, powers)


def _differentiate(
    ctx: Any, grad_values: Tensor, _grad_scales: Tensor, _grad_powers: Tensor
) -> tuple[Tensor, Tensor, None]:
    return (*_scan_backward(*ctx.saved_tensors, grad_values), None)


def _allocate(a: Tensor, initial: Tensor, *_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    leading, length = a.shape[:-3], a.shape[-3]
    values = room(leading, (length, *initial.shape[-2:]), initial)
    return values, room(leading, (length,), initial), room(leading, (length,), initial)


def _allocate_gradients(a: Tensor, initial: Tensor, *_rest: Tensor) -> tuple[Tensor, Tensor]:
    leading = a.shape[:-3]
    return room(leading, a.shape[-3:], initial), room(leading, initial.shape[-2:], initial)


_scan = register_operator(
    "matrix_scan_rescaled_lanes(Tensor a, Tensor initial, Tensor initial_scale) -> "
    "(Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=OWN_AXES,
)
_scan_backward = register_operator(
    "matrix_scan_rescaled_lanes_backward(Tensor a, Tensor initial, Tensor values, Tensor powers, "
    "Tensor grad_values) -> (Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(3, 2, 3, 1, 3),
)
register_gradient(_scan, _scan_backward, _differentiate, _save)
