"""The matrix recurrence with its scale carried apart, as torch operators whose CUDA code is Triton.

Scales have no axes but the leading ones, and the outputs' scales the time axis.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import register_vmap
from statetrack.scans.matrix.launch import run_rescaled, run_rescaled_backward


@torch.library.custom_op("statetrack::matrix_scan_rescaled", mutates_args=())
def matrix_scan_rescaled_triton(
    a: Tensor, b: Tensor, initial: Tensor, initial_scale: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    """Values [..., T, M, N] and scales [..., T] of the states after a normalised initial one."""
    values, scales = _allocate(a, initial)
    if values.numel() > 0:
        run_rescaled((a, b, initial, initial_scale), (values, scales), precision)
    return values, scales


@matrix_scan_rescaled_triton.register_fake
def _(
    a: Tensor, b: Tensor, initial: Tensor, initial_scale: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    return _allocate(a, initial)


@torch.library.custom_op("statetrack::matrix_scan_rescaled_backward", mutates_args=())
def matrix_scan_rescaled_backward_triton(
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


@matrix_scan_rescaled_backward_triton.register_fake
def _(
    a: Tensor,
    b: Tensor,
    initial: Tensor,
    initial_scale: Tensor,
    values: Tensor,
    scales: Tensor,
    grad_values: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return _allocate_gradients(a, b, initial)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.precision = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, grad_values: Tensor, grad_scales: Tensor) -> tuple[Any, ...]:
    gradients = matrix_scan_rescaled_backward_triton(
        *ctx.saved_tensors, grad_values, ctx.precision
    )
    return *gradients, None, None


matrix_scan_rescaled_triton.register_autograd(_differentiate, setup_context=_save)
register_vmap(matrix_scan_rescaled_triton, (3, 3, 2, 0))
register_vmap(matrix_scan_rescaled_backward_triton, (3, 3, 2, 0, 3, 1, 3))


def _allocate(a: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """The initial state has the type of the state."""
    shape = (*a.shape[:-2], *initial.shape[-2:])
    dtype, device = initial.dtype, a.device
    return torch.empty(shape, dtype=dtype, device=device), torch.empty(
        a.shape[:-2], dtype=dtype, device=device
    )


def _allocate_gradients(a: Tensor, b: Tensor, initial: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a_like, b_like, initial_like = (
        torch.empty(one.shape, dtype=one.dtype, device=one.device) for one in (a, b, initial)
    )
    return a_like, b_like, initial_like
