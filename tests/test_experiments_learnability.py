"""Learnability: what is asked, tokens until solved, comparisons at equal size, and the page."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from statetrack.source_files import import_file
from statetrack.training import Results, load_results
from statetrack.training.packs import pack_key

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
module = import_file(FOLDER / "learnability.py")


@pytest.mark.parametrize(
    ("task", "kind", "size"),
    [
        ("Z24, all", "derived length 1", 24),
        ("Q8, four", "derived length 2", 8),
        ("S4, all", "derived length 3", 24),
        ("SL(2,3), all", "derived length 3", 24),
        ("A5, all", "non-solvable", 60),
        ("flip-flop 12", "aperiodic", 13),
        ("walk 6", "aperiodic", 61),
    ],
)
def test_subjects(task, kind, size):
    found = module.subject(task)
    assert (found.kind, found.size) == (kind, size)


def test_every_order_has_a_cyclic_control_of_the_same_shape():
    runs = [run for run in module.grid("gpu") if run.seed == 0 and run.model.name == "lstm"]
    shapes = {}
    for run in runs:
        if run.task.name == "word_problem":
            order = run.task.build().group.order
            shapes.setdefault((order, run.task.parameters["generators"]), set()).add(pack_key(run))
    assert all(len(keys) == 1 for keys in shapes.values())
    for order, names in module.BY_ORDER.items():
        assert names[0] == f"Z{order}"
        assert len({module.subject(f"{name}, all").kind for name in names}) >= 2


def results_of(rows):
    """Runs of (task, seed, rounds of ten steps as lengths, solved step), eight words a step."""
    runs, history = [], []
    for task, seed, lengths, solved in rows:
        run_id = f"{task}-{seed}"
        settings = dict(pair.split("=", 1) for pair in module.TASKS[task])
        if "task.num_values" in settings:
            settings["task.num_values"] = int(settings["task.num_values"])
        runs.append({"run_id": run_id, **settings, "seed": seed, "solved_step": solved})
        history += [
            {"run_id": run_id, "step": 10 * (place + 1), "length": length}
            for place, length in enumerate(lengths)
        ]
    frame = pd.DataFrame(runs).assign(
        **{"status": "finished", "model": "lstm", "label": "LSTM", "training.batch_size": 8},
        training_length=16,
        training_steps=100,
    )
    return Results(frame, {"history": pd.DataFrame(history)}, [])


def test_tokens_are_counted_until_solved_and_censored_at_full_length():
    results = results_of(
        [
            ("Z6, all", 0, [4, 8, 16, 16], 30.0),
            ("S3, all", 0, [4, 4, 4], np.nan),
            ("flip-flop 6", 0, [4, 16], 20.0),
        ]
    )
    frame = module.measured(results).set_index("task")
    assert frame.tokens.to_dict() == {
        "Z6, all": 80 * (4 + 8 + 16),
        "S3, all": 100 * 8 * 16,
        "flip-flop 6": 80 * 20,
    }
    assert frame.censored.to_dict() == {"Z6, all": False, "S3, all": True, "flip-flop 6": False}


def test_groups_are_compared_with_the_cyclic_one_and_corrected_within_a_question():
    rows = [("Z6, all", seed, [4, 16], 20.0 - 10 * (seed % 2)) for seed in range(5)]
    rows += [("S3, all", seed, [16] * 10, np.nan if seed else 100.0) for seed in range(5)]
    rows += [("Z8, all", seed, [4, 16], 20.0) for seed in range(5)]
    rows += [("D4, all", seed, [4, 16], 20.0) for seed in range(5)]
    tables = module.tables(results_of(rows))
    found = tables["comparisons"].set_index("first")
    assert found.question.unique().tolist() == ["derived length"]
    assert found.loc["S3, all", ["second", "above", "verdict"]].tolist() == [
        *("Z6, all", 1.0, "first is above")
    ]
    assert np.isnan(found.ratio["S3, all"])
    assert found.loc["D4, all", ["ratio", "above", "verdict"]].tolist() == [
        *(1.0, 0.5, "no difference shown")
    ]
    assert found.corrected["S3, all"] == pytest.approx(2 * found.p_value["S3, all"])
    told = tables["tokens_to_solve"].set_index("task")
    assert told.solved.to_dict() == {"Z6, all": 5, "S3, all": 1, "Z8, all": 5, "D4, all": 5}
    assert np.isinf(told.median_tokens["S3, all"])


@pytest.fixture(scope="module")
def stored():
    return load_results(FOLDER / "results" / "learnability-cpu")


def test_the_page_tells_the_stored_numbers(stored):
    """Thousands of tokens (median), or how many of the seeds solved it where fewer than all did."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What `learnability` shows so far")[2].partition("\n## ")[0]
    head = re.search(r"^\| task \| (.+) \|$", section, flags=re.MULTILINE)[1].split(" | ")
    known = module.medians(module.measured(stored)).set_index(["task", "model"])
    tasks = dict.fromkeys(known.index.get_level_values("task"))
    found = 0
    for task in tasks:
        row = re.search(
            rf"^\| {re.escape(module.subject(task).name)} \| (.+) \|$", section, flags=re.MULTILINE
        )
        for model, cell in zip(head, row[1].split(" | "), strict=True):
            own = known.loc[task, model]
            if own.solved < own.num_runs:
                assert cell == f"{own.solved} of {own.num_runs}", (task, model)
            else:
                assert abs(float(cell) - own.median_tokens / 1000) <= 0.51, (task, model)
            found += 1
    assert found == len(known)
