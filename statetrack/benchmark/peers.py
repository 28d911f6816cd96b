"""Who is timed: our backends, and other people's libraries where they are installed.

Nothing here imports a peer before `prepare` is called. Layouts, logarithms of decays and the like
are made there, outside of what is timed. A peer of your own is a `Contestant` in a Python file,
``PEERS = [Contestant(...)]``, given by ``statetrack bench scans --peer-file``.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.benchmark.cases import Case
from statetrack.benchmark.scan_rows import SCANS, Inputs
from statetrack.source_files import import_file


def same(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


def same_gradient(name: str, gradient: Tensor, leaf: Tensor) -> Tensor:
    """The gradient itself."""
    return gradient


@dataclass(frozen=True)
class Prepared:
    """One call, ready to be timed.

    Attributes
    ----------
    call : callable
        Takes the leaves in order and returns the outputs.
    leaves : dict of str to Tensor
        Inputs in the layout of the callee, by our names.
    outward : callable
        From outputs of the call to our layout.
    inward : callable
        From a gradient with respect to our outputs to the layout of the callee.
    gradient : callable
        From a gradient of the callee to ours, given the name and the leaf.
    """

    call: Callable[..., Tensor]
    leaves: Inputs
    outward: Callable[[Tensor], Tensor] = same
    inward: Callable[[Tensor], Tensor] = same
    gradient: Callable[[str, Tensor, Tensor], Tensor] = same_gradient


def takes_all(case: Case) -> str | None:
    """No case is left out."""
    return None


@dataclass(frozen=True)
class Contestant:
    """Something that computes a scan.

    Attributes
    ----------
    name : str
        As shown.
    scans : tuple of str
        Which scans it has at all.
    prepare : callable
        From a case and its inputs to a `Prepared`.
    leaves_out : callable
        Why a case is left out, or None.
    needs : str
        Package that must be installed; empty for ours.
    ours : bool
        Held to the bounds of `checks.bound_of`; a peer only has to compute the same function.
    positive : bool
        Cannot take negative transitions: gets inputs without them, and the row says so.
    forward_only : callable
        Why the backward pass of a case is left out, or None.
    imports : str
        Module that takes time to import.
    """

    name: str
    scans: tuple[str, ...]
    prepare: Callable[[Case, Inputs], Prepared]
    leaves_out: Callable[[Case], str | None] = takes_all
    needs: str = ""
    ours: bool = False
    positive: bool = False
    forward_only: Callable[[Case], str | None] = takes_all
    imports: str = ""

    def why_missing(self) -> str | None:
        """Say which package is not installed, or None."""
        if not self.needs or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"the package {self.needs} is not installed"


def ours(backend: str) -> Contestant:
    """Make the contestant of one of our backends."""

    def prepare(case: Case, inputs: Inputs) -> Prepared:
        scan, names = SCANS[case.scan].scan(), tuple(inputs)

        def call(*leaves: Tensor) -> Tensor:
            given = dict(zip(names, leaves, strict=True))
            return scan(**given, backend=backend, precision=case.precision)[0]

        return Prepared(call, inputs)

    def leaves_out(case: Case) -> str | None:
        if backend not in SCANS[case.scan].backends():
            return f"this scan has no backend {backend!r}"
        if backend != "triton" and case.precision != "ieee":
            return "torch computes in ieee only"
        sizes = dict(case.sizes)
        plain = case.dtype == "float32" and case.variant != "head"
        if backend == "parallel" and not (plain and sizes["B"] <= 256):
            return "timed in float32 and at other sizes"
        if backend == "reference":
            small = plain and case["T"] <= 512 and sizes.get("N", 0) <= 16
            return None if small else "a loop: timed in float32 up to T = 512 and N = 16"
        return None

    return Contestant(f"statetrack {backend}", tuple(SCANS), prepare, leaves_out, ours=True)


def only(message: str, *conditions: Callable[[Case], bool]) -> Callable[[Case], str | None]:
    """Leave out what does not meet all conditions, with a reason."""
    return lambda case: None if all(holds(case) for holds in conditions) else message


def is_real(case: Case) -> bool:
    """Whether numbers are real."""
    return case.dtype != "complex64"


def is_complex(case: Case) -> bool:
    """Whether numbers are complex."""
    return case.dtype == "complex64"


def has_power_of_two_length(case: Case) -> bool:
    """Whether T is one of 32, 64, ..., 65536."""
    return case["T"] & (case["T"] - 1) == 0 and 32 <= case["T"] <= 65536


def is_half(case: Case) -> bool:
    """Whether numbers are bfloat16."""
    return case.dtype == "bfloat16"


def has_one_factor(case: Case) -> bool:
    """Whether every token has one Householder factor."""
    return case["R"] == 1


def has_factors(case: Case) -> bool:
    """Whether every token has several Householder factors."""
    return case["R"] > 1


def _time_last(tensor: Tensor) -> Tensor:
    return tensor.transpose(-1, -2).contiguous()


def _time_last_view(tensor: Tensor) -> Tensor:
    return tensor.transpose(-1, -2)


def channels_then_time(load: Callable[[], Callable[[Tensor, Tensor], Tensor]]) -> Any:
    """Prepare a function of ``(a, x)`` in the layout [B, D, T]."""

    def prepare(case: Case, inputs: Inputs) -> Prepared:
        leaves = {name: _time_last(tensor) for name, tensor in inputs.items()}
        return Prepared(load(), leaves, _time_last_view, _time_last, lambda name, one, leaf: one.mT)

    return prepare


def _accelerated(module: str) -> Callable[[], Callable[[Tensor, Tensor], Tensor]]:
    def load() -> Callable[[Tensor, Tensor], Tensor]:
        found: Callable[[Tensor, Tensor], Tensor] = importlib.import_module(
            f"accelerated_scan.{module}"
        ).scan
        return found

    return load


def _fpscan() -> Callable[[Tensor, Tensor], Tensor]:
    found: Callable[[Tensor, Tensor], Tensor] = importlib.import_module("fpscan").pscan
    return found


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


def _associative(case: Case, inputs: Inputs) -> Prepared:
    """Prepare ``torch.associative_scan`` in its compiled, pointwise form."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def combine(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    def scan(a: Tensor, x: Tensor) -> Tensor:
        states: Tensor = associative_scan(combine, (a, x), dim=-2, combine_mode="pointwise")[1]
        return states

    return Prepared(torch.compile(scan, dynamic=False), inputs)


OURS: dict[str, Contestant] = {
    one.name: one for one in (ours(backend) for backend in ("triton", "parallel", "reference"))
}

# In order of importance: what comes last is what a short run leaves out.
PEERS: dict[str, Contestant] = {
    one.name: one
    for one in (
        Contestant(
            "fla chunk_gla",
            ("outer_product",),
            _gated("fla.ops.gla", "chunk_gla"),
            only("decay per channel only", lambda case: case.variant == "channel"),
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
            "fla chunk_simple_gla",
            ("outer_product",),
            _gated("fla.ops.simple_gla", "chunk_simple_gla"),
            only("no decay, or one per head", lambda case: case.variant != "channel"),
            needs="fla",
            imports="fla.ops",
            positive=True,
        ),
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
            "fla fused_recurrent_delta_rule",
            ("householder",),
            _delta_rule("fla.ops.delta_rule", "fused_recurrent_delta_rule"),
            only("one factor a token", has_one_factor),
            needs="fla",
            imports="fla.ops",
        ),
        Contestant(
            "accelerated_scan scalar",
            ("diagonal",),
            channels_then_time(_accelerated("scalar")),
            only("real numbers only", is_real),
            needs="accelerated_scan",
        ),
        Contestant(
            "accelerated_scan complex",
            ("diagonal",),
            channels_then_time(_accelerated("complex")),
            only("complex numbers only", is_complex),
            needs="accelerated_scan",
        ),
        Contestant(
            "fpscan",
            ("diagonal",),
            channels_then_time(_fpscan),
            only("real numbers, T a power of two", is_real, has_power_of_two_length),
            needs="fpscan",
            imports="fpscan",
        ),
        Contestant(
            "accelerated_scan warp",
            ("diagonal",),
            channels_then_time(_accelerated("warp")),
            only("real numbers, T a power of two", is_real, has_power_of_two_length),
            needs="accelerated_scan",
        ),
        Contestant(
            "torch.associative_scan",
            ("diagonal",),
            _associative,
            only(
                "compiled anew for every size",
                lambda case: case.dtype == "float32" and case["T"] in (32, 512, 4096),
            ),
            forward_only=only(
                "its backward pass takes T x T numbers a channel", lambda case: case["T"] <= 512
            ),
            imports="torch._inductor.compile_fx",
        ),
    )
}
CONTESTANTS: Mapping[str, Contestant] = {**OURS, **PEERS}


def peers_from_file(*files: Path) -> dict[str, Contestant]:
    """Read contestants from Python files, each with a list ``PEERS``.

    Parameters
    ----------
    *files : Path

    Returns
    -------
    dict of str to Contestant

    Raises
    ------
    InputError
        No such file, one that raises, no such list, or a name that is taken.
    """
    found: dict[str, Contestant] = {}
    for file in files:
        try:
            listed = getattr(import_file(file, "peer file"), "PEERS", None)
        except InputError:
            raise
        except Exception as error:
            what = " ".join(f"{type(error).__name__} {error}".split())
            raise InputError(f"peer file {file} cannot be imported: {what}") from error
        if not isinstance(listed, list) or not all(isinstance(p, Contestant) for p in listed):
            raise InputError(f"{file}: expected PEERS = [Contestant(...), ...]")
        for peer in listed:
            if peer.name in CONTESTANTS or peer.name in found:
                raise InputError(f"{file}: the name {peer.name!r} is taken; give another one")
            found[peer.name] = peer
    return found
