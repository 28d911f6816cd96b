"""Word problems of groups against products multiplied out."""

import numpy as np
import pytest
from sympy.combinatorics import Permutation

from automata.tasks import get_task
from tests.oracle_cases import WORDS, check


@pytest.mark.parametrize("modulus", [2, 5, 7])
def test_sum(modulus):
    check(get_task("sum", modulus=modulus), lambda prefix: sum(prefix) % modulus)


@pytest.mark.parametrize("parameters", [{}, {"cycle_size": 6, "max_step": 2}])
def test_cycle_navigation(parameters):
    size = parameters.get("cycle_size", 5)
    task = get_task("cycle_navigation", **parameters)
    assert task.num_tokens == 2 * parameters.get("max_step", 1) + 1
    check(task, lambda prefix: sum(map(int, prefix)) % size)


@pytest.mark.parametrize("label", ["state", "toggle", "position"])
def test_dihedral(label):
    def drive(prefix):
        position, toggle = 0, 0
        for action in prefix:
            if action == "toggle":
                toggle = 1 - toggle
            else:
                position = (position + (-1) ** toggle) % 7
        return {"state": toggle * 7 + position, "toggle": toggle, "position": position}[label]

    check(get_task("dihedral", n=7, label=label), drive)


def test_quaternion():
    """Quaternions as 2 x 2 complex matrices; each class must stand for one matrix."""
    units = {
        "1": np.eye(2),
        "i": np.array([[1j, 0], [0, -1j]]),
        "j": np.array([[0, 1], [-1, 0]]),
        "k": np.array([[0, 1j], [1j, 0]]),
    }
    assert np.allclose(units["i"] @ units["j"], units["k"])
    names = {}

    def multiply(prefix):
        product = np.eye(2)
        for unit in prefix:
            product = product @ units[unit]
        return tuple(np.round(product, 6).reshape(-1).tolist())

    task = get_task("quaternion")
    batch = task.sample(1, batch_size=WORDS, length=20)
    for word, targets in zip(batch.tokens, batch.targets, strict=True):
        for end in range(1, 21):
            matrix = multiply([task.alphabet[t] for t in word[:end]])
            assert names.setdefault(int(targets[end - 1]), matrix) == matrix
    assert len(names) == len(set(names.values())) == 8


@pytest.mark.parametrize(
    ("name", "count"), [("swaps", 11), ("moves_3", 31), ("moves_2", 11), ("random_4", 4)]
)
def test_generator_sets(name, count):
    task = get_task("s5", generators=name)
    assert task.num_tokens == count
    elements = [Permutation(list(element)) for element in task.group.elements]
    tokens = [elements[element] for element in task.token_elements]
    if name != "random_4":
        most = 2 if name == "swaps" else int(name[-1])
        expected = {tuple(e.array_form) for e in elements if len(e.support()) <= most}
        assert {tuple(t.array_form) for t in tokens} == expected
    batch = task.sample(2, batch_size=3, length=20)
    for word, targets in zip(batch.tokens, batch.targets, strict=True):
        product = elements[0]
        for token, target in zip(word, targets, strict=True):
            product = product * tokens[token]
            assert product == elements[target]


def test_random_generators_depend_on_the_seed():
    sets = {
        tuple(get_task("a5", generators="random_2", generator_seed=seed).token_elements.tolist())
        for seed in range(8)
    }
    assert len(sets) > 4


def test_spelled_out_elements():
    task = get_task("word_problem", group="S3", tokens_per_element=4)
    plain = get_task("s3")

    def product(prefix):
        if len(prefix) % 4:
            return None
        assert set(prefix) - {"filler"} <= set("012345")
        elements = prefix[::4]
        assert all(symbol == "filler" for i, symbol in enumerate(prefix) if i % 4)
        return int(plain.targets_of([int(e) for e in elements])[-1])

    check(task, product, length=24)
    member = get_task("word_problem", group="Z2", tokens_per_element=2, supervision="membership")
    batch = member.dataset(50, 20)
    ones = (batch.tokens == 1).cumsum(axis=1)
    assert (batch.targets[:, 1::2] == (ones % 2 == 0)[:, 1::2]).all()
    assert not batch.mask[:, ::2].any()
