"""The published results on eigenvalue ranges and Householder factors: grids, names, comparisons."""

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from automata.groups import parse
from statetrack.analysis.published import VERDICTS
from statetrack.experiment import load_experiment, preset_grid, write_products
from statetrack.source_files import import_file
from statetrack.training import Results, export_results, load_results, run_grid
from tests.test_experiments import FOLDER, Here

NAMES = ("eigenvalue_table", "s5_variants", "deltaproduct")
PATHS = {name: FOLDER / f"{name}.py" for name in NAMES}


SMOKE = ["deltaproduct", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[:2])]


@pytest.fixture(scope="module", params=SMOKE)
def smoke(request, tmp_path_factory):
    """An experiment, its smallest preset run to the end, and what was written of it."""
    folder = tmp_path_factory.mktemp(request.param)
    experiment = load_experiment(PATHS[request.param])
    results = run_grid(preset_grid(experiment, "smoke"), folder, launcher=Here())
    products = write_products(experiment, results, folder, "statetrack grid <this>")
    export_results(results, folder)
    return experiment, results, products


def test_the_smoke_preset_runs_and_is_compared(smoke):
    experiment, results, products = smoke
    assert set(results.runs.status) == {"finished"}
    assert isinstance(experiment.figure(results), Figure)
    table = pd.read_csv(products["tables"] / "published.csv")
    assert set(table.verdict) <= set(VERDICTS)
    assert (table.num_runs > 0).any(), "no run has a name that something was published of"
    measured = table[table.num_runs > 0]
    assert measured["median"].notna().all() and (measured.verdict != "not measured").all()
    report = products["report"].read_text()
    assert "Beside what was published" in report and "reproduced" in report


def test_what_was_exported_is_compared_alike(smoke):
    experiment, results, products = smoke
    loaded = load_results(products["report"].parent)
    assert set(loaded.tables) == set(results.tables)
    ours, theirs = (experiment.tables(one)["published"] for one in (results, loaded))
    pd.testing.assert_frame_equal(theirs, ours, rtol=1e-5, atol=1e-6)


def test_runs_measured_to_different_lengths_are_drawn(smoke, tmp_path):
    """The preset `gpu` of deltaproduct goes to 2,048 letters with one model, with others to 512."""
    experiment, results, _ = smoke
    curves = results.table("curves")
    first, *others = results.finished.run_id
    longest = curves.length.max()
    near = curves.length[curves.length <= longest // 2].max()
    cut = curves[(curves.run_id == first) | (curves.length <= near)]
    uneven = Results(results.runs, {**results.tables, "curves": cut}, results.provenance)
    products = write_products(experiment, uneven, tmp_path, "")
    table = pd.read_csv(products["table"])
    assert [name for name in table if name.startswith("best at ")][-1] == f"best at {near}"
    assert table.notna().all(axis=None)
    reached = cut.groupby("run_id").length.max()
    assert (reached[first], set(reached[others])) == (longest, {near})
    page = products["report"].read_text()
    assert f"<dd>{near} to {longest}</dd>" in page
    assert f"fresh words of length {near} to {longest}" in page


def test_nothing_finished_is_nothing_to_compare(smoke):
    experiment, results, _ = smoke
    nothing = results.only([])
    for draw in (experiment.figure, experiment.tables):
        with pytest.raises(InputError, match="no run is finished"):
            draw(nothing)


@pytest.mark.parametrize("name", NAMES)
def test_large_presets_have_five_seeds_and_long_curves(name):
    experiment = load_experiment(PATHS[name])
    runs = {preset: preset_grid(experiment, preset).runs for preset in ("gpu", "full")}
    for grid in runs.values():
        assert min(run.evaluation.max_length for run in grid) >= 512
        assert min(run.evaluation.num_words for run in grid) >= 4096
        kinds = {}
        for run in grid:
            tree = json.loads(run.canonical_json())
            tree.pop("seed", None)
            kinds.setdefault(json.dumps(tree), set()).add(run.seed)
        assert {len(seeds) for seeds in kinds.values()} == {5}
    if name != "s5_variants":
        assert {run.run_id for run in runs["gpu"]} <= {run.run_id for run in runs["full"]}


@pytest.mark.parametrize("name", NAMES)
def test_everything_published_is_measured_by_the_large_preset(name):
    """A name that no run has would be "not measured" for ever."""
    module = import_file(PATHS[name])
    runs = preset_grid(load_experiment(PATHS[name]), "gpu").runs
    rows = pd.DataFrame(
        [
            {
                "run_id": run.run_id,
                "status": "finished",
                "task": run.task.name,
                "model": run.model.name,
                "label": run.model.name,
                "eigenvalue_range": run.model.parameters.get("eigenvalue_range"),
                "training_length": run.training.length,
                **{f"task.{key}": value for key, value in run.task.parameters.items()},
                **{f"model.{key}": value for key, value in run.model.parameters.items()},
                **{f"training.{key}": value for key, value in run.training},
            }
            for run in runs
        ]
    )
    lengths = {run.run_id: run.evaluation.lengths() for run in runs}
    curves = pd.DataFrame(
        [(run_id, length) for run_id in lengths for length in (1, *lengths[run_id][-2:])],
        columns=["run_id", "length"],
    ).assign(token_accuracy=0.5, whole_prefix_accuracy=0.5, majority_rate=0.5)
    history = pd.DataFrame({"run_id": rows.run_id, "step": 1, "selection_token": 0.5, "loss": 1.0})
    table = module.tables(Results(rows, {"curves": curves, "history": history}, []))["published"]
    by_value = table.groupby(["where", "task", "model", "length"]).num_runs.max()
    assert by_value.min() >= 5


def test_the_learning_rate_is_chosen_on_selection_words_cell_by_cell():
    module = import_file(PATHS["eigenvalue_table"])
    rates = [0.001, 0.001, 0.003, 0.003]
    runs = pd.DataFrame(
        {
            "run_id": [f"{model}{number}" for model in "ab" for number in range(4)],
            "task": "parity",
            "model": ["a"] * 4 + ["b"] * 4,
            "protocol": "p",
            "training.learning_rate": rates * 2,
        }
    )
    last = {"a": [0.6, 0.7, 0.5, 0.9], "b": [0.5, 0.5, 0.5, 0.5]}
    losses = {"a": [1.0] * 4, "b": [0.9, 0.9, 0.1, 0.2]}
    history = pd.DataFrame(
        {
            "run_id": list(runs.run_id) * 2,
            "step": [100] * 8 + [50] * 8,
            "selection_token": [*last["a"], *last["b"], *[1.0] * 8],
            "loss": [*losses["a"], *losses["b"], *[0.0] * 8],
        }
    )
    chosen = module.best_rates(runs, history)
    picked = chosen.groupby("model")["training.learning_rate"].unique()
    assert picked["a"].tolist() == [0.003]  # medians .65 and .70
    assert picked["b"].tolist() == [0.003]  # equal accuracies, lower loss
    assert len(chosen) == 4


def test_scaled_accuracy_is_the_published_scale():
    module = import_file(PATHS["eigenvalue_table"])
    runs = pd.DataFrame(
        {
            "run_id": ["x", "y"],
            "status": "finished",
            "task": ["parity", "modular_arithmetic"],
            "model": ["mamba", "transformer"],
            "label": "m",
            "eigenvalue_range": ["[-1,1]", None],
            "task.supervision": ["per_prefix", "final"],
            "training.batch_size": 32,
            "training.learning_rate": 0.001,
        }
    )
    curves = pd.DataFrame(
        {"run_id": ["x", "y"], "length": 41, "token_accuracy": [0.75, 0.6], "majority_rate": 0.5}
    )
    history = pd.DataFrame({"run_id": ["x", "y"], "step": 1, "selection_token": 0.5, "loss": 1.0})
    frame = module.measured(Results(runs, {"curves": curves, "history": history}, []))
    shown = frame.set_index("run_id")[["model", "protocol", "scaled_accuracy"]]
    assert shown.loc["x"].tolist() == ["Mamba [-1,1]", "every prefix", pytest.approx(0.5)]
    assert shown.loc["y"].tolist() == ["Transformer", "last letter", pytest.approx(0.5)]


def test_the_letters_of_s5_are_those_that_were_published():
    """The identity and ten swaps; 1 + 10 + 20 permutations of at most three points; 120."""
    module = import_file(PATHS["s5_variants"])
    grid = preset_grid(load_experiment(PATHS["s5_variants"]), "gpu")
    wanted = {"swaps": 11, "at most 3 points": 31, "4 letters each": 121, "all elements": 120}
    found = {}
    for run in grid.runs:
        pairs = {f"task.{key}={value}" for key, value in run.task.parameters.items()}
        spelled = module.VARIANTS["4 letters each"] in pairs
        (name,) = (
            ["4 letters each"]
            if spelled
            else [variant for variant, pair in module.VARIANTS.items() if pair in pairs]
        )
        found[name] = run.task.build().num_tokens
        assert run.training.length == (64 if spelled else 32)
    assert found == wanted


def test_the_groups_of_deltaproduct_need_what_the_file_says():
    """Distance from the identity in the smallest faithful representation up to sign: rotations of
    space for S4 and A5, the standard representation (points less one for a cycle) for S3 and S5.
    """
    module = import_file(PATHS["deltaproduct"])

    def reflections(element):
        seen, cycles = set(), 0
        for point in range(len(element)):
            if point not in seen:
                cycles += 1
                while point not in seen:
                    seen.add(point)
                    point = element[point]
        return len(element) - cycles

    for group in ("s3", "s5"):
        most = max(reflections(element) for element in parse(group).elements)
        assert module.NEEDED[group] == most
    for group in ("s4", "a5"):
        assert module.NEEDED[group] == 2 < max(map(reflections, parse(group).elements)) + 1
    runs = preset_grid(load_experiment(PATHS["deltaproduct"]), "gpu").runs
    longest = {run.task.name: run.evaluation.max_length for run in runs}
    beyond = [run for run in runs if run.evaluation.max_length == 2048]
    assert {(run.task.name, run.model.parameters["num_factors"]) for run in beyond} == {("s5", 4)}
    assert longest["a5"] == 512
