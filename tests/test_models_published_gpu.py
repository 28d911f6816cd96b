"""Mixers against the layers of flash-linear-attention, weights copied over: outputs and gradients.

In float32 both sides do the same arithmetic and may part by roundings alone. Where fla's kernels
have no float32 form, or no backward pass, its own recurrence in torch (``fla/ops/*/naive.py``)
takes the place of the kernel inside its layer.

In bfloat16 a number is rounded by up to 2^-9, by 2^-9 / sqrt(3) = 1.1e-3 in the root mean square.
From the token to the output lie about ten such roundings (projections, activations, norms, gates),
which makes 4e-3 where they are independent; roundings of keys come back with every later token. On
the CPU, where the recurrence itself multiplies in float32, our mixers are off by 4e-3 to 8e-3
forward and by 4e-3 to 2e-2 backward, and by 3e-2 in the weights of RWKV-7's token shift, whose
gradients are sums of differences of tokens. A GPU rounds the recurrence's operands as well, hence
1.5e-2 and 4e-2 for us against float64. Two implementations of equal error that round in different
places are sqrt(2) times that apart: 2e-2 and 6e-2.
"""

import copy
import importlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from tests.published_layers import (
    BATCH,
    DEVICE,
    LENGTH,
    SIZE,
    WIDTH,
    Pair,
    delta_net,
    delta_product,
    gated_delta_net,
    gated_delta_product,
    gated_linear_attention,
    hgrn2,
    kimi_delta_attention,
    rwkv7,
)

pytestmark = [
    pytest.mark.gpu,
    # torch.compile, by which fla differentiates one of its functions, looks at every .grad.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
# (forward, backward): of our mixer against float64, of fla's layer against our mixer.
OURS = {torch.float32: (1e-5, 4e-5), torch.bfloat16: (1.5e-2, 4e-2)}
THEIRS = {torch.float32: (1e-4, 1e-4), torch.bfloat16: (2e-2, 6e-2)}


@pytest.fixture(autouse=True)
def untuned(monkeypatch):
    """Kernels of fla take the first of their configurations: to time them all takes minutes."""
    autotuner = importlib.import_module("triton.runtime.autotuner").Autotuner
    prune = autotuner.prune_configs
    monkeypatch.setattr(autotuner, "prune_configs", lambda self, named: prune(self, named)[:1])


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Root mean square of the difference, relative; on the CPU in float64."""
    found, exact = found.detach().cpu().double(), exact.detach().cpu().double()
    return float((found - exact).norm() / exact.norm())


def draw(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def run(call: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Outputs, and with a weight the gradient of the inputs; those of weights are left in place."""
    x = x.detach().clone().requires_grad_(weight is not None)
    with torch.set_grad_enabled(weight is not None):
        y = call(x)
    if weight is None:
        return [y]
    y.backward(weight)
    return [y, x.grad]


def compare(pair: Pair, dtype: torch.dtype, *, backward: bool, length: int = LENGTH) -> None:
    mixer, layer = pair.mixer.to(dtype), pair.layer.to(dtype)
    x = draw(BATCH, length, WIDTH, seed=1, dtype=dtype)
    weight = draw(BATCH, length, WIDTH, seed=2, dtype=dtype) if backward else None
    exact_mixer = copy.deepcopy(mixer).to("cpu", torch.float64)
    ours = run(lambda x: mixer(x, mixer.initial_state(BATCH))[0], x, weight)
    theirs = run(lambda x: layer(x, **pair.extra)[0], x, weight)
    exact = run(
        lambda x: exact_mixer(x, exact_mixer.initial_state(BATCH))[0],
        x.cpu().double(),
        None if weight is None else weight.cpu().double(),
    )
    found = {"outputs": (ours[0], theirs[0], exact[0])}
    if backward:
        found["inputs"] = (ours[1], theirs[1], exact[1])
        names = {id(p): name for name, p in mixer.named_parameters()}
        exact_weights = dict(exact_mixer.named_parameters())
        for name, link in pair.links.items():
            shape = link.gradient or link.value
            of_exact = exact_weights[names[id(link.ours)]].grad
            found[name] = (shape(link.ours.grad), link.theirs.grad, shape(of_exact))
    faults = []
    for name, (our, their, right) in found.items():
        way = int(name != "outputs")
        for what, error, bound in (
            ("ours against float64", relative_error(our, right), OURS[dtype][way]),
            ("fla against ours", relative_error(their, our), THEIRS[dtype][way]),
        ):
            if not error <= bound:
                faults.append(f"{name}: {what} {error:.1e}, bound {bound:.0e}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("build", [delta_net, gated_linear_attention, hgrn2])
def test_float32_layers_and_their_gradients_are_those_of_the_recurrent_kernels(build):
    compare(build("fused_recurrent"), torch.float32, backward=True)


@pytest.mark.parametrize("build", [gated_delta_net, gated_delta_product, kimi_delta_attention])
def test_float32_outputs_are_those_of_the_recurrent_kernels_without_backward(build):
    pair = build("fused_recurrent")
    pair.layer.eval()
    compare(pair, torch.float32, backward=False)


def test_float32_outputs_of_rwkv7_are_those_of_the_recurrent_kernel_without_backward():
    pair = rwkv7("fused_recurrent")
    pair.layer.eval()
    compare(pair, torch.float32, backward=False, length=63)  # from 64 tokens on fla takes chunks


def unit(x: Tensor) -> Tensor:
    return normalize(x.float(), dim=-1)


def gated_delta_rule_in_torch(q, k, v, g, beta, A_log, dt_bias, **_):
    naive = importlib.import_module("fla.ops.gated_delta_rule.naive")
    decay = -A_log.exp() * softplus(g + dt_bias)
    return naive.naive_recurrent_gated_delta_rule(
        unit(q), unit(k), v, 2 * torch.sigmoid(beta), decay
    )


def gated_delta_product_in_torch(q, k, v, g, beta, num_householder, **_):
    naive = importlib.import_module("fla.ops.gated_delta_product.naive")
    return naive.naive_recurrent_gated_delta_product(
        unit(q), unit(k), v, g, beta, SIZE**-0.5, None, num_householder=num_householder
    )


def kda_in_torch(q, k, v, g, beta, A_log, dt_bias, **_):
    naive = importlib.import_module("fla.ops.kda.naive")
    decay = importlib.import_module("fla.ops.kda.gate").naive_kda_gate(g, A_log, dt_bias)
    return naive.naive_recurrent_kda(unit(q), unit(k), v, decay, 2 * torch.sigmoid(beta))


def rwkv7_in_torch(r, w, k, v, a, b, **_):
    naive = importlib.import_module("fla.ops.generalized_delta_rule.dplr.naive")
    heads_first = (x.transpose(1, 2) for x in (r * math.sqrt(SIZE), k, v, a, b, w))
    outputs, state = naive.dplr_recurrence(*heads_first)
    return outputs.transpose(1, 2), state


@pytest.mark.parametrize(
    ("build", "module", "kernel", "in_torch"),
    [
        (
            gated_delta_net,
            "gated_deltanet",
            "chunk_gated_delta_rule",
            gated_delta_rule_in_torch,
        ),
        (
            gated_delta_product,
            "gated_deltaproduct",
            "chunk_gated_delta_product",
            gated_delta_product_in_torch,
        ),
        (
            delta_product,
            "gated_deltaproduct",
            "chunk_gated_delta_product",
            gated_delta_product_in_torch,
        ),
        (kimi_delta_attention, "kda", "chunk_kda", kda_in_torch),
        (rwkv7, "rwkv7", "chunk_rwkv7", rwkv7_in_torch),
    ],
)
def test_float32_layers_and_their_gradients_are_those_of_the_recurrence_in_torch(
    monkeypatch, build, module, kernel, in_torch
):
    pair = build("chunk")
    monkeypatch.setattr(importlib.import_module(f"fla.layers.{module}"), kernel, in_torch)
    compare(pair, torch.float32, backward=True)


@pytest.mark.parametrize(
    ("build", "mode"),
    [
        (delta_net, "chunk"),
        (delta_product, "chunk"),
        (gated_linear_attention, "chunk"),
        (hgrn2, "fused_recurrent"),
        (rwkv7, "chunk"),
    ],
)
def test_bfloat16_layers_and_their_gradients_are_those_of_the_kernels(build, mode):
    compare(build(mode), torch.bfloat16, backward=True)


@pytest.mark.parametrize("build", [gated_delta_net, gated_delta_product, kimi_delta_attention])
def test_bfloat16_outputs_are_those_of_the_chunked_kernels(build):
    """Forward alone: on Hopper fla refuses the gated backward with Triton 3.4 to 3.7."""
    pair = build("chunk")
    pair.layer.eval()
    compare(pair, torch.bfloat16, backward=False)
