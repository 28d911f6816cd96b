"""A sigmoid stretched to an interval, whose ends are numbers of every run of a pack."""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import require_real, statistics_dtype, takes_kernels
from statetrack.layers.rows import kernel_type, lead
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

BLOCK = 2048


def scaled_sigmoid(x: Tensor, coefficients: Tensor, *, backend: str = "auto") -> Tensor:
    """Map numbers to ``low + span sigmoid(steepness x)``.

    Parameters
    ----------
    x : Tensor, [...]
        Real floating point.
    coefficients : Tensor, [3]
        ``(steepness, low, span)``; constants, without a gradient. In a pack, inside
        `torch.func.vmap`, every run has its own.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU and torch elsewhere.

    Returns
    -------
    Tensor, [...]
        In the type of `x`, computed in float32 (float64 for float64).

    Raises
    ------
    InputError
        Shapes, types or backend that do not fit.

    Notes
    -----
    Cost of the kernels: one reading and one writing; the backward pass reads `x` and the gradient
    and writes one gradient.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import scaled_sigmoid
    >>> scaled_sigmoid(torch.tensor([-20.0, 0.0, 20.0]), torch.tensor([4.0, -1.0, 2.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    require_real("scaled_sigmoid", x=x, coefficients=coefficients)
    if coefficients.shape != (3,):
        raise InputError(
            f"scaled_sigmoid: coefficients {tuple(coefficients.shape)}, expected [3]: steepness, "
            "low, span"
        )
    if takes_kernels("scaled_sigmoid", backend, x.device):
        y: Tensor = scaled_sigmoid_triton(x.unsqueeze(0), coefficients.unsqueeze(0)).squeeze(0)
        return y
    return scaled_sigmoid_reference(x, coefficients)


def scaled_sigmoid_reference(x: Tensor, coefficients: Tensor) -> Tensor:
    """Same contract as `scaled_sigmoid`, in plain torch."""
    steepness, low, span = coefficients.detach().to(statistics_dtype(x.dtype)).unbind()
    y = low + span * torch.sigmoid(steepness * x.to(statistics_dtype(x.dtype)))
    return y.to(x.dtype)


def _run(x: Tensor, coefficients: Tensor) -> Tensor:
    from statetrack.layers.kernels.scaled_sigmoid import forward

    y = _allocate(x, coefficients)
    _launch(forward, coefficients, x, x.contiguous(), y)
    return y


def _run_backward(x: Tensor, grad: Tensor, coefficients: Tensor) -> Tensor:
    from statetrack.layers.kernels.scaled_sigmoid import backward

    grad_x = _allocate_gradient(x, grad, coefficients)
    _launch(backward, coefficients, x, x.contiguous(), grad.contiguous(), grad_x)
    return grad_x


def _launch(kernel: Any, coefficients: Tensor, x: Tensor, *tensors: Tensor) -> None:
    """`x` is [groups, ...] and `coefficients` [groups, 3]."""
    if x.numel() == 0:
        return
    size = x.numel() // len(x)
    tiles = -(-size // BLOCK)
    with Launches(x) as launch:
        launch(
            kernel, (len(x) * tiles,), coefficients.contiguous(), *tensors, size, tiles,
            BLOCK=BLOCK, STATE=kernel_type(x.dtype), num_warps=4,
        )  # fmt: skip


def _allocate(x: Tensor, coefficients: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _allocate_gradient(x: Tensor, grad: Tensor, coefficients: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    x, coefficients = ctx.saved_tensors
    return scaled_sigmoid_backward_triton(x, grad, coefficients), None


def _map(name: str) -> Any:
    """The mapped axis joins the groups where coefficients are mapped, else the numbers of each."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        operator = getattr(torch.ops.statetrack, name).default
        *rows, coefficients = (
            lead(one, dim, info.batch_size) for one, dim in zip(tensors, in_dims, strict=True)
        )
        groups = coefficients.shape[1]
        if in_dims[-1] is None:
            rows = [one.movedim(0, 1) for one in rows]
            return operator(*rows, tensors[-1]), 1
        merged = [one.flatten(0, 1) for one in rows]
        found = operator(*merged, coefficients.flatten(0, 1))
        return found.unflatten(0, (info.batch_size, groups)), 0

    return rule


scaled_sigmoid_triton = register_operator(
    "scaled_sigmoid(Tensor x, Tensor coefficients) -> Tensor",
    _run,
    _allocate,
    vmap_rule=_map("scaled_sigmoid"),
)
scaled_sigmoid_backward_triton = register_operator(
    "scaled_sigmoid_backward(Tensor x, Tensor grad, Tensor coefficients) -> Tensor",
    _run_backward,
    _allocate_gradient,
    vmap_rule=_map("scaled_sigmoid_backward"),
)
register_gradient(
    scaled_sigmoid_triton,
    scaled_sigmoid_backward_triton,
    _differentiate,
    _save,
    instead="reference",
)
