"""Linear attention with a matrix state and signed, zero-allowed decay."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
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
from statetrack.scans.operators import needs_gradient
from statetrack.scans.outer_product.operator import outer_product_scan_triton
from statetrack.scans.outer_product.parallel import outer_product_scan_parallel
from statetrack.scans.outer_product.reference import outer_product_scan_reference
from statetrack.scans.outer_product.tiles import MAX_KEYS

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": outer_product_scan_reference,
    "parallel": outer_product_scan_parallel,
    "triton": outer_product_scan_triton,
}


@in_full_precision
def outer_product_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """Compute ``S_t = diag(a_t) S_{t-1} + k_t v_t^T`` and read ``o_t = S_t^T q_t``.

    Parameters
    ----------
    q, k : Tensor, [..., T, K]
        Queries and keys. Leading axes broadcast.
    v : Tensor, [..., T, V]
        Values.
    decay : Tensor, [..., T] or [..., T, K], optional
        The factors a_t themselves (no logarithms): any sign, zero allowed. With as many axes as `q`
        they are per channel, with one axis less per head; any other number is an error. None is
        linear attention without decay.
    initial : Tensor, [..., K, V], optional
        State before the first token; zeros by default.
    backend : {"auto", "reference", "parallel", "triton"}
        "auto" takes the kernel on a GPU and "parallel" elsewhere.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of products of float32 inputs. Those of bfloat16 and float16 inputs run on tensor
        cores in any case; the state is float32.

    Returns
    -------
    o : Tensor, [..., T, V]
        In the widest type of `q`, `k` and `v`.
    final_state : Tensor, [..., K, V]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, types, devices, backend or precision that do not fit; K > 128 for the kernel.

    Notes
    -----
    Cost: about 2 K V + C (K + V) multiply-adds per token with chunks of C = 64 tokens in the
    kernel; every input is read and the output written once. For a backward pass the states before
    and the adjoints after every chunk are kept, K V / C numbers per token each, in bfloat16 where
    the inputs are. The kernel divides by decays in chunks where all running products lie within
    2^80 and 2^-80 and, for their gradient, no decay is smaller than 1/4 (2^-12 with bfloat16
    inputs). All other chunks, those with zeros among them, and those with numbers that are not
    finite go token by token without division: exact, several times slower, and no output depends
    on a later token. Products of float32 numbers are made of six products of bfloat16 parts, which
    are as exact as float32 products.
    Sources: Katharopoulos et al. 2020 (arXiv 2006.16236), Yang et al. 2023 (arXiv 2312.06635).

    Examples
    --------
    A memory that the third token wipes before it writes:

    >>> import torch
    >>> k = torch.ones(4, 1)
    >>> v = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> o, final_state = outer_product_scan(k, k, v, decay=torch.tensor([1.0, -1.0, 0.0, 1.0]))
    >>> o.squeeze(-1).tolist()
    [1.0, 1.0, 3.0, 7.0]
    """
    name = "outer_product_scan"
    require_numbers(name, real=True, q=q, k=k, v=v, decay=decay, initial=initial)
    tensors = {"q": (q, 2), "k": (k, 2), "v": (v, 2)}
    for key, (tensor, _) in tensors.items():
        require(
            tensor.dim() >= 2,
            f"{name}: {key} has shape {shape_of(tensor)}, expected at least 2 axes",
        )
    require(
        q.shape[-2:] == k.shape[-2:] and q.shape[-2] == v.shape[-2],
        f"{name}: q {shape_of(q)}, k {shape_of(k)} and v {shape_of(v)} must end in [T, K], [T, K] "
        "and [T, V]",
    )
    if decay is not None:
        decay = _with_channel_axis(name, q, decay)
        tensors["decay"] = (decay, 2)
    if initial is None:
        floats = [tensor for tensor, _ in tensors.values()]
        initial = q.new_zeros((q.shape[-1], v.shape[-1]), dtype=compute_dtype(*floats))
    shape = (q.shape[-1], v.shape[-1])
    require(
        tuple(initial.shape[-2:]) == shape,
        f"{name}: initial has shape {shape_of(initial)}, expected [..., K, V] = [..., {shape[0]}, "
        f"{shape[1]}]",
    )
    tensors["initial"] = (initial, 2)
    leading = broadcast_leading(name, **tensors)
    chosen = choose_backend(name, BACKENDS, backend, precision, q.device)
    require(
        chosen != "triton" or 1 <= q.shape[-1] <= MAX_KEYS,
        f"{name}: K = {q.shape[-1]}, the kernel takes 1 to {MAX_KEYS}; use backend='parallel'",
    )
    q, k, v, initial = (
        tensor.expand(*leading, *tensor.shape[-2:]) for tensor in (q, k, v, initial)
    )
    if decay is not None:
        decay = decay.expand(*leading, *decay.shape[-2:])
    state = compute_dtype(*(tensor for tensor, _ in tensors.values()))
    if chosen == "triton":
        return _run_kernel(q, k, v, decay, initial.to(state), precision)
    o, final_state = BACKENDS[chosen](
        q.to(state),
        k.to(state),
        v.to(state),
        None if decay is None else decay.to(state),
        initial.to(state),
    )
    outputs = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    return o.to(outputs), final_state


def _with_channel_axis(name: str, q: Tensor, decay: Tensor) -> Tensor:
    """Decay as [..., T, 1] or [..., T, K], told apart by the number of axes."""
    length, keys = q.shape[-2:]
    if decay.dim() == q.dim() - 1 and decay.shape[-1] == length:
        return decay.unsqueeze(-1)
    if decay.dim() == q.dim() and decay.shape[-2:] == q.shape[-2:]:
        return decay
    # Made here and not before: text that holds a length ties `torch.compile` to that length.
    raise InputError(
        f"{name}: decay has shape {shape_of(decay)}, expected [..., T, K] = [..., {length}, {keys}]"
        f" with {q.dim()} axes (per channel) or [..., T] = [..., {length}] with {q.dim() - 1} axes "
        f"(per head), as q has {q.dim()}"
    )


def _run_kernel(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, initial: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    leading = v.shape[:-2]
    if decay is None:
        decay = q.detach()[..., :0]  # or its gradient would be one more sum over `q`
    inputs = [q, k, v, decay, initial]
    save = needs_gradient(inputs)
    o, final_state, _ = outer_product_scan_triton(
        *(fold_leading(tensor, 2) for tensor in inputs), precision, save
    )
    if len(leading) != o.dim() - 2:
        o = o.reshape(*leading, *o.shape[-2:])
        final_state = final_state.reshape(*leading, *final_state.shape[-2:])
    return o, final_state
