"""Elementwise linear recurrence with input-dependent transitions."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.diagonal.lanes import diagonal_scan_lanes
from statetrack.scans.diagonal.lanes import suits as suits_lanes
from statetrack.scans.diagonal.operator import diagonal_scan_triton
from statetrack.scans.diagonal.parallel import diagonal_scan_parallel
from statetrack.scans.diagonal.reference import diagonal_scan_reference
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

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": diagonal_scan_reference,
    "lanes": diagonal_scan_lanes,
    "parallel": diagonal_scan_parallel,
    "triton": diagonal_scan_triton,
}


@in_full_precision
def diagonal_scan(
    a: Tensor,
    x: Tensor,
    initial: Tensor | None = None,
    *,
    state_axes: int = 1,
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """Compute ``h_t = a_t h_{t-1} + x_t`` for every channel on its own.

    Parameters
    ----------
    a, x : Tensor, [..., T, D]
        Transitions (any sign, zero allowed, real or complex) and inputs. Leading axes broadcast.
    initial : Tensor, [..., D], optional
        State before the first token; zeros by default.
    state_axes : {1, 2}
        With 2 every D above stands for two axes [D, N], the (channel, state) pairs of Mamba.
    backend : {"auto", "reference", "lanes", "parallel", "triton"}
        "auto" takes the kernel on a GPU, "lanes" on a CPU for 1,024 channels of all sequences and
        more, and "parallel" elsewhere.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of products; elementwise products are exact float32 in all of them.

    Returns
    -------
    states : Tensor, [..., T, D]
        In the wider type of `a` and `x`.
    final_state : Tensor, [..., D]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, types, devices, backend or precision that do not fit.

    Notes
    -----
    Cost: O(T D) operations. "triton" reads the inputs and writes the states once (5/3 of that
    where sequences are so few that time is cut into chunks), and its backward pass reads three
    tensors and writes two; "parallel" needs 2 log2(T) vectorised passes. Both keep the transitions
    and the states for the backward pass.

    Examples
    --------
    Parity by the eigenvalue -1 (Grazzi et al. 2024, arXiv 2411.12537, section 4):

    >>> import torch
    >>> bits = torch.tensor([1, 0, 1, 1])
    >>> a = (1.0 - 2.0 * bits).unsqueeze(-1)
    >>> states, final_state = diagonal_scan(a, torch.zeros(4, 1), initial=torch.ones(1))
    >>> states.squeeze(-1).tolist()
    [-1.0, -1.0, 1.0, -1.0]
    """
    require(
        state_axes in (1, 2),
        f"diagonal_scan: state_axes = {state_axes}, expected 1 for [..., T, D] or 2 for "
        "[..., T, D, N]",
    )
    require_numbers("diagonal_scan", a=a, x=x, initial=initial)
    leading = broadcast_leading("diagonal_scan", a=(a, 1 + state_axes), x=(x, 1 + state_axes))
    axes = "[T, D]" if state_axes == 1 else "[T, D, N]"
    shape = x.shape[-1 - state_axes :]
    require(
        a.shape[-1 - state_axes :] == shape,
        f"diagonal_scan: a {shape_of(a)} and x {shape_of(x)} must end in the same {axes}",
    )
    if initial is None:
        initial = torch.zeros(shape[1:], dtype=compute_dtype(a, x), device=x.device)
    require(
        initial.dim() >= state_axes and initial.shape[initial.dim() - state_axes :] == shape[1:],
        f"diagonal_scan: initial {shape_of(initial)} must end in {axes.replace('T, ', '')} = "
        f"{list(shape[1:])}",
    )
    leading = broadcast_leading(
        "diagonal_scan", a=(a, 1 + state_axes), x=(x, 1 + state_axes), initial=(initial, state_axes)
    )
    lanes = suits_lanes(x.device, num_items((*leading, *shape[1:])))
    name = choose_backend("diagonal_scan", BACKENDS, backend, precision, x.device, lanes)
    a, x, initial = (
        tensor.expand(*leading, *tensor.shape[tensor.dim() - own :])
        for tensor, own in ((a, 1 + state_axes), (x, 1 + state_axes), (initial, state_axes))
    )
    if state_axes == 2:
        a, x, initial = (tensor.flatten(-2) for tensor in (a, x, initial))
    state = compute_dtype(a, x, initial)
    outputs = state if state.is_complex else torch.promote_types(a.dtype, x.dtype)
    if name == "triton":
        exact = state if state.is_complex else None
        states, final_state = diagonal_scan_triton(
            fold_leading(a.to(exact or a.dtype), 2),
            fold_leading(x.to(exact or x.dtype), 2),
            fold_leading(initial.to(state), 1),
        )
        if len(leading) != states.dim() - 2:
            states = states.reshape(*leading, *states.shape[-2:])
            final_state = final_state.reshape(*leading, final_state.shape[-1])
    else:
        states, final_state = BACKENDS[name](a.to(state), x.to(state), initial.to(state))
    if state_axes == 2:
        states, final_state = (one.unflatten(-1, shape[1:]) for one in (states, final_state))
    return states.to(outputs), final_state
