"""The outer-product recurrence in chunks: a few large products and one step per chunk.

Tokens of one chunk see each other through a masked matrix of weights, and what came before through
the state at the start of the chunk. Decays are only multiplied: the pairs (i, j) of a chunk are
sorted by the level at which a binary tree separates them, and with the middle m between them the
product of the decays j+1 .. i is (that of j+1 .. m-1) times (that of m .. i), one factor a property
of the key and one of the query. That costs log2(chunk) masked products and is exact for zeros and
signs, where the usual quotients of cumulative products are not defined.
"""

import torch
from torch import Tensor

CHUNK = 64


def outer_product_scan_parallel(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `outer_product_scan_reference`; T / 64 steps.

    A value of `v` that is not finite makes later outputs of its column not finite; gradients of a
    chunk that holds such a value are not finite as a whole.
    """
    length = q.shape[-2]
    if length == 0:
        return v, initial
    chunk = min(CHUNK, 1 << (length - 1).bit_length())
    if decay is not None and decay.dim() < q.dim():
        decay = decay.unsqueeze(-1)
    q, k, v = (_cut(tensor, chunk, 0.0) for tensor in (q, k, v))
    time = torch.arange(chunk, device=q.device)
    causal = time[:, None] >= time[None, :]
    if decay is None:
        weights = torch.where(causal, q @ k.mT, 0.0)
        total = None
    else:
        weights, q, k, total = _decayed(q, k, _cut(decay, chunk, 1.0), time)
    finite = v.isfinite()
    outputs = weights @ torch.where(finite, v, 0.0)
    spoiled = (~finite).cumsum(-2) > 0
    outputs = torch.where(spoiled, torch.nan, outputs)
    added = k.mT @ v
    state = initial
    read = []
    for number in range(q.shape[-3]):
        read.append(q[..., number, :, :] @ state)
        if total is not None:
            state = total[..., number, :, None] * state
        state = state + added[..., number, :, :]
    outputs = (outputs + torch.stack(read, dim=-3)).flatten(-3, -2)
    return outputs[..., :length, :], state


def _cut(tensor: Tensor, chunk: int, fill: float) -> Tensor:
    """Chunks [..., N, C, D] of a tensor [..., T, D], the last one filled up."""
    missing = -tensor.shape[-2] % chunk
    if missing:
        shape = (*tensor.shape[:-2], missing, tensor.shape[-1])
        tensor = torch.cat([tensor, tensor.new_full(shape, fill)], dim=-2)
    return tensor.unflatten(-2, (-1, chunk))


def _swap(tensor: Tensor, half: int) -> Tensor:
    """Exchange neighbouring blocks of `half` tokens."""
    return tensor.unflatten(-2, (-1, 2, half)).flip(-3).flatten(-4, -2)


def _decayed(
    q: Tensor, k: Tensor, decay: Tensor, time: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of a chunk, queries and keys scaled to its ends, product of its decays."""
    per_channel = decay.shape[-1] > 1
    i, j = time[:, None], time[None, :]
    if per_channel:
        weights = torch.where(i == j, (q * k).sum(-1, keepdim=True), 0.0)
    else:
        weights = torch.where(i == j, 1.0, torch.zeros_like(decay))
    prefix, block, suffix = decay, decay, torch.ones_like(decay)
    half = 1
    while half < time.shape[0]:
        part = (q * prefix) @ (k * suffix).mT if per_channel else prefix @ suffix.mT
        pairs = (i // half == j // half + 1) & (j // half % 2 == 0)
        weights = torch.where(pairs, part, weights)
        sibling = _swap(block, half)
        second = time[:, None] // half % 2 == 1
        prefix, suffix = (
            torch.where(second, prefix * sibling, prefix),
            torch.where(second, suffix, suffix * sibling),
        )
        block = block * sibling
        half *= 2
    if not per_channel:
        weights = torch.where(i >= j, weights * (q @ k.mT), 0.0)
    return weights, q * prefix, k * suffix, block[..., 0, :]
