"""Kernels of the matrix recurrence with the scale of every state carried apart as a power of two.

States are ``V_t 2**s_t`` with the largest magnitude of ``V_t`` in [1/2, 1). Powers of two are
made and read as bits, so that nothing is rounded. One program walks along a whole sequence.

Legend: M rows a state, N columns, S sequences, T time.
"""

import triton
import triton.language as tl

from statetrack.scans.matrix.kernel_tiles_parts import (
    begin,
    load_tile,
    load_tile_if,
    multiply,
    rounded,
    store_tile,
)

STRIDES = [
    "n1", "n2", "length", "a0", "a1", "a2", "at", "b0", "b1", "b2", "bt", "h0", "h1", "h2",
    "s0", "s1", "s2", "v0", "v1", "v2", "vt", "g0", "g1", "g2", "gt",
    "da0", "da1", "da2", "dat", "db0", "db1", "db2", "dbt",
]  # fmt: skip


@triton.jit
def _largest(tile):
    return tl.max(tl.max(tl.abs(tile), 1), 0)


@triton.jit
def _exponent(value, STATE: tl.constexpr):
    """Whole number e with value in [2**(e-1), 2**e), as a STATE; 0 for 0, inf and NaN."""
    tiny = value < 1e-30
    raised = value * tl.where(tiny, 1.2676506002282294e30, 1.0)
    if tl.float64 == STATE:
        field = (raised.to(tl.int64, bitcast=True) >> 52) & 2047
        exponent = field - 1022
        special = field == 2047
    else:
        field = (raised.to(tl.int32, bitcast=True) >> 23) & 255
        exponent = field - 126
        special = field == 255
    exponent -= tl.where(tiny, 100, 0)
    return tl.where(special | (value == 0), 0, exponent).to(STATE)


@triton.jit
def _power(exponent, STATE: tl.constexpr):
    if tl.float64 == STATE:
        bits = (exponent.to(tl.int64) + 1023) << 52
    else:
        bits = (exponent.to(tl.int32) + 127) << 23
    return bits.to(STATE, bitcast=True)


@triton.jit
def _times_power(tile, exponent, STATE: tl.constexpr):
    """Tile * 2**exponent in two exact steps; zero or infinite where that leaves the type."""
    BOUND: tl.constexpr = 2044 if tl.float64 == STATE else 252
    exponent = tl.minimum(tl.maximum(exponent, -BOUND), BOUND)
    half = tl.floor(exponent * 0.5)
    return tile * _power(half, STATE) * _power(exponent - half, STATE)


@triton.jit
def _normalised(tile, scale, STATE: tl.constexpr):
    largest = _largest(tile)
    exponent = _exponent(largest, STATE)
    after = tl.where(largest == 0, float("-inf"), scale + exponent)
    return _times_power(tile, -exponent, STATE), after


@triton.jit(do_not_specialize=STRIDES)
def scan_rescaled(
    a, b, initial, initial_scale, values, scales,
    n1, n2, length,
    a0, a1, a2, at, b0, b1, b2, bt, h0, h1, h2, s0, s1, s2, v0, v1, v2, vt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """Values [..., T, M, N] and scales [S, T] of all states."""
    sequence = tl.program_id(0)
    at, bt, vt = rounded(at, ALIGNED), rounded(bt, ALIGNED), rounded(vt, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED)
    b = begin(b, sequence, n1, n2, b0, b1, b2, ALIGNED)
    values = begin(values, sequence, n1, n2, v0, v1, v2, ALIGNED)
    scales += sequence.to(tl.int64) * length
    state = load_tile(begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED), M, N, MP, NP, STATE)
    scale = tl.load(begin(initial_scale, sequence, n1, n2, s0, s1, s2, False)).to(STATE)
    for _ in tl.range(0, length, num_stages=STAGES):
        matrix = load_tile(a, N, N, NP, NP, STATE)
        of_matrix = _exponent(_largest(matrix), STATE)
        matrix = _times_power(matrix, -of_matrix, STATE)
        state = multiply(state, matrix, PRECISION, STATE)
        state, scale = _normalised(state, scale + of_matrix, STATE)
        if HAS_B:
            added = load_tile(b, M, N, MP, NP, STATE)
            added, added_scale = _normalised(added, tl.zeros_like(scale), STATE)
            common = tl.maximum(scale, added_scale)
            common = tl.where(common == float("-inf"), 0.0, common)
            state = _times_power(state, scale - common, STATE)
            state += _times_power(added, added_scale - common, STATE)
            state, scale = _normalised(state, common, STATE)
        store_tile(values, state, M, N)
        tl.store(scales, scale)
        a += at
        b += bt
        values += vt
        scales += 1


@triton.jit(do_not_specialize=STRIDES)
def scan_rescaled_backward(
    a, initial, initial_scale, values, scales, grad_values, grad_a, grad_b, grad_initial,
    n1, n2, length,
    a0, a1, a2, at, h0, h1, h2, s0, s1, s2, v0, v1, v2, vt, g0, g1, g2, gt,
    da0, da1, da2, dat, db0, db1, db2, dbt,
    N: tl.constexpr, M: tl.constexpr, NP: tl.constexpr, MP: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, STAGES: tl.constexpr, PRECISION: tl.constexpr, HAS_B: tl.constexpr,
):  # fmt: skip
    """Gradients; the scales are locally constant, so a step has a constant factor."""
    sequence = tl.program_id(0)
    wide = sequence.to(tl.int64)
    last = length.to(tl.int64) - 1
    at, vt, gt = rounded(at, ALIGNED), rounded(vt, ALIGNED), rounded(gt, ALIGNED)
    dat, dbt = rounded(dat, ALIGNED), rounded(dbt, ALIGNED)
    a = begin(a, sequence, n1, n2, a0, a1, a2, ALIGNED) + last * at
    initial = begin(initial, sequence, n1, n2, h0, h1, h2, ALIGNED)
    first_scale = tl.load(begin(initial_scale, sequence, n1, n2, s0, s1, s2, False)).to(STATE)
    values = begin(values, sequence, n1, n2, v0, v1, v2, ALIGNED) + last * vt
    scales += wide * length + last
    grad_values = begin(grad_values, sequence, n1, n2, g0, g1, g2, ALIGNED) + last * gt
    grad_a = begin(grad_a, sequence, n1, n2, da0, da1, da2, ALIGNED) + last * dat
    grad_b = begin(grad_b, sequence, n1, n2, db0, db1, db2, ALIGNED) + last * dbt
    carry = tl.zeros([MP, NP], STATE)
    for step in tl.range(0, length, num_stages=1):
        begins = step == length - 1
        matrix = load_tile(a, N, N, NP, NP, STATE)
        before = load_tile_if(values - vt, step < length - 1, M, N, MP, NP, STATE)
        before += load_tile_if(initial, begins, M, N, MP, NP, STATE)
        scale = tl.load(scales)
        scale_before = tl.load(scales - 1, mask=step < length - 1, other=0.0)
        scale_before = tl.where(begins, first_scale, scale_before)
        is_zero = scale == float("-inf")
        adjoint = carry + load_tile(grad_values, M, N, MP, NP, STATE)
        if HAS_B:
            of_input = _times_power(adjoint, tl.where(is_zero, 0.0, -scale), STATE)
            store_tile(grad_b, of_input, M, N)
        factor = tl.where(is_zero, 0.0, scale_before - scale)
        adjoint = _times_power(adjoint, factor, STATE)
        store_tile(grad_a, multiply(tl.trans(before), adjoint, PRECISION, STATE), N, N)
        carry = multiply(adjoint, tl.trans(matrix), PRECISION, STATE)
        a -= at
        values -= vt
        scales -= 1
        grad_values -= gt
        grad_a -= dat
        grad_b -= dbt
    store_tile(grad_initial + wide * M * N, carry, M, N)
