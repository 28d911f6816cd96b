"""Which implementation of a layer runs, and in which type it writes."""

import torch
from torch import Tensor

from automata.errors import InputError, unknown_name
from statetrack.scans.kernels import why_unavailable

BACKENDS = ("auto", "reference", "triton")
REAL_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def takes_kernels(layer: str, backend: str, device: torch.device, fits: bool = True) -> bool:
    """Whether a layer runs as kernels: what was asked for, or on a GPU what `fits` them.

    Parameters
    ----------
    layer : str
        For messages.
    backend : {"auto", "reference", "triton"}
    device : torch.device
        Of the inputs.
    fits : bool
        Whether "auto" may take kernels at these sizes.

    Raises
    ------
    InputError
        Unknown backend, or kernels that cannot run here.
    """
    if backend == "auto":
        return fits and device.type == "cuda" and why_unavailable(device) is None
    if backend not in BACKENDS:
        raise unknown_name(f"{layer} backend", backend, BACKENDS)
    reason = why_unavailable(device) if backend == "triton" else None
    if reason is not None:
        raise InputError(f"{layer}: backend 'triton' cannot run: {reason}; use backend='reference'")
    return backend == "triton"


def output_dtype(x: Tensor) -> torch.dtype:
    """Type that a layer in front of a linear map writes: that of autocast where it is on, else x's.

    As with autocast itself, float64 stays float64.
    """
    kind = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(kind):
        return x.dtype
    return torch.get_autocast_dtype(kind)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """Type that a layer computes in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def require_real(layer: str, **named: Tensor) -> None:
    """Raise `InputError` unless all are real floating-point tensors on one device."""
    for name, tensor in named.items():
        require_real_type(layer, name, tensor.dtype)
    require_one_device(layer, **named)


def require_real_type(layer: str, name: str, dtype: torch.dtype) -> None:
    """Raise `InputError` unless `dtype` is one of real floating-point numbers that layers have."""
    if dtype not in REAL_TYPES:
        expected = ", ".join(str(one).removeprefix("torch.") for one in REAL_TYPES)
        raise InputError(f"{layer}: {name} is {dtype}, expected one of {expected}")


def require_one_device(layer: str, **named: Tensor) -> None:
    """Raise `InputError` unless all tensors lie on one device."""
    devices = sorted({str(tensor.device) for tensor in named.values()})
    if len(devices) > 1:
        raise InputError(
            f"{layer}: inputs lie on different devices ({', '.join(devices)}); move them to one"
        )
