"""Nonlinear recurrences as torch operators whose CUDA code is Triton.

Registered: fake tensors, autograd, vmap (the mapped axis becomes one more axis of networks).
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import with_unit_stride
from statetrack.scans.nonlinear.cells import CELLS
from statetrack.scans.nonlinear.launch import Plan, run_backward, run_forward
from statetrack.scans.operators import register_gradient, register_operator


def _run(
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    initial: Tensor,
    cell: str,
    precision: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, final state and, if `save`, states before every token and steps."""
    outputs = _allocate(x, recurrent, bias, initial, cell, precision, save)
    if x.shape[-3] == 0:
        outputs[1].copy_(initial)
    elif outputs[0].numel() > 0:
        plan = Plan(CELLS[cell], x.shape[-1], initial.dtype, precision, x.is_cuda)
        x, recurrent = with_unit_stride(x), with_unit_stride(recurrent)
        run_forward(plan, x, recurrent, bias.contiguous(), initial.contiguous(), outputs, save)
    return outputs


def _run_backward(
    recurrent: Tensor,
    states: Tensor,
    kept: Tensor,
    grad_hidden: Tensor,
    grad_final: Tensor,
    cell: str,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, recurrent weights, bias and initial state."""
    grads = _allocate_gradients(recurrent, states, kept, grad_hidden, grad_final, cell, precision)
    if grad_hidden.numel() == 0:
        grads[3].copy_(grad_final)
        grads[1].zero_()
        grads[2].zero_()
    else:
        plan = Plan(CELLS[cell], states.shape[-1], states.dtype, precision, states.is_cuda)
        recurrent, grad_hidden = with_unit_stride(recurrent), with_unit_stride(grad_hidden)
        run_backward(
            plan, recurrent, states.contiguous(), kept.contiguous(), grad_hidden,
            grad_final.contiguous(), grads,
        )  # fmt: skip
    return grads


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, recurrent, bias, initial, ctx.cell, ctx.precision, ctx.saved = inputs
    ctx.x_dtype = x.dtype
    ctx.set_materialize_grads(False)
    if ctx.saved:
        ctx.save_for_backward(recurrent, *output[2:])
    else:
        ctx.save_for_backward(x, recurrent, bias, initial)


def _differentiate(
    ctx: Any, grad_hidden: Tensor | None, grad_final: Tensor | None, *_grads: Tensor | None
) -> tuple[Tensor | None, ...]:
    if ctx.saved:
        recurrent, states, kept = ctx.saved_tensors
    else:
        inputs = ctx.saved_tensors
        recurrent = inputs[1]
        _h, _final, states, kept = nonlinear_scan_triton(*inputs, ctx.cell, ctx.precision, True)
    zero = states.new_zeros(())
    if grad_hidden is None:
        grad_hidden = zero.expand(*states.shape[:-2], states.shape[-1])
    if grad_final is None:
        grad_final = zero.expand(*states.shape[:-3], *states.shape[-2:])
    grad_x, *grads = nonlinear_scan_backward_triton(
        recurrent, states, kept, grad_hidden, grad_final, ctx.cell, ctx.precision
    )
    return grad_x.to(ctx.x_dtype), *grads, None, None, None


def _allocate(
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    initial: Tensor,
    cell: str,
    precision: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *leading, length, _gates, size = x.shape
    kept = length if save else 0
    room = {"dtype": initial.dtype, "device": x.device}
    return (
        torch.empty((*leading, length, size), **room),  # type: ignore[call-overload]
        torch.empty(initial.shape, **room),  # type: ignore[call-overload]
        torch.empty((*leading, kept, *initial.shape[-2:]), **room),  # type: ignore[call-overload]
        torch.empty((*leading, kept, CELLS[cell].num_kept, size), **room),  # type: ignore[call-overload]
    )


def _allocate_gradients(
    recurrent: Tensor,
    states: Tensor,
    kept: Tensor,
    grad_hidden: Tensor,
    grad_final: Tensor,
    cell: str,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    room = {"dtype": states.dtype, "device": states.device}
    *leading, _parts, size = states.shape
    return (
        torch.empty((*leading, recurrent.shape[-3], size), **room),  # type: ignore[call-overload]
        torch.empty(recurrent.shape, **room),  # type: ignore[call-overload]
        torch.empty(recurrent.shape[:-1], **room),  # type: ignore[call-overload]
        torch.empty(grad_final.shape, **room),  # type: ignore[call-overload]
    )


nonlinear_scan_triton = register_operator(
    "nonlinear_scan(Tensor x, Tensor recurrent, Tensor bias, Tensor initial, str cell, "
    "str precision, bool save) -> (Tensor, Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(4, 3, 2, 3),
)
nonlinear_scan_backward_triton = register_operator(
    "nonlinear_scan_backward(Tensor recurrent, Tensor states, Tensor kept, Tensor grad_hidden, "
    "Tensor grad_final, str cell, str precision) -> (Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(3, 4, 4, 3, 3),
)
register_gradient(nonlinear_scan_triton, nonlinear_scan_backward_triton, _differentiate, _save)
