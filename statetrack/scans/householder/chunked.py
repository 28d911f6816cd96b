"""The chunked kernels of the Householder scan: when they are used, how they are cut and launched.

Plain functions over tensors with any strides and up to three leading axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import (
    has_double_tensor_cores,
    is_aligned,
    leading_sizes,
    leading_strides,
    num_items,
    with_unit_stride,
)
from statetrack.scans.launches import Launches


@dataclass(frozen=True)
class Tiles:
    """Sizes of one launch.

    Parameters
    ----------
    keys, values, factors : int
        K, V and R.
    block_keys, block_values : int
        Sizes of the state tile, powers of two.
    chunk : int
        Factors of a chunk, a power of two; whole tokens fill it as far as they go.
    decay : int
        0 none, 1 per head.
    state, operand : torch.dtype
        In which the state is kept, and what the operands of a product are.
    precision : str
        How float32 operands are multiplied.
    warps, stages : int
        Of the walks along time.
    gradient_warps : int
        Of the kernel of the gradients inside chunks.
    gradient_registers : int
        Most registers of a thread there, so that more programs run at once; 0 for no bound.
    """

    keys: int
    values: int
    factors: int
    block_keys: int
    block_values: int
    chunk: int
    decay: int
    state: torch.dtype
    operand: torch.dtype
    precision: str
    warps: int
    stages: int
    gradient_warps: int
    gradient_registers: int

    @property
    def num_blocks(self) -> int:
        """Blocks of value columns."""
        return -(-self.values // self.block_values)

    def num_chunks(self, length: int) -> int:
        """Chunks that cover `length` tokens."""
        return -(-length // (self.chunk // self.factors))

    def options(self) -> dict[str, Any]:
        """Compile-time arguments of the walks along time."""
        return self._options(self.state, self.warps) | {
            "V": self.values,
            "BLOCK_V": self.block_values,
            "num_stages": self.stages,
        }

    def solve_options(self, state: torch.dtype) -> dict[str, Any]:
        """Compile-time arguments of the kernel that inverts the systems, a warp each."""
        return self._options(state, 1)

    def gradient_options(self) -> dict[str, Any]:
        """Compile-time arguments of the kernel of the gradients inside chunks."""
        own = self._options(self.state, self.gradient_warps)
        if self.gradient_registers:
            own["maxnreg"] = self.gradient_registers
        return own | {"V": self.values, "BLOCK_V": self.block_values, "num_stages": 1}

    def _options(self, state: torch.dtype, warps: int) -> dict[str, Any]:
        import triton.language as tl

        types = {
            torch.float32: tl.float32,
            torch.float64: tl.float64,
            torch.bfloat16: tl.bfloat16,
        }
        return {
            "K": self.keys,
            "R": self.factors,
            "BLOCK_K": self.block_keys,
            "CHUNK": self.chunk,
            "ROWS_Q": _power_of_two(self.chunk // self.factors),
            "DECAY": self.decay,
            "STATE": types[state],
            "OPERAND": types[self.operand],
            "PRECISION": self.precision,
            "num_warps": warps,
        }


def suits(inputs: Sequence[Tensor]) -> bool:
    """Whether a scan goes in chunks of factors rather than token after token.

    Bfloat16 does, but for a decay per channel and for less than a chunk of factors. Float32 does
    not: exact products token after token took 60 to 85 % of the time of chunks, on an H200, and so
    they did of chunks in tf32x3.

    Parameters
    ----------
    inputs : q, k, v, beta, write, decay, initial
        As in `run_chunked_forward`; `decay` may be per channel here.
    """
    q, k, v, _beta, _write, decay, initial = inputs
    length, factors = k.shape[-3:-1]
    return (
        {q.dtype, k.dtype, v.dtype} == {torch.bfloat16}
        and initial.dtype == torch.float32
        and decay.shape[-1] <= 1
        and length * factors >= 32
    )


def _power_of_two(size: int) -> int:
    return max(16, 1 << (size - 1).bit_length())


def choose_tiles(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, initial: Tensor) -> Tiles:
    """Sizes for inputs of these shapes and types, the same forwards and backwards."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    on_gpu = q.device.type == "cuda"
    doubles = has_double_tensor_cores(q.device)
    factors, keys = k.shape[-2:]
    values = v.shape[-1]
    block_keys = _power_of_two(keys)
    block_values = min(_power_of_two(values), 64)
    state, operand, precision = initial.dtype, torch.float32, "ieee"
    chunk, warps, stages = 16, 4, 2
    gradient_warps, gradient_registers = 4, 0
    if dtype == torch.float64 or state == torch.float64:
        state = operand = torch.float64
        block_values = min(block_values, 32)
    elif dtype == torch.bfloat16:
        chunk, stages = 32, 3
        precision = "tf32x3" if on_gpu else "ieee"
        operand = torch.bfloat16 if on_gpu else torch.float32
        # Products of 64 rows and more are warp-group products.
        warps = 4 if block_values == 64 else 2
        gradient_warps = 4 if block_keys > 32 else 2
        gradient_registers = 168 if block_keys == 64 else 0
    elif dtype == torch.float16:
        precision = "tf32x3"
    elif doubles:
        # Products of float32 numbers are exact in float64, whose tensor cores are as fast as the
        # float32 units.
        state = operand = torch.float64
    if block_keys > 64:
        warps, gradient_warps = 8, 8
        if operand == torch.float64:
            block_values = min(block_values, 32)
    return Tiles(
        keys, values, factors, block_keys, block_values, max(chunk, _power_of_two(factors)),
        decay.shape[-1], state, operand, precision, warps, stages,
        gradient_warps, gradient_registers,
    )  # fmt: skip


def run_chunked_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Outputs, final state and what the backward pass needs, for at least one token and sequence.

    Parameters
    ----------
    q : Tensor, [..., T, K]
    k : Tensor, [..., T, R, K]
    v : Tensor, [..., T, R, V]
    beta, write : Tensor, [..., T, R]
    decay : Tensor, [..., T, D]
        D = 0 for none, 1 for one per head.
    initial : Tensor, [..., K, V]
        In the type of the state.
    save : bool
        Keep what the backward pass needs; else the last two are empty.

    Returns
    -------
    outputs : Tensor, [..., T, V]
    final_state : Tensor, [..., K, V]
    updates : Tensor, [..., T, R, V]
    states : Tensor, [..., chunks + 1, V, K]
        Transposed states before every chunk and after the last.
    inverses : Tensor, [..., chunks, C, C]
        Of the triangular systems of all chunks; always whole.
    """
    from statetrack.scans.householder.kernel_chunked import scan_forward
    from statetrack.scans.householder.kernel_chunked_solve import solve_chunks

    o, final, updates, states, inverses = allocate(q, k, v, beta, write, decay, initial, save)
    inputs = _prepare(q, k, v, beta, write, decay, initial)
    q, k, v, beta, write, decay, initial = inputs
    tiles = choose_tiles(q, k, v, decay, initial)
    leading, length = v.shape[:-3], v.shape[-3]
    sizes = leading_sizes(leading)
    strides = [*_strides(q, k, v, beta, write, decay), *_row_strides(initial), *_row_strides(o)]
    with Launches(q) as launch:
        launch(
            solve_chunks, (num_items(sizes) * tiles.num_chunks(length),),
            k, beta, decay, inverses, *sizes[1:], length,
            *_factor_strides(k, 3), *_factor_strides(beta, 2), *_row_strides(decay),
            ALIGNED=_aligned(k), **tiles.solve_options(initial.dtype),
        )  # fmt: skip
        launch(
            scan_forward, (num_items(sizes) * tiles.num_blocks,),
            q, k, v, beta, write, decay, initial, inverses, o, final, updates, states,
            *sizes[1:], length, *strides,
            SAVE=save, ALIGNED=_aligned(q, k, v), **tiles.options(),
        )  # fmt: skip
    return o, final, updates, states, inverses


def allocate(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    write: Tensor,
    decay: Tensor,
    initial: Tensor,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Room for what `run_chunked_forward` returns."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    tiles = choose_tiles(q, k, v, decay, initial)
    leading, length = v.shape[:-3], v.shape[-3]
    saved_type = torch.bfloat16 if dtype == torch.bfloat16 else initial.dtype
    chunks = tiles.num_chunks(length)
    return (
        _empty((*leading, length, tiles.values), v, dtype),
        _empty((*leading, tiles.keys, tiles.values), v, initial.dtype),
        _empty((*leading, length if save else 0, *v.shape[-2:]), v, saved_type),
        _empty((*leading, chunks + 1 if save else 0, tiles.values, tiles.keys), v, saved_type),
        _empty((*leading, chunks, tiles.chunk, tiles.chunk), v, initial.dtype),
    )


def run_chunked_backward(
    inputs: tuple[Tensor, ...],
    saved: tuple[Tensor, Tensor, Tensor],
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of q, k, v, beta, write, decay and initial state.

    Parameters
    ----------
    inputs : q, k, v, beta, write, decay, initial
        As in `run_chunked_forward`.
    saved : updates, states, inverses
    grad_o : Tensor, [..., T, V]
    grad_final : Tensor, [..., K, V]
    """
    from statetrack.scans.householder.kernel_chunked_backward import scan_backward
    from statetrack.scans.householder.kernel_chunked_gradients import chunk_gradients

    types = [tensor.dtype for tensor in inputs]
    q, k, v, beta, write, decay, initial = _prepare(*inputs)
    updates, states, inverses = saved
    grad_o, grad_final = with_unit_stride(grad_o), with_unit_stride(grad_final)
    tiles = choose_tiles(q, k, v, decay, initial)
    length = v.shape[-3]
    sizes = leading_sizes(v.shape[:-3])
    sequences = num_items(sizes)
    grads = [_empty(tensor.shape, v, dtype) for tensor, dtype in zip(inputs, types, strict=True)]
    grad_q, grad_k, grad_v, grad_beta, grad_write, grad_decay, grad_initial = grads
    grad_updates = torch.empty_like(updates)
    adjoints = torch.empty_like(states)
    of_q, of_k, of_v = _row_strides(q), _factor_strides(k, 3), _factor_strides(v, 3)
    of_beta, of_write = _factor_strides(beta, 2), _factor_strides(write, 2)
    of_decay, of_o = _row_strides(decay), _row_strides(grad_o)
    with Launches(q) as launch:
        launch(
            scan_backward, (sequences * tiles.num_blocks,),
            q, k, beta, write, decay, inverses, grad_o, grad_final,
            grad_updates, grad_v, adjoints, grad_initial, *sizes[1:], length,
            *of_q, *of_k, *of_beta, *of_write, *of_decay, *of_o, *_row_strides(grad_final),
            ALIGNED=_aligned(q, k, grad_o), **tiles.options(),
        )  # fmt: skip
        launch(
            chunk_gradients, (sequences * tiles.num_chunks(length),),
            q, k, v, beta, decay, states, adjoints, updates, grad_updates, grad_o,
            grad_q, grad_k, grad_beta, grad_write, grad_decay, *sizes[1:], length,
            *of_q, *of_k, *of_v, *of_beta, *of_decay, *of_o,
            ALIGNED=_aligned(q, k, v, grad_o), **tiles.gradient_options(),
        )  # fmt: skip
    return tuple(grads)


def _empty(shape: tuple[int, ...] | torch.Size, beside: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=beside.device)


def _prepare(*inputs: Tensor) -> list[Tensor]:
    """Unit last strides, and one type of q, k and v."""
    dtype = inputs[0].dtype
    for tensor in inputs[1:3]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    same = [tensor.to(dtype) for tensor in inputs[:3]]
    return [with_unit_stride(tensor) for tensor in (*same, *inputs[3:])]


def _strides(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, write: Tensor, decay: Tensor
) -> list[int]:
    """Strides of leading axes, tokens and, where there are some, factors."""
    strides = _row_strides(q)
    for tensor, own_axes in ((k, 3), (v, 3), (beta, 2), (write, 2)):
        strides += _factor_strides(tensor, own_axes)
    return [*strides, *_row_strides(decay)]


def _factor_strides(tensor: Tensor, own_axes: int) -> list[int]:
    own = tensor.stride()[-own_axes:]
    return [*leading_strides(tensor, own_axes), *own[:2]]


def _row_strides(tensor: Tensor) -> list[int]:
    return [*leading_strides(tensor, 2), tensor.stride(-2)]


def _aligned(*tensors: Tensor) -> bool:
    """Whether all rows start at multiples of 16 bytes and of 8 elements: loads can be wide."""
    strides = [tensor.stride()[:-1] for tensor in tensors]
    return is_aligned(tensors, strides) and all(
        stride % 8 == 0 for of_tensor in strides for stride in of_tensor
    )
