"""Other tasks against a slow answer that shares no code with them, and facts that cards state."""

import ast
import collections
import itertools

import numpy as np
import pytest
from sympy.combinatorics import Permutation

from automata.tasks import get_task
from automata.tasks.task import Task
from tests.oracle_cases import WORDS, check


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
