"""The Householder recurrence factor after factor, sequences side by side in lanes (see `lanes`).

For small states of many sequences on a processor. Letters: T tokens, R factors, K and V sizes of a
state, L sequences. A decay is [..., T, 1] or [..., T, K]; without decay it is [..., T, 0].
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.lanes import pay, room, to_lanes
from statetrack.scans.operators import needs_gradient, register_gradient, register_operator

LARGEST_STATE = 256
OWN_AXES = (2, 3, 3, 2, 2, 2, 2)


def suits(device: torch.device, sequences: int, state_size: int) -> bool:
    """Whether lanes are the faster way for so many sequences and so many numbers of a state."""
    return pay(device, sequences) and state_size <= LARGEST_STATE


def householder_scan_lanes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor | None,
    initial: Tensor,
) -> tuple[Tensor, Tensor]:
    """Same contract as `householder_scan_reference`, for real inputs with T and R at least 1.

    What is kept for the backward pass: a state a token, and what every factor read.
    """
    none = q.detach()[..., :0]
    inputs = (q, k, v, beta, write, none if decay is None else decay, initial)
    outputs, final_state, *_ = _scan(*inputs, needs_gradient(inputs))
    return outputs, final_state


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
    """Outputs, final state and, if `save`, what every factor read and the states of all times."""
    outputs = _allocate(q, k, v, beta, write, decay, initial, save)
    inputs = (q, k, v, beta, write, decay, initial)
    tensors = [
        to_lanes(one, own)
        for one, own in zip((*outputs, *inputs), (2, 2, 3, 3, *OWN_AXES), strict=True)
    ]
    _walk(save, *tensors)
    return outputs


def _walk(
    save: bool,
    o_TVL: Tensor,
    final_KVL: Tensor,
    reads_TRVL: Tensor,
    states_TKVL: Tensor,
    q_TKL: Tensor,
    k_TRKL: Tensor,
    v_TRVL: Tensor,
    beta_TRL: Tensor,
    write_TRL: Tensor,
    decay_TDL: Tensor,
    initial_KVL: Tensor,
) -> None:
    """Fill the outputs of all lanes."""
    state = initial_KVL
    written_TRVL = write_TRL.unsqueeze(2) * v_TRVL
    product, update = torch.empty_like(state), torch.empty_like(state[0])
    spare, spare_read = [torch.empty_like(state) for _ in range(2)], torch.empty_like(state[0])
    states_TKVL[:1] = state
    for t in range(len(q_TKL)):
        after = states_TKVL[t + 1] if save else spare[t % 2]
        if decay_TDL.shape[1] > 0:
            state = torch.mul(state, decay_TDL[t].unsqueeze(1), out=after)
        for r in range(k_TRKL.shape[1]):
            key_K1L = k_TRKL[t, r].unsqueeze(1)
            read = reads_TRVL[t, r] if save else spare_read
            torch.sum(torch.mul(state, key_K1L, out=product), 0, out=read)
            torch.addcmul(written_TRVL[t, r], beta_TRL[t, r], read, value=-1.0, out=update)
            state = torch.addcmul(state, key_K1L, update, out=after)
        torch.sum(torch.mul(state, q_TKL[t].unsqueeze(1), out=product), 0, out=o_TVL[t])
    final_KVL.copy_(state)


def _run_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    reads: Tensor,
    states: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, beta, write, decay and initial state."""
    gradients = _allocate_gradients(q, k, v, beta, write, decay, initial)
    inputs = (q, k, v, beta, write, decay, reads, states, grad_o, grad_final)
    own_axes = (*OWN_AXES, *OWN_AXES[:6], 3, 3, 2, 2)
    tensors = [to_lanes(one, own) for one, own in zip((*gradients, *inputs), own_axes, strict=True)]
    _walk_back(*tensors)
    return gradients


def _walk_back(
    dq_TKL: Tensor,
    dk_TRKL: Tensor,
    dv_TRVL: Tensor,
    dbeta_TRL: Tensor,
    dwrite_TRL: Tensor,
    ddecay_TDL: Tensor,
    dinitial_KVL: Tensor,
    q_TKL: Tensor,
    k_TRKL: Tensor,
    v_TRVL: Tensor,
    beta_TRL: Tensor,
    write_TRL: Tensor,
    decay_TDL: Tensor,
    reads_TRVL: Tensor,
    states_TKVL: Tensor,
    do_TVL: Tensor,
    dfinal_KVL: Tensor,
) -> None:
    """Fill the gradients of all lanes."""
    updates_TRVL = write_TRL.unsqueeze(2) * v_TRVL - beta_TRL.unsqueeze(2) * reads_TRVL
    dupdates_TRVL = torch.empty_like(updates_TRVL)
    dstate = dfinal_KVL.clone()
    product, dread = torch.empty_like(dstate), torch.empty_like(dstate[0])
    has_decay = decay_TDL.shape[1] > 0
    for t in reversed(range(len(q_TKL))):
        torch.mul(states_TKVL[t + 1], do_TVL[t], out=product)
        torch.sum(product, 1, out=dq_TKL[t])
        dstate.addcmul_(q_TKL[t].unsqueeze(1), do_TVL[t])
        factors = [states_TKVL[t] * decay_TDL[t].unsqueeze(1) if has_decay else states_TKVL[t]]
        for r in range(k_TRKL.shape[1] - 1):
            key_K1L = k_TRKL[t, r].unsqueeze(1)
            factors.append(torch.addcmul(factors[-1], key_K1L, updates_TRVL[t, r]))
        for r, before in reversed(list(enumerate(factors))):
            key_K1L = k_TRKL[t, r].unsqueeze(1)
            torch.sum(torch.mul(dstate, key_K1L, out=product), 0, out=dupdates_TRVL[t, r])
            torch.mul(dupdates_TRVL[t, r], beta_TRL[t, r], out=dread).neg_()
            torch.mul(dstate, updates_TRVL[t, r], out=product).addcmul_(before, dread)
            torch.sum(product, 1, out=dk_TRKL[t, r])
            dstate.addcmul_(key_K1L, dread)
        if has_decay:
            torch.mul(dstate, states_TKVL[t], out=product)
            ddecay_TDL[t] = product.sum(1).sum_to_size(ddecay_TDL[t].shape)
            dstate.mul_(decay_TDL[t].unsqueeze(1))
    dinitial_KVL.copy_(dstate)
    torch.mul(dupdates_TRVL, write_TRL.unsqueeze(2), out=dv_TRVL)
    torch.sum(dupdates_TRVL * v_TRVL, 2, out=dwrite_TRL)
    torch.sum(dupdates_TRVL * reads_TRVL, 2, out=dbeta_TRL).neg_()


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.saved = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(
    ctx: Any, grad_o: Tensor | None, grad_final: Tensor | None, *_gradients: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, reads, states = ctx.saved_tensors
    q, _k, v, _beta, _write, _decay, initial = inputs
    if grad_o is None:
        grad_o = initial.new_zeros(()).expand(*q.shape[:-1], v.shape[-1])
    if grad_final is None:
        grad_final = initial.new_zeros(()).expand(initial.shape)
    if not ctx.saved:
        _o, _final, reads, states = _scan(*inputs, True)
    gradients = _scan_backward(*inputs, reads, states, grad_o, grad_final)
    return (*gradients, None)


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
    state_shape = initial.shape[-2:]
    return (
        room(leading, (length, value_size), initial),
        room(leading, state_shape, initial),
        room(leading, (length if save else 0, num_factors, value_size), initial),
        room(leading, (length + 1 if save else 0, *state_shape), initial),
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
    inputs = (q, k, v, beta, write, decay, initial)
    leading = q.shape[:-2]
    found = (
        room(leading, one.shape[one.dim() - own :], initial)
        for one, own in zip(inputs, OWN_AXES, strict=True)
    )
    return tuple(found)  # type: ignore[return-value]


_scan = register_operator(
    "householder_scan_lanes(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor write, "
    "Tensor decay, Tensor initial, bool save) -> (Tensor, Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=OWN_AXES,
)
_scan_backward = register_operator(
    "householder_scan_lanes_backward(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor write, "
    "Tensor decay, Tensor initial, Tensor reads, Tensor states, Tensor grad_o, "
    "Tensor grad_final) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(*OWN_AXES, 3, 3, 2, 2),
)
register_gradient(_scan, _scan_backward, _differentiate, _save)
