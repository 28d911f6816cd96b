"""The Householder recurrence in chunks of factors as torch operators; otherwise as `operator`."""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.householder.chunked import (
    allocate,
    run_chunked_backward,
    run_chunked_forward,
)
from statetrack.scans.operators import register_gradient, register_operator


def _run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Outputs, final state, and what the backward pass needs (empty but for `save`)."""
    arguments = (q, k, v, beta, write, decay, initial, save)
    if q.shape[-2] == 0 or initial.shape[:-2].numel() == 0:
        outputs = allocate(*arguments)
        outputs[1].copy_(initial)
        outputs[3].copy_(initial.mT.unsqueeze(-3))
        return outputs
    return run_chunked_forward(*arguments)


def _run_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    updates: Tensor,
    states: Tensor,
    inverses: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of q, k, v, beta, write, decay and initial state."""
    inputs = (q, k, v, beta, write, decay, initial)
    if q.shape[-2] == 0 or initial.shape[:-2].numel() == 0:
        return *(torch.zeros_like(one) for one in inputs[:-1]), grad_final.clone()
    return run_chunked_backward(inputs, (updates, states, inverses), grad_o, grad_final)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.saved = inputs
    ctx.set_materialize_grads(False)
    ctx.output_dtype = output[0].dtype
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(
    ctx: Any, grad_o: Tensor | None, grad_final: Tensor | None, *_grads: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, updates, states, inverses = ctx.saved_tensors
    q, _k, v, _beta, _write, _decay, initial = inputs
    if grad_o is None:
        grad_o = v.new_zeros((), dtype=ctx.output_dtype).expand(*q.shape[:-1], v.shape[-1])
    if grad_final is None:
        grad_final = initial.new_zeros(()).expand(initial.shape)
    if not ctx.saved:
        _o, _final, updates, states, inverses = householder_scan_chunked_triton(*inputs, True)
    grads = householder_scan_chunked_backward_triton(
        *inputs, updates, states, inverses, grad_o, grad_final
    )
    return *grads, None


def _allocate_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(
        torch.empty(one.shape, dtype=one.dtype, device=one.device) for one in arguments[:7]
    )


_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor beta, Tensor write, Tensor decay, Tensor initial"

householder_scan_chunked_triton = register_operator(
    f"householder_scan_chunked({_INPUTS}, bool save) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run,
    allocate,
    own_axes=(2, 3, 3, 2, 2, 2, 2),
)
householder_scan_chunked_backward_triton = register_operator(
    f"householder_scan_chunked_backward({_INPUTS}, Tensor updates, Tensor states, Tensor inverses, "
    "Tensor grad_o, Tensor grad_final) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 3, 3, 2, 2, 2, 2, 3, 3, 3, 2, 2),
)
register_gradient(
    householder_scan_chunked_triton,
    householder_scan_chunked_backward_triton,
    _differentiate,
    _save,
)
