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


class Broken(Kernel):
    """One that does not compile."""

    def warmup(self, *arguments, grid, **options):
        self.log.append("compile")
        raise ZeroDivisionError


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


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a device and many processors, before the first call."""
    monkeypatch.setattr(launches, "COMPILED", set())
    monkeypatch.setattr(launches, "AHEAD", {})
    monkeypatch.setattr(launches, "FEWEST_PROCESSORS", 1)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device("cpu"))


@pytest.mark.usefixtures("nothing_compiled")
def test_new_kernels_are_compiled_at_the_same_time_and_once():
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


def launch_of(kernel: Kernel) -> launches.Launch:
    return launches.Launch(kernel, (1,), (torch.zeros(3),), {"BLOCK": 4})


@pytest.mark.usefixtures("nothing_compiled")
def test_what_a_later_call_launches_is_compiled_in_the_background_and_only_once():
    log: list[str] = []
    released = threading.Event()

    class Slow(Kernel):
        def warmup(self, *arguments, grid, **options):
            assert released.wait(timeout=10)
            return super().warmup(*arguments, grid=grid, **options)

    device = torch.device("cuda", 0)
    forward, backward = launch_of(Kernel("forward", log)), launch_of(Slow("backward", log))
    launches._compile_together([forward], device, lambda: [backward])
    assert log == ["compile"]  # The call went on although the other kernel is not ready.
    (future,) = launches.AHEAD.values()
    assert not future.done()
    released.set()
    launches._compile_together([backward], device)
    assert log == ["compile"] * 3  # Once in the background; Triton answers the second at once.
    assert launches.AHEAD == {}
    launches._compile_together([forward, backward], device, lambda: 1 / 0)
    assert log == ["compile"] * 3  # Nothing is new: nothing is planned.


@pytest.mark.usefixtures("nothing_compiled")
def test_what_fails_in_the_background_is_reported_by_the_launch():
    log: list[str] = []
    device = torch.device("cuda", 0)
    broken = launch_of(Broken("broken", log))
    launches._compile_together([launch_of(Kernel("first", log))], device, lambda: [broken])
    launches._compile_together([launch_of(Kernel("second", log))], device, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        launches._compile_together([broken], device)


@pytest.mark.usefixtures("nothing_compiled")
def test_few_processors_compile_nothing_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launches, "FEWEST_PROCESSORS", 2**20)
    log: list[str] = []
    first, second = launch_of(Kernel("first", log)), launch_of(Kernel("second", log))
    launches._compile_together([first], torch.device("cuda", 0), lambda: [second])
    assert launches.AHEAD == {}
    assert log == ["compile"]


def test_plans_are_made_with_tensors_without_memory():
    kernel = Kernel("later", [])

    def plan(tensors, number, launches):
        with launches(tensors[0]) as launch:
            launch(kernel, (number,), *tensors, BLOCK=number)

    numbers = torch.zeros(4, 3, dtype=torch.float64).T
    (planned,) = launches._plan(plan, [numbers], 5)
    (tensor,) = planned.arguments
    assert (planned.kernel, planned.grid, planned.options) == (kernel, (5,), {"BLOCK": 5})
    assert (tensor.shape, tensor.stride(), tensor.dtype) == ((3, 4), (1, 3), torch.float64)
    assert tensor.device.type == "meta"
    assert kernel.log == []
