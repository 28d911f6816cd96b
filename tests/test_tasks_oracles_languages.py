"""Languages against regular expressions, counting and stacks."""

import itertools
import re

import numpy as np
import pytest

from automata.att import write_att
from automata.dfa import DFA
from automata.monoids import syntactic_monoid
from automata.tasks import get_task
from tests.oracle_cases import check, check_recogniser


@pytest.mark.parametrize("name", ["even_pairs", "mary_even_pairs"])
def test_even_pairs(name):
    check(get_task(name), lambda prefix: int(prefix[0] == prefix[-1]))
    if name == "even_pairs":
        changes = lambda p: sum(a != b for a, b in itertools.pairwise(p))  # noqa: E731
        check(get_task(name), lambda prefix: int(changes(prefix) % 2 == 0))


def test_first():
    check(get_task("first", num_symbols=4), lambda prefix: prefix[0])


TOMITA = {
    1: r"1*",
    2: r"(10)*",
    3: None,
    4: r"(?!.*000)[01]*",
    5: None,
    6: None,
    7: r"0*1*0*1*",
}


def tomita_by_counting(number, word):
    if number == 3:
        blocks = [(k, len(list(g))) for k, g in itertools.groupby(word)]
        pairs = itertools.pairwise(blocks)
        return not any(a == "1" and m % 2 and b == "0" and n % 2 for (a, m), (b, n) in pairs)
    if number == 5:
        return word.count("0") % 2 == 0 and word.count("1") % 2 == 0
    if number == 6:
        return (word.count("1") - word.count("0")) % 3 == 0
    return re.fullmatch(TOMITA[number], word) is not None


@pytest.mark.parametrize("number", range(1, 8))
def test_tomita(number):
    task = get_task(f"tomita_{number}")
    check_recogniser(task, lambda word: tomita_by_counting(number, word))


def test_repeat_01_and_abab():
    check_recogniser(get_task("repeat_01"), lambda word: re.fullmatch("(01)*", word))
    check_recogniser(get_task("abab"), lambda word: re.fullmatch("(abab)*", word))


def test_piecewise_testable():
    task = get_task("piecewise_testable", contains=["ab", "ca"], avoids=["bcb"], alphabet="abc")
    pattern = re.compile(r"(?=.*a.*b)(?=.*c.*a)(?!.*b.*c.*b).*")
    check_recogniser(task, pattern.fullmatch)
    machine = task.dfa
    assert syntactic_monoid(DFA(machine.transitions, 0, machine.accepting)).is_j_trivial


def test_locally_testable():
    task = get_task(
        "locally_testable", contains=["aba", "bb"], avoids=["cc", "abab"], alphabet="abc"
    )
    pattern = re.compile(r"(?=.*aba)(?=.*bb)(?!.*cc)(?!.*abab).*")
    check_recogniser(task, pattern.fullmatch)
    machine = task.dfa
    assert syntactic_monoid(DFA(machine.transitions, 0, machine.accepting)).is_locally_testable


def test_mlregtest_file(tmp_path):
    path = tmp_path / "03.03.SL.2.1.0.att"
    write_att(DFA.from_partial([[0, 1, 0], [0, -1, 0]], accepting=[0, 1], alphabet="abc"), path)
    task = get_task("mlregtest", path=str(path), supervision="per_prefix")
    assert task.name == "mlregtest_03.03.SL.2.1.0"
    check_recogniser(task, lambda word: "bb" not in word)


def balanced(word, kinds, depth):
    stack = []
    for symbol in word:
        if symbol[0] == "(":
            stack.append(symbol[1:])
            if len(stack) > depth:
                return False
        elif not stack or stack.pop() != symbol[1:]:
            return False
    return not stack


@pytest.mark.parametrize(("kinds", "depth"), [(1, 4), (2, 3), (3, 2)])
def test_bounded_dyck(kinds, depth):
    task = get_task("bounded_dyck", num_kinds=kinds, max_depth=depth)
    check(task, lambda prefix: int(balanced(prefix, kinds, depth)))
    members = get_task("bounded_dyck", num_kinds=kinds, max_depth=depth, supervision="next_token")
    batch = members.dataset(200, 16)
    assert all(balanced([members.alphabet[t] for t in w], kinds, depth) for w in batch.tokens)
    assert (batch.targets[:, :-1] == batch.tokens[:, 1:]).all()
    assert batch.mask[:, :-1].all() and not batch.mask[:, -1].any()


def test_dyck_1():
    task = get_task("dyck_1")
    check(task, lambda prefix: int(balanced(prefix, 1, 999)))
    batch = task.dataset(1000, (18, 60), split="report")
    rows = np.arange(1000)
    assert batch.targets[rows, batch.lengths - 1].mean() == 0.5
    deepest = (1 - 2 * np.where(batch.valid, batch.tokens, 0)).cumsum(axis=1).max()
    assert deepest > 9


def test_majority():
    check(get_task("majority"), lambda prefix: int(sum(prefix) > len(prefix) / 2))
