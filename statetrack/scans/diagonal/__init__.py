"""Elementwise linear recurrence with input-dependent transitions."""

import torch
from torch import Tensor

from statetrack.scans.diagonal.parallel import diagonal_scan_parallel
from statetrack.scans.diagonal.reference import diagonal_scan_reference
from statetrack.scans.inputs import (
    broadcast_leading,
    choose_backend,
    compute_dtype,
    require,
    shape_of,
)

BACKENDS = {"reference": diagonal_scan_reference, "parallel": diagonal_scan_parallel}


def diagonal_scan(
    a: Tensor,
    x: Tensor,
    initial: Tensor | None = None,
    *,
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
    backend : {"auto", "reference", "parallel"}
        "auto" takes the fastest that runs here.
    precision : {"ieee"}
        Rounding of products.

    Returns
    -------
    states : Tensor, [..., T, D]
        In the type of `x` (complex when `a` is).
    final_state : Tensor, [..., D]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        Shapes, devices, backend or precision that do not fit.

    Notes
    -----
    Cost: O(T D) operations; "parallel" needs 2 log2(T) vectorised passes and keeps the transitions
    and the states for its backward pass.

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
    run = choose_backend("diagonal_scan", BACKENDS, backend, precision)
    leading = broadcast_leading("diagonal_scan", a=(a, 2), x=(x, 2))
    require(
        a.shape[-2:] == x.shape[-2:],
        f"diagonal_scan: a {shape_of(a)} and x {shape_of(x)} must end in the same [T, D]",
    )
    dtype = compute_dtype(a, x)
    if initial is None:
        initial = torch.zeros(x.shape[-1], dtype=dtype, device=x.device)
    require(
        initial.dim() >= 1 and initial.shape[-1] == x.shape[-1],
        f"diagonal_scan: initial {shape_of(initial)} must end in [D] = [{x.shape[-1]}]",
    )
    leading = broadcast_leading("diagonal_scan", a=(a, 2), x=(x, 2), initial=(initial, 1))
    dtype = compute_dtype(a, x, initial)
    states, final_state = run(
        a.to(dtype).expand(*leading, *a.shape[-2:]),
        x.to(dtype).expand(*leading, *x.shape[-2:]),
        initial.to(dtype).expand(*leading, initial.shape[-1]),
    )
    return states.to(torch.promote_types(x.dtype, a.dtype)), final_state
