"""Figures of learned algebra are functions of tidy tables."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from automata.errors import InputError

mpl.use("Agg")

from matplotlib.figure import Figure

from automata.groups import cyclic, parse, symmetric
from automata.tasks import get_task
from statetrack.analysis import (
    homomorphism_heat_map,
    irrep_energy_bars,
    learned_cayley_graph,
    match_representation,
    product_errors,
    quotient_curves,
    state_map,
)
from statetrack.analysis.planted import plant_representation
from statetrack.models.constructions import group_by_reflections, parity_by_sign


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture(scope="module")
def s3_map():
    task = get_task("word_problem", group="S3", generators="all")
    return state_map(group_by_reflections(symmetric(3)), task, 16, num_words=128)


def test_edges_of_an_exact_model_are_the_group(s3_map):
    """Each step ends at the mean of the class that the multiplication table gives."""
    group = symmetric(3)
    task = get_task("word_problem", group="S3", generators="all")
    means = s3_map[s3_map["kind"] == "mean"].set_index("class")[["x", "y"]]
    assert len(means) == 6
    assert np.square(means.to_numpy()).sum(axis=1).mean() == pytest.approx(1)
    edges = s3_map[s3_map["kind"] == "edge"]
    assert len(edges) == 6 * len(group.generators)
    for edge in edges.itertuples():
        target = group.table[edge._2, task.token_elements[edge.token]]
        np.testing.assert_allclose([edge.x_to, edge.y_to], means.loc[target], atol=1e-4)
    states = s3_map[s3_map["kind"] == "state"]
    np.testing.assert_allclose(states[["x", "y"]], means.loc[states["class"]].to_numpy(), atol=1e-4)


def test_a_learned_cayley_graph(axes, s3_map):
    learned_cayley_graph(s3_map, axes)
    arrows = [text for text in axes.texts if text.arrow_patch is not None]
    names = {text.get_text() for text in axes.texts} - {""}
    assert len(arrows) == 12
    assert names == {"e", "(0 1)", "(0 2)", "(1 2)", "(0 1 2)", "(0 2 1)"}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["(0 1)", "(0 1 2)"]


def test_steps_that_stay_are_no_arrows(axes):
    frame = state_map(parity_by_sign(), get_task("parity"), 8, tokens=[0, 1], num_words=64)
    learned_cayley_graph(frame, axes, legend=False)
    assert len([text for text in axes.texts if text.arrow_patch is not None]) == 2
    assert axes.get_legend() is None


def test_bars_add_up_to_the_whole_state(axes):
    heads = [[2, 0, 1, 0, 0], [0, 1, 0, 1, 0]]
    group = symmetric(4)
    frames = []
    for head, multiplicities in enumerate(heads):
        planted = plant_representation(group, multiplicities, seed=head)
        frame = match_representation(planted.matrices, group).irreps_frame()
        frames.append(frame.assign(head=head))
    irrep_energy_bars(pd.concat(frames, ignore_index=True), axes)
    tops = {}
    for bar in axes.patches:
        place = round(bar.get_x() + bar.get_width() / 2)
        tops[place] = max(tops.get(place, 0), bar.get_y() + bar.get_height())
    assert tops == pytest.approx({0: 1.0, 1: 1.0})
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["3Ra", "2R", "1R", "trivial"]


def test_multiplicities_and_doubtful_heads(axes):
    group = cyclic(3)
    noise = np.random.default_rng(0).normal(size=(3, 2, 2))
    frame = match_representation(noise, group, basis=None).irreps_frame()
    assert set(frame["verdict"]) == {"not a representation"}
    irrep_energy_bars(frame, axes, value="multiplicity")
    assert {bar.get_alpha() for bar in axes.patches} == {0.35}


def test_a_heat_map_holds_every_product(axes):
    planted = plant_representation(parse("Q8"), noise=0.01)
    head = match_representation(planted.matrices, parse("Q8"), basis=None).heads[0]
    frame = product_errors(head)
    homomorphism_heat_map(frame, axes)
    assert len(frame) == 64
    assert np.sqrt(np.square(frame["error"]).mean()) == pytest.approx(head.error)
    values = axes.collections[0].get_array()
    assert np.max(values) == pytest.approx(frame["error"].max())
    assert len(axes.get_xticks()) == 8


def test_quotients_over_length(axes):
    rows = [
        (length, quotient, order, 1 - length / 4000 * order, 1 / order)
        for length in (10, 100, 1000)
        for quotient, order in (("Z2", 2), ("S3", 6), ("S4", 24))
    ]
    columns = ["length", "quotient", "subgroup_order", "accuracy", "chance"]
    quotient_curves(pd.DataFrame(rows, columns=columns), axes)
    assert len(axes.lines) == 6
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    "draw", [learned_cayley_graph, irrep_energy_bars, homomorphism_heat_map, quotient_curves]
)
def test_tables_that_do_not_fit(draw, axes):
    with pytest.raises(InputError, match="table lacks"):
        draw(pd.DataFrame({"kind": [1]}), axes)


def test_other_bad_input(axes, s3_map):
    with pytest.raises(InputError, match="no means"):
        learned_cayley_graph(s3_map[s3_map["kind"] == "state"], axes)
    with pytest.raises(InputError, match="'energy' or 'multiplicity'"):
        irrep_energy_bars(s3_map, axes, value="size")
    with pytest.raises(InputError, match="known tokens"):
        state_map(parity_by_sign(), get_task("parity"), 4, tokens=[7])
