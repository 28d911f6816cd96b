"""Eigenvalue ranges: the only place that knows one.

A range is a parametrisation in front of a scan. It turns unbounded numbers (what a linear layer
computes) into eigenvalues, or into the strengths beta of Householder factors, inside ``(lo, hi)``;
the ends are approached, never left. Complex eigenvalues lie in the unit disc or on the unit circle.
"""

import math
import re
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from automata.errors import InputError, shown, unknown_name
from statetrack.layers import scaled_sigmoid

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
                f"unknown eigenvalue range {shown(text)}: expected '[lo,hi]', nearest "
                f"{_nearest_range(text)!r} (valid: {', '.join(NAMED_RANGES)}, any [lo,hi] inside)"
            )
        return EigenvalueRange(float(match[1]), float(match[2]), steepness)

    def module(self) -> "RangeMap":
        """The same maps with the numbers in buffers, so that runs of a pack have each their own."""
        return RangeMap(self)

    def eigenvalue(self, raw: Tensor) -> Tensor:
        """Map raw numbers to ``lo + (hi - lo) sigmoid(steepness raw)``, in (lo, hi)."""
        return self.stretch(torch.sigmoid(self.steepness * raw))

    def stretch(self, share: Tensor) -> Tensor:
        """Map decays in (0, 1) to ``lo + (hi - lo) share``; for models with decays of their own.

        The affine map of Grazzi et al. 2024 (arXiv 2411.12537, section 4): ``s -> 2 s - 1`` for
        [-1, 1], and nothing changes for [0, 1].
        """
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


class RangeMap(nn.Module):
    """The maps of an `EigenvalueRange` as a part of a model.

    Its numbers are buffers, which no checkpoint holds: models that differ in them alone have one
    shape.

    Parameters
    ----------
    interval : EigenvalueRange

    Examples
    --------
    >>> import torch
    >>> EigenvalueRange.parse("[0,1]").module().eigenvalue(torch.tensor([0.0])).tolist()
    [0.5]
    """

    coefficients: Tensor
    beta_coefficients: Tensor

    def __init__(self, interval: EigenvalueRange) -> None:
        super().__init__()
        steepness, low, high = interval.steepness, interval.lo, interval.hi
        for name, start in (("coefficients", low), ("beta_coefficients", 1.0 - high)):
            numbers = torch.tensor([steepness, start, high - low])
            self.register_buffer(name, numbers, persistent=False)

    @property
    def steepness(self) -> Tensor:
        """The factor inside the sigmoid."""
        return self.coefficients[0]

    def eigenvalue(self, raw: Tensor) -> Tensor:
        """As `EigenvalueRange.eigenvalue`."""
        return scaled_sigmoid(raw, self.coefficients)

    def beta(self, raw: Tensor) -> Tensor:
        """As `EigenvalueRange.beta`."""
        return scaled_sigmoid(raw, self.beta_coefficients)

    def stretch(self, share: Tensor) -> Tensor:
        """As `EigenvalueRange.stretch`."""
        return self.coefficients[1] + self.coefficients[2] * share


@dataclass(frozen=True)
class UnitDisc:
    """Complex eigenvalues of modulus below 1, of any angle.

    Parameters
    ----------
    steepness : float
        How fast raw moduli reach 0 and 1, as in `EigenvalueRange`.

    Raises
    ------
    InputError
        A steepness that is no number > 0.

    Examples
    --------
    >>> import torch
    >>> half_turn = torch.tensor([20.0, 1.0], dtype=torch.float64)
    >>> round(UnitDisc().eigenvalue(half_turn).real.item(), 6)
    -1.0
    """

    name: ClassVar[str] = "disc"
    raw_numbers: ClassVar[int] = 2

    steepness: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.steepness < math.inf:
            raise InputError(f"range steepness {self.steepness:g}: expected a number > 0")

    def eigenvalue(self, raw: Tensor) -> Tensor:
        """Map raw pairs [..., 2], modulus and angle in half turns, to complex eigenvalues [...]."""
        modulus = torch.sigmoid(self.steepness * raw[..., 0])
        return modulus * _unit(math.pi * raw[..., 1])

    def eigenvalue_of_rate(self, log_rate: Tensor, angle: Tensor) -> Tensor:
        """Eigenvalues ``exp(-exp(log_rate) + i angle)``: real numbers of any size, radians."""
        return torch.exp(-torch.exp(log_rate)) * _unit(angle)


@dataclass(frozen=True)
class UnitCircle:
    """Complex eigenvalues of modulus 1: nothing is forgotten.

    Examples
    --------
    >>> import torch
    >>> round(UnitCircle().eigenvalue(torch.tensor([0.5], dtype=torch.float64)).imag.item(), 6)
    1.0
    """

    name: ClassVar[str] = "circle"
    raw_numbers: ClassVar[int] = 1

    def eigenvalue(self, raw: Tensor) -> Tensor:
        """Map raw angles [..., 1] in half turns to complex eigenvalues [...]."""
        return self.eigenvalue_of_angle(math.pi * raw[..., 0])

    def eigenvalue_of_angle(self, angle: Tensor) -> Tensor:
        """Map radians to ``exp(i angle)``."""
        return _unit(angle)


def complex_range(name: str, steepness: float = 4.0) -> UnitDisc | UnitCircle:
    """Range of complex eigenvalues by name, "disc" or "circle".

    Raises
    ------
    InputError
        Unknown name; the message gives the nearest one.
    """
    disc = UnitDisc(steepness)
    if name == UnitDisc.name:
        return disc
    if name == UnitCircle.name:
        return UnitCircle()
    raise unknown_name("complex eigenvalue range", name, (UnitDisc.name, UnitCircle.name))


def _unit(angle: Tensor) -> Tensor:
    angle = angle.to(torch.promote_types(angle.dtype, torch.float32))
    return torch.complex(torch.cos(angle), torch.sin(angle))


def _nearest_range(text: str) -> str:
    return "[-1,1]" if "-" in text else "[0,1]"
