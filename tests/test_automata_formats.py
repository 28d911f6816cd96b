"""JSON, AT&T, DOT, networkx and automata-lib: there and back, and as others write them."""

import itertools
import json
import types

import networkx as nx
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
from tests.format_cases import EVEN

few = settings(derandomize=True, max_examples=80, deadline=None)
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
