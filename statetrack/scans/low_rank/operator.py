"""The low-rank recurrence as torch operators whose CUDA code is Triton.

Registered: fake tensors, autograd, vmap (the mapped axis becomes one more leading axis). Left and
right have their rank axis here. A decay per head is [..., T, 1], one per channel [..., T, K];
without decay it is [..., T, 0].
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import with_unit_stride
from statetrack.scans.low_rank.launch import CHUNK, run_backward, run_forward
from statetrack.scans.operators import register_gradient, register_operator


def _run(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs, final state and, if `save`, what every token read and some states."""
    outputs = _allocate(q, left, right, k, v, decay, initial, save)
    if q.shape[-2] == 0:
        outputs[1].copy_(initial)
    elif outputs[1].shape[:-2].numel() > 0:
        inputs = (q, left, right, k, v, decay)
        run_forward([*map(with_unit_stride, inputs), initial], *outputs, save)
    return outputs


def _run_backward(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    initial: Tensor,
    x: Tensor,
    states: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, left, right, k, v, decay and initial state."""
    grads = _allocate_gradients(q, left, right, k, v, decay, initial)
    if q.shape[-2] == 0:
        grads[-1].copy_(grad_final)
    elif initial.shape[:-2].numel() > 0:
        inputs = (q, left, right, k, v, decay, initial, x, states, grad_o)
        run_backward([*map(with_unit_stride, inputs), grad_final], grads)
    return grads


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.saved = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(
    ctx: Any, grad_o: Tensor | None, grad_final: Tensor | None, *_grads: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, x, states = ctx.saved_tensors
    v, initial = inputs[4], inputs[6]
    if grad_o is None:
        grad_o = v.new_zeros(()).expand(v.shape)
    if grad_final is None:
        grad_final = initial.new_zeros(()).expand(initial.shape)
    if not ctx.saved:
        _o, _final, x, states = low_rank_scan_triton(*inputs, True)
    grads = low_rank_scan_backward_triton(*inputs, x, states, grad_o, grad_final)
    return (*grads, None)


def _empty(shape: tuple[int, ...] | torch.Size, beside: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=beside.device)


def _allocate(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *leading, length, value_size = v.shape
    key_size = q.shape[-1]
    chunks = -(-length // CHUNK) if save and decay.shape[-1] > 0 else 0
    rank = right.shape[-2]
    return (
        _empty(v.shape, v, v.dtype),
        _empty((*leading, value_size, key_size), v, initial.dtype).mT,
        _empty((*leading, length if save else 0, rank, value_size), v, initial.dtype),
        _empty((*leading, chunks, value_size, key_size), v, initial.dtype),
    )


def _allocate_gradients(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    initial: Tensor,
    *_rest: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    grads = (_empty(one.shape, one, one.dtype) for one in (q, left, right, k, v, decay))
    return (*grads, _empty(initial.mT.shape, initial, initial.dtype).mT)  # type: ignore[return-value]


low_rank_scan_triton = register_operator(
    "low_rank_scan(Tensor q, Tensor left, Tensor right, Tensor k, Tensor v, Tensor decay, "
    "Tensor initial, bool save) -> (Tensor, Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(2, 3, 3, 2, 2, 2, 2),
)
low_rank_scan_backward_triton = register_operator(
    "low_rank_scan_backward(Tensor q, Tensor left, Tensor right, Tensor k, Tensor v, "
    "Tensor decay, Tensor initial, Tensor x, Tensor states, Tensor grad_o, Tensor grad_final) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 3, 3, 2, 2, 2, 2, 3, 3, 2, 2),
)
register_gradient(low_rank_scan_triton, low_rank_scan_backward_triton, _differentiate, _save)
