"""How the kernels of the outer-product recurrence are cut: tile sizes, warps, operand types."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_KEYS = 128


@dataclass(frozen=True)
class Tiles:
    """Sizes of the launches for inputs of one kind.

    Parameters
    ----------
    keys, values : int
        K and V.
    block_keys, block_values : int
        Sizes of the state tile in registers, powers of two.
    chunk : int
        Tokens of a chunk.
    decay : int
        0 none, 1 per head, 2 per channel.
    operand : torch.dtype
        What the operands of a product are rounded to.
    parts : int
        How many of them stand for one float32 number.
    precision : str
        How float32 operands are multiplied.
    small : float
        Decays below are not divided by: a gradient that cancels keeps its accuracy above.
    """

    keys: int
    values: int
    block_keys: int
    block_values: int
    chunk: int
    decay: int
    operand: torch.dtype
    parts: int
    precision: str
    small: float

    @property
    def num_blocks(self) -> int:
        """Blocks of value columns."""
        return -(-self.values // self.block_values)

    @property
    def separate_values(self) -> bool:
        """Whether values get their gradient in a launch of their own: less code at once."""
        return self.parts > 1

    def partial(self, tensor: Tensor, state: Tensor) -> torch.dtype:
        """Type of the partial gradients of `tensor`: its own where there is one block."""
        return tensor.dtype if self.num_blocks == 1 else state.dtype

    def stored(self, state: torch.dtype) -> torch.dtype:
        """Type of the states and adjoints kept for the gradient: what products take of them."""
        return torch.bfloat16 if self.operand == torch.bfloat16 and self.parts == 1 else state

    def options(self, state: torch.dtype) -> dict[str, Any]:
        """Compile-time arguments of every kernel."""
        return {
            "K": self.keys,
            "V": self.values,
            "BLOCK_K": self.block_keys,
            "BLOCK_V": self.block_values,
            "CHUNK": self.chunk,
            "DECAY": self.decay,
            "STATE": _of_triton(state),
        }

    def products(self) -> dict[str, Any]:
        """Compile-time arguments of a kernel with matrix products."""
        return {
            "OPERAND": _of_triton(self.operand),
            "PARTS": self.parts,
            "PRECISION": self.precision,
        }

    def launch(self, kernel: str) -> dict[str, int]:
        """Warps and loads ahead of "forward", "sweep" or "chunks".

        Where three parts stand for a number, shared memory for loads ahead would leave a
        multiprocessor half the programs.
        """
        stages = 1 if kernel == "chunks" or self.parts > 1 else 3
        return {"num_warps": 8 if self.block_keys > 64 else 4, "num_stages": stages}


def _of_triton(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64, torch.bfloat16: tl.bfloat16}[
        dtype
    ]


def num_chunks(length: int, chunk: int) -> int:
    """Chunks that cover `length` tokens."""
    return -(-length // chunk)


def _power_of_two(size: int) -> int:
    return max(16, 1 << (size - 1).bit_length())


def choose_tiles(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, precision: str) -> Tiles:
    """Sizes for inputs of these shapes and types, measured on one H200."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    on_gpu = q.device.type != "cpu"
    return _choose(q.shape[-1], v.shape[-1], min(decay.shape[-1], 2), dtype, precision, on_gpu)


def _choose(
    keys: int, values: int, mode: int, dtype: torch.dtype, precision: str, on_gpu: bool
) -> Tiles:
    block_keys = _power_of_two(keys)
    block_values = min(_power_of_two(values), 64)
    operand, parts, chunk, small = torch.float32, 1, 16, 2.0**-2
    if dtype == torch.float64:
        operand, small = torch.float64, 2.0**-20
        block_values = min(block_values, 32)
    elif dtype in (torch.bfloat16, torch.float16):
        precision = "tf32"
        if dtype == torch.bfloat16 and on_gpu:
            operand, chunk, small = torch.bfloat16, 64, 2.0**-12
    elif precision == "ieee" and on_gpu:
        # Three bfloat16 hold the bits of a float32, and six products of them its products: faster
        # than the float32 units and the float64 tensor cores.
        operand, parts, chunk = torch.bfloat16, 3, 64
    if operand == torch.bfloat16:
        # Triton 3.6 compiles products of narrower bfloat16 tiles wrongly.
        block_keys, block_values = max(block_keys, 64), 64
    return Tiles(
        keys, values, block_keys, block_values, chunk, mode, operand, parts, precision, small
    )
