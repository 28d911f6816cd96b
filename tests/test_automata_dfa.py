"""Automata against brute force over all short words, and against networkx."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.boolean_operations import reachable_product
from automata.dfa import DFA
from automata.errors import InputError
from automata.minimization import coarsest_stable_partition
from automata.reachability import breadth_first_order, has_cycle

few = settings(derandomize=True, max_examples=60, deadline=None)

EVEN = DFA([[0, 1], [1, 0]], accepting=[0], alphabet="ab")


@st.composite
def automata(draw, num_symbols=2, max_states=6, with_outputs=False):
    num_states = draw(st.integers(1, max_states))
    state = st.integers(0, num_states - 1)
    row = st.lists(state, min_size=num_symbols, max_size=num_symbols)
    table = draw(st.lists(row, min_size=num_states, max_size=num_states))
    accepting = draw(st.lists(st.booleans(), min_size=num_states, max_size=num_states))
    outputs = None
    if with_outputs:
        outputs = draw(st.lists(st.integers(0, 2), min_size=num_states, max_size=num_states))
    return DFA(table, draw(state), accepting, outputs=outputs)


def step_by_step(dfa, word):
    """Run one word through plain Python lists."""
    state = dfa.initial
    states = [state]
    for letter in word:
        state = dfa.transitions.tolist()[state][letter]
        states.append(state)
    return states


def all_words(num_symbols, max_length):
    for length in range(max_length + 1):
        yield from itertools.product(range(num_symbols), repeat=length)


def view(dfa, word):
    """What can be seen after a word."""
    state = step_by_step(dfa, word)[-1]
    output = None if dfa.outputs is None else int(dfa.outputs[state])
    return bool(dfa.accepting[state]), output


def first_difference(first, second, max_length):
    return next(
        (
            list(w)
            for w in all_words(first.num_symbols, max_length)
            if view(first, w) != view(second, w)
        ),
        None,
    )


def moore_partition(dfa):
    """Moore's refinement, the textbook loop: groups of states by what every word shows."""
    labels = [(bool(a), 0) for a in dfa.accepting]
    if dfa.outputs is not None:
        labels = [(bool(a), int(o)) for a, o in zip(dfa.accepting, dfa.outputs, strict=True)]
    while True:
        refined = [
            (labels[q], *(labels[t] for t in row)) for q, row in enumerate(dfa.transitions.tolist())
        ]
        numbers = {label: index for index, label in enumerate(dict.fromkeys(refined))}
        if len(numbers) == len(set(labels)):
            return [numbers[label] for label in refined]
        labels = [numbers[label] for label in refined]


def as_graph(dfa):
    part = dfa.accessible()
    graph = nx.MultiDiGraph()
    for state in range(part.num_states):
        graph.add_node(state, label=(state == part.initial, bool(part.accepting[state])))
    for state, symbol in np.ndindex(part.num_states, part.num_symbols):
        graph.add_edge(state, int(part.transitions[state, symbol]), symbol=symbol)
    return graph


@given(automata(), st.integers(0, 5), st.integers(0, 4), st.integers(0, 2**32 - 1))
@few
def test_trace_run_accepts_follow_the_table(dfa, length, count, seed):
    words = np.random.default_rng(seed).integers(0, 2, (2, count, length))
    traced = dfa.trace(words)
    assert traced.shape == (2, count, length + 1) and traced.dtype == np.int64
    for index in np.ndindex(2, count):
        assert traced[index].tolist() == step_by_step(dfa, words[index].tolist())
    assert (dfa.run(words) == traced[..., -1]).all()
    assert (dfa.accepts(words) == dfa.accepting[traced[..., -1]]).all()


def test_trace_of_more_words_than_a_chunk_holds():
    words = np.random.default_rng(0).integers(0, 2, (9000, 7))
    assert (EVEN.trace(words)[:, 1:] == words.cumsum(axis=1) % 2).all()
    assert (EVEN.trace(words[:, ::2]) == EVEN.trace(words[:, ::2].copy())).all()


def test_reading_words():
    assert EVEN.trace("abb").tolist() == [0, 0, 1, 0]
    assert EVEN.trace(["a", "b", "b"]).tolist() == [0, 0, 1, 0]
    assert EVEN.trace([0, 1, 1]).tolist() == [0, 0, 1, 0]
    assert EVEN.trace(np.array([0, 1, 1], dtype=np.uint8)).tolist() == [0, 0, 1, 0]
    assert EVEN.trace([["a", "b"], ["b", "b"]]).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert EVEN.accepts([[1, 1], [0, 1]]).tolist() == [True, False]
    swapped = DFA([[0, 1], [1, 0]], alphabet=[1, 0])
    assert swapped.run([1]) == 0 and swapped.run(np.array([1])) == 1


def test_the_empty_word():
    for empty in ("", [], (), np.array([], dtype=int)):
        assert EVEN.trace(empty).tolist() == [0]
        assert EVEN.run(empty) == 0 and EVEN.accepts(empty)
    assert EVEN.trace(np.zeros((3, 0), int)).shape == (3, 1)
    assert EVEN.trace(np.zeros((0, 5), int)).shape == (0, 6)
    assert EVEN.run(np.zeros((2, 0, 5), int)).shape == (2, 0)


@given(automata(max_states=8), automata(with_outputs=True))
@few
def test_minimize_agrees_with_moore(plain, moore):
    for dfa in (plain, moore):
        minimal = dfa.minimize()
        part = dfa.accessible()
        groups = moore_partition(part)
        assert minimal.num_states == len(set(groups))
        assert first_difference(dfa, minimal, 5) is None
        assert minimal.minimize() == minimal
        found = coarsest_stable_partition(part.transitions, part._labels())
        assert len(set(zip(groups, found.tolist(), strict=True))) == len(set(groups))


@given(automata(max_states=4), automata(max_states=4), st.booleans())
@few
def test_distinguishing_word_is_a_shortest_one(first, second, same):
    second = first.minimize() if same else second
    # Two automata of n and m states differ on a word shorter than n + m, if on any.
    expected = first_difference(first, second, first.num_states + second.num_states - 1)
    word = first.distinguishing_word(second)
    assert (word is None) == (expected is None) == first.equivalent(second)
    if word is not None:
        assert len(word) == len(expected)
        assert first.accepts(word) != second.accepts(word)


@given(automata(with_outputs=True, max_states=4), automata(with_outputs=True, max_states=4))
@few
def test_outputs_are_told_apart(first, second):
    expected = first_difference(first, second, first.num_states + second.num_states - 1)
    word = first.distinguishing_word(second)
    assert (word is None) == (expected is None)
    assert word is None or len(word) == len(expected)


def test_long_shortest_witness():
    """Cycles of 7 and 11 states that accept everything but one position differ late."""

    def clock(period):
        return DFA([[(q + 1) % period] for q in range(period)], 0, range(period - 1))

    assert clock(7).distinguishing_word(clock(11)) == [0] * 6
    product = clock(7).union(clock(11))
    always = DFA([[0]], 0, [0])
    assert product.distinguishing_word(always) == [0] * 76


@given(automata(max_states=5), automata(max_states=5), st.permutations(range(5)))
@few
def test_isomorphic_agrees_with_networkx(first, second, order):
    def networkx_says(a, b):
        return nx.is_isomorphic(
            as_graph(a),
            as_graph(b),
            node_match=lambda x, y: x == y,
            edge_match=lambda x, y: (
                sorted(e["symbol"] for e in x.values()) == sorted(e["symbol"] for e in y.values())
            ),
        )

    assert first.isomorphic(second) == networkx_says(first, second)
    order = [q for q in order if q < first.num_states]
    name = np.argsort(order)
    renamed = DFA(name[first.transitions[order]], int(name[first.initial]), first.accepting[order])
    assert first.isomorphic(renamed) and networkx_says(first, renamed)
    assert first.accessible() == renamed.accessible()


@given(automata(), automata())
@few
def test_boolean_operations_word_by_word(first, second):
    words = list(all_words(2, 5))
    a = np.array([view(first, w)[0] for w in words])
    b = np.array([view(second, w)[0] for w in words])
    for dfa, expected in [
        (first.complement(), ~a),
        (first.intersection(second), a & b),
        (first.union(second), a | b),
        (first.difference(second), a & ~b),
        (first.symmetric_difference(second), a ^ b),
    ]:
        assert [view(dfa, w)[0] for w in words] == expected.tolist()
    assert first.symmetric_difference(second).is_empty() == first.equivalent(second)


@given(automata(max_states=5))
@few
def test_counts_emptiness_finiteness(dfa):
    counts = [sum(view(dfa, w)[0] for w in itertools.product((0, 1), repeat=n)) for n in range(11)]
    assert [dfa.count_words(n) for n in range(11)] == counts
    assert dfa.is_empty() == (not any(counts[:5]))
    # An infinite language has a word whose length lies in [n, 2n).
    assert dfa.is_finite() == (not any(counts[dfa.num_states : 2 * dfa.num_states]))


def test_states_that_no_word_reaches_do_not_count():
    """State 2 accepts and loops, but only the word of length 1 leads to an accepting state."""
    dfa = DFA([[1], [3], [2], [3]], accepting=[1, 2])
    assert dfa.is_finite() and not dfa.is_empty()
    assert DFA([[0], [1]], accepting=[1]).is_empty()


def test_count_words_is_exact_for_long_words():
    assert EVEN.count_words(300) == 2**299
    assert DFA([[0, 0, 0]], accepting=[0]).count_words(200) == 3**200


@given(automata(), st.lists(st.booleans(), min_size=6, max_size=6))
@few
def test_cycles_agree_with_networkx(dfa, chosen):
    mask = np.array(chosen[: dfa.num_states])
    graph = nx.DiGraph()
    graph.add_nodes_from(range(dfa.num_states))
    graph.add_edges_from((q, t) for q, row in enumerate(dfa.transitions.tolist()) for t in row)
    inside = graph.subgraph(np.flatnonzero(mask).tolist())
    assert has_cycle(dfa.transitions, mask) == (not nx.is_directed_acyclic_graph(inside))
    reachable = {dfa.initial, *nx.descendants(graph, dfa.initial)}
    assert set(breadth_first_order(dfa.transitions, dfa.initial).tolist()) == reachable


def test_from_partial():
    dfa = DFA.from_partial([[1, -1], [-1, 0]], accepting=[0], alphabet="ab")
    assert dfa.num_states == 3 and dfa.transitions[2].tolist() == [2, 2]
    assert dfa.accepts("abab") and not dfa.accepts("aa") and not dfa.accepting[2]
    complete = DFA.from_partial([[0, 1], [1, 0]], accepting=[True, False], alphabet="ab")
    assert complete == EVEN
    moore = DFA.from_partial([[-1]], outputs=[4], sink_output=0)
    assert moore.outputs.tolist() == [4, 0]
    with pytest.raises(InputError, match="give sink_output"):
        DFA.from_partial([[-1]], outputs=[4])
    with pytest.raises(InputError, match="leads to -2"):
        DFA.from_partial([[-2]])
    with pytest.raises(InputError, match="initial is 1"):
        DFA.from_partial([[-1]], initial=1)


def test_accepting_as_mask_ids_set_or_range():
    tables = [[0, 1], [1, 0]]
    masks = [[1], {1}, range(1, 2), np.array([1]), [False, True], np.array([False, True])]
    assert len({DFA(tables, accepting=mask) for mask in masks}) == 1
    assert not DFA(tables).accepting.any()


def test_immutable_and_hashable():
    table = np.array([[0, 1], [1, 0]])
    dfa = DFA(table, accepting=[0])
    table[0, 0] = 1
    assert dfa == DFA([[0, 1], [1, 0]], accepting=[0]) and len({dfa, DFA([[0, 1], [1, 0]])}) == 2
    for array in (dfa.transitions, dfa.accepting):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        dfa.initial = 1
    assert dfa != DFA([[0, 1], [1, 0]], 1, [0]) and dfa != EVEN and dfa != "dfa"
    assert repr(dfa) == "DFA(num_states=2, num_symbols=2, initial=0, num_accepting=1)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transitions": [[0, 2], [1, 0]]}, "from state 0 on symbol 1 leads to 2: give a state"),
        ({"transitions": [[0, -1], [1, 0]]}, "leads to -1: .* complete the table with DFA.from_p"),
        ({"transitions": []}, r"shape \(0,\)"),
        ({"transitions": [[], []]}, r"transitions has shape \(2, 0\)"),
        ({"transitions": [0, 1]}, "shape"),
        ({"transitions": [[0, 1], [1]]}, "ragged"),
        ({"transitions": [[0.0, 1.0], [1.0, 0.0]]}, "float64"),
        ({"transitions": [["a", "b"]]}, "give integers"),
        ({"transitions": [[None, 0]]}, "give integers"),
        ({"transitions": np.array([[2**63]], dtype=np.uint64)}, "below 2"),
        ({"initial": 2}, "initial is 2: give an integer from 0 to 1"),
        ({"initial": "q0"}, "initial is 'q0'"),
        ({"accepting": [2]}, "accepting state 2 does not exist: give states from 0 to 1"),
        ({"accepting": [-1]}, "accepting state -1"),
        ({"accepting": [True]}, "mask has shape"),
        ({"accepting": 1}, "accepting is 1"),
        ({"accepting": "ab"}, "accepting holds"),
        ({"accepting": [0.5]}, "accepting holds float64"),
        ({"alphabet": "abc"}, "alphabet has 3 symbols: give 2"),
        ({"alphabet": "aa"}, "repeats a symbol"),
        ({"alphabet": [[], []]}, "unhashable"),
        ({"outputs": [1]}, "outputs has shape"),
        ({"outputs": [1, -1]}, "outputs holds -1"),
    ],
)
def test_bad_parts(arguments, message):
    valid = {"transitions": [[0, 1], [1, 0]]}
    with pytest.raises(InputError, match=message):
        DFA(**{**valid, **arguments})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("abc", r"symbol 'c' is not in the alphabet \('a', 'b'\)"),
        (["a", 1], "symbol 1 is not"),
        ([0, 2], "symbol index 2 is out of range: give indices from 0 to 1"),
        ([-1], "symbol index -1"),
        (np.array([0.5]), "float64"),
        (np.array(1), "single value"),
        ([["a"], ["a", "b"]], "different lengths"),
        ([["a"], "b"], "not in the alphabet"),
        ([True, False], "symbol True"),
    ],
)
def test_bad_words(word, message):
    for method in (EVEN.trace, EVEN.run, EVEN.accepts):
        with pytest.raises(InputError, match=message):
            method(word)


def test_alphabets_that_do_not_fit():
    assert EVEN.equivalent(DFA([[0, 1], [1, 0]], accepting=[0]))
    assert EVEN.union(DFA([[0, 0]])).alphabet == DFA([[0, 0]]).union(EVEN).alphabet == ("a", "b")
    for other in (DFA([[0, 0]], alphabet="ba"), DFA([[0]]), DFA([[0, 0, 0]])):
        for method in (EVEN.equivalent, EVEN.isomorphic, EVEN.union):
            with pytest.raises(InputError, match="alphabets"):
                method(other)
    with pytest.raises(InputError, match="give both or neither"):
        EVEN.equivalent(DFA([[0, 0]], outputs=[0], alphabet="ab"))


def test_product_refuses_to_grow_without_limit(monkeypatch):
    monkeypatch.setattr("automata.boolean_operations.MAX_PRODUCT_STATES", 5)
    with pytest.raises(InputError, match="more than 5 pairs: minimize both"):
        reachable_product(np.array([[1], [0]]), np.array([[1], [2], [0]]), (0, 0))


def test_large_automata_in_linear_time():
    """A counter of 30,000 states keeps 10 after minimising; nothing recurses."""
    size = 30_000
    counter = DFA([[(q + 1) % size, q] for q in range(size)], accepting=range(0, size, 10))
    small = DFA([[(q + 1) % 10, q] for q in range(10)], accepting=[0])
    assert counter.equivalent(small)
    assert counter.minimize() == small
