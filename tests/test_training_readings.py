"""What is read of trained runs afterwards: kept beside them, once, and equal to reading at hand."""

import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.analysis.extraction import extract_dfa
from statetrack.experiment import Experiment
from statetrack.models.loading import load_model
from statetrack.read_command import write_what_was_read
from statetrack.training import Grid, LocalLauncher, load_results, run_grid
from statetrack.training.execute import CHECKPOINTS, run_checkpoint
from statetrack.training.readings import missing_readings, read_grid, read_run
from statetrack.training.store import Store

PAIRS = ["task=parity", "model=diagonal", "training.steps=20", "training.length=4"]
PAIRS += ["evaluation.max_length=16", "evaluation.num_words=32"]


def test_readings_are_kept_once_and_failures_cost_themselves(tmp_path):
    grid = Grid.product("one", PAIRS, {"seed": range(2)})
    run_grid(grid, tmp_path, launcher=LocalLauncher(1, "cpu"))
    first, second = grid.runs
    with Store(tmp_path) as store:
        jobs = missing_readings(grid, store, ["automaton", "horizon"])
        assert len(jobs) == 4
        store.add_tables(first.run_id, read_run(jobs[0]))
        with pytest.raises(InputError, match="UNIQUE"):
            store.add_tables(first.run_id, read_run(jobs[0]))
        assert len(missing_readings(grid, store, ["automaton", "horizon"])) == 3
        with pytest.raises(InputError, match="unknown reading 'automata'"):
            missing_readings(grid, store, ["automata"])
    path = run_checkpoint(tmp_path / CHECKPOINTS, second)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    told = []
    assert read_grid(grid, tmp_path, ["automaton"], num_workers=1, tell=told.append) == 0
    assert "does not match its sha256" in told[0]
    path.write_bytes(content)
    assert read_grid(grid, tmp_path, ["automaton"], num_workers=1) == 1
    assert read_grid(grid, tmp_path, ["automaton"], num_workers=1) == 0
    results = load_results(tmp_path)
    rows = results.table("automaton").set_index("run_id")
    own = extract_dfa(load_model(path), second.task.build()).to_frame().iloc[0]
    assert rows.fidelity[second.run_id] == own.fidelity
    thresholds = results.table("thresholds").set_index(["run_id", "metric", "threshold"])
    reached = results.finished.set_index("run_id").token_horizon
    assert thresholds.length[first.run_id, "token_accuracy", 0.99] == reached[first.run_id]


def test_a_part_of_a_grid_is_read_and_what_is_left_is_said(tmp_path, capsys):
    grid = Grid.product("part", PAIRS, {"seed": range(3)})
    run_grid(Grid("part", grid.runs[:1]), tmp_path, launcher=LocalLauncher(1, "cpu"))
    experiment = Experiment(
        tmp_path / "part.py",
        "Part",
        "",
        ("cpu",),
        lambda preset: grid,
        lambda results: Figure(),
        ("automaton",),
        lambda results: {"read": results.table("automaton")[["run_id"]]},
    )
    write_what_was_read(experiment, grid, tmp_path, "", 1)
    printed = capsys.readouterr()
    assert "2 of 3 runs are not finished" in printed.err
    assert f"[1/1] automaton of {grid.runs[0].run_id}" in printed.err
    assert (tmp_path / "tables" / "read.csv").read_text() == f"run_id\n{grid.runs[0].run_id}\n"
