"""Products of decays per head inside a chunk of Householder factors, zeros and signs exact."""

import triton
import triton.language as tl

TINY = tl.constexpr(2.0**-80)


@triton.jit
def split_zeros(factors, AXIS: tl.constexpr):
    """Running products of the factors that are not zero, running counts of those that are."""
    is_zero = factors == 0
    products = tl.cumprod(tl.where(is_zero, 1.0, factors), AXIS)
    counts = tl.cumsum(is_zero.to(tl.int32), AXIS)
    return products, counts


@triton.jit
def out_of_range(products):
    """Elements whose quotients could overflow, underflow or are not finite."""
    size = tl.abs(products)
    return tl.where((size > TINY) & (size < 1.0 / TINY), 0, 1)


@triton.jit
def decay_products(
    pointer, step, rows, tokens, left, R: tl.constexpr, CHUNK: tl.constexpr, STATE: tl.constexpr
):
    """Products of the decays of a chunk, each belonging to the first factor of its token.

    With ``P(j..i)`` the product over the factors j to i: ``between[j, i] = P(j+1..i)`` for j <= i,
    ``exclusive[j, i] = P(j+1..i-1)`` for j < i, ``reading[j, n] = P(j+1..)`` to the last factor of
    token n, zero elsewhere; ``before[i] = P(0..i)``, ``before_exclusive[i] = P(0..i-1)`` and
    ``before_reading[n]``. Quotients of running products without zeros where these stay in range,
    else column by column.
    """
    TOKENS: tl.constexpr = CHUNK // R
    j = rows[:, None]
    i = rows[None, :]
    n = tokens[None, :]
    token = rows // R
    here = tl.load(
        pointer + token.to(tl.int64) * step,
        mask=(rows % R == 0) & (token < TOKENS) & (token < left), other=1.0,
    ).to(STATE)  # fmt: skip
    token = (rows + R - 1) // R - 1
    last = tl.load(
        pointer + token.to(tl.int64) * step,
        mask=(rows >= 1) & (rows % R == 1 % R) & (token < TOKENS) & (token < left), other=1.0,
    ).to(STATE)  # fmt: skip
    read = tl.load(
        pointer + tokens.to(tl.int64) * step, mask=(tokens < TOKENS) & (tokens < left), other=1.0
    ).to(STATE)
    products, zeros = split_zeros(here, 0)
    if tl.max(out_of_range(products), 0) == 0:
        inverse = 1.0 / products
        before = tl.where(zeros == 0, products, 0.0)
        between = inverse[:, None] * products[None, :]
        between = tl.where((j <= i) & (zeros[:, None] == zeros[None, :]), between, 0.0)
        to_last, of_last = split_zeros(last, 0)
        before_exclusive = tl.where(of_last == 0, to_last, 0.0)
        exclusive = inverse[:, None] * to_last[None, :]
        exclusive = tl.where((j < i) & (zeros[:, None] == of_last[None, :]), exclusive, 0.0)
        to_read, of_read = split_zeros(read, 0)
        before_reading = tl.where(of_read == 0, to_read, 0.0)
        reading = inverse[:, None] * to_read[None, :]
        reading = tl.where((j // R <= n) & (zeros[:, None] == of_read[None, :]), reading, 0.0)
    else:
        before = tl.cumprod(here, 0)
        before_exclusive = tl.cumprod(last, 0)
        before_reading = tl.cumprod(read, 0)
        between = tl.zeros([rows.shape[0], rows.shape[0]], STATE)
        exclusive = tl.zeros([rows.shape[0], rows.shape[0]], STATE)
        reading = tl.zeros([rows.shape[0], tokens.shape[0]], STATE)
        column = tl.zeros_like(here)
        for f in range(TOKENS * R):
            exclusive = tl.where((i == f) & (j < f), column[:, None], exclusive)
            first = (f % R == 0) & (f // R < left)
            factor = tl.load(pointer + (f // R) * step, mask=first, other=1.0).to(STATE)
            column = tl.where(rows == f, 1.0, column * factor)
            between = tl.where((i == f) & (j <= f), column[:, None], between)
            reading = tl.where((n == f // R) & (j <= f), column[:, None], reading)
    return between, exclusive, reading, before, before_exclusive, before_reading


@triton.jit
def at_end(between, rows, LAST: tl.constexpr):
    """Column `LAST`: the decays after every factor of the chunk."""
    return tl.sum(tl.where(rows[None, :] == LAST, between, 0.0), 1)
