"""Kernels of one pass: launched in order, compiled together once."""

import threading

import pytest
import torch

from statetrack.scans import launches
from statetrack.scans.launches import Launches


class Kernel:
    """What Triton's kernels look like from outside; `together` are compiled at one time."""

    def __init__(self, name: str, log: list[str], together: threading.Barrier | None = None):
        self.name, self.log, self.together = name, log, together

    def __getitem__(self, grid: tuple[int, ...]):
        return lambda *arguments, **options: self.log.append(f"run {self.name}")

    def warmup(self, *arguments, grid, **options):
        if self.together is not None:
            self.together.wait(timeout=10)
        self.log.append("compile")
        return {grid: None}


def test_kernels_run_in_order_and_not_after_an_error():
    log: list[str] = []
    first, second = Kernel("first", log), Kernel("second", log)
    with Launches(torch.zeros(1)) as launch:
        launch(first, (1,), BLOCK=4)
        launch(second, (1,), BLOCK=4)
        assert log == []
    assert log == ["run first", "run second"]
    with pytest.raises(ZeroDivisionError), Launches(torch.zeros(1)) as launch:
        launch(first, (1,))
        raise ZeroDivisionError
    assert log == ["run first", "run second"]


def test_new_kernels_are_compiled_at_the_same_time_and_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launches, "COMPILED", set())
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device("cpu"))
    log: list[str] = []
    together = threading.Barrier(2)
    kernels = [Kernel(name, log, together) for name in ("first", "second")]
    device = torch.device("cuda", 0)

    def waiting(dtype: torch.dtype) -> list[launches.Launch]:
        numbers = torch.zeros(3, dtype=dtype)
        return [launches.Launch(one, (1,), (numbers,), {"BLOCK": 4}) for one in kernels]

    for dtype, compiled in ((torch.float32, 2), (torch.float32, 2), (torch.bfloat16, 4)):
        launches._compile_together(waiting(dtype), device)
        assert log == ["compile"] * compiled
    one = launches.Launch(Kernel("single", log), (1,), (torch.zeros(3),), {"BLOCK": 4})
    for _ in range(2):
        launches._compile_together([one], device)
        assert log == ["compile"] * 5
