"""Thompson's construction: from a regular expression in postfix order to an automaton."""

import enum
from collections.abc import Sequence
from typing import TypeAlias

from automata.subsets import subset_construction
from automata.validation import BoolArray, IntArray

__all__ = ["Instruction", "Operator", "build_automaton"]


class Operator(enum.Enum):
    """What an expression is made of, besides sets of letters."""

    EMPTY_WORD = enum.auto()
    CONCATENATE = enum.auto()
    ALTERNATE = enum.auto()
    STAR = enum.auto()
    PLUS = enum.auto()
    OPTIONAL = enum.auto()


# An operator, or the symbols of which any one is read.
Instruction: TypeAlias = Operator | tuple[int, ...]


def build_automaton(code: Sequence[Instruction], num_symbols: int) -> tuple[IntArray, BoolArray]:
    """Turn a postfix expression into a complete deterministic automaton.

    Parameters
    ----------
    code : sequence of Operator or tuple of int
        Operands before their operator; a tuple reads any one of its symbols.
    num_symbols : int

    Returns
    -------
    transitions : ndarray of int64, [num_states, num_symbols]
        State 0 is initial; not minimal.
    accepting : ndarray of bool, [num_states]

    Raises
    ------
    InputError
        If the subset construction passes its limits.

    Notes
    -----
    At most two states for every instruction, then `automata.subsets.subset_construction`.
    Thompson: "Regular expression search algorithm", Communications of the ACM 11, 1968.

    Examples
    --------
    The first letter, any number of times, and then the second:

    >>> table, accepting = build_automaton(
    ...     [(0,), Operator.STAR, (1,), Operator.CONCATENATE], num_symbols=2
    ... )
    >>> table.tolist(), accepting.tolist()
    ([[0, 1], [2, 2], [2, 2]], [False, True, False])
    """
    moves: list[list[tuple[tuple[int, ...], list[int]]]] = []
    epsilon: list[list[int]] = []
    fragments: list[tuple[int, int]] = []  # the way in and the way out of every open operand

    def new_state() -> int:
        moves.append([])
        epsilon.append([])
        return len(moves) - 1

    for instruction in code:
        if instruction is Operator.CONCATENATE:
            start, end = fragments.pop()
            enter, leave = fragments.pop()
            epsilon[leave].append(start)
            fragments.append((enter, end))
            continue
        enter, leave = new_state(), new_state()
        if isinstance(instruction, tuple):
            if instruction:
                moves[enter].append((instruction, [leave]))
        elif instruction is Operator.EMPTY_WORD:
            epsilon[enter].append(leave)
        elif instruction is Operator.ALTERNATE:
            for start, end in (fragments.pop(), fragments.pop()):
                epsilon[enter].append(start)
                epsilon[end].append(leave)
        else:
            start, end = fragments.pop()
            epsilon[enter].append(start)
            epsilon[end].append(leave)
            if instruction is not Operator.PLUS:
                epsilon[enter].append(leave)
            if instruction is not Operator.OPTIONAL:
                epsilon[end].append(start)
        fragments.append((enter, leave))
    start, end = fragments.pop()
    return subset_construction(num_symbols, moves, [start], [end], epsilon)
