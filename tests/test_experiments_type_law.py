"""The type law on trained models: which runs count, over which error, and what the page says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy.linalg import expm

from automata.groups import dihedral
from statetrack.analysis import match_representation
from statetrack.analysis.learned_errors import learned_errors
from statetrack.analysis.type_law import faithful_irrep, fitted_slopes
from statetrack.analysis.type_law_axes import COLORS
from statetrack.source_files import import_file
from statetrack.training import load_results

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
module = import_file(FOLDER / "type_law.py")


@pytest.fixture(scope="module")
def stored():
    return load_results(FOLDER / "results" / "type_law-gpu")


@pytest.fixture(scope="module")
def tables(stored):
    return module.tables(stored)


@pytest.fixture(scope="module")
def slopes(tables):
    frame = tables["slopes"]
    return frame.set_index(["over", "fit", "group", "drift_directions"]).sort_index()


def test_the_error_of_the_part_is_that_of_its_rows():
    """The plane of D4 beside two free directions, coupled a little: the free ones do not count."""
    group, plane = dihedral(4), faithful_irrep(dihedral(4))
    random = np.random.default_rng(0)
    free = np.linalg.qr(random.standard_normal((group.order, 2, 2)))[0]
    exact = np.zeros((group.order, 4, 4))
    exact[:, :2, :2], exact[:, 2:, 2:] = plane, free
    normal = random.standard_normal((group.order, 4, 4))
    skew = 0.01 * (normal - normal.swapaxes(1, 2))
    skew[:, :2, :2] *= 0.1
    matrices = exact @ expm(skew)
    matrices[0] = np.eye(4)
    (head,) = match_representation(matrices, group).heads
    assert (head.dimension, head.subspace) == (2, 4)
    rows = np.square((matrices - exact)[:, :2]).sum(axis=(1, 2)).mean() / 2
    # a change of basis explains some of what was planted, and never more
    assert 0.75 < np.hypot(head.distance, head.leakage) / np.sqrt(rows) < 1.001
    assert head.leakage > 3 * head.distance
    assert learned_errors(matrices, group).size > 15 * np.sqrt(rows)


def test_a_run_that_carries_less_far_with_smaller_errors_does_not_count(stored, tables):
    frame = module.models(stored)
    assert len(frame) == 256
    near = frame[frame.holds & frame.error.notna()]
    # found without any horizon: neither a proper cover nor a quotient nor no representation
    faithful = (near.cover == "none") & (near.verdict == "faithful")
    assert not (faithful & ~near.carries).any()
    assert (near.carries & ~faithful).sum() == 1
    out = tables["left_out"]
    assert out.models.sum() == (~near.carries).sum() == 31
    assert out.error_at_most_a_quarter.sum() == (~module.learned(stored).carries).sum() == 4
    assert (out.at_quarter < 25).all()
    kept = module.in_use(stored)
    assert len(kept) == near.carries.sum()
    assert set(kept.run_id) < set(near.run_id)


def test_the_stored_slopes_are_those_of_the_law(slopes):
    own = slopes.xs(("own errors times 1, 1/2, 1/4", "least squares"))
    assert len(own) == 5
    assert (np.abs(own.slope - own.predicted) < 0.03).all()
    part = slopes.xs(("error of the part that is a representation", "theil sen"))
    drift = slopes.xs(("drift of a letter's matrix", "least squares"))
    assert part.slope.between(-2.1, -1.85).all()
    assert drift.slope.between(-1.0, -0.9).all()
    assert slopes.added_after_the_run.groupby(level="fit").all()["theil sen"]
    expected = slopes[~slopes.added_after_the_run]
    assert set(expected.index.get_level_values("over")) == {
        "own errors times 1, 1/2, 1/4",
        "error of a letter's matrix",
    }


def test_outliers_represent_their_group_in_a_part(stored):
    """Of D6, what lies far above the line has a small error in the dimensions in use."""
    frame = module.learned(stored)
    frame = frame[(frame.group == "D6") & np.isfinite(frame.horizon)]
    high = frame[frame.horizon * frame.error**2 > 100]
    assert high.part.tolist() == [2, 2]
    assert (high.error > 20 * high.part_error).all()
    assert (high.horizon * high.part_error**2).between(0.5, 5).all()


def test_the_page_tells_the_stored_slopes(tables, slopes):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What `type_law` shows")[2].partition("\n## ")[0]
    number = r"(-?[\d.]+)(?: \[(-?[\d.]+), (-?[\d.]+)\])?"
    names = {
        "own": ("own errors times 1, 1/2, 1/4", "least squares"),
        "across": ("error of a letter's matrix", "least squares"),
        "robust": ("error of a letter's matrix", "theil sen"),
    }
    told = 0
    for group, directions, *cells in re.findall(
        r"^\| (\w+), (\d) \| -\d \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE
    ):
        drift = int(directions)
        over = (
            "drift of a letter's matrix" if drift else "error of the part that is a representation"
        )
        columns = [*names.values(), (over, "least squares")]
        for cell, column in zip(cells, columns, strict=True):
            row = slopes.loc[(*column, group, drift)]
            expected = [row.slope, row.low, row.high]
            found = re.fullmatch(number, cell)
            assert found, cell
            for text, value in zip(found.groups(), expected, strict=True):
                assert np.isnan(value) if text is None else abs(float(text) - value) <= 0.0051, cell
                told += 1
    assert told == 5 * 4 * 3
    counts = tables["counts"].set_index("group").sum()
    for name in ("hold_their_group", "near_a_representation", "error_at_most_a_quarter"):
        assert f" {counts[name]} " in section


def test_the_figure_draws_every_model_and_names_every_kind(stored):
    figure = module.figure(stored)
    first, own, part, drift = figure.axes
    runs = module.learned(stored)
    drawn = [
        line
        for line in first.lines
        if len(line.get_xdata()) == 1 and line.get_linestyle() == "None"
    ]
    crosses = [line for line in first.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert len(drawn) + len(crosses) == len(runs)
    assert len(crosses) == (~runs.carries).sum()
    far = [line for line in drawn if line.get_marker() == "^"]
    assert len(far) == np.isinf(runs.horizon).sum()
    texts = [text.get_text() for text in first.get_legend().get_texts()]
    assert any(text.startswith("D6, 0: −1.05 [−1.99, 0.09]") for text in texts)
    assert any("no interval" in text for text in texts)
    assert [text.get_text()[:2] for text in part.get_legend().get_texts()][:2] == ["D4", "D6"]
    assert len(drift.get_legend().get_texts()) == 3
    # decades alone are named, on both axes, and dashes mean drift directions
    assert not any(axis.get_minorticklocs().size for axis in (own.xaxis, own.yaxis))
    dashed = {to_hex(line.get_color()) for line in drift.lines if line.get_linestyle() == "--"}
    assert dashed == {value.lower() for value in (COLORS[g] for g in ("D4", "Q8", "Dic3"))}


def test_a_kind_needs_enough_models_for_a_slope():
    runs = pd.DataFrame(
        {
            "run_id": list("abcd"),
            "group": "D4",
            "drift_directions": 0,
            "draw": range(4),
            "error": [0.1, 0.2, 0.1, 0.1],
            "horizon": [100.0, 25.0, np.inf, 100.0],
            "at_half": [400.0, 100.0, np.inf, 400.0],
            "at_quarter": [1600.0, 400.0, np.inf, np.inf],
            "carries": True,
        }
    )
    (fit,) = module.scaled_slopes(module.scaled(runs)).itertuples()
    assert fit.models == 3
    assert fit.slope == pytest.approx(-2)
    assert module.scaled_slopes(module.scaled(runs[:2])).empty


def test_a_trivial_part_is_what_keeps_the_slope_of_d6_from_the_law(stored):
    frame = module.in_use(stored)
    frame = frame[(frame.group == "D6") & np.isfinite(frame.horizon)]
    frame = frame.assign(error=frame.part_error)
    trivial = frame.representation.str.contains("trivial")
    assert trivial.sum() == 4
    (with_it,) = fitted_slopes(frame).itertuples()
    (without,) = fitted_slopes(frame[~trivial]).itertuples()
    assert with_it.high > -1.6
    assert without.low < -2 < -1.86 <= round(without.slope, 2) < without.high < with_it.high
