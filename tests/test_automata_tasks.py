"""Tasks: targets by hand and by sympy, splits, padding, supervision, the registry."""

import functools
import json
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation

from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import parse, symmetric
from automata.sampling import random_dfa
from automata.tasks import Task, get_task, list_tasks, register_task
from automata.tasks import registry as registry_module
from automata.tasks.word_problems import is_group_name
from automata.words import uniform_letters

few = settings(derandomize=True, max_examples=25, deadline=None)

TASKS = [
    ("parity", {}),
    ("s3", {}),
    ("s5", {}),
    ("word_problem", {"group": "A4xZ5", "generators": "standard"}),
    ("random_dfa", {"num_states": 5, "num_symbols": 3, "seed": 2}),
]


@pytest.fixture
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry_module, "_TASKS", dict(registry_module._TASKS))


def test_parity_counts_ones():
    batch = get_task("parity").sample(batch_size=50, length=100)
    assert (batch.targets == batch.tokens.cumsum(axis=1) % 2).all()
    assert batch.mask.all() and batch.valid.all() and (batch.lengths == 100).all()


@pytest.mark.parametrize("name", ["s3", "s5", "a5"])
def test_running_products_agree_with_sympy(name):
    task = get_task(name)
    elements = [Permutation(list(e)) for e in task.group.elements]
    batch = task.sample(seed=4, batch_size=4, length=30)
    for word, targets in zip(batch.tokens, batch.targets, strict=True):
        product = elements[0]
        for token, target in zip(word, targets, strict=True):
            product = product * elements[token]
            assert product == elements[target]


def test_standard_generators_as_tokens():
    task = get_task("s5", generators="standard")
    group = symmetric(5)
    assert task.num_tokens == 2 and task.num_classes == 120
    assert task.token_elements.tolist() == list(group.generators)
    word = [0, 1, 1, 0, 1]
    states = [0]
    for token in word:
        states.append(int(group.table[states[-1], group.generators[token]]))
    assert task.targets_of(word).tolist() == states[1:]


def test_chosen_elements_as_tokens():
    task = get_task("word_problem", group="S3", generators=[3, 1])
    assert task.token_elements.tolist() == [3, 1] and task.num_tokens == 2
    with pytest.raises(InputError, match="tokens generate 3 of the 6 elements of S3"):
        get_task("s3", generators=[3])
    with pytest.raises(InputError, match="unknown generator set 'al'"):
        get_task("s3", generators="al")
    with pytest.raises(InputError, match="a generator is 6"):
        get_task("s3", generators=[6])
    with pytest.raises(InputError, match="no tokens"):
        get_task("z1", generators="standard")


@pytest.mark.parametrize(("name", "parameters"), TASKS)
def test_targets_follow_the_automaton(name, parameters):
    task = get_task(name, **parameters)
    batch = task.sample(seed=1, batch_size=20, length=40, split="selection", step=3)
    assert batch.tokens.dtype == batch.targets.dtype == batch.lengths.dtype == np.int64
    assert batch.mask.dtype == batch.valid.dtype == np.bool_
    assert batch.tokens.max() < task.num_tokens and batch.targets.max() < task.num_classes
    assert (batch.targets == task.dfa.trace(batch.tokens)[:, 1:]).all()
    assert (task.targets_of(batch.tokens) == batch.targets).all()


def test_tokens_are_the_shared_words():
    """The same words as `uniform_letters` gives, so that other implementations can draw them."""
    batch = get_task("s3").sample(9, batch_size=8, length=50, split="report", step=5)
    expected = uniform_letters(6, 50, (40, 8), seed=9, split="report")
    assert (batch.tokens == expected).all()


@given(st.integers(1, 20), st.integers(0, 5), st.sampled_from([12, (3, 30), (20, 33)]))
@few
def test_a_set_does_not_depend_on_how_it_is_cut(batch_size, step, length):
    task = get_task("s3")
    whole = task.dataset(batch_size * (step + 1), length, split="report", seed=8)
    part = task.sample(8, batch_size=batch_size, length=length, split="report", step=step)
    for all_rows, rows in zip(whole, part, strict=True):
        assert (all_rows[batch_size * step :] == rows).all()


def test_mixed_lengths():
    task = get_task("parity")
    batch = task.sample(seed=2, batch_size=2000, length=(2, 24))
    assert batch.tokens.shape == (2000, 24)
    assert set(batch.lengths.tolist()) == set(range(2, 25))
    assert np.bincount(batch.lengths)[2:].min() > 40
    assert (batch.valid.sum(axis=1) == batch.lengths).all()
    assert (batch.valid == (np.arange(24) < batch.lengths[:, None])).all()
    assert (batch.tokens[~batch.valid] == task.pad_token).all() and task.pad_token == 2
    assert (batch.tokens[batch.valid] < 2).all()
    assert (batch.mask == batch.valid).all() and (batch.targets[~batch.mask] == 0).all()
    for word, targets, length in list(zip(*batch[:2], batch.lengths, strict=True))[:50]:
        assert (targets[:length] == word[:length].cumsum() % 2).all()


def test_mixed_lengths_keep_short_words_apart():
    task = get_task("parity")
    words = {
        split: {
            row[:length].tobytes()
            for row, length in zip(*operator.itemgetter(0, 3)(batch), strict=True)
            if length <= 16
        }
        for split in ("train", "selection", "report")
        for batch in [task.sample(batch_size=3000, length=(2, 20), split=split)]
    }
    assert all(len(found) > 300 for found in words.values())
    assert not words["train"] & words["report"]
    assert not words["train"] & words["selection"]
    assert not words["selection"] & words["report"]


def test_final_supervision():
    task = get_task("s3", supervision="final")
    everywhere = get_task("s3")
    for length in (7, (2, 9)):
        batch = task.sample(seed=3, batch_size=30, length=length)
        full = everywhere.sample(seed=3, batch_size=30, length=length)
        assert (batch.tokens == full.tokens).all()
        assert (batch.mask.sum(axis=1) == 1).all()
        rows = np.arange(30)
        assert batch.mask[rows, batch.lengths - 1].all()
        assert (batch.targets == np.where(batch.mask, full.targets, 0)).all()
    assert task.num_classes == 6


def test_membership_supervision():
    task = get_task("s3", supervision="membership")
    batch = task.sample(seed=3, batch_size=30, length=20)
    assert task.num_classes == 2 and batch.mask.all()
    states = get_task("s3").targets_of(batch.tokens)
    assert (batch.targets == (states == 0)).all()
    dfa = random_dfa(6, 2, seed=5)
    words = np.random.default_rng(0).integers(0, 2, (20, 9))
    task = Task.from_dfa(dfa, supervision="membership")
    prefixes = [[dfa.accepts(word[: t + 1]) for t in range(9)] for word in words]
    assert (task.targets_of(words) == prefixes).all()


def test_outputs_are_the_classes():
    task = Task.from_dfa(DFA([[1], [2], [0]], outputs=[4, 0, 4]))
    assert task.num_classes == 5
    assert task.targets_of([0, 0, 0]).tolist() == [0, 4, 4]


def test_batches_are_consecutive_steps():
    task = get_task("s3")
    found = list(task.batches(4, 10, seed=1, first_step=2, num_steps=3))
    assert len(found) == 3
    for step, batch in enumerate(found, start=2):
        expected = task.sample(1, batch_size=4, length=10, step=step)
        assert all((a == b).all() for a, b in zip(batch, expected, strict=True))
    assert next(task.batches(4, 10)).tokens.shape == (4, 10)


@pytest.mark.parametrize(("name", "parameters"), TASKS)
@pytest.mark.parametrize("supervision", ["per_prefix", "membership"])
def test_majority_rate_is_exact(name, parameters, supervision):
    """Against all words where they are few, and against draws."""
    task = get_task(name, supervision=supervision, **parameters)
    if task.num_tokens**4 <= 2000:
        words = np.indices((task.num_tokens,) * 4).reshape(4, -1).T
        rate = np.bincount(task.targets_of(words)[:, -1]).max() / len(words)
        assert task.majority_rate(4) == pytest.approx(rate, abs=1e-12)
    batch = task.sample(batch_size=4000, length=30)
    measured = np.bincount(batch.targets[:, -1], minlength=task.num_classes) / 4000
    law = task.class_distribution(30)
    assert law.shape == (30, task.num_classes)
    assert abs(law[-1] - measured).max() < 0.04
    assert law.sum(axis=1) == pytest.approx(np.ones(30))


def test_equal_tasks():
    assert get_task("S3") == get_task("s3") == get_task("word_problem", group="s3")
    assert hash(get_task("s3")) == hash(get_task("word_problem", group="S3"))
    different = [
        get_task("s3"),
        get_task("s3", generators="standard"),
        get_task("s3", supervision="final"),
        get_task("d3"),
        get_task("parity"),
        get_task("z2"),
        get_task("random_dfa", seed=0),
        get_task("random_dfa", seed=1),
        Task.from_dfa(get_task("s3").dfa, "s3"),
        Task.from_dfa(get_task("s3").dfa, "s3", semantics=2),
    ]
    assert len(set(different)) == len(different)
    assert get_task("s3") != "s3"
    with pytest.raises(AttributeError):
        get_task("s3").name = "other"
    with pytest.raises(ValueError, match="read-only"):
        get_task("s3").token_elements[0] = 1


def test_group_names():
    for name in ("s4", "a5", "z60", "d4", "A4xZ5", "q8", "a4_x_z5", "z2^3"):
        assert is_group_name(name)
        assert get_task(name).group == parse(name)
    for name in ("s", "5", "parity", "s3x", "xs3", "random_dfa", "s3-"):
        assert not is_group_name(name)
    assert get_task("a4xz5").name == get_task("A4_x_Z5").name == "a4xz5"
    task = get_task("word_problem", group=parse("D4"))
    assert task == get_task("d4")


def test_card_is_plain_and_right():
    card = get_task("s3", supervision="membership").card([1, 3])
    assert json.loads(json.dumps(card))["group"]["order"] == 6
    assert card["num_states_minimal"] == 6 and card["num_classes"] == 2
    assert card["alphabet"] == [0, 1, 2, 3, 4, 5] and card["semantics"] == 1
    assert card["majority_rate"] == {1: pytest.approx(5 / 6), 3: pytest.approx(5 / 6)}
    assert card["group"]["derived_length"] == 2 and card["group"]["is_solvable"]
    clock = Task.from_dfa(DFA([[1], [2], [3], [0]], outputs=[0, 1, 0, 1], alphabet="t"))
    assert clock.card([2])["num_states_minimal"] == 2
    assert clock.card([2])["majority_rate"] == {2: 1.0}
    assert "group" not in clock.card() and clock.card()["alphabet"] == ["t"]


def test_explain():
    lines = get_task("s3", supervision="final").explain([1, 3]).splitlines()
    assert lines[0].split() == ["position", "token", "element", "state", "target"]
    assert len(lines) == 4 and len(set(map(len, lines))) == 1
    assert lines[2].split()[-1] == "-" and lines[3].split()[-2:] == ["2", "2"]
    assert "(0, 2, 1)" in lines[2]
    assert len(get_task("random_dfa").explain([]).splitlines()) == 2
    with pytest.raises(InputError, match="one word"):
        get_task("s3").explain([[1]])


def test_register_task(clean_registry):
    assert list_tasks()[:5] == ["parity", "s3", "s5", "random_dfa", "word_problem"]

    def clock(period=4, supervision="per_prefix"):
        dfa = DFA([[(q + 1) % period, q] for q in range(period)])
        return Task.from_dfa(dfa, "clock", supervision)

    register_task("Clock", clock)
    assert "clock" in list_tasks() and get_task("CLOCK", period=3).num_classes == 3
    with pytest.raises(InputError, match="exists"):
        register_task("clock", clock)
    register_task("clock", functools.partial(clock, period=6), overwrite=True)
    assert get_task("clock").num_classes == 6
    for name in ("", "a b", "s4", "1x"):
        with pytest.raises(InputError, match="no name for a task"):
            register_task(name, clock)
    with pytest.raises(InputError, match="give a callable"):
        register_task("other", 3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("partiy", {}, "unknown task 'partiy': did you mean 'parity'"),
        ("s33_", {}, "unknown task 's33_'"),
        (3, {}, "unknown task 3"),
        ("s9", {}, "S9 has order 362880: tables are kept up to order 5040"),
        ("s3", {"suprvision": "final"}, "did you mean 'supervision'"),
        ("s3", {"group": "S4"}, "unknown parameter of 's3' 'group'"),
        ("parity", {"supervision": "next_token"}, "unknown supervision 'next_token'"),
        ("word_problem", {"group": "F9"}, "'f9' in group 'F9' is no group"),
        ("word_problem", {"group": 3}, "group is 3"),
        ("random_dfa", {"num_states": 0}, "num_states is 0"),
    ],
)
def test_bad_tasks(name, parameters, message):
    with pytest.raises(InputError, match=message):
        get_task(name, **parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"length": (3, 2)}, "longest length is 2: give an integer of at least 3"),
        ({"length": (0, 2)}, "shortest length is 0"),
        ({"length": (1, 2, 3)}, "a pair"),
        ({"length": 1.5}, "length is 1.5"),
        ({"length": 1}, "only 2 word"),
        ({"length": (1, 40)}, "only 2 word"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"step": -1}, "step is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"split": "test"}, "unknown split"),
    ],
)
def test_bad_samples(arguments, message):
    with pytest.raises(InputError, match=message):
        get_task("parity").sample(**{"batch_size": 2, "length": 20, **arguments})
    with pytest.raises(InputError, match="symbol 2 is not in the alphabet"):
        get_task("parity").targets_of([0, 2])
