"""Ways of MRU to make a matrix: what is asked, what is read, and what the page says of it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from statetrack.models.mru_matrices import INPUT_METHODS
from statetrack.source_files import import_file
from statetrack.training import Results, load_results

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
module = import_file(FOLDER / "mru_groups.py")
SWAPS = ("(0 1)", "(1 2)", "(0 2)")


@pytest.fixture(scope="module")
def stored():
    return load_results(FOLDER / "results" / "mru_groups-cpu")


def test_every_way_is_asked_of_every_task():
    assert set(module.METHODS) == set(INPUT_METHODS)
    assert set(module.EXPECTED) == set(module.TASKS)
    assert len(module.grid("gpu")) == len(module.METHODS) * len(module.TASKS) * 5


def test_a_horizon_ends_at_the_first_fall():
    pairs = ["task=flip_flop", "model.input_method=ldu", "model.head_size=4"]
    settings = dict(pair.split("=") for pair in pairs)
    runs = pd.DataFrame([{"run_id": name, **settings} for name in ("a", "b", "c")]).assign(
        status="finished", model="mru", label="MRU ldu", seed=0, training_length=2
    )
    shares = {"a": [1.0, 0.9, 0.89, 1.0], "b": [0.5, 1.0, 1.0, 1.0], "c": [1.0] * 4}
    curves = pd.DataFrame(
        [
            {"run_id": name, "length": length, "whole_prefix_accuracy": share}
            for name, curve in shares.items()
            for length, share in zip((1, 2, 4, 8), curve, strict=True)
        ]
    ).assign(token_accuracy=1.0, majority_rate=0.5, num_words=10)
    results = Results(runs, {"curves": curves.sample(frac=1, random_state=0)}, [])
    assert module.horizons(results).set_index("run_id").horizon.to_dict() == {
        "a": 2,
        "b": 0,
        "c": 8,
    }
    way = module.tables(results)["ways"].iloc[0]
    assert (way.median_horizon, way.followed, way.has_the_matrices) == (2, True, False)


def test_the_page_tells_the_stored_numbers(stored):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What `mru_groups` shows so far")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| (.+) \|$", section, flags=re.MULTILINE)
    told = {task: cells.split(" | ") for task, cells in rows if task in module.TASKS}
    medians = module.tables(stored)["ways"].set_index(["task", "model"]).median_horizon
    for task, cells in told.items():
        for method, cell in zip(module.ON_A_CPU["methods"], cells, strict=True):
            assert abs(float(cell.removeprefix("≥ ")) - medians[task, method]) <= 0.5, (
                task,
                method,
            )
    assert set(told) == set(module.ON_A_CPU["tasks"])


def test_half_turns_of_the_stored_models(stored):
    """Of a swap of S3 in a head: cayley stays off the half turn, exponential does not."""
    chosen = stored.runs[stored.runs["task.group"] == "S3"][["run_id", "model.input_method"]]
    spectra = stored.table("spectra").merge(chosen, on="run_id")
    swaps = spectra[spectra.token_name.isin(SWAPS)]
    turns = swaps.assign(turn=swaps.angle.abs() / np.pi)
    largest = turns.groupby(["model.input_method", "run_id", "head", "token_name"]).turn.max()
    assert largest["cayley"].between(0.875, 0.905).all()
    assert largest["exponential"].between(0.935, 1.0).all()
    assert len(largest["cayley"]) == len(largest["exponential"]) == 2 * 2 * len(SWAPS)
