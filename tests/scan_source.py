"""What a row of `scan_cases` is made of: random inputs, and the scan that takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Draw = Callable[["Source"], dict[str, Tensor]]
Operators = list[tuple[Any, tuple[Any, ...]]]
ON_GPU = torch.cuda.is_available()


@dataclass
class Source:
    """Random inputs of one case: values by torch, sizes and memory layouts by NumPy.

    Values are drawn on the CPU, so that a case is the same one on every device.
    """

    seed: int
    device: torch.device
    dtype: torch.dtype = torch.float32
    leading: tuple[int, ...] = (2,)
    length: int = 7
    plain_layout: bool = True
    tiny: bool = False

    def __post_init__(self) -> None:
        self.choice = np.random.default_rng(self.seed)
        self.values = torch.Generator().manual_seed(self.seed)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.choice.integers(len(options)))]

    def normal(self, *shape: int, scale: float = 1.0, lead: bool = True) -> Tensor:
        """Normal numbers of shape [leading, shape], in a memory layout drawn at random."""
        full = (*self.leading, *shape) if lead else shape
        values = torch.randn(full, generator=self.values) * scale
        if self.dtype.is_complex:
            other = torch.randn(full, generator=self.values) * scale
            values = torch.complex(values, other) / 2**0.5
        values = values.to(self.device, self.dtype)
        return values if self.plain_layout else self.laid_out(values)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers of magnitude at most one, [leading, shape]."""
        values = self.normal(*shape)
        return torch.tanh(values) if not self.dtype.is_complex else values / (1 + values.abs())

    def chances(self, shape: Sequence[int]) -> Tensor:
        """Numbers from 0 to 1 of this shape."""
        return torch.rand(tuple(shape), generator=self.values).to(self.device)

    def integers(self, high: int, shape: Sequence[int]) -> Tensor:
        """Integers below `high` of this shape."""
        return torch.randint(high, tuple(shape), generator=self.values).to(self.device)

    def laid_out(self, values: Tensor) -> Tensor:
        """The same values in another memory layout."""
        layout = self.pick(["as is", "first axis inside", "offset", "expanded", "last strided"])
        if values.dim() < 2 or values.numel() == 0:
            return values
        if layout == "first axis inside":
            return values.movedim(0, -2).contiguous().movedim(-2, 0)
        if layout == "offset":
            room = torch.empty(values.numel() + 3, dtype=values.dtype, device=values.device)
            return room[3:].view_as(values).copy_(values)
        if layout == "expanded" and self.leading:
            return values[:1].expand_as(values)
        if layout == "last strided":
            return torch.stack([values, values], dim=-1)[..., 0]
        return values


@dataclass(frozen=True)
class ScanCase:
    """A scan under test.

    Parameters
    ----------
    name : str
    scan : callable
        The public function.
    draw : callable
        Keyword arguments of `scan`, all tensors.
    chain : callable, optional
        Arguments of a chain that only permutes and negates: exact in float32.
    operators : callable
        Custom operators with one example of their arguments each, from drawn inputs.
    time_axis : mapping of str to int
        For every argument with a time axis, that axis counted from the end.
    output_time_axis : int, optional
        That of the outputs, where it is not that of the first argument.
    error_factor : float
        What the bound on float32 errors is multiplied with: every entry of a product of order N is
        a sum of N rounded terms.
    settings : mapping of str to object
        Module attributes that are set meanwhile, such as when a kernel is used.
    share : int
        How many cases share the random shapes that an operator is due in the interpreter.
    """

    name: str
    scan: Callable[..., tuple[Tensor, Tensor]]
    draw: Draw
    operators: Callable[[dict[str, Tensor]], Operators]
    time_axis: dict[str, int]
    chain: Callable[["Source"], dict[str, Tensor]] | None = None
    share: int = 1
    output_time_axis: int | None = None
    error_factor: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)
