"""Where the rows of a group lie, and sums over its parts; see `statetrack.layers.rows`."""

import triton
import triton.language as tl


@triton.jit
def rows_of(group, place, outer, inner_groups, inner):
    """Rows at these places of a group, x being [G1, outer, inner_groups, inner, D]."""
    first = (group // inner_groups).to(tl.int64) * outer
    at = (first + place // inner) * inner_groups + group % inner_groups
    return at * inner + place % inner


@triton.jit
def weight_of(group, inner_groups, outer_step, inner_step):
    """Offset of a group's row of the weight."""
    outer = (group // inner_groups).to(tl.int64)
    return outer * outer_step + (group % inner_groups).to(tl.int64) * inner_step


@triton.jit
def read(pointer, at, mask, STATE: tl.constexpr):
    """Load in the type of the computation; zeros where masked."""
    return tl.load(pointer + at, mask=mask, other=0.0).to(STATE)


@triton.jit
def write(pointer, at, values, mask):
    """Store in the type of the pointer."""
    tl.store(pointer + at, values.to(pointer.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["num_parts", "size"])
def add_parts(
    partial_pointer,
    out_pointer,
    num_parts: tl.int32,
    size: tl.int32,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STATE: tl.constexpr,
):
    """Sum [groups, parts, D] over the parts, in a fixed order."""
    group = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros([ROWS, COLUMNS], STATE)
    for start in range(0, num_parts, ROWS):
        part = start + tl.arange(0, ROWS)
        mask = (part < num_parts)[:, None] & (column < size)[None, :]
        at = (group * num_parts + part)[:, None] * size + column[None, :]
        sums += read(partial_pointer, at, mask, STATE)
    write(out_pointer, group * size + column, tl.sum(sums, 0), column < size)
