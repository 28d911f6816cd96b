"""The matrix recurrence with its scale carried apart, as torch operators whose CUDA code is Triton.

Scales have no axes but the leading ones, and the outputs' scales the time axis.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.matrix.launch import run_rescaled, run_rescaled_backward
from statetrack.scans.operators import register_gradient, register_operator


def _run(
    a: Tensor, b: Tensor, initial: Tensor, initial_scale: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    """Values [..., T, M, N] and scales [..., T] of the states after a normalised initial one."""
    values, scales = _allocate(a, b, initial)
    if values.numel() > 0:
        run_rescaled((a, b, initial, initial_scale), (values, scales), precision)
    return values, scales


def _run_backward(
    a: Tensor,
    b: Tensor,
    initial: Tensor,
    initial_scale: Tensor,
    values: Tensor,
    scales: Tensor,
    grad_values: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `a`, `b` and the values of the initial state."""
    gradients = _allocate_gradients(a, b, initial)
    if values.numel() > 0:
        inputs = (a, initial, initial_scale, values, scales, grad_values)
        run_rescaled_backward(inputs, gradients, precision)
    else:
        gradients[2].zero_()
    return gradients


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.precision = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, grad_values: Tensor, grad_scales: Tensor) -> tuple[Any, ...]:
    gradients = matrix_scan_rescaled_backward_triton(*ctx.saved_tensors, grad_values, ctx.precision)
    return *gradients, None, None


def _allocate(a: Tensor, b: Tensor, initial: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """The initial state has the type of the state."""
    shape = (*a.shape[:-2], *initial.shape[-2:])
    dtype, device = initial.dtype, a.device
    return torch.empty(shape, dtype=dtype, device=device), torch.empty(
        a.shape[:-2], dtype=dtype, device=device
    )


def _allocate_gradients(
    a: Tensor, b: Tensor, initial: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    a_like, b_like, initial_like = (
        torch.empty(one.shape, dtype=one.dtype, device=one.device) for one in (a, b, initial)
    )
    return a_like, b_like, initial_like


_INPUTS = "Tensor a, Tensor b, Tensor initial, Tensor initial_scale"

matrix_scan_rescaled_triton = register_operator(
    f"matrix_scan_rescaled({_INPUTS}, str precision) -> (Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(3, 3, 2, 0),
)
matrix_scan_rescaled_backward_triton = register_operator(
    f"matrix_scan_rescaled_backward({_INPUTS}, Tensor values, Tensor scales, Tensor grad_values, "
    "str precision) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(3, 3, 2, 0, 3, 1, 3),
)
register_gradient(
    matrix_scan_rescaled_triton, matrix_scan_rescaled_backward_triton, _differentiate, _save
)
