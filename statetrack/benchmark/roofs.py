"""What the machine can do at most: bandwidth of a copy, rate of products, time of a small kernel.

Floors are computed with these, measured in the same run, and never with a data sheet.
"""

from dataclasses import asdict, dataclass

import torch

from statetrack.benchmark.cases import Case
from statetrack.benchmark.scan_rows import SCANS
from statetrack.benchmark.timing import time_calls

COPY_BYTES = {"cuda": 2**31, "cpu": 2**24}
PRODUCT_SIZE = {"cuda": 8192, "cpu": 256}


@dataclass(frozen=True)
class Roofs:
    """Measured limits.

    Attributes
    ----------
    bytes_per_second : float
        Of a device-to-device copy, bytes read and bytes written both counted.
    small_kernel_ms : float
        One addition of a few numbers inside of a CUDA graph (a call, on a processor).
    flops : dict of str to float
        Operations per second of a large matrix product in "fp32", "tf32", "bf16".
    """

    bytes_per_second: float
    small_kernel_ms: float
    flops: dict[str, float]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def measure_roofs(device: torch.device) -> Roofs:
    """Measure the limits of a device.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    Roofs
    """
    kind = "cuda" if device.type == "cuda" else "cpu"
    copy_ms = _fastest_copy(COPY_BYTES[kind] // 4, device)
    few = torch.zeros(32, device=device)
    small = time_calls([lambda: few.add_(1.0)], device)
    size = PRODUCT_SIZE[kind]
    matrix = torch.randn(size, size, device=device)
    flops = {}
    for name, dtype in (("fp32", "float32"), ("tf32", "float32"), ("bf16", "bfloat16")):
        operand = matrix.to(getattr(torch, dtype))
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        try:
            product = time_calls([lambda one=operand: one @ one], device)  # type: ignore[misc]
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        flops[name] = 2 * size**3 / (1e-3 * product.median)
    return Roofs(2 * COPY_BYTES[kind] / (1e-3 * copy_ms), small.median, flops)


def _fastest_copy(count: int, device: torch.device) -> float:
    """Milliseconds of a copy, by the copy of torch or by a kernel that multiplies by one.

    Inside of a CUDA graph torch's copy runs on the copy engine, far below the bandwidth of kernels:
    its time from Python counts instead.
    """
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    copy = time_calls([lambda: target.copy_(source)], device)
    kernel = time_calls([lambda: torch.mul(source, 1.0, out=target)], device)
    return min(copy.median, copy.eager, kernel.median, kernel.eager)


def floor_ms(case: Case, roofs: Roofs, both: bool) -> tuple[float, str]:
    """Shortest time that a case can take: the larger of its bytes and of its operations.

    Parameters
    ----------
    case : Case
        Of a scan in `SCANS`.
    roofs : Roofs
    both : bool
        Forward and backward pass together; else the forward pass.

    Returns
    -------
    milliseconds : float
    limit : {"bytes", "operations"}
        Which of the two it is.
    """
    work = SCANS[case.scan].work(case)
    numbers = work.numbers_both if both else work.numbers
    operations = work.operations_both if both else work.operations
    rate = roofs.flops["bf16" if case.dtype == "bfloat16" else "fp32"]
    if case.precision == "tf32x3":
        rate = max(rate, roofs.flops["tf32"] / 3)
    elif case.precision == "tf32":
        rate = max(rate, roofs.flops["tf32"])
    of_bytes = numbers * case.itemsize / roofs.bytes_per_second
    of_operations = operations / rate
    limit = "bytes" if of_bytes >= of_operations else "operations"
    return 1e3 * max(of_bytes, of_operations), limit
