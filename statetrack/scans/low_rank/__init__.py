"""A matrix state whose transitions are diagonal minus low rank: RWKV-7, DPLR."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.householder.sequential import MAX_SIZE
from statetrack.scans.inputs import (
    broadcast_leading,
    choose_backend,
    compute_dtype,
    in_full_precision,
    require,
    require_numbers,
    shape_of,
)
from statetrack.scans.kernels import fold_leading
from statetrack.scans.low_rank.launch import MAX_RANK
from statetrack.scans.low_rank.operator import low_rank_scan_triton
from statetrack.scans.low_rank.parallel import low_rank_scan_parallel
from statetrack.scans.low_rank.reference import low_rank_scan_reference
from statetrack.scans.operators import needs_gradient

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": low_rank_scan_reference,
    "parallel": low_rank_scan_parallel,
    "triton": low_rank_scan_triton,
}


@in_full_precision
def low_rank_scan(
    q: Tensor,
    left: Tensor,
    right: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """Compute ``S_t = (diag(a_t) - left_t right_t^T) S_{t-1} + k_t v_t^T`` and ``o_t = S_t^T q_t``.

    Parameters
    ----------
    q, k : Tensor, [..., T, K]
        Queries and keys. Leading axes broadcast.
    left, right : Tensor, [..., T, K] or [..., T, P, K]
        What is taken away: one product with as many axes as `q`, a sum of P with one axis more.
    v : Tensor, [..., T, V]
        Values.
    decay : Tensor, [..., T] or [..., T, K], optional
        The factors a_t themselves, any sign, zero allowed. With as many axes as `q` they are per
        channel, with one axis less per head. 1 by default.
    initial : Tensor, [..., K, V], optional
        State before the first token; zeros by default.
    backend : {"auto", "reference", "parallel", "triton"}
        "auto" takes the kernel on a GPU, for K and V up to 128 and P up to 4, and "parallel"
        elsewhere.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of products, which the kernel computes in float32 whatever is allowed.

    Returns
    -------
    o : Tensor, [..., T, V]
        In the type of `v`.
    final_state : Tensor, [..., K, V]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, types, devices, backend or precision that do not fit; K or V above 128 or P above 4
        for the kernel.

    Notes
    -----
    Cost: (2 P + 2) K V multiply-adds per token for "reference" and the kernel, in T steps;
    "parallel" multiplies dense K x K matrices, in about 2 log2(T) calls and K (K + V) numbers a
    token. For a backward pass the kernel keeps P V numbers a token and, with decays, every 16th
    state. Source: Peng et al. 2025 (RWKV-7, arXiv 2503.14456).

    Examples
    --------
    A swap of two rows is the reflection along their difference, here done twice:

    >>> import torch
    >>> direction = torch.tensor([[1.0, -1.0]]).expand(2, 2)
    >>> q = torch.tensor([[1.0, 0.0]]).expand(2, 2)
    >>> nothing = torch.zeros(2, 2)
    >>> o, _ = low_rank_scan(q, direction, direction, nothing, nothing,
    ...                      initial=torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> o.tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    name = "low_rank_scan"
    given = {"q": q, "left": left, "right": right, "k": k, "v": v}
    require_numbers(name, real=True, **given, decay=decay, initial=initial)
    for key, tensor in given.items():
        require(
            tensor.dim() >= 2,
            f"{name}: {key} has shape {shape_of(tensor)}, expected at least 2 axes",
        )
    length, keys = q.shape[-2:]
    left, right = (_with_rank_axis(name, q, one) for one in (left, right))
    require(
        q.shape[-2:] == k.shape[-2:]
        and v.shape[-2] == length
        and left.shape[-3:] == right.shape[-3:]
        and (left.shape[-3], left.shape[-1]) == (length, keys),
        f"{name}: q {shape_of(q)}, left {shape_of(left)}, right {shape_of(right)}, k {shape_of(k)} "
        f"and v {shape_of(v)} must end in [T, K], [T, P, K], [T, P, K], [T, K] and [T, V]",
    )
    tensors = {"q": (q, 2), "left": (left, 3), "right": (right, 3), "k": (k, 2), "v": (v, 2)}
    if decay is not None:
        tensors["decay"] = (_with_channel_axis(name, q, decay), 2)
    if initial is None:
        dtype = compute_dtype(*(tensor for tensor, _ in tensors.values()))
        initial = q.new_zeros((keys, v.shape[-1]), dtype=dtype)
    require(
        tuple(initial.shape[-2:]) == (keys, v.shape[-1]),
        f"{name}: initial has shape {shape_of(initial)}, expected [..., K, V] = "
        f"[..., {keys}, {v.shape[-1]}]",
    )
    tensors["initial"] = (initial, 2)
    leading = broadcast_leading(name, **tensors)
    chosen = _choose(name, backend, precision, q, v, right)
    if decay is None and chosen == "triton":
        tensors["decay"] = (q.detach()[..., :0], 2)
    dtype = compute_dtype(*(tensor for tensor, _ in tensors.values()))

    def prepare(key: str) -> Tensor:
        tensor, count = tensors[key]
        return tensor.expand(*leading, *tensor.shape[tensor.dim() - count :])

    names = ("q", "left", "right", "k", "v", "decay", "initial")
    if chosen == "triton":
        return _run_kernel([prepare(key) for key in names], dtype)
    o, final_state = BACKENDS[chosen](
        *(prepare(key).to(dtype) if key in tensors else None for key in names)
    )
    return o.to(v.dtype), final_state


def _with_rank_axis(name: str, q: Tensor, tensor: Tensor) -> Tensor:
    """Left or right as [..., T, P, K], told apart by the number of axes."""
    if tensor.dim() == q.dim():
        return tensor.unsqueeze(-2)
    if tensor.dim() == q.dim() + 1:
        return tensor
    raise InputError(
        f"{name}: left or right has shape {shape_of(tensor)}, expected [..., T, K] with {q.dim()} "
        f"axes or [..., T, P, K] with {q.dim() + 1}, as q has {q.dim()}"
    )


def _with_channel_axis(name: str, q: Tensor, decay: Tensor) -> Tensor:
    """Decay as [..., T, 1] or [..., T, K], told apart by the number of axes."""
    if decay.dim() == q.dim() - 1 and decay.shape[-1] == q.shape[-2]:
        return decay.unsqueeze(-1)
    if decay.dim() == q.dim() and decay.shape[-2:] == q.shape[-2:]:
        return decay
    raise InputError(
        f"{name}: decay has shape {shape_of(decay)}, expected [..., T, K] with {q.dim()} axes (per "
        f"channel) or [..., T] with {q.dim() - 1} axes (per head), as q has {q.dim()}"
    )


def _choose(name: str, backend: str, precision: str, q: Tensor, v: Tensor, right: Tensor) -> str:
    """The backend to use; "auto" takes the kernel for what it can do."""
    keys, values, rank = q.shape[-1], v.shape[-1], right.shape[-2]
    fits = 1 <= keys <= MAX_SIZE and 1 <= values <= MAX_SIZE and 1 <= rank <= MAX_RANK
    backends = BACKENDS
    if backend == "auto" and not fits:
        backends = {key: run for key, run in BACKENDS.items() if key != "triton"}
    chosen = choose_backend(name, backends, backend, precision, q.device)
    require(
        chosen != "triton" or fits,
        f"{name}: K = {keys}, V = {values} and P = {rank}, the kernel takes K and V from 1 to "
        f"{MAX_SIZE} and P from 1 to {MAX_RANK}; use backend='parallel'",
    )
    return chosen


def _run_kernel(inputs: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    *tensors, initial = inputs
    tensors = [*tensors, initial.to(dtype)]
    leading = initial.shape[:-2]
    save = needs_gradient(tensors)
    own_axes = (2, 3, 3, 2, 2, 2, 2)
    o, final_state, *_ = low_rank_scan_triton(
        *(fold_leading(tensor, own) for tensor, own in zip(tensors, own_axes, strict=True)), save
    )
    if len(leading) != o.dim() - 2:
        o = o.reshape(*leading, *o.shape[-2:])
        final_state = final_state.reshape(*leading, *final_state.shape[-2:])
    return o, final_state
