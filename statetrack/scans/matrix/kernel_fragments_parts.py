"""Pieces of `kernel_fragments`: what a thread owns of a matrix, and products of such pieces.

Legend: L threads of a program, M rows a state, N columns, NP = 8 TILES columns padded. Thread
4 i + q of a warp has the place (i, q).
"""

import triton
import triton.language as tl


@triton.jit
def multiply_add(left, right, even, odd):
    """Even and odd columns [L] of a sum and an 8 x 4 by 4 x 8 product for every warp."""
    WARPS: tl.constexpr = left.shape[0] // 32
    rows = tl.reshape(left, [WARPS, 8, 1, 4])
    columns = tl.reshape(right, [WARPS, 1, 8, 4])
    product = tl.reshape(tl.sum(rows * columns, 3), [WARPS, 8, 4, 2])
    more_even, more_odd = tl.split(product)
    even += tl.reshape(more_even, [32 * WARPS])
    odd += tl.reshape(more_odd, [32 * WARPS])
    return even, odd


@triton.jit
def multiply(
    lefts, rights, sums, BLOCKS: tl.constexpr, TILES: tl.constexpr, ASSEMBLY: tl.constexpr,
    CONSTRAINTS: tl.constexpr,
):  # fmt: skip
    """What is given and the sum of `BLOCKS` products: columns 2 TILES q + c of row i, [L] each.

    `rights` holds, for every left operand, the right operands of all `TILES` tiles. ASSEMBLY is
    that of `assembly.product_assembly`, or empty for a plain form.
    """
    if ASSEMBLY == "":
        evens = ()
        odds = ()
        for j in tl.static_range(TILES):
            even = sums[j]
            odd = sums[TILES + j]
            for block in tl.static_range(BLOCKS):
                left = lefts[block].to(tl.float64)
                right = rights[block * TILES + j].to(tl.float64)
                even, odd = multiply_add(left, right, even, odd)
            evens = evens + (even,)
            odds = odds + (odd,)
        result = evens + odds
    elif TILES == 1:
        result = tl.inline_asm_elementwise(
            ASSEMBLY, CONSTRAINTS, lefts + rights + sums,
            dtype=(tl.float64, tl.float64), is_pure=True, pack=1,
        )  # fmt: skip
    else:
        result = tl.inline_asm_elementwise(
            ASSEMBLY, CONSTRAINTS, lefts + rights + sums,
            dtype=(tl.float64, tl.float64, tl.float64, tl.float64), is_pure=True, pack=1,
        )  # fmt: skip
    return result


@triton.jit
def zeros(like, COUNT: tl.constexpr):
    """`COUNT` zeros [L]."""
    result = ()
    for _c in tl.static_range(COUNT):
        result = result + (tl.zeros(like.shape, tl.float64),)
    return result


@triton.jit
def part(values, FIRST: tl.constexpr, COUNT: tl.constexpr, TYPE: tl.constexpr):
    """Some of a tuple, in one type."""
    result = ()
    for c in tl.static_range(COUNT):
        result = result + (values[FIRST + c].to(TYPE),)
    return result


@triton.jit
def fetch(
    pointer, step, first, last, thread, NUMBERS: tl.constexpr, STEPS: tl.constexpr,
    ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """Bring the matrices of `STEPS` steps from `first` on, none beyond `last`, to the L2 cache.

    `NUMBERS` a step, in lines of 128 bytes. Nothing where there is no assembly.
    """
    if ASSEMBLY != "":
        LINE: tl.constexpr = 1024 // pointer.dtype.element_ty.primitive_bitwidth
        LINES: tl.constexpr = (NUMBERS + LINE - 1) // LINE
        for start in tl.static_range(0, STEPS * LINES, thread.shape[0]):
            line = thread + start
            at = tl.minimum(tl.minimum(first + line // LINES, first + STEPS - 1), last)
            here = pointer + tl.maximum(at, 0).to(tl.int64) * step + line % LINES * LINE
            tl.inline_asm_elementwise(
                "prefetch.global.L2 [$1]; mov.u32 $0, 0;", "=r,l", [here.to(tl.int64)],
                dtype=tl.int32, is_pure=False, pack=1,
            )  # fmt: skip


@triton.jit
def load_run(
    pointer, row, first, mask, ROWS: tl.constexpr, N: tl.constexpr, WIDTH: tl.constexpr,
    INSIDE: tl.constexpr,
):  # fmt: skip
    """`WIDTH` neighbouring numbers of a row of the matrix at `pointer`, [L] each, zeros outside.

    INSIDE promises that all rows and columns exist.
    """
    column = first[:, None] + tl.arange(0, WIDTH)[None, :]
    here = pointer + (row * N)[:, None] + column
    if INSIDE:
        inside = tl.broadcast_to(mask[:, None], here.shape)
    else:
        inside = mask[:, None] & (row < ROWS)[:, None] & (column < N)
    values = tl.load(here, mask=inside, other=0.0)
    if WIDTH == 1:
        run = (tl.reshape(values, [row.shape[0]]),)
    elif WIDTH == 2:
        run = tl.split(values)
    else:
        even, odd = tl.split(tl.reshape(values, [row.shape[0], 2, 2]))
        x0, x2 = tl.split(even)
        x1, x3 = tl.split(odd)
        run = (x0, x1, x2, x3)
    return run


@triton.jit
def store_run(
    pointer, row, first, run, mask, ROWS: tl.constexpr, N: tl.constexpr, WIDTH: tl.constexpr,
    INSIDE: tl.constexpr,
):  # fmt: skip
    """Write `WIDTH` (2 or 4) neighbouring numbers of a row, in the type of the pointer."""
    TYPE: tl.constexpr = pointer.dtype.element_ty
    if WIDTH == 2:
        values = tl.join(run[0].to(TYPE), run[1].to(TYPE))
    else:
        even = tl.join(run[0].to(TYPE), run[2].to(TYPE))
        odd = tl.join(run[1].to(TYPE), run[3].to(TYPE))
        values = tl.reshape(tl.join(even, odd), [row.shape[0], 4])
    column = first[:, None] + tl.arange(0, WIDTH)[None, :]
    if INSIDE:
        inside = tl.broadcast_to(mask[:, None], column.shape)
    else:
        inside = mask[:, None] & (row < ROWS)[:, None] & (column < N)
    tl.store(pointer + (row * N)[:, None] + column, values, mask=inside)


@triton.jit
def load_transitions(
    pointer, i, q, mask, N: tl.constexpr, TILES: tl.constexpr, INSIDE: tl.constexpr
):
    """Right operands of a product with A: rows 2 TILES q + c, columns TILES i + j, c major."""
    matrix = ()
    for c in tl.static_range(2 * TILES):
        row = 2 * TILES * q + c
        matrix = matrix + load_run(pointer, row, TILES * i, mask, N, N, TILES, INSIDE)
    return matrix


@triton.jit
def load_transposed(
    pointer, i, q, mask, N: tl.constexpr, TILES: tl.constexpr, INSIDE: tl.constexpr
):
    """Right operands of a product with the transpose of A: rows TILES i + j of A, c major."""
    rows = ()
    for j in tl.static_range(TILES):
        row = TILES * i + j
        rows = rows + load_run(pointer, row, 2 * TILES * q, mask, N, N, 2 * TILES, INSIDE)
    matrix = ()
    for c in tl.static_range(2 * TILES):
        for j in tl.static_range(TILES):
            matrix = matrix + (rows[j * 2 * TILES + c],)
    return matrix


@triton.jit
def load_before(
    pointer, i, q, mask, N: tl.constexpr, M: tl.constexpr, TILES: tl.constexpr,
    ROW_TILES: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    """Left operands of a product with the transpose of H: columns TILES i + j of rows 4 k + q."""
    before = ()
    for k in tl.static_range(2 * ROW_TILES):
        before = before + load_run(pointer, 4 * k + q, TILES * i, mask, M, N, TILES, INSIDE)
    return before


@triton.jit
def load_rows(
    pointer, i, q, mask, N: tl.constexpr, M: tl.constexpr, TILES: tl.constexpr,
    ROW_TILES: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    """What a thread owns of a state [M, N]: of rows i, i + 8, ..."""
    run = ()
    for tile in tl.static_range(ROW_TILES):
        run = run + load_run(pointer, 8 * tile + i, 2 * TILES * q, mask, M, N, 2 * TILES, INSIDE)
    return run


@triton.jit
def store_rows(
    pointer, i, q, state, mask, N: tl.constexpr, M: tl.constexpr, TILES: tl.constexpr,
    ROW_TILES: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    """Write what a thread owns of a state [M, N]."""
    WIDTH: tl.constexpr = 2 * TILES
    for tile in tl.static_range(ROW_TILES):
        run = ()
        for c in tl.static_range(WIDTH):
            run = run + (state[tile * WIDTH + c],)
        store_run(pointer, 8 * tile + i, WIDTH * q, run, mask, M, N, WIDTH, INSIDE)


@triton.jit
def store_outer(
    pointer, before, adjoint, i, q, mask, N: tl.constexpr, TILES: tl.constexpr,
    ROW_TILES: tl.constexpr, STATE: tl.constexpr, INSIDE: tl.constexpr, ASSEMBLY: tl.constexpr,
    CONSTRAINTS: tl.constexpr,
):  # fmt: skip
    """Write ``H^T Z`` [N, N], from left operands and an adjoint as threads own it."""
    WIDTH: tl.constexpr = 2 * TILES
    rights = ()
    for tile in tl.static_range(ROW_TILES):
        narrow = part(adjoint, tile * WIDTH, WIDTH, STATE)
        for half in tl.static_range(2):
            source = 4 * (4 * half + q) + i // 2
            for j in tl.static_range(TILES):
                even = tl.gather(narrow[j], source, 0)
                odd = tl.gather(narrow[TILES + j], source, 0)
                rights = rights + (tl.where(i % 2 == 0, even, odd),)
    for row_tile in tl.static_range(TILES):
        lefts = ()
        for k in tl.static_range(2 * ROW_TILES):
            lefts = lefts + (before[k * TILES + row_tile],)
        outer = multiply(
            lefts, rights, zeros(i, WIDTH), 2 * ROW_TILES, TILES, ASSEMBLY, CONSTRAINTS
        )
        store_run(pointer, TILES * i + row_tile, WIDTH * q, outer, mask, N, N, WIDTH, INSIDE)
