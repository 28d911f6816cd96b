"""One job: a contestant on a case, checked first and timed only when it is right."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from statetrack.benchmark.cases import Case
from statetrack.benchmark.checks import (
    PEER_BOUND,
    Bound,
    bound_of,
    relative_error,
    rows_of,
    some_sequences,
    truth,
)
from statetrack.benchmark.peers import CONTESTANTS, Contestant, Prepared
from statetrack.benchmark.scan_rows import inputs_of
from statetrack.benchmark.timing import num_sets, time_calls
from statetrack.benchmark.words import WORD_SOURCES, wrong_words

FORWARD, BOTH = "forward", "forward+backward"
PASSES = (FORWARD, BOTH)
MAX_REASON = 400

Row = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What the float64 reference says about some sequences of a case."""

    rows: list[int]
    outputs: Tensor
    gradients: dict[str, Tensor]


def row_of(case: Case, contestant: str, which: str, status: str, **more: Any) -> Row:
    """Make one row of results: a case, a contestant, a pass, and what came of it."""
    return {**case.to_json(), "contestant": contestant, "pass": which, "status": status, **more}


def reason_of(error: BaseException) -> str:
    """Shorten an exception to its name and the start of its text, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:MAX_REASON]


def measure(
    case: Case,
    name: str,
    device: torch.device,
    *,
    seconds: float = 0.1,
    contestants: "dict[str, Contestant] | None" = None,
) -> Iterator[Row]:
    """Check and time one contestant on one case; nothing that it raises gets out.

    Parameters
    ----------
    case : Case
    name : str
        A key of `contestants`, or of `WORD_SOURCES` for words.
    device : torch.device
    seconds : float
        About how long to measure each pass.
    contestants : dict of str to Contestant, optional
        `CONTESTANTS` by default.

    Yields
    ------
    dict
        Rows, one a pass: status "ok", "wrong" (not timed), "error" or "left out", with a reason.
    """
    if case.scan == "words":
        yield _measure_words(case, name, device, seconds)
        return
    contestant = (contestants or CONTESTANTS)[name]
    reason = contestant.leaves_out(case)
    missing = contestant.why_missing()
    if reason is not None or missing is not None:
        status = "left out" if reason is not None else "not available"
        for which in PASSES:
            yield row_of(case, name, which, status, reason=reason or missing)
        return
    done = 0
    try:
        for row in _measure_passes(case, contestant, device, seconds):
            yield row
            done += 1
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
        for which in PASSES[done:]:
            yield row_of(case, name, which, "error", reason=reason_of(error))
    finally:
        if device.type == "cuda":
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()


def _measure_passes(
    case: Case, contestant: Contestant, device: torch.device, seconds: float
) -> Iterator[Row]:
    inputs = inputs_of(case, device, positive=contestant.positive)
    prepared = contestant.prepare(case, inputs)
    with torch.no_grad():
        outputs = prepared.outward(prepared.call(*prepared.leaves.values()))
    generator = torch.Generator(device).manual_seed(1)
    cotangent = torch.randn(
        outputs.shape,
        generator=generator,
        device=device,
        dtype=torch.complex64 if outputs.is_complex() else torch.float32,
    ).to(outputs.dtype)
    rows = some_sequences(case["B"])
    expected = Expected(rows, *truth(case, rows_of(inputs, rows), cotangent[rows]))
    bound = bound_of(case) if contestant.ours else Bound(PEER_BOUND, PEER_BOUND)
    shared: Row = {"ours": contestant.ours, "positive": contestant.positive}

    error = relative_error(outputs[rows], expected.outputs)
    shared |= {"error": error, "bound": bound.outputs}
    if not error <= bound.outputs:
        reason = f"outputs are off by {error:.1e}, at most {bound.outputs:.1e} is allowed"
        for which in PASSES:
            yield row_of(case, contestant.name, which, "wrong", reason=reason, **shared)
        return
    del outputs
    sets = _sets(prepared, case, device)
    forward = time_calls([_forward(one) for one in sets], device, seconds)
    yield row_of(case, contestant.name, FORWARD, "ok", **asdict(forward), **shared)

    no_backward = contestant.forward_only(case)
    if no_backward is not None:
        yield row_of(case, contestant.name, BOTH, "left out", reason=no_backward, **shared)
        return
    weight = prepared.inward(cotangent)
    for one in sets:
        for leaf in one.leaves.values():
            leaf.requires_grad_()
    errors = _gradient_errors(sets[0], weight, expected)
    shared |= {"error": max(errors.values()), "errors": errors, "bound": bound.gradients}
    if not shared["error"] <= bound.gradients:
        worst = max(errors, key=lambda key: errors[key])
        reason = (
            f"the gradient of {worst} is off by {errors[worst]:.1e}, "
            f"at most {bound.gradients:.1e} is allowed"
        )
        yield row_of(case, contestant.name, BOTH, "wrong", reason=reason, **shared)
        return
    both = time_calls([_both(one, weight) for one in sets], device, seconds)
    yield row_of(case, contestant.name, BOTH, "ok", **asdict(both), **shared)


def _sets(prepared: Prepared, case: Case, device: torch.device) -> list[Prepared]:
    """The same call on copies of its inputs, together larger than the cache."""
    leaves = prepared.leaves
    size = sum(leaf.numel() * leaf.element_size() for leaf in leaves.values())
    copies = [
        Prepared(
            prepared.call,
            {name: leaf.detach().clone() for name, leaf in leaves.items()},
            prepared.outward,
            prepared.inward,
            prepared.gradient,
        )
        for _ in range(num_sets(size, device) - 1)
    ]
    return [prepared, *copies]


def _forward(prepared: Prepared) -> Callable[[], object]:
    leaves = tuple(prepared.leaves.values())

    def call() -> object:
        with torch.no_grad():
            return prepared.call(*leaves)

    return call


def _both(prepared: Prepared, weight: Tensor) -> Callable[[], object]:
    leaves = tuple(prepared.leaves.values())
    return lambda: torch.autograd.grad(prepared.call(*leaves), leaves, weight)


def _gradient_errors(prepared: Prepared, weight: Tensor, expected: Expected) -> dict[str, float]:
    leaves = prepared.leaves
    gradients = torch.autograd.grad(prepared.call(*leaves.values()), list(leaves.values()), weight)
    return {
        name: relative_error(
            prepared.gradient(name, gradient, leaf.detach())[expected.rows],
            expected.gradients[name],
        )
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
    }


def _measure_words(case: Case, name: str, device: torch.device, seconds: float) -> Row:
    source = WORD_SOURCES[name]
    where = torch.device("cpu") if source.on_processor else device
    try:
        draw = source.make(case, where)
        reason = wrong_words(case, draw)
        if reason is not None:
            return row_of(case, name, FORWARD, "wrong", reason=reason, ours=True)
        timing = time_calls([lambda: draw(0)], where, seconds)
    except Exception as error:  # noqa: BLE001 - recorded as the result, like that of a peer
        return row_of(case, name, FORWARD, "error", reason=reason_of(error))
    rate = case["B"] * case["T"] / (1e-3 * timing.median)
    more = {"tokens_per_second": rate, "ours": True, "error": 0.0}
    return row_of(case, name, FORWARD, "ok", **asdict(timing), **more)
