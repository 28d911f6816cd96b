"""What every scan checks and prepares before it starts: shapes, types, the backend."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from automata.errors import InputError, unknown_name
from statetrack.scans.kernels import why_unavailable

Scan = TypeVar("Scan", bound=Callable[..., Any])

PRECISIONS = ("ieee", "tf32x3", "tf32")
REAL_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
COMPLEX_TYPES = (torch.complex64, torch.complex128)


def choose_backend(
    scan: str,
    backends: Mapping[str, Callable[..., Any]],
    backend: str,
    precision: str,
    device: torch.device,
    suits_lanes: bool = False,
) -> str:
    """Name of the implementation to use.

    Parameters
    ----------
    scan : str
        Name of the scan, for messages.
    backends : mapping of str to callable
        The implementations that exist, the plainest first.
    backend : str
        A key of `backends`, or "auto": the kernel on a GPU, else "lanes" where they suit, else the
        last that is no kernel.
    precision : str
        How products are rounded. The torch backends compute in "ieee" only.
    device : torch.device
        Where the inputs lie.
    suits_lanes : bool
        Whether "auto" may take "lanes".

    Raises
    ------
    InputError
        Unknown backend or precision, or one that cannot be had here.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if backend != "auto" and backend not in backends:
        raise unknown_name(f"{scan} backend", backend, ("auto", *backends))
    reason = why_unavailable(device)
    if backend == "auto":
        has_kernel = "triton" in backends and device.type == "cuda" and reason is None
        plain = [name for name in backends if name not in ("lanes", "triton")][-1]
        backend = "triton" if has_kernel else "lanes" if suits_lanes else plain
    if backend == "triton":
        require(
            reason is None,
            f"{scan}: backend 'triton' cannot run: {reason}; use backend='parallel'",
        )
    elif precision != "ieee":
        raise InputError(
            f"{scan}: precision {precision!r} needs backend 'triton' on a GPU, this is backend "
            f"{backend!r} on {device.type!r}; use precision='ieee'"
        )
    return backend


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """Type the state is kept in: float32, or float64 / complex when an input is so.

    Parameters
    ----------
    *tensors : Tensor
        The inputs of a scan.

    Returns
    -------
    torch.dtype
        float32 for half, bfloat16 and float32 inputs; float64, complex64 or complex128 where an
        input needs them.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def require_numbers(scan: str, *, real: bool = False, **named: Any) -> None:
    """Raise `InputError` unless every argument is a tensor of a type that scans compute with.

    Whole numbers are refused: states would be cut to them on the way out.

    Parameters
    ----------
    scan : str
        Name of the scan, for messages.
    real : bool
        Refuse complex numbers as well.
    **named : Tensor or None
        By argument name; None is passed over.
    """
    types = REAL_TYPES if real else REAL_TYPES + COMPLEX_TYPES
    for name, tensor in named.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"{scan}: {name} is a {type(tensor).__name__}, expected a torch.Tensor; "
                "use torch.as_tensor"
            )
        if tensor.dtype not in types:
            expected = ", ".join(str(one).removeprefix("torch.") for one in types)
            cure = "" if tensor.is_complex() else f"; use {name}.float()"
            raise InputError(f"{scan}: {name} is {tensor.dtype}, expected one of {expected}{cure}")


def in_full_precision(scan: Scan) -> Scan:
    """Make a scan compute outside ``torch.autocast``, with half-precision arguments widened.

    Autocast lowers the precision of matrix products; a recurrence multiplies its errors.

    Parameters
    ----------
    scan : callable
        Its arguments are tensors or other values, which are passed on.
    """

    @functools.wraps(scan)
    def run(*arguments: Any, **named: Any) -> Any:
        devices = {
            one.device.type
            for one in (*arguments, *named.values())
            if isinstance(one, Tensor) and torch.is_autocast_enabled(one.device.type)
        }
        if not devices:
            return scan(*arguments, **named)
        with torch.autocast(devices.pop(), enabled=False):
            return scan(
                *map(_widened, arguments), **{key: _widened(one) for key, one in named.items()}
            )

    return run  # type: ignore[return-value]


def _widened(value: Any) -> Any:
    """Half-precision tensors in float32; all else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value


def require(condition: bool, message: str) -> None:
    """Raise `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Shape as a plain tuple, for messages."""
    return tuple(tensor.shape)


def broadcast_leading(scan: str, **named: tuple[Tensor, int]) -> tuple[int, ...]:
    """Common leading shape of tensors whose last `count` axes are their own.

    Parameters
    ----------
    scan : str
        Name of the scan, for messages.
    **named : (Tensor, int)
        Each tensor with its number of trailing axes.

    Raises
    ------
    InputError
        The leading axes do not broadcast, or the tensors lie on different devices.
    """
    leading = {}
    for name, (tensor, count) in named.items():
        if tensor.dim() < count:
            raise InputError(
                f"{scan}: {name} has shape {shape_of(tensor)}, expected at least {count} axes"
            )
        leading[name] = tensor.shape[: tensor.dim() - count]
    devices = {tensor.device for tensor, _ in named.values()}
    if len(devices) > 1:
        names = ", ".join(sorted(map(str, devices)))
        raise InputError(
            f"{scan}: inputs lie on different devices ({names}); move them to one device"
        )
    distinct = set(leading.values())
    if len(distinct) == 1:
        return tuple(distinct.pop())
    return _broadcast(scan, leading)


def _broadcast(scan: str, leading: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Like `torch.broadcast_shapes`, whose first call imports sympy: two seconds."""
    count = max(map(len, leading.values()))
    padded = [(1,) * (count - len(shape)) + tuple(shape) for shape in leading.values()]
    sizes = []
    for axis in zip(*padded, strict=True):
        size = next((one for one in axis if one != 1), 1)
        if any(one not in (1, size) for one in axis):
            shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in leading.items())
            raise InputError(f"{scan}: leading axes do not broadcast: {shapes}")
        sizes.append(size)
    return tuple(sizes)
