"""Launch the kernels of one pass in order, compiled at the same time when they are new.

Compiling takes seconds a kernel, in code that lets other threads run: a pass of several kernels
then waits for the slowest of them instead of their sum. What else comes before a first launch is
done meanwhile (`first_launch`), also where there is one kernel.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.first_launch import build_launcher, hash_kernels, hash_triton, start_driver

COMPILED: set[tuple[Any, ...]] = set()


@dataclass(frozen=True)
class Launch:
    """One kernel with everything that it is called with."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def key(self, device: torch.device) -> tuple[Any, ...]:
        """What a compiled kernel is for, up to the alignment of its pointers."""
        types = [one.dtype for one in self.arguments if isinstance(one, Tensor)]
        return (self.kernel, device, *types, *self.options.values())

    def compile(self, device: torch.device) -> None:
        """Compile and load."""
        with torch.cuda.device(device):
            self.kernel.warmup(*self.arguments, grid=self.grid, **self.options)[self.grid]

    def run(self) -> None:
        """Launch."""
        self.kernel[self.grid](*self.arguments, **self.options)


class Launches:
    """A context in which kernels are named; they are launched, in this order, when it ends.

    Parameters
    ----------
    beside : Tensor
        On the device to launch on.

    Examples
    --------
    A kernel of Triton is anything that takes a grid, then arguments:

    >>> import torch
    >>> from statetrack.scans.launches import Launches
    >>> with Launches(torch.zeros(1)) as launch:
    ...     launch({(2,): print}, (2,), "launched with", 3)
    ...     print("named")
    named
    launched with 3
    """

    def __init__(self, beside: Tensor) -> None:
        self._device = beside.device
        self._waiting: list[Launch] = []

    def __enter__(self) -> "Launches":
        return self

    def __call__(self, kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        """Launch `kernel` on `grid` at the end of the context."""
        self._waiting.append(Launch(kernel, grid, arguments, options))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        if self._device.type == "cpu":
            for one in self._waiting:
                one.run()
            return
        with torch.cuda.device(self._device):
            _compile_together(self._waiting, self._device)
            for one in self._waiting:
                one.run()


def _compile_together(launches: Sequence[Launch], device: torch.device) -> None:
    keys = [one.key(device) for one in launches]
    new = {key: one for key, one in zip(keys, launches, strict=True) if key not in COMPILED}
    if new:
        with ThreadPoolExecutor(2 * len(new)) as pool:
            kernels = [one.kernel for one in new.values()]
            hashing = [pool.submit(hash_triton), pool.submit(hash_kernels, kernels)]
            start_driver(kernels, device.index)
            for one_hash in hashing:
                one_hash.result()
            compiling = [pool.submit(one.compile, device) for one in new.values()]
            for one in new.values():
                pool.submit(build_launcher, one.kernel, device.index, one.arguments, one.options)
        for one_kernel in compiling:
            one_kernel.result()
    COMPILED.update(new)
