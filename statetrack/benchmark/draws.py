"""What the rows of scans share: random numbers, and what a case cannot do without."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Work:
    """What a case cannot do without.

    Attributes
    ----------
    numbers : int
        Numbers read and written in the forward pass, each once.
    numbers_both : int
        The same for the forward and the backward pass together.
    operations, operations_both : int
        Floating-point operations, a product and a sum counted as two.
    """

    numbers: int
    numbers_both: int
    operations: int
    operations_both: int


def normal(
    shape: tuple[int, ...], generator: Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Draw standard normal numbers on the device of the generator."""
    return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)


def transitions(shape: tuple[int, ...], generator: Generator, positive: bool) -> Tensor:
    """Draw transitions of magnitude 1/2 to 1 and either sign."""
    device = generator.device
    magnitude = 0.5 + 0.5 * torch.rand(shape, generator=generator, device=device)
    return magnitude if positive else magnitude * signs(shape, generator)


def signs(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw +1 and -1."""
    draw = torch.randint(0, 2, shape, generator=generator, device=generator.device)
    return 1.0 - 2.0 * draw


def whole_numbers(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw whole numbers from -4 to 4."""
    draw = torch.randint(-4, 5, shape, generator=generator, device=generator.device)
    return draw.to(torch.float32)
