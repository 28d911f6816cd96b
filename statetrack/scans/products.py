"""Matrix products of float32 numbers on tensor cores, as exact as those of the float32 units.

A float32 number is the sum of three bfloat16 numbers that hold all its bits; of the nine products
of parts, the three smallest are below the rounding of the sum.
"""

import triton
import triton.language as tl

# Two numbers at a time. Written as conversions, every number is converted on its own, in a unit a
# quarter as wide, and LLVM spends half its time on putting pairs together.
SPLIT = tl.constexpr(
    """{
    .reg .b32 low, high;
    cvt.rn.bf16x2.f32 $0, $4, $3;
    shl.b32 low, $0, 16;
    and.b32 high, $0, 0xffff0000;
    sub.rn.f32 low, $3, low;
    sub.rn.f32 high, $4, high;
    cvt.rn.bf16x2.f32 $1, high, low;
    .reg .b32 low_left, high_left;
    shl.b32 low_left, $1, 16;
    and.b32 high_left, $1, 0xffff0000;
    sub.rn.f32 low, low, low_left;
    sub.rn.f32 high, high, high_left;
    cvt.rn.bf16x2.f32 $2, high, low;
    }"""
)


@triton.jit
def split(tile, OPERAND: tl.constexpr, PARTS: tl.constexpr):
    """Operands whose sum is the tile: itself rounded, or three bfloat16 that hold all its bits."""
    if PARTS == 1:
        return (tile.to(OPERAND),)
    else:
        return tl.inline_asm_elementwise(
            SPLIT, "=&r,=&r,=&r,r,r", [tile.to(tl.float32)],
            dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16), is_pure=True, pack=2,
        )  # fmt: skip


@triton.jit
def flip(parts):
    """Operands transposed."""
    if len(parts) == 1:
        return (tl.trans(parts[0]),)
    else:
        return (tl.trans(parts[0]), tl.trans(parts[1]), tl.trans(parts[2]))


@triton.jit
def dot(x, y, STATE: tl.constexpr, PRECISION: tl.constexpr):
    """Matrix product of split operands; of three parts each, the six products above 2^-25.

    They are summed from zero, the smallest first, and the caller adds the sum to its own: tensor
    cores cut sums off instead of rounding them, which adds up where many are added to a large one.
    """
    SUM: tl.constexpr = tl.float64 if x[0].dtype == tl.float64 else tl.float32
    if len(x) == 1:
        product = tl.dot(x[0], y[0], input_precision=PRECISION, out_dtype=SUM)
    else:
        product = tl.dot(x[2], y[0])
        product = tl.dot(x[0], y[2], product)
        product = tl.dot(x[1], y[1], product)
        product = tl.dot(x[1], y[0], product)
        product = tl.dot(x[0], y[1], product)
        product = tl.dot(x[0], y[0], product)
    return product.to(STATE)
