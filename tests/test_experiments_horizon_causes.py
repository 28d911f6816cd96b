"""What sets the horizon: what is asked, how it is read, and what the page says of it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from statetrack.source_files import import_file
from statetrack.training import Results, RunConfig, load_results
from statetrack.training.packs import partition

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
module = import_file(FOLDER / "horizon_causes.py")
LENGTHS = [1, 100, 10_000, 16_384]


@pytest.fixture(scope="module")
def stored():
    return load_results(FOLDER / "results" / "horizon_causes-cpu")


def settings(run: RunConfig) -> dict[str, object]:
    """Flat settings of training and model, steps left out: they follow the schedule."""
    tree = run.model_dump(mode="json")
    flat = {f"training.{key}": value for key, value in tree["training"].items() if key != "steps"}
    return flat | {f"model.{key}": value for key, value in tree["model"]["parameters"].items()}


@pytest.mark.parametrize("preset", ["gpu", "cpu"])
def test_a_kind_differs_from_its_baseline_by_its_knob_alone(preset):
    plan = module.PLANS[preset]
    kinds = {kind: settings(RunConfig.from_pairs(own)) for kind, own in plan.kinds().items()}
    asked = {**module.SETTINGS, module.FALL: "training.schedule"}
    for (family, knob, value), own in kinds.items():
        base = kinds[family, module.BASELINE, ""]
        changed = {key for key in own if own[key] != base[key]}
        if knob == module.TOGETHER:
            assert changed == {asked[one] for one in plan.together[family][value]}
        else:
            assert changed == (set() if knob == module.BASELINE else {asked[knob]})


def test_the_baseline_is_the_frozen_recipe_measured_farther():
    recipes = import_file(FOLDER / "group_recipes.py")
    frozen = next(iter(recipes.grid("s5").runs))
    ours = next(iter(module.grid("gpu").runs))
    assert (ours.model, ours.training) == (frozen.model, frozen.training)
    assert (ours.task, ours.seed) == (frozen.task, frozen.seed)
    assert ours.evaluation.max_length > module.AIM > frozen.evaluation.max_length


def test_the_large_grid_is_few_packs():
    runs = module.grid("gpu").runs
    assert len(runs) == 264
    assert len(partition(runs, 256)) == 17


def planted(horizons: dict[tuple[str, str], list[int]], errors: list[float]) -> Results:
    """Runs of the large grid of Householder products with given horizons, by knob and value."""
    runs, curves, heads, irreps = [], [], [], []
    for (knob, value), lengths in horizons.items():
        pairs = module.PLANS["gpu"].kinds()["Householder", knob, value]
        for seed, (length, error) in enumerate(zip(lengths, errors, strict=True)):
            run_id = RunConfig.from_pairs([*pairs, f"seed={seed}"]).run_id
            row = {"run_id": run_id, "status": "finished", "task": "s5", "label": "H"}
            solved = 800 if length >= 100 else None
            runs.append({**row, "seed": seed, "solved_step": solved})
            runs[-1]["whole_prefix_horizon"] = length
            for last in LENGTHS:
                share = 1.0 if last <= length else 0.5
                curves.append({"run_id": run_id, "length": last, "whole_prefix_accuracy": share})
            for head, size in enumerate((error, 2 * error)):
                own = {"run_id": run_id, "layer": 0, "head": head}
                parts = {"distance": 0.6 * size, "leakage": 0.8 * size}
                heads.append({**own, "verdict": "faithful", **parts})
                irreps.append({**own, "irrep": "trivial", "type": "R", "multiplicity": 7})
                irreps.append({**own, "irrep": "4Ra", "type": "R", "multiplicity": 1 + head})
    tables = {"curves": curves, "representations": heads, "irreps": irreps}
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    frames["curves"] = frames["curves"].assign(
        token_accuracy=1.0, majority_rate=0.01, num_words=1024
    )
    return Results(pd.DataFrame(runs), frames, [])


ERRORS = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
PLANTED = {
    (module.BASELINE, ""): [500, 600, 700, 800, 900, 1000],
    (module.FALL, "9,600"): [5000, 6000, 7000, 8000, 16384, 16384],
    ("weight decay", "0.0"): [400, 700, 600, 900, 50, 0],
}


def test_ten_times_are_seen_and_a_wash_is_not():
    knobs = module.tables(planted(PLANTED, ERRORS))["knobs"].set_index("knob")
    fall, decay = knobs.loc[module.FALL], knobs.loc["weight decay"]
    expected = np.prod([10, 10, 10, 10, 16384 / 900, 16.384]) ** (1 / 6)
    assert fall.ratio == pytest.approx(expected)
    assert 1 < fall.low <= fall.ratio <= fall.high
    assert (fall.verdict, fall.to_the_aim, fall.censored) == ("longer", 2, 2)
    assert fall["median"] == 7000
    assert (decay.verdict, decay.solved, decay.worst) == ("no difference shown", 4, 0)
    assert np.isnan(knobs.loc[module.BASELINE].ratio)


def test_the_error_is_that_of_the_most_faithful_head_and_trivial_copies_add_nothing_up():
    frame = module.models(planted(PLANTED, ERRORS))
    assert frame[frame.knob == module.BASELINE].error.tolist() == ERRORS
    assert (frame.directions == 0).all()


def test_slopes_leave_out_the_censored_and_the_unsolved():
    lengths = [round(1.2 / error**2) for error in ERRORS]
    both = {(module.BASELINE, ""): lengths, ("weight decay", "0.0"): [16384, 20, 20, 20, 20, 20]}
    (line,) = module.tables(planted(both, ERRORS))["slopes"].itertuples()
    assert line.models == 6
    assert line.slope == pytest.approx(-2, abs=0.02)


def test_the_figure_draws_every_seed_of_every_kind():
    (knobs, errors) = module.figure(planted(PLANTED, ERRORS)).axes
    labels = [text.get_text() for text in knobs.get_yticklabels()]
    for _, knob, value in module.PLANS["gpu"].kinds():
        if knob in PLANTED:
            assert value in labels
    dots = [line for line in knobs.lines if line.get_marker() in ("o", "x")]
    usual = len(module.TRAINING) + len(module.BETAS)
    assert len(dots) == usual * 6 + 12
    assert sum(line.get_markerfacecolor() == "white" for line in dots) == 2
    assert sum(line.get_marker() == "x" for line in dots) == 2
    assert len([line for line in errors.lines if line.get_marker() == "o"]) == 16


def test_what_is_not_read_yet_is_drawn_without_errors():
    results = planted(PLANTED, ERRORS)
    unread = Results(results.runs, {"curves": results.table("curves")}, [])
    (_, errors) = module.figure(unread).axes
    assert [text.get_text() for text in errors.texts] == ["no head is faithful"]
    tables = module.tables(unread)
    assert tables["knobs"].median_error.isna().all()
    assert tables["slopes"].empty


def test_the_page_tells_the_stored_numbers(stored):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What `horizon_causes` shows so far")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| ([a-z ]+)(?: \(.+\))? \| (.*?) ?\|(.*)\|(.*)\|$", section, flags=re.MULTILINE
    )
    told = {
        (family, knob, value): cell.strip()
        for knob, value, *cells in rows[1:]
        for family, cell in zip(("Householder", "MRU"), cells, strict=True)
        if cell.strip()
    }
    knobs = module.tables(stored)["knobs"].fillna({"value": ""}).set_index(module.KIND)
    assert set(told) == set(knobs.index)
    for kind, cell in told.items():
        row = knobs.loc[kind]
        ratio = "" if np.isnan(row.ratio) else f": {row.ratio:.2f}"
        assert cell == f"{row.worst:.0f}, {row.best:.0f}{ratio}"
    assert knobs.p_value.min() > 0.33


def test_errors_order_the_rotations_of_the_stored_models(stored):
    frame = module.models(stored)
    known = frame[frame.solved & frame.error.notna() & (frame.value != "ldu")]
    turns, products = (known[known.family == family] for family in ("MRU", "Householder"))
    assert (len(turns), len(products)) == (18, 22)
    assert turns[["error", "horizon"]].corr("spearman").iloc[0, 1] == pytest.approx(
        -0.74, abs=0.005
    )
    assert abs(products[["error", "horizon"]].corr("spearman").iloc[0, 1]) < 0.005
    scale = turns.horizon * turns.error**2
    told = [scale.min(), scale.median(), scale.max()]
    assert np.allclose(told, [0.044, 0.083, 0.252], atol=6e-4)
    for entry in stored.provenance:
        assert entry["commit"].startswith("8d7199e")
        assert entry["uncommitted_changes"] is False
