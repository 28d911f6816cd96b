"""Tasks of arithmetic against arithmetic of Python."""

import ast
import collections
import itertools
import operator

import numpy as np
import pytest

from automata.tasks import get_task
from tests.oracle_cases import check


@pytest.mark.parametrize("label", ["digit", "carry", "state"])
@pytest.mark.parametrize(("addends", "base"), [(2, 2), (3, 2), (2, 10)])
def test_adder(label, addends, base):
    def add(prefix):
        total = sum(symbol * base**place for place, symbol in enumerate(prefix))
        place = len(prefix) - 1
        digit, carry = total // base**place % base, total // base ** (place + 1)
        return {"digit": digit, "carry": carry, "state": carry * base + digit}[label]

    check(get_task("adder", num_addends=addends, base=base, label=label), add)


def value_of(text, modulus):
    """Python's own precedence, through its parser; nothing is run."""
    steps = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}

    def value(node):
        if isinstance(node, ast.BinOp):
            return steps[type(node.op)](value(node.left), value(node.right)) % modulus
        assert isinstance(node, ast.Constant)
        return node.value

    try:
        return value(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return None


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"modulus": 10, "operators": "+-"},
        {"modulus": 3, "operators": "*-"},
        {"modulus": 3, "max_depth": 1},
        {"modulus": 5, "operators": "+-", "max_depth": 2},
        {"modulus": 2, "max_depth": 3},
    ],
)
def test_modular_arithmetic(parameters):
    task = get_task("modular_arithmetic", **parameters)
    modulus = parameters.get("modulus", 5)
    check(task, lambda prefix: value_of("".join(prefix), modulus), length=21)
    if parameters.get("max_depth"):
        text = ["".join(task.alphabet[t] for t in word) for word in task.dataset(200, 21).tokens]
        depth = max(max(itertools.accumulate((c == "(") - (c == ")") for c in t)) for t in text)
        assert depth == parameters["max_depth"]


def test_modular_arithmetic_left_to_right():
    def value(prefix):
        if len(prefix) % 2 == 0:
            return None
        total = int(prefix[0])
        for sign, digit in zip(prefix[1::2], prefix[2::2], strict=True):
            number = int(digit)
            total = {"+": total + number, "-": total - number, "*": total * number}[sign]
        return total % 5

    check(get_task("modular_arithmetic_left_to_right"), value)
    assert get_task("modular_arithmetic", order="left_to_right").targets_of("1+2*3")[-1] == 4
    assert get_task("modular_arithmetic").targets_of("1+2*3")[-1] == 2


def test_expressions_are_uniform():
    """All expressions of length 3 over digits 0, 1 and one operator come equally often."""
    task = get_task("modular_arithmetic", modulus=2, operators="+", max_depth=1)
    found = collections.Counter(map(bytes, task.dataset(6000, 3).tokens.astype(np.uint8)))
    # A digit, an operator, a digit; or a digit in brackets.
    assert len(found) <= 6
    batch = task.law.draw(0, 6000, 19, 19, seed=3, split="train")[0]
    texts = ["".join(task.alphabet[t] for t in word) for word in batch]
    assert all(value_of(text, 2) is not None for text in texts)
