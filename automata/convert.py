"""To and from the automata of other libraries, none of which is imported but networkx."""

from collections.abc import Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import networkx as nx
import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.files import check_size
from automata.subsets import subset_construction
from automata.validation import IntArray

__all__ = ["from_automata_lib", "from_networkx", "to_automata_lib", "to_networkx"]


def to_networkx(dfa: DFA) -> nx.MultiDiGraph:
    """Return a graph with one edge for every state and symbol.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    networkx.MultiDiGraph
        Nodes ``0, ..., num_states - 1`` with attributes ``accepting`` and, if there are outputs,
        ``output``; edges with attribute ``symbol``, also their key; graph attributes ``initial``
        and ``alphabet``.

    Examples
    --------
    >>> graph = to_networkx(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab"))
    >>> graph.nodes[1], list(graph.edges(data="symbol"))
    ({'accepting': True}, [(0, 0, 'a'), (0, 1, 'b'), (1, 1, 'a'), (1, 0, 'b')])
    """
    graph = nx.MultiDiGraph(initial=dfa.initial, alphabet=dfa.alphabet)
    for state in range(dfa.num_states):
        graph.add_node(state, accepting=bool(dfa.accepting[state]))
        if dfa.outputs is not None:
            graph.nodes[state]["output"] = int(dfa.outputs[state])
    for state, row in enumerate(dfa.transitions.tolist()):
        for symbol, target in zip(dfa.alphabet, row, strict=True):
            graph.add_edge(state, target, key=symbol, symbol=symbol)
    return graph


def from_networkx(
    graph: nx.DiGraph,
    initial: Hashable = None,
    alphabet: Iterable[Hashable] | None = None,
    sink_output: int | None = None,
) -> DFA:
    """Read an automaton from a directed graph.

    Parameters
    ----------
    graph : networkx.DiGraph or networkx.MultiDiGraph
        With attributes as `to_networkx` writes them; nodes may be anything hashable, and
        ``accepting`` may be absent, which means no.
    initial : node, optional
        By default the graph attribute ``initial``.
    alphabet : iterable of hashable, optional
        By default the graph attribute ``alphabet``; without it the symbols on edges, sorted.
    sink_output : int, optional
        Output of the sink; required if there are outputs and a sink.

    Returns
    -------
    DFA
        States in the order of the graph's nodes; where transitions are missing, a sink as the
        last one.

    Raises
    ------
    InputError
        If the graph is undirected or empty, an attribute is missing or wrong, or two transitions
        contradict each other.

    Examples
    --------
    >>> graph = nx.DiGraph(initial="even")
    >>> graph.add_node("even", accepting=True)
    >>> graph.add_edges_from([("even", "odd"), ("odd", "even")], symbol="a")
    >>> from_networkx(graph)
    DFA(num_states=2, num_symbols=1, initial=0, num_accepting=1)
    """
    if not isinstance(graph, nx.DiGraph) or not len(graph):
        raise InputError("give a directed graph with at least one node")
    number = {node: index for index, node in enumerate(graph)}
    initial = graph.graph.get("initial") if initial is None else initial
    if initial not in number:
        raise InputError(f"initial is {initial!r}: give a node of the graph")
    edges = list(graph.edges(data="symbol"))
    unnamed = next(((a, b) for a, b, symbol in edges if symbol is None), None)
    if unnamed is not None:
        raise InputError(f"the edge from {unnamed[0]!r} to {unnamed[1]!r} has no symbol: give one")
    alphabet = graph.graph.get("alphabet") if alphabet is None else alphabet
    symbols = _ordered(s for _, _, s in edges) if alphabet is None else tuple(alphabet)
    table = _partial_table(
        len(number), symbols, [(number[source], s, number[target]) for source, target, s in edges]
    )
    accepting = [number[node] for node, flag in graph.nodes(data="accepting") if flag]
    outputs = [output for _, output in graph.nodes(data="output")]
    if all(output is None for output in outputs):
        return DFA.from_partial(table, number[initial], accepting, symbols)
    if any(output is None for output in outputs):
        raise InputError("some nodes have an output and others none: give all or none")
    return DFA.from_partial(table, number[initial], accepting, symbols, outputs, sink_output)


def to_automata_lib(dfa: DFA) -> dict[str, Any]:
    """Return the keyword arguments that build the same automaton in automata-lib.

    Parameters
    ----------
    dfa : DFA
        Symbols become text by ``str``, as automata-lib wants them; outputs are left out.

    Returns
    -------
    dict
        For its class: ``automata.fa.dfa.DFA(**to_automata_lib(dfa))``.

    Raises
    ------
    InputError
        If two symbols have the same text.

    Examples
    --------
    >>> arguments = to_automata_lib(DFA([[0, 1], [1, 0]], accepting=[1]))
    >>> arguments["transitions"], arguments["final_states"]
    ({0: {'0': 0, '1': 1}, 1: {'0': 1, '1': 0}}, {1})
    """
    names = [str(symbol) for symbol in dfa.alphabet]
    if len(set(names)) != len(names):
        raise InputError(f"two symbols of {dfa.alphabet!r} have the same text: rename one")
    return {
        "states": set(range(dfa.num_states)),
        "input_symbols": set(names),
        "transitions": {
            state: dict(zip(names, row, strict=True))
            for state, row in enumerate(dfa.transitions.tolist())
        },
        "initial_state": dfa.initial,
        "final_states": set(np.flatnonzero(dfa.accepting).tolist()),
        "allow_partial": False,
    }


def from_automata_lib(automaton: Any, alphabet: Iterable[Hashable] | None = None) -> DFA:
    """Read an automaton of automata-lib, deterministic or not, by its attributes.

    Parameters
    ----------
    automaton : object
        With ``states``, ``input_symbols``, ``transitions``, ``initial_state``, ``final_states``;
        transitions lead to a state, or to a set of states, also on the empty string.
    alphabet : iterable of hashable, optional
        The order of its symbols; by default sorted.

    Returns
    -------
    DFA
        If its states are the integers from 0, these stay; others are numbered in breadth-first
        order, the unreachable last in order of ``repr``. Where transitions are missing, a sink is
        the last state. Of a nondeterministic one, subsets of states, not minimal.

    Raises
    ------
    InputError
        If attributes are missing or do not fit.

    Examples
    --------
    >>> import types
    >>> odd = types.SimpleNamespace(
    ...     states={"even", "odd"}, input_symbols={"a"}, initial_state="even", final_states={"odd"},
    ...     transitions={"even": {"a": "odd"}, "odd": {"a": "even"}})
    >>> from_automata_lib(odd).transitions.tolist()
    [[1], [0]]
    """
    try:
        states, input_symbols = set(automaton.states), set(automaton.input_symbols)
        initial, final = automaton.initial_state, set(automaton.final_states)
        arrows = [
            (source, symbol, target)
            for source, row in automaton.transitions.items()
            for symbol, target in row.items()
        ]
    except (AttributeError, TypeError) as error:
        raise InputError(f"this is no automaton of automata-lib: {error}") from None
    symbols = _ordered(input_symbols) if alphabet is None else tuple(alphabet)
    if set(symbols) != input_symbols:
        raise InputError(f"the alphabet {symbols!r} has not the symbols of the automaton")
    is_deterministic = not any(isinstance(target, AbstractSet) for _, _, target in arrows)
    single = [
        (source, symbol, one)
        for source, symbol, target in arrows
        for one in (target if isinstance(target, AbstractSet) else (target,))
    ]
    for state in [initial, *final, *(s for s, _, _ in single), *(t for _, _, t in single)]:
        if state not in states:
            raise InputError(f"state {state!r} is not among the states of the automaton")
    number = _numbered(states, initial, single)
    named = [(number[source], symbol, number[target]) for source, symbol, target in single]
    accepting = sorted(number[state] for state in final)
    if is_deterministic:
        table = _partial_table(len(number), symbols, named)
        return DFA.from_partial(table, number[initial], accepting, symbols)
    index = {symbol: position for position, symbol in enumerate(symbols)}
    moves: list[list[tuple[list[int], list[int]]]] = [[] for _ in number]
    without_letter: list[list[int]] = [[] for _ in number]
    for source, symbol, target in named:
        if symbol == "":
            without_letter[source].append(target)
        elif symbol in index:
            moves[source].append(([index[symbol]], [target]))
        else:
            raise InputError(f"symbol {symbol!r} is not in the alphabet {symbols!r}")
    subsets, mask = subset_construction(
        len(symbols), moves, [number[initial]], accepting, without_letter
    )
    return DFA(subsets, 0, mask, symbols)


def _ordered(things: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Sort distinct things by themselves if they can be compared, else by ``repr``."""
    distinct = set(things)
    try:
        return tuple(sorted(distinct))  # type: ignore[type-var]
    except TypeError:
        return tuple(sorted(distinct, key=repr))


def _numbered(
    states: set[Hashable], initial: Hashable, arrows: list[tuple[Hashable, Hashable, Hashable]]
) -> Mapping[Hashable, int]:
    """Number states in an order that does not hang on the hash seed."""
    if all(type(state) is int for state in states) and states == set(range(len(states))):
        return {state: state for state in states if isinstance(state, int)}
    successors: dict[Hashable, list[tuple[str, str, Hashable]]] = {}
    for source, symbol, target in arrows:
        successors.setdefault(source, []).append((repr(symbol), repr(target), target))
    number = {initial: 0}
    for state in (order := [initial]):
        for _, _, target in sorted(successors.get(state, []), key=lambda arrow: arrow[:2]):
            if target not in number:
                number[target] = len(number)
                order.append(target)
    for state in sorted(states - set(number), key=repr):
        number[state] = len(number)
    return number


def _partial_table(
    num_states: int, symbols: tuple[Hashable, ...], arrows: list[tuple[int, Hashable, int]]
) -> IntArray:
    """Fill a table with -1 where no transition is given."""
    if not symbols:
        raise InputError("the automaton has no symbols: give alphabet")
    check_size(num_states + 1, len(symbols))
    index = {symbol: position for position, symbol in enumerate(symbols)}
    table = np.full((num_states, len(symbols)), -1, dtype=np.int64)
    for source, symbol, target in arrows:
        if symbol not in index:
            raise InputError(f"symbol {symbol!r} is not in the alphabet {symbols!r}")
        cell = source, index[symbol]
        if table[cell] not in (-1, target):
            raise InputError(
                f"two transitions leave state {source} on symbol {symbol!r}, to {table[cell]} and "
                f"{target}: give a deterministic automaton"
            )
        table[cell] = target
    return table
