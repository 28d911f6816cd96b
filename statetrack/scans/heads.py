"""What the kernels of matrix states share: kinds of decay, and where a sequence lies in a batch."""

import triton
import triton.language as tl

NONE = tl.constexpr(0)
HEAD = tl.constexpr(1)
CHANNEL = tl.constexpr(2)


@triton.jit
def place(program, n1, n2):
    """Folded batch indices of a sequence."""
    b2 = (program % n2).to(tl.int64)
    b1 = (program // n2 % n1).to(tl.int64)
    b0 = (program // n2 // n1).to(tl.int64)
    return b0, b1, b2
