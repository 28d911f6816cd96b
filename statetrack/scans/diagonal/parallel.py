"""The diagonal recurrence by odd-even reduction: 2 log2(T) vectorised passes, O(T) work.

The backward pass is the same scan run from the end (Martin and Cundy 2018, arXiv 1709.04057):
with ``z_t = g_t + conj(a_{t+1}) z_{t+1}``, the gradients are ``dx_t = z_t`` and
``da_t = z_t conj(h_{t-1})``; only the transitions and the states are kept.
"""

from typing import Any

import torch
from torch import Tensor


def _scan(a: Tensor, x: Tensor) -> Tensor:
    """States [..., T, D] of ``h_t = a_t h_{t-1} + x_t`` with ``h_0 = 0``, T >= 1."""
    length = x.shape[-2]
    if length == 1:
        return x
    even_a, even_x = a[..., 0::2, :], x[..., 0::2, :]
    odd_a, odd_x = a[..., 1::2, :], x[..., 1::2, :]
    pairs = length // 2
    odd = _scan(odd_a * even_a[..., :pairs, :], odd_a * even_x[..., :pairs, :] + odd_x)
    rest = even_a[..., 1:, :] * odd[..., : even_a.shape[-2] - 1, :] + even_x[..., 1:, :]
    even = torch.cat([even_x[..., :1, :], rest], dim=-2)
    states = torch.stack([even[..., :pairs, :], odd], dim=-2).flatten(-3, -2)
    return states if length % 2 == 0 else torch.cat([states, even[..., -1:, :]], dim=-2)


class _DiagonalScan(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, x: Tensor, initial: Tensor) -> Tensor:
        first = a[..., :1, :] * initial.unsqueeze(-2) + x[..., :1, :]
        return _scan(a, torch.cat([first, x[..., 1:, :]], dim=-2))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, _, initial = inputs
        ctx.save_for_backward(a, initial, output)

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, initial, states = ctx.saved_tensors
        conjugate = a.conj()
        after = torch.cat(
            [torch.zeros_like(conjugate[..., :1, :]), conjugate[..., 1:, :].flip(-2)], dim=-2
        )
        adjoint = _scan(after, grad_states.flip(-2)).flip(-2)
        previous = torch.cat([initial.unsqueeze(-2), states[..., :-1, :]], dim=-2)
        return adjoint * previous.conj(), adjoint, conjugate[..., 0, :] * adjoint[..., 0, :]


def diagonal_scan_parallel(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `diagonal_scan_reference`; O(T) work, depth 2 log2(T)."""
    if x.shape[-2] == 0:
        return x, initial
    states = _DiagonalScan.apply(a, x, initial)
    return states, states[..., -1, :]
