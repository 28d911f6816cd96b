"""Launches of the kernels of nonlinear recurrences: what fits on chip, and how work is cut."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import leading_sizes, leading_strides, multiprocessors, num_items
from statetrack.scans.launches import Launches
from statetrack.scans.nonlinear.cells import Cell

MAX_SIZE = 256
# What a tensor core takes; fewer would leave it idle, more leave multiprocessors idle.
BATCH_BLOCK = 16
# Shared memory of a multiprocessor is 227 kB; the rest is for tiles on their way.
WEIGHT_BYTES = 200_000
# Parts lie in registers, which hold those of four gates of so many units.
MOST_UNITS = {False: 128, True: 64}
STREAMED_TILE = 32
STREAMED_COLUMNS = {False: 128, True: 256}  # of the forward and the backward pass
STREAMED_WARPS = 8
STREAMED_STAGES = 2
GRADIENT_TILE = 64
GRADIENT_ROWS = 64
FEWEST_ROWS = 512  # of a part of the gradient of weights
PROGRAMS_PER_MULTIPROCESSOR = 4


@dataclass(frozen=True)
class Plan:
    """Sizes of the launches for inputs of one kind.

    Parameters
    ----------
    cell : Cell
    size : int
        Units D.
    state : torch.dtype
    precision : str
        Rounding of products.
    on_gpu : bool
        Where float32 products can go through tensor cores; the interpreter has none.
    """

    cell: Cell
    size: int
    state: torch.dtype
    precision: str
    on_gpu: bool = False

    @property
    def units(self) -> int:
        """Units in registers, a power of two."""
        return max(16, 1 << (self.size - 1).bit_length())

    @property
    def in_parts(self) -> bool:
        """Whether three bfloat16 numbers stand for one float32 number in products."""
        return self.on_gpu and self.precision == "ieee" and self.state == torch.float32

    @property
    def weight_bytes(self) -> int:
        """Bytes of the recurrent weights as products take them: three gates padded to four."""
        each = 6 if self.in_parts else self.state.itemsize
        gates = len(self.cell.gates)
        return (gates if gates == 1 else 4) * self.units**2 * each

    @property
    def fits(self) -> bool:
        """Whether recurrent weights stay on chip."""
        return self.weight_bytes <= WEIGHT_BYTES and self.units <= MOST_UNITS[self.in_parts]

    def stages(self, backward: bool) -> int:
        """Tokens under way: loads ahead where shared memory has room for them.

        In the forward pass what a token brings arrives while the products of the state run.
        """
        tile = BATCH_BLOCK * self.units * self.state.itemsize
        ahead = tile * (1 + self.cell.num_kept + len(self.cell.state))
        return 3 if backward and self.weight_bytes + 3 * ahead <= WEIGHT_BYTES else 1

    def options(self) -> dict[str, Any]:
        """Compile-time arguments that all kernels share."""
        import triton.language as tl

        exact = self.state == torch.float64
        return {
            "D": self.size,
            "GATES": len(self.cell.gates),
            "PARTS": len(self.cell.state),
            "KEPT": self.cell.num_kept,
            "CELL": self.cell.code,
            "PRECISION": "ieee" if exact else self.precision,
            "STATE": tl.float64 if exact else tl.float32,
        }

    def products(self) -> dict[str, Any]:
        """Compile-time arguments of kernels whose products may go by parts."""
        import triton.language as tl

        if self.in_parts:
            return {"OPERAND": tl.bfloat16, "OPERANDS": 3}
        exact = self.state == torch.float64
        return {"OPERAND": tl.float64 if exact else tl.float32, "OPERANDS": 1}

    def walk(self, backward: bool) -> dict[str, Any]:
        """Further arguments of the kernels that walk along time."""
        quick = self.on_gpu and self.state == torch.float32
        shared = {**self.options(), **self.products(), "QUICK": quick, "num_stages": 1}
        if self.fits:
            # A warp for the eight columns of a product, of every gate.
            own = {
                "UNITS": self.units,
                "STAGES": self.stages(backward),
                "num_warps": self.units // 8,
            }
        else:
            own = {
                "BATCH_BLOCK": BATCH_BLOCK,
                "TILE": min(STREAMED_TILE, self.units),
                "COLUMNS": min(STREAMED_COLUMNS[backward], self.units),
                "STAGES": STREAMED_STAGES if self.in_parts else 1,
                "num_warps": STREAMED_WARPS,
            }
        return {**shared, **own}

    def gradient(self) -> dict[str, Any]:
        """Further arguments of the kernel for the gradient of weights."""
        tile = min(GRADIENT_TILE, self.units)
        more = {"TILE": tile, "ROWS": GRADIENT_ROWS, "num_warps": 4, "num_stages": 2}
        return {**self.options(), **self.products(), **more}


def run_forward(
    plan: Plan,
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    initial: Tensor,
    outputs: tuple[Tensor, ...],
    save: bool,
) -> None:
    """Fill hidden states, the final state and, with `save`, what the backward pass needs.

    Parameters
    ----------
    plan : Plan
    x : Tensor, [..., B, T, G, D]
        Any strides but that of the last axis.
    recurrent : Tensor, [..., G, D, D]
        Likewise.
    bias, initial : Tensor, [..., G, D] and [..., B, S, D]
        Contiguous.
    outputs : tuple of Tensor
        Hidden states [..., B, T, D], final state [..., B, S, D], states before every token
        [..., B, T, S, D], what is kept of steps [..., B, T, P, D]; contiguous.
    save : bool
    """
    from statetrack.scans.nonlinear import kernel, kernel_streamed

    hidden, final, states, kept = outputs
    leading, batch, length = _sizes(x)
    numbers = (*leading[1:], batch, length)
    strides = (*leading_strides(x, 4), *x.stride()[-4:-1])
    grid = _grid(leading, batch)
    with Launches(x) as launch:
        if plan.fits:
            launch(
                kernel.scan_forward, grid, x, recurrent, bias, initial, hidden, final, states,
                kept, *numbers, *strides, *_weight_strides(recurrent), SAVE=save,
                EVEN=_even(plan, strides), **plan.walk(backward=False),
            )  # fmt: skip
        else:
            work = torch.empty((2, *final.shape), dtype=final.dtype, device=x.device)
            work[0].copy_(initial)
            launch(
                kernel_streamed.scan_forward, grid, x, recurrent.contiguous(), bias, work, hidden,
                states, kept, *numbers, num_items(leading) * batch, *strides, SAVE=save,
                **plan.walk(backward=False),
            )  # fmt: skip
    if not plan.fits:
        final.copy_(work[length % 2])


def run_backward(
    plan: Plan,
    recurrent: Tensor,
    states: Tensor,
    kept: Tensor,
    grad_hidden: Tensor,
    grad_final: Tensor,
    grads: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """Fill the gradients of x, recurrent weights, bias and initial state.

    Parameters
    ----------
    plan : Plan
    recurrent, states, kept
        As in `run_forward`.
    grad_hidden : Tensor, [..., B, T, D]
        Any strides but that of the last axis.
    grad_final : Tensor, [..., B, S, D]
        Contiguous.
    grads : tuple of Tensor
        Contiguous.
    """
    from statetrack.scans.nonlinear import kernel_backward, kernel_streamed

    grad_x, grad_recurrent, grad_bias, grad_initial = grads
    leading, batch, length = _sizes(grad_x)
    networks = num_items(leading)
    numbers = (*leading[1:], batch, length)
    strides = (*leading_strides(grad_hidden, 3), *grad_hidden.stride()[-3:-1])
    grid = _grid(leading, batch)
    options = plan.gradient()
    tiles = (-(-plan.size // options["TILE"])) ** 2 * len(plan.cell.gates)
    parts, part_rows = _cut(batch * length, networks * tiles, grad_x.device)
    room = {"dtype": grad_x.dtype, "device": grad_x.device}
    weight_parts = torch.empty((parts, *grad_recurrent.shape), **room)  # type: ignore[call-overload]
    bias_parts = torch.empty((parts, *grad_bias.shape), **room)  # type: ignore[call-overload]
    with Launches(grad_x) as launch:
        if plan.fits:
            launch(
                kernel_backward.scan_backward, grid, recurrent, states, kept, grad_hidden,
                grad_final, grad_x, grad_initial, *numbers, *_weight_strides(recurrent), *strides,
                EVEN=_even(plan, strides), **plan.walk(backward=True),
            )  # fmt: skip
        else:
            grad_initial.copy_(grad_final)
            launch(
                kernel_streamed.scan_backward, grid, recurrent.contiguous(), states, kept,
                grad_hidden, grad_initial, grad_x, *numbers, *strides,
                **plan.walk(backward=True),
            )  # fmt: skip
        launch(
            kernel_backward.weights_backward, (networks * parts * tiles,), states, kept, grad_x,
            weight_parts, bias_parts, batch * length, part_rows, parts, networks,
            **options,
        )  # fmt: skip
    for grad, partial in ((grad_recurrent, weight_parts), (grad_bias, bias_parts)):
        grad.copy_(partial[0] if parts == 1 else partial.sum(0))


def _sizes(x: Tensor) -> tuple[list[int], int, int]:
    *leading, batch, length, _gates, _size = x.shape
    return leading_sizes(leading), batch, length


def _weight_strides(recurrent: Tensor) -> tuple[int, ...]:
    return (*leading_strides(recurrent, 3), *recurrent.stride()[-3:-1])


def _even(plan: Plan, strides: tuple[int, ...]) -> bool:
    """Whether every row starts at a pair of numbers."""
    return plan.size % 2 == 0 and all(stride % 2 == 0 for stride in strides)


def _grid(leading: list[int], batch: int) -> tuple[int]:
    return (num_items(leading) * -(-batch // BATCH_BLOCK),)


def _cut(rows: int, programs: int, device: torch.device) -> tuple[int, int]:
    """Parts of the rows, so that every multiprocessor has work, and rows of each part."""
    wanted = -(-multiprocessors(device) * PROGRAMS_PER_MULTIPROCESSOR // programs)
    parts = max(1, min(wanted, rows // FEWEST_ROWS))
    part_rows = -(-rows // parts)
    return -(-rows // part_rows), part_rows
