"""Experiments that set published numbers beside measured ones: names, presets, tables, figures."""

import functools
import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.analysis.run_names import run_names
from statetrack.experiment import load_experiment, preset_grid, write_products
from statetrack.source_files import import_file
from statetrack.training import run_grid
from statetrack.training.records import run_identity
from tests.launcher_cases import Here

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = ("regular_tasks", "block_diagonal", "hard_groups", "depth", "growing_parity")


@functools.cache
def runs_of(file, preset):
    return preset_grid(load_experiment(FOLDER / f"{file}.py"), preset).runs


@functools.cache
def rows(file):
    grid = runs_of(file, "gpu")
    return pd.DataFrame([{"run_id": run.run_id, **run_identity(run)} for run in grid])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("preset", ["gpu", pytest.param("full", marks=pytest.mark.slow)])
def test_large_presets_have_five_seeds_a_cell_and_go_beyond_512(file, preset):
    cells = {}
    for run in runs_of(file, preset):
        assert run.evaluation.max_length >= 512
        assert run.evaluation.num_words >= 4096
        settings = json.loads(run.canonical_json())
        seed = settings.pop("seed", 0)
        cells.setdefault(json.dumps(settings), set()).add(seed)
    assert all(len(seeds) >= 5 for seeds in cells.values())


@pytest.mark.parametrize("file", FILES)
def test_the_docstrings_state_the_cost_and_the_command_that_resumes(file):
    said = " ".join(load_experiment(FOLDER / f"{file}.py").grid.__doc__.split())
    assert "H200" in said
    assert "not measured" in said
    assert f"statetrack grid experiments/{file}.py --preset full" in said


@pytest.mark.parametrize("file", FILES)
def test_every_run_of_the_large_preset_has_the_name_of_a_model(file):
    module = import_file(FOLDER / f"{file}.py")
    runs = rows(file)
    names = run_names(runs, module.MODELS)
    assert set(names) == set(module.MODELS)
    for name, own in runs.groupby(names):
        assert own["label"].nunique() == 1, name


@pytest.mark.parametrize("file", FILES)
def test_published_models_and_tasks_are_those_that_run(file):
    """A value whose names nothing has would stand as "not measured" for ever."""
    module = import_file(FOLDER / f"{file}.py")
    runs = rows(file)
    models = set(run_names(runs, module.MODELS))
    tasks = set(runs["task"])
    if hasattr(module, "PROBLEMS"):
        tasks = set(run_names(runs, module.PROBLEMS))
    if file == "depth":
        models = {f"{name}, 1 layer" for name in models}
        tasks = {"A5, k = 20"}
    for value in getattr(module, "PUBLISHED", []):
        assert value.model in models
        assert value.task in tasks


@pytest.mark.parametrize("file", FILES)
def test_the_smoke_preset_runs_compares_and_draws(file, tmp_path):
    experiment = load_experiment(FOLDER / f"{file}.py")
    results = run_grid(preset_grid(experiment, "smoke"), tmp_path, launcher=Here(4))
    assert set(results.runs.status) == {"finished"}
    products = write_products(experiment, results, tmp_path, "again")
    assert products["figure"].read_bytes().startswith(b"\x89PNG")
    assert isinstance(experiment.figure(results), Figure)
    compared = experiment.tables(results)["published"]
    assert len(compared) == len(pd.read_csv(products["tables"] / "published.csv"))
    assert set(compared["verdict"]) <= {"reproduced", "not reproduced"}
    with pytest.raises(InputError, match="no run is finished"):
        experiment.figure(results.only([]))
    with pytest.raises(InputError, match="no run is finished"):
        experiment.tables(results.only([]))


def test_depth_counts_the_fewest_layers_with_which_the_best_seed_has_enough():
    module = import_file(FOLDER / "depth.py")
    cells = [("m1", 1, 0, 0.2), ("m2", 1, 1, 0.95), ("t1", 1, 0, 0.3), ("t2", 2, 0, 0.91)]
    cells += [("s1", 1, 0, 0.1), ("s2", 2, 0, 0.9)]
    kinds = {"m": "mamba", "t": "transformer", "s": "s4d"}
    runs = pd.DataFrame(
        {
            "run_id": [cell[0] for cell in cells],
            "model": [kinds[cell[0][0]] for cell in cells],
            "model.num_layers": [cell[1] for cell in cells],
            "seed": [cell[2] for cell in cells],
            "task": "word_problem",
            "task.group": "A5",
            "label": "x",
            "status": "finished",
            "training_length": 6,
        }
    )
    curves = pd.DataFrame(
        {
            "run_id": [cell[0] for cell in cells] * 2,
            "length": [6] * len(cells) + [7] * len(cells),
            "whole_prefix_accuracy": [cell[3] for cell in cells] + [0.0] * len(cells),
            "majority_rate": 1 / 60,
        }
    )
    from statetrack.training import Results

    found = module.fewest_layers(Results(runs, {"curves": curves}, [])).set_index("family")
    assert found["layers"].to_dict()["Mamba"] == 1
    assert found["layers"].to_dict()["Transformer"] == 2
    assert pd.isna(found["layers"]["S4"])
    assert found["tried"].to_dict() == {"Mamba": 1, "Transformer": 2, "S4": 2}
    assert found["best"]["S4"] == 0.9
