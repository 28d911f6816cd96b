"""Triton kernel that inverts the triangular system of every chunk of the Householder recurrence.

The systems depend on keys, strengths and decays alone, not on the state, so that all chunks are
inverted at once, one warp each, and the walk along time is left with products only. The diagonal
blocks of 16 factors are inverted by substitution, row by row; two neighbours and what lies between
them make a block of twice the size,

    [[A, 0], [B, D]]^-1 = [[A^-1, 0], [-D^-1 B A^-1, D^-1]].

Both are stable; a series in powers of the system is not: those of equal reflections grow to 1e6
within 16 factors.
All is done in place in the memory of the result.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import HEAD, place
from statetrack.scans.householder.kernel_chunked import dot
from statetrack.scans.householder.kernel_chunked_decays import decay_products
from statetrack.scans.outer_product.kernel import SIZES

BLOCK = tl.constexpr(16)


@triton.jit
def substitute(pointer, CHUNK: tl.constexpr, STATE: tl.constexpr):
    """Invert the diagonal blocks of the identity plus a strictly lower triangular tile in place."""
    blocks = tl.arange(0, CHUNK // BLOCK)[:, None]
    lane = tl.arange(0, BLOCK)
    i = lane[None, :, None]
    j = lane[None, None, :]
    corner = pointer + blocks * (BLOCK * CHUNK + BLOCK)
    row_at = corner + lane[None, :]
    inverse = tl.where((i == j) & (blocks[:, :, None] >= 0), 1.0, 0.0).to(STATE)
    coming = tl.load(row_at + CHUNK, mask=lane[None, :] < 1, other=0.0)
    for number in range(1, BLOCK):
        row = coming
        after = tl.minimum(number + 1, BLOCK - 1)
        coming = tl.load(row_at + after * CHUNK, mask=lane[None, :] < after, other=0.0)
        row = tl.where(lane[None, :] == number, 1.0, -tl.sum(row[:, :, None] * inverse, 1))
        inverse = tl.where(i == number, row[:, None, :], inverse)
    tl.debug_barrier()
    tl.store(corner[:, :, None] + i * CHUNK + j, inverse)


@triton.jit
def merge(
    pointer, CHUNK: tl.constexpr, HALF: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Finish one block of twice `HALF` rows in place, from its inverted diagonal blocks."""
    rows = tl.arange(0, HALF)
    tile = pointer + rows[:, None] * CHUNK + rows[None, :]
    first = tl.load(tile)
    between = tl.load(tile + HALF * CHUNK)
    second = tl.load(tile + HALF * (CHUNK + 1))
    between = dot(between, first, STATE, OPERAND, PRECISION)
    between = dot(second, between, STATE, OPERAND, PRECISION)
    tl.debug_barrier()
    tl.store(tile + HALF * CHUNK, -between)


@triton.jit(
    do_not_specialize=[
        *SIZES, "k0", "k1", "k2", "k_step", "k_factor", "b0", "b1", "b2", "b_step", "b_factor",
        "a0", "a1", "a2", "a_step",
    ]
)  # fmt: skip
def solve_chunks(
    k_pointer, b_pointer, a_pointer, inverse_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64, b_factor: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    K: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr, CHUNK: tl.constexpr,
    ROWS_Q: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Inverse [C, C] of ``I + tril(beta_i G_ij k_i . k_j, -1)`` for one chunk."""
    TOKENS: tl.constexpr = CHUNK // R
    if ALIGNED:
        k_step = k_step // 8 * 8
        k_factor = k_factor // 8 * 8
    program = tl.program_id(0)
    chunks = tl.cdiv(length, TOKENS)
    s0, s1, s2 = place(program // chunks, n1, n2)
    start = program % chunks * TOKENS
    at = tl.full([], 0, tl.int64) + start
    k_offset = s0 * k0 + s1 * k1 + s2 * k2 + at * k_step
    if ALIGNED:
        k_offset = tl.multiple_of(k_offset, 8)
    k_pointer += k_offset
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2 + at * b_step
    inverse_pointer += program.to(tl.int64) * (CHUNK * CHUNK)
    rows = tl.arange(0, CHUNK)
    key = tl.arange(0, BLOCK_K)
    left = tl.minimum(length - start, TOKENS)
    here = rows < left * R
    token = (rows // R).to(tl.int64)
    factor = (rows % R).to(tl.int64)
    k = tl.load(
        k_pointer + token[:, None] * k_step + factor[:, None] * k_factor + key[None, :],
        mask=here[:, None] & (key[None, :] < K), other=0.0,
    ).to(OPERAND)  # fmt: skip
    beta = tl.load(b_pointer + token * b_step + factor * b_factor, mask=here, other=0.0).to(STATE)
    system = dot(k, tl.trans(k), STATE, OPERAND, PRECISION) * beta[:, None]
    if DECAY == HEAD:
        a_pointer += s0 * a0 + s1 * a1 + s2 * a2 + at * a_step
        between, _e, _r, _b, _be, _br = decay_products(
            a_pointer, a_step, rows, tl.arange(0, ROWS_Q), left, R, CHUNK, STATE
        )
        system = system * tl.trans(between)
    system = tl.where(rows[:, None] > rows[None, :], system, 0.0)
    tl.store(inverse_pointer + rows[:, None] * CHUNK + rows[None, :], system)
    tl.debug_barrier()
    substitute(inverse_pointer, CHUNK, STATE)
    tl.debug_barrier()
    if CHUNK > 16:
        for pair in tl.static_range(CHUNK // 32):
            merge(inverse_pointer + pair * (32 * CHUNK + 32), CHUNK, 16, STATE, OPERAND, PRECISION)
    if CHUNK > 32:
        tl.debug_barrier()
        merge(inverse_pointer, CHUNK, 32, STATE, OPERAND, PRECISION)
