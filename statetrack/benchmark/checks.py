"""Agreement with the float64 reference: errors, bounds, bits."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from statetrack.benchmark.cases import Case
from statetrack.benchmark.scan_rows import SCANS, Inputs

LONGEST_LOOP = 512
PEER_BOUND = 0.05

Run = Callable[..., Tensor]


@dataclass(frozen=True)
class Bound:
    """Largest relative errors that pass."""

    outputs: float
    gradients: float


def bound_of(case: Case) -> Bound:
    """Largest relative root-mean-square errors that one of our kernels may have.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Bound
        Float32: max(1e-6, 1e-7 sqrt(T)), gradients four times that. bfloat16: what the rounding of
        results costs. tf32x3: max(4e-6, 1e-7 T), since tensor cores cut sums off where float32
        arithmetic rounds them: every step of a chain shrinks by some 4e-8, and that adds up.
    """
    if case.dtype == "bfloat16":
        return Bound(4e-3, 1e-2)
    length = case["T"]
    root = math.sqrt(length)
    outputs = {
        "ieee": max(1e-6, 1e-7 * root),
        "tf32x3": max(4e-6, 1e-7 * length),
        "tf32": max(2e-3, 5e-4 * root),
    }[case.precision]
    return Bound(outputs, 4 * outputs)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of `expected`; infinite where not finite.

    Examples
    --------
    >>> relative_error(torch.tensor([3.0, 4.5]), torch.tensor([3.0, 4.0]))
    0.1
    """
    if actual.shape != expected.shape:
        return math.inf
    wide = torch.complex128 if expected.is_complex() else torch.float64
    difference = torch.linalg.vector_norm(actual.detach().to(wide) - expected.to(wide))
    scale = torch.linalg.vector_norm(expected.to(wide))
    error = float(difference / scale) if scale > 0 else float(difference)
    return error if math.isfinite(error) else math.inf


def truth(case: Case, inputs: Inputs, cotangent: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and gradients in double precision.

    The loop up to `LONGEST_LOOP` tokens, beyond it the parallel form in double precision, which
    the tests hold to the loop.

    Parameters
    ----------
    case : Case
    inputs : dict of str to Tensor
        As drawn; values are taken as they are after rounding.
    cotangent : Tensor
        Gradient with respect to the outputs.

    Returns
    -------
    outputs : Tensor
    gradients : dict of str to Tensor
    """
    wide = torch.complex128 if case.dtype == "complex64" else torch.float64
    leaves = {name: one.detach().to(wide).requires_grad_() for name, one in inputs.items()}
    backend = "reference" if case["T"] <= LONGEST_LOOP else "parallel"
    outputs, _ = SCANS[case.scan].scan(case)(**leaves, backend=backend)
    gradients = torch.autograd.grad(
        outputs, list(leaves.values()), cotangent.to(wide), allow_unused=True
    )
    return outputs.detach(), {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
    }


def some_sequences(batch: int) -> list[int]:
    """Three sequences to look at: the first, the middle, the last.

    Examples
    --------
    >>> some_sequences(64)
    [0, 32, 63]
    """
    return sorted({0, batch // 2, batch - 1})


def rows_of(inputs: Mapping[str, Tensor], rows: list[int]) -> Inputs:
    """Those sequences of every tensor; the batch comes first."""
    return {name: tensor[rows] for name, tensor in inputs.items()}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal bit for bit, also where they are not numbers."""
    return torch.equal(_bits(first), _bits(second))


def _bits(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.contiguous().view(kind)
