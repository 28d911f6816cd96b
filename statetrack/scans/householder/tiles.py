"""Tiles of the Householder recurrence token after token on a GPU: one choice for every pass.

Measured on one H200. With 16 columns two warps share a scheduler at 256 sequences of 64 by 64,
which hides latency best where steps depend on each other; 32 need fewer instructions. Small states
that are many hide each other's waiting and are bound by instructions: they load no iteration ahead,
and all factors of a token at once.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

UNROLLED_FACTORS = 4
SMALL = 16
MANY = 12  # sequences a multiprocessor


@dataclass(frozen=True)
class Tiles:
    """Sizes of one launch.

    Parameters
    ----------
    rows, columns, parts : int
        The tile of a program, as in `kernel_sequential`.
    factors : int
        Factors that are unrolled, 0 where they are too many.
    tokens : int
        Tokens taken at once.
    ahead : int
        Iterations whose loads are under way, this one included; 1 loads to registers.
    together : int
        Factors that are loaded before the first of them is used.
    """

    rows: int
    columns: int
    parts: int
    factors: int
    tokens: int
    ahead: int
    together: int

    def options(self) -> dict[str, Any]:
        """Compile-time arguments of a kernel."""
        return {
            "ROWS": self.rows,
            "COLS": self.columns,
            "PARTS": self.parts,
            "FACTORS": self.factors,
            "TOKENS": self.tokens,
            "AHEAD": self.ahead,
            "TOGETHER": self.together,
            "num_warps": 1,
            "num_stages": 1,
        }

    def blocks(self, size: int) -> int:
        """Blocks of columns that cover `size`."""
        return -(-size // self.columns)


@dataclass(frozen=True)
class Problem:
    """What tiles are chosen by.

    Parameters
    ----------
    keys, values, factors : int
        Sizes K and V of the state, and factors a token R.
    decays : bool
        Whether the state decays.
    state : torch.dtype
        Of the state.
    sequences : int
    multiprocessors : int
        Of the device.
    """

    keys: int
    values: int
    factors: int
    decays: bool
    state: torch.dtype
    sequences: int
    multiprocessors: int

    @property
    def many(self) -> bool:
        """Whether small states are so many that instructions count, not the way to memory."""
        small = max(self.keys, self.values) <= SMALL
        return small and self.sequences >= MANY * self.multiprocessors

    def forward(self) -> Tiles:
        """Tiles of the forward pass: keys are rows, which it sums over."""
        rows, columns = self._whole(self.keys, 16)
        return self._chosen(self.keys, self.values, rows, columns)

    def backward(self) -> Tiles:
        """Tiles of the backward pass over states: keys are rows, and values are summed too."""
        few = 8 if self.keys <= SMALL else 16 if self.decays else 32
        columns = 16 if self.many else few
        return self._chosen(self.keys, self.values, 16, columns, steps=2)

    def backward_of_rows(self) -> Tiles:
        """Tiles of the backward pass for queries and keys: values are rows, which it sums over."""
        rows, columns = self._whole(self.values, 32)
        return self._chosen(self.values, self.keys, rows, columns)

    def _whole(self, num_rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of a pass that sums over rows alone: a small state in one program."""
        if num_rows <= SMALL:
            return 16, 16 if self.many else 8
        return (8, 32) if num_rows <= 32 else (16, columns)

    def _chosen(
        self, num_rows: int, num_columns: int, rows: int, columns: int, steps: int = 4
    ) -> Tiles:
        tiles = choose_tiles(num_rows, num_columns, self.factors, self.state, rows, columns, steps)
        if not self.many:
            return tiles
        return replace(tiles, ahead=1, together=max(1, tiles.factors))


def choose_tiles(
    num_rows: int,
    num_columns: int,
    num_factors: int,
    state: torch.dtype,
    rows: int,
    columns: int,
    steps: int = 4,
) -> Tiles:
    """Sizes for a state of `num_rows` and `num_columns`, loaded three iterations ahead.

    Parameters
    ----------
    num_rows, num_columns, num_factors : int
    state : torch.dtype
    rows, columns : int
        Of a tile, as in `kernel_sequential`; fewer where the state is smaller.
    steps : int
        Factors taken at once, all tokens together.
    """
    rows = min(rows, _power_of_two(num_rows))
    columns = columns if state == torch.float32 else 8
    unrolled = num_factors <= UNROLLED_FACTORS
    steps = steps // 2 if num_rows > 64 else steps
    return Tiles(
        rows=rows,
        columns=min(columns, _power_of_two(num_columns)),
        parts=_power_of_two(-(-num_rows // rows), 1),
        factors=num_factors if unrolled else 0,
        tokens=max(1, steps // num_factors) if unrolled else 1,
        ahead=3,
        together=1,
    )


def _power_of_two(size: int, least: int = 4) -> int:
    return max(least, 1 << (size - 1).bit_length())
