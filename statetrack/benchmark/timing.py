"""Time of a call: medians of CUDA events, inside a captured graph where that is possible.

A call that takes microseconds on the GPU can take longer in Python and autograd. Replaying a CUDA
graph of several calls leaves that out; the time with Python is reported beside it. Calls take turns
over several sets of inputs, so that together they are larger than the L2 cache several times over.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]

CACHE_MULTIPLE = 4
MAX_SETS = 64
GRAPH_MILLISECONDS = 2.0
MAX_CALLS = 64


@dataclass(frozen=True)
class Timing:
    """Times of one call in milliseconds.

    Attributes
    ----------
    median, low, high : float
        Median and quartiles.
    eager : float
        Median of calls from Python, one after the other.
    how : {"graph", "eager", "processor"}
        Where the median comes from: a CUDA graph, calls from Python, or a processor's clock.
    repeats : int
        Measurements behind the median.
    """

    median: float
    low: float
    high: float
    eager: float
    how: str
    repeats: int


def cache_bytes(device: torch.device) -> int:
    """Size of the last cache before device memory; 0 on a processor."""
    if device.type != "cuda":
        return 0
    return int(torch.cuda.get_device_properties(device).L2_cache_size)


def num_sets(bytes_of_one: int, device: torch.device) -> int:
    """How many sets of inputs exceed the cache `CACHE_MULTIPLE` times."""
    wanted = CACHE_MULTIPLE * cache_bytes(device)
    return max(1, min(MAX_SETS, -(-wanted // max(1, bytes_of_one))))


def time_calls(calls: Sequence[Call], device: torch.device, seconds: float = 0.1) -> Timing:
    """Time calls that do the same with different inputs.

    Parameters
    ----------
    calls : sequence of callable
        They take turns.
    device : torch.device
    seconds : float
        About how long to measure.

    Returns
    -------
    Timing
    """
    if device.type != "cuda":
        return _on_processor(calls, seconds)
    eager = _eager(calls, seconds / 2)
    try:
        return _graph(calls, eager.median, seconds)
    except (RuntimeError, AssertionError, ValueError, TypeError):
        torch.cuda.synchronize()
        return eager


def _summary(times: list[float], eager: float | None, how: str) -> Timing:
    low, median, high = (
        statistics.quantiles(times, n=4) if len(times) > 1 else (times[0], times[0], times[0])
    )
    return Timing(median, low, high, median if eager is None else eager, how, len(times))


def _on_processor(calls: Sequence[Call], seconds: float) -> Timing:
    calls[0]()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 50):
        start = time.perf_counter()
        calls[len(times) % len(calls)]()
        times.append(1e3 * (time.perf_counter() - start))
    return _summary(times, None, "processor")


def _eager(calls: Sequence[Call], seconds: float) -> Timing:
    first = _events(calls[:1], 1)[0]
    repeats = max(3, min(30, int(1e3 * seconds / max(first, 1e-3))))
    if first > 1e3:
        return _summary([first], None, "eager")
    return _summary(_events(calls, repeats), None, "eager")


def _events(calls: Sequence[Call], repeats: int) -> list[float]:
    """Milliseconds of every repeat, after one call that is not counted."""
    calls[0]()
    pairs = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(repeats)
    ]
    torch.cuda.synchronize()
    for number, (start, end) in enumerate(pairs):
        start.record()
        calls[number % len(calls)]()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in pairs]


def _graph(calls: Sequence[Call], milliseconds: float, seconds: float) -> Timing:
    count = max(1, min(MAX_CALLS, round(GRAPH_MILLISECONDS / max(milliseconds, 1e-3))))
    count = max(len(calls), -(-count // len(calls)) * len(calls))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls[:2]:
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # the graph takes memory of its own
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for number in range(count):
            calls[number % len(calls)]()
    rough = _events([graph.replay], 1)[0]
    repeats = max(5, min(40, int(1e3 * seconds / max(rough, 1e-3))))
    times = [one / count for one in _events([graph.replay], repeats)]
    return _summary(times, milliseconds, "graph")
