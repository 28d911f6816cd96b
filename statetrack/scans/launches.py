"""Launch the kernels of one pass in order, compiled at the same time when they are new.

Compiling takes seconds a kernel, in code that lets other threads run: a pass of several kernels
then waits for the slowest of them instead of their sum. What else comes before a first launch is
done meanwhile (`first_launch`), also where there is one kernel. What a pass says a later one will
launch is compiled in the background (`Launches.later`).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.first_launch import build_launcher, hash_triton, start_driver

COMPILED: set[tuple[Any, ...]] = set()
AHEAD: dict[tuple[Any, ...], Future[Any]] = {}
# A forward pass compiles one kernel and a launcher, a backward pass two of each.
FEWEST_PROCESSORS = 6


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

    def compile(self, device: torch.device) -> Any:
        """Compile without a word to the device."""
        with torch.cuda.device(device):
            return self.kernel.warmup(*self.arguments, grid=self.grid, **self.options)

    def load(self, device: torch.device) -> None:
        """Compile and load."""
        compiled = self.compile(device)
        with torch.cuda.device(device):
            _ = compiled[self.grid]

    def run(self) -> None:
        """Launch."""
        self.kernel[self.grid](*self.arguments, **self.options)


class Launches:
    """A context in which kernels are named; they are launched, in this order, when it ends.

    Parameters
    ----------
    beside : Tensor
        On the device to launch on.
    planned : list of Launch, optional
        Where launches go that are not to run.

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

    def __init__(self, beside: Tensor, planned: list[Launch] | None = None) -> None:
        self._device = beside.device
        self._waiting: list[Launch] = []
        self._planned = planned
        self._later: Callable[..., Any] | None = None

    def __enter__(self) -> "Launches":
        return self

    def __call__(self, kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        """Launch `kernel` on `grid` at the end of the context."""
        self._waiting.append(Launch(kernel, grid, arguments, options))

    def later(self, plan: Callable[..., Any], tensors: Sequence[Tensor], *rest: Any) -> None:
        """Say what a later call launches, so that it is compiled while this one is used.

        That begins where a kernel of this pass is new and `FEWEST_PROCESSORS` may be used. A
        process that ends before waits for it.

        Parameters
        ----------
        plan : callable
            ``plan(tensors, *rest, launches=...)`` makes its launches in a context of `launches`.
        tensors : sequence of Tensor
            In the shapes, strides and types to come. It gets tensors without memory.
        *rest
            More arguments.
        """
        self._later = partial(_plan, plan, tensors, *rest)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        if self._planned is not None:
            self._planned += self._waiting
            return
        if self._device.type == "cpu":
            for one in self._waiting:
                one.run()
            return
        with torch.cuda.device(self._device):
            _compile_together(self._waiting, self._device, self._later)
            for one in self._waiting:
                one.run()


def _compile_together(
    launches: Sequence[Launch],
    device: torch.device,
    later: Callable[[], Sequence[Launch]] | None = None,
) -> None:
    new = _not_compiled(launches, device)
    if new:
        for key in new:
            if (ahead := AHEAD.pop(key, None)) is not None:
                ahead.exception()
        with ThreadPoolExecutor(2 * len(new)) as pool:
            kernels = [one.kernel for one in new.values()]
            hashing = pool.submit(hash_triton)
            start_driver(kernels, device.index)
            hashing.result()
            loading = [pool.submit(one.load, device) for one in new.values()]
            building = _build_launchers(pool, new.values(), device)
            if later is not None and len(os.sched_getaffinity(0)) >= FEWEST_PROCESSORS:
                # By then these kernels are past the part of their compilation that is in Python.
                for one_launcher in building:
                    one_launcher.result()
                with suppress(Exception):
                    _compile_ahead(later(), device)
        for one_kernel in loading:
            one_kernel.result()
    COMPILED.update(new)


def _compile_ahead(launches: Sequence[Launch], device: torch.device) -> None:
    """Start compiling and wait for nothing; what fails is for the launch itself to report."""
    new = _not_compiled(launches, device)
    new = {key: one for key, one in new.items() if key not in AHEAD}
    kernels = [one.kernel for one in new.values()]
    start_driver(kernels, device.index)
    pool = ThreadPoolExecutor(2 * len(new) + 1)
    AHEAD.update({key: pool.submit(one.compile, device) for key, one in new.items()})
    _build_launchers(pool, new.values(), device)
    pool.shutdown(wait=False)


def _not_compiled(
    launches: Sequence[Launch], device: torch.device
) -> dict[tuple[Any, ...], Launch]:
    keys = [one.key(device) for one in launches]
    return {key: one for key, one in zip(keys, launches, strict=True) if key not in COMPILED}


def _build_launchers(
    pool: ThreadPoolExecutor, launches: Iterable[Launch], device: torch.device
) -> list[Future[None]]:
    return [
        pool.submit(build_launcher, one.kernel, device.index, one.arguments, one.options)
        for one in launches
    ]


def _plan(plan: Callable[..., Any], tensors: Sequence[Tensor], *rest: Any) -> list[Launch]:
    """What `plan` would launch for tensors like these."""
    planned: list[Launch] = []
    without_memory = [
        torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device="meta")
        for one in tensors
    ]
    plan(without_memory, *rest, launches=partial(Launches, planned=planned))
    return planned
