"""What works on this machine: versions, backends, and every scan against its reference.

A check is a job for `statetrack.benchmark.worker`, so that a kernel that brings the process down
is one failed check.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from statetrack.benchmark.cases import SHORT_DTYPES, Case
from statetrack.benchmark.checks import bound_of, relative_error, same_bits
from statetrack.benchmark.isolation import run_isolated
from statetrack.benchmark.measure import reason_of
from statetrack.benchmark.scan_rows import SCANS, Inputs, exact_inputs, inputs_of
from statetrack.benchmark.words import WORD_SOURCES, wrong_words
from statetrack.benchmark.worker import answers_of
from statetrack.provenance import provenance
from statetrack.scans.kernels import why_unavailable

WORKER = ("-m", "statetrack.benchmark.worker")
MINUTES = 5.0
FIRST_SECONDS, EACH_SECONDS = 90.0, 45.0
BAD_HOPPER = ((3, 4), (3, 7, 1))
HOPPER = (9, 0)


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
        return f"{'ok' if self.ok else 'FAILED':<7} {self.name:<46} {self.found}"


@dataclass(frozen=True)
class Diagnosis:
    """All that the doctor found.

    Attributes
    ----------
    machine : dict of str to str
    backends : dict of str to str
        Why a backend cannot be used, empty where it can.
    checks : list of Check
    advice : list of str
    seconds : float
    """

    machine: dict[str, str]
    backends: dict[str, str]
    checks: list[Check]
    advice: list[str]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Whether no check failed."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "healthy": self.healthy}


def describe_machine(device: torch.device) -> dict[str, str]:
    """Versions and hardware, as they matter to kernels."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in ("statetrack", "torch", "triton", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed" if package != "statetrack" else "from sources"
    commit = provenance("cpu")["commit"]
    found |= {"commit": str(commit)} if commit else {}
    found["CUDA of torch"] = str(torch.version.cuda)
    if torch.cuda.is_available():
        one = torch.cuda.get_device_properties(0)
        found["GPU"] = (
            f"{one.name}, compute capability {one.major}.{one.minor}, "
            f"{one.multi_processor_count} multiprocessors, {one.total_memory / 2**30:.0f} GiB"
        )
    else:
        found["GPU"] = "none that torch sees"
    found["TRITON_INTERPRET"] = os.environ.get("TRITON_INTERPRET", "not set")
    found["checks on"] = str(device)
    return found


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
        for dtype in row.dtypes if whole else [d for d in row.dtypes if d != "bfloat16"]:
            precisions = row.precisions if kernel and whole and dtype == "float32" else ("ieee",)
            for precision in precisions:
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
    scan = SCANS[case.scan].scan()
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
    scan = SCANS[case.scan].scan()
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


def examine(
    device: torch.device,
    report: Callable[[str], None],
    *,
    scans: Sequence[str] | None = None,
    isolated: bool | None = None,
) -> Diagnosis:
    """Check everything that can run on a device.

    Parameters
    ----------
    device : torch.device
    report : callable
        Takes every line as soon as it is known.
    scans : sequence of str, optional
        All by default.
    isolated : bool, optional
        Run checks in another process; by default where kernels run.

    Returns
    -------
    Diagnosis
    """
    start = time.monotonic()
    machine = describe_machine(device)
    for name, value in machine.items():
        report(f"{name:<17} {value}")
    backends = {"reference": "", "parallel": "", "triton": why_unavailable(device) or ""}
    for name, reason in backends.items():
        report(f"backend {name:<9} {f'cannot run: {reason}' if reason else 'can run'}")
    jobs = jobs_of(device, scans)
    isolated = device.type == "cuda" if isolated is None else isolated
    checks = []
    for check in _answers(jobs, isolated):
        checks.append(check)
        report(check.line())
    advice = advise(checks, backends, device)
    return Diagnosis(machine, backends, checks, advice, time.monotonic() - start)


def _answers(jobs: list[dict[str, Any]], isolated: bool) -> Iterator[Check]:
    if not isolated:
        for job in jobs:
            yield from (Check(**answer) for answer in answers_of(job))
        return
    deadline = time.monotonic() + 60 * MINUTES
    for number, answer in run_isolated(
        WORKER,
        jobs,
        seconds_for_first=FIRST_SECONDS,
        seconds_for_each=EACH_SECONDS,
        deadline=deadline,
    ):
        if isinstance(answer, str):
            yield Check(name_of(jobs[number]), jobs[number]["backend"], False, answer)
        else:
            yield Check(**answer)


def advise(checks: Sequence[Check], backends: dict[str, str], device: torch.device) -> list[str]:
    """Say what to do about what was found.

    Parameters
    ----------
    checks : sequence of Check
    backends : dict of str to str
    device : torch.device

    Returns
    -------
    list of str
        Lines; empty when all is well and nothing was left unchecked.
    """
    advice = []
    if backends["triton"]:
        advice.append(
            f"kernels were not checked: {backends['triton']}; everything runs with torch alone, "
            "more slowly (TRITON_INTERPRET=1 checks the kernels' logic on the processor)"
        )
    elif device.type != "cuda":
        advice.append(
            "kernels ran in Triton's interpreter, at tiny sizes: their logic was checked, "
            "their precision and speed were not"
        )
    failed = {check.backend for check in checks if not check.ok}
    if not failed:
        return advice
    if "triton" in failed:
        advice.append("until this is solved: backend='parallel' computes the same without kernels")
        if _has_suspicious_triton(device):
            advice.append(
                "Triton 3.4 to 3.7.0 has made wrong gradients on Hopper GPUs in other libraries "
                "too (flash-linear-attention, issues 640 and 984): try Triton 3.7.1 or newer"
            )
    if "parallel" in failed:
        advice.append("until this is solved: backend='reference' is a plain loop")
    if "reference" in failed:
        advice.append("a plain loop in torch is off: try another version of torch, or device='cpu'")
    advice.append("please report it, with the block below")
    return advice


def _has_suspicious_triton(device: torch.device) -> bool:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != HOPPER:
        return False
    try:
        parts = version("triton").split("+")[0].split(".")
        number = tuple(int(part) for part in parts if part.isdecimal())
    except PackageNotFoundError:
        return False
    return BAD_HOPPER[0] <= number < BAD_HOPPER[1]


def report_block(diagnosis: Diagnosis) -> str:
    """Write what a report needs: machine and failed checks."""
    lines = [f"{name}: {value}" for name, value in diagnosis.machine.items()]
    lines += [check.line() for check in diagnosis.checks if not check.ok]
    return "\n".join(["```", *lines, "```"])
