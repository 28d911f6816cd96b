"""The AT&T text format of acceptors, as OpenFst, foma and HFST write it."""

import os
import re
import sys
from collections.abc import Collection, Hashable, Iterable
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.files import check_size, check_text, read_text, write_text
from automata.subsets import subset_construction

__all__ = ["EPSILON", "from_att", "read_att", "symbol_table", "to_att", "write_att"]

EPSILON: Final = ("<eps>", "<EPS>", "<epsilon>", "@0@", "@_EPSILON_SYMBOL_@")
MAX_LINES: Final = 2**19

_NO_WEIGHT: Final = re.compile(r"[+-]?0+(\.0*)?([eE][+-]?[0-9]{1,4})?", re.ASCII)


def to_att(dfa: DFA) -> str:
    """Write an automaton in AT&T format, one transition or accepting state a line.

    Parameters
    ----------
    dfa : DFA
        Symbols are written by ``str``: distinct, not empty, without white space.

    Returns
    -------
    str
        Lines ``source <tab> target <tab> symbol <tab> symbol`` (the symbol read and the one
        written, as in MLRegTest; ``fstcompile`` reads it without ``--acceptor``), those of the
        initial state first, and lines with one accepting state each.

    Raises
    ------
    InputError
        If a symbol cannot be written, or there are outputs, for which the format has no place.

    Examples
    --------
    >>> print(to_att(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab")).expandtabs(4))
    0   0   a   a
    0   1   b   b
    1   1   a   a
    1   0   b   b
    1
    """
    if dfa.outputs is not None:
        raise InputError("the AT&T format has no place for outputs: write JSON, or drop them")
    names = _names(dfa.alphabet, EPSILON)
    states = [dfa.initial, *(q for q in range(dfa.num_states) if q != dfa.initial)]
    rows = dfa.transitions.tolist()
    lines = [
        f"{state}\t{target}\t{name}\t{name}"
        for state in states
        for name, target in zip(names, rows[state], strict=True)
    ]
    lines.extend(str(state) for state in np.flatnonzero(dfa.accepting).tolist())
    return "\n".join(lines)


def symbol_table(dfa: DFA) -> str:
    """Write the symbols as an OpenFst symbol table, in which 0 is the empty word.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    str
        For ``fstcompile --isymbols=... --osymbols=...``.

    Examples
    --------
    >>> print(symbol_table(DFA([[0, 0]], alphabet="ab")).expandtabs(8))
    <eps>   0
    a       1
    b       2
    """
    names = [EPSILON[0], *_names(dfa.alphabet, EPSILON)]
    return "\n".join(f"{name}\t{number}" for number, name in enumerate(names))


def from_att(
    text: str,
    alphabet: Iterable[Hashable] | None = None,
    epsilon: Collection[str] = EPSILON,
) -> DFA:
    r"""Read an automaton in AT&T format.

    A line with three fields, ``source target symbol``, or four, ``source target symbol symbol``,
    is a transition; a line with one field is an accepting state. Fields are separated by blanks
    or tabs. The state that the first line starts from is initial. A further field, which would be
    a weight, must be zero (the neutral weight); transducers, whose two symbols differ, are
    refused.

    Parameters
    ----------
    text : str
    alphabet : iterable of hashable, optional
        The symbols, in order; the file names them by ``str``. By default those that occur in the
        file, sorted by value if all are numbers, else by code point.
    epsilon : collection of str
        The names of the empty word. The label ``0`` is a symbol like any other unless listed.

    Returns
    -------
    DFA
        Of a deterministic file, its states in order of their numbers, and where transitions are
        missing a sink as the last one. Of a nondeterministic one, subsets of states, breadth
        first, not minimal.

    Raises
    ------
    InputError
        On a line that is none of these, with its number; if a limit is passed.

    Notes
    -----
    Mohri, Pereira, Riley: "AT&T FSM Library", 1997; Allauzen et al.: "OpenFst: a general and
    efficient weighted finite-state transducer library", CIAA 2007.

    Examples
    --------
    >>> dfa = from_att("0 0 a\n0 1 b\n1")
    >>> dfa.alphabet, dfa.transitions.tolist(), dfa.accepting.tolist()
    (('a', 'b'), [[0, 1], [2, 2], [2, 2]], [False, True, False])
    """
    initial, arcs, final = _read_lines(check_text(text, "the AT&T text"))
    empty = frozenset(epsilon)
    found = {arc.symbol for arc in arcs} - empty
    symbols = _sorted_names(found) if alphabet is None else tuple(alphabet)
    check_size(1, len(symbols))
    if not symbols:
        raise InputError("the file has no symbols, and so no alphabet: give alphabet")
    index = {name: number for number, name in enumerate(_names(symbols, empty))}
    for arc in arcs:
        if arc.symbol not in index and arc.symbol not in empty:
            raise InputError(f"line {arc.line}: symbol {arc.symbol[:80]!r} is not in the alphabet")
    sources = {arc.source for arc in arcs}
    states = sorted({initial, *sources, *(arc.target for arc in arcs), *final})
    check_size(len(states) + 1, len(symbols))
    number = {state: position for position, state in enumerate(states)}
    accepting = [number[state] for state in final]
    table = np.full((len(states), len(symbols)), -1, dtype=np.int64)
    is_deterministic = True
    for arc in arcs:
        if arc.symbol in empty:
            is_deterministic = False
            break
        cell = number[arc.source], index[arc.symbol]
        if table[cell] not in (-1, number[arc.target]):
            is_deterministic = False
            break
        table[cell] = number[arc.target]
    if is_deterministic:
        return DFA.from_partial(table, number[initial], accepting, symbols)
    moves: list[list[tuple[list[int], list[int]]]] = [[] for _ in states]
    without_letter: list[list[int]] = [[] for _ in states]
    for arc in arcs:
        source, target = number[arc.source], number[arc.target]
        if arc.symbol in empty:
            without_letter[source].append(target)
        else:
            moves[source].append(([index[arc.symbol]], [target]))
    subsets, mask = subset_construction(
        len(symbols), moves, [number[initial]], accepting, without_letter
    )
    return DFA(subsets, 0, mask, symbols)


def write_att(dfa: DFA, path: str | os.PathLike[str]) -> None:
    """Write an automaton to a file in AT&T format (see `to_att`).

    Parameters
    ----------
    dfa : DFA
    path : str or path-like
    """
    write_text(to_att(dfa) + "\n", path)


def read_att(
    path: str | os.PathLike[str],
    alphabet: Iterable[Hashable] | None = None,
    epsilon: Collection[str] = EPSILON,
) -> DFA:
    """Read an automaton from a file in AT&T format (see `from_att`).

    Parameters
    ----------
    path : str or path-like
    alphabet, epsilon
        As for `from_att`.

    Returns
    -------
    DFA
    """
    return from_att(read_text(path), alphabet, epsilon)


class _Arc(NamedTuple):
    line: int
    source: int
    target: int
    symbol: str


def _read_lines(text: str) -> tuple[int, list[_Arc], list[int]]:
    """Read the initial state, the transitions and the accepting states."""
    initial: int | None = None
    arcs: list[_Arc] = []
    final: list[int] = []
    lines = text.removeprefix("\ufeff").split("\n")
    if len(lines) > MAX_LINES:
        raise InputError(f"the file has {len(lines)} lines: give at most {MAX_LINES}")
    for line, content in enumerate(lines, start=1):
        fields = content.split()
        if not fields:
            continue
        state = _state(fields[0], line)
        if initial is None:
            initial = state
        if len(fields) <= 2:
            _refuse_weight(fields[1:], line)
            final.append(state)
            continue
        if len(fields) > 5:
            raise InputError(f"line {line} has {len(fields)} fields: give at most 5")
        if len(fields) > 3 and fields[3] != fields[2]:
            raise InputError(
                f"line {line} reads {fields[2][:80]!r} and writes {fields[3][:80]!r} (or has a "
                "weight): give an acceptor without weights"
            )
        _refuse_weight(fields[4:], line)
        arcs.append(_Arc(line, state, _state(fields[1], line), sys.intern(fields[2])))
    if initial is None:
        raise InputError("the file has no states: give at least one line")
    return initial, arcs, final


def _state(field: str, line: int) -> int:
    if not (field.isascii() and field.isdigit() and len(field) <= 18):
        raise InputError(f"line {line}: {field[:80]!r} is no state: give a number such as 0")
    return int(field)


def _sorted_names(names: set[str]) -> tuple[Hashable, ...]:
    are_numbers = all(name.isascii() and name.isdigit() and len(name) <= 18 for name in names)
    return tuple(sorted(names, key=(lambda n: (int(n), n)) if are_numbers else None))


def _refuse_weight(fields: list[str], line: int) -> None:
    if fields and not _NO_WEIGHT.fullmatch(fields[0]):
        raise InputError(f"line {line} has weight {fields[0][:80]!r}: weights are not read, only 0")


def _names(alphabet: tuple[Hashable, ...], epsilon: Collection[str]) -> list[str]:
    """Name every symbol as the format does."""
    names = [str(symbol) for symbol in alphabet]
    for symbol, name in zip(alphabet, names, strict=True):
        if name.split() != [name]:
            raise InputError(f"symbol {symbol!r} is empty or has white space: rename it")
        if name in epsilon:
            raise InputError(f"symbol {symbol!r} stands for the empty word: rename it")
    if len(set(names)) != len(names):
        raise InputError(f"two symbols of {alphabet!r} have the same text: rename one")
    return names
