"""What every Triton kernel needs before its launch: whether it can run, and how to address tensors.

Kernels take up to `NUM_LEADING` leading axes with any strides; `fold_leading` merges what is more.
"""

import importlib.util
import math
import os
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

NUM_LEADING = 3
VECTOR_BYTES = 16
TRITON_IS_INSTALLED = importlib.util.find_spec("triton") is not None


def why_unavailable(device: torch.device) -> str | None:
    """Say why Triton kernels cannot run on `device`, or None when they can."""
    if not TRITON_IS_INSTALLED:
        return "Triton is not installed (it exists for Linux only)"
    if device.type == "cuda":
        return None
    if os.environ.get("TRITON_INTERPRET") == "1" and device.type == "cpu":
        return None
    return f"the inputs lie on {device.type!r} and kernels need a CUDA device"


@cache
def multiprocessors(device: torch.device) -> int:
    """Multiprocessors of a GPU; 1 in the interpreter."""
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


@cache
def has_double_tensor_cores(device: torch.device) -> bool:
    """Whether a GPU has many float64 tensor cores: A100, H100, H200, B200 (measured: H200)."""
    if device.type != "cuda":
        return True
    return torch.cuda.get_device_capability(device) in {(8, 0), (9, 0), (10, 0)}


def with_unit_stride(tensor: Tensor) -> Tensor:
    """`tensor` itself where its last axis has stride one, else a contiguous copy."""
    if tensor.shape[-1] <= 1 or tensor.stride(-1) == 1:
        return tensor
    return tensor.contiguous()


def empty_beside(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Uninitialised tensor of the same shape and, where that is dense, the same strides."""
    if tensor.shape[-1] <= 1 or tensor.stride(-1) == 1:
        return torch.empty_like(tensor, dtype=dtype)
    return torch.empty(tensor.shape, dtype=dtype, device=tensor.device)


def axes_in_memory(tensor: Tensor) -> tuple[int, ...]:
    """Axes in the order in which they lie in memory, the last one last wherever it lies."""
    strides = tensor.stride()
    *leading, last = range(tensor.dim())
    return (*sorted(leading, key=lambda axis: -strides[axis]), last)


def empty_in_order(beside: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Uninitialised dense tensor whose axes but the last lie in memory as those of another tensor.

    Parameters
    ----------
    beside : Tensor
        With as many axes as `shape`.
    shape : sequence of int
    dtype : torch.dtype
    """
    order = axes_in_memory(beside)
    places = [order.index(axis) for axis in range(len(shape))]
    in_memory = torch.empty([shape[axis] for axis in order], dtype=dtype, device=beside.device)
    return in_memory.permute(places)


def leading_sizes(shape: Sequence[int]) -> list[int]:
    """Leading shape with ones put in front until it has `NUM_LEADING` axes."""
    return [1] * (NUM_LEADING - len(shape)) + list(shape)


def leading_strides(tensor: Tensor, own_axes: int) -> list[int]:
    """Strides of the leading axes, in elements, with zeros for the ones put in front."""
    count = tensor.dim() - own_axes
    return [0] * (NUM_LEADING - count) + list(tensor.stride()[:count])


def fold_leading(tensor: Tensor, own_axes: int) -> Tensor:
    """Merge the first leading axes so that at most `NUM_LEADING` are left.

    Parameters
    ----------
    tensor : Tensor, [..., own axes]
        A view where its strides allow that, else a copy.
    own_axes : int
        Number of trailing axes that are no leading ones.
    """
    count = tensor.dim() - own_axes
    return tensor if count <= NUM_LEADING else tensor.flatten(0, count - NUM_LEADING)


def is_aligned(tensors: Sequence[Tensor], strides: Sequence[Sequence[int]]) -> bool:
    """Whether every row of every tensor starts at a multiple of 16 bytes."""
    return all(
        tensor.data_ptr() % VECTOR_BYTES == 0
        and all(stride * tensor.element_size() % VECTOR_BYTES == 0 for stride in of_tensor)
        for tensor, of_tensor in zip(tensors, strides, strict=True)
    )


def num_items(shape: Sequence[int]) -> int:
    """Product of a shape."""
    return math.prod(shape)
