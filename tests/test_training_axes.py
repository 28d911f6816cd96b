"""Axes: counted before they are listed, in one order, and mistakes told in one line."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automata.errors import InputError
from statetrack.training import Grid, RunConfig, fixed, product, zipped
from statetrack.training.axes import pairs_of
from statetrack.training.store import Store

BASE = fixed("task=parity", "model=lstm")


def listed(axes):
    return [dict(settings) for settings in axes]


def test_product_varies_the_last_key_fastest():
    axes = product({"a": [1, 2], "b": ["xy", "z"], "c": range(2)})
    expected = itertools.product([1, 2], ["xy", "z"], range(2))
    assert listed(axes) == [{"a": a, "b": b, "c": c} for a, b, c in expected]
    assert listed(product({})) == [{}]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_sums_and_products_are_those_of_lists(left, right):
    a, b = (
        product({f"{name}{place}": range(size) for place, size in enumerate(sizes)})
        for name, sizes in (("a", left), ("b", right))
    )
    assert listed(a * b) == [{**x, **y} for x in listed(a) for y in listed(b)]
    assert listed(a + b) == listed(a) + listed(b)
    assert len(listed(a * b)) == (a * b).count == a.count * b.count
    assert len(listed(a + b)) == (a + b).count
    c = product({"c": range(2)})
    assert listed((a + b) * c) == listed(a * c + b * c)
    assert listed((a * b) * c) == listed(a * (b * c))


def test_axes_can_be_listed_again_and_do_not_see_later_changes():
    values = [1, 2]
    axes = product({"seed": values}) * zipped({"a": values})
    values.append(3)
    assert listed(axes) == listed(axes)
    assert axes.count == 4
    with pytest.raises(AttributeError):
        axes.count = 3


def test_exclusion_by_values_by_lists_and_by_rule():
    axes = product({"task": ["parity", "s3"], "model.num_factors": [1, 2], "seed": range(3)})
    left = listed(axes.without({"task": "parity", "model.num_factors": 2}))
    assert len(left) == 9
    assert {(row["task"], row["model.num_factors"]) for row in left} == {
        ("parity", 1),
        ("s3", 1),
        ("s3", 2),
    }
    assert listed(axes.without({"seed": [0, 2]})) == [r for r in listed(axes) if r["seed"] == 1]
    assert listed(axes.without(lambda row: row["seed"] > 0)) == listed(
        axes.without({"seed": [1, 2]})
    )
    both = axes.without({"seed": 0}, {"task": "s3"})
    assert listed(both) == listed(axes.without({"seed": 0}).without({"task": "s3"}))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: product({"seed": []}), "axis 'seed' has no values"),
        (lambda: product({"seed": range(0)}), "axis 'seed' has no values"),
        (lambda: product({"seed": 3}), "axis 'seed' is of type int: expected a list"),
        (lambda: product({"model": "lstm"}), "axis 'model' is of type str: expected a list"),
        (lambda: product({"seed": {1, 2}}), "axis 'seed' is of type set: expected a list"),
        (lambda: product({"seed": iter([1])}), "expected a list"),
        (lambda: product({"seed": np.float64(3)}), "axis 'seed' is one number"),
        (lambda: product({3: [1]}), "axis 3: expected the name of a setting"),
        (
            lambda: zipped({"training.length": [1, 2], "training.steps": [1, 2, 3]}),
            "unequal lengths: 'training.length' has 2, 'training.steps' has 3",
        ),
        (lambda: zipped({}), "name at least one"),
        (lambda: fixed("task"), "'task': expected key=value"),
        (lambda: BASE * product({"model": ["mru"]}), "axis 'model' is on both sides"),
        (lambda: BASE.without({"sed": 1}), "unknown axis of an exclusion 'sed'"),
        (lambda: product({"seed": [1]}).without({"sed": 1}), "did you mean 'seed'"),
        (lambda: BASE.without({}), "would leave out everything"),
        (lambda: Grid.of("g", BASE * product({"sed": [1]})), "grid 'g': unknown key 'sed'.*'seed'"),
        (
            lambda: Grid.of("g", BASE * product({"training.step": [1]})),
            "unknown key 'training.step'.*'training.steps'",
        ),
        (lambda: Grid.of("g", BASE * product({"model.widht": [8]})), "'widht'.*'width'"),
        (lambda: Grid.of("g", product({"task": ["partiy"]}) * fixed("model=lstm")), "'parity'"),
        (lambda: Grid.of("g", BASE * product({"seed": [1.5]})), "grid 'g': seed = 1.5"),
        (lambda: Grid.of("g", BASE * product({"seed": [True]})), "grid 'g': seed = True"),
        (lambda: Grid.of("g", BASE * product({"training.steps": ["ten"]})), "steps = 'ten'"),
        (lambda: Grid.of("g", BASE * product({"training.steps": [0]})), "training.steps = 0"),
        (
            lambda: Grid.of("g", BASE * product({"seed": [1j]})),
            "axis 'seed': value 1j is of type complex",
        ),
        (lambda: Grid.of("g", BASE * product({"seed": [1, 0, 1]})), "twice, in places 1 and 3"),
        (lambda: Grid.of("g", BASE + fixed("model=lstm", "task=parity", "seed=0")), "twice"),
        (lambda: Grid.of("g", fixed("task=parity")), "no model given"),
        (lambda: Grid.of("g", BASE.without(lambda row: True)), "has 0 runs: everything is left"),
        (lambda: Grid.of("g", {"seed": [1]}), "expected axes.*was given a dict"),
        (lambda: Grid.of("g", BASE * product({"seed": range(10**9)})), "has 1000000000 runs"),
    ],
)
def test_a_mistake_is_one_line(make, says):
    with pytest.raises(InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_billion_runs_are_counted_and_not_listed():
    started = time.process_time()
    axes = BASE * product({"seed": range(10**9)}) * product({"training.steps": range(1, 10**9)})
    assert axes.count == 10**9 * (10**9 - 1)
    with pytest.raises(InputError, match=f"has {axes.count} runs: expected at most 100000"):
        Grid.of("huge", axes.without({"seed": 1}))
    assert time.process_time() - started < 1


def test_values_are_read_as_on_the_command_line_or_as_json():
    rates = np.array([1e-3, 3e-3])
    axes = product(
        {"training.learning_rate": rates, "training.published_rates": [False, True]}
    ) * product({"evaluation.families": [["repeated"]]})
    grid = Grid.of("g", BASE * axes)
    assert [run.training.learning_rate for run in grid] == [1e-3, 1e-3, 3e-3, 3e-3]
    assert [run.training.published_rates for run in grid] == [False, True, False, True]
    assert grid.runs[0].evaluation.families == ("repeated",)
    spelled = RunConfig.from_pairs(
        [
            "task=parity",
            "model=lstm",
            "training.learning_rate=0.001",
            'evaluation.families=["repeated"]',
        ]
    )
    assert grid.runs[0].run_id == spelled.run_id


def test_a_grid_of_axes_is_the_grid_of_its_pairs():
    axes = BASE * zipped({"training.length": [10, 20], "training.steps": [5, 6]})
    grid = Grid.of("g", axes * product({"seed": range(2)}))
    assert len(grid) == 4
    assert list(grid) == [
        RunConfig.from_pairs(
            [
                "task=parity",
                "model=lstm",
                f"training.length={n}",
                f"training.steps={s}",
                f"seed={i}",
            ]
        )
        for n, s in ((10, 5), (20, 6))
        for i in range(2)
    ]
    assert pairs_of(next(iter(axes)))[-1] == "training.steps=5"


def test_missing_takes_a_store(tmp_path):
    grid = Grid.of("g", BASE * product({"seed": range(2)}))
    with Store(tmp_path) as store:
        assert grid.missing(store) == list(grid)
