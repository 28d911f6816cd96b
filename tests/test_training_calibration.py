"""What a pack costs: bytes counted and not guessed, time by a few steps, and the plan in words."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from statetrack.training import Grid, LocalLauncher, fixed, product
from statetrack.training.calibration import (
    SHARE_OF_MEMORY,
    Calibration,
    ShapeCost,
    _peak_bytes,
    calibrate,
    free_bytes,
    measure_shape,
)
from statetrack.training.grid import plan_for
from statetrack.training.grid_plan import GridPlan
from statetrack.training.packs import pack_key, partition
from statetrack.training.peak_bytes import PeakBytes

BASE = fixed("task=parity", "model=lstm", "training.batch_size=8")


def grid_of(*parts, seeds=6):
    return Grid.of("g", BASE * fixed(*parts) * product({"seed": range(seeds)}))


def test_bytes_are_counted_until_a_tensor_is_freed():
    with PeakBytes() as counted:
        x = torch.zeros(1000, dtype=torch.float64)
        assert (counted.alive, counted.peak) == (8000, 8000)
        y = x[:10]  # shares the memory
        assert counted.alive == 8000
        z = y.clone()
        assert counted.alive == 8080
        del x
        assert counted.alive == 8080
        del y
        assert counted.alive == 80
        del z
    assert (counted.alive, counted.peak) == (0, 8080)


def test_what_autograd_saves_is_counted():
    weight = torch.ones(100, requires_grad=True)
    with PeakBytes() as counted:
        result = weight.exp().exp().exp()
        assert counted.alive == 3 * 400  # each is needed for the gradient of the next
        del result
        assert counted.alive == 0


@pytest.mark.parametrize("model", ["lstm", "householder", "diagonal"])
def test_a_line_through_two_packs_says_what_larger_ones_take(model):
    grid = Grid.of(
        "g",
        fixed("task=s3", f"model={model}", "training.batch_size=8", "training.length=12")
        * product({"seed": range(8)}),
    )
    cost = measure_shape(grid.runs[0], "cpu")
    measured = _peak_bytes(grid.runs, "cpu")
    assert cost.bytes_fixed + 8 * cost.bytes_per_run == pytest.approx(measured, rel=0.01)
    assert cost.seconds_of_step(8) > 0


@given(st.floats(0, 1e9), st.floats(1, 1e9), st.floats(1e6, 1e12), st.integers(1, 8))
def test_the_largest_pack_fits_and_one_more_would_not(bytes_fixed, per_run, free, workers):
    cost = ShapeCost(bytes_fixed, per_run, 0, 0)
    size, room = cost.largest_pack(free, workers), SHARE_OF_MEMORY * free / workers
    assert size >= 1
    assert size == 1 or bytes_fixed + size * per_run <= room * (1 + 1e-9)
    assert bytes_fixed + (size + 1) * per_run > room * (1 - 1e-9)


def test_free_memory_is_some():
    assert 10**7 < free_bytes("cpu") < 10**14


SOURCE = """
import os
from torch import nn
from statetrack.models.config import BackboneConfig, register_model
from statetrack.models.lstm import LSTMConfig, build


def deadly(config, num_tokens, num_classes):
    model = build(LSTMConfig(width=8), num_tokens, num_classes)
    model.register_forward_hook(lambda *arguments: os._exit(3))
    return model


register_model("deadly", BackboneConfig, deadly)
"""


def test_a_model_that_kills_its_process_costs_the_measurement_alone(tmp_path):
    from statetrack.source_files import import_file

    source = tmp_path / "deadly.py"
    source.write_text(SOURCE)
    import_file(source)
    small = fixed("task=parity", "training.length=18", "training.batch_size=4")
    grid = Grid.of("g", small * product({"model": ["lstm", "deadly"], "seed": range(2)}))
    found = calibrate(grid.runs, "cpu", source=source)
    assert found.free_bytes > 0
    assert set(found.costs) == {pack_key(grid.runs[0])}


# The plan


def plan_of(grid, costs, workers=2, size=4):
    calibration = None if costs is None else Calibration("cpu", 10**9, costs)
    packs = tuple(partition(grid.runs, size))
    return GridPlan("g", len(grid) + 3, packs, "2 workers on cpu", workers, calibration)


def test_time_is_steps_times_cost_over_the_workers():
    grid = grid_of("training.steps=80", seeds=12)
    cost = {pack_key(grid.runs[0]): ShapeCost(1e6, 1e6, 0.1, 0.05)}
    plan = plan_of(grid, cost)
    assert [len(pack) for pack in plan.packs] == [4, 4, 4]
    assert plan.seconds_of(plan.packs[0]) == pytest.approx(80 * 0.3)
    assert plan.device_seconds == pytest.approx(72)
    assert plan.seconds == pytest.approx(48)  # two packs on one worker, one on the other
    assert plan.lines() == [
        "g: 15 runs, 3 already in the store, 12 to run",
        "3 packs of 4 runs, 1 shape, on 2 workers on cpu",
        "memory: at most 5MB a pack, measured in packs of 2 and 4; 1GB are free",
        "time: about 48 s (72 s of one worker), from a few steps of 1 of 1 shape; every training "
        "to its last step, measuring the models not counted",
    ]


def test_shapes_that_were_not_measured_count_like_the_others():
    one, other = grid_of("training.steps=100"), grid_of("training.steps=50", "model.width=32")
    grid = one + other
    cost = {pack_key(one.runs[0]): ShapeCost(1e6, 1e6, 0.0, 0.01)}
    plan = plan_of(grid, cost, workers=1, size=6)
    assert plan.device_seconds == pytest.approx(6 + 3)
    assert plan.seconds == pytest.approx(6 + 9 / 12 * 6)
    assert "1 of 2 shapes" in plan.lines()[-1]


def test_a_plan_without_measurements_says_so():
    grid = grid_of()
    assert plan_of(grid, {}).lines()[-1].startswith("no shape could be measured")
    assert plan_of(grid, None).seconds is None
    assert len(plan_of(grid, None).lines()) == 2
    assert len(GridPlan("g", 3, (), "nowhere", 1).lines()) == 1


@pytest.mark.parametrize(
    ("workers", "expected", "seconds"),
    [(2, [16, 64, 32, 8], 64), (1, [8, 16, 32, 64], 120)],
)
def test_several_workers_begin_with_the_costliest_packs(workers, expected, seconds):
    widths = [8, 16, 32, 64]
    parts = [grid_of(f"model.width={width}", "training.steps=1", seeds=2) for width in widths]
    costs = {
        pack_key(part.runs[0]): ShapeCost(1e6, 1e6, width, 0.0)
        for part, width in zip(parts, widths, strict=True)
    }
    calibration = Calibration("cpu", 10**9, costs)
    grid = Grid("g", tuple(run for part in parts for run in part))
    launcher = LocalLauncher(workers, "cpu", calibration=calibration)

    def planned(known=(), earlier=()):
        jobs = plan_for(launcher, grid, known, earlier)
        return tuple(job.runs for job in jobs)

    packs = planned()
    plan = GridPlan("g", len(grid), packs, launcher.where, workers, calibration)
    assert plan.seconds == pytest.approx(seconds)
    del costs[pack_key(parts[1].runs[0])]  # not measured: it may be the costliest
    assert [pack[0].model.parameters["width"] for pack in planned()] == expected
    again = planned(earlier=[[run.run_id for run in parts[0]]])
    assert again[0] == tuple(parts[0].runs)  # its checkpoint is older than any other pack's
    assert planned(known={run.run_id for run in grid}) == ()


def test_the_launcher_says_where():
    assert LocalLauncher(1, "cpu").where == "1 worker on cpu"
    assert LocalLauncher(3, ["cpu", "cpu"]).where == "3 workers on cpu, cpu"
