"""Mean cross-entropy over the supervised positions of every run."""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import (
    require_one_device,
    require_real,
    statistics_dtype,
    takes_kernels,
)
from statetrack.layers.rows import Tiles, kernel_type, map_leading
from statetrack.scans.kernels import num_items
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

MOST_CLASSES = 16384


def cross_entropy(
    logits: Tensor, targets: Tensor, mask: Tensor, *, backend: str = "auto"
) -> Tensor:
    """Mean of ``log(sum exp logits) - logits[target]`` over the supervised positions of a run.

    Parameters
    ----------
    logits : Tensor, [..., B, T, C]
        Real floating point. Leading axes are runs, each with a mean of its own.
    targets : Tensor of int64, [..., B, T]
    mask : Tensor of bool, [..., B, T]
        True where supervised.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernels on a GPU for up to 16,384 classes, and torch elsewhere.

    Returns
    -------
    Tensor, [...]
        float32 (float64 for float64). Zero, with zero gradients, for a run without a supervised
        position, so that it leaves the others of a pack alone. NaN where a supervised target is no
        class: a GPU cannot raise.

    Raises
    ------
    InputError
        Shapes, types, devices or backend that do not fit.

    Notes
    -----
    Positions that are not supervised have no influence, whatever their logits and targets, finite
    or not. Cost of the kernels: the logits of supervised positions are read once forward; the
    backward pass reads them again and writes one gradient in their type. One number a position is
    kept beside them.

    Examples
    --------
    >>> import torch
    >>> from statetrack.layers import cross_entropy
    >>> logits = torch.zeros(1, 3, 4)
    >>> targets, mask = torch.zeros(1, 3, dtype=torch.int64), torch.tensor([[True, True, False]])
    >>> round(float(cross_entropy(logits, targets, mask)), 4)  # log 4
    1.3863
    """
    require_real("cross_entropy", logits=logits)
    require_one_device("cross_entropy", logits=logits, targets=targets, mask=mask)
    if targets.dtype != torch.int64 or mask.dtype != torch.bool:
        raise InputError(
            f"cross_entropy: targets are {targets.dtype} and mask is {mask.dtype}, expected int64 "
            "and bool"
        )
    if logits.dim() < 3 or not logits.shape[:-1] == targets.shape == mask.shape:
        raise InputError(
            f"cross_entropy: logits {tuple(logits.shape)}, targets {tuple(targets.shape)} and mask "
            f"{tuple(mask.shape)}, expected [..., B, T, C] and twice [..., B, T]"
        )
    classes = logits.shape[-1]
    if classes < 1:
        raise InputError("cross_entropy: logits of no class, expected at least one")
    if takes_kernels("cross_entropy", backend, logits.device, classes <= MOST_CLASSES):
        loss: Tensor = cross_entropy_triton(logits, targets, mask)[0]
        return loss
    return cross_entropy_reference(logits, targets, mask)


def cross_entropy_reference(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Same contract as `cross_entropy`, in plain torch."""
    wide = logits.to(statistics_dtype(logits.dtype))
    wide = torch.where(mask.unsqueeze(-1), wide, 0.0)
    last = logits.shape[-1] - 1
    picked = wide.gather(-1, targets.clamp(0, last).unsqueeze(-1)).squeeze(-1)
    picked = torch.where((targets >= 0) & (targets <= last), picked, torch.nan)
    losses = torch.where(mask, wide.logsumexp(-1) - picked, 0.0)
    return losses.sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1)


def _run(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from statetrack.layers.kernels.cross_entropy import finish, forward

    loss, log_sum, weight = _allocate(logits, targets, mask)
    if log_sum.numel() == 0:
        return loss.zero_(), log_sum, weight.fill_(1.0)
    runs, rows, tiles = _plan(logits)
    parts, tiles_a_part = tiles.parts(logits.device)
    partial = torch.empty((runs, parts), dtype=loss.dtype, device=logits.device)
    supervised = torch.empty((runs, parts), dtype=torch.int32, device=logits.device)
    with Launches(logits) as launch:
        launch(
            forward, (runs * parts,), logits.contiguous(), targets.contiguous(), _bytes(mask),
            log_sum, partial, supervised, rows, parts, tiles_a_part, **_options(logits, tiles),
        )  # fmt: skip
        launch(
            finish, (runs,), partial, supervised, loss, weight, parts,
            BLOCK=1 << (parts - 1).bit_length(), STATE=kernel_type(logits.dtype), num_warps=4,
        )  # fmt: skip
    return loss, log_sum, weight


def _run_backward(
    logits: Tensor, targets: Tensor, mask: Tensor, log_sum: Tensor, weight: Tensor, grad: Tensor
) -> Tensor:
    from statetrack.layers.kernels.cross_entropy import backward

    grad_logits = _allocate_gradient(logits)
    if logits.numel() == 0:
        return grad_logits
    runs, rows, tiles = _plan(logits)
    inputs = (logits, targets, _bytes(mask), log_sum, weight, grad)
    with Launches(logits) as launch:
        launch(
            backward, (runs * tiles.count,), *(one.contiguous() for one in inputs), grad_logits,
            rows, tiles.count, **_options(logits, tiles),
        )  # fmt: skip
    return grad_logits


def _plan(logits: Tensor) -> tuple[int, int, Tiles]:
    """Runs, positions of a run, and their tiles."""
    *leading, batch, length, classes = logits.shape
    runs, rows = num_items(leading), batch * length
    return runs, rows, Tiles(runs, rows, classes)


def _bytes(mask: Tensor) -> Tensor:
    return mask.contiguous().view(torch.uint8)


def _allocate(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dtype, device = statistics_dtype(logits.dtype), logits.device
    loss, weight = (torch.empty(logits.shape[:-3], dtype=dtype, device=device) for _ in range(2))
    return loss, torch.empty(targets.shape, dtype=dtype, device=device), weight


def _allocate_gradient(logits: Tensor, *_others: Tensor) -> Tensor:
    return torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)


def _options(logits: Tensor, tiles: Tiles) -> dict[str, Any]:
    return {
        "SIZE": logits.shape[-1],
        "COLUMNS": tiles.columns,
        "ROWS": tiles.rows,
        "STATE": kernel_type(logits.dtype),
        "num_warps": tiles.warps,
    }


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *output[1:])


def _differentiate(
    ctx: Any, grad: Tensor | None, *_others: Tensor | None
) -> tuple[Tensor | None, None, None]:
    if grad is None:
        return None, None, None
    return cross_entropy_backward_triton(*ctx.saved_tensors, grad), None, None


cross_entropy_triton = register_operator(
    "cross_entropy(Tensor logits, Tensor targets, Tensor mask) -> (Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    vmap_rule=map_leading("cross_entropy"),
)
cross_entropy_backward_triton = register_operator(
    "cross_entropy_backward(Tensor logits, Tensor targets, Tensor mask, Tensor log_sum, "
    "Tensor weight, Tensor grad) -> Tensor",
    _run_backward,
    _allocate_gradient,
    vmap_rule=map_leading("cross_entropy_backward"),
)
register_gradient(
    cross_entropy_triton, cross_entropy_backward_triton, _differentiate, _save, instead="reference"
)
