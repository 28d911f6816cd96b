"""Every task against a slow answer that shares no code with it: arithmetic, `re`, plain loops."""

import ast
import collections
import itertools
import operator
import re

import numpy as np
import pytest
from sympy.combinatorics import Permutation

from automata.att import write_att
from automata.dfa import DFA
from automata.monoids import syntactic_monoid
from automata.tasks import get_task
from automata.tasks.task import Task

WORDS = 60


def check(task, answer, length=None, num_words=WORDS):
    """Compare with `answer(prefix)`: the class after the prefix, or None where nothing is asked."""
    length = task.law.next_length(23) if length is None else length
    batch = task.sample(11, batch_size=num_words, length=length)
    asked = 0
    for word, targets, mask in zip(batch.tokens, batch.targets, batch.mask, strict=True):
        symbols = [task.alphabet[token] for token in word]
        for end in range(1, length + 1):
            expected = answer(symbols[:end])
            assert mask[end - 1] == (expected is not None)
            if expected is not None:
                assert targets[end - 1] == expected
                asked += 1
    assert asked >= num_words


def check_recogniser(task, answer):
    check(task, lambda prefix: int(bool(answer("".join(map(str, prefix))))))
    # All short words too, members or not.
    for length in range(1, 8):
        for word in itertools.product(task.alphabet, repeat=length):
            if len(task.alphabet) ** length <= 4**6:
                expected = bool(answer("".join(map(str, word))))
                assert task.targets_of(list(word))[-1] == expected


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


@pytest.mark.parametrize("name", ["even_pairs", "mary_even_pairs"])
def test_even_pairs(name):
    check(get_task(name), lambda prefix: int(prefix[0] == prefix[-1]))
    if name == "even_pairs":
        changes = lambda p: sum(a != b for a, b in itertools.pairwise(p))  # noqa: E731
        check(get_task(name), lambda prefix: int(changes(prefix) % 2 == 0))


def test_first():
    check(get_task("first", num_symbols=4), lambda prefix: prefix[0])


def test_flip_flop():
    def last(prefix):
        written = [s for s in prefix if s != "keep"]
        return int(written[-1].removeprefix("write_")) if written else 0

    check(get_task("flip_flop"), last)
    task = get_task("flip_flop", num_values=3, ignore_weight=7)
    check(task, last)
    assert (task.dataset(500, 50).tokens == 0).mean() == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("resets", ["all", "one"])
def test_permutation_reset(resets):
    task = get_task("permutation_reset", n=4, resets=resets, reset_percent=20)
    elements = {tuple(p): i for i, p in enumerate(itertools.permutations(range(4)))}

    def follow(prefix):
        held = Permutation(3)
        for symbol in prefix:
            images = list(ast.literal_eval(symbol.removeprefix("reset ")))
            moved = Permutation(images)
            held = moved if symbol.startswith("reset") else held * moved
        return elements[tuple(held.array_form)]

    check(task, follow)
    tokens = task.dataset(400, 50).tokens
    assert (tokens >= 2).mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "label"), [((5,), "state"), ((3, 4), "state"), ((3, 3, 2), "boundary")]
)
def test_grid_world(shape, label):
    moves = {"left": (0, -1), "right": (0, 1), "down": (1, -1), "up": (1, 1)}
    moves |= {"back": (2, -1), "forth": (2, 1)}

    def walk(prefix):
        place = [0] * len(shape)
        for action in prefix:
            axis, step = moves[action]
            place[axis] = min(max(place[axis] + step, 0), shape[axis] - 1)
        if label == "boundary":
            return int(any(p in (0, side - 1) for p, side in zip(place, shape, strict=True)))
        number = 0
        for p, side in zip(place, shape, strict=True):
            number = number * side + p
        return number

    check(get_task("grid_world", shape=shape, label=label), walk)


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


def test_minimal_sizes():
    """Sinks included: as in the literature on extracting automata from networks."""
    sizes = [get_task(f"tomita_{n}").card([20])["num_states_minimal"] for n in range(1, 8)]
    assert sizes == [2, 3, 5, 4, 4, 3, 5]
    for name, parameters, size in [
        ("parity", {}, 2),
        ("even_pairs", {}, 5),
        ("mary_even_pairs", {}, 11),
        ("cycle_navigation", {}, 5),
        ("s5", {}, 120),
        ("dihedral", {"n": 9}, 18),
        ("quaternion", {}, 8),
        ("permutation_reset", {"n": 4}, 24),
        ("flip_flop", {}, 2),
        ("adder", {"label": "carry"}, 2),
        ("grid_world", {"shape": 9}, 9),
        ("abab", {}, 5),
        ("repeat_01", {}, 3),
        ("first", {}, 3),
        # One state for each stack, and the sink.
        ("bounded_dyck", {"num_kinds": 2, "max_depth": 3}, 16),
    ]:
        assert get_task(name, **parameters).card([20])["num_states_minimal"] == size


def test_algebra_of_cards():
    """Facts that theory gives: prime groups, monoid sizes, circuit classes."""
    expected = {
        "parity": (2, ["Z2"], "ACC0"),
        "s5": (120, ["Z2", "A5"], "NC1-complete"),
        "quaternion": (8, ["Z2"], "ACC0"),
        # The identity and the two constant maps.
        "flip_flop": (3, [], "AC0"),
        # Permutations and constant maps.
        "permutation_reset": (12, ["Z2", "Z3"], "ACC0"),
        "first": (3, [], "AC0"),
        "tomita_5": (4, ["Z2"], "ACC0"),
        "tomita_4": (12, [], "AC0"),
    }
    for name, (size, primes, label) in expected.items():
        card = get_task(name).card([20])
        found = (card["monoid"]["size"], card["prime_groups"], card["complexity"]["label"])
        assert found == (size, primes, label)
    assert get_task("modular_arithmetic").card([21])["prime_groups"] == ["Z2", "Z5"]


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


def test_reverse_string():
    def answer(prefix):
        letters = [s for s in prefix if s != "_"]
        blanks = len(prefix) - len(letters)
        return int(letters[::-1][blanks - 1]) if blanks else None

    check(get_task("reverse_string", num_symbols=3), answer, length=22)
    batch = get_task("reverse_string").dataset(100, (5, 31))
    assert set(batch.lengths.tolist()) == set(range(6, 31, 2))


def test_repl_traces():
    task = get_task("repl_traces", num_variables=4, reveal_percent=40)
    values = {symbol: token for token, symbol in enumerate(task.alphabet)}
    prints = steps = 0
    for word in task.sample(3, batch_size=WORDS, length=60).tokens:
        symbols = [task.alphabet[t] for t in word]
        held = {name: value for value, name in enumerate("abcd")}
        targets = task.targets_of(word)
        _, mask = task.label(word[None], np.array([60]))
        pending = None
        for position, symbol in enumerate(symbols):
            assert mask[0, position] == symbol.startswith("print")
            if pending is not None:
                assert symbol == str(held[pending])
                pending = None
                continue
            steps += 1
            if symbol.startswith("swap"):
                one, other = symbol[5], symbol[7]
                held[one], held[other] = held[other], held[one]
            else:
                prints += 1
                pending = symbol[6]
                assert targets[position] == values[str(held[pending])]
    assert prints / steps == pytest.approx(0.4, abs=0.05)
    dense = get_task("repl_traces", num_variables=4, supervision="per_prefix")
    assert dense.num_classes == 24 and dense.sample(batch_size=4, length=20).mask.all()


def test_weighted_automaton():
    task = get_task("weighted_automaton", num_states=4, num_symbols=3, seed=2)
    model = task.law.model
    batch = task.dataset(3000, 40)
    assert (batch.targets[:, :-1] == batch.tokens[:, 1:]).all()
    # The measured loss of the true law is the stated least loss, up to noise.
    laws = model.next_symbol_law(batch.tokens)[:, :-1]
    chosen = np.take_along_axis(laws, batch.tokens[..., None], axis=2)
    entropy = model.entropies(40).mean()
    assert -np.log(chosen).mean() == pytest.approx(entropy, abs=0.01)
    assert float(task.facts["least_loss"]) == pytest.approx(model.entropies(256).mean(), abs=1e-3)


@pytest.mark.parametrize("split", ["train", "report"])
def test_in_context_dfa(split):
    task = get_task("in_context_dfa", num_automata=6, longest_string=9)
    batch = task.sample(5, batch_size=60, length=80, split=split)
    separator = task.num_tokens - 1
    lengths = collections.Counter()
    automata = set()
    for item, word in enumerate(batch.tokens):
        dfa = task.law.automaton(item, seed=5, split=split)
        automata.add(dfa)
        strings = "".join(task.alphabet[t] for t in word).split("|")
        for string in strings:
            assert dfa.accepts([task.alphabet.index(c) for c in string])
        lengths.update(map(len, strings[:-1]))
        assert word[0] != separator
    assert set(lengths) == set(range(1, 10)) and max(lengths.values()) < 3 * min(lengths.values())
    assert 3 <= len(automata) <= 6
    other = task.law.automaton(0, seed=5, split="selection")
    assert other not in automata
    # Which symbol follows is uniform among those allowed.
    dfa = task.law.automaton(0, seed=5, split=split)
    firsts = np.flatnonzero(dfa.accepting[dfa.transitions[dfa.initial]])
    many = task.sample(5, batch_size=3000, length=1, split=split).tokens[:, 0]
    same = [i for i in range(3000) if task.law.automaton(i, seed=5, split=split) == dfa]
    counts = np.bincount(many[same], minlength=separator)[firsts]
    assert counts.sum() == len(same)
    assert counts.min() > 0.7 * counts.max()


def test_every_task_is_a_task():
    assert issubclass(type(get_task("majority")), Task)
    assert get_task("majority").dfa is None and get_task("majority").group is None
