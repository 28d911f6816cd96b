"""Masks inside Triton kernels."""

import triton
import triton.language as tl


@triton.jit
def where_also(mask, condition):
    """The mask where a scalar condition holds, else an empty one.

    Not ``mask & condition``: in the interpreter that is a mask of 32-bit integers, which Triton 3.9
    refuses.
    """
    return tl.where(condition, mask, tl.zeros_like(mask))
