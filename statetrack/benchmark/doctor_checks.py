"""The checks of the doctor: jobs for `statetrack.benchmark.worker`, and what each of them does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from statetrack.benchmark.cases import SHORT_DTYPES, Case
from statetrack.benchmark.checks import bound_of, relative_error, same_bits
from statetrack.benchmark.measure import reason_of
from statetrack.benchmark.scan_rows import SCANS, Inputs, exact_inputs, inputs_of
from statetrack.benchmark.words import WORD_SOURCES, wrong_words
from statetrack.scans.kernels import why_unavailable


@dataclass(frozen=True)
class Lengths:
    """Tokens of the checks: awkward lengths, and one long chain."""

    awkward: tuple[int, ...]
    chain: int
    batch: int


KERNEL_LENGTHS = Lengths((1, 17, 300), 4096, 3)
TORCH_LENGTHS = Lengths((1, 17, 100), 512, 2)
INTERPRETER_LENGTHS = Lengths((1, 5), 9, 1)


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes
    ----------
    name : str
        Scan, backend, what was looked at.
    backend : str
    ok : bool
    found : str
        Errors and their bounds, or what went wrong.
    errors : dict of str to float
        Relative errors of outputs, final state and every gradient, where they were measured.
    """

    name: str
    backend: str
    ok: bool
    found: str
    errors: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """One line."""
        return f"{'ok' if self.ok else 'FAILED':<7} {self.name:<54} {self.found}"


def lengths_for(device: torch.device, backend: str) -> Lengths:
    """Sizes that take seconds: the interpreter needs a millisecond for every step of a loop."""
    if backend != "triton":
        return TORCH_LENGTHS
    return KERNEL_LENGTHS if device.type == "cuda" else INTERPRETER_LENGTHS


def jobs_of(device: torch.device, scans: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The checks that can be run on a device.

    Parameters
    ----------
    device : torch.device
    scans : sequence of str, optional
        All by default.
    """
    no_kernels = why_unavailable(device)
    jobs: list[dict[str, Any]] = []
    for scan, row in SCANS.items():
        if scans is not None and scan not in scans:
            continue
        for backend in row.backends():
            if backend == "triton" and no_kernels is not None:
                continue
            jobs += _jobs_of_backend(scan, backend, device)
    if scans is None:
        jobs += [
            {"scan": "words", "backend": name, "what": "bits"}
            for name, source in WORD_SOURCES.items()
            if not source.on_processor and source.why_missing(device) is None
        ]
    return [{"kind": "check", "device": str(device), **job} for job in jobs]


def _jobs_of_backend(scan: str, backend: str, device: torch.device) -> Iterator[dict[str, Any]]:
    row = SCANS[scan]
    kernel = backend == "triton"
    # The interpreter computes bfloat16 in NumPy and knows no tf32: nothing to learn from them.
    whole = not kernel or device.type == "cuda"
    shared = {"scan": scan, "backend": backend}
    for variant in row.variants:
        kinds = [("float32", "ieee")]
        if variant == row.variants[-1]:
            kinds += [(dtype, "ieee") for dtype in row.dtypes if dtype != "float32"]
            kinds += [("float32", one) for one in row.precisions if kernel and one != "ieee"]
        for dtype, precision in kinds:
            if whole or (dtype != "bfloat16" and precision == "ieee"):
                more = {"variant": variant, "dtype": dtype, "precision": precision}
                yield {**shared, **more, "what": "errors"}
    more = {"variant": row.variants[-1], "dtype": "float32", "precision": "ieee"}
    yield {**shared, **more, "what": "exact chain"}
    yield {**shared, **more, "what": "same bits"}


def run_check(job: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Do one check; whatever is raised is what it found.

    Parameters
    ----------
    job : dict
        From `jobs_of`.
    device : torch.device

    Returns
    -------
    dict
        The values of a `Check`.
    """
    check: Callable[[dict[str, Any], torch.device], tuple[bool, str, dict[str, float]]]
    check = {
        "errors": _check_errors,
        "exact chain": _check_chain,
        "same bits": _check_same_bits,
        "bits": _check_words,
    }[job["what"]]
    errors: dict[str, float] = {}
    try:
        ok, found, errors = check(job, device)
    except Exception as error:  # noqa: BLE001 - a check that raises has failed, and says why
        ok, found = False, reason_of(error)
    return asdict(Check(name_of(job), job["backend"], ok, found, errors))


def name_of(job: dict[str, Any]) -> str:
    """What a check is called."""
    if job["scan"] == "words":
        return f"words {job['backend']}: same bits as NumPy"
    kind = SHORT_DTYPES[job["dtype"]]
    start = " ".join(filter(None, [job["scan"], job["variant"], job["backend"], kind]))
    if job["what"] == "errors":
        return f"{start} {job['precision']}"
    return f"{start}: {'exact chain' if job['what'] == 'exact chain' else 'same bits twice'}"


def _case(job: dict[str, Any], batch: int, length: int) -> Case:
    sizes = (("B", batch), ("T", length), *SCANS[job["scan"]].small.items())
    return Case(job["scan"], sizes, job["dtype"], job["precision"], job["variant"])


def _run(case: Case, backend: str, inputs: Inputs) -> dict[str, Tensor]:
    """Outputs, final state, and the gradients of a fixed weighted sum of both."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in inputs.items()}
    scan = SCANS[case.scan].scan(case)
    outputs, final = scan(**leaves, backend=backend, precision=case.precision)
    total = _weighted(outputs) + _weighted(final)
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    found = {"outputs": outputs.detach(), "final state": final.detach()}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        found[f"d{name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return found


def _weighted(tensor: Tensor) -> Tensor:
    """A real sum with weights that float32 holds, the same for every number type."""
    generator = torch.Generator().manual_seed(tensor.numel())
    weights = torch.randn(tensor.shape, generator=generator).to(torch.bfloat16).to(tensor.device)
    if tensor.is_complex():
        return (tensor.real * weights + tensor.imag * weights.flip(-1)).sum()
    return (tensor * weights).sum()


def _expected(case: Case, inputs: Inputs) -> dict[str, Tensor]:
    wide = torch.complex128 if case.dtype == "complex64" else torch.float64
    exact = Case(case.scan, case.sizes, case.dtype, "ieee", case.variant)
    return _run(exact, "reference", {name: one.to(wide) for name, one in inputs.items()})


def _check_errors(job: dict[str, Any], device: torch.device) -> tuple[bool, str, dict[str, float]]:
    lengths = lengths_for(device, job["backend"])
    worst: dict[str, float] = {}
    share = 0.0
    lines = []
    for length in lengths.awkward:
        case = _case(job, lengths.batch, length)
        inputs = inputs_of(case, device, initial=True)
        found, expected = _run(case, job["backend"], inputs), _expected(case, inputs)
        bound = bound_of(case)
        for name, tensor in found.items():
            error = relative_error(tensor, expected[name])
            most = bound.gradients if name.startswith("d") else bound.outputs
            worst[name] = max(worst.get(name, 0.0), error)
            share = max(share, error / most)
            if not error <= most:
                lines.append(f"{name} off by {error:.1e} (at most {most:.1e}) at T = {length}")
    if lines:
        return False, "; ".join(lines), worst
    gradients = max(error for name, error in worst.items() if name.startswith("d"))
    found_text = (
        f"outputs {max(worst['outputs'], worst['final state']):.1e}, gradients {gradients:.1e}, "
        f"{100 * share:.0f} % of what is allowed"
    )
    return True, found_text, worst


def _check_chain(job: dict[str, Any], device: torch.device) -> tuple[bool, str, dict[str, float]]:
    lengths = lengths_for(device, job["backend"])
    case = _case(job, lengths.batch, lengths.chain)
    inputs = exact_inputs(case, device)
    scan = SCANS[case.scan].scan(case)
    with torch.no_grad():
        found = scan(**inputs, backend=job["backend"])
        wide = {name: one.to(torch.float64) for name, one in inputs.items()}
        expected = scan(**wide, backend="reference")
    wrong = sum(
        int((one.to(torch.float64) != other).sum())
        for one, other in zip(found, expected, strict=True)
    )
    if wrong:
        return False, f"{wrong} numbers are not exact after {lengths.chain} tokens", {}
    return True, f"bit for bit after {lengths.chain} tokens", {}


def _check_same_bits(
    job: dict[str, Any], device: torch.device
) -> tuple[bool, str, dict[str, float]]:
    lengths = lengths_for(device, job["backend"])
    case = _case(job, lengths.batch, lengths.awkward[-1])
    inputs = inputs_of(case, device, initial=True)
    first, second = (_run(case, job["backend"], inputs) for _ in range(2))
    names = [name for name in first if not same_bits(first[name], second[name])]
    if names:
        return False, f"the same call gave other bits in {', '.join(names)}", {}
    return True, "outputs and gradients", {}


def _check_words(job: dict[str, Any], device: torch.device) -> tuple[bool, str, dict[str, float]]:
    length = 37 if device.type == "cuda" else 21
    case = Case("words", (("B", 9), ("T", length)), variant="s3")
    reason = wrong_words(case, WORD_SOURCES[job["backend"]].make(case, device))
    return reason is None, reason or "letters and states", {}
