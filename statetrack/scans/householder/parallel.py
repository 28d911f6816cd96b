"""The Householder recurrence in chunks (the WY or UT form of Yang et al. 2024, arXiv 2406.06484).

Inside a chunk of C factors, number them i = 1..C, let ``d_i`` be the decay applied right before
factor i and ``G_ij = prod_{j < l <= i} d_l``. Every factor adds ``k_i u_i^T`` to the state, where

    u_i = w_i v_i - beta_i S_0^T (G_i0 * k_i) - beta_i sum_{j < i} (k_i^T diag(G_ij) k_j) u_j,

one unit-triangular system per chunk. All chunks are solved at once; only the chunk states are
carried one after the other. Products of decays are taken directly, never as ratios or logarithms,
so that zeros and negative decays are exact. A value that is not finite reaches every output of its
chunk.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

FACTORS_PER_CHUNK = 32


def householder_scan_parallel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor | None,
    initial: Tensor,
) -> tuple[Tensor, Tensor]:
    """Same contract as `householder_scan_reference`, with T and R at least 1.

    The products of keys and the system they make are solved in float64 also for float32 inputs:
    rounded to float32 there, a chain of reflections loses up to five times what the loop loses;
    with float64 it loses no more than the loop.
    """
    num_tokens, num_factors = k.shape[-3], k.shape[-2]
    num_chunks = -(-num_tokens // max(1, FACTORS_PER_CHUNK // num_factors))
    size = -(-num_tokens // num_chunks)
    missing = num_chunks * size - num_tokens

    def cut(tensor: Tensor, axis: int, fill: float = 0.0) -> Tensor:
        padding = [0, 0] * (-axis - 1) + [0, missing]
        return pad(tensor, padding, value=fill).unflatten(axis, (num_chunks, size))

    # Factors of one chunk in one axis: [..., chunks, C, .] with C = size * R.
    q_c = cut(q, -2)
    k_c, v_c = (cut(tensor, -3).flatten(-3, -2) for tensor in (k, v))
    beta_c, write_c = (cut(tensor, -2).flatten(-2).unsqueeze(-1) for tensor in (beta, write))
    since_token, since_start = _decays(None if decay is None else cut(decay, -2, 1.0))

    k_exact = k_c.to(_solving_dtype(k_c))
    overlap = _pair_products(k_exact, k_exact, since_token, num_factors, num_factors)
    reading = _pair_products(q_c, k_c, since_token, 1, num_factors)
    k_start, q_start = k_c, q_c
    if since_start is not None:
        k_start = k_c * since_start.repeat_interleave(num_factors, dim=-2)
        q_start = q_c * since_start

    system = torch.tril(beta_c * overlap, diagonal=-1)
    right = torch.cat([write_c * v_c, beta_c * k_start], dim=-1).to(system.dtype)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    from_input, from_state = solved.to(k_c.dtype).split([v.shape[-1], k.shape[-1]], dim=-1)

    token_of_factor = torch.arange(size * num_factors, device=k.device) // num_factors
    token = torch.arange(size, device=k.device)
    visible = token_of_factor <= token.unsqueeze(-1)
    reading = torch.where(visible, reading, 0.0)
    k_end = k_c
    if since_token is not None:
        k_end = k_c * since_token[..., -1, :, :].repeat_interleave(num_factors, dim=-2)

    state = initial
    outputs = []
    for chunk in range(num_chunks):
        updates = from_input[..., chunk, :, :] - from_state[..., chunk, :, :] @ state
        outputs.append(q_start[..., chunk, :, :] @ state + reading[..., chunk, :, :] @ updates)
        if since_start is not None:
            state = since_start[..., chunk, -1, :].unsqueeze(-1) * state
        state = state + k_end[..., chunk, :, :].transpose(-1, -2) @ updates
    return torch.cat(outputs, dim=-2)[..., :num_tokens, :], state


def _solving_dtype(tensor: Tensor) -> torch.dtype:
    """Float64 or complex128 where the device has it."""
    if tensor.device.type == "mps":
        return tensor.dtype
    return torch.promote_types(tensor.dtype, torch.float64)


def _decays(decay: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Products of decays inside chunks, by direct multiplication.

    Parameters
    ----------
    decay : Tensor, [..., chunks, size, D], or None

    Returns
    -------
    since_token : Tensor, [..., chunks, size (i), size (j), D]
        ``prod_{j < l <= i} decay_l`` for j <= i, and 1 above the diagonal.
    since_start : Tensor, [..., chunks, size (i), D]
        ``prod_{l <= i} decay_l``.
    """
    if decay is None:
        return None, None
    size = decay.shape[-2]
    index = torch.arange(size, device=decay.device)
    later = (index.unsqueeze(-1) > index).unsqueeze(-1)
    spread = torch.where(later, decay.unsqueeze(-2), 1.0)
    return torch.cumprod(spread, dim=-3), torch.cumprod(decay, dim=-2)


def _pair_products(
    left: Tensor, right: Tensor, since_token: Tensor | None, left_factors: int, right_factors: int
) -> Tensor:
    """Products ``left_i^T diag(G_ij) right_j`` for all pairs of a chunk.

    Parameters
    ----------
    left : Tensor, [..., size * left_factors, K]
    right : Tensor, [..., size * right_factors, K]
    since_token : Tensor, [..., size, size, D] with D = 1 or K, or None

    Returns
    -------
    Tensor, [..., size * left_factors, size * right_factors]
    """
    if since_token is None:
        return left @ right.transpose(-1, -2)
    decays = since_token.repeat_interleave(left_factors, dim=-3)
    decays = decays.repeat_interleave(right_factors, dim=-2)
    if decays.shape[-1] == 1:
        return left @ right.transpose(-1, -2) * decays.squeeze(-1)
    return torch.einsum("...ik,...ijk,...jk->...ij", left, decays.to(left.dtype), right)
