"""Configurations from strangers: read, or refused in one line, quickly, whatever they hold."""

import dataclasses
import json
import math
import random
import resource
import sys
import time

import pytest

from automata.errors import InputError, shown
from automata.tasks import get_task, list_tasks
from automata.tasks.registry import complete_parameters
from statetrack.cli import EXIT_BAD_INPUT, main
from statetrack.models import build_model, list_models
from statetrack.training import RunConfig

NEED_A_FILE = {"mlregtest", "text"}
TASKS = [*(name for name in list_tasks() if name not in NEED_A_FILE), "a4xz5", "z60", "d4"]
LONGEST_MESSAGE = 2500  # the names of all tasks alone are 500
SECONDS = 5  # of the slowest: the largest automaton of a task that its limits allow
MEGABYTES = 200  # for all cases of a test together


def deep_list():
    value = []
    for _ in range(3000):
        value = [value]
    return value


TEXTS = [
    *["0", "1", "-1", "7", "1000000000000", "99999999999999999999", "-9223372036854775809"],
    *["1e3", "1e-3", "-0.0", "1e309", "NaN", "-Infinity", "0x10", "010", "1_000", "٣", "12:30:45"],
    *["true", "false", "null", "no", "[]", "{}", "[1,2]", '["a"]', "[[0,1],[1,0]]", '{"a":1}'],
    *['""', '"', "\0", "\n", "é", "\ud800", "\U0001f600", "../x", "/etc/passwd", "x" * 3000],
    *["[" * 5000, "[-1,1]", "[1,-1]", "[nan,1]", "[0,1e999]", "disc", "S5", "Z0", "S99999999"],
    *["doubling(start=4)", "doubling(start=", "uniform(shortest=0)", "solved(whole_prefix=2)"],
]
VALUES = [
    *[None, True, 0, -1, 2**31, 2**63, 10**30, 1.5, 1e308, math.inf, math.nan, "", "a\0b", "\n"],
    *["\ud800", "x" * 10**5, [], {}, [[]], [1, "a"], {"a": 1}, [None] * 1000, b"x", {1: 2}, {3}],
    *[(1, 2), object(), "[-1,1]", "S5", deep_list()],
]


def refused_or_read(read):
    """Whether it was read; a refusal is one short line of our own error."""
    start = time.perf_counter()
    try:
        read()
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) <= LONGEST_MESSAGE
        return False
    finally:
        assert time.perf_counter() - start < SECONDS
    return True


def identify(config):
    assert len(config.run_id) == 16
    json.loads(config.record_json())


@pytest.fixture
def bounded_memory():
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    assert grown < MEGABYTES


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_configured_with_its_defaults_spelled_out_or_not(name):
    """Defaults that are tuples are lists once they have been through JSON."""
    short = RunConfig.from_pairs([f"task={name}", "model=lstm"])
    _, defaults = complete_parameters(name, {})
    tree = json.loads(short.model_dump_json())
    tree["task"]["parameters"] = {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()
    }
    long = RunConfig.from_tree(tree)
    assert short.run_id == long.run_id
    assert (
        "parameters" not in json.loads(short.canonical_json())["task"]
        or not json.loads(short.canonical_json())["task"]["parameters"]
    )
    assert RunConfig.from_tree(json.loads(short.model_dump_json())).run_id == short.run_id


def mutated_key(key, rng):
    place = rng.randrange(len(key) + 1)
    middle = rng.choice(["", *"abz._=[]0 \t\n\0é\ud800-"])
    return key[:place] + middle + key[place + rng.randrange(2) :]


def hostile_pairs(rng):
    task, model = rng.choice(TASKS), rng.choice(list(list_models()))
    fields = RunConfig.model_fields
    keys = ["seed", "task", "model", "training", "evaluation"]
    keys += [f"task.{name}" for name in complete_parameters(task, {})[1]]
    keys += [f"model.{f.name}" for f in dataclasses.fields(list_models()[model].config_class)]
    for part in ("training", "evaluation"):
        keys += [f"{part}.{name}" for name in fields[part].annotation.model_fields]
    pairs = [f"task={task}", f"model={model}"]
    for _ in range(rng.choice([1, 1, 1, 2])):
        key, text = rng.choice(keys), rng.choice(TEXTS)
        pairs.append(f"{mutated_key(key, rng) if rng.random() < 0.1 else key}={text}")
    return pairs


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 1000), pytest.param(1, 100_000, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)
def test_mutated_pairs_are_read_or_refused(seed, count, bounded_memory):
    rng = random.Random(seed)
    num_read = 0
    for _ in range(count):
        pairs = hostile_pairs(rng)
        num_read += refused_or_read(lambda pairs=pairs: identify(RunConfig.from_pairs(pairs)))
    assert 0.01 * count < num_read < 0.3 * count


def places_of(tree, place=()):
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield (*place, key)
        if isinstance(tree[key], dict | list):
            yield from places_of(tree[key], (*place, key))


def hostile_tree(tree, rng):
    tree = json.loads(json.dumps(tree))
    *outer, last = rng.choice(list(places_of(tree)))
    part = tree
    for key in outer:
        part = part[key]
    kind = rng.random()
    if kind < 0.6:
        part[last] = rng.choice(VALUES)
    elif kind < 0.75:
        del part[last]
    elif isinstance(part, dict):
        part[rng.choice(["naem", "name", "", ".", "\n", "\ud800", "a" * 1000, 5])] = part[last]
    return tree


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 1000), pytest.param(1, 100_000, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)
def test_mutated_trees_are_read_or_refused(seed, count, bounded_memory):
    rng = random.Random(seed)
    pairs = [
        ["task=s3", "model=lstm"],
        ["task=random_dfa", "model=mru"],
        ["task=z60", "model=gated_householder", "training.curriculum=doubling(start=4)"],
        ["task=grid_world", "model=transformer"],
        ["task=piecewise_testable", "model=s4d"],
    ]
    trees = [json.loads(RunConfig.from_pairs(one).model_dump_json()) for one in pairs]
    num_read = 0
    for _ in range(count):
        tree = hostile_tree(rng.choice(trees), rng)
        num_read += refused_or_read(lambda tree=tree: identify(RunConfig.from_tree(tree)))
    assert 0.01 * count < num_read < 0.5 * count


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("model.width=1000000000000", "LSTMConfig.width = 1000000000000: expected a whole number"),
        ("model.num_layers=10000000", "num_layers = 10000000: expected a whole number >= 1 and <="),
        ("training.length=1000000000", "training.length = 1000000000"),
        ("training.batch_size=1000000000", "training.batch_size = 1000000000"),
        ("evaluation.max_length=1000000000", "evaluation.max_length = 1000000000"),
    ],
)
def test_sizes_are_bounded_before_anything_is_built(pair, says, bounded_memory):
    start = time.perf_counter()
    with pytest.raises(InputError, match=says):
        RunConfig.from_pairs(["task=parity", "model=lstm", pair])
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_states": 10**12},
        {"num_symbols": 10**12},
        {"num_states": 10**5, "num_symbols": 10**5},
    ],
)
def test_a_huge_automaton_is_refused_at_once(parameters, bounded_memory):
    start = time.perf_counter()
    with pytest.raises(InputError):
        get_task("random_dfa", **parameters)
    assert time.perf_counter() - start < 0.1


def test_every_size_of_every_model_has_an_upper_limit():
    for name, entry in list_models().items():
        for field in dataclasses.fields(entry.config_class):
            if field.type is int:
                with pytest.raises(InputError, match=field.name):
                    build_model(name, 2, 2, **{field.name: 2**40})


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"name": "s3", "generators": 2}, "generators is 2: give a name or a list"),
        ({"name": "grid_world", "shape": 0.5}, r"shape is 0\.5: give a whole number, or a list"),
        ({"name": "grid_world", "shape": "4"}, "shape is '4'"),
        ({"name": "locally_testable", "contains": 3}, "contains is 3: give a list of patterns"),
        ({"name": "locally_testable", "contains": "ab"}, "contains is 'ab': give a list"),
        ({"name": "piecewise_testable", "alphabet": None}, "alphabet is None: give a text"),
        ({"name": "piecewise_testable", "alphabet": "aba"}, "give a text of distinct letters"),
    ],
)
def test_parameters_of_the_wrong_kind_are_named(parameters, says):
    arguments = dict(parameters)
    with pytest.raises(InputError, match=says):
        get_task(arguments.pop("name"), **arguments)


@pytest.mark.parametrize("value", ["1e309", '"\ud800"', "[" * 500 + "]" * 500])
def test_a_parameter_that_no_file_can_hold_is_refused_even_where_it_is_not_used(value):
    with pytest.raises(InputError, match="generator_seed"):
        RunConfig.from_pairs(["task=s3", "model=lstm", f"task.generator_seed={value}"])


def test_values_are_shown_in_one_short_line():
    assert shown("a\nb") == r"'a\nb'"
    assert shown(deep_list()) == "a deeply nested list"
    assert len(shown("x" * 10**6)) < 100


def test_the_command_line_says_it_in_one_line_with_exit_code_2(capsys):
    assert main(["train", "task=s3", "model=lstm", "task.generators=2"]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error == "statetrack: generators is 2: give a name or a list of elements\n"
