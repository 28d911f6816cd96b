"""How the kernels of the matrix recurrence are cut into programs and started.

Legend: C chunks, M rows a state, N columns, S sequences, T time.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import (
    has_double_tensor_cores,
    leading_sizes,
    multiprocessors,
    num_items,
)
from statetrack.scans.launches import Launches
from statetrack.scans.matrix import launch_fragments
from statetrack.scans.matrix.addressing import (
    are_aligned,
    scalar_strides,
    strides,
    with_dense_matrices,
)

LARGEST_SIZE = 64
LARGEST_IN_ROWS = 8
WARP = 32
# Measured on an H200. By tile size: prefetched steps, programs wanted a multiprocessor.
TILES = {16: (6, 8), 32: (4, 4), 64: (2, 2)}
# By kind of product and tile size, for the forward and the backward pass: warps of a program, and
# whether states are held transposed. "double" stands for float32 products made by the tensor cores
# for float64, which are as fast as float32 arithmetic and need no wide tiles in registers; below
# 32 x 32 they are slower, and Triton 3.6 cannot compile them for matrices of 16-bit numbers.
WARPS = {
    "ieee": {16: (1, 1), 32: (2, 2), 64: (8, 8)},
    "tf32": {16: (1, 1), 32: (2, 2), 64: (4, 4)},
    "double": {32: (4, 2), 64: (8, 4)},
}
TRANSPOSED = {
    "ieee": {16: (True, True), 32: (True, True), 64: (False, True)},
    "tf32": {16: (False, False), 32: (False, False), 64: (True, False)},
    "double": {32: (False, False), 64: (False, True)},
}
# Cutting time into fewer chunks costs more than it brings.
FEWEST_TILE_CHUNKS = 4
ROW_PROGRAMS = 20
ROW_STEPS = {1: 8, 2: 4, 4: 2, 8: 1}
SHORTEST_CHUNK = 16
MOST_CHUNKS = 1024


def _ceil(count: int, unit: int) -> int:
    return -(-count // unit)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


@dataclass
class Plan:
    """How a scan over `transitions` [..., T, N, N] and states [..., M, N] is cut into programs."""

    transitions: Tensor
    rows: int
    state: torch.dtype
    precision: str
    in_tiles: bool = False
    whole: bool = False
    backward: bool = False
    device: torch.device = field(init=False)
    in_rows: bool = field(init=False)
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        *self.leading, self.length, _, self.size = self.transitions.shape
        self.device = self.transitions.device
        small = max(self.size, self.rows) <= LARGEST_IN_ROWS
        self.in_rows = small and not (self.in_tiles or self.whole)
        self.sequences = num_items(self.leading)
        self.padded = _power_of_two(self.size)
        if self.in_rows:
            self.programs = _ceil(self.sequences * self.padded, WARP)
            wanted, fewest = ROW_PROGRAMS, 1
        else:
            self.padded = max(16, self.padded)
            self.programs = self.sequences
            (self.stages, wanted), fewest = TILES[self.padded], FEWEST_TILE_CHUNKS
            if self.backward and self.precision == "ieee":
                fewest *= 2
        missing = multiprocessors(self.device) * wanted // max(1, self.programs)
        chunks = max(1, min(missing, self.length // SHORTEST_CHUNK, MOST_CHUNKS))
        chunks = chunks if chunks >= fewest else 1
        self.chunk_size = _ceil(self.length, chunks)
        self.chunks = _ceil(self.length, self.chunk_size)
        if self.whole:
            self.chunk_size, self.chunks = self.length, 1
        self.kind = "ieee" if self.state == torch.float64 else self.precision[:4]
        if self.kind == "ieee" and self.state == torch.float32 and not (self.in_rows or self.whole):
            by_double = self.transitions.dtype == torch.float32 and self.padded in WARPS["double"]
            if by_double and has_double_tensor_cores(self.device):
                self.kind = "double"

    @property
    def grid(self) -> tuple[int, int]:
        """Programs by sequence and chunk."""
        return self.programs, self.chunks

    @property
    def numbers(self) -> tuple[int, ...]:
        """Sizes that every kernel takes."""
        count = (self.sequences,) if self.in_rows else ()
        sizes = leading_sizes(self.leading)[1:]
        return (*sizes, *count, self.length, self.chunk_size, self.chunks)

    def options(self, aligned: bool) -> dict[str, Any]:
        """Compile-time constants of every kernel."""
        import triton.language as tl

        constants = {
            "N": self.size,
            "M": self.rows,
            "NP": self.padded,
            "STATE": tl.float64 if self.state == torch.float64 else tl.float32,
            "ALIGNED": aligned and self.size % 4 == 0,
        }
        if self.in_rows:
            steps = ROW_STEPS[self.padded]
            return constants | {"LANES": self.padded, "UNROLL": steps, "num_warps": 1}
        form: dict[str, Any] = {}
        if not self.whole:
            form["TRANSPOSED"] = TRANSPOSED[self.kind][self.padded][self.backward]
        if self.kind == "double":
            form["STATE"] = tl.float64
        wide = self.state == torch.float64
        return (
            constants
            | form
            | {
                "MP": max(16, _power_of_two(self.rows)),
                "PRECISION": "ieee" if wide else self.precision,
                "STAGES": 1 if wide else self.stages,
                "num_warps": WARPS[self.kind][self.padded][self.backward],
            }
        )

    def workspace(self) -> tuple[Tensor, Tensor]:
        """Room for the products [S, C, N, N] and the ends [S, C, M, N] of all chunks."""
        count = self.sequences * self.chunks if self.chunks > 1 else 0
        return tuple(
            torch.empty((count, rows, self.size), dtype=self.state, device=self.device)
            for rows in (self.size, self.rows)
        )  # type: ignore[return-value]


def run_forward(
    a: Tensor,
    b: Tensor,
    initial: Tensor,
    readout: Tensor | None,
    outputs: Tensor,
    final: Tensor,
    precision: str,
) -> None:
    """Fill `outputs` [..., T, M, N] (or [..., T, M, C]) and `final`; `b` may have no rows."""
    from statetrack.scans.matrix.kernel_rows import reduce_rows, scan_rows
    from statetrack.scans.matrix.kernel_tiles import reduce_tiles, scan_tiles

    a, initial = with_dense_matrices(a), with_dense_matrices(initial)
    has_b = b.shape[-2] > 0
    b = with_dense_matrices(b) if has_b else a
    if readout is None and launch_fragments.suits(a, initial.shape[-2], precision, backward=False):
        launch_fragments.run_forward(a, b if has_b else None, initial, outputs, final)
        return
    columns = 0 if readout is None else outputs.shape[-1]
    of_readout: list[int] = []
    constants: dict[str, int] = {}
    in_tiles = readout is not None
    plan = Plan(a, initial.shape[-2], final.dtype, precision, in_tiles=in_tiles)
    if not plan.in_rows:
        readout = initial if readout is None else with_dense_matrices(readout.to(final.dtype))
        constants = {"C": columns, "CP": max(16, _power_of_two(max(1, columns)))}
        of_readout = strides(readout, 2)
    steps = [strides(a, 3), strides(b, 3), strides(initial, 2), of_readout, strides(outputs, 3)]
    options = plan.options(are_aligned(*steps)) | {"HAS_B": has_b}
    workspace = plan.workspace()
    with Launches(a) as launch:
        if plan.chunks > 1:
            reduce = reduce_rows if plan.in_rows else reduce_tiles
            launch(
                reduce, (plan.programs, plan.chunks - 1),
                a, b, *workspace, *plan.numbers, *steps[0], *steps[1], **options,
            )  # fmt: skip
        flat = [step for of_tensor in steps for step in of_tensor]
        if plan.in_rows:
            launch(
                scan_rows, plan.grid,
                a, b, initial, *workspace, outputs, final, *plan.numbers, *flat, **options,
            )  # fmt: skip
        else:
            launch(
                scan_tiles, plan.grid, a, b, initial, readout, *workspace, outputs, final,
                *plan.numbers, *flat, **options, **constants,
            )  # fmt: skip


def run_backward(inputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...], precision: str) -> None:
    """Fill the gradients of `a`, `b` (where it has rows) and `initial`.

    Parameters
    ----------
    inputs : (a, initial, states, grad_states, grad_final)
    gradients : (grad_a, grad_b, grad_initial)
    precision : {"ieee", "tf32x3", "tf32"}
    """
    from statetrack.scans.matrix.kernel_rows import reduce_rows_backward, scan_rows_backward
    from statetrack.scans.matrix.kernel_tiles import (
        reduce_tiles_backward,
        scan_tiles_backward,
    )

    a, initial, states, grad_states, grad_final = (with_dense_matrices(one) for one in inputs)
    grad_a, grad_b, grad_initial = gradients
    has_b = grad_b.shape[-2] > 0
    if launch_fragments.suits(a, initial.shape[-2], precision, backward=True):
        launch_fragments.run_backward(
            (a, initial, states, grad_states, grad_final),
            (grad_a, grad_b if has_b else None, grad_initial),
        )
        return
    plan = Plan(a, initial.shape[-2], grad_initial.dtype, precision, backward=True)
    if not has_b:
        grad_b = grad_a
    steps = [
        strides(one, own)
        for one, own in (
            (a, 3), (initial, 2), (states, 3), (grad_states, 3), (grad_final, 2), (grad_a, 3),
            (grad_b, 3),
        )
    ]  # fmt: skip
    options = plan.options(are_aligned(*steps))
    workspace = plan.workspace()
    with Launches(a) as launch:
        if plan.chunks > 1:
            reduce = reduce_rows_backward if plan.in_rows else reduce_tiles_backward
            launch(
                reduce, (plan.programs, plan.chunks - 1),
                a, grad_states, *workspace, *plan.numbers, *steps[0], *steps[3],
                **options, HAS_B=True,
            )  # fmt: skip
        scan = scan_rows_backward if plan.in_rows else scan_tiles_backward
        launch(
            scan, plan.grid, a, initial, states, grad_states, grad_final,
            *workspace, grad_a, grad_b, grad_initial,
            *plan.numbers, *(step for of_tensor in steps for step in of_tensor),
            **options, HAS_B=has_b,
        )  # fmt: skip


def run_rescaled(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor], outputs: tuple[Tensor, Tensor], precision: str
) -> None:
    """Fill values and scales from `a`, `b` (perhaps without rows), initial values and scale."""
    from statetrack.scans.matrix.kernel_rescaled import scan_rescaled

    a, b, initial, initial_scale = inputs
    values, scales = outputs
    a, initial = with_dense_matrices(a), with_dense_matrices(initial)
    has_b = b.shape[-2] > 0
    b = with_dense_matrices(b) if has_b else a
    plan = Plan(a, initial.shape[-2], values.dtype, precision, whole=True)
    steps = [strides(a, 3), strides(b, 3), strides(initial, 2), strides(values, 3)]
    options = plan.options(are_aligned(*steps)) | {"HAS_B": has_b}
    steps.insert(3, scalar_strides(initial_scale))
    with torch.cuda.device_of(a):
        scan_rescaled[(plan.sequences,)](
            a, b, initial, initial_scale, values, scales,
            *plan.numbers[:3], *(step for of_tensor in steps for step in of_tensor), **options,
        )  # fmt: skip


def run_rescaled_backward(
    inputs: tuple[Tensor, ...], gradients: tuple[Tensor, Tensor, Tensor], precision: str
) -> None:
    """Fill the gradients from `a`, initial values and scale, values, scales, their gradient."""
    from statetrack.scans.matrix.kernel_rescaled import scan_rescaled_backward

    a, initial, initial_scale, values, scales, grad_values = inputs
    a, initial, values, grad_values = (
        with_dense_matrices(one) for one in (a, initial, values, grad_values)
    )
    scales = scales.contiguous()
    grad_a, grad_b, grad_initial = gradients
    has_b = grad_b.shape[-2] > 0
    grad_b = grad_b if has_b else grad_a
    plan = Plan(a, initial.shape[-2], values.dtype, precision, whole=True)
    steps = [
        strides(one, own)
        for one, own in (
            (a, 3), (initial, 2), (values, 3), (grad_values, 3), (grad_a, 3), (grad_b, 3)
        )
    ]  # fmt: skip
    options = plan.options(are_aligned(*steps)) | {"HAS_B": has_b}
    steps.insert(2, scalar_strides(initial_scale))
    with torch.cuda.device_of(a):
        scan_rescaled_backward[(plan.sequences,)](
            a, initial, initial_scale, values, scales, grad_values, *gradients[:1], grad_b,
            grad_initial,
            *plan.numbers[:3], *(step for of_tensor in steps for step in of_tensor), **options,
        )  # fmt: skip
