"""JSON and AT&T that is wrong, hostile, too large or changed at random: read or refused in time."""

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest

from automata.att import from_att, read_att, to_att
from automata.dfa import DFA
from automata.errors import InputError
from automata.serialization import from_json, read_json, to_json, write_json
from tests.format_cases import EVEN, mutated


def test_text_that_utf8_cannot_hold(tmp_path):
    dfa = DFA([[0]], alphabet=["\ud800"])
    assert from_json(to_json(dfa)) == dfa
    with pytest.raises(InputError, match="cannot be written as UTF-8"):
        write_json(dfa, tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_large_files_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(2**40)
    for read in (read_json, read_att):
        with pytest.raises(InputError, match="more than 16777216 bytes"):
            read(path)
    for read in (from_json, from_att):
        with pytest.raises(InputError, match="give at most 16777216"):
            read(" " * (2**24 + 1))


VALID = {
    "format": "statetrack-dfa",
    "version": 1,
    "alphabet": ["a", "b"],
    "initial": 0,
    "accepting": [0],
    "transitions": [[0, 1], [1, 0]],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "has format 'other': give 'statetrack-dfa'"),
        ({"version": 2}, "has version 2: this library reads version 1"),
        ({"version": True}, "version True"),
        ({"initial": 2}, "initial is 2: give an integer from 0 to 1"),
        ({"initial": "0"}, "initial is '0'"),
        ({"initial": None}, "initial is None"),
        ({"alphabet": []}, "alphabet is .*at least one"),
        ({"alphabet": "ab"}, "alphabet is 'ab'"),
        ({"alphabet": ["a", "a"]}, "repeats"),
        ({"alphabet": ["a", None]}, "alphabet holds None"),
        ({"alphabet": ["a", 0.5]}, "alphabet holds 0.5"),
        ({"alphabet": ["a"]}, "row 0 of transitions has 2 entries: give 1"),
        ({"transitions": []}, "transitions is .*at least one"),
        ({"transitions": [[0, 1], [1]]}, "row 1 of transitions has 1 entries: give 2"),
        ({"transitions": [[0, 1], 1]}, "row 1 of transitions is 1"),
        ({"transitions": [[0, -1], [1, 0]]}, "leads to -1"),
        ({"transitions": [[0, 2], [1, 0]]}, "leads to 2: give a state from 0 to 1"),
        ({"transitions": [[0, "1"], [1, 0]]}, "row 0 of transitions holds '1'"),
        ({"transitions": [[0, 10**30], [1, 0]]}, "64 bits"),
        ({"transitions": [[0, True], [1, 0]]}, "holds True"),
        ({"transitions": [[0, 1.0], [1, 0]]}, "holds 1.0"),
        ({"transitions": [["x" * 10**6, 1], [1, 0]]}, "row 0 of transitions holds 'xxx"),
        ({"accepting": [2]}, "accepting state 2 does not exist"),
        ({"accepting": [True, False]}, "accepting holds True"),
        ({"accepting": 0}, "accepting is 0"),
        ({"outputs": [1]}, "outputs has shape"),
        ({"outputs": [1, -1]}, "outputs holds -1"),
        ({"transition": 1}, "unknown JSON field 'transition': did you mean 'transitions'"),
    ],
)
def test_bad_json_fields(change, message):
    assert from_json(json.dumps(VALID)) == EVEN
    with pytest.raises(InputError, match=message) as caught:
        from_json(json.dumps({**VALID, **change}))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[]", "holds a list: give an object"),
        ("{", "no JSON"),
        ('{"version": 1}', "has no field 'format'"),
        ('{"version": 1, "version": 1}', "gives 'version' twice"),
        (json.dumps(VALID)[:-1] + ', "initial": 1}', "gives 'initial' twice"),
        (json.dumps(VALID).replace("[0]", "[NaN]"), "holds NaN"),
        (json.dumps(VALID).replace("[0]", "[-Infinity]"), "holds -Infinity"),
        ("[" * 100_000, "nested deeper than 16, at character 16"),
        ('{"a":' * 100_000, "nested deeper than 16"),
        ("[" + "[]," * 2**21 + "[]]", "more than 1048576 lists"),
        ("1" * 10_000, "no JSON"),
        ('"' + '\\"' * 100_000, "no JSON"),
        (b"{}", "of type bytes: give a str"),
    ],
)
def test_bad_json_texts(text, message):
    started = time.perf_counter()
    with pytest.raises(InputError, match=message):
        from_json(text)
    assert time.perf_counter() - started < 5


def test_symbols_that_json_has_no_place_for():
    for symbol in (0.5, None, frozenset(), True, ("a", 0.5)):
        with pytest.raises(InputError, match="has no place in JSON"):
            to_json(DFA([[0]], alphabet=[symbol]))
    assert from_json(to_json(DFA([[0]], alphabet=[np.int64(3)]))).alphabet == (3,)


def test_att_that_is_not_deterministic():
    """The last letter but one is a; then with moves on the empty word."""
    expected = DFA.from_regex(".*a.", alphabet="ab")
    text = "0 0 a\n0 0 b\n0 1 a\n1 2 a\n1 2 b\n2"
    assert from_att(text).minimize() == expected
    loop = "0 1 <eps>\n1 1 a\n1 2 @0@\n2 2 b\n2 0 <EPS>\n2"
    assert from_att(loop).minimize() == DFA.from_regex(".*", alphabet="ab")
    zero = from_att("0 0 a\n0 1 0\n1", epsilon=["0"])
    assert zero.minimize() == DFA.from_regex("a*", alphabet="a")
    assert from_att("0 0 a\n0 1 0\n1").alphabet == ("0", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no states"),
        ("\n \n", "no states"),
        ("0", "no symbols, and so no alphabet"),
        ("0 1 <eps>\n1", "no symbols"),
        ("0 1 a\nx 1 a", "line 2: 'x' is no state"),
        ("0 -1 a", "line 1: '-1' is no state"),
        ("0 ١ a", "is no state"),
        ("0 1.0 a", "is no state"),
        ("0 " + "9" * 1000 + " a", "is no state"),
        ("0 1 a b", "line 1 reads 'a' and writes 'b'"),
        ("0 1 a a 0.5", "line 1 has weight '0.5'"),
        ("0 1 a\n1 inf", "line 2 has weight 'inf'"),
        ("0 1 a a 0 0", "line 1 has 6 fields"),
        ("\n" * 2**19, "524289 lines"),
        (None, "give a str"),
    ],
)
def test_bad_att(text, message):
    with pytest.raises(InputError, match=message):
        from_att(text)


def test_bad_att_alphabets():
    with pytest.raises(InputError, match="line 2: symbol 'c' is not in the alphabet"):
        from_att("0 0 a\n0 0 c", alphabet="ab")
    for alphabet, message in [
        (["a b"], "white space"),
        ([""], "is empty"),
        (["<eps>"], "stands for the empty word"),
        ([1, "1"], "have the same text"),
    ]:
        with pytest.raises(InputError, match=message):
            to_att(DFA([[0] * len(alphabet)], alphabet=alphabet))
        with pytest.raises(InputError, match=message):
            from_att("0 0 a", alphabet=alphabet)
    with pytest.raises(InputError, match="no place for outputs"):
        to_att(DFA([[0]], outputs=[1]))


def test_tables_too_large_are_refused_before_memory_is_taken(monkeypatch):
    started = time.perf_counter()
    for count, message in [
        (20_000, "there are 20000 symbols: alphabets are read up to 10000"),
        (9_000, "18001 states and 9000 symbols make 162009000 transitions"),
    ]:
        lines = "\n".join(f"{state} {state + 1} s{state}" for state in range(0, 2 * count, 2))
        with pytest.raises(InputError, match=message):
            from_att(lines)
    assert time.perf_counter() - started < 5
    exponential = [
        "0 0 a",
        "0 0 b",
        "0 1 a",
        *(f"{q} {q + 1} {c}" for q in range(1, 40) for c in "ab"),
    ]
    monkeypatch.setattr("automata.subsets.MAX_SUBSETS", 1000)
    with pytest.raises(InputError, match="more than 1000 subsets"):
        from_att("\n".join([*exponential, "40"]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("write", "read"), [(to_json, from_json), (to_att, from_att)])
def test_mutated_files_are_read_or_refused(write, read, seed):
    """Nothing but our own error, quickly, and what is read is a valid automaton."""
    rng = random.Random(seed)
    texts = [
        write(DFA.from_regex(expression, alphabet="abc"))
        for expression in ("(aa)*b", ".*ab.", "(a|bc){2,3}", "[^a]*")
    ]
    num_refused = 0
    for _ in range(700):
        text = mutated(rng.choice(texts), rng)
        started = time.perf_counter()
        try:
            dfa = read(text)
        except InputError as error:
            num_refused += 1
            assert len(str(error)) < 1000
        else:
            assert read(write(dfa)).equivalent(dfa)
        assert time.perf_counter() - started < 2
    assert 100 < num_refused < 700


def test_mutated_bytes_of_files(tmp_path):
    rng = random.Random(0)
    for write, read in [(to_json, read_json), (to_att, read_att)]:
        data = write(EVEN).encode()
        path = Path(tmp_path, "file")
        for _ in range(300):
            changed = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            path.write_bytes(changed)
            try:
                dfa = read(path)
            except InputError:
                continue
            assert dfa.num_states >= 1
