"""The diagonal recurrence as torch operators whose CUDA code is Triton.

Registered: fake tensors, autograd, vmap (the mapped axis becomes one more leading axis).
"""

from typing import Any

import torch
from torch import Tensor

from statetrack.scans.inputs import compute_dtype
from statetrack.scans.kernels import (
    empty_beside,
    leading_sizes,
    leading_strides,
    multiprocessors,
    num_items,
    with_unit_stride,
)
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator

# One warp owns 32 channels and loads 64 bytes of each ahead (16 rows of float32): 8 such programs
# on a multiprocessor keep about 32 kB in flight, what 4.3 TB/s at 0.8 us of latency asks for.
BLOCK = 32
BYTES_AHEAD = 64
PROGRAMS_PER_MULTIPROCESSOR = 8
SHORTEST_CHUNK = 64


def _run(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """States [..., T, D] and final state [..., D] of inputs that share their leading axes."""
    a, x, initial = (with_unit_stride(tensor) for tensor in (a, x, initial))
    states, final = _allocate(a, x, initial)
    if x.shape[-2] == 0:
        return states, final.copy_(initial)
    if states.numel() == 0:
        return states, final
    return _launch_forward(a, x, initial, states, final)


def _run_backward(
    a: Tensor, initial: Tensor, states: Tensor, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of transitions, inputs (in the type of the states) and initial state."""
    grads = _allocate_gradients(a, initial, states)
    if states.shape[-2] == 0:
        grads[2].copy_(grad_final)
    elif states.numel() > 0:
        inputs = (a, initial, states, grad_states, grad_final)
        _launch_backward([with_unit_stride(tensor) for tensor in inputs], grads)
    return grads


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    a, x, initial = inputs
    ctx.x_dtype = x.dtype
    ctx.save_for_backward(a, initial, output[0])


def _differentiate(
    ctx: Any, grad_states: Tensor, grad_final: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_a, grad_x, grad_initial = diagonal_scan_backward_triton(
        *ctx.saved_tensors, grad_states, grad_final
    )
    return grad_a, grad_x.to(ctx.x_dtype), grad_initial


def _allocate(a: Tensor, x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    states = empty_beside(x, torch.promote_types(a.dtype, x.dtype))
    shape = (*x.shape[:-2], x.shape[-1])
    return states, torch.empty(shape, dtype=compute_dtype(states, initial), device=x.device)


def _allocate_gradients(
    a: Tensor, initial: Tensor, states: Tensor, *_gradients: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_initial = torch.empty(initial.shape, dtype=initial.dtype, device=initial.device)
    return empty_beside(a, a.dtype), empty_beside(states, states.dtype), d_initial


def _as_real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


class _Plan:
    """How a scan that writes `rows` [..., T, D] is cut into programs."""

    def __init__(self, rows: Tensor, state: torch.dtype) -> None:
        import triton.language as tl

        *leading, self.length, self.channels = rows.shape
        self.batch = num_items(leading)
        sequences = self.batch * -(-self.channels // BLOCK)
        wanted = multiprocessors(rows.device) * PROGRAMS_PER_MULTIPROCESSOR
        chunks = 1 if 2 * sequences > wanted else -(-wanted // sequences)
        chunks = max(1, min(chunks, self.length // SHORTEST_CHUNK))
        self.chunk_size = -(-self.length // chunks)
        self.num_chunks = -(-self.length // self.chunk_size)
        self.grid = (sequences * self.num_chunks,)
        self.numbers = (
            *leading_sizes(leading)[1:],
            self.channels,
            self.length,
            self.chunk_size,
            self.num_chunks,
        )
        self.options = {
            "BLOCK": BLOCK,
            "UNROLL": BYTES_AHEAD // min(rows.element_size(), 8),
            "STATE": tl.float64 if state in (torch.float64, torch.complex128) else tl.float32,
            "COMPLEX": state.is_complex,
            "num_warps": 1,
        }

    def workspace(self, state: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Room for the products and the ends of all chunks: [B, C, D] each."""
        shape = (self.batch, self.num_chunks if self.num_chunks > 1 else 0, self.channels)
        products, ends = (torch.empty(shape, dtype=state, device=device) for _ in range(2))
        return _as_real(products), _as_real(ends)


def _launch_forward(
    a: Tensor, x: Tensor, initial: Tensor, states: Tensor, final: Tensor
) -> tuple[Tensor, Tensor]:
    from statetrack.scans.diagonal.kernel import reduce_forward, scan_forward

    plan = _Plan(states, final.dtype)
    products, ends = plan.workspace(final.dtype, x.device)
    with Launches(x) as launch:
        if plan.num_chunks > 1:
            launch(
                reduce_forward, plan.grid, _as_real(a), _as_real(x), products, ends,
                *plan.numbers, *_row_strides(a), *_row_strides(x), **plan.options,
            )  # fmt: skip
        launch(
            scan_forward, plan.grid, _as_real(a), _as_real(x), _as_real(initial), products, ends,
            _as_real(states), _as_real(final),
            *plan.numbers, *_row_strides(a), *_row_strides(x), *leading_strides(initial, 1),
            *_row_strides(states), **plan.options,
        )  # fmt: skip
    return states, final


def _launch_backward(inputs: list[Tensor], grads: tuple[Tensor, Tensor, Tensor]) -> None:
    from statetrack.scans.diagonal.kernel_backward import reduce_backward, scan_backward

    a, initial, states, grad_states, grad_final = inputs
    grad_a, grad_x, grad_initial = grads
    plan = _Plan(states, grad_final.dtype)
    products, ends = plan.workspace(grad_final.dtype, a.device)
    with Launches(a) as launch:
        if plan.num_chunks > 1:
            launch(
                reduce_backward, plan.grid, _as_real(a), _as_real(grad_states), products, ends,
                *plan.numbers, *_row_strides(a), *_row_strides(grad_states), **plan.options,
            )  # fmt: skip
        launch(
            scan_backward, plan.grid,
            _as_real(a), _as_real(initial), _as_real(states), _as_real(grad_states),
            _as_real(grad_final), products, ends,
            _as_real(grad_a), _as_real(grad_x), _as_real(grad_initial),
            *plan.numbers, *_row_strides(a), *leading_strides(initial, 1), *_row_strides(states),
            *_row_strides(grad_states), *leading_strides(grad_final, 1), *_row_strides(grad_a),
            *_row_strides(grad_x), **plan.options,
        )  # fmt: skip


def _row_strides(tensor: Tensor) -> list[int]:
    return [*leading_strides(tensor, 2), tensor.stride(-2)]


diagonal_scan_triton = register_operator(
    "diagonal_scan(Tensor a, Tensor x, Tensor initial) -> (Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(2, 2, 1),
)
diagonal_scan_backward_triton = register_operator(
    "diagonal_scan_backward(Tensor a, Tensor initial, Tensor states, Tensor grad_states, "
    "Tensor grad_final) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 1, 2, 2, 1),
)
register_gradient(diagonal_scan_triton, diagonal_scan_backward_triton, _differentiate, _save)
