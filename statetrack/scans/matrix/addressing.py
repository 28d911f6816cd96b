"""How tensors of matrices are handed to the kernels: strides, layout, alignment."""

from torch import Tensor

from statetrack.scans.kernels import NUM_LEADING


def strides(tensor: Tensor, own_axes: int) -> list[int]:
    """Strides of the leading axes, then of the time axis where there is one (own_axes = 3)."""
    axes = tensor.dim() - own_axes
    kept = [
        step if size > 1 else 0
        for size, step in zip(tensor.shape[: axes + own_axes - 2], tensor.stride(), strict=False)
    ]
    return [0] * (NUM_LEADING - axes) + kept


def with_dense_matrices(tensor: Tensor) -> Tensor:
    """`tensor` itself where its last two axes lie row after row, else a contiguous copy."""
    rows, columns = tensor.shape[-2:]
    dense = (columns <= 1 or tensor.stride(-1) == 1) and (rows <= 1 or tensor.stride(-2) == columns)
    return tensor if dense else tensor.contiguous()


def are_aligned(*all_strides: list[int]) -> bool:
    """Whether all strides are multiples of four."""
    return all(stride % 4 == 0 for of_tensor in all_strides for stride in of_tensor)


def scalar_strides(tensor: Tensor) -> list[int]:
    """Strides of a tensor that has leading axes only."""
    return [0] * (NUM_LEADING - tensor.dim()) + list(tensor.stride())
