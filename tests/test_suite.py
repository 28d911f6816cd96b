"""The suite as a benchmark: grid, scores worked out by hand, table, figure, one's own model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automata.errors import InputError
from automata.suite import automata_suite, guessing_accuracy
from statetrack.suite import suite_figure, suite_grid, suite_scores, suite_table
from statetrack.training import Results, load_results

PAGE = Path(__file__).parents[1] / "docs" / "suite.md"
SUITE = {member.name: member for member in automata_suite()}


def results(*runs):
    """Runs of (model, member, token accuracy by length, whole-prefix accuracy by length)."""
    rows, curves = [], []
    for number, (model, member, token, whole) in enumerate(runs):
        run_id = f"{number:016x}"
        rows.append(
            {
                "run_id": run_id,
                "status": "finished",
                "task": "random_dfa",
                "label": model,
                "seed": 0,
                "training_length": 4,
                "task.kind": member.algebraic_class,
                "task.num_states": member.num_states,
                "task.num_symbols": member.num_symbols,
                "task.seed": member.seed,
            }
        )
        curves.append(
            pd.DataFrame(
                {
                    "run_id": run_id,
                    "length": list(token),
                    "token_accuracy": list(token.values()),
                    "whole_prefix_accuracy": [whole(length) for length in token],
                }
            )
        )
    return Results(pd.DataFrame(rows), {"curves": pd.concat(curves)}, [])


def test_the_grid_is_every_model_on_every_automaton():
    grid = suite_grid("mine", [["model=lstm"], ["model=ffn"]], num_seeds=2)
    assert len(grid) == 2 * 200 * 2
    run = grid.runs[0]
    assert run.task.parameters["kind"] == "r_trivial"
    assert run.evaluation.max_length == 4 * run.training.length
    longer = suite_grid(
        "mine", [["model=lstm"]], list(SUITE.values())[:1], ["evaluation.max_length=999"]
    )
    assert longer.runs[0].evaluation.max_length == 999


@pytest.mark.parametrize(
    ("models", "members", "seeds"),
    [([], None, 1), ([["model=ffn"]], [], 1), ([["model=ffn"]], None, 0)],
)
def test_an_empty_grid_is_refused(models, members, seeds):
    with pytest.raises(InputError, match="expected at least one of each"):
        suite_grid("mine", models, members, num_seeds=seeds)


def test_scores_are_the_errors_of_guessing_that_are_avoided():
    member = SUITE["nonsolvable_group-8-0"]
    guess = guessing_accuracy(member.dfa, 16)
    lengths = [1, 2, 4, 8, 16, 20]
    perfect = dict.fromkeys(lengths, 1.0)
    guessing = {length: guess[min(length, 16) - 1] for length in lengths}
    half = {length: (1 + guessing[length]) / 2 for length in lengths} | {20: 0.0}
    found = suite_scores(
        results(
            ("perfect", member, perfect, lambda length: 1.0),
            ("guess", member, guessing, lambda length: float(length == 1)),
            ("half", member, half, lambda length: 0.995 if length <= 4 else 0.98),
        )
    ).set_index("model")
    np.testing.assert_allclose(found.score, [1, 0, 0.5], atol=1e-12)
    assert found.learned.tolist() == [True, False, True]
    assert found.carried.tolist() == [True, False, False]
    assert set(found.automaton) == {"nonsolvable_group-8-0"}


def test_where_guessing_makes_no_errors_there_is_no_score():
    """A flip-flop would be one; here guessing is made perfect on an automaton of the suite."""
    member = SUITE["r_trivial-5-0"]
    table = suite_scores(results(("one", member, {4: 1.0, 16: 1.0}, lambda length: 1.0)))
    missed = 1 - guessing_accuracy(member.dfa, 16)[[3, 15]]
    assert np.isnan(table.score.iloc[0]) == (missed.mean() < 1e-3)
    assert table.carried.all()


def test_the_table_has_the_best_model_first_and_all_classes_last():
    group, flip = SUITE["abelian_group-5-0"], SUITE["aperiodic-5-0"]
    good, bad = dict.fromkeys((4, 16), 1.0), dict.fromkeys((4, 16), 0.3)
    found = results(
        ("bad", flip, bad, lambda length: 0.0),
        ("bad", group, bad, lambda length: 0.0),
        ("good", group, good, lambda length: 1.0),
        ("good", flip, good, lambda length: 1.0),
    )
    table = suite_table(suite_scores(found))
    assert table.model.tolist() == ["good"] * 3 + ["bad"] * 3
    assert table.algebraic_class.tolist() == ["aperiodic", "abelian_group", "all"] * 2
    assert table.runs.tolist() == [1, 1, 2] * 2
    assert table.carried.tolist() == [1, 1, 1, 0, 0, 0]
    figure = suite_figure(found)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["good", "bad"]
    assert right.get_title() == "automata held at 4 x training length"


def test_other_runs_are_refused():
    member = SUITE["abelian_group-5-0"]
    short = results(("one", member, {4: 1.0, 8: 1.0}, lambda length: 1.0))
    with pytest.raises(InputError, match=r"measured to 8 letters, and scores need 16"):
        suite_scores(short)
    foreign = results(("one", member, {4: 1.0, 16: 1.0}, lambda length: 1.0))
    foreign.runs["task.seed"] = 77
    with pytest.raises(InputError, match="is not in the suite"):
        suite_scores(foreign)
    foreign.runs["task"] = "parity"
    with pytest.raises(InputError, match="runs of parity are no runs of the suite"):
        suite_scores(foreign)


@pytest.mark.slow
def test_the_model_of_the_page_is_scored_by_one_command(tmp_path):
    """The file that the page shows, as a reader would save and run it."""
    text = PAGE.read_text(encoding="utf-8")
    source = text.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "my_model.py").write_text(source)
    command = [sys.executable, "-m", "statetrack.cli", "grid", "my_model.py", "--preset", "smoke"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    scores = suite_scores(load_results(tmp_path / "runs" / "my_model-smoke"))
    assert scores.model.nunique() == 1
    assert len(scores) == 2
    assert (tmp_path / "runs" / "my_model-smoke" / "figure.png").stat().st_size > 10_000
