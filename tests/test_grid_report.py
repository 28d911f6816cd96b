"""The report of a grid, made from committed results: every number in it is one of theirs."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from statetrack.analysis import seeds_solved, summarize_horizons, with_variants
from statetrack.grid_report import findings, write_grid_report
from statetrack.report_tables import (
    comparison_table,
    comparisons,
    failure_table,
    horizon_table,
    reached_horizons,
    run_table,
    seed_text,
    solved_table,
)
from statetrack.training import Results, load_results
from tests.page_checks import Reader, complaints

STORED = Path(__file__).parents[1] / "experiments" / "results"
COMMAND = "statetrack grid experiments/x.py --preset full"


@pytest.fixture(scope="module")
def results():
    """Parity alone, four models, with one run that failed."""
    stored = load_results(STORED / "eigenvalue_ranges-full")
    chosen = stored.runs[(stored.runs.task == "parity") & (stored.runs.model != "householder")]
    kept = stored.only(chosen.run_id.tolist())
    failed = kept.runs.iloc[:1].assign(
        run_id="x", seed=9, status="failed", error="loss is nan <b>", solved_step=None
    )
    runs = pd.concat([kept.runs, failed], ignore_index=True)
    return Results(runs, kept.tables, kept.provenance)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    figure = Figure(figsize=(7, 3))
    figure.subplots().plot([0, 1])
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_grid_report(path, "Ranges", "Which?", figure, results, COMMAND).read_text()


def test_everyone_can_read_it(page):
    assert complaints(page) == []


@pytest.mark.parametrize("file", sorted(STORED.glob("*/report.html")), ids=lambda f: f.parent.name)
def test_committed_reports_can_be_read_by_everyone(file):
    assert complaints(file.read_text(encoding="utf-8")) == []
    assert file.stat().st_size < 1e6


def test_every_figure_says_its_numbers(page, results):
    alts = [image.attributes["alt"] for image in Reader(page).root.all("img")]
    assert len(alts) == 1 + 1 + 1 + 2 + 1  # own, solved, horizons, two accuracies, spectra
    assert all(len(re.findall(r"\d", alt)) > 8 for alt in alts)
    own = results.runs.run_id[results.runs.label == "MRU exponential"]
    longest = results.table("curves").query("length == 256")
    median = longest[longest.run_id.isin(own)].token_accuracy.median()
    (curves,) = [alt for alt in alts if alt.startswith("Token accuracy at position L on parity")]
    assert f"MRU exponential 1.00 at 40 and {median:.2f} at 256" in curves
    (horizons,) = [alt for alt in alts if alt.startswith("Horizons")]
    assert "diagonal [-1,1] at least 256 (5 of 5 never fell below)" in horizons


def test_it_says_what_failed_where_from_and_how_again(page, results):
    text = Reader(page).root.text
    for part in ("loss is nan <b>", "parity, diagonal [0,1]: seed 9", "NVIDIA H200", "torch 2."):
        assert part in text
    for part in (f"{COMMAND} --retry-failed", COMMAND, "load_results"):
        assert part in text
    assert results.provenance[0]["commit"] in text
    facts = [fact.text for fact in Reader(page).root.all("dd")]
    assert facts[:3] == [str(len(results.runs)), "1", "20 of 26"]


def test_tables_hold_the_statistics(results):
    reached = reached_horizons(results)
    shown = horizon_table(reached).set_index("label")
    exact = summarize_horizons(reached).set_index("label")
    for label, row in exact.iterrows():
        expected = "≥ 256" if math.isinf(row["median"]) else f"{row['median']:.0f}"
        assert shown.loc[label, "median"] == expected
    assert shown.loc["MRU exponential", "95% interval"] == "54 to ≥ 256"
    assert (shown.loc["diagonal [-1,1]", "worst"], shown.loc["LSTM", "best"]) == ("≥ 256", "≥ 256")
    solved = solved_table(with_variants(results.runs)).set_index("label")
    counts = seeds_solved(results.runs).set_index("label")
    assert solved.loc["diagonal [0,1]", "solved"] == "0 of 6"
    assert solved.loc["LSTM", "95% interval"] == f"{counts.loc['LSTM', 'low']:.0%} to 100%"


def test_comparisons_put_the_farther_one_first(results):
    table = comparison_table(comparisons(reached_horizons(results)))
    (row,) = table[table["question"] == "parity: eigenvalue range"].to_dict("records")
    assert (row["farther"], row["than"]) == ("diagonal [-1,1]", "diagonal [0,1]")
    assert (row["in pairs"], row["95% interval"]) == ("100%", "64% to 100%")
    assert (row["p"], row["the difference is"]) == ("0.0079", "real")


def test_findings_are_sentences_about_them(results):
    reached = reached_horizons(results)
    said = findings(with_variants(results.runs), reached, comparisons(reached))
    assert said[0] == (
        "parity was solved by every seed of diagonal [-1,1], MRU ldu, MRU exponential and LSTM; "
        "no seed of diagonal [0,1]."
    )
    assert said[1].endswith("MRU ldu and LSTM, with a median horizon of ≥ 256 tokens.")
    assert any("diagonal [-1,1] farther than diagonal [0,1] (p ≤ 0.0079" in text for text in said)


def test_a_setting_that_varies_is_told_apart():
    results = load_results(STORED / "range_steepness-full")
    labels = reached_horizons(results)["label"].unique()
    assert "diagonal [-1,1], range steepness 8" in labels
    assert len(labels) == 12


def test_few_and_many_runs():
    runs = pd.DataFrame({"task": "s3", "label": "m", "seed": range(400), "status": "finished"})
    table = run_table(runs)
    assert (len(table.frame), table.title) == (300, "All 400 runs")
    assert table.caption == "100 more are in the stored results."
    assert failure_table(runs).empty
    assert seed_text([0, 1, 5, 6, 7, 9]) == "0, 1, 5 to 7, 9"
