"""When the kernels of `kernel_fragments` are used, and their start.

Legend: M rows a state, N columns, S sequences, T time.
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import (
    has_double_tensor_cores,
    leading_sizes,
    multiprocessors,
    num_items,
)
from statetrack.scans.matrix.addressing import are_aligned, strides
from statetrack.scans.matrix.assembly import product_assembly

# Measured on an H200. Sequences a multiprocessor from which on walking along a whole sequence beats
# cutting time into chunks.
FEWEST_SEQUENCES = 1.5
SMALLEST_SIZE, LARGEST_SIZE = 5, 16
# The forward pass has a warp for every eight rows, the backward pass one for all.
LARGEST_ROWS = {False: 64, True: 16}
# By 8 x 8 tiles a matrix side, for the forward and the backward pass: steps on their way to
# registers, and to the L2 cache.
UNROLL = {1: (8, 4), 2: (4, 2)}
DISTANCE = {1: (32, 32), 2: (16, 8)}


def suits(a: Tensor, rows: int, precision: str, *, backward: bool) -> bool:
    """Whether a scan over `a` [..., T, N, N] and states [..., M, N] goes by fragments."""
    size = a.shape[-1]
    return (
        precision == "ieee"
        and SMALLEST_SIZE <= size <= LARGEST_SIZE
        and rows <= LARGEST_ROWS[backward]
        and num_items(a.shape[:-3]) >= FEWEST_SEQUENCES * multiprocessors(a.device)
        and has_double_tensor_cores(a.device)
    )


def run_forward(
    a: Tensor, b: Tensor | None, initial: Tensor, states: Tensor, final: Tensor
) -> None:
    """Fill `states` [..., T, M, N] and `final` [..., M, N]."""
    from statetrack.scans.matrix.kernel_fragments import scan_fragments

    rows, size = initial.shape[-2:]
    steps = [
        strides(a, 3), strides(a if b is None else b, 3), strides(initial, 2), strides(states, 3)
    ]  # fmt: skip
    tiles = _tiles(size)
    warps = _power_of_two(-(-rows // 8))
    leading = leading_sizes(a.shape[:-3])
    with torch.cuda.device_of(a):
        scan_fragments[(num_items(leading),)](
            a, a if b is None else b, initial, states, final, *leading[1:], a.shape[-3],
            *(step for of_tensor in steps for step in of_tensor),
            N=size, M=rows, TILES=tiles, THREADS=32 * warps, UNROLL=UNROLL[tiles][0],
            DISTANCE=DISTANCE[tiles][0],
            ALIGNED=are_aligned(*steps) and size % 4 == 0, HAS_B=b is not None,
            STATE=_state_type(final), **_product(a, final, 2 * tiles, tiles), num_warps=warps,
        )  # fmt: skip


def run_backward(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    gradients: tuple[Tensor, Tensor | None, Tensor],
) -> None:
    """Fill the gradients of `a`, `b` and `initial`; as `launch.run_backward`."""
    from statetrack.scans.matrix.kernel_fragments import scan_fragments_backward

    a, initial, states, grad_states, grad_final = inputs
    grad_a, grad_b, grad_initial = gradients
    rows, size = initial.shape[-2:]
    to_b = grad_a if grad_b is None else grad_b
    steps = [
        strides(one, own)
        for one, own in (
            (a, 3), (initial, 2), (states, 3), (grad_states, 3), (grad_final, 2), (grad_a, 3),
            (to_b, 3),
        )
    ]  # fmt: skip
    tiles, row_tiles = _tiles(size), -(-rows // 8)
    leading = leading_sizes(a.shape[:-3])
    with torch.cuda.device_of(a):
        scan_fragments_backward[(num_items(leading),)](
            a, initial, states, grad_states, grad_final, grad_a, to_b, grad_initial,
            *leading[1:], a.shape[-3], *(step for of_tensor in steps for step in of_tensor),
            N=size, M=rows, TILES=tiles, ROW_TILES=row_tiles, UNROLL=UNROLL[tiles][1],
            DISTANCE=DISTANCE[tiles][1],
            STATE=_state_type(grad_initial),
            ALIGNED=are_aligned(*steps) and size % 4 == 0, HAS_B=grad_b is not None,
            **_product(a, grad_initial, 2 * tiles, tiles),
            **_product(a, grad_initial, 2 * row_tiles, tiles, outer=True), num_warps=1,
        )  # fmt: skip


def _state_type(state: Tensor) -> Any:
    import triton.language as tl

    return tl.float64 if state.dtype == torch.float64 else tl.float32


def _product(
    a: Tensor, state: Tensor, blocks: int, tiles: int, *, outer: bool = False
) -> dict[str, str]:
    """Compile-time arguments for a product of fragments; empty in the interpreter."""
    wide = state.dtype == torch.float64
    assembly, constraints = "", ""
    if a.is_cuda:
        left = "f32" if outer and not wide else "f64"
        assembly, constraints = product_assembly(blocks, tiles, left, "f64" if wide else "f32")
    prefix = "OUTER_" if outer else ""
    return {f"{prefix}ASSEMBLY": assembly, f"{prefix}CONSTRAINTS": constraints}


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _tiles(size: int) -> int:
    """Tiles of 8 x 8 along one side of a matrix."""
    return _power_of_two(-(-size // 8))
