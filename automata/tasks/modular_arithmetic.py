"""Modular arithmetic: the value of a written sum of products, with or without brackets."""

import functools
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, shown, unknown_name
from automata.files import check_size
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import LanguageWords
from automata.validation import as_integer

__all__ = ["modular_arithmetic"]

_ORDERS: Final = ("precedence", "left_to_right")
_MAX_STATES: Final = 2**17


def modular_arithmetic(
    *,
    modulus: int = 5,
    operators: str = "+-*",
    order: str = "precedence",
    max_depth: int = 0,
    supervision: str = "per_prefix",
) -> Task:
    """Give the value of an expression modulo a number, wherever it is complete.

    Parameters
    ----------
    modulus : int
        Digits are 0 to ``modulus - 1``; at most 10.
    operators : str
        Some of ``+``, ``-`` and ``*``.
    order : {"precedence", "left_to_right"}
        Whether ``*`` binds closer, or all operators are applied as they come.
    max_depth : int
        How deep brackets may be nested; 0 means none.
    supervision : {"per_prefix", "final", "membership"}
        The value is asked for after every prefix that is an expression; members are the
        expressions with value 0.

    Returns
    -------
    Task
        Words are uniform among the expressions of a length, which is odd without brackets and with
        them too.

    Raises
    ------
    InputError
        If the automaton would be too large: states multiply by up to ``modulus ** 2`` for each
        level of brackets.

    Notes
    -----
    Deletang et al. 2023, xLSTM, Grazzi et al. 2025, SLiCE: precedence, modulus 5, one answer at the
    end (the latter three after ``=``), a vocabulary with unused symbols, even lengths cut by one.
    Fan, Chi, Rudnicky 2024: the same with a label after every number. FLaRe (Butoi et al. 2025):
    left to right, which is another language (1+2*3 is 4 modulo 5, not 2). With brackets those
    papers draw from a recursive grammar with unary minus and no bound on the depth, with or without
    ``*``, so that shorter expressions inside are likelier than here and 0 is the value of up to
    three in ten words: compare with the measured majority rate, not with 1/5.

    Examples
    --------
    >>> modular_arithmetic(supervision="final").targets_of("1+2*3")[-1]
    np.int64(2)
    >>> modular_arithmetic(order="left_to_right").targets_of("1+2*3")[-1]
    np.int64(4)
    >>> print(modular_arithmetic(max_depth=1).explain("2*(1+1)"))
    position  token  symbol  state  target
           0      -       -      0       -
           1      2       2      3       2
           2      7       *     13       -
           3      8       (     40       -
           4      1       1    105       -
           5      5       +    240       -
           6      1       1    479       -
           7      9       )      5       4
    """
    modulus = as_integer(modulus, "modulus", 2, 10)
    depth = as_integer(max_depth, "max_depth", 0, 64)
    if order not in _ORDERS:
        raise unknown_name("order of operations", order, _ORDERS)
    if not isinstance(operators, str) or not operators or set(operators) - set("+-*"):
        raise InputError(f"operators is {shown(operators)}: give some of '+-*'")
    signs = "".join(sign for sign in "+-*" if sign in operators)
    evaluator, values = _evaluator(modulus, signs, order == "precedence", depth)
    name = "modular_arithmetic" if depth == 0 else "modular_arithmetic_brackets"
    return AutomatonTask(
        name,
        evaluator,
        supervision,
        law=LanguageWords(_grammar(modulus, signs, depth), "language"),
        supervised=values,
        facts={"order": order, **published_versions(modular_arithmetic)},
    )


class _Level(NamedTuple):
    """What is known of an expression not yet closed: ``total + factor * (what comes next)``."""

    total: int
    factor: int


def _symbols(modulus: int, signs: str, depth: int) -> str:
    return "".join(map(str, range(modulus))) + signs + ("()" if depth else "")


@functools.lru_cache(maxsize=16)
def _evaluator(modulus: int, signs: str, precedence: bool, depth: int) -> tuple[DFA, list[bool]]:
    """Build the automaton of values, and tell in which states there is one.

    A state is a stack of levels and, if a number has just been read, the last product: the level's
    value is then ``total + factor``, with the factor still open for ``*``.
    """
    symbols = _symbols(modulus, signs, depth)
    start: tuple[bool, tuple[_Level, ...]] = (False, (_Level(0, 1),))
    number = {start: 0}
    states = [start]
    table: list[list[int]] = []
    for has_value, levels in states:
        row = []
        for symbol in symbols:
            following = _follow(symbol, has_value, levels, modulus, precedence, depth)
            if following is None:
                row.append(-1)
                continue
            if following not in number:
                if len(states) == _MAX_STATES:
                    raise InputError(
                        f"modulus {modulus} and brackets of depth {depth} need more than "
                        f"{_MAX_STATES} states: give a smaller modulus or max_depth"
                    )
                number[following] = len(states)
                states.append(following)
            row.append(number[following])
        table.append(row)
    check_size(len(table), len(symbols))
    is_complete = [has_value and len(levels) == 1 for has_value, levels in states]
    values = [
        sum(levels[0]) % modulus if complete else 0
        for (_, levels), complete in zip(states, is_complete, strict=True)
    ]
    zero = [complete and value == 0 for complete, value in zip(is_complete, values, strict=True)]
    dfa = DFA.from_partial(table, 0, np.array(zero), symbols, values, 0)
    return dfa, [*is_complete, *[False] * (dfa.num_states - len(states))]


def _follow(
    symbol: str,
    has_value: bool,
    levels: tuple[_Level, ...],
    modulus: int,
    precedence: bool,
    depth: int,
) -> tuple[bool, tuple[_Level, ...]] | None:
    *outer, (total, factor) = levels
    if not has_value:
        if symbol.isdigit():
            return True, (*outer, _Level(total, factor * int(symbol) % modulus))
        if symbol == "(" and len(outer) < depth:
            return False, (*levels, _Level(0, 1))
        return None
    value = (total + factor) % modulus
    if symbol == "*":
        next_level = _Level(total, factor) if precedence else _Level(0, value)
        return False, (*outer, next_level)
    if symbol in "+-":
        return False, (*outer, _Level(value, 1 if symbol == "+" else modulus - 1))
    if symbol == ")" and outer:
        *rest, (outer_total, outer_factor) = outer
        return True, (*rest, _Level(outer_total, outer_factor * value % modulus))
    return None


def _grammar(modulus: int, signs: str, depth: int) -> DFA:
    """Build the automaton of expressions: states ``2 * depth + has_value``."""
    symbols = _symbols(modulus, signs, depth)
    table = np.full((2 * (depth + 1), len(symbols)), -1, dtype=np.int64)
    for level in range(depth + 1):
        table[2 * level, :modulus] = 2 * level + 1
        table[2 * level + 1, modulus : modulus + len(signs)] = 2 * level
        if level < depth:
            table[2 * level, -2] = 2 * level + 2
        if level > 0:
            table[2 * level + 1, -1] = 2 * level - 1
    return DFA.from_partial(table, 0, [1], symbols)
