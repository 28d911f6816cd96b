"""Files of automata from strangers, in large numbers: read, or refused in one line, quickly."""

import random
import resource
import sys
import time

import pytest

from automata.att import from_att, to_att
from automata.dfa import DFA
from automata.errors import InputError
from automata.serialization import from_json, to_json
from tests.format_cases import mutated

EXPRESSIONS = ("(aa)*b", ".*ab.", "(a|bc){2,3}", "[^a]*", "a*b*c*")
SECONDS = 1.0
MEGABYTES = 200


@pytest.mark.parametrize("count", [500, pytest.param(50_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("write", "read"), [(to_json, from_json), (to_att, from_att)])
@pytest.mark.timeout(1200)
def test_mutated_texts_are_read_or_refused(write, read, count):
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = random.Random(7)
    texts = [write(DFA.from_regex(expression, alphabet="abc")) for expression in EXPRESSIONS]
    num_read = 0
    for _ in range(count):
        text = mutated(rng.choice(texts), rng)
        start = time.process_time()
        try:
            dfa = read(text)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < 1000
        else:
            num_read += 1
            assert from_json(to_json(dfa)) == dfa
        assert time.process_time() - start < SECONDS
    assert 0.02 * count < num_read < 0.95 * count
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    assert grown < MEGABYTES


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "statetrack-dfa", "version": 1, "alphabet": [' + "0," * 10**6 + "0]}",
        "[" * 10**6,
        '{"a":' * 10**5,
        '"' + "x" * 10**7,
        "9" * 10**6,
        '{"initial": ' + "9" * 5000 + "}",
        "\ufeff" * 100,
        '{"format": "statetrack-dfa", "format": "statetrack-dfa"}',
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_bombs_are_refused_at_once(text):
    start = time.process_time()
    for read in (from_json, from_att):
        with pytest.raises(InputError) as refusal:
            read(text)
        assert len(str(refusal.value).splitlines()) == 1
        assert len(str(refusal.value)) < 1000
    assert time.process_time() - start < 3
