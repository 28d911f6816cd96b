"""Functions of flash-linear-attention as contestants. Nothing here imports it before `prepare`."""

import importlib
from typing import Any

from torch import Tensor

from statetrack.benchmark.cases import Case
from statetrack.benchmark.contestants import (
    Contestant,
    Prepared,
    has_factors,
    has_one_factor,
    is_half,
    is_real,
    only,
)
from statetrack.benchmark.scan_rows import Inputs


def _log_gradient(name: str, gradient: Tensor, leaf: Tensor) -> Tensor:
    """From the gradient of a logarithm to that of the decay."""
    return gradient / leaf.exp() if name in ("a", "decay") else gradient


def _hgrn(name: str) -> Any:
    def prepare(case: Case, inputs: Inputs) -> Prepared:
        function = getattr(importlib.import_module("fla.ops.hgrn"), name)
        leaves = {"a": inputs["a"].float().log().to(case.torch_dtype), "x": inputs["x"]}
        return Prepared(lambda a, x: function(x, a)[0], leaves, gradient=_log_gradient)

    return prepare


def _heads_after_time(tensor: Tensor) -> Tensor:
    """From [B, H, T, ...] to [B, T, H, ...] or back."""
    return tensor.transpose(1, 2).contiguous()


def _gated(module: str, name: str) -> Any:
    """Prepare one of fla's functions with logarithmic decays, in the layout [B, T, H, ...]."""

    def prepare(case: Case, inputs: Inputs) -> Prepared:
        function = getattr(importlib.import_module(module), name)
        leaves = {key: _heads_after_time(one) for key, one in inputs.items()}
        if "decay" in leaves:
            leaves["decay"] = leaves["decay"].float().log().to(case.torch_dtype)
        gate = "gk" if name == "fused_recurrent_gla" else "g"

        def call(q: Tensor, k: Tensor, v: Tensor, *decay: Tensor) -> Tensor:
            gates = {gate: decay[0]} if decay else {}
            outputs: Tensor = function(q, k, v, scale=1.0, **gates)[0]
            return outputs

        def gradient(key: str, one: Tensor, leaf: Tensor) -> Tensor:
            return _log_gradient(key, one, leaf).transpose(1, 2)

        return Prepared(call, leaves, _heads_after_time, _heads_after_time, gradient)

    return prepare


def _delta_rule(module: str, name: str) -> Any:
    """Prepare one of fla's delta rules, in the layout [B, T R, H, ...]; queries [B, T, H, K]."""

    def prepare(case: Case, inputs: Inputs) -> Prepared:
        function = getattr(importlib.import_module(module), name)
        leaves = {
            key: _heads_after_time(one if key == "q" else one.flatten(2, 3))
            for key, one in inputs.items()
        }
        of_product = {"g": None, "num_householder": case["R"]} if "product" in name else {}

        def call(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
            outputs: Tensor = function(q, k, v, beta=beta, scale=1.0, **of_product)[0]
            return outputs

        def gradient(key: str, one: Tensor, leaf: Tensor) -> Tensor:
            moved = one.transpose(1, 2)
            return moved if key == "q" else moved.unflatten(2, (-1, case["R"]))

        return Prepared(call, leaves, _heads_after_time, _heads_after_time, gradient)

    return prepare


# Last those that try many configurations, for minutes, before their first answer.
FLA = [
    Contestant(
        "fla chunk_hgrn",
        ("diagonal",),
        _hgrn("chunk_hgrn"),
        only("real numbers only", is_real),
        needs="fla",
        imports="fla.ops",
        positive=True,
    ),
    Contestant(
        "fla fused_recurrent_gla",
        ("outer_product",),
        _gated("fla.ops.gla", "fused_recurrent_gla"),
        only("no decay, or one per channel", lambda case: case.variant != "head"),
        needs="fla",
        imports="fla.ops",
        positive=True,
    ),
    Contestant(
        "fla fused_recurrent_delta_rule",
        ("householder",),
        _delta_rule("fla.ops.delta_rule", "fused_recurrent_delta_rule"),
        only("one factor a token", has_one_factor),
        needs="fla",
        imports="fla.ops",
    ),
    Contestant(
        "fla chunk_delta_rule",
        ("householder",),
        _delta_rule("fla.ops.delta_rule", "chunk_delta_rule"),
        only("bfloat16, one factor a token", is_half, has_one_factor),
        needs="fla",
        imports="fla.ops",
    ),
    Contestant(
        "fla chunk_gated_delta_product",
        ("householder",),
        _delta_rule("fla.ops.gated_delta_product", "chunk_gated_delta_product"),
        only("bfloat16, two factors a token or more", is_half, has_factors),
        needs="fla",
        imports="fla.ops",
    ),
    Contestant(
        "fla chunk_simple_gla",
        ("outer_product",),
        _gated("fla.ops.simple_gla", "chunk_simple_gla"),
        only("no decay, or one per head", lambda case: case.variant != "channel"),
        needs="fla",
        imports="fla.ops",
        positive=True,
    ),
    Contestant(
        "fla chunk_gla",
        ("outer_product",),
        _gated("fla.ops.gla", "chunk_gla"),
        only("decay per channel only", lambda case: case.variant == "channel"),
        needs="fla",
        imports="fla.ops",
        positive=True,
    ),
]
