"""Triton kernels of the outer-product recurrence: inputs read once, the state in registers.

One program owns a block of value columns of one sequence and walks along time in chunks of `CHUNK`
tokens: what a chunk's tokens give each other is a masked product of its queries and keys, what came
before is read from the state. With decays, queries and keys are scaled by running products (gated
linear attention, Yang et al. 2023, arXiv 2312.06635, equation 5): the decays themselves, signs and
all, not their logarithms. Zeros are counted apart, and where a running product leaves the range of
`TINY` to its inverse the chunk goes row by row, without division.

Legend: C tokens of a chunk, K key channels, V value columns. ``P(j..i)`` is the product of the
decays of the tokens j to i.
"""

import triton
import triton.language as tl

SIZES = ["n1", "n2", "length"]
NONE = tl.constexpr(0)
HEAD = tl.constexpr(1)
CHANNEL = tl.constexpr(2)
TINY = tl.constexpr(2.0**-80)


@triton.jit
def place(program, n1, n2):
    """Folded batch indices of a sequence."""
    b2 = (program % n2).to(tl.int64)
    b1 = (program // n2 % n1).to(tl.int64)
    b0 = (program // n2 // n1).to(tl.int64)
    return b0, b1, b2


@triton.jit
def load_tile(pointer, step, rows, cols, rows_left, COLS: tl.constexpr, other):
    """Rows [C, cols] of a tensor, `other` where there is none."""
    mask = (rows[:, None] < rows_left) & (cols[None, :] < COLS)
    return tl.load(
        pointer + rows[:, None].to(tl.int64) * step + cols[None, :], mask=mask, other=other
    )


@triton.jit
def store_tile(pointer, step, rows, cols, rows_left, COLS: tl.constexpr, value):
    """Write rows [C, cols] in the type of the pointer."""
    mask = (rows[:, None] < rows_left) & (cols[None, :] < COLS)
    tl.store(
        pointer + rows[:, None].to(tl.int64) * step + cols[None, :],
        value.to(pointer.dtype.element_ty),
        mask=mask,
    )


@triton.jit
def dot(x, y, STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr):
    """Matrix product, operands rounded to `OPERAND`, summed in `STATE`."""
    SUM: tl.constexpr = tl.float32 if OPERAND != tl.float64 else tl.float64
    product = tl.dot(x.to(OPERAND), y.to(OPERAND), input_precision=PRECISION, out_dtype=SUM)
    return product.to(STATE)


@triton.jit
def pick_row(tile, rows, index):
    """Row `index` of a tile."""
    return tl.sum(tl.where(rows[:, None] == index, tile, 0.0), 0)


@triton.jit
def swap_blocks(tile, rows, HALF: tl.constexpr):
    """Rows of a tile with neighbouring blocks of `HALF` rows exchanged."""
    index = tl.broadcast_to((rows ^ HALF)[:, None], tile.shape)
    return tl.gather(tile, index, 0)


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
def pair_products(pointer, step, rows, rows_left, STATE: tl.constexpr):
    """Decay products of a chunk of scalars.

    ``inclusive[i, j] = P(j+1..i)`` for j <= i, ``exclusive[i, j] = P(j+1..i-1)`` for j < i, zero
    elsewhere; ``before[i] = P(0..i)`` and ``before_exclusive[i] = P(0..i-1)``. They are quotients
    of running products without zeros, or built row by row where these would leave the range.
    """
    i = rows[:, None]
    j = rows[None, :]
    here = tl.load(pointer + rows.to(tl.int64) * step, mask=rows < rows_left, other=1.0).to(STATE)
    last = tl.load(
        pointer + (rows.to(tl.int64) - 1) * step, mask=(rows >= 1) & (rows <= rows_left), other=1.0
    ).to(STATE)
    products, zeros = split_zeros(here, 0)
    last_products, last_zeros = split_zeros(last, 0)
    rows_by_rows: tl.constexpr = [rows.shape[0], rows.shape[0]]
    if tl.max(out_of_range(products), 0) == 0:
        before = tl.where(zeros == 0, products, 0.0)
        before_exclusive = tl.where(last_zeros == 0, last_products, 0.0)
        inverse = 1.0 / products
        inclusive = products[:, None] * inverse[None, :]
        inclusive = tl.where((i >= j) & (zeros[:, None] == zeros[None, :]), inclusive, 0.0)
        exclusive = last_products[:, None] * inverse[None, :]
        exclusive = tl.where((i > j) & (last_zeros[:, None] == zeros[None, :]), exclusive, 0.0)
    else:
        before = tl.cumprod(here, 0)
        before_exclusive = tl.cumprod(last, 0)
        inclusive = tl.zeros(rows_by_rows, STATE)
        exclusive = tl.zeros(rows_by_rows, STATE)
        row = tl.where(rows == 0, 1.0, tl.zeros_like(here))
        for t in range(tl.minimum(rows_left, rows.shape[0])):
            exclusive = tl.where((i == t) & (j < t), row[None, :], exclusive)
            row = tl.where(rows == t, 1.0, row * tl.load(pointer + t * step).to(STATE))
            inclusive = tl.where((i == t) & (j <= t), row[None, :], inclusive)
        inclusive = tl.where((i >= rows_left) & (j < rows_left), row[None, :], inclusive)
        inclusive = tl.where((i >= j) & (j >= rows_left), 1.0, inclusive)
    return inclusive, exclusive, before, before_exclusive


@triton.jit
def is_level(rows, HALF: tl.constexpr):
    """Pairs (i, j) that lie in the second and the first half of one block of 2 `HALF` tokens."""
    block_i = rows[:, None] // HALF
    block_j = rows[None, :] // HALF
    return (block_i == block_j + 1) & (block_j % 2 == 0)


@triton.jit
def channel_quotients(
    q, k, products, zeros, rows, CHUNK: tl.constexpr, STATE: tl.constexpr,
    OPERAND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Weights [C, C] of a chunk from running products that stay in range, and products of decays.

    ``prefix[i] = P(0..i)``, ``suffix[j] = P(j+1..C-1)``, ``total = P(0..C-1)``. One product of
    quotients for every stretch between zeros of the decays.
    """
    q_scaled = q * products
    k_scaled = k / products
    weights = tl.zeros([CHUNK, CHUNK], STATE)
    for stretch in range(tl.max(tl.max(zeros, 1), 0) + 1):
        here = zeros == stretch
        weights += dot(
            tl.where(here, q_scaled, 0.0), tl.trans(tl.where(here, k_scaled, 0.0)),
            STATE, OPERAND, PRECISION,
        )  # fmt: skip
    weights = tl.where(rows[:, None] >= rows[None, :], weights, 0.0)
    end = pick_row(products, rows, CHUNK - 1)
    all_zeros = tl.max(zeros, 0)
    prefix = tl.where(zeros == 0, products, 0.0)
    suffix = tl.where(zeros == all_zeros[None, :], end[None, :] / products, 0.0)
    return weights, prefix, suffix, tl.where(all_zeros == 0, end, 0.0)


@triton.jit
def channel_rows(q, k, a, rows, CHUNK: tl.constexpr, STATE: tl.constexpr):
    """What `channel_quotients` returns, row by row from the decays: for products of any range."""
    i = rows[:, None]
    j = rows[None, :]
    weights = tl.zeros([CHUNK, CHUNK], STATE)
    prefix = tl.full(a.shape, 1.0, STATE)
    suffix = tl.full(a.shape, 1.0, STATE)
    total = tl.full([a.shape[1]], 1.0, STATE)
    for t in range(CHUNK):
        factors = pick_row(a, rows, t)
        suffix = tl.where(i < t, suffix * factors[None, :], suffix)
        total = total * factors
        prefix = tl.where(i == t, total[None, :], prefix)
        row = tl.sum(suffix * k * pick_row(q, rows, t)[None, :], 1)
        weights = tl.where((i == t) & (j <= t), row[None, :], weights)
    return weights, prefix, suffix, total


@triton.jit
def channel_products(
    q, k, a, rows, CHUNK: tl.constexpr, STATE: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Weights and products of a chunk whose decays hold zeros or leave the range."""
    products, zeros = split_zeros(a, 0)
    if tl.max(tl.max(out_of_range(products), 1), 0) == 0:
        weights, prefix, suffix, total = channel_quotients(
            q, k, products, zeros, rows, CHUNK, STATE, OPERAND, PRECISION
        )
    else:
        weights, prefix, suffix, total = channel_rows(q, k, a, rows, CHUNK, STATE)
    return weights, prefix, suffix, total


@triton.jit(do_not_specialize=[*SIZES, "a0", "a1", "a2", "a_step"])
def multiply_decays(
    a_pointer, products_pointer, plain_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    K: tl.constexpr, BLOCK_K: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    STATE: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Running products [B, T, K] of the decays of every chunk; [B, C] whether all are in range."""
    blocks = tl.cdiv(length, CHUNK * CHUNKS)
    program = tl.program_id(0)
    sequence = (program // blocks).to(tl.int64)
    start = (program % blocks).to(tl.int64) * (CHUNK * CHUNKS)
    b0, b1, b2 = place(program // blocks, n1, n2)
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    if ALIGNED:
        a_step = a_step // 8 * 8
        a_offset = tl.multiple_of(a_offset, 8)
    a_pointer += a_offset + start * a_step
    rows = tl.arange(0, CHUNK * CHUNKS)
    key = tl.arange(0, BLOCK_K)
    left = length - start
    a = load_tile(a_pointer, a_step, rows, key, left, K, 1.0).to(STATE)
    products = tl.cumprod(tl.reshape(a, [CHUNKS, CHUNK, BLOCK_K]), 1)
    bad = tl.max(tl.max(out_of_range(products), 2), 1)
    products = tl.reshape(products, [CHUNKS * CHUNK, BLOCK_K])
    products_pointer += (sequence * length + start) * K
    store_tile(products_pointer, K, rows, key, left, K, products)
    chunk = tl.arange(0, CHUNKS)
    plain_pointer += sequence * tl.cdiv(length, CHUNK) + start // CHUNK
    tl.store(plain_pointer + chunk, 1 - bad, mask=chunk * CHUNK < left)


@triton.jit
def has_nonfinite(tile):
    """Whether any element is not finite."""
    return tl.max(tl.max(tl.where(tl.abs(tile) < float("inf"), 0, 1), 1), 0) > 0


@triton.jit
def walk_exactly(
    q_pointer, k_pointer, v_pointer, a_pointer, o_pointer, final_pointer, states_pointer, q_step,
    k_step, v_step, a_step, o_step, state, length, key, column, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, SAVE: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """Outputs and states one token after the other: none sees a later one, not even times zero."""
    for t in range(length):
        if SAVE > 0:
            if t % SAVE == 0:
                store_tile(states_pointer, V, key, column, K, V, state)
                states_pointer += K * V
        q = tl.load(q_pointer + key, mask=key < K, other=0.0).to(STATE)
        k = tl.load(k_pointer + key, mask=key < K, other=0.0).to(STATE)
        v = tl.load(v_pointer + column, mask=column < V, other=0.0).to(STATE)
        if DECAY == HEAD:
            state = state * tl.load(a_pointer).to(STATE)
        if DECAY == CHANNEL:
            a = tl.load(a_pointer + key, mask=key < K, other=1.0).to(STATE)
            state = state * a[:, None]
        state += k[:, None] * v[None, :]
        o = tl.sum(state * q[:, None], 0)
        tl.store(o_pointer + column, o.to(o_pointer.dtype.element_ty), mask=column < V)
        q_pointer += q_step
        k_pointer += k_step
        v_pointer += v_step
        a_pointer += a_step
        o_pointer += o_step
    if SAVE > 0:
        store_tile(states_pointer, V, key, column, K, V, state)
    store_tile(final_pointer, V, key, column, K, V, state)


@triton.jit(
    do_not_specialize=[
        *SIZES, "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "v0", "v1", "v2", "v_step",
        "a0", "a1", "a2", "a_step", "i0", "i1", "i2", "i_step", "o0", "o1", "o2", "o_step",
    ]
)  # fmt: skip
def scan_forward(
    q_pointer, k_pointer, v_pointer, a_pointer, initial_pointer, products_pointer, plain_pointer,
    o_pointer, final_pointer, states_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64,
    v0: tl.int64, v1: tl.int64, v2: tl.int64, v_step: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    i0: tl.int64, i1: tl.int64, i2: tl.int64, i_step: tl.int64,
    o0: tl.int64, o1: tl.int64, o2: tl.int64, o_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr, LEVELS: tl.constexpr, DECAY: tl.constexpr, SAVE: tl.constexpr,
    STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Outputs and final state; with SAVE > 0 also the states before every SAVE tokens."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        v_step = v_step // 8 * 8
        a_step = a_step // 8 * 8 if DECAY == CHANNEL else a_step
        o_step = o_step // 8 * 8
    program = tl.program_id(0)
    sequence = program // NUM_BLOCKS
    b0, b1, b2 = place(sequence, n1, n2)
    first = (program % NUM_BLOCKS) * BLOCK_V
    q_offset = b0 * q0 + b1 * q1 + b2 * q2
    k_offset = b0 * k0 + b1 * k1 + b2 * k2
    v_offset = b0 * v0 + b1 * v1 + b2 * v2
    a_offset = b0 * a0 + b1 * a1 + b2 * a2
    o_offset = b0 * o0 + b1 * o1 + b2 * o2
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        v_offset = tl.multiple_of(v_offset, 8)
        a_offset = tl.multiple_of(a_offset, 8) if DECAY == CHANNEL else a_offset
        o_offset = tl.multiple_of(o_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    v_pointer += v_offset
    a_pointer += a_offset
    o_pointer += o_offset
    products_pointer += sequence.to(tl.int64) * length * K
    plain_pointer += sequence.to(tl.int64) * tl.cdiv(length, CHUNK)
    rows = tl.arange(0, CHUNK)
    key = tl.arange(0, BLOCK_K)
    column = first + tl.arange(0, BLOCK_V)
    initial_pointer += b0 * i0 + b1 * i1 + b2 * i2
    state = load_tile(initial_pointer, i_step, key, column, K, V, 0.0).to(STATE)
    if SAVE > 0:
        states_pointer += sequence.to(tl.int64) * (tl.cdiv(length, SAVE) + 1) * (K * V)
    for start in range(0, length, CHUNK):
        if SAVE > 0:
            if start % SAVE == 0:
                number = tl.full([], 0, tl.int64) + start // SAVE
                store_tile(states_pointer + number * (K * V), V, key, column, K, V, state)
        left = length - start
        at = tl.full([], 0, tl.int64) + start
        q = load_tile(q_pointer + at * q_step, q_step, rows, key, left, K, 0.0)
        k = load_tile(k_pointer + at * k_step, k_step, rows, key, left, K, 0.0)
        v = load_tile(v_pointer + at * v_step, v_step, rows, column, left, V, 0.0)
        q = q.to(OPERAND)
        k = k.to(OPERAND)
        v = v.to(OPERAND)
        i = rows[:, None]
        j = rows[None, :]
        if DECAY == NONE:
            weights = tl.where(i >= j, dot(q, tl.trans(k), STATE, OPERAND, PRECISION), 0.0)
            o = dot(q, state, STATE, OPERAND, PRECISION)
            state += dot(tl.trans(k), v, STATE, OPERAND, PRECISION)
        elif DECAY == HEAD:
            a_start = a_pointer + at * a_step
            inclusive, _e, before, _b = pair_products(a_start, a_step, rows, left, STATE)
            after = tl.sum(tl.where(i == CHUNK - 1, inclusive, 0.0), 0)
            total = tl.sum(tl.where(rows == CHUNK - 1, before, 0.0), 0)
            weights = dot(q, tl.trans(k), STATE, OPERAND, PRECISION)
            weights = tl.where(i >= j, weights * inclusive, 0.0)
            o = dot(q, state, STATE, OPERAND, PRECISION) * before[:, None]
            scaled = k.to(STATE) * after[:, None]
            state = state * total + dot(tl.trans(scaled), v, STATE, OPERAND, PRECISION)
        else:
            q_state = q.to(STATE)
            k_state = k.to(STATE)
            # Loaded outside of the branch, where the compiler can load ahead.
            products = load_tile(products_pointer + at * K, K, rows, key, left, K, 1.0)
            end_at = products_pointer + (at + tl.minimum(left, CHUNK) - 1) * K
            end = tl.load(end_at + key, mask=key < K, other=1.0).to(STATE)
            if tl.load(plain_pointer + start // CHUNK) != 0:
                total = end
                prefix = products.to(STATE)
                inverse = 1.0 / prefix
                suffix = inverse * total[None, :]
                k_scaled = k_state * inverse
                weights = dot(q_state * prefix, tl.trans(k_scaled), STATE, OPERAND, PRECISION)
                weights = tl.where(i >= j, weights, 0.0)
            else:
                a_start = a_pointer + at * a_step
                a = load_tile(a_start, a_step, rows, key, left, K, 1.0).to(STATE)
                weights, prefix, suffix, total = channel_products(
                    q_state, k_state, a, rows, CHUNK, STATE, OPERAND, PRECISION
                )
            o = dot(q_state * prefix, state, STATE, OPERAND, PRECISION)
            state = state * total[:, None] + dot(
                tl.trans(k_state * suffix), v, STATE, OPERAND, PRECISION
            )
        o += dot(weights, v, STATE, OPERAND, PRECISION)
        store_tile(o_pointer + at * o_step, o_step, rows, column, left, V, o)
    if SAVE > 0:
        after_last = states_pointer + tl.cdiv(length, SAVE).to(tl.int64) * (K * V)
        store_tile(after_last, V, key, column, K, V, state)
    final_pointer += sequence.to(tl.int64) * (K * V)
    store_tile(final_pointer, V, key, column, K, V, state)
    if has_nonfinite(state):
        tl.debug_barrier()
        initial = load_tile(initial_pointer, i_step, key, column, K, V, 0.0).to(STATE)
        walk_exactly(
            q_pointer, k_pointer, v_pointer, a_pointer, o_pointer, final_pointer, states_pointer,
            q_step, k_step, v_step, a_step, o_step, initial, length, key, column, K, V, DECAY,
            SAVE, STATE,
        )  # fmt: skip
