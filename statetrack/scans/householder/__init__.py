"""Products of generalised Householder matrices: DeltaNet, DeltaProduct and their gated forms."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.householder.chunked import suits as suits_chunks
from statetrack.scans.householder.lanes import householder_scan_lanes
from statetrack.scans.householder.lanes import suits as suits_lanes
from statetrack.scans.householder.operator import householder_scan_triton
from statetrack.scans.householder.operator_chunked import householder_scan_chunked_triton
from statetrack.scans.householder.parallel import householder_scan_parallel
from statetrack.scans.householder.reference import householder_scan_reference
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
from statetrack.scans.kernels import fold_leading, num_items
from statetrack.scans.operators import needs_gradient

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": householder_scan_reference,
    "lanes": householder_scan_lanes,
    "parallel": householder_scan_parallel,
    "triton": householder_scan_triton,
}


@in_full_precision
def householder_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor | None = None,
    decay: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """Run a state through R generalised Householder factors per token.

    Per token: ``S <- diag(decay) S`` once, then for r = 0 .. R-1:
    ``S <- S + k_r (w_r v_r - beta_r k_r^T S)^T`` with w = `write` or `beta`; output ``o = S^T q``.
    A factor acts on the columns of S as ``I - beta k k^T``: the identity at beta = 0, a projection
    at 1, a reflection at 2 when the key has unit length.

    Parameters
    ----------
    q : Tensor, [..., T, K]
        Queries.
    k : Tensor, [..., T, R, K]
        Keys, used as given: the caller normalises.
    v : Tensor, [..., T, R, V]
        Values.
    beta : Tensor, [..., T, R]
        Strength of erasing, any sign.
    write : Tensor, [..., T, R], optional
        Strength of writing; `beta` by default.
    decay : Tensor, [..., T] or [..., T, K], optional
        Linear decay, any sign, zero allowed; per channel when it has as many axes as `q` and ends
        in K.
    initial : Tensor, [..., K, V], optional
        State before the first token; zeros by default.
    backend : {"auto", "reference", "lanes", "parallel", "triton"}
        "auto" takes the kernel on a GPU, for real inputs with K and V up to 128, "lanes" on a CPU
        for real inputs with 96 sequences and more and K V up to 256, and "parallel" elsewhere.
    precision : {"ieee", "tf32x3", "tf32"}
        How products of float32 inputs may be rounded on a GPU. All three compute them exactly:
        nothing rounded was faster.

    Returns
    -------
    outputs : Tensor, [..., T, V]
        In the type of `v`.
    final_state : Tensor, [..., K, V]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, types, devices, backend or precision that do not fit; complex inputs, or K or V
        above 128, for the kernel.

    Notes
    -----
    Cost: O(T R K V) operations for "reference", in T R steps; "parallel" works in chunks of 32
    factors. "triton" has two strategies. Float32 and float64 go token after token: T R short
    steps that read inputs once, with the state in registers, so that it takes many sequences to
    fill a GPU; a backward pass keeps what every factor read (V numbers) and, with decays, every
    16th state. Bfloat16 goes in chunks of 32 factors on tensor cores, where what is computed from
    the inputs is split in two such numbers; a backward pass keeps what every factor wrote and the
    state before every chunk. Less than a chunk and decays per channel go token after token.
    Sources: Yang et al. 2024
    (arXiv 2406.06484) for the delta rule, Siems et al. 2025 (arXiv 2502.10297) for products of
    factors.

    Examples
    --------
    A reflection done twice is the identity:

    >>> import torch
    >>> k = torch.tensor([1.0, 0.0]).expand(2, 1, 2)
    >>> outputs, final_state = householder_scan(
    ...     q=torch.ones(2, 2), k=k, v=torch.zeros(2, 1, 2), beta=torch.full((2, 1), 2.0),
    ...     initial=torch.eye(2))
    >>> outputs.tolist()
    [[-1.0, 1.0], [1.0, 1.0]]
    """
    require_numbers("householder_scan", q=q, k=k, v=v, beta=beta)
    require_numbers("householder_scan", write=write, decay=decay, initial=initial)
    named = {"q": (q, 2), "k": (k, 3), "v": (v, 3), "beta": (beta, 2)}
    broadcast_leading("householder_scan", **named)
    length, num_factors, key_size = k.shape[-3:]
    value_size = v.shape[-1]
    _require_shape("q", q, (length, key_size))
    _require_shape("v", v, (length, num_factors, value_size))
    _require_shape("beta", beta, (length, num_factors))
    write = beta if write is None else write
    _require_shape("write", write, (length, num_factors))
    named["write"] = (write, 2)
    if initial is None:
        dtype = compute_dtype(q, k, v, beta, write)
        initial = torch.zeros(key_size, value_size, dtype=dtype, device=q.device)
    _require_shape("initial", initial, (key_size, value_size))
    named["initial"] = (initial, 2)
    if decay is not None:
        per_channel = decay.dim() >= 2 and tuple(decay.shape[-2:]) == (length, key_size)
        per_channel = per_channel and decay.dim() >= q.dim()
        decay = decay if per_channel else decay.unsqueeze(-1)
        _require_shape("decay", decay, (length, key_size if per_channel else 1))
        named["decay"] = (decay, 2)

    leading = broadcast_leading("householder_scan", **named)
    tensors = [tensor for tensor, _ in named.values()]
    chosen = _choose(
        "householder_scan", backend, precision, tensors, key_size, value_size, num_items(leading)
    )
    if 0 in (num_factors, key_size) or (length == 0 and chosen != "triton"):
        chosen = "reference"
    dtype = compute_dtype(*tensors)

    def prepare(name: str) -> Tensor:
        tensor, count = named[name]
        return tensor.expand(*leading, *tensor.shape[tensor.dim() - count :])

    if decay is None and chosen == "triton":
        named["decay"] = (q.detach()[..., :0], 2)
    names = ("q", "k", "v", "beta", "write", "decay", "initial")
    if chosen == "triton":
        return _run_kernel([prepare(name) for name in names], dtype)
    outputs, final_state = BACKENDS[chosen](
        *(prepare(name).to(dtype) if name in named else None for name in names)
    )
    return outputs.to(v.dtype), final_state


def _choose(
    name: str,
    backend: str,
    precision: str,
    tensors: list[Tensor],
    key_size: int,
    value_size: int,
    sequences: int,
) -> str:
    """The backend to use; "auto" takes the kernel, or lanes, for what they can do."""
    is_complex = any(tensor.is_complex() for tensor in tensors)
    fits = 1 <= key_size <= MAX_SIZE and 1 <= value_size <= MAX_SIZE
    backends = BACKENDS
    if backend == "auto" and (is_complex or not fits):
        backends = {key: run for key, run in BACKENDS.items() if key != "triton"}
    device = tensors[0].device
    lanes = not is_complex and suits_lanes(device, sequences, key_size * value_size)
    chosen = choose_backend(name, backends, backend, precision, device, lanes)
    if chosen in ("lanes", "triton"):
        require(
            not is_complex,
            f"{name}: backend {chosen!r} takes real inputs only; use backend='parallel'",
        )
    if chosen == "triton":
        require(
            fits,
            f"{name}: K = {key_size} and V = {value_size}, the kernel takes 1 to {MAX_SIZE}; "
            "use backend='parallel'",
        )
    return chosen


def _run_kernel(inputs: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    *tensors, initial = inputs
    tensors = [*tensors, initial.to(dtype)]
    leading = initial.shape[:-2]
    save = needs_gradient(tensors)
    own_axes = (2, 3, 3, 2, 2, 2, 2)
    folded = [fold_leading(tensor, own) for tensor, own in zip(tensors, own_axes, strict=True)]
    if suits_chunks(folded):
        o, final_state, *_ = householder_scan_chunked_triton(*folded, save)
    else:
        o, final_state, *_ = householder_scan_triton(*folded, save)
    if len(leading) != o.dim() - 2:
        o = o.reshape(*leading, *o.shape[-2:])
        final_state = final_state.reshape(*leading, *final_state.shape[-2:])
    return o, final_state


def _require_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    # The text is made when it is needed: `torch.compile` cannot trace `str` of a dynamic length.
    if not (tensor.dim() >= len(expected) and tensor.shape[-len(expected) :] == expected):
        raise InputError(
            f"householder_scan: {name} has shape {shape_of(tensor)}, expected "
            f"[..., {', '.join(map(str, expected))}]"
        )
