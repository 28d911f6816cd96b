"""Pairs of a mixer and a layer of flash-linear-attention, weights copied over.

fla's blocks have elements that our mixers lack. They are put in from outside: SiLU behind the
projections, queries of unit length, norms of other shape.
"""

import importlib
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from statetrack.models import build_model

DEVICE = "cuda"
BATCH, LENGTH, HEADS, SIZE = 2, 128, 2, 64
WIDTH = HEADS * SIZE
EPSILON = 1e-6


@dataclass
class Link:
    """A weight of ours, the one of fla's that it is copied to, and how its shape changes."""

    ours: nn.Parameter
    theirs: nn.Parameter
    value: Callable[[Tensor], Tensor] = lambda p: p
    gradient: Callable[[Tensor], Tensor] | None = None


@dataclass
class Pair:
    """A mixer of ours, fla's layer with the same weights, and the weights."""

    mixer: nn.Module
    layer: nn.Module
    links: dict[str, Link]
    extra: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mixer.to(DEVICE)
        self.layer.to(DEVICE)
        with torch.no_grad():
            for link in self.links.values():
                link.theirs.copy_(link.value(link.ours))


class UnitQueries(nn.Module):
    """Queries of unit length, times ``size ** -0.5`` as fla's kernels do."""

    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (HEADS, -1))
        return (normalize(heads, dim=-1) * SIZE**-0.5).flatten(-2)


class JointNorm(nn.Module):
    """Root mean square over all heads at once, of outputs times ``size ** -0.5``.

    HGRN2's layer does not hand its ``norm_eps`` on; the function it calls takes 1e-5.
    """

    epsilon = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HEADS, 1, SIZE))

    def forward(self, o_BHTV: Tensor) -> Tensor:
        o_BHTV = o_BHTV * SIZE**-0.5
        square = o_BHTV.square().mean(dim=(-3, -1), keepdim=True)
        return o_BHTV * torch.rsqrt(square + self.epsilon) * self.weight


class CentredNorm(nn.Module):
    """Mean and variance of every head, as in a group norm."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(HEADS, 1, SIZE))
        self.bias = nn.Parameter(torch.zeros(HEADS, 1, SIZE))

    def forward(self, o_BHTV: Tensor) -> Tensor:
        return layer_norm(o_BHTV, (SIZE,), eps=self.epsilon) * self.weight + self.bias


def layer_of(module: str, name: str) -> type[nn.Module]:
    """One layer's class, without the rest of ``fla.layers``, which needs more packages."""
    fla = pytest.importorskip("fla")
    pytest.importorskip("fla.ops")
    if "fla.layers" not in sys.modules:
        package = types.ModuleType("fla.layers")
        package.__path__ = [str(Path(folder) / "layers") for folder in fla.__path__]
        sys.modules["fla.layers"] = package
    return getattr(importlib.import_module(f"fla.layers.{module}"), name)


def build_layer(module: str, name: str, **options) -> nn.Module:
    layer_class = layer_of(module, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to switch short convolutions on, and on RWKV
        return layer_class(hidden_size=WIDTH, norm_eps=EPSILON, **options)


def build_mixer(name: str, **parameters) -> nn.Module:
    """Build our mixer from zeros, as fla's layers start, with scales and biases moved."""
    torch.manual_seed(0)
    model = build_model(
        name, 2, 2, width=WIDTH, num_heads=HEADS, head_size=SIZE, range_steepness=1.0, **parameters
    )
    mixer = model.blocks[0].mixer
    with torch.no_grad():
        mixer.start.zero_()
    return mixer


def scale_of_heads(ours: nn.Parameter, theirs: nn.Parameter) -> Link:
    """One scale for all heads in fla's layer, one a head in ours."""
    return Link(ours, theirs, lambda p: p[0, 0], lambda g: g.sum(dim=(0, 1)))


def projections(mixer: nn.Module, layer: nn.Module) -> dict[str, Link]:
    return {
        "query": Link(mixer.to_query.weight, layer.q_proj.weight),
        "key": Link(mixer.to_key.weight, layer.k_proj.weight),
        "value": Link(mixer.to_value.weight, layer.v_proj.weight),
        "output": Link(mixer.output.weight, layer.o_proj.weight),
    }


def factors_outside(heads_outside: Tensor) -> Tensor:
    """From rows [heads, factors, ...] to rows [factors, heads, ...]."""
    factors = 2
    split = heads_outside.unflatten(0, (HEADS, factors, -1))
    return split.transpose(0, 1).flatten(0, 2)


def delta_links(mixer: nn.Module, layer: nn.Module) -> dict[str, Link]:
    """Copy what all delta nets share, and put SiLU behind the projections of ours."""
    with torch.no_grad():
        mixer.to_beta.bias.zero_()
    links = {**projections(mixer, layer), "beta": Link(mixer.to_beta.weight, layer.b_proj.weight)}
    links["norm"] = scale_of_heads(mixer.norm.scale, layer.o_norm.weight)
    if mixer.factors > 1:
        for name in ("key", "value", "beta"):
            links[name].value = factors_outside
    mixer.to_query = nn.Sequential(mixer.to_query, nn.SiLU(), UnitQueries())
    mixer.to_key = nn.Sequential(mixer.to_key, nn.SiLU())
    mixer.to_value = nn.Sequential(mixer.to_value, nn.SiLU())
    return links


def gate_links(mixer: nn.Module, layer: nn.Module) -> dict[str, Link]:
    """Decays of a head, and the output gate."""
    decay = mixer.decay
    return {
        "rate": Link(decay.log_rate, layer.A_log, Tensor.flatten),
        "step": Link(decay.projection.weight, layer.a_proj.weight),
        "step bias": Link(decay.projection.bias, layer.dt_bias),
        "gate": Link(mixer.to_gate.weight, layer.g_proj.weight),
    }


def delta_net(mode: str) -> Pair:
    mixer = build_mixer("householder")
    options = {"num_heads": HEADS, "use_short_conv": False, "allow_neg_eigval": True}
    layer = build_layer("delta_net", "DeltaNet", mode=mode, **options)
    return Pair(mixer, layer, delta_links(mixer, layer))


OF_DELTA = {
    "head_dim": SIZE,
    "num_heads": HEADS,
    "expand_v": 1,
    "use_short_conv": False,
    "allow_neg_eigval": True,
}


def delta_product(mode: str) -> Pair:
    mixer = build_mixer("householder", num_factors=2)
    options = {"num_householder": 2, "use_forget_gate": False, "use_output_gate": False}
    layer = build_layer("gated_deltaproduct", "GatedDeltaProduct", mode=mode, **OF_DELTA, **options)
    return Pair(mixer, layer, delta_links(mixer, layer))


def gated_delta_net(mode: str) -> Pair:
    mixer = build_mixer("gated_householder", output_gate=True)
    layer = build_layer("gated_deltanet", "GatedDeltaNet", mode=mode, **OF_DELTA)
    return Pair(mixer, layer, delta_links(mixer, layer) | gate_links(mixer, layer))


def gated_delta_product(mode: str) -> Pair:
    mixer = build_mixer("gated_householder", num_factors=2, output_gate=True)
    layer = build_layer(
        "gated_deltaproduct", "GatedDeltaProduct", mode=mode, num_householder=2, **OF_DELTA
    )
    return Pair(mixer, layer, delta_links(mixer, layer) | gate_links(mixer, layer))


def kimi_delta_attention(mode: str) -> Pair:
    mixer = build_mixer("kda", output_gate=True)
    layer = build_layer("kda", "KimiDeltaAttention", mode=mode, **OF_DELTA)
    decay = mixer.decay
    links = {
        "rate": Link(decay.log_rate, layer.A_log, Tensor.flatten),
        "step down": Link(decay.projection[0].weight, layer.f_proj[0].weight),
        "step up": Link(decay.projection[1].weight, layer.f_proj[1].weight),
        "step bias": Link(decay.projection[1].bias, layer.dt_bias),
        "gate down": Link(mixer.to_gate[0].weight, layer.g_proj[0].weight),
        "gate up": Link(mixer.to_gate[1].weight, layer.g_proj[1].weight),
        "gate bias": Link(mixer.to_gate[1].bias, layer.g_proj[1].bias),
    }
    return Pair(mixer, layer, delta_links(mixer, layer) | links)


def gated_linear_attention(mode: str) -> Pair:
    mixer = build_mixer("gla")
    options = {"num_heads": HEADS, "expand_k": 1.0}
    layer = build_layer("gla", "GatedLinearAttention", mode=mode, **options)
    links = {
        "decay down": Link(mixer.to_decay[0].weight, layer.gk_proj[0].weight),
        "decay up": Link(mixer.to_decay[1].weight, layer.gk_proj[1].weight),
        "decay bias": Link(mixer.to_decay[1].bias, layer.gk_proj[1].bias),
        "gate": Link(mixer.to_gate.weight, layer.g_proj.weight),
        "norm": scale_of_heads(mixer.norm.scale, layer.g_norm_swish_gate.weight),
    }
    return Pair(mixer, layer, projections(mixer, layer) | links)


def hgrn2(mode: str) -> Pair:
    mixer = build_mixer("hgrn2", lower_bound=0.25)
    layer = build_layer("hgrn2", "HGRN2Attention", mode=mode, expand_ratio=SIZE, layer_idx=1)
    mixer.norm = JointNorm()
    with torch.no_grad():
        mixer.to_forget.bias.zero_()
    links = {
        "query": Link(mixer.to_query.weight, layer.q_proj.weight),
        "forget": Link(mixer.to_forget.weight, layer.f_proj.weight),
        "value": Link(mixer.to_value.weight, layer.i_proj.weight),
        "output": Link(mixer.output.weight, layer.o_proj.weight),
        "norm": Link(mixer.norm.weight, layer.g_norm.weight, Tensor.flatten),
    }
    bound = torch.full((WIDTH,), 0.25, device=DEVICE)
    return Pair(mixer, layer, links, {"lower_bound": bound})


def rwkv7(mode: str) -> Pair:
    rank = 16
    mixer = build_mixer("rwkv7", rank=rank, token_shift=True, output_gate=True)
    ranks = dict.fromkeys(("decay_low_rank_dim", "gate_low_rank_dim", "a_low_rank_dim"), rank)
    places = {"layer_idx": 0, "num_hidden_layers": 2}
    layer = build_layer("rwkv7", "RWKV7Attention", mode=mode, head_dim=SIZE, **ranks, **places)
    mixer.norm = CentredNorm(SIZE * EPSILON)
    links = {
        "receptance": Link(mixer.to_receptance.weight, layer.r_proj.weight),
        "key": Link(mixer.to_key.weight, layer.k_proj.weight),
        "value": Link(mixer.to_value.weight, layer.v_proj.weight),
        "output": Link(mixer.output.weight, layer.o_proj.weight),
        "removal scale": Link(mixer.removal_scale, layer.k_k, Tensor.flatten),
        "replacement mix": Link(mixer.replacement_mix, layer.k_a, Tensor.flatten),
        "bonus": Link(mixer.bonus, layer.r_k, lambda p: p.squeeze(1)),
        "norm": Link(mixer.norm.weight, layer.g_norm.weight, Tensor.flatten),
        "norm bias": Link(mixer.norm.bias, layer.g_norm.bias, Tensor.flatten),
        "decay bias": Link(mixer.to_decay.up.bias, layer.w_lora.lora[2].bias),
        "rate bias": Link(mixer.to_rate.up.bias, layer.a_lora.lora[2].bias),
    }
    low_ranks = (mixer.to_decay, layer.w_lora), (mixer.to_rate, layer.a_lora)
    for ours, theirs in (*low_ranks, (mixer.to_gate, layer.g_lora)):
        name = type(ours.function).__name__
        links[f"{name} down"] = Link(ours.down.weight, theirs.lora[0].weight)
        links[f"{name} up"] = Link(ours.up.weight, theirs.lora[2].weight)
    for place, name in enumerate("rkvwag"):
        links[f"shift {name}"] = Link(
            mixer.shift, getattr(layer, f"x_{name}"), lambda p, i=place: p[i].view(1, 1, -1)
        )
    return Pair(mixer, layer, links)
