"""What is read of trained runs afterwards: kept beside them, once, and equal to reading at hand."""

import pytest

from automata.errors import InputError
from statetrack.analysis.extraction import extract_dfa
from statetrack.models.loading import load_model
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
