"""Where the rows of a group lie; see `statetrack.layers.rows`."""

import triton
import triton.language as tl


@triton.jit
def rows_of(group, place, outer, inner_groups, inner):
    """Rows at these places of a group, x being [G1, outer, inner_groups, inner, D]."""
    first = (group // inner_groups).to(tl.int64) * outer
    at = (first + place // inner) * inner_groups + group % inner_groups
    return at * inner + place % inner


@triton.jit
def read(pointer, at, mask, STATE: tl.constexpr):
    """Load in the type of the computation; zeros where masked."""
    return tl.load(pointer + at, mask=mask, other=0.0).to(STATE)


@triton.jit
def write(pointer, at, values, mask):
    """Store in the type of the pointer."""
    tl.store(pointer + at, values.to(pointer.dtype.element_ty), mask=mask)
