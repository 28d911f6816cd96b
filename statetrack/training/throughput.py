"""How fast something grows, lately."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 20.0


class Throughput:
    """Growth per second of a sum of counters that only grow, over the last seconds.

    Parameters
    ----------
    clock : callable
        Seconds.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 2.0])
    >>> steps = Throughput(clock=lambda: next(seconds))
    >>> steps.note("run", 0); steps.note("run", 30); steps.note("run", 80)
    >>> steps.per_second
    40.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._total = 0.0
        self._points: deque[tuple[float, float]] = deque()

    def note(self, name: str, value: float) -> None:
        """Take note of a counter; where it fell, it was taken up again and counts from there."""
        now, before = self._clock(), self._last.get(name)
        self._last[name] = value
        if before is not None:
            self._total += max(0.0, value - before)
        points = self._points
        if points and points[-1][0] == now:
            points.pop()
        points.append((now, self._total))
        while len(points) > 2 and points[1][0] < now - WINDOW_SECONDS:
            points.popleft()

    @property
    def per_second(self) -> float:
        """Growth a second; 0 before there are two moments to compare."""
        if len(self._points) < 2:
            return 0.0
        (first, low), (last, high) = self._points[0], self._points[-1]
        return (high - low) / (last - first)
