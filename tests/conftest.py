"""Shared by all tests: hypothesis profiles, devices, threads.

Triton reads TRITON_INTERPRET when a kernel is defined, so it is set here, before any import, on a
machine without a GPU: kernels then run in Triton's interpreter, on small sizes. The interpreter
proves index logic only: precision is proved on a GPU.
"""

import os
import sys
from collections.abc import Generator
from importlib.metadata import version
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import settings

from tests.interpreter import hasten

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker, or the workers fight for the cores. Read by torch when it is imported.
    os.environ["OMP_NUM_THREADS"] = "1"

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
elif "PYTEST_XDIST_WORKER" in os.environ:
    # Workers take turns over the GPUs of a machine.
    count = len(list(Path("/dev").glob("nvidia[0-9]*")))
    worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(worker % max(1, count)))

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


# What they assert is shown as in a test.
pytest.register_assert_rewrite(
    "tests.cli_cases",
    "tests.launcher_cases",
    "tests.layer_cases",
    "tests.oracle_cases",
    "tests.pack_cases",
    "tests.page_checks",
)

# Registers a model as it is imported, for processes that are given it as their source.
collect_ignore = ["grid_processes_worker.py"]


class WhatWasRegistered:
    """Forgets what a test or an example registers, so that order is free."""

    REGISTRIES = (
        ("automata.tasks.registry", "_TASKS"),
        ("statetrack.models.config", "_REGISTRY"),
        ("statetrack.training.curricula", "CURRICULA._classes"),
        ("statetrack.training.schedules", "SCHEDULES._classes"),
        ("statetrack.training.stop_rules", "STOP_RULES._classes"),
    )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        found = [
            attrgetter(name)(sys.modules[m]) for m, name in self.REGISTRIES if m in sys.modules
        ]
        before = [dict(registry) for registry in found]
        try:
            return (yield)
        finally:
            for registry, rows in zip(found, before, strict=True):
                registry.clear()
                registry.update(rows)


def pytest_configure(config: pytest.Config) -> None:
    # A plugin, for the examples outside of this folder as well.
    config.pluginmanager.register(WhatWasRegistered())


def cuda_available() -> bool:
    """Ask torch late: tests of `automata` alone never import it, and run where there is none."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def pytest_report_header() -> str:
    found = [name for name in ("torch", "numpy") if find_spec(name)]
    versions = ", ".join(f"{name} {version(name)}" for name in found)
    return f"{versions}, TRITON_INTERPRET={os.environ.get('TRITON_INTERPRET', '0')}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `device` runs on the CPU, and also on the GPU where there is one."""
    if "device" in metafunc.fixturenames:
        devices = ["cpu"]
        if cuda_available():
            devices.append(pytest.param("cuda", marks=pytest.mark.gpu))
        metafunc.parametrize("device", devices, indirect=True)


@pytest.fixture
def device(request: pytest.FixtureRequest):
    torch = pytest.importorskip("torch")
    return torch.device(request.param)


@pytest.fixture
def kernel_device():
    """Where Triton kernels run: on the GPU, else in the interpreter on the CPU."""
    import torch

    from statetrack.scans.kernels import why_unavailable

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if why_unavailable(device):
        pytest.skip(f"kernels: {why_unavailable(device)}")
    return device


@pytest.fixture
def one_thread(monkeypatch):
    """As workers have, and workers whose threads sleep: quicker on a busy core."""
    import torch

    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def zygote():
    """A process that forks others, which run a small grid each."""
    from tests.grid_processes import Zygote

    server = Zygote()
    yield server
    server.close()


@pytest.fixture
def experiment(tmp_path):
    """An experiment file of two runs, one of them bad."""
    from tests.cli_cases import EXPERIMENT

    path = tmp_path / "two.py"
    path.write_text(EXPERIMENT)
    return path


def pytest_runtest_setup(item: pytest.Item) -> None:
    hasten()
    if item.get_closest_marker("gpu") and not cuda_available():
        pytest.skip("needs a CUDA device, torch sees none here")
