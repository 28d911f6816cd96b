"""Dense matrix recurrence: cumulative products of input-dependent matrices."""

from collections.abc import Callable
from functools import partial
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
from statetrack.scans.kernels import fold_leading, num_items
from statetrack.scans.matrix.lanes import matrix_scan_lanes
from statetrack.scans.matrix.lanes import suits as suits_lanes
from statetrack.scans.matrix.lanes_rescaled import rescaled_lanes
from statetrack.scans.matrix.launch import LARGEST_SIZE
from statetrack.scans.matrix.operator import matrix_scan_readout_triton, matrix_scan_triton
from statetrack.scans.matrix.operator_rescaled import matrix_scan_rescaled_triton
from statetrack.scans.matrix.parallel import matrix_scan_parallel
from statetrack.scans.matrix.reference import matrix_scan_reference
from statetrack.scans.matrix.rescaled import ScaledStates as ScaledStates
from statetrack.scans.matrix.rescaled import normalise, rescaled_parallel, rescaled_reference
from statetrack.scans.matrix.structured import BACKENDS as PERMUTED_BACKENDS
from statetrack.scans.matrix.structured import BlockDiagonal as BlockDiagonal
from statetrack.scans.matrix.structured import PermutationDiagonal as PermutationDiagonal

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": matrix_scan_reference,
    "lanes": matrix_scan_lanes,
    "parallel": matrix_scan_parallel,
    "triton": matrix_scan_triton,
}
RESCALED_BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": rescaled_reference,
    "lanes": rescaled_lanes,
    "parallel": rescaled_parallel,
    "triton": matrix_scan_rescaled_triton,
}


@in_full_precision
def matrix_scan(
    a: Tensor | BlockDiagonal | PermutationDiagonal,
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
    a : Tensor, [..., T, N, N], or BlockDiagonal, or PermutationDiagonal
        Transitions; singular ones allowed. The structured ones stand for their `dense()` matrices
        and are cheaper.
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
    backend : {"auto", "reference", "lanes", "parallel", "triton"}
        "auto" takes the kernel on a GPU for N, M <= 64, "lanes" on a CPU for real numbers with 96
        sequences and more and M N up to 128, and "parallel" elsewhere. Lanes take no inputs with
        `rescale`; with permutation-times-diagonal transitions there are neither lanes nor kernel.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of the kernel's products from N = 9 on (smaller ones are always "ieee"): float32,
        three tf32 products in place of one (about as exact), or plain tf32, which loses a long
        orthogonal chain.

    Returns
    -------
    outputs : Tensor, [..., T, M, N] or [..., T, M, C]; or ScaledStates
        In the type of `a`.
    final_state : Tensor, [..., M, N]; or ScaledStates
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, types, devices, backend or precision that do not fit.

    Notes
    -----
    Cost: "reference" T products of N x N matrices, "parallel" about twice that in 2 log2(T) batched
    calls. "triton" reads the inputs and writes the states once, with the state in registers, where
    sequences are many, and reads `a` twice where they are so few that time is cut into chunks; its
    backward pass reads three tensors and writes the gradient. With a readout the states are
    computed again in the backward pass and exist only then; with `rescale` time is never cut.
    No backward pass uses an inverse. Source: mru-lm (Levi 2024) for the recurrence.

    Examples
    --------
    Two swaps of three things make a rotation:

    >>> import torch
    >>> swaps = torch.eye(3)[torch.tensor([[1, 0, 2], [0, 2, 1]])]
    >>> states, final_state = matrix_scan(swaps)
    >>> final_state.argmax(-1).tolist()
    [2, 0, 1]
    """
    start = initial.values if isinstance(initial, ScaledStates) else initial
    require_numbers("matrix_scan", b=b, initial=start, readout=readout)
    if isinstance(a, BlockDiagonal):
        _refuse_rescale("BlockDiagonal", rescale)
        return _scan_blocks(a.blocks, b, initial, readout, backend, precision)
    if isinstance(a, PermutationDiagonal):
        _refuse_rescale("PermutationDiagonal", rescale)
        return _scan_permuted(a, b, initial, readout, backend, precision)
    require_numbers("matrix_scan", a=a)
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
    _check_shapes(a.shape[-3], a.shape[-1], values, b)
    leading = _leading(a, 3, b, values)
    state = compute_dtype(a, values) if b is None else compute_dtype(a, values, b)
    backends = RESCALED_BACKENDS if rescale else BACKENDS
    rows = values.shape[-2]
    lanes = not (state.is_complex or (rescale and b is not None)) and suits_lanes(
        a.device, num_items(leading), rows * a.shape[-1]
    )
    name = _choose_backend(backends, backend, precision, a, rows, state, lanes)
    start = values.to(state).expand(*leading, *values.shape[-2:])
    a = a.expand(*leading, *a.shape[-3:])
    b = None if b is None else b.expand(*leading, *b.shape[-3:])
    if rescale:
        scale = log2_scale.to(state).expand(leading)
        if name == "triton":
            run: Callable[..., Any] = partial(_run_rescaled_kernel, precision=precision)
        else:
            run, a, b = backends[name], a.to(state), None if b is None else b.to(state)
        scaled, final_scaled = run(a, b, ScaledStates(start, scale))
        if readout is None:
            return scaled, final_scaled
        return normalise(_read(scaled.values, readout), scaled.log2_scale), final_scaled
    if name == "triton":
        return _run_kernel(a, b, start, readout, precision)
    states, final_state = backends[name](a.to(state), None if b is None else b.to(state), start)
    outputs = states if readout is None else _read(states, readout)
    return outputs.to(a.dtype), final_state


def _scan_blocks(
    blocks: Tensor,
    b: Tensor | None,
    initial: Tensor | ScaledStates | None,
    readout: Tensor | None,
    backend: str,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """A dense scan with the block as the last leading axis."""
    count, order = blocks.shape[-3], blocks.shape[-1]
    start = _plain_start(initial, blocks, count * order)
    _check_shapes(blocks.shape[-4], count * order, start, b)
    states, final_state = matrix_scan(
        blocks.movedim(-3, -4),
        None if b is None else b.unflatten(-1, (count, order)).movedim(-2, -4),
        start.unflatten(-1, (count, order)).movedim(-2, -3),
        backend=backend,
        precision=precision,
    )
    states = states.movedim(-4, -2).flatten(-2)
    final_state = final_state.movedim(-3, -2).flatten(-2)
    outputs = states if readout is None else _read(states, readout)
    return outputs.to(blocks.dtype), final_state


def _scan_permuted(
    a: PermutationDiagonal,
    b: Tensor | None,
    initial: Tensor | ScaledStates | None,
    readout: Tensor | None,
    backend: str,
    precision: str,
) -> tuple[Tensor, Tensor]:
    scale = a.scale
    start = _plain_start(initial, scale, scale.shape[-1])
    _check_shapes(scale.shape[-2], scale.shape[-1], start, b)
    name = choose_backend(
        "matrix_scan of a PermutationDiagonal", PERMUTED_BACKENDS, backend, precision, scale.device
    )
    leading = _leading(scale, 2, b, start, permutation=(a.permutation, 2))
    state = compute_dtype(scale, start) if b is None else compute_dtype(scale, start, b)
    states, final_state = PERMUTED_BACKENDS[name](
        a.permutation.long().expand(*leading, *a.permutation.shape[-2:]),
        scale.to(state).expand(*leading, *scale.shape[-2:]),
        None if b is None else b.to(state).expand(*leading, *b.shape[-3:]),
        start.to(state).expand(*leading, *start.shape[-2:]),
    )
    outputs = states if readout is None else _read(states, readout)
    return outputs.to(scale.dtype), final_state


def _run_kernel(
    a: Tensor, b: Tensor | None, start: Tensor, readout: Tensor | None, precision: str
) -> tuple[Tensor, Tensor]:
    leading = a.shape[:-3]
    if b is None:
        b = a.detach()[..., :0, :]  # or its gradient would be one more sum over `a`
    folded = [fold_leading(one, own) for one, own in ((a, 3), (b, 3), (start, 2))]
    fused = readout is not None and _fits_kernel(readout, a)
    if fused and readout is not None:
        weight = readout.expand(*leading, *readout.shape[-2:])
        outputs, final = matrix_scan_readout_triton(*folded, fold_leading(weight, 2), precision)
    else:
        outputs, final = matrix_scan_triton(*folded, precision)
    if len(leading) != outputs.dim() - 3:
        outputs = outputs.reshape(*leading, *outputs.shape[-3:])
        final = final.reshape(*leading, *final.shape[-2:])
    if readout is not None and not fused:
        outputs = _read(outputs, readout)
    return outputs.to(a.dtype), final


def _run_rescaled_kernel(
    a: Tensor, b: Tensor | None, initial: ScaledStates, precision: str
) -> tuple[ScaledStates, ScaledStates]:
    leading = a.shape[:-3]
    start = normalise(*initial)
    if b is None:
        b = a.detach()[..., :0, :]
    values, scale = matrix_scan_rescaled_triton(
        fold_leading(a, 3),
        fold_leading(b, 3),
        fold_leading(start.values, 2),
        fold_leading(start.log2_scale, 0),
        precision,
    )
    if len(leading) != values.dim() - 3:
        values = values.reshape(*leading, *values.shape[-3:])
        scale = scale.reshape(*leading, scale.shape[-1])
    states = ScaledStates(values, scale)
    if a.shape[-3] == 0:
        return states, initial
    return states, ScaledStates(values[..., -1, :, :], scale[..., -1])


def _fits_kernel(readout: Tensor, a: Tensor) -> bool:
    """Whether the product with the readout can happen inside the scan."""
    _check_readout(readout, a.shape[-1])
    leading = a.shape[:-3]
    given = readout.shape[:-2]
    small = 1 <= readout.shape[-1] <= LARGEST_SIZE
    return small and torch.broadcast_shapes(given, leading) == leading


def _choose_backend(
    backends: dict[str, Callable[..., Any]],
    backend: str,
    precision: str,
    a: Tensor,
    rows: int,
    state: torch.dtype,
    lanes: bool,
) -> str:
    """`choose_backend`; "auto" passes over the kernel, or lanes, where they do not reach."""
    size = a.shape[-1]
    limit = ""
    if not (1 <= size <= LARGEST_SIZE and 1 <= rows <= LARGEST_SIZE):
        limit = f"N = {size} and M = {rows}; the kernel takes 1 to {LARGEST_SIZE}"
    elif state.is_complex:
        limit = f"type {state}; the kernel takes real types"
    if limit and backend == "auto":
        backends = {name: run for name, run in backends.items() if name != "triton"}
    name = choose_backend("matrix_scan", backends, backend, precision, a.device, lanes)
    require(
        name != "lanes" or not state.is_complex,
        "matrix_scan: backend 'lanes' takes real inputs only; use backend='parallel'",
    )
    require(not limit or name != "triton", f"matrix_scan: {limit}; use backend='parallel'")
    return name


def _leading(
    a: Tensor, own_axes: int, b: Tensor | None, initial: Tensor, **more: tuple[Tensor, int]
) -> tuple[int, ...]:
    tensors = {"a": (a, own_axes), "initial": (initial, 2), **more}
    if b is not None:
        tensors["b"] = (b, 3)
    return broadcast_leading("matrix_scan", **tensors)


def _refuse_rescale(kind: str, rescale: bool) -> None:
    require(
        not rescale,
        f"matrix_scan: rescale=True is for dense transitions, a is a {kind}; pass a.dense()",
    )


def _plain_start(initial: Tensor | ScaledStates | None, like: Tensor, size: int) -> Tensor:
    require(
        not isinstance(initial, ScaledStates),
        "matrix_scan: initial is a ScaledStates; pass rescale=True with it",
    )
    if isinstance(initial, Tensor):
        return initial
    return torch.eye(size, dtype=compute_dtype(like), device=like.device)


def _identity_like(a: Tensor) -> Tensor:
    return torch.eye(a.shape[-1], dtype=compute_dtype(a), device=a.device)


def _check_shapes(length: int, size: int, initial: Tensor, b: Tensor | None) -> None:
    if initial.dim() < 2 or initial.shape[-1] != size:
        raise InputError(
            f"matrix_scan: initial has shape {shape_of(initial)}, expected [..., M, {size}]"
        )
    expected = (length, initial.shape[-2], size)
    if b is not None and tuple(b.shape[-3:]) != expected:
        raise InputError(
            f"matrix_scan: b has shape {shape_of(b)}, expected "
            f"[..., T, M, N] = [..., {', '.join(map(str, expected))}]"
        )


def _check_readout(readout: Tensor, size: int) -> None:
    require(
        readout.dim() >= 2 and readout.shape[-2] == size,
        f"matrix_scan: readout has shape {shape_of(readout)}, expected [..., N, C] with N = {size}",
    )


def _read(states: Tensor, readout: Tensor) -> Tensor:
    _check_readout(readout, states.shape[-1])
    return states @ readout.to(states.dtype).unsqueeze(-3)
