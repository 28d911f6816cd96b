"""JSON, AT&T, DOT, networkx and automata-lib: there and back, and hostile files."""

import itertools
import json
import random
import time
import types
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.att import from_att, read_att, symbol_table, to_att, write_att
from automata.convert import from_automata_lib, from_networkx, to_automata_lib, to_networkx
from automata.dfa import DFA
from automata.dot import to_dot
from automata.errors import InputError
from automata.labels import edge_labels
from automata.serialization import from_json, read_json, to_json, write_json

few = settings(derandomize=True, max_examples=80, deadline=None)

EVEN = DFA([[0, 1], [1, 0]], accepting=[0], alphabet="ab")
SYMBOLS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=3),
    st.integers(-(2**70), 2**70),
    st.tuples(st.integers(0, 3), st.text("ab", max_size=2)),
)
PLAIN = st.text(st.characters(categories=("L", "P", "S")), min_size=1, max_size=3)


@st.composite
def automata(draw, symbols=SYMBOLS, with_outputs=True):
    alphabet = draw(st.lists(symbols, min_size=1, max_size=4, unique=True))
    num_states = draw(st.integers(1, 6))
    state = st.integers(0, num_states - 1)
    row = st.lists(state, min_size=len(alphabet), max_size=len(alphabet))
    table = draw(st.lists(row, min_size=num_states, max_size=num_states))
    some = st.lists(st.integers(0, 9), min_size=num_states, max_size=num_states)
    outputs = draw(st.none() | some) if with_outputs else None
    return DFA(table, draw(state), draw(st.sets(state)), alphabet, outputs)


@given(automata())
@few
def test_json_there_and_back(dfa):
    again = from_json(to_json(dfa))
    assert again == dfa and to_json(again) == to_json(dfa)
    assert from_json(json.dumps(json.loads(to_json(dfa)))) == dfa


@given(automata(PLAIN, with_outputs=False))
@few
def test_att_there_and_back(dfa):
    text = to_att(dfa)
    assert from_att(text, alphabet=dfa.alphabet) == dfa
    assert from_att(text.replace("\t", "  ").replace("\n", "\r\n") + "\n\n", dfa.alphabet) == dfa
    assert from_att("\ufeff" + text, dfa.alphabet) == dfa
    three_fields = "\n".join("\t".join(line.split("\t")[:3]) for line in text.split("\n"))
    assert from_att(three_fields, dfa.alphabet) == dfa
    assert len(symbol_table(dfa).split("\n")) == dfa.num_symbols + 1


@given(automata())
@few
def test_networkx_there_and_back(dfa):
    graph = to_networkx(dfa)
    assert graph.number_of_edges() == dfa.num_states * dfa.num_symbols
    assert from_networkx(graph) == dfa


@given(automata(PLAIN, with_outputs=False))
@few
def test_automata_lib_there_and_back(dfa):
    twin = types.SimpleNamespace(**to_automata_lib(dfa))
    assert from_automata_lib(twin, dfa.alphabet) == dfa
    names = {q: f"q{q}" for q in range(dfa.num_states)}
    renamed = types.SimpleNamespace(
        states=set(names.values()),
        input_symbols=twin.input_symbols,
        initial_state=names[dfa.initial],
        final_states={names[q] for q in twin.final_states},
        transitions={
            names[q]: {s: names[t] for s, t in row.items()} for q, row in twin.transitions.items()
        },
    )
    assert from_automata_lib(renamed, dfa.alphabet).isomorphic(dfa)
    assert from_automata_lib(renamed).num_states == dfa.num_states


def test_files(tmp_path):
    for write, read, name in [(write_json, read_json, "a.json"), (write_att, read_att, "a.att")]:
        write(EVEN, tmp_path / name)
        assert read(tmp_path / name) == read(str(tmp_path / name)) == EVEN
        data = (tmp_path / name).read_bytes()
        assert data.endswith(b"\n") and b"\r" not in data
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
        assert read(tmp_path / name) == EVEN
        (tmp_path / name).write_bytes(b"\xff\xfe" + data)
        with pytest.raises(InputError, match="no UTF-8 text: byte 0"):
            read(tmp_path / name)
        for path, message in [
            (tmp_path / "none", "cannot read .*No such file"),
            (tmp_path, "no ordinary file"),
            ("/dev/zero", "no ordinary file"),
            ("a\0b", "give the path"),
            (None, "give the path"),
        ]:
            with pytest.raises(InputError, match=message):
                read(path)
        with pytest.raises(InputError, match="cannot write"):
            write(EVEN, tmp_path / "none" / name)


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


def test_att_as_other_programs_write_it():
    """States in any order, the first line's source initial, neutral weights, identity labels."""
    dfa = from_att("7 3 b b\n3 3 a a 0\n3 7 b b 0.000000\n7 0.0\n")
    assert dfa.initial == 1 and dfa.alphabet == ("a", "b")
    assert dfa.transitions.tolist() == [[0, 1], [2, 0], [2, 2]]
    assert dfa.accepting.tolist() == [False, True, False]
    numbers = from_att("0 0 10\n0 0 9\n0 0 100\n0")
    assert numbers.alphabet == ("9", "10", "100")
    assert from_att(to_att(DFA([[0, 0, 0]])), alphabet=range(3)).alphabet == (0, 1, 2)
    only_final = from_att("5", alphabet="ab")
    assert only_final.count_words(0) == 1 and only_final.count_words(1) == 0


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


def test_dot():
    dfa = DFA([[0, 1], [1, 0]], 1, [1], alphabet=['"', "\\n"], outputs=[3, 4])
    text = to_dot(dfa, name='a"b\n')
    assert text.startswith('digraph "a\\"b\\n" {\n') and text.endswith("\n}")
    assert '1 [label="1/4", shape=doublecircle];' in text and "start -> 1;" in text
    assert '0 -> 0 [label="\\""];' in text and '0 -> 1 [label="\\\\n"];' in text
    assert text.count("->") == 5 and text.count("\n") == 11
    merged = DFA([[0, 0, 0, 1], [1, 1, 0, 1]], alphabet="abcd")
    assert edge_labels(merged) == {(0, 0): "a–c", (0, 1): "d", (1, 0): "c", (1, 1): "a, b, d"}
    assert edge_labels(DFA([[0, 0, 0]], alphabet="acb")) == {(0, 0): "a, c, b"}
    assert edge_labels(DFA([[0, 0]], alphabet=["", " "])) == {(0, 0): "'', ' '"}
    assert edge_labels(DFA([[0] * 12])) == {(0, 0): "0–11"}


def test_networkx_from_elsewhere():
    graph = nx.DiGraph()
    graph.add_edge("even", "odd", symbol=1)
    graph.add_edge("odd", "even", symbol=1)
    graph.nodes["odd"]["accepting"] = True
    dfa = from_networkx(graph, initial="even", alphabet=[0, 1])
    assert dfa.transitions.tolist() == [[2, 1], [2, 0], [2, 2]] and dfa.accepts([1, 1, 1])
    undirected, empty, no_symbol = nx.Graph([(0, 1)]), nx.DiGraph(), nx.DiGraph([(0, 1)])
    for bad, message in [
        (undirected, "directed graph"),
        (empty, "at least one node"),
        (no_symbol, "the edge from 0 to 1 has no symbol"),
        ("graph", "directed graph"),
    ]:
        with pytest.raises(InputError, match=message):
            from_networkx(bad, initial=0)
    with pytest.raises(InputError, match="initial is None"):
        from_networkx(graph)
    with pytest.raises(InputError, match="symbol 1 is not in the alphabet"):
        from_networkx(graph, initial="even", alphabet=[0])
    with pytest.raises(InputError, match="no symbols"):
        from_networkx(nx.DiGraph({0: []}), initial=0)
    twice = nx.MultiDiGraph()
    twice.add_edge(0, 0, symbol="a")
    twice.add_edge(0, 1, symbol="a")
    with pytest.raises(InputError, match="two transitions leave state 0 on symbol 'a'"):
        from_networkx(twice, initial=0)
    moore = to_networkx(DFA([[0, 1], [1, 0]], outputs=[1, 2]))
    moore.remove_edge(0, 1)
    with pytest.raises(InputError, match="give sink_output"):
        from_networkx(moore)
    assert from_networkx(moore, sink_output=5).outputs.tolist() == [1, 2, 5]
    del moore.nodes[1]["output"]
    with pytest.raises(InputError, match="some nodes have an output"):
        from_networkx(moore)


def test_automata_lib_by_attributes():
    machine = types.SimpleNamespace(
        states={"p", "q"},
        input_symbols={"b", "a"},
        transitions={"p": {"a": {"p", "q"}, "b": {"p"}}, "q": {"": {"p"}}},
        initial_state="p",
        final_states={"q"},
    )
    assert from_automata_lib(machine).minimize() == DFA.from_regex(".*a", alphabet="ab")
    machine.transitions = {"p": {"a": "q"}}
    assert from_automata_lib(machine).minimize() == DFA.from_regex("a", alphabet="ab")
    assert from_automata_lib(machine, "ba").alphabet == ("b", "a")
    for change, message in [
        ({"final_states": {"r"}}, "state 'r' is not among"),
        ({"initial_state": "r"}, "state 'r'"),
        ({"transitions": {"p": {"a": "r"}}}, "state 'r'"),
        ({"transitions": {"p": {"c": "q"}}}, "symbol 'c' is not in"),
        ({"transitions": {"p": {"c": {"q"}}}}, "symbol 'c' is not in"),
        ({"transitions": 3}, "no automaton of automata-lib"),
        ({"input_symbols": set()}, "no symbols"),
    ]:
        with pytest.raises(InputError, match=message):
            from_automata_lib(types.SimpleNamespace(**{**vars(machine), **change}))
    with pytest.raises(InputError, match="has not the symbols"):
        from_automata_lib(machine, "abc")
    with pytest.raises(InputError, match="no automaton of automata-lib"):
        from_automata_lib("abc")
    with pytest.raises(InputError, match="same text"):
        to_automata_lib(DFA([[0, 0]], alphabet=[1, "1"]))


FRAGMENTS = [
    *'0123456789-+.,:[]{}"\\/ \t\n\r\0eEé٣',
    "null",
    "true",
    "NaN",
    "<eps>",
    "99999999999999999999",
    "1e999",
    '"initial": 0, ',
    "[[[[",
    "0 0 a\n",
    "\ufeff",
    "\U0001f600",
]


def mutated(text, rng):
    """Cut, copy, swap and insert at random, one to four times."""
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.choices(range(len(text) + 1), k=2))
        end = min(end, start + rng.choice([1, 1, 2, 8, 1000]))
        piece = text[start:end]
        new = rng.choice(["", rng.choice(FRAGMENTS), piece * 2, piece * 50, piece[::-1], "7"])
        text = text[:start] + new + text[end:]
    return text


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


def test_numbering_does_not_hang_on_the_order_of_sets():
    states = [f"q{i}" for i in range(6)]
    twins = []
    for order in itertools.islice(itertools.permutations(states), 0, 700, 100):
        twins.append(
            from_automata_lib(
                types.SimpleNamespace(
                    states=dict.fromkeys(order),
                    input_symbols={"a", "b"},
                    initial_state="q2",
                    final_states={"q1"},
                    transitions={
                        q: {"b": states[i // 2], "a": states[(i * i) % 5]}
                        for i, q in sorted(enumerate(states), key=lambda p: order.index(p[1]))
                    },
                )
            )
        )
    assert len(set(twins)) == 1 and twins[0].initial == 0
