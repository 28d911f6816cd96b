"""Live against automata-lib, which owns the same import name and so runs in a process of its own.

It is installed into a temporary folder, never into the environment of the tests; where that cannot
be done the tests are skipped.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from automata.convert import from_automata_lib, to_automata_lib
from automata.dfa import DFA

pytestmark = pytest.mark.slow

REQUIREMENT = "automata-lib==9.2.0"
NUM_AUTOMATA = 320
MAX_LENGTH = 12

# Runs beside the other library: reads one JSON object a line, answers with one a line.
SERVER = """
import json, sys
from automata.fa.dfa import DFA
from automata.fa.nfa import NFA

def build(parts):
    table = {int(q): {s: t for s, t in row.items()} for q, row in parts["transitions"].items()}
    return DFA(states=set(parts["states"]), input_symbols=set(parts["input_symbols"]),
               transitions=table, initial_state=parts["initial_state"],
               final_states=set(parts["final_states"]), allow_partial=False)

def describe(dfa):
    return {"states": sorted(dfa.states), "input_symbols": sorted(dfa.input_symbols),
            "transitions": {str(q): dict(row) for q, row in dfa.transitions.items()},
            "initial_state": dfa.initial_state, "final_states": sorted(dfa.final_states)}

def from_regex(expression, alphabet):
    nfa = NFA.from_regex(expression, input_symbols=set(alphabet))
    return DFA.from_nfa(nfa, retain_names=False, minify=False).to_complete()

def counts(dfa, length):
    return [dfa.count_words_of_length(n) for n in range(length + 1)]

for line in sys.stdin:
    request = json.loads(line)
    if request["kind"] == "one":
        dfa = build(request["dfa"])
        answer = {"num_states": len(dfa.minify(retain_names=False).states),
                  "counts": counts(dfa, request["length"]),
                  "reverse": counts(DFA.from_nfa(NFA.from_dfa(dfa).reverse()), request["length"]),
                  "star": counts(DFA.from_nfa(NFA.from_dfa(dfa).kleene_star()), request["length"]),
                  "is_finite": dfa.isfinite(), "is_empty": dfa.isempty()}
    elif request["kind"] == "two":
        first, second = build(request["first"]), build(request["second"])
        both = NFA.from_dfa(first).concatenate(NFA.from_dfa(second))
        length = request["length"]
        answer = {"equivalent": first == second,
                  "union": counts(first.union(second), length),
                  "intersection": counts(first.intersection(second), length),
                  "difference": counts(first.difference(second), length),
                  "symmetric_difference": counts(first.symmetric_difference(second), length),
                  "concatenate": counts(DFA.from_nfa(both), length)}
    else:
        dfa = from_regex(request["expression"], request["alphabet"])
        answer = {"dfa": describe(dfa.minify(retain_names=False).to_complete()),
                  "counts": counts(dfa, request["length"])}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Start the other library and return a function that asks it one question."""
    folder = tmp_path_factory.mktemp("automata_lib")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    try:
        subprocess.run([*install, REQUIREMENT], check=True, capture_output=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"{REQUIREMENT} cannot be installed: {error}")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"},
    )

    def ask(**request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the other library stopped"
        return json.loads(answer)

    yield ask
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=30)


def random_automata(count, seed, max_states=9):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        num_states, num_symbols = int(rng.integers(1, max_states + 1)), int(rng.integers(1, 4))
        yield DFA(
            rng.integers(0, num_states, (num_states, num_symbols)),
            int(rng.integers(num_states)),
            rng.random(num_states) < rng.random(),
            alphabet="abc"[:num_symbols],
        )


def as_json(dfa):
    parts = to_automata_lib(dfa)
    parts["transitions"] = {str(q): row for q, row in parts["transitions"].items()}
    return {name: sorted(v) if isinstance(v, set) else v for name, v in parts.items()}


def counts(dfa, length=MAX_LENGTH):
    return [dfa.count_words(n) for n in range(length + 1)]


def test_one_automaton(oracle):
    """Minimal sizes, word counts, reversal, star, emptiness and finiteness."""
    num_equal = 0
    for dfa in random_automata(NUM_AUTOMATA, seed=1):
        answer = oracle(kind="one", dfa=as_json(dfa), length=MAX_LENGTH)
        assert answer["num_states"] == dfa.minimize().num_states
        assert answer["counts"] == counts(dfa)
        assert answer["reverse"] == counts(dfa.reverse())
        assert answer["star"] == counts(dfa.star())
        assert answer["is_finite"] == dfa.is_finite() and answer["is_empty"] == dfa.is_empty()
        num_equal += 1
    assert num_equal == NUM_AUTOMATA


def test_two_automata(oracle):
    """Equivalence, half of the pairs being equivalent, and operations on two languages."""
    num_equivalent = 0
    for index, first in enumerate(random_automata(NUM_AUTOMATA, seed=2, max_states=6)):
        second = first.star().reverse().reverse() if index % 4 == 1 else first.reverse().reverse()
        if index % 2:
            second = DFA(second.transitions, accepting=~second.accepting, alphabet=second.alphabet)
        answer = oracle(kind="two", first=as_json(first), second=as_json(second), length=MAX_LENGTH)
        assert answer.pop("equivalent") == first.equivalent(second)
        num_equivalent += first.equivalent(second)
        for name, expected in answer.items():
            assert counts(getattr(first, name)(second)) == expected
    assert NUM_AUTOMATA // 3 < num_equivalent < 2 * NUM_AUTOMATA // 3


def random_expression(rng, depth):
    """Draw an expression in the grammar that both libraries read."""
    kind = rng.integers(2 if depth > 2 else 0, 7) if depth else 0
    if kind <= 1:
        return str(rng.choice(["a", "b", "c", "."]))
    if kind == 6:
        low = int(rng.integers(0, 3))
        return f"({random_expression(rng, depth - 1)}){{{low},{low + int(rng.integers(1, 3))}}}"
    inner = random_expression(rng, depth - 1)
    if kind in (2, 3):
        return f"({inner}){rng.choice(list('*+?'))}"
    return f"({inner}){'|' if kind == 4 else ''}({random_expression(rng, depth - 1)})"


def test_regular_expressions(oracle):
    """Word counts, and the same minimal automaton, read back from the other library."""
    rng = np.random.default_rng(3)
    num_equal = 0
    sizes = set()
    for _ in range(NUM_AUTOMATA):
        expression = random_expression(rng, depth=4)
        answer = oracle(kind="regex", expression=expression, alphabet="abc", length=MAX_LENGTH)
        dfa = DFA.from_regex(expression, alphabet="abc")
        assert counts(dfa) == answer["counts"], expression
        parts = answer["dfa"]
        parts["transitions"] = {int(q): row for q, row in parts["transitions"].items()}
        theirs = from_automata_lib(type("Theirs", (), parts), alphabet="abc")
        assert theirs.minimize() == dfa, expression
        num_equal += 1
        sizes.add(dfa.num_states)
    assert num_equal == NUM_AUTOMATA and len(sizes) >= 10
