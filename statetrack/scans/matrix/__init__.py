"""Dense matrix recurrence: cumulative products of input-dependent matrices."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.inputs import (
    broadcast_leading,
    choose_backend,
    compute_dtype,
    require,
    shape_of,
)
from statetrack.scans.matrix.parallel import matrix_scan_parallel
from statetrack.scans.matrix.reference import matrix_scan_reference
from statetrack.scans.matrix.rescaled import ScaledStates as ScaledStates
from statetrack.scans.matrix.rescaled import normalise, rescaled_parallel, rescaled_reference

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": matrix_scan_reference,
    "parallel": matrix_scan_parallel,
}
RESCALED_BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": rescaled_reference,
    "parallel": rescaled_parallel,
}


def matrix_scan(
    a: Tensor,
    b: Tensor | None = None,
    initial: Tensor | ScaledStates | None = None,
    readout: Tensor | None = None,
    rescale: bool = False,
    *,
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Any, Any]:
    """Compute ``H_t = H_{t-1} A_t + B_t``: the recurrence of Matrix Recurrent Units.

    Words act left to right: with one matrix per letter, ``H_t`` is the product of the letters'
    matrices in the order they were read.

    Parameters
    ----------
    a : Tensor, [..., T, N, N]
        Transitions; singular ones allowed.
    b : Tensor, [..., T, M, N], optional
        Inputs.
    initial : Tensor, [..., M, N], optional
        State before the first token; the identity by default (M = N). M = 1 is a vector state. With
        ``rescale=True`` also a `ScaledStates`.
    readout : Tensor, [..., N, C], optional
        Constant in time: outputs are ``H_t W``. Leading axes broadcast with those of the states
        without the time axis.
    rescale : bool
        Carry the scale of every state apart as a power of two, so that long products neither
        overflow nor vanish. Outputs and final state are then `ScaledStates`.
    backend : {"auto", "reference", "parallel"}
    precision : {"ieee"}

    Returns
    -------
    outputs : Tensor, [..., T, M, N] or [..., T, M, C]; or ScaledStates
    final_state : Tensor, [..., M, N]; or ScaledStates
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, devices, backend or precision that do not fit.

    Notes
    -----
    Cost: "reference" T products of N x N matrices, "parallel" about twice that in 2 log2(T) batched
    calls. The backward pass uses no inverse. Source: mru-lm (Levi 2024) for the recurrence.

    Examples
    --------
    Two swaps of three things make a rotation:

    >>> import torch
    >>> swaps = torch.eye(3)[torch.tensor([[1, 0, 2], [0, 2, 1]])]
    >>> states, final_state = matrix_scan(swaps)
    >>> final_state.argmax(-1).tolist()
    [2, 0, 1]
    """
    require(
        a.dim() >= 3 and a.shape[-1] == a.shape[-2],
        f"matrix_scan: a has shape {shape_of(a)}, expected [..., T, N, N]",
    )
    if isinstance(initial, ScaledStates):
        require(rescale, "matrix_scan: initial is a ScaledStates; pass rescale=True with it")
        values, log2_scale = initial
    else:
        values = _identity_like(a) if initial is None else initial
        log2_scale = torch.zeros(values.shape[:-2], dtype=values.dtype, device=values.device)
    if b is None:
        _check_shapes(a, values)
        tensors = {"a": (a, 3), "initial": (values, 2)}
    else:
        _check_shapes(a, values, b)
        tensors = {"a": (a, 3), "b": (b, 3), "initial": (values, 2)}
    leading = broadcast_leading("matrix_scan", **tensors)
    dtype = compute_dtype(*(tensor for tensor, _ in tensors.values()))
    a_state = a.to(dtype).expand(*leading, *a.shape[-3:])
    b_state = None if b is None else b.to(dtype).expand(*leading, *b.shape[-3:])
    start = values.to(dtype).expand(*leading, *values.shape[-2:])
    if rescale:
        run = RESCALED_BACKENDS[
            choose_backend("matrix_scan", RESCALED_BACKENDS, backend, precision, a.device)
        ]
        scale = log2_scale.to(dtype).expand(leading)
        scaled, final_scaled = run(a_state, b_state, ScaledStates(start, scale))
        if readout is None:
            return scaled, final_scaled
        return normalise(_read(scaled.values, readout), scaled.log2_scale), final_scaled
    run = BACKENDS[choose_backend("matrix_scan", BACKENDS, backend, precision, a.device)]
    states, final_state = run(a_state, b_state, start)
    outputs = states if readout is None else _read(states, readout)
    return outputs.to(a.dtype), final_state


def _identity_like(a: Tensor) -> Tensor:
    return torch.eye(a.shape[-1], dtype=compute_dtype(a), device=a.device)


def _check_shapes(a: Tensor, initial: Tensor, b: Tensor | None = None) -> None:
    size = a.shape[-1]
    require(
        initial.dim() >= 2 and initial.shape[-1] == size,
        f"matrix_scan: initial has shape {shape_of(initial)}, expected [..., M, {size}]",
    )
    expected = (a.shape[-3], initial.shape[-2], size)
    require(
        b is None or tuple(b.shape[-3:]) == expected,
        f"matrix_scan: b has shape {shape_of(b) if b is not None else ()}, expected "
        f"[..., T, M, N] = [..., {', '.join(map(str, expected))}]",
    )


def _read(states: Tensor, readout: Tensor) -> Tensor:
    require(
        readout.dim() >= 2 and readout.shape[-2] == states.shape[-1],
        f"matrix_scan: readout has shape {shape_of(readout)}, expected "
        f"[..., N, C] with N = {states.shape[-1]}",
    )
    return states @ readout.to(states.dtype).unsqueeze(-3)
