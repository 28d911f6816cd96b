"""The fused layers with random inputs, their gradients, and when two of them agree."""

import pytest
import torch
from torch import Tensor

from statetrack.layers import (
    add_rms_norm,
    bias_add,
    bias_gelu,
    cross_entropy,
    embedding,
    linear,
    mlp,
    rms_norm,
    scaled_sigmoid,
    unit_norm,
)

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


class Draw:
    """Random inputs of one layer, sizes from a seed."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32, device=DEVICE) -> None:
        self.source = torch.Generator().manual_seed(seed)
        self.dtype, self.device = dtype, device

    def whole(self, high: int) -> int:
        return int(torch.randint(high, (), generator=self.source))

    def size(self) -> int:
        return [1, 2, 3, 7, 16, 33, 64, 130][self.whole(8 if ON_GPU else 6)]

    def normal(self, *shape: int, wide: bool = False) -> Tensor:
        values = torch.randn(shape, generator=self.source)
        return values.to(self.device, torch.float32 if wide else self.dtype)

    def letters(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.source).to(self.device)

    def weight_shape(self, *shape: int) -> tuple[int, ...]:
        """A shape that broadcasts: each leading axis stays or becomes one, some first ones go."""
        leading = [size if self.whole(2) else 1 for size in shape[:-1]]
        return (*leading[self.whole(len(leading) + 1) :], shape[-1])

    def rows(self) -> tuple[int, ...]:
        return [(5,), (2, 3), (17, 2), (2, 3, 2), (2, 2, 3, 2), (0, 2)][self.whole(6)]


def draw_norm(draw: Draw) -> tuple:
    shape = (*draw.rows(), draw.size())
    return draw.normal(*shape), 1 + draw.normal(*draw.weight_shape(*shape), wide=True)


def draw_sum(draw: Draw) -> tuple:
    x, scale = draw_norm(draw)
    y = draw.normal(*x.shape)
    return x.float() if x.dtype == torch.bfloat16 else x, y, scale


def draw_cross_entropy(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    shape, classes = (*runs, 1 + draw.whole(3), draw.whole(9)), draw.size()
    logits = 3 * draw.normal(*shape, classes)
    return logits, draw.letters(classes, *shape), draw.letters(2, *shape) > 0


def draw_embedding(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    letters = draw.size()
    tokens = draw.letters(letters, *runs, 1 + draw.whole(3), draw.whole(30))
    return tokens, draw.normal(*runs, letters, draw.size())


def draw_rows(draw: Draw) -> tuple:
    return (draw.normal(*draw.rows(), draw.size()),)


def draw_sigmoid(draw: Draw) -> tuple:
    return *draw_rows(draw), draw.normal(3, wide=True)


def draw_linear(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    x = draw.normal(*runs, *draw.rows(), draw.size())
    return linear_inputs(draw, x, draw.size(), runs)


def linear_inputs(draw: Draw, x: Tensor, outputs: int, runs: tuple[int, ...]) -> tuple:
    """A weight of every run behind x, in float64 with it."""
    size, wide = x.shape[-1], x.dtype != torch.float64
    return x, draw.normal(*runs, outputs, size, wide=wide) / size**0.5


def draw_mlp(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    x = draw.normal(*runs, *draw.rows(), draw.size())
    return mlp_inputs(draw, x, draw.size(), runs)


def mlp_inputs(draw: Draw, x: Tensor, hidden: int, runs: tuple[int, ...]) -> tuple:
    """Weights of every run behind x, in float64 with it."""
    size, wide = x.shape[-1], x.dtype != torch.float64
    up = draw.normal(*runs, hidden, size, wide=wide) / size**0.5
    down = draw.normal(*runs, size, hidden, wide=wide) / hidden**0.5
    up_bias, down_bias = (draw.normal(*runs, one, wide=wide) for one in (hidden, size))
    return x, up, up_bias, down, down_bias


LAYERS = {
    "rms_norm": (rms_norm, draw_norm),
    "add_rms_norm": (add_rms_norm, draw_sum),
    "bias_gelu": (bias_gelu, draw_norm),
    "bias_add": (bias_add, draw_norm),
    "unit_norm": (unit_norm, draw_rows),
    "scaled_sigmoid": (scaled_sigmoid, draw_sigmoid),
    "linear": (linear, draw_linear),
    "mlp": (mlp, draw_mlp),
    "cross_entropy": (cross_entropy, draw_cross_entropy),
    "embedding": (embedding, draw_embedding),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def is_differentiable(one: Tensor) -> bool:
    return one.is_floating_point()


def with_gradients(run, inputs, seed: int = 0) -> list[Tensor]:
    """Outputs, and the gradient of every input that has one, for fixed random cotangents."""
    leaves = [one.detach().requires_grad_() if is_differentiable(one) else one for one in inputs]
    outputs = run(*leaves)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    source = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(one.shape, generator=source).to(one.device, one.dtype) for one in outputs
    ]
    wanted = [leaf for leaf in leaves if is_differentiable(leaf)]
    gradients = torch.autograd.grad(outputs, wanted, weights, allow_unused=True)
    return [one.detach() for one in (*outputs, *gradients) if one is not None]


def kernels(name: str):
    layer = LAYERS[name][0]
    return lambda *inputs: layer(*inputs, backend="triton")


def assert_agree(found: list[Tensor], truth: list[Tensor], message: str, **limits: float) -> None:
    for number, (one, other) in enumerate(zip(found, truth, strict=True)):
        assert one.shape == other.shape, message
        torch.testing.assert_close(
            one, other.to(one.dtype), msg=lambda text, n=number: f"{message}, {n}: {text}", **limits
        )
