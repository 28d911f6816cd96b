"""Time the fused layers of a pack beside the same in torch, eager and compiled, and their floors.

Run ``python benchmarks/layers.py``; ``--runs``, ``--batch``, ``--length`` and ``--width`` set the
sizes, ``--quick`` leaves `torch.compile` out, which is timed in bfloat16 and with 120 letters only,
and ``--only mlp`` leaves out all but the rows whose names begin so. ``--sweep`` times the passes of
`mlp` over its blocks instead, with the relative error of every result against float64.
Times are those of replayed CUDA graphs, calls taking turns over inputs larger than the cache; a
floor is the time of the bytes that must move, each input read once and each output written once, at
the bandwidth of a copy.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from statetrack.benchmark.timing import num_sets, time_calls
from statetrack.layers import (
    add_rms_norm,
    bias_gelu,
    cross_entropy,
    embedding,
    linear,
    mlp,
    rms_norm,
)
from statetrack.layers.mlp import Blocks, mlp_unfused, run_backward, run_forward
from statetrack.training.adamw import AdamW
from statetrack.training.optimizers import Rates, clip_factors

SECONDS = 0.05
DEVICE = torch.device("cuda")
FORWARD_BLOCKS = [
    Blocks(256, 64, 16, 2), Blocks(256, 64, 16, 3), Blocks(128, 64, 8, 2), Blocks(128, 64, 8, 3),
    Blocks(128, 128, 8, 2), Blocks(128, 64, 16, 2), Blocks(64, 64, 8, 2), Blocks(64, 64, 8, 3),
    Blocks(64, 64, 4, 2),
]  # fmt: skip
BACKWARD_BLOCKS = [
    Blocks(128, 64, 8, 2), Blocks(128, 64, 8, 3), Blocks(64, 64, 8, 2), Blocks(64, 64, 8, 3),
    Blocks(64, 64, 4, 2),
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One layer at one type.

    Parameters
    ----------
    name : str
    ours, unfused : callable
        Take the inputs; the unfused one is written as models would without this package, that of
        `mlp` as with the other layers of this package, that of `linear` as product and cast.
    draw : callable
        A set of inputs; those that float get gradients.
    differentiable : bool
        Whether there is a backward pass.
    compiles : bool
        Whether `torch.compile` of the unfused one is timed: seconds each.
    """

    name: str
    ours: Callable[..., object]
    unfused: Callable[..., object]
    draw: Callable[[], tuple[Tensor, ...]]
    differentiable: bool = True
    compiles: bool = False


def rms_norm_unfused(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Normalise as three torch operations and a cast."""
    inverse = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
    return (x * inverse * scale).to(dtype)


def cross_entropy_unfused(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over the supervised positions of every run."""
    runs = logits.shape[0]
    losses = functional.cross_entropy(
        logits.float().flatten(0, -2), targets.flatten(), reduction="none"
    ).view(runs, -1)
    weights = mask.view(runs, -1).float()
    return (losses * weights).sum(1) / weights.sum(1)


def embedding_unfused(tokens: Tensor, weight: Tensor) -> Tensor:
    """Gather as `torch.nn.Embedding` does under `torch.func.vmap`: one table after the other."""
    runs, letters, size = weight.shape
    first = letters * torch.arange(runs, device=tokens.device).view(-1, 1, 1)
    return functional.embedding(tokens + first, weight.reshape(-1, size))


def mlp_inputs(runs: int, rows: int, width: int) -> tuple[Tensor, ...]:
    """Rows in bfloat16, and weights as a pack has them: pieces of one float32 row a run."""
    shapes = ((4 * width, width), (4 * width,), (width, 4 * width), (width,))
    sizes = [math.prod(shape) for shape in shapes]
    pieces = (torch.randn(runs, sum(sizes), device=DEVICE) / width**0.5).split(sizes, dim=1)
    weights = [one.unflatten(1, shape) for one, shape in zip(pieces, shapes, strict=True)]
    return torch.randn(runs, rows, width, device=DEVICE).bfloat16(), *weights


def linear_inputs(runs: int, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows in bfloat16, and weights to 8 times as many channels, pieces of the rows of a pack."""
    size = 8 * width**2
    flat = torch.randn(runs, 2 * size, device=DEVICE) / width**0.5
    return (
        torch.randn(runs, rows, width, device=DEVICE).bfloat16(),
        flat[:, :size].unflatten(1, (8 * width, width)),
    )


def sweep(runs: int, rows: int, width: int) -> None:
    """Time both passes of `mlp` over their blocks, and print how far off they are."""
    first = mlp_inputs(runs, rows, width)
    sets = [
        first,
        *(mlp_inputs(runs, rows, width) for _ in range(num_sets(bytes_of(first), DEVICE))),
    ]
    grads = [torch.randn_like(one[0]) for one in sets]
    packed = [run_forward(*one)[1] for one in sets]
    exact = [one[:2].double().requires_grad_() for one in first]
    output = mlp(*exact, backend="reference")
    truth = torch.autograd.grad(output, exact, grads[0][:2].double())

    def show(
        name: str, blocks: Blocks, found: list[Tensor], true: list[Tensor], calls: list
    ) -> None:
        errors = [
            float((one[:2].double() - other).norm() / other.norm())
            for one, other in zip(found, true, strict=True)
        ]
        time = 1e3 * time_calls(calls, DEVICE, SECONDS).median
        print(f"{name} {tuple(blocks)!s:<20}{time:8.1f} us, errors", end=" ")
        print(", ".join(f"{one:.2g}" for one in errors), flush=True)

    print(f"{runs} runs of {rows} rows, width {width}: rows, chunk, warps, stages")
    for blocks in FORWARD_BLOCKS:
        calls = [lambda i=one, b=blocks: run_forward(*i, blocks=b) for one in sets]
        show("forward ", blocks, [calls[0]()[0]], [output], calls)
    true = [*truth[:2], truth[3], torch.cat([truth[2], truth[4]], dim=-1)]
    for blocks in BACKWARD_BLOCKS:
        calls = [
            lambda i=one, g=grad, w=weights, b=blocks: run_backward(i[0], g, w, i[2], blocks=b)
            for one, grad, weights in zip(sets, grads, packed, strict=True)
        ]
        show("backward", blocks, list(calls[0]()), true, calls)


def layer_rows(runs: int, batch: int, length: int, width: int) -> Iterator[Row]:
    """All layers of a pack in float32 and bfloat16."""

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, device=DEVICE).to(dtype)

    shape = (runs, batch, length, width)
    for dtype, kind in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        yield Row(
            f"rms_norm, fp32 to {kind}",
            lambda x, s, d=dtype: rms_norm(x, s, dtype=d),
            lambda x, s, d=dtype: rms_norm_unfused(x, s, d),
            lambda: (normal(*shape), normal(runs, 1, 1, width)),
            compiles=kind == "bf16",
        )
        yield Row(
            f"add_rms_norm, + {kind}",
            lambda x, y, s, d=dtype: add_rms_norm(x, y, s, dtype=d),
            lambda x, y, s, d=dtype: (x + y, rms_norm_unfused(x + y, s, d)),
            lambda d=dtype: (normal(*shape), normal(*shape, dtype=d), normal(runs, 1, 1, width)),
            compiles=kind == "bf16",
        )
        yield Row(
            f"bias_gelu, {kind}, 4 D",
            bias_gelu,
            lambda u, b: functional.gelu(u + b.to(u.dtype)),
            lambda d=dtype: (
                normal(*shape[:-1], 4 * width, dtype=d), normal(runs, 1, 1, 4 * width)
            ),
            compiles=kind == "bf16",
        )  # fmt: skip
        for classes in (6, 120):
            yield Row(
                f"cross_entropy, {kind}, {classes} classes",
                cross_entropy,
                cross_entropy_unfused,
                lambda d=dtype, c=classes: (
                    normal(*shape[:-1], c, dtype=d),
                    torch.randint(c, shape[:-1], device=DEVICE),
                    torch.ones(shape[:-1], dtype=torch.bool, device=DEVICE),
                ),
                compiles=kind == "bf16" and classes == 120,
            )
    for tokens in (length, 4):
        yield Row(
            f"mlp, bf16, {batch * tokens} rows a run",
            mlp,
            lambda *inputs: mlp_unfused(*inputs, backend="auto"),
            lambda t=tokens: mlp_inputs(runs, batch * t, width),
        )
    for kind in (torch.float32, torch.bfloat16):
        yield Row(
            f"linear, bf16 to {'fp32' if kind == torch.float32 else 'bf16'}, 8 D",
            lambda x, w, d=kind: linear(x, w, dtype=d),
            lambda x, w, d=kind: linear(x, w, dtype=d, backend="reference"),
            lambda: linear_inputs(runs, batch * length, width),
        )
    for letters in (6, 120, 1000):
        yield Row(
            f"embedding, {letters} letters",
            embedding,
            embedding_unfused,
            lambda a=letters: (
                torch.randint(a, shape[:-1], device=DEVICE), normal(runs, a, width)
            ),
            compiles=letters == 120,
        )  # fmt: skip


def optimizer_rows(runs: int, size: int) -> Iterator[Row]:
    """Clipping and one update, beside the twin in torch."""

    def of_runs(value: float) -> Tensor:
        return torch.full((runs,), value, dtype=torch.float64, device=DEVICE)

    clip_norm = of_runs(1.0)
    yield Row(
        f"clip_factors, n = {size}",
        lambda g: clip_factors(g, clip_norm),
        lambda g: clip_factors(g, clip_norm, backend="reference"),
        lambda: (torch.randn(runs, size, device=DEVICE),),
        differentiable=False,
    )
    rates = Rates(
        of_runs(1e-3),
        torch.ones(runs, device=DEVICE),
        torch.full((runs,), 10, device=DEVICE),
        torch.ones(size, device=DEVICE),
        torch.ones(size, dtype=torch.bool, device=DEVICE),
    )

    def update(backend: str) -> Callable[..., object]:
        adamw = AdamW(of_runs(0.1), of_runs(0.9), of_runs(0.999), of_runs(1e-8), backend)
        return lambda p, g, m, v: adamw.update(p, g, {"first": m, "second": v}, rates)

    yield Row(
        f"AdamW, n = {size}",
        update("auto"),
        update("reference"),
        lambda: tuple(torch.rand(runs, size, device=DEVICE) for _ in range(4)),
        differentiable=False,
    )


def bytes_of(tensors: object) -> int:
    """Bytes of all tensors in a tree."""
    return sum(
        one.numel() * one.element_size()
        for one in torch.utils._pytree.tree_leaves(tensors)
        if isinstance(one, Tensor)
    )


def floor_bytes(row: Row, inputs: tuple[Tensor, ...]) -> tuple[int, int]:
    """Bytes that the forward pass and both passes must move."""
    if not row.differentiable:
        written = bytes_of(inputs[:1] + inputs[2:]) if len(inputs) > 1 else 0
        return bytes_of(inputs) + written, 0
    outputs = bytes_of(row.ours(*inputs))
    floats = bytes_of([one for one in inputs if one.is_floating_point()])
    forward = bytes_of(inputs) + outputs
    if row.name.startswith("add_rms_norm"):  # the sum is what is read again
        read = outputs + bytes_of(inputs[0])
        return forward, forward + read + floats
    return forward, forward + bytes_of(inputs) + outputs + floats


def calls_of(
    function: Callable[..., object], sets: list[tuple[Tensor, ...]], both: bool
) -> list[Callable[[], object]]:
    """One call for every set of inputs, with its backward pass or without."""

    def call(inputs: tuple[Tensor, ...], grads: list[Tensor]) -> object:
        if not both:
            with torch.no_grad():
                return function(*inputs)
        outputs = torch.utils._pytree.tree_leaves(function(*inputs))
        leaves = [one for one in inputs if one.requires_grad]
        return torch.autograd.grad(outputs, leaves, grads)

    calls = []
    for inputs in sets:
        with torch.no_grad():
            outputs = torch.utils._pytree.tree_leaves(function(*inputs)) if both else []
        grads = [torch.randn_like(one) for one in outputs]
        calls.append(lambda i=inputs, g=grads: call(i, g))
    return calls


def measure(row: Row, bytes_per_ms: float, compiled: bool) -> str:
    """One line of the table."""
    first = row.draw()
    count = min(4, num_sets(bytes_of(first), DEVICE))
    sets = [first, *(row.draw() for _ in range(count - 1))]
    forward_bytes, both_bytes = floor_bytes(row, first)
    if row.differentiable:
        sets = [
            tuple(one.requires_grad_() if one.is_floating_point() else one for one in inputs)
            for inputs in sets
        ]
    cells = []
    for both in (False, True) if row.differentiable else (False,):
        floor = (both_bytes if both else forward_bytes) / bytes_per_ms
        functions = [row.ours, row.unfused]
        if compiled:
            torch.compiler.reset()
            functions.append(torch.compile(row.unfused))
        times = []
        for function in functions:
            timing = time_calls(calls_of(function, sets, both), DEVICE, SECONDS)
            times.append(f"{1e3 * timing.median:8.1f}{' ' if timing.how == 'graph' else '*'}")
        while len(times) < 3:
            times.append(f"{'-':>9}")
        cells.append(f"{1e3 * floor:8.1f} {''.join(times)}")
    return f"{row.name:<34}{' |'.join(cells)}"


def copy_bandwidth() -> float:
    """Bytes a millisecond, read and written, of a kernel that multiplies by one."""
    source = torch.randn(2**28, device=DEVICE)
    target = torch.empty_like(source)
    copy = time_calls([lambda: torch.mul(source, 1.0, out=target)], DEVICE, SECONDS)
    return 2 * bytes_of(source) / copy.median


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("runs", 32), ("batch", 64), ("length", 128), ("width", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--parameters", type=int, default=200_000, help="of one run")
    parser.add_argument("--quick", action="store_true", help="without torch.compile")
    parser.add_argument("--only", default="", help="rows whose names begin so")
    parser.add_argument("--sweep", action="store_true", help="the blocks of mlp")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    if given.sweep:
        for length in (given.length, 4):
            sweep(given.runs, given.batch * length, given.width)
        return
    bytes_per_ms = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, ", end="")
    print(f"copy {bytes_per_ms / 1e9:.2f} TB/s; us of one call, * outside of a CUDA graph")
    head = f"{'floor':>8} {'ours':>8} {'torch':>8} {'compiled':>9}"
    print(f"{'':<34}{head} |{head}\n{'':<34}{'forward':>36} |{'both passes':>36}")
    rows = [
        *layer_rows(given.runs, given.batch, given.length, given.width),
        *optimizer_rows(given.runs, given.parameters),
    ]
    for row in rows:
        if row.name.startswith(given.only):
            print(measure(row, bytes_per_ms, row.compiles and not given.quick), flush=True)


if __name__ == "__main__":
    main()
