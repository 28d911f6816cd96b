"""How the kernels of the outer-product recurrence are cut: tile sizes, warps, operand types."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_KEYS = 128


@dataclass(frozen=True)
class Tiles:
    """Sizes of one launch.

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
    precision : str
        How float32 operands are multiplied.
    warps, stages : int
    wide_state : bool
        Keep the state in float64 inside a launch.
    """

    keys: int
    values: int
    block_keys: int
    block_values: int
    chunk: int
    decay: int
    operand: torch.dtype
    precision: str
    warps: int
    stages: int
    wide_state: bool = False

    @property
    def num_blocks(self) -> int:
        """Blocks of value columns."""
        return -(-self.values // self.block_values)

    def partial(self, tensor: Tensor, state: Tensor) -> torch.dtype:
        """Type of the partial gradients of `tensor`: its own where there is one block."""
        return tensor.dtype if self.num_blocks == 1 else state.dtype

    def options(self, state: torch.dtype) -> dict[str, Any]:
        """Compile-time arguments of a kernel."""
        import triton.language as tl

        types = {
            torch.float32: tl.float32,
            torch.float64: tl.float64,
            torch.bfloat16: tl.bfloat16,
        }
        return {
            "K": self.keys,
            "V": self.values,
            "BLOCK_K": self.block_keys,
            "BLOCK_V": self.block_values,
            "CHUNK": self.chunk,
            "LEVELS": self.chunk.bit_length() - 1,
            "DECAY": self.decay,
            "STATE": tl.float64 if self.wide_state else types[state],
            "OPERAND": types[self.operand],
            "PRECISION": self.precision,
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


def num_chunks(length: int, chunk: int) -> int:
    """Chunks that cover `length` tokens."""
    return -(-length // chunk)


def _power_of_two(size: int) -> int:
    return max(16, 1 << (size - 1).bit_length())


def choose_tiles(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, precision: str, *, backward: bool
) -> Tiles:
    """Sizes for inputs of these shapes and types, measured on one H200."""
    keys, values = q.shape[-1], v.shape[-1]
    mode = min(decay.shape[-1], 2)
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    interpreted = q.device.type != "cuda"
    block_values = min(_power_of_two(values), 64)
    operand, chunk, warps, stages = torch.float32, 16, 8, 1
    if dtype == torch.float64:
        operand, warps = torch.float64, 4
        block_values = min(block_values, 32)
    elif dtype in (torch.bfloat16, torch.float16):
        precision = "tf32"
        chunk, warps, stages = 64, 4, 2
        if dtype == torch.bfloat16 and not interpreted and mode == 0:
            operand = torch.bfloat16
    return Tiles(
        keys, values, _power_of_two(keys), block_values, chunk, mode, operand, precision, warps,
        stages,
    )  # fmt: skip
