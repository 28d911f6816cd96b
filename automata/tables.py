"""Checking the parts of an automaton: its table, its accepting states, its outputs."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.validation import BoolArray, IntArray, as_integer_array, read_only

__all__ = ["complete_table", "read_accepting", "read_outputs", "read_table"]


def read_table(transitions: ArrayLike, minimum: int) -> IntArray:
    """Read a transition table; its targets lie between `minimum` and its number of states.

    Parameters
    ----------
    transitions : array_like of int, [num_states, num_symbols]
    minimum : {0, -1}
        -1 where missing transitions are allowed.

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        A read-only copy.

    Raises
    ------
    InputError
        If the table is empty, ragged, or leads outside.

    Examples
    --------
    >>> read_table([[0, 1], [1, -1]], minimum=-1).shape
    (2, 2)
    """
    table = as_integer_array(transitions, "transitions").copy()
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(
            f"transitions has shape {table.shape}: give [num_states, num_symbols], both at least 1"
        )
    wrong = np.argwhere((table < minimum) | (table >= len(table)))
    if len(wrong):
        state, symbol = wrong[0]
        target = int(table[state, symbol])
        cure = "; complete the table with DFA.from_partial" if target == -1 else ""
        raise InputError(
            f"the transition from state {state} on symbol {symbol} leads to {target}: "
            f"give a state from 0 to {len(table) - 1}{cure}"
        )
    read_only(table)
    return table


def complete_table(transitions: IntArray) -> IntArray:
    """Lead missing transitions, marked by -1, to one more state: the sink.

    Parameters
    ----------
    transitions : ndarray of int64, [num_states, num_symbols]

    Returns
    -------
    ndarray of int64, [num_states, num_symbols] or [num_states + 1, num_symbols]
        As given if nothing is missing.

    Examples
    --------
    >>> complete_table(np.array([[0, -1]])).tolist()
    [[0, 1], [1, 1]]
    """
    if (transitions >= 0).all():
        return transitions
    sink = len(transitions)
    sink_row = np.full((1, transitions.shape[1]), sink)
    return np.concatenate([np.where(transitions < 0, sink, transitions), sink_row])


def read_accepting(accepting: ArrayLike | Iterable[int], num_states: int) -> BoolArray:
    """Read accepting states, given as a mask or as ids.

    Parameters
    ----------
    accepting : array_like of bool, [num_states], or iterable of int
    num_states : int

    Returns
    -------
    ndarray of bool, [num_states]
        A read-only copy.

    Raises
    ------
    InputError
        If the mask has another size, or a state does not exist.

    Examples
    --------
    >>> read_accepting({2}, 3)
    array([False, False,  True])
    """
    if not isinstance(accepting, Sequence | np.ndarray):
        if not isinstance(accepting, Iterable):
            raise InputError(f"accepting is {accepting!r}: give a mask or a list of states")
        accepting = np.array(list(accepting))
    values = np.asarray(accepting)
    if values.dtype == np.bool_:
        if values.shape != (num_states,):
            raise InputError(
                f"the accepting mask has shape {values.shape}: give one value for each of the "
                f"{num_states} states"
            )
        mask = values.copy()
    else:
        states = as_integer_array(values, "accepting")
        if states.size and (states.min() < 0 or states.max() >= num_states):
            wrong = next(s for s in states.reshape(-1).tolist() if not 0 <= s < num_states)
            raise InputError(
                f"accepting state {wrong} does not exist: give states from 0 to {num_states - 1}"
            )
        mask = np.zeros(num_states, dtype=np.bool_)
        mask[states] = True
    read_only(mask)
    return mask


def read_outputs(outputs: ArrayLike, num_states: int) -> IntArray:
    """Read the outputs of a Moore machine.

    Parameters
    ----------
    outputs : array_like of int, [num_states]
        Not negative.
    num_states : int

    Returns
    -------
    ndarray of int64, [num_states]
        A read-only copy.

    Raises
    ------
    InputError
        If the size differs or a value is negative.

    Examples
    --------
    >>> read_outputs([0, 2], 2)
    array([0, 2])
    """
    values = as_integer_array(outputs, "outputs").copy()
    if values.shape != (num_states,):
        raise InputError(
            f"outputs has shape {values.shape}: give one for each of the {num_states} states"
        )
    if values.min() < 0:
        raise InputError(f"outputs holds {values.min()}: give integers of at least 0")
    read_only(values)
    return values
