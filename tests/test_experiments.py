"""Every experiment file: it loads, its presets are grids, its smallest preset runs to the end."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.experiment import load_experiment, preset_grid, write_products
from statetrack.report_tables import (
    accuracy_overview,
    failure_table,
    homomorphism_overview,
    provenance_rows,
)
from statetrack.source_files import import_file
from statetrack.training import Results, export_results, load_results, run_grid
from statetrack.training.execute import execute_pack

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))
COMMITTED = FOLDER / "results" / "eigenvalue_ranges-full"


@pytest.fixture(autouse=True)
def a_text(tmp_path_factory, monkeypatch):
    """What experiments on a text read."""
    path = tmp_path_factory.getbasetemp() / "tinyshakespeare.txt"
    if not path.exists():
        path.write_text("to be, or not to be: that is the question.\n" * 50)
    monkeypatch.setenv("STATETRACK_TEXT", str(path.parent))


class Here:
    """Launcher that runs in this process."""

    def pack_size(self, runs):
        return 2

    def run(self, jobs, checkpoints, progress, source=None):
        for job in jobs:
            yield from execute_pack(job.runs, known=job.known)


def grids():
    for file in FILES:
        experiment = load_experiment(file)
        for preset in experiment.presets:
            yield pytest.param(experiment, preset, id=f"{file.stem}-{preset}")


def test_there_is_an_experiment():
    assert FOLDER / "eigenvalue_ranges.py" in FILES


@pytest.mark.parametrize(("experiment", "preset"), list(grids()))
def test_every_preset_is_a_grid_named_after_it(experiment, preset):
    grid = preset_grid(experiment, preset)
    assert grid.name == f"{experiment.path.stem}-{preset}"
    assert len({run.run_id for run in grid.runs}) == len(grid.runs) > 0
    assert [run.run_id for run in preset_grid(experiment, preset).runs] == [
        run.run_id for run in grid.runs
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_says_what_it_asks(file):
    experiment = load_experiment(file)
    assert 10 < len(experiment.title) < 100
    assert not experiment.title.endswith(".")
    assert len(experiment.question) > 50
    assert preset_grid(experiment, None).name == preset_grid(experiment, experiment.presets[0]).name
    longest = max(experiment.presets, key=len)
    near = f"{longest}{longest[-1]}"
    with pytest.raises(InputError, match=f"unknown preset {near!r}: did you mean {longest!r}"):
        preset_grid(experiment, near)


def test_a_text_that_is_not_there_is_asked_for(monkeypatch, tmp_path):
    experiment = load_experiment(FOLDER / "shakespeare.py")
    monkeypatch.setenv("STATETRACK_TEXT", str(tmp_path))
    with pytest.raises(InputError, match=r"no file, and no tinyshakespeare.txt or input.txt"):
        preset_grid(experiment, "post")
    monkeypatch.delenv("STATETRACK_TEXT")
    with pytest.raises(InputError, match="STATETRACK_TEXT is not set"):
        preset_grid(experiment, "post")


def describe(run):
    parameters = run.model.parameters
    return (
        run.task.name,
        run.model.name,
        parameters.get("num_factors"),
        parameters.get("eigenvalue_range"),
        parameters.get("input_method"),
    )


def test_the_cpu_preset_is_what_was_asked_for():
    grid = preset_grid(load_experiment(FOLDER / "eigenvalue_ranges.py"), "cpu")
    assert len(grid.runs) <= 24
    kinds = {describe(run)[:4] for run in grid.runs}
    both = ("[0,1]", "[-1,1]")
    assert {("parity", "diagonal", None, r) for r in both} <= kinds
    assert {("parity", "householder", 1, r) for r in both} <= kinds
    assert {("s3", "householder", n, "[-1,1]") for n in (1, 2)} <= kinds
    assert {kind[1] for kind in kinds} == {"diagonal", "householder", "mru", "lstm"}
    for kind in kinds:
        assert len({run.seed for run in grid.runs if describe(run)[:4] == kind}) == 3


def test_the_full_preset_is_what_was_asked_for():
    grid = preset_grid(load_experiment(FOLDER / "eigenvalue_ranges.py"), "full")
    kinds = {describe(run) for run in grid.runs}
    for task in ("parity", "s3"):
        for values in ("[0,1]", "[-1,1]"):
            assert (task, "diagonal", None, values, None) in kinds
            assert (task, "householder", 1, values, None) in kinds
            assert (task, "householder", 2, values, None) in kinds
        assert len({kind for kind in kinds if kind[:2] == (task, "mru")}) == 2
        assert (task, "lstm", None, None, None) in kinds
    for kind in kinds:
        assert len({run.seed for run in grid.runs if describe(run) == kind}) >= 5


@pytest.mark.parametrize("preset", ["cpu", "full"])
def test_it_is_trained_at_40_and_read_to_256_on_every_prefix(preset):
    for run in preset_grid(load_experiment(FOLDER / "eigenvalue_ranges.py"), preset).runs:
        assert run.training.length == 40
        assert run.evaluation.max_length == 256
        assert run.evaluation.num_words >= 4096
        task = run.task.build()
        assert task.supervision == "per_prefix"
        assert task.num_tokens == {"parity": 2, "s3": 6}[task.name]
        assert {64, 256} <= set(run.evaluation.lengths())


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smallest preset of the first experiment, run to the end."""
    folder = tmp_path_factory.mktemp("smoke")
    experiment = load_experiment(FOLDER / "eigenvalue_ranges.py")
    results = run_grid(preset_grid(experiment, "smoke"), folder, launcher=Here())
    products = write_products(experiment, results, folder, "statetrack grid <this> --preset smoke")
    export_results(results, folder)
    return experiment, results, {**products, "results": folder}


def test_the_smoke_preset_runs_and_writes_figure_table_and_report(smoke):
    _, results, products = smoke
    assert results.runs.status.tolist() == ["finished"] * 2
    assert products["figure"].read_bytes().startswith(b"\x89PNG")
    assert products["figure"].stat().st_size > 10_000
    table = pd.read_csv(products["table"])
    assert len(table) == 2
    longest = results.tables["curves"].query("length == 256").set_index("run_id")
    for _, row in table.iterrows():
        (run_id,) = results.runs.run_id[results.runs.label == row["label"]]
        assert row["best at 256"] == pytest.approx(longest.token_accuracy[run_id], abs=5e-5)
    report = products["report"].read_text()
    assert "statetrack grid &lt;this&gt; --preset smoke" in report
    assert "data:image/webp;base64" in report
    for label in results.runs.label:
        assert label in report
    (entry,) = json.loads((products["results"] / "provenance.json").read_text())
    assert entry["num_runs"] == 2


def test_the_products_are_the_same_bytes_again(smoke, tmp_path):
    experiment, results, products = smoke
    again = write_products(experiment, results, tmp_path, "statetrack grid <this> --preset smoke")
    for name in ("figure", "table", "report"):
        assert again[name].read_bytes() == products[name].read_bytes(), name


def test_the_exported_files_draw_the_same_table(smoke, tmp_path):
    """What is committed must say what was measured: no store, only CSV."""
    _, results, products = smoke
    for file in products["results"].iterdir():
        if file.name == "provenance.json" or (file.suffix == ".csv" and file.name != "table.csv"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    loaded = load_results(tmp_path)
    pd.testing.assert_frame_equal(
        accuracy_overview(loaded), accuracy_overview(results), check_dtype=False, rtol=1e-6
    )
    assert provenance_rows(loaded) == provenance_rows(results)
    assert failure_table(loaded.runs).empty


def test_tables_of_an_experiment_are_written_and_shown(smoke, tmp_path):
    experiment, results, _ = smoke
    frame = pd.DataFrame({"who": ["one & all"], "share": [0.123456]})
    own = replace(experiment, tables=lambda results: {"what_came_out": frame})
    products = write_products(own, results, tmp_path, "")
    written = products["tables"] / "what_came_out.csv"
    assert written.read_text() == "who,share\none & all,0.1235\n"
    page = products["report"].read_text()
    assert "what came out" in page
    assert "one &amp; all" in page
    write_products(own, results, tmp_path, "")
    assert "tables" not in write_products(experiment, results, tmp_path, "")


def test_nothing_finished_is_nothing_to_draw(smoke, tmp_path):
    experiment, results, _ = smoke
    with pytest.raises(InputError, match="no run is finished"):
        write_products(experiment, results.only([]), tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_failed_runs_are_listed_and_left_out(smoke):
    _, results, _ = smoke
    failed = results.runs.iloc[:1].assign(run_id="x", status="failed", error="why <b>")
    more = Results(pd.concat([results.runs, failed]), results.tables, results.provenance)
    assert failure_table(more.runs)["reason"].tolist() == ["why <b>"]
    assert len(accuracy_overview(more)) == len(accuracy_overview(results))


def test_the_most_faithful_head_of_the_best_seed_is_shown():
    """Two seeds: the better one counts; of its heads the faithful one with the least error."""
    runs = pd.DataFrame(
        {"run_id": ["a", "b"], "task": "s3", "label": "m", "seed": [0, 1], "status": "finished"}
    ).assign(training_length=2, token_accuracy=[0.2, 0.9], whole_prefix_accuracy=[0.2, 0.9])
    curves = pd.DataFrame(
        {
            "run_id": ["a", "a", "b", "b"],
            "length": [1, 2, 1, 2],
            "token_accuracy": [0.2, 0.2, 0.9, 0.9],
            "whole_prefix_accuracy": [0.2, 0.2, 0.9, 0.9],
            "majority_rate": 0.2,
            "num_words": 100,
        }
    )
    errors, separations = [1e-9, 1e-2, 1e-3, 1e-9, 1e-9], [1.0, 1.0, 1.0, 1.0, 1e-6]
    heads = pd.DataFrame(
        {
            "run_id": ["a", "b", "b", "b", "b"],
            "layer": 0,
            "head": [0, 0, 1, 2, 3],
            "error": errors,
            "separation": separations,
            "ratio": [e / s for e, s in zip(errors, separations, strict=True)],
            "verdict": ["faithful", "faithful", "faithful", "sees Z2", "trivial"],
            "dimension": 2,
        }
    )
    results = Results(runs, {"curves": curves, "homomorphism": heads}, [])
    (row,) = homomorphism_overview(results).to_dict("records")
    assert (row["seed"], row["head"], row["error"], row["verdict"]) == (1, 1, 1e-3, "faithful")


def test_the_committed_results_load_and_draw():
    experiment = load_experiment(FOLDER / "eigenvalue_ranges.py")
    grid = preset_grid(experiment, "full")
    results = load_results(COMMITTED).only([run.run_id for run in grid.runs])
    assert len(results.finished) == len(grid.runs), "results of another grid than the file's"
    assert isinstance(experiment.figure(results), Figure)
    for entry in results.provenance:
        assert entry["commit"]
        assert entry["uncommitted_changes"] is False
        assert entry["versions"]["torch"]
        assert entry["device"]
    table = pd.read_csv(COMMITTED / "table.csv")
    pd.testing.assert_frame_equal(table, accuracy_overview(results), atol=5e-5, check_dtype=False)


@pytest.mark.parametrize(
    ("file", "preset"),
    [
        ("eigenvalue_ranges", "full"),
        ("range_steepness", "full"),
        ("group_recipes", "s3"),
        ("group_recipes", "s5"),
        ("horizon", "cpu"),
        ("horizon", "gpu"),
        ("representations", "gpu"),
        ("nonlinear", "cpu"),
        ("nonlinear", "gpu"),
        ("nonlinear", "s5"),
        ("automata_suite", "cpu"),
        ("regular_tasks", "cpu"),
        ("growing_parity", "cpu"),
        ("block_diagonal", "cpu"),
        ("hard_groups", "cpu"),
        ("type_law", "cpu"),
        ("type_law", "gpu"),
        ("eigenvalue_table", "cpu"),
        ("s5_variants", "cpu"),
        ("deltaproduct", "cpu"),
        ("deltaproduct", "gpu"),
        ("mru_groups", "cpu"),
        ("horizon_causes", "cpu"),
        ("depth", "cpu"),
        ("expressivity_map", "cpu"),
        ("learnability", "cpu"),
    ],
)
def test_committed_results_are_of_the_runs_of_the_file(file, preset):
    """However a grid is written, its runs keep their identities."""
    grid = preset_grid(load_experiment(FOLDER / f"{file}.py"), preset)
    stored = pd.read_csv(FOLDER / "results" / f"{file}-{preset}" / "runs.csv")
    assert set(stored.run_id) == {run.run_id for run in grid}


def test_the_smoke_preset_of_nonlinear_runs_and_draws(tmp_path):
    experiment = load_experiment(FOLDER / "nonlinear.py")
    results = run_grid(preset_grid(experiment, "smoke"), tmp_path, launcher=Here())
    assert results.runs.status.tolist() == ["finished"] * 2
    (panel,) = experiment.figure(results).axes
    assert panel.get_title() == "parity"
    with pytest.raises(InputError, match="no run is finished"):
        experiment.figure(results.only([]))


def test_the_committed_results_of_nonlinear_reach_100000_letters():
    experiment = load_experiment(FOLDER / "nonlinear.py")
    results = load_results(FOLDER / "results" / "nonlinear-cpu")
    assert results.finished.solved_step.notna().all()
    assert set(results.table("curves").groupby("run_id").length.max()) == {100_000}
    panels = experiment.figure(results).axes
    assert [panel.get_title() for panel in panels] == ["parity", "S3"]
    for entry in results.provenance:
        assert entry["commit"]
        assert entry["uncommitted_changes"] is False


def test_curves_of_nonlinear_fall_where_the_thresholds_say():
    """Recorded lengths are 1,600 letters apart; one that falls at 108 is drawn so."""
    experiment = load_experiment(FOLDER / "nonlinear.py")
    results = load_results(FOLDER / "results" / "nonlinear-s5")
    assert results.finished.solved_step.notna().sum() == 4
    (unsolved,) = results.finished.run_id[results.finished.solved_step.isna()]
    limits = results.table("thresholds").query("metric == 'whole_prefix_accuracy'")
    (panel,) = experiment.figure(results).axes
    (dashed,) = [line for line in panel.lines if line.get_linestyle() == "--"]
    drawn = dict(zip(*dashed.get_data(), strict=True))
    for row in limits[limits.run_id == unsolved].itertuples():
        assert drawn[row.length] == row.threshold
    recorded = results.table("curves").set_index(["run_id", "length"]).whole_prefix_accuracy
    median = dict(zip(*panel.lines[5].get_data(), strict=True))
    assert median[100_000] == recorded.xs(100_000, level="length").median()
    assert len(median) == len(drawn)


def test_the_committed_results_of_type_law_follow_the_law():
    experiment = load_experiment(FOLDER / "type_law.py")
    results = load_results(FOLDER / "results" / "type_law-cpu")
    scaled = results.table("scaled_errors").astype({"horizon": float})
    errors = results.table("learned_errors").set_index("run_id")
    solved = results.finished[results.finished.solved_step.notna()]
    assert len(solved) == 4
    for run_id in solved.run_id:
        own = scaled[scaled.run_id == run_id]
        slope = np.polyfit(np.log(own.error), np.log(own.horizon), 1)[0]
        expected = -1 if errors.drift_directions[run_id] else -2
        assert abs(slope - expected) < 0.05
    assert len(experiment.figure(results).axes) == 4
    with pytest.raises(InputError, match="no run has learned a representation"):
        experiment.figure(results.only([]))


def test_loading_a_file_leaves_no_module_behind():
    import sys

    before = set(sys.modules)
    load_experiment(FOLDER / "eigenvalue_ranges.py")
    assert not {name for name in set(sys.modules) - before if "eigenvalue_ranges" in name}
    assert importlib.util.find_spec("experiment_eigenvalue_ranges") is None


def test_an_experiment_may_bring_its_own_model(tmp_path, monkeypatch):
    """`register_model` in the file itself: the workers of the pool must know the model too."""
    from statetrack.models import config as models
    from statetrack.training import LocalLauncher

    monkeypatch.setattr(models, "_REGISTRY", dict(models._REGISTRY))
    file = tmp_path / "own.py"
    file.write_text(
        '"""A model of my own."""\n'
        "from statetrack.models.config import register_model\n"
        "from statetrack.models.lstm import LSTMConfig, build\n"
        "from statetrack.training import Grid\n"
        "register_model('own', LSTMConfig, build)\n"
        "PRESETS = ('small',)\n"
        "def grid(preset):\n"
        "    return Grid.product('own-small', ['task=parity', 'training.steps=2',\n"
        "        'training.length=18', 'evaluation.num_words=16', 'model.width=8'],\n"
        "        {'model': ['own']})\n"
        "def figure(results): ...\n"
    )
    grid = preset_grid(load_experiment(file), "small")
    results = run_grid(grid, tmp_path / "results", launcher=LocalLauncher(1, "cpu"))
    assert results.runs.status.tolist() == ["finished"]


REPRESENTATIONS_READ = {
    "a": ("Z5", 200, [("faithful", "9 x trivial + 2Ca", 0.8, 3), ("trivial", "9 x trivial", 0, 9)]),
    "b": ("Z5", 128, [("faithful", "2Cb", 0.6, 5), ("not a representation", "2Ca", 0.1, 8)]),
    "c": ("Z5", 127, [("faithful", "2Ca", 0.2, 7), ("faithful", "2Cb", 0.2, 7)]),
    "d": ("S4", 300, [("sees Z2", "1R", 0.5, 9), ("faithful", "3Rb", 1.0, 3)]),
}
"""By run: group, longest length with whole-prefix accuracy .99, and of two heads the verdict,
representation, share of reflections and dimension of keys. Run c has not learned its group."""


def read_representations() -> Results:
    runs, limits, heads, irreps, factors, layers, automata = [], [], [], [], [], [], []
    for run_id, (group, length, own) in REPRESENTATIONS_READ.items():
        runs.append({"run_id": run_id, "status": "finished", "training_length": 128})
        limit = {"metric": "whole_prefix_accuracy", "threshold": 0.99, "length": length}
        limits += [{"run_id": run_id, **limit}, {"run_id": run_id, **limit, "threshold": 0.5}]
        layers.append({"run_id": run_id, "kernel_order": 1})
        automata.append({"run_id": run_id, "task": group, "equivalent": run_id != "b"})
        automata[-1]["distinguishing_word"] = ""
        for head, (verdict, formula, reflections, keys) in enumerate(own):
            place = {"run_id": run_id, "head": head}
            name = {"2Ca": "rotations of a 5-gon", "3Rb": "rotations of a cube"}.get(formula, "")
            shown = {"representation": formula, "name": name or formula, "cover_degree": 1}
            heads.append({**place, "group": group, "verdict": verdict, **shown})
            irrep = formula.split(" + ")[-1]
            irreps.append({**place, "irrep": "trivial", "verdict": verdict})
            irreps.append({**place, "irrep": irrep, "verdict": verdict})
            factors += [{**place, "reflections": reflections, "key_dimension": keys}] * 2
    tables = {
        "thresholds": limits,
        "representations": heads,
        "irreps": irreps,
        "factors": factors,
        "layers": layers,
        "automaton": automata,
    }
    return Results(pd.DataFrame(runs), {k: pd.DataFrame(v) for k, v in tables.items()}, [])


def test_representations_are_counted_over_learned_runs_alone():
    """Run c holds both planes of Z5 and has not learned it: it counts nowhere but among runs."""
    module = import_file(FOLDER / "representations.py")
    results = read_representations()
    rows = module.overview(results).set_index("group")
    assert rows.loc["Z5", ["runs", "learned", "faithful", "same_automaton"]].tolist() == [
        3,
        2,
        2,
        1,
    ]
    assert rows.representations.to_dict() == {
        "Z5": "2Ca in 1; 2Cb in 1",
        "S4": "1R in 1; 3Rb in 1",
    }
    assert rows.reflections.to_dict() == {"Z5": pytest.approx(0.7), "S4": 1.0}
    assert rows.key_dimension.to_dict() == {"Z5": 4.0, "S4": 3.0}
    first, second, *rest = module.figure(results).axes
    assert first.get_title() == "Z5: 2 of 3 learned"
    assert [bar.get_height() for bar in first.patches] == [0.5, 0.5]
    assert [tick.get_text() for tick in second.get_xticklabels()] == [
        "1R\nsign",
        "3Rb\nrotations\nof a cube",
    ]
    assert not any(axis.axison for axis in rest)
    tables = module.tables(results)
    assert tables["automata"].query("task == 'all'")[["models", "same"]].values.tolist() == [[0, 0]]
    assert tables["representations"].equals(module.overview(results))


def test_representations_that_nobody_learned_or_read_are_said():
    module = import_file(FOLDER / "representations.py")
    results = read_representations()
    with pytest.raises(InputError, match="no run has learned"):
        module.figure(results.only(["c"]))
    with pytest.raises(InputError, match="statetrack read"):
        module.overview(Results(results.runs, {}, []))


def test_the_committed_horizons_sum_up_as_written():
    """Tables of the committed small preset: certificates hold, automata are the true ones."""
    experiment = load_experiment(FOLDER / "horizon.py")
    folder = FOLDER / "results" / "horizon-cpu"
    tables = experiment.tables(load_results(folder))
    assert set(tables) == {file.stem for file in (folder / "tables").iterdir()}
    words = tables["adversarial_words"].set_index("group").loc["all"]
    assert words[["models", "found", "violations"]].tolist() == [8, 7, 0]
    assert words.periods_within == words.periods == 4
    automata = tables["automata"].set_index("task").loc["all"]
    assert automata[["models", "same", "failures"]].tolist() == [6, 6, ""]
    best = tables["predictions"].query("group == 'all'").set_index("predictor").median_log10
    assert best["weights, ensemble"] < 0.02
