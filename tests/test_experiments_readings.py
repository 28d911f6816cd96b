"""What the page of experiments tells of horizons and representations is what was stored."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from statetrack.source_files import import_file
from statetrack.training import Results, load_results

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
horizon = import_file(FOLDER / "horizon.py")
representations = import_file(FOLDER / "representations.py")


def stored(name: str) -> Results:
    return load_results(FOLDER / "results" / f"{name}-gpu")


def told_rows(name: str) -> list[list[str]]:
    """Cells of the rows of all tables of a section."""
    section = PAGE.partition(f"## What `{name}` shows\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in re.findall(r"^\|.*\|$", section, re.M)]
    return [row for row in rows if not set(row[0]) <= {"-", "|"}]


def shown(value: float, places: int) -> str:
    return f"{value:.{places}f}".removeprefix("0")


@pytest.fixture(scope="module")
def horizons() -> pd.DataFrame:
    results = stored("horizon")
    return results.finished.merge(results.table("horizon"), on="run_id")


def test_the_table_of_horizons_is_that_of_the_results(horizons):
    tables = horizon.tables(stored("horizon"))
    scores = tables["predictions"].query("predictor == 'weights, ensemble'").set_index("group")
    words = tables["adversarial_words"].set_index("group")
    told = {row[0]: row[1:] for row in told_rows("horizon") if row[0] in scores.index}
    assert list(told) == list(scores.index)
    for group, cells in told.items():
        score, word = scores.loc[group], words.loc[group]
        assert cells == [
            str(len(horizons) if group == "all" else int((horizons.group == group).sum())),
            str(score.models),
            str(score.censored),
            shown(score.spearman, 3),
            shown(score.median_log10, 3),
            f"{word.before_random:.0f}",
            f"{word.periods_within:.0f} of {word.periods:.0f}",
            f"{word.cycles_within:.0f} of {word.cycles:.0f}",
        ]
    assert (words.violations == 0).all()
    automata = tables["automata"].set_index("task")
    assert automata.loc["all", ["models", "same", "failures"]].tolist() == [64, 64, ""]
    assert "s5" not in automata.index


def test_the_aims_are_met_over_all_models_too(horizons):
    predicted = horizons.predicted.astype(float)
    censored = horizons.measured_censored.astype(bool)
    ratio = np.log10(predicted / horizons.measured)[~censored].abs()
    carry = horizons.measured >= horizons.training_length
    assert (len(horizons), carry.sum(), (carry & censored).sum()) == (117, 99, 11)
    assert horizons[carry].group.isin(["S4", "A5", "S5"]).sum() == 32
    assert spearmanr(predicted, horizons.measured).statistic == pytest.approx(0.999, abs=5e-4)
    failing = horizons[carry & ~censored]
    rank = spearmanr(failing.predicted.astype(float), failing.measured).statistic
    assert (len(failing), round(rank, 3)) == (88, 0.999)
    assert round(ratio.median(), 3) == 0.007
    assert round(10 ** ratio.max(), 2) == 1.29
    assert round(10 ** ratio[carry].max(), 2) == 1.16
    assert round(10 ** ratio[carry].median(), 3) == 1.015
    assert predicted[censored].min() > 6235
    moments = np.log10(failing.moments.astype(float) / failing.measured).dropna()
    assert (len(moments), (moments.abs() < np.log10(1.135)).sum()) == (50, 34)
    low = moments[moments < -np.log10(3.7)]
    assert (len(low), round(10 ** -low.min(), -1)) == (16, 690)
    assert (failing.model[low.index] == "mru").sum() == 13
    assert ((failing.model == "mru")[moments.index]).sum() == 13


def test_words_fail_as_the_page_says(horizons):
    carry = horizons[horizons.measured >= horizons.training_length]
    random = carry.first_random_failure.astype(float).fillna(carry.longest + 1)
    period = carry.period_predicted.astype(float)
    late, exact = period >= 50, carry.period_length == period
    assert (late.sum(), (late & exact).sum(), (~late & exact).sum()) == (52, 42, 47)
    assert (late & (carry.period_length < random)).sum() == 47
    assert (period[~late].min(), period[~late].max()) == (13, 49)
    (wrong,) = carry[late & ((carry.period_length / period - 1).abs() > 0.25)].to_dict("records")
    not_before = carry[carry.adversarial_length >= random]
    pairs = ["group", "model", "seed", "adversarial_length", "first_random_failure"]
    assert not_before[pairs].values.tolist() == [
        ["Z2", "complex_diagonal", 4, 13, 13],
        ["Z3", "householder", 0, 208, 183],
    ]
    assert wrong["run_id"] == not_before.run_id.iloc[1]
    assert (wrong["period_predicted"], wrong["period_length"]) == (373, 238)
    cycle = carry.cycle_predicted.astype(float)
    asked = np.isfinite(cycle) & (cycle >= 50)
    share = (carry.cycle_length.astype(float) / cycle)[asked]
    assert [(share < 0.75).sum(), (share > 1.25).sum(), share.isna().sum()] == [30, 14, 24]
    assert ((cycle < 50).sum(), (~np.isfinite(cycle)).sum()) == (21, 5)
    certified = horizons.certified.agg(["min", "median", "max"])
    assert certified.tolist() == [1, 4, 19]
    automata = stored("horizon").table("automaton")
    failing = automata.run_id[~automata.equivalent.astype(bool)]
    assert len(failing) == 10
    assert not set(failing) & set(carry.run_id)


def test_the_tables_of_representations_are_those_of_the_results():
    results = stored("representations")
    overview = representations.overview(results).set_index("group")
    accuracy = pd.read_csv(FOLDER / "results" / "representations-gpu" / "table.csv")
    accuracy.index = accuracy.label.str.split().str[-1]
    told = {row[0]: row[1:] for row in told_rows("representations") if row[0] in overview.index}
    assert list(told) == list(overview.index)
    for group, cells in told.items():
        row, reached = overview.loc[group], accuracy.loc[group]
        assert cells == [
            str(representations.FACTORS[group]),
            f"{row.learned} of {row.runs}",
            f"{row.median_prefix_length:g}",
            ", ".join(shown(reached[f"{of} at 2048"], 2) for of in ("best", "median")),
            row.representations,
            shown(row.reflections, 2),
            f"{row.key_dimension:g}",
        ]
    assert (overview.faithful == overview.learned).all()
    assert (overview.covers == 0).all()
    automata = representations.tables(results)["automata"].set_index("task")
    assert automata.loc["all", ["models", "same"]].tolist() == [28, 28]
    assert not {"s5", "q8"} & set(automata.index)
    assert results.table("automaton").equivalent.sum() == 53


def test_every_model_of_s4_turns_a_cube_by_two_reflections():
    results = stored("representations")
    heads = results.table("representations").query("group == 'S4' and verdict == 'faithful'")
    heads = heads.merge(results.finished[["run_id", "seed"]], on="run_id")
    heads = heads.sort_values(["seed", "head"])
    factors = results.table("factors").merge(heads[["run_id", "head"]], on=["run_id", "head"])
    found = []
    for head in heads.itertuples():
        own = factors[(factors.run_id == head.run_id) & (factors["head"] == head.head)]
        assert own.key_dimension.unique().tolist() == [3]
        found.append(
            [
                str(head.seed),
                str(head.head),
                head.representation.split(" + ")[-1],
                shown(head.error, 3),
                shown(((own.beta - 2).abs() < 0.1).mean(), 3),
                shown(own.share_3.iloc[0], 3),
            ]
        )
    assert [row for row in told_rows("representations") if row[0].isdigit()] == found
    identity = factors[factors.token_name == "e"].beta
    others = factors[factors.token_name != "e"].beta
    assert (others.min() > 1.995, others.max() < 2) == (True, True)
    assert (round(identity.min(), 2), round(identity.max(), 2)) == (0.0, 1.55)


def test_the_figures_say_what_everything_is():
    left, right, beside = horizon.figure(stored("horizon")).axes
    assert [text.get_text() for text in left.get_legend().get_texts()][-1] == "did not fail"
    assert len(right.get_yticks()) == len(horizon.PREDICTORS)
    cells = [text.get_text() for text in beside.texts]
    assert {"99", "0.998", "\N{MINUS SIGN}0.021"} <= set(cells)
    for axes in representations.figure(stored("representations")).axes:
        assert all("\n" in tick.get_text() for tick in axes.get_xticklabels())
