"""The matrix recurrence as torch operators whose CUDA code is Triton.

All tensors of an operator share their leading axes. A scan without inputs has `b` with no rows,
[..., T, 0, N]. The initial state has the type in which states are computed.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.inputs import compute_dtype
from statetrack.scans.matrix.launch import run_backward, run_forward
from statetrack.scans.operators import register_gradient, register_operator


def _run(a: Tensor, b: Tensor, initial: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """States [..., T, M, N] in the type of `a` and the final state [..., M, N]."""
    states, final = _allocate(a, b, initial)
    if a.shape[-3] == 0:
        return states, final.copy_(initial)
    if states.numel() > 0:
        run_forward(a, b, initial, None, states, final, precision)
    return states, final


def _run_backward(
    a: Tensor,
    b: Tensor,
    initial: Tensor,
    states: Tensor,
    grad_states: Tensor,
    grad_final: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of transitions, inputs and initial state; of `b` the shape and type count."""
    gradients = _allocate_gradients(a, b, initial)
    _differentiate_states((a, initial, states, grad_states, grad_final), gradients, precision)
    return gradients


def _run_readout(
    a: Tensor, b: Tensor, initial: Tensor, readout: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    """Outputs ``H_t W`` [..., T, M, C] and the final state; no state but that is written."""
    outputs, final = _allocate_outputs(a, b, initial, readout)
    if a.shape[-3] == 0:
        return outputs, final.copy_(initial)
    if outputs.numel() > 0:
        run_forward(a, b, initial, readout, outputs, final, precision)
    return outputs, final


def _run_readout_backward(
    a: Tensor,
    b: Tensor,
    initial: Tensor,
    readout: Tensor,
    grad_outputs: Tensor,
    grad_final: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of all inputs. The states are computed again and live until this returns."""
    states, final = _allocate(a, b, initial)
    states = states.to(final.dtype)
    gradients = _allocate_gradients(a, b, initial)
    grad_readout = torch.zeros(readout.shape, dtype=final.dtype, device=a.device)
    if states.numel() > 0:
        run_forward(a, b, initial, None, states, final, precision)
        wide = grad_outputs.to(final.dtype)
        grad_readout = states.flatten(-3, -2).transpose(-1, -2) @ wide.flatten(-3, -2)
        grad_states = wide @ readout.to(final.dtype).transpose(-1, -2).unsqueeze(-3)
    else:
        grad_states = states
    _differentiate_states((a, initial, states, grad_states, grad_final), gradients, precision)
    grad_a, grad_b, grad_initial = gradients
    return grad_a, grad_b, grad_initial, grad_readout.to(readout.dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    a, b, initial, ctx.precision = inputs
    ctx.save_for_backward(a, b, initial, output[0])


def _differentiate(ctx: Any, grad_states: Tensor, grad_final: Tensor) -> tuple[Any, ...]:
    gradients = matrix_scan_backward_triton(
        *ctx.saved_tensors, grad_states, grad_final, ctx.precision
    )
    return *gradients, None


def _save_readout(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.precision = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_readout(ctx: Any, grad_outputs: Tensor, grad_final: Tensor) -> tuple[Any, ...]:
    gradients = matrix_scan_readout_backward_triton(
        *ctx.saved_tensors, grad_outputs, grad_final, ctx.precision
    )
    return *gradients, None


def _like(tensor: Tensor) -> Tensor:
    """Room for matrices of the same shape, axes in the same order in memory where that is dense."""
    if 0 in tensor.stride() or tensor.stride(-1) != 1 or tensor.stride(-2) != tensor.shape[-1]:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return torch.empty_like(tensor)


def _allocate(a: Tensor, b: Tensor, initial: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    rows, columns = initial.shape[-2:]
    if rows == columns:
        states = _like(a)
    else:
        states = torch.empty((*a.shape[:-2], rows, columns), dtype=a.dtype, device=a.device)
    dtype = compute_dtype(a, b, initial)
    return states, torch.empty(initial.shape, dtype=dtype, device=a.device)


def _allocate_outputs(
    a: Tensor, b: Tensor, initial: Tensor, readout: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    shape = (*a.shape[:-2], initial.shape[-2], readout.shape[-1])
    final = torch.empty(initial.shape, dtype=compute_dtype(a, b, initial), device=a.device)
    return torch.empty(shape, dtype=a.dtype, device=a.device), final


def _allocate_gradients(
    a: Tensor, b: Tensor, initial: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    grad_b, grad_initial = (
        torch.empty(one.shape, dtype=one.dtype, device=one.device) for one in (b, initial)
    )
    return _like(a), grad_b, grad_initial


def _allocate_readout_gradients(
    a: Tensor, b: Tensor, initial: Tensor, readout: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_readout = torch.empty(readout.shape, dtype=readout.dtype, device=readout.device)
    return *_allocate_gradients(a, b, initial), grad_readout


def _differentiate_states(
    inputs: tuple[Tensor, ...], gradients: tuple[Tensor, Tensor, Tensor], precision: str
) -> None:
    """Fill the gradients; nothing to do where there are no steps or no sequences."""
    if inputs[0].shape[-3] == 0:
        gradients[2].copy_(inputs[4])
    elif inputs[2].numel() > 0:
        run_backward(inputs, gradients, precision)


_INPUTS = "Tensor a, Tensor b, Tensor initial"

matrix_scan_triton = register_operator(
    f"matrix_scan({_INPUTS}, str precision) -> (Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(3, 3, 2),
)
matrix_scan_backward_triton = register_operator(
    f"matrix_scan_backward({_INPUTS}, Tensor states, Tensor grad_states, Tensor grad_final, "
    "str precision) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(3, 3, 2, 3, 3, 2),
)
register_gradient(matrix_scan_triton, matrix_scan_backward_triton, _differentiate, _save)
matrix_scan_readout_triton = register_operator(
    f"matrix_scan_readout({_INPUTS}, Tensor readout, str precision) -> (Tensor, Tensor)",
    _run_readout,
    _allocate_outputs,
    own_axes=(3, 3, 2, 2),
)
matrix_scan_readout_backward_triton = register_operator(
    f"matrix_scan_readout_backward({_INPUTS}, Tensor readout, Tensor grad_outputs, "
    "Tensor grad_final, str precision) -> (Tensor, Tensor, Tensor, Tensor)",
    _run_readout_backward,
    _allocate_readout_gradients,
    own_axes=(3, 3, 2, 2, 3, 2),
)
register_gradient(
    matrix_scan_readout_triton,
    matrix_scan_readout_backward_triton,
    _differentiate_readout,
    _save_readout,
)
