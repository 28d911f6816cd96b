"""What a benchmark times: a call ready to be timed, and who makes it."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from statetrack.benchmark.cases import Case
from statetrack.benchmark.scan_rows import Inputs


def same(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


def same_gradient(name: str, gradient: Tensor, leaf: Tensor) -> Tensor:
    """The gradient itself."""
    return gradient


@dataclass(frozen=True)
class Prepared:
    """One call, ready to be timed.

    Attributes
    ----------
    call : callable
        Takes the leaves in order and returns the outputs.
    leaves : dict of str to Tensor
        Inputs in the layout of the callee, by our names.
    outward : callable
        From outputs of the call to our layout.
    inward : callable
        From a gradient with respect to our outputs to the layout of the callee.
    gradient : callable
        From a gradient of the callee to ours, given the name and the leaf.
    """

    call: Callable[..., Tensor]
    leaves: Inputs
    outward: Callable[[Tensor], Tensor] = same
    inward: Callable[[Tensor], Tensor] = same
    gradient: Callable[[str, Tensor, Tensor], Tensor] = same_gradient


def takes_all(case: Case) -> str | None:
    """No case is left out."""
    return None


@dataclass(frozen=True)
class Contestant:
    """Something that computes a scan.

    Attributes
    ----------
    name : str
        As shown.
    scans : tuple of str
        Which scans it has at all.
    prepare : callable
        From a case and its inputs to a `Prepared`.
    leaves_out : callable
        Why a case is left out, or None.
    needs : str
        Package that must be installed; empty for ours.
    ours : bool
        Held to the bounds of `checks.bound_of`; a peer only has to compute the same function.
    positive : bool
        Cannot take negative transitions: gets inputs without them, and the row says so.
    forward_only : callable
        Why the backward pass of a case is left out, or None.
    imports : str
        Module that takes time to import.
    """

    name: str
    scans: tuple[str, ...]
    prepare: Callable[[Case, Inputs], Prepared]
    leaves_out: Callable[[Case], str | None] = takes_all
    needs: str = ""
    ours: bool = False
    positive: bool = False
    forward_only: Callable[[Case], str | None] = takes_all
    imports: str = ""

    def why_missing(self) -> str | None:
        """Say which package is not installed, or None."""
        if not self.needs or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"the package {self.needs} is not installed"


def only(message: str, *conditions: Callable[[Case], bool]) -> Callable[[Case], str | None]:
    """Leave out what does not meet all conditions, with a reason."""
    return lambda case: None if all(holds(case) for holds in conditions) else message


def is_real(case: Case) -> bool:
    """Whether numbers are real."""
    return case.dtype != "complex64"


def is_complex(case: Case) -> bool:
    """Whether numbers are complex."""
    return case.dtype == "complex64"


def has_power_of_two_length(case: Case) -> bool:
    """Whether T is one of 32, 64, ..., 65536."""
    return case["T"] & (case["T"] - 1) == 0 and 32 <= case["T"] <= 65536


def is_half(case: Case) -> bool:
    """Whether numbers are bfloat16."""
    return case.dtype == "bfloat16"


def has_one_factor(case: Case) -> bool:
    """Whether every token has one Householder factor."""
    return case["R"] == 1


def has_factors(case: Case) -> bool:
    """Whether every token has several Householder factors."""
    return case["R"] > 1
