"""Time training steps of packs on a GPU, beside the same models one at a time and a peer's layer.

Run ``python benchmarks/packs.py --output FOLDER``. Every row builds a pack as a grid would,
captures its step, replays it, and gives milliseconds a step and run-steps per second (runs of the
pack times steps). With ``--peer`` peers' layers come last, for they tune themselves for minutes:
one run at a time in eager PyTorch. MRU has none that can be installed. ``--profile ROW`` prints
where the GPU's time goes instead.

The floor of a step is the larger of two times, both with roofs measured in the same run. Bytes:
what autograd keeps is written once and read once; parameters, gradients and what the optimiser
remembers are read and written once. Products: of matrices outside the recurrence, at the rate of a
large product in bfloat16.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from automata.errors import InputError
from statetrack.benchmark.roofs import Roofs, measure_roofs
from statetrack.provenance import provenance
from statetrack.training.config import RunConfig
from statetrack.training.curricula import Stage
from statetrack.training.pack_step import PackStep
from statetrack.training.pack_training import PackTraining

SHAPE = ["model.width=128", "training.batch_size=64", "training.projections=bfloat16"]
DELTA_PRODUCT = [
    *["task=s5", "model=householder", "model.num_factors=4", "model.num_heads=8"],
    *["model.head_size=32", *SHAPE],
]
DIAGONAL = [
    *["task=s5", "model=diagonal", "model.num_channels=128", "model.mlp_ratio=4", *SHAPE],
]
MRU = ["task=s5", "model=mru", *SHAPE]
LSTM = ["task=s5", "model=lstm", *SHAPE]
ROWS: dict[str, tuple[list[str], int]] = {
    "deltaproduct-128": (DELTA_PRODUCT, 128),
    "diagonal-128": (DIAGONAL, 128),
    "diagonal-4": (DIAGONAL, 4),
    "deltaproduct-4": (DELTA_PRODUCT, 4),
    "mru-128": (MRU, 128),
    "lstm-128": (LSTM, 128),
}
Shape = Sequence[int]


def flops_of_linear(x: Shape, weight: Shape, *_others: object, **_more: object) -> int:
    """Operations of `statetrack.layers.linear`, forward."""
    return 2 * math.prod(x) * weight[-2]


def flops_of_linear_backward(
    x: Shape, _grad: Shape, weight: Shape, *_others: object, **_more: object
) -> int:
    """Both gradients."""
    return 4 * math.prod(x) * weight[-2]


def flops_of_mlp(x: Shape, weight: Shape, *_others: object, **_more: object) -> int:
    """Operations of `statetrack.layers.mlp`, forward."""
    return 4 * math.prod(x) * weight[-2]


def flops_of_mlp_backward(
    x: Shape, _grad: Shape, _weights: Shape, up_bias: Shape, **_more: object
) -> int:
    """All gradients, without the hidden units that are computed again."""
    return 8 * math.prod(x) * up_bias[-1]


PRODUCTS = {
    torch.ops.statetrack.linear: flops_of_linear,
    torch.ops.statetrack.linear_backward: flops_of_linear_backward,
    torch.ops.statetrack.mlp: flops_of_mlp,
    torch.ops.statetrack.mlp_backward: flops_of_mlp_backward,
}
STEPS = 50
PEER_STEPS = 30
SHOWN = ("milliseconds", "run_steps_per_second", "share_of_floor", "seconds_before_first")
SECONDS = 0.2  # of a measurement, at most so many steps


def make_step(pairs: list[str], length: int, size: int) -> PackStep:
    """The loaded step of a pack of `size` runs."""
    runs = [
        RunConfig.from_pairs(
            [*pairs, f"training.length={length}", f"seed={seed}", f"training.select_every={STEPS}"]
        )
        for seed in range(size)
    ]
    training = PackTraining(runs, device="cuda")
    step = training.step_of(size, Stage.whole(length))
    training.load(step, list(range(size)), STEPS, length)
    return step


def milliseconds_of(run: Callable[[], object], steps: int) -> float:
    """Median milliseconds a step over five measurements, after one that is not counted."""
    times = []
    for _ in range(6):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - started) / steps)
    return statistics.median(times[1:])


def floor_of(step: PackStep, roofs: Roofs) -> dict[str, float]:
    """Milliseconds that a step takes at least, by its bytes and by its matrix products."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    step.rewind()
    with (
        saved_tensors_hooks(keep, lambda tensor: tensor),
        FlopCounterMode(display=False, custom_mapping=PRODUCTS) as counter,
    ):
        step.take()
    step.rewind()
    own = step.state.parameters.untyped_storage().data_ptr()
    saved = sum(one.untyped_storage().nbytes() for place, one in kept.items() if place != own)
    parameters = step.state.parameters.nbytes
    moved = 2 * saved + 2 * parameters * (2 + len(step.state.slots))
    return {
        "floor_by_bytes": 1e3 * moved / roofs.bytes_per_second,
        "floor_by_products": 1e3 * counter.get_total_flops() / roofs.flops["bf16"],
    }


def time_pack(name: str, size: int, roofs: Roofs) -> dict[str, Any]:
    """One row of the table."""
    pairs, length = ROWS[name]
    started = time.perf_counter()
    step = make_step(pairs, length, size)
    first = [0] * size

    def run(steps: int = 3) -> None:
        step.rewind()
        step.run(first, steps, lambda taken: False)

    run()
    torch.cuda.synchronize()
    prepared = time.perf_counter() - started
    alone = milliseconds_of(run, 3)
    steps = max(3, min(STEPS, math.floor(1e3 * SECONDS / alone)))
    milliseconds = milliseconds_of(lambda: run(steps), steps)
    floor = floor_of(step, roofs)
    return {
        **floor,
        "share_of_floor": max(floor.values()) / milliseconds,
        "row": name,
        "length": length,
        "pack": size,
        "milliseconds": milliseconds,
        "run_steps_per_second": 1e3 * size / milliseconds,
        "seconds_before_first": prepared,
        "gigabytes": torch.cuda.max_memory_allocated() / 1e9,
    }


def delta_product_peer() -> nn.Module:
    """Layer of flash-linear-attention, without gates as our model is."""
    from fla.layers import GatedDeltaProduct

    return GatedDeltaProduct(
        hidden_size=128,
        head_dim=32,
        num_heads=8,
        num_householder=4,
        use_forget_gate=False,
        use_output_gate=False,
        use_short_conv=False,
        allow_neg_eigval=True,
        expand_v=1,
    )


def diagonal_peer() -> nn.Module:
    """HGRN of flash-linear-attention: one decay in (0, 1) a channel."""
    from fla.layers import HGRNAttention

    return HGRNAttention(hidden_size=128, expand_ratio=1, use_short_conv=False)


def lstm_peer() -> nn.Module:
    """LSTM of torch, which is cuDNN on a GPU."""
    return nn.LSTM(128, 128, batch_first=True)


PEERS: dict[str, tuple[str, Callable[[], nn.Module], int]] = {
    "deltaproduct-128": (
        "flash-linear-attention GatedDeltaProduct, eager",
        delta_product_peer,
        2,
    ),
    "diagonal-128": ("flash-linear-attention HGRN, eager", diagonal_peer, 4),
    "lstm-128": ("torch LSTM (cuDNN), eager", lstm_peer, 2),
}
"""Beside a row: the name of its peer, the layer, and hidden units of the MLP per unit of width."""


def time_peer(row: str) -> dict[str, Any]:
    """A step of one run in eager PyTorch, of the width and length of `row`."""
    name, make_layer, ratio = PEERS[row]
    torch.manual_seed(0)
    layer = make_layer()
    embedding, head = nn.Embedding(120, 128), nn.Linear(128, 120)
    up, down = nn.Linear(128, ratio * 128), nn.Linear(ratio * 128, 128)
    norms = [nn.RMSNorm(128) for _ in range(3)]
    model = nn.ModuleList([layer, embedding, head, up, down, *norms]).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    tokens = torch.randint(120, (64, 128), device="cuda")

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            x = embedding(tokens)
            x = x + layer(norms[0](x))[0]
            x = x + down(nn.functional.gelu(up(norms[1](x))))
            logits = head(norms[2](x))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def run() -> None:
        for _ in range(PEER_STEPS):
            step()

    milliseconds = milliseconds_of(run, PEER_STEPS)
    return {
        "row": name,
        "beside": row,
        "length": 128,
        "pack": 1,
        "milliseconds": milliseconds,
        "run_steps_per_second": 1e3 / milliseconds,
    }


def profile(name: str, size: int) -> None:
    """Print the kernels of one step by the time they take."""
    pairs, length = ROWS[name]
    step = make_step(pairs, length, size)
    step.run([0] * size, 2, lambda taken: False)
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as recorded:
        step.rewind()
        step.run([0] * size, 10, lambda taken: False)
        torch.cuda.synchronize()
    events = sorted(recorded.key_averages(), key=lambda e: -e.self_device_time_total)
    total = sum(event.self_device_time_total for event in events)
    count = sum(event.count for event in events)
    print(f"{name} x {size}: {total / 1e4:.3f} ms and {count / 10:.0f} kernels a step")
    for event in events[:40]:
        share = event.self_device_time_total / total
        print(
            f"{event.self_device_time_total / 1e4:8.4f} ms {share:6.1%} x{event.count // 10:<4} "
            f"{event.key[:110]}"
        )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--packs", nargs="*", type=int, default=[1, 8, 32, 128, 512])
    parser.add_argument("--profile", nargs="*", default=[], choices=list(ROWS))
    parser.add_argument("--peer", action="store_true", help="peers' layers too, one run at a time")
    options = parser.parse_args()
    rows = []
    for name in options.profile:
        for size in options.packs:
            profile(name, size)
    if options.profile:
        return
    roofs = measure_roofs(torch.device("cuda"))
    origin = {"provenance": provenance("cuda"), "roofs": roofs.to_json()}

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        shown = (f"{key} {row[key]:.4g}" for key in SHOWN if key in row)
        print(f"{row['row']} x {row['pack']}:", row.get("error") or ", ".join(shown), flush=True)
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            content = {"rows": rows, **origin}
            (options.output / "packs.json").write_text(json.dumps(content, indent=2) + "\n")

    for size in options.packs:
        for name in options.rows:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            try:
                add(time_pack(name, size, roofs))
            except (torch.OutOfMemoryError, InputError) as error:
                add({"row": name, "pack": size, "error": str(error).splitlines()[0]})
    for name in options.rows:
        if options.peer and name in PEERS:
            add(time_peer(name))


if __name__ == "__main__":
    main()
