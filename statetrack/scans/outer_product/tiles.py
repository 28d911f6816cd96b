"""How the kernels of the outer-product recurrence are cut: tile sizes, warps, operand types."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import has_double_tensor_cores

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
    in_turn : bool
        Backward pass without decay or with one per head: finish one gradient after the other.
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
    in_turn: bool = False

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
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    precision: str,
    *,
    backward: bool,
    save: bool = True,
) -> Tiles:
    """Sizes for inputs of these shapes and types, measured on one H200."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    mode = min(decay.shape[-1], 2)
    on_gpu = q.device.type == "cuda"
    if precision == "ieee" and not (on_gpu and has_double_tensor_cores(q.device)):
        on_gpu = on_gpu and dtype != torch.float32
    return _choose(q.shape[-1], v.shape[-1], mode, dtype, precision, on_gpu, backward, save)


def _choose(
    keys: int,
    values: int,
    mode: int,
    dtype: torch.dtype,
    precision: str,
    on_gpu: bool,
    backward: bool,
    save: bool,
) -> Tiles:
    block_keys = _power_of_two(keys)
    block_values = min(_power_of_two(values), 64)
    operand, chunk, warps, stages, wide_state = torch.float32, 16, 4, 1, False
    if dtype == torch.float64:
        operand = torch.float64
        block_values = min(block_values, 32)
    elif dtype in (torch.bfloat16, torch.float16):
        precision = "tf32"
        if dtype == torch.bfloat16 and on_gpu:
            operand = torch.bfloat16
        chunk = (64, 32, 16)[mode] if save else (64, 64, 32)[mode]
        stages = 1 if backward and mode == 2 else 2 if backward or mode == 2 else 3
    elif precision == "ieee" and on_gpu:
        # Products of float32 numbers are exact in float64, whose tensor cores are as fast as the
        # float32 units.
        operand = torch.float64
        stages = 1 if backward else 2
        wide_state = mode == 0
    if block_keys > 64:
        warps = 8
    return Tiles(
        keys, values, block_keys, block_values, chunk, mode, operand, precision, warps, stages,
        wide_state, in_turn=backward and mode < 2 and dtype == torch.bfloat16,
    )  # fmt: skip
