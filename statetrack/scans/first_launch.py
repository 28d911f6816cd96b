"""What Triton does once around compiling a kernel, done at the same time as that.

Triton 3.6 starts its driver, hashes itself (400 MB) to name what it caches, compiles, and then
builds a launcher with a C compiler, one after the other. All results go to Triton's own caches, so
only the time changes. None of this is in Triton's documented interface: what fails here is done, or
reported, by the launch itself.
"""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

LAUNCHER = SimpleNamespace(
    num_ctas=1,
    global_scratch_size=0,
    global_scratch_align=1,
    profile_scratch_size=0,
    profile_scratch_align=1,
    launch_cooperative_grid=False,
    launch_pdl=False,
)


def hash_triton() -> None:
    """Compute what names all that Triton caches."""
    with suppress(Exception):
        from triton.runtime.cache import triton_key

        triton_key()


def start_driver(kernels: list[Any], device: int) -> None:
    """Make the driver and what binds the arguments of the kernels, which no two threads may."""
    with suppress(Exception):
        from triton.runtime import driver

        driver.active.get_current_device()
        for kernel in kernels:
            kernel.device_caches[device]


def build_launcher(
    kernel: Any, device: int, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Build what a kernel is launched with; it depends on the types of the arguments alone."""
    with suppress(Exception):
        from triton.runtime import driver

        _, _, _, backend, binder = kernel.device_caches[device]
        given = {**options, "debug": False, "instrumentation_mode": ""}
        bound, specialized, rest = binder(*arguments, **given)
        _, signature, constants, _ = kernel._pack_args(backend, given, bound, specialized, rest)
        source = SimpleNamespace(fn=kernel, signature=signature, constants=constants)
        driver.active.launcher_cls(source, LAUNCHER)
