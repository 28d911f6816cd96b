"""Where to compute: the device that a name stands for on this machine."""

import os
from collections.abc import Sequence

import torch

from automata.errors import InputError


def choose_device(device: str) -> str:
    """Device that "auto" stands for here, or the named one.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1", ...

    Raises
    ------
    InputError
        No such device on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("meta"):
        raise InputError(f"device {device!r} holds no numbers: give auto, cpu or cuda")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used here: {reason}") from None
    return device


def choose_devices(device: str | Sequence[str]) -> tuple[str, ...]:
    """Devices that workers take in turn.

    Parameters
    ----------
    device : str or sequence of str
        "auto" or "cuda": every GPU of this machine; "auto" without a GPU: the CPU. Another name, or
        several: these.

    Raises
    ------
    InputError
        No such device on this machine, or none is named.

    Examples
    --------
    >>> choose_devices("cpu"), choose_devices(["cpu", "cpu"])
    (('cpu',), ('cpu', 'cpu'))
    """
    if not isinstance(device, str):
        if not device:
            raise InputError("no device named: give auto, cpu or cuda")
        return tuple(choose_device(one) for one in device)
    chosen = choose_device(device)
    count = torch.cuda.device_count() if chosen == "cuda" else 1
    return (chosen,) if count == 1 else tuple(f"cuda:{number}" for number in range(count))


def num_processors() -> int:
    """Processors that this process may use, which a queueing system may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
