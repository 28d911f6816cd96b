"""What an optimiser of a pack is, gradient norms of its runs, and SGD with momentum.

The parameters of P runs lie in one flat buffer [P, n], and so do their gradients and everything
that an optimiser remembers. Letters: P runs, n numbers of one run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import takes_kernels
from statetrack.layers.rows import kernel_type, parts_of_tiles
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_operator

BLOCK = 2048


@dataclass(frozen=True)
class Rates:
    """How far each run and each of its numbers moves in one update.

    Everything is a tensor on the device of the parameters, so that a captured CUDA graph reads what
    lies there when it is replayed.

    Attributes
    ----------
    learning_rate : Tensor of float64, [P]
    clip_factor : Tensor, [P]
        What gradients are multiplied with first; see `clip_factors`.
    step : Tensor of int64, [P]
        Number of this update, 1 for the first. A run with 0 is left as it is, with all that is
        remembered of it, whatever its gradient: finished and failed runs of a pack.
    share : Tensor, [n]
        Share of the learning rate that a number takes.
    decays : Tensor of bool, [n]
        Whether weight decay applies to a number.
    """

    learning_rate: Tensor
    clip_factor: Tensor
    step: Tensor
    share: Tensor
    decays: Tensor


class Optimizer(Protocol):
    """What trains a pack; write one by these two methods."""

    def slots(self) -> tuple[str, ...]:
        """Names of the buffers [P, n] that it remembers, zeros before the first update."""
        ...

    def update(
        self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Rates
    ) -> None:
        """Change `parameters` and the buffers of `state` in place; nothing is synchronised.

        Parameters
        ----------
        parameters, gradient : Tensor, [P, n]
        state : mapping of str to Tensor
            A buffer [P, n] for every name of `slots`.
        rates : Rates
        """
        ...


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`.

    ``m <- momentum m + (g + weight_decay p)``, ``p <- p - learning_rate m``. Torch operations only.

    Parameters
    ----------
    momentum, weight_decay : Tensor, [P]
        Of every run. Weight decay is added to the gradient.

    Examples
    --------
    >>> import torch
    >>> from statetrack.training.optimizers import SGD, Rates
    >>> parameters, gradient = torch.ones(1, 2), torch.tensor([[1.0, 2.0]])
    >>> sgd = SGD(momentum=torch.tensor([0.9]), weight_decay=torch.tensor([0.0]))
    >>> rates = Rates(
    ...     learning_rate=torch.tensor([0.5], dtype=torch.float64),
    ...     clip_factor=torch.ones(1),
    ...     step=torch.tensor([1]),
    ...     share=torch.ones(2),
    ...     decays=torch.tensor([True, True]),
    ... )
    >>> sgd.update(parameters, gradient, {"momentum": torch.zeros(1, 2)}, rates)
    >>> parameters.tolist()
    [[0.5, 0.0]]
    """

    momentum: Tensor
    weight_decay: Tensor

    def slots(self) -> tuple[str, ...]:
        """One buffer, "momentum"."""
        return ("momentum",)

    @torch.no_grad()
    def update(
        self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Rates
    ) -> None:
        """One update in place, as `Optimizer.update`."""
        dtype = parameters.dtype
        decay = self.weight_decay.to(dtype).unsqueeze(-1) * rates.decays
        gradient = gradient * rates.clip_factor.to(dtype).unsqueeze(-1) + decay * parameters
        before = state["momentum"]
        momentum = self.momentum.to(dtype).unsqueeze(-1) * before + gradient
        moved = rates.learning_rate.to(dtype).unsqueeze(-1) * rates.share * momentum
        active = (rates.step > 0).unsqueeze(-1)
        before.copy_(torch.where(active, momentum, before))
        parameters.copy_(torch.where(active, parameters - moved, parameters))


def clip_factors(gradient: Tensor, clip_norm: Tensor, *, backend: str = "auto") -> Tensor:
    """What to multiply the gradient of every run with so that its norm is at most `clip_norm`.

    Parameters
    ----------
    gradient : Tensor, [P, n]
        float32 or float64.
    clip_norm : Tensor, [P]
        Infinity for no limit.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU and torch elsewhere.

    Returns
    -------
    Tensor, [P]
        ``min(1, clip_norm / (norm + 1e-6))`` in the type of `gradient`, as
        `torch.nn.utils.clip_grad_norm_` run by run; NaN where a gradient is.

    Raises
    ------
    InputError
        Shapes, types or backend that do not fit.

    Notes
    -----
    Cost: the gradient is read once. Sums are in a fixed order: the same bits every time.

    Examples
    --------
    >>> import torch
    >>> from statetrack.training.optimizers import clip_factors
    >>> gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    >>> clip_factors(gradient, torch.ones(2)).round(decimals=4).tolist()
    [0.2, 1.0]
    """
    require_buffers("clip_factors", gradient=gradient)
    require_of_runs("clip_factors", gradient, clip_norm=clip_norm)
    if takes_kernels("clip_factors", backend, gradient.device):
        factors: Tensor = clip_factors_triton(gradient, clip_norm)
        return factors
    return clip_factors_reference(gradient, clip_norm)


def clip_factors_reference(gradient: Tensor, clip_norm: Tensor) -> Tensor:
    """Same contract as `clip_factors`, in plain torch."""
    norm = torch.linalg.vector_norm(gradient, dim=-1)
    return (clip_norm.to(norm.dtype) / (norm + 1e-6)).clamp(max=1.0)


def require_buffers(name: str, **buffers: Tensor) -> None:
    """Raise `InputError` unless all are contiguous [P, n] of one shape, float32 or float64."""
    first = next(iter(buffers.values()))
    for kind, one in buffers.items():
        if one.dim() != 2 or one.shape != first.shape or not one.is_contiguous():
            raise InputError(
                f"{name}: {kind} has shape {tuple(one.shape)}, expected one contiguous buffer "
                f"[P, n]{'' if one is first else f' = {list(first.shape)}'}"
            )
        if one.dtype not in (torch.float32, torch.float64) or one.dtype != first.dtype:
            raise InputError(f"{name}: {kind} is {one.dtype}, expected float32 or float64 in all")


def require_of_runs(name: str, buffer: Tensor, **vectors: Tensor) -> None:
    """Raise `InputError` unless all vectors are [P], on the device of a buffer [P, n]."""
    for kind, one in vectors.items():
        if one.shape != buffer.shape[:1] or one.device != buffer.device:
            raise InputError(
                f"{name}: {kind} has shape {tuple(one.shape)} on {one.device}, expected "
                f"[{buffer.shape[0]}] on {buffer.device}"
            )


def _run(gradient: Tensor, clip_norm: Tensor) -> Tensor:
    from statetrack.training.kernels import clip_finish, sum_squares

    gradient = gradient.contiguous()
    factors = _allocate(gradient, clip_norm)
    if gradient.numel() == 0:
        return factors.copy_(clip_factors_reference(gradient, clip_norm))
    runs, size = gradient.shape
    tiles = -(-size // BLOCK)
    parts, tiles_a_part = parts_of_tiles(tiles, runs, gradient.device)
    partial = torch.empty((runs, parts), dtype=gradient.dtype, device=gradient.device)
    state = kernel_type(gradient.dtype)
    with Launches(gradient) as launch:
        launch(
            sum_squares, (runs * parts,), gradient, partial, size, parts, tiles_a_part,
            BLOCK=BLOCK, STATE=state, num_warps=4,
        )  # fmt: skip
        launch(
            clip_finish, (runs,), partial, clip_norm.contiguous(), factors, parts,
            BLOCK=1 << (parts - 1).bit_length(), STATE=state, num_warps=4,
        )  # fmt: skip
    return factors


def _allocate(gradient: Tensor, clip_norm: Tensor) -> Tensor:
    return torch.empty(gradient.shape[:1], dtype=gradient.dtype, device=gradient.device)


def refuse_vmap(*_given: object) -> None:
    """Rule of `torch.func.vmap` for an operator of whole packs."""
    raise InputError("an update of a pack goes over all its runs: call it outside of vmap")


clip_factors_triton = register_operator(
    "clip_factors(Tensor gradient, Tensor clip_norm) -> Tensor",
    _run,
    _allocate,
    vmap_rule=refuse_vmap,
)
