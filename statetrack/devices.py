"""Where to compute: the device that a name stands for on this machine."""

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
