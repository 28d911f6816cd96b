"""Figures are functions of tidy tables."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from automata.errors import InputError

mpl.use("Agg")

from matplotlib.figure import Figure

from statetrack.analysis import curves_and_spectra, eigenvalue_plane, length_curves
from statetrack.analysis.styles import label_styles, token_styles

LABELS = {
    "diagonal [0,1]": "[0,1]",
    "diagonal [-1,1]": "[-1,1]",
    "MRU orthogonal": None,
    "LSTM": None,
}


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    runs, curves, spectra = [], [], []
    for task in ("parity", "s3"):
        for label, eigenvalue_range in LABELS.items():
            for seed in range(2):
                run_id = f"{task} {label} {seed}"
                runs.append((run_id, task, label, eigenvalue_range, seed, 40))
                for length in (4, 8, 16, 40, 64):
                    curves.append((run_id, length, rng.uniform(0.5, 1), 0.4, 0.5))
                if label != "LSTM":
                    spectra += [
                        (run_id, 0, 0, token, str(token), index, rng.uniform(-1, 1), 0.0)
                        for token in range(2)
                        for index in range(3)
                    ]
    return {
        "runs": pd.DataFrame(
            runs,
            columns=["run_id", "task", "label", "eigenvalue_range", "seed", "training_length"],
        ),
        "curves": pd.DataFrame(
            curves,
            columns=[
                "run_id",
                "length",
                "token_accuracy",
                "whole_prefix_accuracy",
                "majority_rate",
            ],
        ),
        "spectra": pd.DataFrame(
            spectra,
            columns=["run_id", "layer", "head", "token", "token_name", "index", "real", "imag"],
        ),
    }


def joined(tables):
    return tables["runs"].merge(tables["curves"], on="run_id").query("task == 's3'")


def test_length_curves(tables, axes):
    assert length_curves(joined(tables), axes) is axes
    assert axes.get_xlabel() == "word length L (tokens)"
    assert axes.get_ylabel() == "token accuracy\nat position L"
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "diagonal [0,1]",
        "diagonal [−1,1]",
        "MRU orthogonal",
        "LSTM",
    ]
    ticks = axes.get_xticks()
    assert ticks.tolist() == [4, 8, 16, 32, 64]
    assert axes.xaxis.get_major_formatter()(32, 0) == "32"
    medians = [line for line in axes.lines if line.get_linewidth() > 1.5]
    seeds = [line for line in axes.lines if line.get_linewidth() == 0.5]
    assert len(medians) == 4
    assert len(seeds) == 8
    dashed = [line for line in axes.lines if line.get_linewidth() == 0.9]
    assert np.all(dashed[0].get_ydata() == 0.5)
    assert [40.0, 40.0] in [list(line.get_xdata()) for line in axes.lines]


def test_medians_are_medians(tables, axes):
    frame = joined(tables).query("label == 'LSTM'")
    length_curves(frame, axes)
    (median,) = (line for line in axes.lines if line.get_linewidth() > 1.5)
    expected = frame.groupby("length")["token_accuracy"].median()
    np.testing.assert_allclose(median.get_ydata(), expected)


def test_length_curves_of_whole_prefixes_at_a_given_training_length(tables, axes):
    frame = joined(tables)
    length_curves(frame, axes, metric="whole_prefix_accuracy", training_length=8, legend=False)
    assert axes.get_ylabel() == "share of words\nright at 1..L"
    assert axes.get_legend() is None
    assert [8.0, 8.0] in [list(line.get_xdata()) for line in axes.lines]


def test_eigenvalue_plane(axes):
    frame = pd.DataFrame({"token_name": ["a", "b", "b"], "real": [1, -1, 3], "imag": [0, 0, 0]})
    assert eigenvalue_plane(frame, axes, orders=[1, 2, 3]) is axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Re λ", "Im λ")
    assert axes.get_aspect() == 1
    circle, roots, *tokens = axes.lines
    assert np.hypot(*circle.get_data()) == pytest.approx(1)
    assert len(roots.get_xdata()) == 4
    assert [len(line.get_xdata()) for line in tokens] == [1, 2]
    assert len({line.get_marker() for line in tokens}) == 2
    assert [text.get_text() for text in axes.texts] == ["+1 outside"]


@pytest.mark.parametrize("width", [5.5, 7.0])
def test_curves_and_spectra(tables, width):
    figure = curves_and_spectra(tables, orders={"s3": [1, 2, 3]}, width=width)
    figure.draw_without_rendering()
    curves = [axes for axes in figure.axes if axes.get_xscale() == "log"]
    planes = [axes for axes in figure.axes if axes.get_xscale() == "linear"]
    assert [axes.get_title(loc="left") for axes in curves] == ["parity", "s3"]
    assert len(planes) == 6
    assert planes[0].get_title().startswith("diagonal\n[0,1] · seed ")
    width, height = figure.get_size_inches() * figure.dpi
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
        for text in [axes.title, axes.xaxis.label, *axes.get_xticklabels()]:
            assert text.get_fontsize() >= 7


@pytest.mark.parametrize("tasks", [["s3"], ["s3", "parity"]])
def test_rows_can_be_chosen(tables, tasks):
    figure = curves_and_spectra(tables, tasks=tasks, metric="whole_prefix_accuracy")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_xscale() == "log"]
    assert titles == tasks


def test_a_task_without_spectra_has_its_curves_alone(tables):
    tables["spectra"] = tables["spectra"].iloc[:0]
    figure = curves_and_spectra(tables)
    assert len(figure.axes) == 2


def test_one_plane_and_many_tokens(tables):
    spectra = tables["spectra"].query("token == 0 and index == 0 and run_id.str.contains('s3 MRU')")
    tokens = [spectra.assign(token=token, token_name=f"g{token}") for token in range(40)]
    tables["spectra"] = pd.concat(tokens)
    figure = curves_and_spectra(tables, tasks=["s3"])
    figure.draw_without_rendering()
    (plane,) = (axes for axes in figure.axes if axes.get_xscale() == "linear")
    assert plane.get_tightbbox().x1 <= figure.get_size_inches()[0] * figure.dpi
    captions = [text.get_text() for text in plane.figure.texts]
    assert captions == ["40 tokens, dark to light in their order"]


def test_nothing_is_set_globally_or_left_open(tables):
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    open_figures = plt.get_fignums()
    curves_and_spectra(tables)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == open_figures


def test_current_axes_are_the_default(tables):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    try:
        assert length_curves(joined(tables)) is axes
        plt.cla()
        assert eigenvalue_plane(tables["spectra"]) is axes
    finally:
        plt.close(figure)


def test_a_model_keeps_its_colour_over_ranges():
    runs = pd.DataFrame({"label": list(LABELS), "eigenvalue_range": list(LABELS.values())})
    styles = label_styles(runs)
    negative, positive = styles["diagonal [-1,1]"], styles["diagonal [0,1]"]
    assert negative.color == positive.color
    assert negative.dashes == ()
    assert positive.dashes != ()
    assert len({style.color for style in styles.values()}) == 3


def test_labels_that_would_look_alike_get_their_own_colours():
    runs = pd.DataFrame({"label": ["a [0,1]", "a"], "eigenvalue_range": ["[0,1]", "[0,1]"]})
    assert len({style.color for style in label_styles(runs).values()}) == 2


def test_many_tokens_have_styles():
    styles = token_styles([str(token) for token in range(120)])
    assert len(styles) == 120
    assert min(style.size for style in styles.values()) > 2


def test_bad_input(tables, axes):
    with pytest.raises(InputError, match="did you mean 'token_accuracy'"):
        length_curves(joined(tables), axes, metric="token_acuracy")
    with pytest.raises(InputError, match="no length curves"):
        length_curves(joined(tables).iloc[:0], axes)
    with pytest.raises(InputError, match="no eigenvalues"):
        eigenvalue_plane(tables["spectra"].iloc[:0], axes)
    with pytest.raises(InputError, match="did you mean 'parity'"):
        curves_and_spectra(tables, tasks=["partiy"])
    with pytest.raises(InputError, match="'spectra'"):
        curves_and_spectra({"runs": tables["runs"], "curves": tables["curves"]})
