"""Who is timed: our backends, and other people's libraries where they are installed.

Nothing here imports a peer before `prepare` is called. Layouts, logarithms of decays and the like
are made there, outside of what is timed. A peer of your own is a `Contestant` in a Python file,
``PEERS = [Contestant(...)]``, given by ``statetrack bench scans --peer-file``.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.benchmark.cases import Case
from statetrack.benchmark.contestants import Contestant as Contestant
from statetrack.benchmark.contestants import Prepared as Prepared
from statetrack.benchmark.contestants import (
    has_power_of_two_length,
    is_complex,
    is_real,
    only,
)
from statetrack.benchmark.peers_fla import FLA
from statetrack.benchmark.peers_torch import CELLS_OF_TORCH
from statetrack.benchmark.scan_rows import SCANS, Inputs
from statetrack.source_files import import_file


def ours(backend: str) -> Contestant:
    """Make the contestant of one of our backends."""

    def prepare(case: Case, inputs: Inputs) -> Prepared:
        scan, names = SCANS[case.scan].scan(case), tuple(inputs)

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
        plain = case.dtype == "float32" and case.variant not in ("head", "slstm_exponential")
        if backend == "parallel" and not (plain and sizes["B"] <= 256):
            return "timed in float32 and at other sizes"
        if backend == "reference":
            small = plain and case["T"] <= 512 and sizes.get("N", 0) <= 16
            return None if small else "a loop: timed in float32 up to T = 512 and N = 16"
        return None

    return Contestant(f"statetrack {backend}", tuple(SCANS), prepare, leaves_out, ours=True)


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

# What comes last is what a short run leaves out.
PEERS: dict[str, Contestant] = {
    one.name: one
    for one in (
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
        *FLA,
        CELLS_OF_TORCH,
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
