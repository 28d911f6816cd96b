"""The Householder recurrence as torch operators whose CUDA code is Triton.

Registered: fake tensors, autograd, vmap (the mapped axis becomes one more leading axis). A decay
per head is [..., T, 1] here, one per channel [..., T, K]; without decay it is [..., T, 0].
Outputs lie in memory in the order of the queries, and gradients in that of what they belong to, so
that heads which are views of [B, T, H, K] come back as such.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.householder.sequential import CHUNK, run_backward, run_forward
from statetrack.scans.kernels import empty_in_order, with_unit_stride
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs, final state and, if `save`, what every factor read and some states."""
    outputs = _allocate(q, k, v, beta, write, decay, initial, save)
    if q.shape[-2] == 0:
        outputs[1].copy_(initial)
    elif outputs[1].shape[:-2].numel() > 0:
        inputs = (q, k, v, beta, write, decay, initial)
        run_forward([*map(with_unit_stride, inputs[:6]), initial], *outputs, save)
    return outputs


def _run_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    y: Tensor,
    states: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, beta, write, decay and initial state."""
    grads = _allocate_gradients(q, k, v, beta, write, decay, initial)
    if q.shape[-2] == 0:
        grads[-1].copy_(grad_final)
    elif initial.shape[:-2].numel() > 0:
        inputs = (q, k, v, beta, write, decay, initial, y, states, grad_o)
        run_backward([*map(with_unit_stride, inputs), grad_final], grads)
    return grads


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.saved = inputs
    ctx.set_materialize_grads(False)
    ctx.output_dtype = output[0].dtype
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(
    ctx: Any, grad_o: Tensor | None, grad_final: Tensor | None, *_grads: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, y, states = ctx.saved_tensors
    q, _k, v, _beta, _write, _decay, initial = inputs
    if grad_o is None:
        grad_o = v.new_zeros((), dtype=ctx.output_dtype).expand(*q.shape[:-1], v.shape[-1])
    if grad_final is None:
        grad_final = initial.new_zeros(()).expand(initial.shape)
    if not ctx.saved:
        _o, _final, y, states = householder_scan_triton(*inputs, True)
    grads = householder_scan_backward_triton(*inputs, y, states, grad_o, grad_final)
    return (*grads, None)


def _empty(shape: tuple[int, ...] | torch.Size, beside: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=beside.device)


def _allocate(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *leading, length, num_factors, value_size = v.shape
    key_size = k.shape[-1]
    chunks = -(-length // CHUNK) if save and decay.shape[-1] > 0 else 0
    return (
        empty_in_order(q, (*leading, length, value_size), v.dtype),
        _empty((*leading, value_size, key_size), v, initial.dtype).mT,
        _empty((*leading, length if save else 0, num_factors, value_size), v, initial.dtype),
        _empty((*leading, chunks, value_size, key_size), v, initial.dtype),
    )


def _allocate_gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    *_rest: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    in_order = (empty_in_order(one, one.shape, one.dtype) for one in (q, k, v))
    others = (_empty(one.shape, one, one.dtype) for one in (beta, write, decay))
    of_initial = _empty(initial.mT.shape, initial, initial.dtype).mT
    return (*in_order, *others, of_initial)  # type: ignore[return-value]


householder_scan_triton = register_operator(
    "householder_scan(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor write, Tensor decay, "
    "Tensor initial, bool save) -> (Tensor, Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(2, 3, 3, 2, 2, 2, 2),
)
householder_scan_backward_triton = register_operator(
    "householder_scan_backward(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor write, "
    "Tensor decay, Tensor initial, Tensor y, Tensor states, Tensor grad_o, Tensor grad_final) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 3, 3, 2, 2, 2, 2, 3, 3, 2, 2),
)
register_gradient(householder_scan_triton, householder_scan_backward_triton, _differentiate, _save)
