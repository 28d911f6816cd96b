"""Predicted against measured: classes, verdicts, kinds of disagreement, and what the page says."""

import re
from pathlib import Path

import pandas as pd
import pytest

from statetrack.analysis import predict_expressivity
from statetrack.models import list_models
from statetrack.source_files import import_file
from statetrack.training import Results, load_results

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
module = import_file(FOLDER / "expressivity_map.py")


def test_automata_of_every_class_and_all_recurrent_models():
    classes = {module.algebraic_class(task) for task in module.TASKS}
    assert classes == set(module.CLASSES)
    assert len(module.TASKS) >= 20
    named = {pairs[0].partition("=")[2] for pairs in module.models().values()}
    # No recurrence, or theory says nothing of any automaton.
    assert set(list_models()) - named == {"ffn", "transformer", "mru_attention", "block_diagonal"}
    grid = module.grid("gpu")
    assert len(grid) == len(module.models()) * len(module.TASKS) * 5


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("flip-flop", "L-trivial"),
        ("r_trivial-5-3", "R-trivial"),
        ("aperiodic-5-1", "aperiodic"),
        ("Z60", "abelian group"),
        ("A4xZ5", "solvable group"),
        ("A5", "non-solvable group"),
        ("nonsolvable_mixed-5-1", "non-solvable, mixed"),
    ],
)
def test_classes(task, expected):
    assert module.algebraic_class(task) == expected


def test_predictions_are_those_of_the_library_for_the_width_that_was_run():
    model = tuple(module.models()["LSTM"])
    for width in (8, 64):
        told = module.prediction(model, "S3", width)
        assert told == predict_expressivity("lstm", "s3", width=width)
    assert module.prediction(model, "S3", 8).verdict != module.prediction(model, "S3", 64).verdict


LENGTHS = (1, 16, 64, 128)
CASES = [
    ("Z2", "diagonal [-1,1]", (1.0, 1.0, 1.0, 0.9), [4], "", ""),
    ("Z2", "diagonal [-1,1]", (1.0, 0.9, 0.5, 0.1), [4], "learned, lost later", "precision"),
    ("Z2", "diagonal [-1,1]", (1.0, 0.8, 0.5, 0.1), [4, 4, 4], "not learned", "open"),
    ("Z2", "diagonal [-1,1]", (1.0, 0.8, 0.5, 0.1), [4, 4, 8], "not learned", "steps"),
    ("Z2", "diagonal [-1,1]", (1.0, 0.8, 0.5, 0.1), [4, 8, 8], "not learned", "open"),
    ("Z2", "diagonal [0,1]", (1.0, 0.8, 0.5, 0.1), [4], "", ""),
    ("Z2", "diagonal [0,1]", (1.0, 0.9, 0.5, 0.1), [4], "learned, impossible", "finite lengths"),
    ("Z2", "diagonal [0,1]", (1.0, 1.0, 1.0, 0.9), [4], "followed, impossible", "open"),
    ("aperiodic-5-1", "diagonal [0,1]", (1.0, 0.0, 0.0, 0.0), [4], "", ""),
    (
        *("aperiodic-5-0", "MRU exponential", (1.0, 1.0, 1.0, 1.0), [4]),
        *("followed, impossible", "local words"),
    ),
]


@pytest.mark.parametrize(("task", "label", "curve", "lengths", "kind", "explanation"), CASES)
def test_kinds_of_disagreement_and_their_rules(task, label, curve, lengths, kind, explanation):
    """Two seeds, of which the better one counts; words of 16 letters, 30 steps."""
    pairs = [*module.TASKS[task], *module.models()[label], "model.width=32"]
    settings = dict(pair.split("=", 1) for pair in pairs)
    settings |= {key: value.strip('"') for key, value in settings.items()}
    settings["model.width"] = 32
    runs = pd.DataFrame([{"run_id": name, **settings} for name in ("best", "worst")]).assign(
        status="finished", label=label, seed=[0, 1], training_length=16, training_steps=30
    )
    points = [
        {"run_id": name, "length": length, "whole_prefix_accuracy": share}
        for name, shares in (("best", curve), ("worst", (0.0,) * 4))
        for length, share in zip(LENGTHS, shares, strict=True)
    ]
    rounds = [
        {"run_id": name, "step": 10 * (place + 1), "length": length}
        for name, own in (("best", lengths), ("worst", [4]))
        for place, length in enumerate(own)
    ]
    curves = pd.DataFrame(points).assign(token_accuracy=1.0, majority_rate=0.5, num_words=10)
    results = Results(runs, {"curves": curves, "history": pd.DataFrame(rounds)}, [])
    (cell,) = module.cells(results).to_dict("records")
    assert (cell["kind"], cell["explanation"]) == (kind, explanation)
    assert cell["num_runs"] == 2
    disagreements = module.tables(results)["disagreements"]
    assert len(disagreements) == (kind != "")


@pytest.fixture(scope="module")
def stored():
    return load_results(FOLDER / "results" / "expressivity_map-cpu")


def test_the_page_tells_the_stored_numbers(stored):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What `expressivity_map` shows so far")[2].partition("\n## ")[0]
    tables = module.tables(stored)
    rows = re.findall(r"^\| (can|cannot) \| (.+) \|$", section, flags=re.MULTILINE)
    told = {verdict: [int(cell) for cell in cells.split(" | ")] for verdict, cells in rows}
    known = tables["agreement"].query("algebraic_class == 'all'").set_index("verdict")
    columns = ["cells", "agree", *module.KINDS, "open"]
    assert told == {verdict: known.loc[verdict, columns].tolist() for verdict in known.index}
    for row in tables["disagreements"].query("explanation == 'open'").itertuples():
        assert row.task in section, row
        assert row.model in section, row
