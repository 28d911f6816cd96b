"""Eigenvalue ranges: the only place that knows one.

A range is a parametrisation in front of a scan. It turns unbounded numbers (what a linear layer
computes) into eigenvalues, or into the strengths beta of Householder factors, inside ``(lo, hi)``;
the ends are approached, never left.
"""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from automata.errors import InputError

NAMED_RANGES = ("[0,1]", "[-1,1]")


@dataclass(frozen=True)
class EigenvalueRange:
    """A closed interval of real eigenvalues inside [-1, 1].

    Parameters
    ----------
    lo, hi : float
        Ends, ``-1 <= lo < hi <= 1``.
    steepness : float
        How fast raw numbers reach the ends: the factor inside the sigmoid. An eigenvalue that falls
        short of -1 or 1 by e forgets after about 1/e tokens, so this sets how far a trained model
        carries.

    Raises
    ------
    InputError
        Ends that are out of order or leave [-1, 1].

    Notes
    -----
    Source: Grazzi et al. 2024 (arXiv 2411.12537): diagonal models with eigenvalues in [0, 1], and
    products of Householder factors with beta in [0, 1], cannot track parity at any length; [-1, 1]
    can.

    Examples
    --------
    >>> import torch
    >>> full = EigenvalueRange.parse("[-1,1]")
    >>> full.eigenvalue(torch.tensor([-20.0, 0.0, 20.0])).tolist()
    [-1.0, 0.0, 1.0]
    >>> full.beta(torch.tensor([20.0])).tolist()  # a reflection
    [2.0]
    """

    lo: float
    hi: float
    steepness: float = 4.0

    def __post_init__(self) -> None:
        if not (-1.0 <= self.lo < self.hi <= 1.0):
            raise InputError(
                f"eigenvalue range [{self.lo:g},{self.hi:g}]: expected -1 <= lo < hi <= 1, "
                f"such as {' or '.join(NAMED_RANGES)}"
            )
        if not 0.0 < self.steepness < math.inf:
            raise InputError(f"range steepness {self.steepness:g}: expected a number > 0")

    @staticmethod
    def parse(text: str, steepness: float = 4.0) -> "EigenvalueRange":
        """Read a range such as ``"[-1,1]"``.

        Raises
        ------
        InputError
            Text that is not a range.
        """
        number = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
        match = re.fullmatch(rf"\s*\[{number},{number}\]\s*", text)
        if match is None:
            raise InputError(
                f"unknown eigenvalue range {text!r}: expected '[lo,hi]', nearest "
                f"{_nearest_range(text)!r} (valid: {', '.join(NAMED_RANGES)}, any [lo,hi] inside)"
            )
        return EigenvalueRange(float(match[1]), float(match[2]), steepness)

    def eigenvalue(self, raw: Tensor) -> Tensor:
        """Map raw numbers to ``lo + (hi - lo) sigmoid(steepness raw)``, in (lo, hi)."""
        return self.at_share(torch.sigmoid(self.steepness * raw))

    def at_share(self, share: Tensor) -> Tensor:
        """Map gates in [0, 1] to ``lo + (hi - lo) share``, the affine map of Grazzi et al. 2024."""
        return self.lo + (self.hi - self.lo) * share

    def beta(self, raw: Tensor) -> Tensor:
        """Map raw numbers to beta in (1 - hi, 1 - lo), so that ``1 - beta`` lies in the range."""
        return (1.0 - self.hi) + (self.hi - self.lo) * torch.sigmoid(self.steepness * raw)

    def raw_of_eigenvalue(self, eigenvalue: float) -> float:
        """Raw number that `eigenvalue` maps back from; for initial biases.

        Raises
        ------
        InputError
            An eigenvalue that is not strictly inside the range.
        """
        share = (eigenvalue - self.lo) / (self.hi - self.lo)
        if not 0.0 < share < 1.0:
            raise InputError(
                f"eigenvalue {eigenvalue:g} is not strictly inside {self}; it has no raw number"
            )
        return math.log(share / (1.0 - share)) / self.steepness

    def __str__(self) -> str:
        """Text that `parse` reads."""
        return f"[{self.lo:g},{self.hi:g}]"


def _nearest_range(text: str) -> str:
    return "[-1,1]" if "-" in text else "[0,1]"
