"""Triton kernels of the gradient of the Householder recurrence, chunk by chunk from the end.

With Z_i the adjoint of the state after factor i, ``du_i = Z_i^T k_i``, ``dv_i = w_i du_i`` and
``Z_{i-1} = Z_i - beta_i k_i du_i^T``: the du of a chunk solve the transposed system of the forward
pass. `scan_backward` walks along time with Z in registers and leaves every du and the Z after every
chunk. All other gradients are then products of tiles inside a chunk, for all chunks at once: the
second kernel, `kernel_chunked_gradients`.

Legend as in `kernel_chunked`. A program owns a block of value columns of a sequence.
"""

import triton
import triton.language as tl

from statetrack.scans.heads import HEAD, place
from statetrack.scans.householder.kernel_chunked import (
    add_dot,
    dot,
    load_strengths,
)
from statetrack.scans.householder.kernel_chunked_decays import at_end, decay_products
from statetrack.scans.outer_product.kernel import SIZES, has_nonfinite, load_tile, store_tile


@triton.jit
def walk_back_exactly(
    q_pointer, k_pointer, b_pointer, w_pointer, a_pointer, do_pointer, du_pointer, dv_pointer,
    adjoints_pointer, initial_pointer, q_step, k_step, k_factor, b_step, b_factor, w_step,
    w_factor, a_step, do_step, adjoint, length, key, column, K: tl.constexpr, V: tl.constexpr,
    R: tl.constexpr, TOKENS: tl.constexpr, DECAY: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """One factor after the other from the end: none sees an earlier one, not even times zero."""
    in_key = key < K
    in_column = column < V
    for back in range(length):
        t = tl.full([], 0, tl.int64) + (length - 1 - back)
        if (t + 1) % TOKENS == 0:
            store_tile(
                adjoints_pointer + (t + 1) // TOKENS * (K * V), K, column, key, V, K, adjoint
            )
        q = tl.load(q_pointer + t * q_step + key, mask=in_key, other=0.0).to(STATE)
        do = tl.load(do_pointer + t * do_step + column, mask=in_column, other=0.0).to(STATE)
        adjoint += do[:, None] * q[None, :]
        for back_factor in range(R):
            r = R - 1 - back_factor
            k_at = k_pointer + t * k_step + r * k_factor
            k = tl.load(k_at + key, mask=in_key, other=0.0).to(STATE)
            beta = tl.load(b_pointer + t * b_step + r * b_factor).to(STATE)
            write = tl.load(w_pointer + t * w_step + r * w_factor).to(STATE)
            du = tl.sum(adjoint * k[None, :], 1)
            at = (t * R + r) * V + column
            tl.store(du_pointer + at, du.to(du_pointer.dtype.element_ty), mask=in_column)
            tl.store(dv_pointer + at, (write * du).to(dv_pointer.dtype.element_ty), mask=in_column)
            adjoint -= (beta * du)[:, None] * k[None, :]
        if DECAY == HEAD:
            adjoint = adjoint * tl.load(a_pointer + t * a_step).to(STATE)
    initial_at = initial_pointer + key[None, :] * V + column[:, None]
    tl.store(
        initial_at, adjoint.to(initial_pointer.dtype.element_ty),
        mask=in_column[:, None] & in_key[None, :],
    )  # fmt: skip


@triton.jit(
    do_not_specialize=[
        *SIZES, "q0", "q1", "q2", "q_step", "k0", "k1", "k2", "k_step", "k_factor", "b0", "b1",
        "b2", "b_step", "b_factor", "w0", "w1", "w2", "w_step", "w_factor", "a0", "a1", "a2",
        "a_step", "do0", "do1", "do2", "do_step", "z0", "z1", "z2", "z_step",
    ]
)  # fmt: skip
def scan_backward(
    q_pointer, k_pointer, b_pointer, w_pointer, a_pointer, inverse_pointer, do_pointer,
    final_pointer, du_pointer, dv_pointer, adjoints_pointer, initial_pointer,
    n1: tl.int32, n2: tl.int32, length: tl.int32,
    q0: tl.int64, q1: tl.int64, q2: tl.int64, q_step: tl.int64,
    k0: tl.int64, k1: tl.int64, k2: tl.int64, k_step: tl.int64, k_factor: tl.int64,
    b0: tl.int64, b1: tl.int64, b2: tl.int64, b_step: tl.int64, b_factor: tl.int64,
    w0: tl.int64, w1: tl.int64, w2: tl.int64, w_step: tl.int64, w_factor: tl.int64,
    a0: tl.int64, a1: tl.int64, a2: tl.int64, a_step: tl.int64,
    do0: tl.int64, do1: tl.int64, do2: tl.int64, do_step: tl.int64,
    z0: tl.int64, z1: tl.int64, z2: tl.int64, z_step: tl.int64,
    K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr, CHUNK: tl.constexpr, ROWS_Q: tl.constexpr, DECAY: tl.constexpr,
    STATE: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """All du, dv, the adjoints after all chunks and the gradient of the initial state."""
    NUM_BLOCKS: tl.constexpr = (V + BLOCK_V - 1) // BLOCK_V
    TOKENS: tl.constexpr = CHUNK // R
    if ALIGNED:
        q_step = q_step // 8 * 8
        k_step = k_step // 8 * 8
        k_factor = k_factor // 8 * 8
        do_step = do_step // 8 * 8
    program = tl.program_id(0)
    sequence = (program // NUM_BLOCKS).to(tl.int64)
    s0, s1, s2 = place(program // NUM_BLOCKS, n1, n2)
    q_offset = s0 * q0 + s1 * q1 + s2 * q2
    k_offset = s0 * k0 + s1 * k1 + s2 * k2
    do_offset = s0 * do0 + s1 * do1 + s2 * do2
    if ALIGNED:
        q_offset = tl.multiple_of(q_offset, 8)
        k_offset = tl.multiple_of(k_offset, 8)
        do_offset = tl.multiple_of(do_offset, 8)
    q_pointer += q_offset
    k_pointer += k_offset
    do_pointer += do_offset
    b_pointer += s0 * b0 + s1 * b1 + s2 * b2
    w_pointer += s0 * w0 + s1 * w1 + s2 * w2
    a_pointer += s0 * a0 + s1 * a1 + s2 * a2
    du_pointer += sequence * length * (R * V)
    dv_pointer += sequence * length * (R * V)
    initial_pointer += sequence * (K * V)
    num_chunks = tl.cdiv(length, TOKENS)
    inverse_pointer += sequence * num_chunks * (CHUNK * CHUNK)
    adjoints_pointer += sequence * (num_chunks + 1) * (K * V)
    rows = tl.arange(0, CHUNK)
    tokens = tl.arange(0, ROWS_Q)
    j = rows[:, None]
    i = rows[None, :]
    key = tl.arange(0, BLOCK_K)
    column = (program % NUM_BLOCKS) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_key = key[None, :] < K
    in_column = column[:, None] < V
    k_rows = (rows // R).to(tl.int64) * k_step + (rows % R).to(tl.int64) * k_factor
    b_rows = (rows // R).to(tl.int64) * b_step + (rows % R).to(tl.int64) * b_factor
    w_rows = (rows // R).to(tl.int64) * w_step + (rows % R).to(tl.int64) * w_factor
    final_pointer += s0 * z0 + s1 * z1 + s2 * z2
    final_at = final_pointer + key[None, :].to(tl.int64) * z_step + column[:, None]
    adjoint = tl.load(final_at, mask=in_column & in_key, other=0.0).to(STATE)
    start = (num_chunks - 1).to(tl.int64) * TOKENS
    next_beta = load_strengths(b_pointer, b_step, b_rows, rows, start, length, R, TOKENS)
    next_write = load_strengths(w_pointer, w_step, w_rows, rows, start, length, R, TOKENS)
    for back in range(num_chunks):
        number = (num_chunks - 1 - back).to(tl.int64)
        at = number * TOKENS
        left = tl.minimum(length - at, TOKENS)
        here = rows < left * R
        q = load_tile(q_pointer + at * q_step, q_step, tokens, key, left, K, 0.0).to(OPERAND)
        do = load_tile(do_pointer + at * do_step, do_step, tokens, column, left, V, 0.0).to(OPERAND)
        k = tl.load(
            k_pointer + at * k_step + k_rows[:, None] + key[None, :],
            mask=here[:, None] & in_key, other=0.0,
        ).to(OPERAND)  # fmt: skip
        inverse = tl.load(inverse_pointer + number * (CHUNK * CHUNK) + j * CHUNK + i)
        beta = next_beta.to(STATE)
        write = next_write.to(STATE)
        start = tl.maximum(number - 1, 0) * TOKENS
        next_beta = load_strengths(b_pointer, b_step, b_rows, rows, start, length, R, TOKENS)
        next_write = load_strengths(w_pointer, w_step, w_rows, rows, start, length, R, TOKENS)
        store_tile(adjoints_pointer + (number + 1) * (K * V), K, column, key, V, K, adjoint)
        outputs = tl.trans(do)
        weights = dot(k, tl.trans(q), STATE, OPERAND, PRECISION)
        weights = tl.where(j // R <= tokens[None, :], weights, 0.0)
        du = dot(adjoint, tl.trans(k), STATE, OPERAND, PRECISION)
        if DECAY == HEAD:
            between, _e, reading, before, _b, before_reading = decay_products(
                a_pointer + at * a_step, a_step, rows, tokens, left, R, CHUNK, STATE
            )
            weights = weights * reading
            du = du * at_end(between, rows, TOKENS * R - 1)[None, :]
        du = add_dot(du, outputs, tl.trans(weights), OPERAND, PRECISION)
        du = dot(du, inverse, STATE, OPERAND, PRECISION)
        row = (at * R + i) * V + column[:, None]
        mask = here[None, :] & in_column
        tl.store(du_pointer + row, du.to(du_pointer.dtype.element_ty), mask=mask)
        dv = du * write[None, :]
        tl.store(dv_pointer + row, dv.to(dv_pointer.dtype.element_ty), mask=mask)
        du = du * -beta[None, :]
        if DECAY == HEAD:
            du = du * before[None, :]
            read = outputs.to(STATE) * before_reading[None, :]
            adjoint = adjoint * tl.sum(tl.where(rows == TOKENS * R - 1, before, 0.0), 0)
            change = dot(read, q, STATE, OPERAND, PRECISION)
        else:
            change = dot(outputs, q, STATE, OPERAND, PRECISION)
        adjoint += add_dot(change, du, k, OPERAND, PRECISION)
    initial_at = initial_pointer + key[None, :] * V + column[:, None]
    tl.store(initial_at, adjoint.to(initial_pointer.dtype.element_ty), mask=in_column & in_key)
    if has_nonfinite(adjoint):
        tl.debug_barrier()
        final = tl.load(final_at, mask=in_column & in_key, other=0.0).to(STATE)
        walk_back_exactly(
            q_pointer, k_pointer, b_pointer, w_pointer, a_pointer, do_pointer, du_pointer,
            dv_pointer, adjoints_pointer, initial_pointer, q_step, k_step, k_factor, b_step,
            b_factor, w_step, w_factor, a_step, do_step, final, length, key, column, K, V, R,
            TOKENS, DECAY, STATE,
        )  # fmt: skip
