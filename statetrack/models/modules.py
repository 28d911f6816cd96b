"""Small modules and functions that every model shares."""

import math

import torch
from torch import Tensor, nn

from statetrack.layers import bias_add, linear, mlp, rms_norm
from statetrack.layers.backends import output_dtype


class RMSNorm(nn.Module):
    """Divide by the root mean square of the last axis, then scale per channel.

    Parameters
    ----------
    size : int
        Length of the last axis.
    groups : tuple of int
        Leading axes with a scale of their own, such as (heads,).
    """

    def __init__(self, size: int, groups: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(*groups, size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`, [..., size]."""
        return rms_norm(x, self.scale)


class Projection(nn.Linear):
    """A linear map whose product may be taken in bfloat16 and whose result is float32.

    Under ``torch.autocast`` the product runs in the lower precision, and what a recurrence makes of
    it, such as eigenvalues and keys, in float32.

    Parameters
    ----------
    inputs, outputs : int
        Sizes.
    bias : bool
    widens : bool
        False leaves the result in the type of the product, for a layer that widens what it reads.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, *, widens: bool = True
    ) -> None:
        super().__init__(inputs, outputs, bias)
        self.widens = widens

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, [..., inputs]."""
        dtype = output_dtype(x)
        if self.widens and torch.is_autocast_enabled(x.device.type):
            dtype = torch.promote_types(dtype, torch.float32)
        if self.bias is None:
            return linear(x, self.weight, dtype=dtype)
        return bias_add(linear(x, self.weight), self.bias, dtype=dtype)


class MLP(nn.Module):
    """Two linear maps with a GELU between.

    Parameters
    ----------
    width : int
        Size of input and output.
    hidden : int
        Size in between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, [..., width], position by position."""
        up, down = self.up, self.down
        return mlp(x, up.weight, up.bias, down.weight, down.bias)


class ShortConvolution(nn.Module):
    """Causal convolution over time, channel by channel, then SiLU.

    Parameters
    ----------
    width : int
        Channels.
    size : int
        Tokens seen: this one and the ``size - 1`` before it.

    Notes
    -----
    As in Mamba (Gu and Dao 2023) and DeltaNet. Before the first token there are zeros.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, width) / size**0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_BTD: Tensor, past_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, D] and the last inputs [B, size - 1, D]."""
        length = x_BTD.shape[-2]
        seen_BSD = torch.cat([past_BSD, x_BTD], dim=-2)
        y_BTD = self.bias.expand_as(x_BTD)
        for back, weight_D in enumerate(self.weight):
            y_BTD = y_BTD + weight_D * seen_BSD[:, back : back + length]
        return nn.functional.silu(y_BTD), seen_BSD[:, length:]

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros [B, size - 1, D]."""
        size, width = self.weight.shape
        return self.weight.new_zeros(batch_size, size - 1, width)


def at_least_float32(x: Tensor) -> Tensor:
    """Widen half precision; for decays, which lie so near 1 that bfloat16 is off by their distance.

    Below 1 the numbers of bfloat16 are 1/256 apart: 0.999 becomes 1, which never forgets.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def as_complex(x: Tensor) -> Tensor:
    """Read [..., 2 N] as complex [..., N]: real parts first, imaginary parts after."""
    # Projections may be bfloat16, of which there are no complex numbers.
    real, imaginary = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
    return torch.complex(real, imaginary)


def as_real(x: Tensor) -> Tensor:
    """Write complex [..., N] as [..., 2 N]: real parts first, imaginary parts after."""
    return torch.cat([x.real, x.imag], dim=-1)


def step_bias(size: int, shortest: float = 1e-3, longest: float = 1e-1) -> Tensor:
    """Biases whose softplus is a time step, log-uniform between two ends.

    Source: Gu and Dao 2023 (arXiv 2312.00752), section 3.6.
    """
    log_step = math.log(shortest) + (math.log(longest) - math.log(shortest)) * torch.rand(size)
    return torch.log(torch.expm1(torch.exp(log_step)))
